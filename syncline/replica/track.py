"""Make existing tables of an existing file take part.

    the hub's rows are fetched and staged -> capture begins -> compare -> write what differs -> done

A row that both have alike stays, one that only the hub has is added, one that only the file has becomes a
pending insert. Where they differ the hub's row stays and the file's own is kept as a conflict, or as an
insert whose key is taken where both count integer keys up: two things, as with any two inserts. Nothing is
locked while the hub is waited for, nor while the rows are compared (law L1); where very many differ they are
written in several transactions.

Until the first tables are done the file does not sync. What took part before goes on: a `track` that is
refused takes back what it has begun, and one that was cut off is ended by the next verb with the hub
(`go_on`).
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from functools import partial

import msgspec

from syncline.errors import (
    Forbidden,
    SchemaChanged,
    SchemaError,
    StoreError,
    SynclineError,
    Unauthenticated,
    UsageError,
    WatermarkRefused,
)
from syncline.merge.rules import is_counted_up
from syncline.model.forms import KINDS, Choice
from syncline.model.schema import Schema
from syncline.protocol.body import open_groups
from syncline.protocol.flows import Flow
from syncline.protocol.messages import Register, Registered, SnapshotPage
from syncline.replica import capture, join
from syncline.replica.answers import groups_of
from syncline.replica.apply import Answer, keep_held, run_steps, show_held, take_held
from syncline.replica.asked import spell_all
from syncline.replica.defining import make_table
from syncline.replica.device import Device
from syncline.replica.edge import as_here
from syncline.replica.forms import NONE, Forms, check_typed, in_forms, read_forms, warn_of_loss, written_forms
from syncline.replica.hydrate import BEGINNING, Notes, copy_chunks, note_hub, noted
from syncline.replica.indexes import columns_of, misfits
from syncline.replica.loosened import loosen_again
from syncline.replica.lost import note_made_again
from syncline.replica.made import make_new
from syncline.replica.names import latest, read_retired
from syncline.replica.objects import refuse_unable
from syncline.replica.own import unwritten_anew
from syncline.replica.postponed import postpone
from syncline.replica.progress import Progress
from syncline.replica.pull import prove
from syncline.replica.referring import make_postponed
from syncline.replica.refusal import refuse_strangers
from syncline.replica.rejoined import rejoin
from syncline.replica.respell import respell_all
from syncline.replica.returned import refuse_returned
from syncline.replica.session import ask, fetch_schema
from syncline.replica.stage import clear_stage
from syncline.replica.statements import Statements
from syncline.replica.store import Store
from syncline.replica.work import Work

logger = logging.getLogger("syncline.replica")

PAUSE = 0.1
"""Seconds between two transactions that write many rows: whoever waits for the lock looks that often."""


def track(
    store: Store, names: Sequence[str], hub_url: str | None, progress: Progress, choice: Choice | None = None
) -> Flow[None]:
    """Make the tables take part. SchemaError, and nothing is changed, if one of them does not fit.

    `choice`: how these tables spell values; None: as was chosen for the file, or as the hub asks for.
    Resumable: after a kill the same call goes on.
    """
    if not names:
        raise UsageError("no table is named", remedy="Name the tables that are to take part.")
    if _is_tracked(store, names):
        device = Device.load(store)
        _refuse_other_forms(device, names, choice)
        make_missing(device, names)
        return
    yield from _begin(store, names, hub_url, choice)
    device = Device.load(store)
    try:
        notes = yield from _copied(device, progress)
    except SchemaChanged as error:
        raise SchemaChanged(error.detail, remedy="Run the same syncline track again.") from error
    fresh = _start_capture(device, names, notes)
    device.reload()
    try:
        yield from _join_begun(device)
    except SynclineError as error:
        if not _is_cut_off(error):
            _take_back(device, fresh)
            if not store.numbers():
                yield from _withdraw(store.state().replica)
        raise


def _copied(device: Device, progress: Progress) -> Flow[Notes]:
    """Fetch the hub's rows, anew where what an earlier call has fetched is of a past that is gone. What a
    file that takes part already holds is of the same past, or it is to sync."""
    try:
        notes = yield from copy_chunks(device, _stage_chunk, progress)
    except WatermarkRefused:
        with device.store.transaction() as store:
            clear_stage(store)
            store.set_state(hydrate=json.dumps(BEGINNING))
        notes = yield from copy_chunks(device, _stage_chunk, progress)
    state = device.store.state()
    if state.watermark is not None and state.horizon not in (None, state.watermark):
        yield from prove(device, state.horizon)
    return notes


def _withdraw(replica: str) -> Flow[None]:
    """Tell the hub that this file takes no part after all. If that is not heard, the file is listed there
    until it was unused for a while; the next `track` goes on under the same id."""
    try:
        yield from ask(Register(replica, tentative=True), Registered)
    except SynclineError as error:
        logger.warning("the hub was not told that track was refused: %s", error, extra={"action": "track"})


def go_on(store: Store) -> Flow[None]:
    """End a `track` that was cut off, before another verb with the hub.

    Tables that are captured by now become one with the hub's; if that is refused they take part no longer,
    as after a `track` that is refused. Rows that were fetched for tables that are not are forgotten: the
    same call fetches them again. Nothing is done to a file that was never filled.
    """
    if not store.is_replica or store.state().hydrate is None or not store.is_filled:
        return
    device = Device.load(store)
    begun = _joining(device)
    if not begun:
        _take_back(device, ())
        return
    try:
        yield from _join_begun(device)
    except SynclineError as error:
        if _is_cut_off(error):
            raise
        names = ", ".join(device.tracked[n].table.name for n in begun)
        text = "%s: track was cut off, and is refused now: %s"
        logger.warning(text, names, error, extra={"action": "track"})
        _take_back(device, begun)


def _is_cut_off(error: SynclineError) -> bool:
    """Whether the same may well succeed at another time."""
    return error.retry or isinstance(error, Unauthenticated | Forbidden)


def _joining(device: Device) -> list[int]:
    """The tables that are captured, and have not become one with the hub's yet."""
    listed = json.loads(device.store.state().hydrate or "{}").get("joining", ())
    return [n for n in device.tracked if n in listed]


