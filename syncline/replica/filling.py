"""Rows of whole tables, or of new columns of theirs: fetched and kept in the file page by page, until one
transaction takes them in (laws L1, L11)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping

import msgspec

from syncline.model.schema import Schema
from syncline.protocol.body import open_groups
from syncline.protocol.flows import Flow
from syncline.protocol.messages import Group, Snapshot, SnapshotPage
from syncline.replica.answers import groups_of
from syncline.replica.device import Device
from syncline.replica.edge import as_here
from syncline.replica.pull import prove
from syncline.replica.session import ask
from syncline.replica.statements import Statements
from syncline.replica.store import Store


def fetch_filling(
    device: Device, hub: Schema, wanted: Mapping[int, str], said: Callable[[int], None], start: str = ""
) -> Flow[str]:
    """Fetch tables of the hub's schema, after what is kept already; returns what `filling` is to be told.

    `wanted`: by the table's number the numbers of the columns, separated by commas, '' for all. `said` is
    told how many pages there are. `start`: as for `next_pull`, of the pull that follows: that sees to it that
    the centre has not gone back since the last page."""
    state, limit, pages = device.store.state(), device.limits().pull_rows, 0
    seen, told = hashlib.blake2b(digest_size=16), dict.fromkeys([state.horizon or ""])
    for n, columns in wanted.items():
        cursor, more = None, True
        while more:
            request = Snapshot(state.replica, hub.fingerprint, cursor, limit, n, columns)
            page = yield from ask(request, SnapshotPage)
            groups_of(page.groups, page.digest, hub)  # a damaged page must not be staged
            with device.store.repeatable() as store:
                store.execute("INSERT INTO _sync_fill (body) VALUES (?)", (msgspec.msgpack.encode(page),))
            seen.update(_named(page))
            pages, cursor = pages + 1, page.cursor
            said(pages)
            more = cursor is not None
        told[page.watermark] = told.pop(page.watermark, None)
    *before, last = told
    for horizon in before:
        if horizon not in ("", state.watermark):
            yield from prove(device, horizon, hub.fingerprint, start)
    if last not in ("", state.horizon):
        with device.store.repeatable() as store:
            store.set_state(horizon=last)
    return seen.hexdigest()


def filling(store: Store, tables: Mapping[int, Statements], fetched: str) -> Iterator[Group]:
    """The rows that are kept, in the forms of the file, one page at a time.

    `fetched`: what `fetch_filling` has returned. StoreBusy at the end if these are other pages: another sync
    of the file has fetched its own since, or taken these away. Nothing may come of the rows before it."""
    seen = hashlib.blake2b(digest_size=16)
    for (number,) in store.rows("SELECT page FROM _sync_fill ORDER BY page"):
        body = store.value("SELECT body FROM _sync_fill WHERE page = ?", (number,))
        page = msgspec.msgpack.decode(body, type=SnapshotPage)
        seen.update(_named(page))
        yield from as_here(tables, open_groups(page.groups, page.digest))
    if seen.hexdigest() != fetched:
        raise store.overtaken()


def _named(page: SnapshotPage) -> bytes:
    """What a page is told from others by: its rows, and as of when they are."""
    return msgspec.msgpack.encode((page.watermark, page.digest))


def clear_filling(store: Store) -> None:
    """Forget what is kept: it was taken in, or is fetched again."""
    store.execute("DELETE FROM _sync_fill")
