"""`upgrade`: the file takes on the names that the hub has now, and lets go of what the hub has no more.

Until the application asks for it, its SQL goes on with the names it knows. One transaction, without the hub.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from syncline.errors import StoreError, StoreObstacle, UsageError
from syncline.model.naming import folded
from syncline.model.schema import Schema
from syncline.replica import capture
from syncline.replica.device import Device
from syncline.replica.indexes import columns_of
from syncline.replica.made import drop_unwanted, make, missing
from syncline.replica.names import (
    Names,
    Retired,
    RetiredColumn,
    differing,
    localized,
    renumber,
    written_names,
    written_retired,
)
from syncline.replica.noticed import as_named_now, refuse_renamed
from syncline.replica.plan import tables_in
from syncline.replica.postponed import called, needing, postpone_mismatched
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
    stay = staying(device)
    dropped, names = _retired(device, stay), _names(device, stay)
    goal = localized(device.hub, names)
    tables, columns = renamed(device, goal)
    changed = [t for t in device.tables.values() if t.table.name in {*tables, *columns, *dropped}]
    for t in changed:
        capture.remove_triggers(store, t)
    with _explained():
        for name, gone in dropped.items():
            for column in gone:
                store.execute(f"ALTER TABLE {quote(name)} DROP COLUMN {quote(column)}")
        rename(store, before, goal, [t.n for t in device.tables.values()])
    left = Retired(device.retired.tables, _without(device, dropped), device.retired.changed)
    store.set_state(names=written_names(names), retired=written_retired(left))
    renumber(store, {n: device.hub.by_number[n].name for n in device.tables})
    device.reload()
    indexes = [index.name for index in missing(device) if make(store, index)]
    postpone_mismatched(store, device.tables.values())
    keys = make_postponed(device)
    for t in device.tables.values():
        if capture.is_stale(store, t):
            capture.install(store, t)
    return UpgradeReport(tables, columns, dropped, tuple(indexes), tuple(keys), _said(stay))


def _without(device: Device, dropped: Mapping[str, Sequence[str]]) -> dict[int, tuple[RetiredColumn, ...]]:
    """The retired columns that are still there."""
    left = {}
    for n, retired in device.retired.columns.items():
        gone = dropped.get(device.tables[n].table.name, ()) if n in device.tables else ()
        kept = tuple(one for one in retired if one.name not in gone)
        if kept:
            left[n] = kept
    return left


def _retired(device: Device, stay: Mapping[int, Staying]) -> dict[str, tuple[str, ...]]:
    """The columns to drop, by table; without those that must stay."""
    found = {}
    for n, t in device.tables.items():
        present = columns_of(device.store, t.table.name).keys() - (stay[n].columns if n in stay else {})
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


@dataclass(frozen=True, slots=True)
class Staying:
    """What an upgrade must leave of one table: the `columns` that the centre has dropped, with the reason,
    and the names of others by number, as one that stays has the name that they are to have."""

    table: str
    columns: Mapping[str, str]
    names: Mapping[int, str]


def staying(device: Device) -> dict[int, Staying]:
    """What an upgrade would leave now, by number of the table: the columns that a UNIQUE of the table has,
    which SQLite keeps, or a unique index that is needed."""
    found = {}
    for n, t in device.tables.items():
        retired = {one.name for one in device.retired.columns.get(n, ())}
        bound = _bound(device.store, t) if retired else {}
        columns = {name: why for name, why in bound.items() if name in retired}
        if columns:
            found[n] = Staying(t.table.name, columns, _held_up(device, t, columns))
    return found


def _held_up(device: Device, t: Statements, columns: Collection[str]) -> dict[int, str]:
    """The columns of a table that cannot have the centre's name as long as these stay, by number."""
    wanted = {c.number: folded(c.name) for c in device.hub.by_number[t.n].columns}
    waiting = {c.number: c.name for c in t.table.columns if wanted[c.number] != folded(c.name)}
    taken, found = set(map(folded, columns)), dict[int, str]()
    while held := {number: name for number, name in waiting.items() if wanted[number] in taken}:
        found |= held
        taken |= set(map(folded, held.values()))
        waiting = {number: name for number, name in waiting.items() if number not in held}
    return found


def _names(device: Device, stay: Mapping[int, Staying]) -> Names:
    """The names of this file after the upgrade: what cannot take part stays as it is, too."""
    aside = {n: t.table for n, t in device.aside.items()}
    own = differing(
        device.hub,
        {n: table.name for n, table in aside.items()},
        {n: {c.number: c.name for c in table.columns} for n, table in aside.items()},
    )
    return Names(own.tables, {**own.columns, **{n: one.names for n, one in stay.items() if one.names}})


def _said(stay: Mapping[int, Staying]) -> dict[str, dict[str, str]]:
    said = {one.table: dict(one.columns) for one in stay.values()}
    for one in stay.values():
        said[one.table].update(dict.fromkeys(one.names.values(), "the name that it is to have is not free"))
    return said


def _bound(store: Store, t: Statements) -> dict[str, str]:
    """The columns of UNIQUE constraints that stand in the CREATE TABLE, and of unique indexes that a foreign
    key of the file needs, with the reason."""
    found: dict[str, str] = {}
    for _, index, _, origin, *_ in store.described(f"PRAGMA index_list({t.name})"):
        why = "a UNIQUE inside the CREATE TABLE has it" if origin == "u" else ""
        for table, key in () if why else needing(store, index):
            why = f"the foreign key of {table} {called(key)} needs its unique index {index}"
        for _, _, name in store.described(f"PRAGMA index_info({quote(index)})") if why else ():
            found.setdefault(name, why)
    return found


def upcoming(device: Device) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """The names that an upgrade would give now, as `renamed` tells them."""
    return renamed(device, localized(device.hub, _names(device, staying(device))))


def renamed(device: Device, goal: Schema) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """The names of tables in `goal`, and of columns by the table's present name, where they are others."""
    tables, columns = {}, {}
    for t in device.tables.values():
        hub = goal.by_number[t.n]
        if hub.name != t.table.name:
            tables[t.table.name] = hub.name
        theirs = {column.number: column.name for column in hub.columns}
        names = {c.name: theirs[c.number] for c in t.table.columns if theirs[c.number] != c.name}
        if names:
            columns[t.table.name] = names
    return tables, columns


# Renaming ------------------------------------------------------------------------------------------------


def rename(store: Store, before: Schema, after: Schema, tables: Sequence[int]) -> None:
    """Give these tables (by number) and their columns the names of `after`. UsageError `name_taken` if a
    table or column has one of them that is none of these. Inside a transaction."""
    for n in tables:
        wanted = {column.number: column.name for column in after.by_number[n].columns}
        table = before.by_number[n].name
        moves = {c.name: wanted[c.number] for c in before.by_number[n].columns if wanted[c.number] != c.name}
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
