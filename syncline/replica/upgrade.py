"""`upgrade`: the file takes on the names that the hub has now, and lets go of what the hub has no more.

Until the application asks for it, its SQL goes on with the names it knows. One transaction, without the hub.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from syncline.errors import StoreError, StoreObstacle, UsageError
from syncline.model.naming import folded
from syncline.model.schema import Schema
from syncline.replica import capture
from syncline.replica.device import Device
from syncline.replica.indexes import columns_of
from syncline.replica.made import drop_unwanted, make, missing
from syncline.replica.names import (
    Retired,
    RetiredColumn,
    differing,
    renumber,
    written_names,
    written_retired,
)
from syncline.replica.noticed import as_named_now, refuse_renamed
from syncline.replica.plan import tables_in
from syncline.replica.postponed import needing, postpone_mismatched
from syncline.replica.referring import make_postponed
from syncline.replica.reports import UpgradeReport
from syncline.replica.statements import Statements
from syncline.replica.store import LIBRARY, Store, quote

DROPS_COLUMNS = (3, 35, 0)
"""The SQLite that has ALTER TABLE ... DROP COLUMN."""

_ASIDE = "_sync_renaming_{}"
"""What is called like another thing is about to be called waits under such a name."""


class _RolledBack(Exception):
    """Leaves a transaction without keeping what was done in it."""


def upgrade(device: Device) -> UpgradeReport:
    """Do it. UsageError, and nothing is changed, if a name is taken or something else stands in the way."""
    return as_named_now(device, lambda: _upgraded(device))


def _upgraded(device: Device) -> UpgradeReport:
    with device.restored(), device.store.transaction():
        device.check()
        refuse_renamed(device)
        return _upgrade(device)


def planned_upgrade(device: Device) -> UpgradeReport:
    """What `upgrade` would do now, and would refuse. Changes nothing."""
    report = UpgradeReport({}, {}, {}, ())
    try:
        with device.restored(), device.store.transaction():
            device.check()
            report = _upgrade(device)
            raise _RolledBack
    except _RolledBack:
        return report


def _upgrade(device: Device) -> UpgradeReport:
    store, before = device.store, device.schema
    drop_unwanted(store, device.hub)
    dropped = _retired(device)
    tables, columns = renamed(device)
    changed = [t for t in device.tables.values() if t.table.name in {*tables, *columns, *dropped}]
    for t in changed:
        capture.remove_triggers(store, t)
    with _explained():
        for name, gone in dropped.items():
            for column in gone:
                store.execute(f"ALTER TABLE {quote(name)} DROP COLUMN {quote(column)}")
        rename(store, before, device.hub, [t.n for t in device.tables.values()])
    left = Retired(device.retired.tables, _without(device, dropped), device.retired.changed)
    aside = {n: t.table for n, t in device.aside.items()}
    names = differing(  # what cannot take part stays as it is
        device.hub,
        {n: table.name for n, table in aside.items()},
        {n: {c.number: c.name for c in table.columns} for n, table in aside.items()},
    )
    store.set_state(names=written_names(names), retired=written_retired(left))
    renumber(store, {n: device.hub.by_number[n].name for n in device.tables})
    device.reload()
    indexes = [index.name for index in missing(device) if make(store, index)]
    postpone_mismatched(store, device.tables.values())
    keys = make_postponed(device)
    for t in device.tables.values():
        if capture.is_stale(store, t):
            capture.install(store, t)
    return UpgradeReport(tables, columns, dropped, tuple(indexes), tuple(keys))


def _without(device: Device, dropped: Mapping[str, Sequence[str]]) -> dict[int, tuple[RetiredColumn, ...]]:
    """The retired columns that are still there."""
    left = {}
    for n, retired in device.retired.columns.items():
        gone = dropped.get(device.tables[n].table.name, ()) if n in device.tables else ()
        kept = tuple(one for one in retired if one.name not in gone)
        if kept:
            left[n] = kept
    return left


def _retired(device: Device) -> dict[str, tuple[str, ...]]:
    """The columns to drop, by table; without those that a UNIQUE of the table has, which SQLite
    keeps, or a unique index that is needed."""
    found = {}
    for n, t in device.tables.items():
        present = columns_of(device.store, t.table.name).keys() - _bound(device.store, t)
        gone = tuple(one.name for one in device.retired.columns.get(n, ()) if one.name in present)
        if gone:
            found[t.table.name] = gone
    if found and LIBRARY < DROPS_COLUMNS:
        raise UsageError(
            f"SQLite {'.'.join(map(str, LIBRARY))} cannot drop a column",
            code="sqlite_too_old",
            remedy=f"Use SQLite {'.'.join(map(str, DROPS_COLUMNS))} or newer for this verb.",
        )
    return found


def _bound(store: Store, t: Statements) -> set[str]:
    """The columns of UNIQUE constraints that stand in the CREATE TABLE, and of unique indexes that a foreign
    key of the file needs."""
    found: set[str] = set()
    for _, index, _, origin, *_ in store.described(f"PRAGMA index_list({t.name})"):
        if origin == "u" or any(needing(store, index)):
            found.update(name for _, _, name in store.described(f"PRAGMA index_info({quote(index)})"))
    return found


def renamed(device: Device) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """The centre's names of tables, and of columns by the table's present name, where they are others."""
    tables, columns = {}, {}
    for t in device.tables.values():
        hub = device.hub.by_number[t.n]
        if hub.name != t.table.name:
            tables[t.table.name] = hub.name
        called = {column.number: column.name for column in hub.columns}
        names = {c.name: called[c.number] for c in t.table.columns if called[c.number] != c.name}
        if names:
            columns[t.table.name] = names
    return tables, columns


# Renaming ------------------------------------------------------------------------------------------------


def rename(store: Store, before: Schema, after: Schema, tables: Sequence[int]) -> None:
    """Give these tables (by number) and their columns the names of `after`. UsageError `name_taken` if a
    table or column has one of them that is none of these. Inside a transaction."""
    for n in tables:
        called = {column.number: column.name for column in after.by_number[n].columns}
        table = before.by_number[n].name
        moves = {c.name: called[c.number] for c in before.by_number[n].columns if called[c.number] != c.name}
        present = {folded(name) for name in columns_of(store, table)}
        for old, new in _moves(moves, present, f"table {table}: the column"):
            store.execute(f"ALTER TABLE {quote(table)} RENAME COLUMN {quote(old)} TO {quote(new)}")
    pairs = ((before.by_number[n].name, after.by_number[n].name) for n in tables)
    moves = {old: new for old, new in pairs if old != new}
    for old, new in _moves(moves, tables_in(store), "the table"):
        store.execute(f"ALTER TABLE {quote(old)} RENAME TO {quote(new)}")


def _moves(moves: Mapping[str, str], present: set[str], what: str) -> Iterator[tuple[str, str]]:
    """Old and new names, step by step: first those are put aside whose new name another one still has, or
    they themselves in upper or lower case."""
    leaving = {folded(old) for old in moves}
    for old, new in moves.items():
        if folded(new) in present and folded(new) not in leaving:
            raise UsageError(
                f"{what} {old} is called {new} in the centre, and this file has another one of that name",
                code="name_taken",
                remedy="Rename or drop the one that is yours, then run: syncline upgrade FILE",
            )
    aside, free = {}, {}
    for number, (old, new) in enumerate(moves.items()):
        if folded(new) in leaving:
            aside[_ASIDE.format(number)] = new
            yield old, _ASIDE.format(number)
        else:
            free[old] = new
    yield from free.items()
    yield from aside.items()


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        if error.code not in (StoreError.code, StoreObstacle.code):
            raise
        raise UsageError(
            f"SQLite refuses: {error.detail}",
            code="upgrade_refused",
            remedy="Drop or correct the view, trigger, index or constraint that names it, then upgrade again"
            " and make it anew; nothing was changed.",
        ) from error