def _take_back(device: Device, begun: Collection[int]) -> None:
    """These tables take part no longer, what was fetched for them is forgotten. A file in which no others do
    is as before its first `track`, but that it keeps its id."""
    with device.store.transaction() as store:
        left = [n for n in _joining(device) if n not in begun]
        for n in begun:
            capture.remove(store, device.tracked[n])
            for name in ("_sync_lost", "_sync_held", "_sync_parked"):
                store.execute(f"DELETE FROM {name} WHERE n = ?", (n,))
        if left:
            notes = json.loads(store.state().hydrate or "{}")
            store.set_state(hydrate=json.dumps({**notes, "joining": left}))
        else:
            clear_stage(store)
            store.set_state(hydrate=None)
        if not store.numbers():
            store.set_state(**dict.fromkeys(_OF_HUB))


_OF_HUB = ("hub_url", "hub", "schema", "fingerprint", "watermark", "limits", "forms")
"""What the state of a file has of its hub."""


def _join_begun(device: Device) -> Flow[None]:
    """Tables that are captured become one with the hub's, whose rows are staged."""
    store, joining = device.store, _joining(device)
    for n in joining:
        if n in device.aside:
            raise SchemaError("; ".join(misfits(store, device.aside[n].table)) or "its parent does not fit")
    tables = [device.tables[n] for n in joining]
    warn_of_loss(t.table for t in tables)
    respell_all(device, tables)
    yield from spell_all(device, tables)
    try:
        with store.aside():
            for t in tables:
                join.begin(store, t)
            _note_rows(store, {t.n: t for t in tables})
            for t in tables:
                join.compare(store, t)
        _join(device, tables)
    finally:
        for t in tables:
            join.end(store, t)


def _is_tracked(store: Store, names: Sequence[str]) -> bool:
    """Whether all of them take part already."""
    if not store.is_replica or store.state().schema is None or store.state().hydrate is not None:
        return False
    return all(name in store.numbers() and _captured(store, name) for name in names)


def make_missing(device: Device, names: Sequence[str]) -> None:
    """Make those tables again that take part and that the application has dropped. Their rows come with the
    next sync."""
    store = device.store
    for t in device.tracked.values():
        if t.table.name in names and not columns_of(store, t.table.name):
            with store.transaction():
                device.check()
                make_table(store, t.table, device.hub, device.schema)
                note_made_again(store, t.n)
                make_new(device, device.hub, (t.n,))
                postpone(store, t.table)
                capture.install(store, t)


