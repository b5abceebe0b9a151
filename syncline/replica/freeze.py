"""Steps 2 and 3 of the path: what is pending becomes a push, numbered and durable, before it is sent.

What is frozen never changes: a repeat sends the same bytes (law L3). Later edits wait in the log, behind
the cut that says how far the push covers each table.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import Raw

from syncline.errors import TooLarge, ValueRefused
from syncline.model.collector import resting
from syncline.model.values import Value
from syncline.protocol.messages import Limits
from syncline.replica.altered import altered
from syncline.replica.bodies import drop_chunks
from syncline.replica.chains import Fit, Misspelled, Refused
from syncline.replica.coalesce import Coalescing
from syncline.replica.device import Device
from syncline.replica.draft import Draft, Listener, RowTooLarge
from syncline.replica.noticed import as_named_now, refuse_renamed
from syncline.replica.pending import is_anything_pending, of_logs, pending_tables, settle
from syncline.replica.refusal import refuse, unkeyed, unreadable
from syncline.replica.respell import respell
from syncline.replica.selection import select
from syncline.replica.shown import look_at_hidden
from syncline.replica.statements import Statements
from syncline.replica.store import Store, queries

_QUERIES = queries("syncline.replica", "freeze.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """The push in flight: `body` is canonical MessagePack of `list[PushGroup]`, `digest` its SHA-256.

    One that does not fit a request has `chunks` (see `draft.sealed`), `rows` in all of them, no body, and the
    digest of the whole. `fingerprint` is of the schema that it was frozen under.
    """

    number: int
    digest: str
    body: bytes
    bases: list[str]
    fingerprint: str
    chunks: int = 0
    rows: int = 0

    @property
    def raw(self) -> Raw:
        """The body as it goes into `messages.Push`."""
        return Raw(self.body)


def in_flight(store: Store) -> Frozen | None:
    """The push that was frozen and has no verdict yet."""
    row = store.row(_QUERIES["outbox"])
    if row is None:
        return None
    number, digest, body, bases, fingerprint, chunks, rows = row
    return Frozen(
        number=number,
        digest=digest,
        body=body,
        bases=json.loads(bases),
        fingerprint=fingerprint,
        chunks=chunks,
        rows=rows,
    )


def clear_outbox(store: Store) -> None:
    """The push in flight leaves the file, with its chunks and cuts, and with the bodies unless they are kept.
    Inside a transaction."""
    drop_chunks(store)
    store.execute("DELETE FROM _sync_outbox")
    store.execute("DELETE FROM _sync_outbox_cut")


def is_complete(device: Device) -> bool:
    """Whether the push in flight covers everything that is pending now."""
    cuts = dict(device.store.rows(_QUERIES["cuts"]))
    lasts = of_logs(device.store, device.tables.values(), "SELECT max(seq) FROM {log}")
    for n, last in lasts.items():
        if cuts.get(n, 0) > (last or 0):  # what is covered stays in the log until there is a verdict
            raise altered(device.store, "_sync_outbox_cut", f"table {n} has no entry {cuts[n]}")
    return all(last is None or last <= cuts.get(n, 0) for n, last in lasts.items())


def freeze(device: Device, listener: Listener | None = None) -> Frozen | None:
    """Coalesce what is pending, one change a row, into a new push in flight; None if there is nothing.

    One write transaction; no network. A backlog that does not fit one request is frozen in chunks, see
    `replica.draft`; one beyond what the hub takes in one push in part, see `replica.selection`. A row that
    cannot travel becomes a rejected edit, the others go on.
    """
    return freeze_pending(device, listener) if is_anything_pending(device) else None


def freeze_pending(device: Device, listener: Listener | None = None) -> Frozen | None:
    """`freeze`, where something is pending."""
    return as_named_now(device, lambda: _frozen(device, listener))


def _frozen(device: Device, listener: Listener | None) -> Frozen | None:
    with device.store.transaction() as store:
        device.check()
        refuse_renamed(device)
        return in_flight(store) or freeze_now(device, listener)


def freeze_now(device: Device, listener: Listener | None = None) -> Frozen | None:
    """`freeze`, inside a write transaction and while no push is in flight."""
    store = device.store
    look_at_hidden(device)
    settle(store, device.tables.values())
    for t in pending_tables(device):
        _refuse(device, t, unkeyed(device, t))
    return in_flight(store) if _fitting(device, listener).keep() else None


def _fitting(device: Device, listener: Listener | None) -> Draft:
    """A draft within the hub's limits: fewer rows are tried until it fits."""
    limits = device.limits()
    rows = limits.push_total_rows
    respelled: set[int] = set()
    while True:
        large: RowTooLarge | None = None
        try:
            draft = _draft(device, rows, limits, listener, respelled)
        except RowTooLarge as error:  # what it read with is let go before the tables are changed
            draft, large = None, error.with_traceback(None)
        if large is not None:
            detail = f"the row takes {large.size} bytes, more than a request may have"
            refuse(device, large.t, [Refused(large.key, detail)], TooLarge.code, "Make the row smaller.")
        if draft is None:
            continue
        if draft.rows < 2 or _is_within(draft, limits):
            return draft
        rows = max(1, min(rows, draft.rows) // 2)


def _is_within(draft: Draft, limits: Limits) -> bool:
    return (
        len(draft.bases) <= limits.bases
        and draft.chunks < limits.push_chunks
        and draft.size <= limits.push_total_bytes
    )


def _draft(
    device: Device, rows: int, limits: Limits, listener: Listener | None, respelled: set[int]
) -> Draft | None:
    """A draft of at most `rows` changes; it ends early beyond the limits. None: rows were refused that
    cannot travel, or were respelled (their tables are noted then), and it must be made again."""
    draft = Draft(device.store, limits, listener)
    for t, cut in select(device, rows):
        fit = _as_it_is if t.n in respelled else t.fit
        try:
            refused: list[Refused] | None = _add_table(draft, device, t, cut, fit)
        except Misspelled:  # what it read with is let go before the table is changed
            refused = None
        if refused is None:
            respelled.add(t.n)
            _refuse(device, t, respell(device, t))
            return None
        if refused:
            _refuse(device, t, refused)
            return None
        draft.cuts[t.n] = cut
        if not _is_within(draft, limits):
            break
    return draft


def _as_it_is(columns: Sequence[int], rows: Sequence[Sequence[Value]]) -> bool:
    """The `fit` of a table that was respelled: the rest is for the centre to judge."""
    return True


def _add_table(draft: Draft, device: Device, t: Statements, cut: int, fit: Fit) -> list[Refused]:
    """Add the changes of one table; return the rows that cannot travel. Misspelled: none may as it is."""
    coalescing = Coalescing(device.store, t, cut, fit)
    unread: ValueRefused | None = None
    try:
        with resting():
            for batch in coalescing.batches():
                draft.add(t, batch)
    except ValueRefused as error:
        unread = error.with_traceback(None)
    if unread is None:
        return coalescing.refused
    found = unreadable(device, t, cut)
    if not found:
        raise unread
    return found


def _refuse(device: Device, t: Statements, refused: Sequence[Refused]) -> None:
    if refused:
        refuse(device, t, refused, ValueRefused.code, ValueRefused.remedy)
