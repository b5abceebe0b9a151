"""A replica whose place in the log is lost is filled again, and keeps its pending edits.

    a fresh file beside, filled like a clone -> which rows differ -> one transaction makes the tables equal
    to it, with the pending edits laid over (law L6), and moves the watermark

Nothing is locked while the hub is waited for (law L1), nor while the two files are compared. An application
sees the old state or the new one (law L5).
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

from syncline.errors import StoreBusy, StoreError
from syncline.model.values import Value
from syncline.protocol.flows import Flow
from syncline.protocol.messages import Group
from syncline.replica import join
from syncline.replica.apply import (
    Answer,
    Applied,
    decide_replaced,
    keep_held,
    learn_group,
    run_steps,
    show_held,
    take_held,
    take_out_gone,
)
from syncline.replica.capture import differs
from syncline.replica.comeback import Comer
from syncline.replica.device import Device
from syncline.replica.follow import adapted
from syncline.replica.hydrate import discard, fill
from syncline.replica.indexes import columns_of
from syncline.replica.lingering import refuse_lingering
from syncline.replica.lost import forget_lost, lost, waited
from syncline.replica.names import renumber
from syncline.replica.overlay import Key
from syncline.replica.own import adopted_before, note_own_values
from syncline.replica.progress import Progress
from syncline.replica.regain import make_indexes_again, said
from syncline.replica.returned import refuse_returned
from syncline.replica.session import register, root_of
from syncline.replica.stage import clear_stage
from syncline.replica.statements import Statements
from syncline.replica.store import MEMORY, State, Store
from syncline.replica.upgrade import rename
from syncline.replica.work import Work

SUFFIX = ".refilling"
FRESH = "_sync_fresh"
"""The fresh file, as SQL."""

BATCH = 5000
"""Rows that are learned at a time (law L11)."""


@cache
def _folder() -> str:
    """A folder of this process's own, which goes with it."""
    folder = tempfile.mkdtemp(prefix="syncline-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def fresh_path(store: Store) -> str:
    """Where the fresh file is built."""
    if store.path == MEMORY:
        return str(Path(_folder()) / f"{id(store)}{SUFFIX}")
    return store.path + SUFFIX


def discard_fresh(store: Store) -> None:
    """Remove what an earlier attempt has left."""
    if Path(fresh_path(store)).exists():
        discard(fresh_path(store))


def refill(device: Device, progress: Progress) -> Flow[Applied]:
    """Fill a fresh file, going on where an earlier call was cut off, and take its rows over.

    No push may be under way, and none may be sent meanwhile: the hub does not send a replica its own changes.
    """
    store = device.store
    answer = yield from register(store)
    if answer.schema != device.hub.fingerprint:
        yield from adapted(device)
    before = store.state()
    fresh = Store.open_private(fresh_path(store))
    try:
        if fresh.is_replica:
            fresh.check()
        with fresh.watched():
            told = root_of(before), before.horizon or ""
            yield from fill(fresh, None, progress, before.replica, device.forms, *told)
        after = fresh.state()
        if after.fingerprint != before.fingerprint:
            raise StoreError("the hub's schema changed meanwhile", code="hydrate_stale", remedy="Try again.")
        _take_names(device, fresh)
        fresh.check_place()
    finally:
        fresh.close()
    with store.attached(fresh_path(store), FRESH):
        applied = _take_over(device, before, after)
    discard_fresh(store)
    return applied


def _take_names(device: Device, fresh: Store) -> None:
    """Call tables and columns of the fresh file as they are called in the device's, which tracks some of
    them."""
    if fresh.state().names == device.store.state().names:
        return
    with fresh.transaction():
        rename(fresh, Device.load(fresh).schema, device.schema, list(device.tables))
        fresh.set_state(names=device.store.state().names)
        renumber(fresh, {n: t.table.name for n, t in device.tables.items()})


def _take_over(device: Device, before: State, after: State) -> Applied:
    store, tables = device.store, list(device.tables.values())
    for t in tables:
        _compare(store, t)
    unseen = [t for t in tables if t.n in lost(store)]
    with store.aside():
        for t in unseen:
            _note_rows(store, t)
            join.compare(store, t)
    adopted = {n: some for n, some in adopted_before(store).items() if n not in {t.n for t in unseen}}
    switch = _Switch(tables, before, after, adopted)
    since = waited(store)
    comers = [Comer(t, fills_again=True, waited=t.n in since) for t in unseen]
    steps = (
        switch.check,
        take_held,
        decide_replaced,
        partial(_keep_unseen, comers),
        switch.add_edited,
        _refuse_below_taken,
        switch.learn,
        take_out_gone,
        show_held,
        lambda work, answer: make_indexes_again(work.device, unseen),
        keep_held,
        switch.advance,
    )
    try:
        applied = run_steps(device, Answer(), steps)
        found = [comer.report() for comer in comers if comer.counts]
        return replace(applied, regained=tuple(said(device, found)))
    finally:
        for t in tables:
            for name in (_differ(t), _left(t)):
                store.execute(f"DROP TABLE IF EXISTS {name}")
        for t in unseen:
            join.end(store, t)


def _note_rows(store: Store, t: Statements) -> None:
    """The rows of the fresh file, for `replica.join`."""
    join.begin(store, t)
    chosen = ", ".join([*t.keys, *t.value_names])
    store.execute(f"INSERT INTO temp._sync_hub_{t.n} SELECT {chosen} FROM {FRESH}.{t.name}")


def _keep_unseen(comers: Sequence[Comer], work: Work, answer: Answer) -> None:
    """Tables that were not captured for a while: rows only here are pending inserts, what differs is kept.
    Where the replica had got to is not known, and so neither which of the two is the newer. Rows that are
    missing come back; what was captured of them is named."""
    for comer in comers:
        comer.find(work)
    work.overlay.forget()
    forget_lost(work.store)


def _refuse_below_taken(work: Work, answer: Answer) -> None:
    """What is pending of rows that the file shows, and the hub has rejected, and what points at them."""
    refuse_lingering(work)
    refuse_returned(work)


# Comparing ---------------------------------------------------------------------------------------------


def _differ(t: Statements) -> str:
    """The temporary table with the keys of the rows to learn."""
    return f"temp._sync_differ_{t.n}"


def _left(t: Statements) -> str:
    """The temporary table with the keys of the rows that the hub does not have."""
    return f"temp._sync_left_{t.n}"


def _compare(store: Store, t: Statements) -> None:
    """Find the rows that differ, are new or are gone, as a set. Takes no lock; what is edited meanwhile is in
    the change log, and looked at again."""
    for name in (_differ(t), _left(t)):
        store.execute(f"DROP TABLE IF EXISTS {name}")
        store.execute(f"CREATE TABLE {name} ({t.key_columns}, PRIMARY KEY ({t.key_columns})) WITHOUT ROWID")
    columns = columns_of(store, t.table.name)
    if any(column.name not in columns for column in t.table.columns):
        raise StoreBusy(f"{store.path}: the application altered {t.table.name} while this was going on")
    unequal = [differs(columns[column.name], "m", "f") for column in t.table.values.values()]
    same = f" AND NOT ({' OR '.join(unequal)})" if unequal else ""
    store.execute(
        f"INSERT INTO {_differ(t)} SELECT {t.keys_of('f')} FROM {FRESH}.{t.name} f WHERE NOT EXISTS"
        f" (SELECT 1 FROM main.{t.name} m WHERE {_same_key(t, 'm', '+f')}{same})"
    )
    known = " AND ".join(f"m.{name} IS NOT NULL" for name in t.keys)
    store.execute(
        f"INSERT INTO {_left(t)} SELECT {t.keys_of('m')} FROM main.{t.name} m WHERE {known} AND NOT EXISTS"
        f" (SELECT 1 FROM {FRESH}.{t.name} f WHERE {_same_key(t, 'f', '+m')})"
    )


def _same_key(t: Statements, one: str, other: str) -> str:
    """A plus before `other` leaves its affinity out: what is declared otherwise is found by its index."""
    exact = " COLLATE BINARY" if t.folds else ""
    pairs = [f"{one}.{name} = {other}.{name}" for name in t.keys]
    return " AND ".join([*pairs, *(pair + exact for pair in pairs if exact)])


# Switching ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Switch:
    """The steps of the transaction that takes the fresh rows over. `adopted`: columns whose values here the
    application wrote before they were the hub's, by their table's number."""

    tables: list[Statements]
    before: State
    after: State
    adopted: Mapping[int, Collection[int]]

    def check(self, work: Work, answer: Answer) -> None:
        """Nothing but the application may have been at work meanwhile."""
        state = work.store.state()
        same = (state.replica, state.push, state.watermark, state.recovery)
        before = self.before
        if same != (before.replica, before.push, before.watermark, before.recovery):
            raise StoreBusy(f"another process synced {work.store.path} meanwhile")

    def add_edited(self, work: Work, answer: Answer) -> None:
        """Edited rows are learned whether they differ or not, a counter's base moves; and so is what could
        not be shown before: the fresh file knows better than what was held."""
        for t in self.tables:
            known = " AND ".join(f"k{i} IS NOT NULL" for i in range(t.arity))
            _sort(work.store, t, f"SELECT DISTINCT {t.key_columns} FROM {t.log} WHERE {known}", ())
            one = "SELECT " + ", ".join(f"? AS k{i}" for i in range(t.arity))
            for key in work.held.get(t.n, ()):
                _sort(work.store, t, one, key)
        work.held.clear()

    def learn(self, work: Work, answer: Answer) -> None:
        """What leaves is noted first: a unique value that it holds is free then."""
        for t in self.tables:
            for keys in _batches(work.store, f"SELECT {t.key_columns} FROM {_left(t)}"):
                learn_group(work, Group(t.n, "D", [], keys))
        for t in self.tables:
            names = ", ".join([t.keys_of("f"), *(f"f.{name}" for name in t.value_names)])
            fresh = f"{_differ(t)} d CROSS JOIN {FRESH}.{t.name} f WHERE {t.row_key('f', 'd')}"
            for rows in _batches(work.store, f"SELECT {names} FROM {fresh}"):
                group = Group(t.n, "U", list(t.values), rows)
                note_own_values(work, group, self.adopted.get(t.n, ()))
                learn_group(work, group)

    def advance(self, work: Work, answer: Answer) -> None:
        """The watermark last."""
        store = work.store
        clear_stage(store)
        store.advance(self.after.watermark or "", self.after.hlc, self.after.watermark)
        store.set_state(recovery=None, last_sync=store.utc())


def _batches(store: Store, sql: str) -> Iterator[list[list[Value]]]:
    with closing(store.batches(sql, size=BATCH)) as batches:
        for rows in batches:
            yield [list(row) for row in rows]


def _sort(store: Store, t: Statements, keys: str, parameters: Key) -> None:
    """Put these keys (a query for k0, k1, ...) among those to learn or among those the hub does not have."""
    there = f"EXISTS (SELECT 1 FROM {FRESH}.{t.name} f WHERE {t.row_key('f', 'x')})"
    for name, condition in ((_differ(t), there), (_left(t), f"NOT {there}")):
        store.execute(
            f"INSERT OR IGNORE INTO {name} SELECT {t.key_columns} FROM ({keys}) x WHERE {condition}",
            parameters,
        )