def refuse_unfinished(store: Store) -> None:
    """StoreError while the first `track` was cut off: the file has not got its first rows from the hub."""
    if store.state().hydrate is not None and not store.is_filled:
        raise StoreError(
            f"{store.path} has not been filled from the hub yet",
            code="hydrate_unfinished",
            remedy="Run the same syncline track again; it goes on where it was cut off.",
        )


def _begin(store: Store, names: Sequence[str], hub_url: str | None, choice: Choice | None) -> Flow[None]:
    state = store.state() if store.is_replica else None
    replica = str(uuid.uuid4()) if state is None else state.replica
    fingerprint = None if state is None else state.fingerprint
    is_first = state is None or state.hub is None
    answer = yield from ask(Register(replica, fingerprint, tentative=is_first), Registered)
    if state is not None and state.hub not in (None, answer.hub):
        raise StoreError(
            f"{store.path} belongs to another hub",
            code="other_hub",
            remedy="Give the URL of the hub that the file belongs to.",
        )
    schema = yield from fetch_schema(replica, answer.schema)
    check_typed(schema, choice or {})
    if state is not None and state.fingerprint not in (None, answer.schema) and not store.is_filled:
        device = Device.load(store)
        _take_back(device, _joining(device))  # what was fetched for a first track is of another schema
    forms = _forms(store, schema, names, choice)
    here = in_forms(schema, forms)
    _check_fit(store, here, names)
    refuse_unable(store, (Statements(here.table(name), 0) for name in names))
    if state is not None and state.fingerprint not in (None, answer.schema) and store.numbers():
        raise SchemaChanged(
            "the hub's schema is not the one that the tracked tables have",
            remedy=f"Run: syncline sync {store.path}; then track again.",
        )
    if state is not None and state.fingerprint == answer.schema and state.hydrate is not None:
        with store.transaction():
            store.set_state(forms=written_forms(forms))
        return
    if is_first:  # nothing has refused it: from now on it counts as a replica
        answer = yield from ask(Register(replica, fingerprint), Registered)
        if answer.schema != schema.fingerprint:
            raise SchemaChanged(
                "the hub's schema changed meanwhile", remedy="Run the same syncline track again."
            )
    with store.transaction():
        store.prepare(replica)
        clear_stage(store)
        hlc = 0 if state is None else state.hlc
        note_hub(store, answer, schema, hub_url)
        store.set_state(hlc=max(hlc, answer.hlc), forms=written_forms(forms))
        if not store.numbers():
            store.set_state(chosen=1)


def _forms(store: Store, schema: Schema, names: Sequence[str], choice: Choice | None) -> Forms:
    """The forms of the file, with those of the tables that are to take part; tracked ones keep theirs, and
    so do those that took part before, unless others are chosen."""
    known = read_forms(store.state().forms) if store.is_replica else NONE
    tracked = set(store.numbers()) if store.is_replica else set()
    fresh = [table for table in schema.tables if table.name in names and table.name not in tracked]
    retired = read_retired(store.state().retired).tables if store.is_replica else {}
    for table in fresh:
        known = known.again(table, latest(retired, table.name), choice)
    return known


def _refuse_other_forms(device: Device, names: Sequence[str], choice: Choice | None) -> None:
    """UsageError `forms_kept` if tables that take part are asked to spell values otherwise than they do."""
    for t in device.tables.values():
        hub = device.hub.by_number[t.n]
        other = [
            f"{column.name} ({device.forms.of(hub, column)})"
            for column in hub.columns
            if choice and choice.get(KINDS.get(column.type, ""), "") not in ("", device.forms.of(hub, column))
        ]
        if t.table.name in names and other:
            raise UsageError(
                f"table {t.table.name} takes part already, and spells {', '.join(other)} as it was tracked",
                code="forms_kept",
                remedy="Clone a new file in the other forms: syncline clone URL FILE --forms ...",
            )


