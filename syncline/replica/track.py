"""Make existing tables of an existing file take part.

The hub's rows are fetched and staged first; then one transaction compares and starts capture. A row that
both have alike stays, one that only the hub has is added, one that only the file has becomes a pending
insert. Where they differ the hub's row stays and the file's own is kept as a conflict.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Sequence

import msgspec

from syncline.errors import SchemaChanged, SchemaError, StoreError, UsageError
from syncline.model.schema import Schema
from syncline.protocol.body import open_groups
from syncline.protocol.flows import Flow
from syncline.protocol.messages import Group, Register, Registered, SnapshotPage
from syncline.replica import capture
from syncline.replica.apply import Answer, keep_held, run_steps, show_held, take_held
from syncline.replica.device import Device
from syncline.replica.hydrate import Notes, copy_chunks, note_hub, noted
from syncline.replica.indexes import misfits
from syncline.replica.join import begin, end, lay_over, log_own_rows, note_keys
from syncline.replica.progress import Progress
from syncline.replica.session import ask, fetch_schema
from syncline.replica.stage import clear_stage
from syncline.replica.statements import Statements
from syncline.replica.store import Store
from syncline.replica.work import Work


def track(store: Store, names: Sequence[str], hub_url: str | None, progress: Progress) -> Flow[None]:
    """Make the tables take part. SchemaError, before anything is changed, if one of them does not fit.

    Resumable: after a kill the same call goes on. Until it is done the file cannot sync.
    """
    if not names:
        raise UsageError("no table is named", remedy="Name the tables that are to take part.")
    yield from _begin(store, names, hub_url)
    device = Device.load(store)
    try:
        notes = yield from copy_chunks(device, _stage_chunk, progress)
    except SchemaChanged as error:
        raise SchemaChanged(error.detail, remedy="Run the same syncline track again.") from error
    with store.transaction():
        fresh = [name for name in names if name not in store.numbers() or not _captured(store, name)]
        for name in fresh:
            store.number(device.schema.number_of(name), name)
    join = _Join(fresh, notes)
    run_steps(
        Device.load(store),
        Answer(),
        (take_held, join.start_capture, join.compare, show_held, keep_held, join.finish),
    )


def refuse_unfinished(store: Store) -> None:
    """StoreError while a `track` was cut off: the file has not got its first rows from the hub."""
    if store.state().hydrate is not None:
        raise StoreError(
            f"{store.path} has not been filled from the hub yet",
            code="hydrate_unfinished",
            remedy="Run the same syncline track again; it goes on where it was cut off.",
        )


def _begin(store: Store, names: Sequence[str], hub_url: str | None) -> Flow[None]:
    state = store.state() if store.is_replica else None
    replica = str(uuid.uuid4()) if state is None else state.replica
    answer = yield from ask(Register(replica, None if state is None else state.fingerprint), Registered)
    if state is not None and state.hub not in (None, answer.hub):
        raise StoreError(
            f"{store.path} belongs to another hub",
            code="other_hub",
            remedy="Give the URL of the hub that the file belongs to.",
        )
    schema = yield from fetch_schema(replica, answer.schema)
    _check_fit(store, schema, names)
    if state is not None and state.fingerprint not in (None, answer.schema) and store.numbers():
        raise SchemaChanged(
            "the hub's schema is not the one that the tracked tables have",
            remedy=f"Run: syncline sync {store.path}; then track again.",
        )
    if state is not None and state.fingerprint == answer.schema and state.hydrate is not None:
        return
    with store.transaction():
        store.prepare(replica)
        clear_stage(store)
        hlc = 0 if state is None else state.hlc
        note_hub(store, answer, schema, hub_url)
        store.set_state(hlc=max(hlc, answer.hlc))
        if not store.numbers():
            store.set_state(chosen=1)


def _captured(store: Store, name: str) -> bool:
    log = f"_sync_log_{store.numbers()[name]}"
    return store.row("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (log,)) is not None


def _check_fit(store: Store, schema: Schema, names: Sequence[str]) -> None:
    known = {table.name: table for table in schema.tables}
    wrong = []
    for name in names:
        if name not in known:
            wrong.append(f"the hub has no table {name} (it has {', '.join(sorted(known))})")
        else:
            wrong += misfits(store, known[name])
    if wrong:
        raise SchemaError("; ".join(wrong))


def _stage_chunk(device: Device, page: SnapshotPage, notes: Notes) -> Notes:
    rows = sum(len(group.rows) for group in open_groups(page.groups, page.digest))
    notes = noted(page, notes, rows)
    with device.store.transaction() as store:
        store.execute("INSERT INTO _sync_stage (body) VALUES (?)", (msgspec.msgpack.encode(page),))
        store.set_state(hydrate=json.dumps(notes))
    return notes


class _Join:
    """The steps that compare the file's rows with the staged ones of the hub."""

    def __init__(self, names: Sequence[str], notes: Notes) -> None:
        self._names, self._notes = frozenset(names), notes

    def start_capture(self, work: Work, answer: Answer) -> None:
        """Triggers, and the watermark that the first edits stand on."""
        state = work.store.state()
        if state.watermark is None:
            work.store.advance(self._notes["watermark"], state.hlc)
        for t in self._tables(work):
            capture.install(work.store, t)

    def compare(self, work: Work, answer: Answer) -> None:
        """Rows that only the file has become pending inserts, then the hub's rows are laid over."""
        for t in self._tables(work):
            begin(work, t)
        self._each(work, note_keys)
        for t in self._tables(work):
            log_own_rows(work, t)
        work.overlay.forget()
        self._each(work, lay_over)

    def finish(self, work: Work, answer: Answer) -> None:
        for t in self._tables(work):
            end(work, t)
        clear_stage(work.store)
        work.store.set_state(hydrate=None)

    def _tables(self, work: Work) -> Iterator[Statements]:
        return (t for t in work.device.tables.values() if t.table.name in self._names)

    def _each(self, work: Work, action: Callable[[Work, Statements, Group], None]) -> None:
        for (number,) in work.store.rows("SELECT page FROM _sync_stage ORDER BY page"):
            body = work.store.value("SELECT body FROM _sync_stage WHERE page = ?", (number,))
            page = msgspec.msgpack.decode(body, type=SnapshotPage)
            for group in open_groups(page.groups, page.digest):
                t = work.device.tables.get(group.table)
                if t is not None and t.table.name in self._names:
                    action(work, t, group)