def _captured(store: Store, name: str) -> bool:
    log = f"_sync_log_{store.numbers()[name]}"
    return store.row("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (log,)) is not None


def _check_fit(store: Store, schema: Schema, names: Sequence[str]) -> None:
    known = {table.name: table for table in schema.tables}
    wrong, remedies = list[str](), list[str]()
    for name in names:
        if name not in known:
            wrong.append(f"the hub has no table {name} (it has {', '.join(sorted(known))})")
            remedies.append(_NOT_THERE)
        elif misfit := misfits(store, known[name]):
            wrong += misfit
            remedies.append(_MISFIT if columns_of(store, name) else _NOT_HERE)
    if wrong:
        raise SchemaError("; ".join(wrong), remedy=" ".join(dict.fromkeys(remedies)))


_NOT_THERE = (
    "Name tables as the hub does; one that is to take part must be in the centre and, if syncline.toml names"
    " tables, among these: whoever runs the hub adds it, then runs syncline init syncline.toml."
)
_NOT_HERE = "Create the table in the file first, then track it, or leave it out."
_MISFIT = (
    "Make the table fit, then track it, or leave it out. (A column gets another type by making the table anew"
    " and copying its rows.)"
)


def _stage_chunk(device: Device, page: SnapshotPage, notes: Notes) -> Notes:
    rows = sum(len(group.rows) for group in groups_of(page.groups, page.digest, device.hub))
    notes = noted(page, notes, rows)
    with device.store.transaction() as store:
        store.execute("INSERT INTO _sync_stage (body) VALUES (?)", (msgspec.msgpack.encode(page),))
        store.set_state(hydrate=json.dumps(notes))
    return notes


def _start_capture(device: Device, names: Sequence[str], notes: Notes) -> list[int]:
    """From now on the tables are captured, on the watermark that their first edits stand on. Returns those
    that were not before: not those of a call that was cut off."""
    with device.store.transaction() as store:
        state = store.state()
        numbers = store.numbers()
        fresh = [name for name in names if name not in numbers or not _captured(store, name)]
        begun = [device.schema.number_of(name) for name in fresh]
        if state.watermark is None:
            store.advance(notes["watermark"], state.hlc)
        else:
            store.set_state(horizon=notes["watermark"])
        for n, name in zip(begun, fresh, strict=True):
            store.number(n, name)
            loosen_again(store, device.retired, device.hub, device.schema, n)
        for t in Device.load(store).tables.values():
            if t.n in begun:
                capture.install(store, t)
        store.set_state(hydrate=json.dumps({**notes, "joining": [*notes.get("joining", ()), *begun]}))
    return [n for n, name in zip(begun, fresh, strict=True) if name not in numbers]


def _note_rows(store: Store, tables: Mapping[int, Statements]) -> None:
    """Take the hub's rows from the pages that were staged."""
    for (number,) in store.rows("SELECT page FROM _sync_stage ORDER BY page"):
        body = store.value("SELECT body FROM _sync_stage WHERE page = ?", (number,))
        page = msgspec.msgpack.decode(body, type=SnapshotPage)
        groups = open_groups(page.groups, page.digest)  # looked at when it was staged
        for group in as_here(tables, groups):
            if group.table in tables:
                join.note_rows(store, tables[group.table], group)


def _join(device: Device, tables: Sequence[Statements]) -> None:
    """Log what only the file has, then write what differs; the last transaction says that all is done."""

    before = read_retired(device.store.state().retired).tables
    counted = {t.n for t in tables if is_counted_up(t.table) and latest(before, t.table.name) is None}

    def log_own(work: Work, answer: Answer) -> None:
        for t in tables:
            join.add_edited(work, t)
            join.log_own_rows(work, t)
            rejoin(device, t, compared=True)
        work.overlay.forget()
        refuse_strangers(work, tables)
        refuse_returned(work)

    def finish(work: Work, answer: Answer) -> None:
        make_postponed(work.device)
        clear_stage(work.store)
        work.store.set_state(hydrate=None, last_sync=work.store.state().last_sync or work.store.utc())

    run_steps(device, Answer(), (take_held, log_own, keep_held))
    for t in tables:
        for first in range(1, join.count_unlike(device.store, t) + 1, join.CHUNK):
            if first > 1:
                time.sleep(PAUSE)
            lay_over = partial(_lay_over, t, first, t.n in counted)
            steps = (take_held, lay_over, show_held, keep_held)
            run_steps(device, Answer(), steps)
    run_steps(device, Answer(), (take_held, show_held, keep_held, finish))


def _lay_over(t: Statements, first: int, are_others: bool, work: Work, answer: Answer) -> None:
    last, is_none = first + join.CHUNK - 1, unwritten_anew(work.device, t)
    join.lay_over(work, t, first, last, are_others=are_others, is_none=is_none)
