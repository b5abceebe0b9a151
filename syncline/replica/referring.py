"""Foreign keys that a table comes to have later: to and from tables that come, or take part again (while such
a table took no part the others did without them, `migrate`, and a file that was filled meanwhile never had
them), and those that were postponed (`replica.postponed`).
"""

from __future__ import annotations

from functools import partial

from syncline.model.naming import folded
from syncline.model.schema import ForeignKey
from syncline.replica.ddl import carried, foreign_key
from syncline.replica.device import Device
from syncline.replica.outside import outward
from syncline.replica.postponed import called, has_key, is_possible, note_postponed
from syncline.replica.redefine import redefine
from syncline.replica.statements import Statements
from syncline.sqlitekit.definition import with_constraint, without_foreign_key


def refer(device: Device, fresh: frozenset[int]) -> None:
    """Give the file the foreign keys of its schema to and from these tables, by number, that it lacks, and
    those that were postponed and can be had now. Inside a transaction, when the indexes are made.

    One whose parent columns are not unique in this file is postponed. Rows that have no parent are not looked
    for; those of the centre have one, and edits that the device has not sent are judged by the centre. Tables
    that the application made and named are its own: they get those alone that came with a column.
    """
    if not device.store.state().chosen:
        present = {t.table.name: t for t in device.tables.values()}
        for t in present.values():
            for key in carried(t.table, device.schema):
                parent = present.get(key.parent)
                if parent is None or fresh.isdisjoint((t.n, parent.n)):
                    continue
                if not has_key(device.store, t.table, key):
                    note_postponed(device.store, t.table, key)
    make_postponed(device)


def make_postponed(device: Device) -> list[str]:
    """Make the foreign keys that were postponed and can be had now, and say which. Inside a transaction."""
    store, made = device.store, list[str]()
    chosen = store.state().chosen
    for n, what in store.rows("SELECT n, what FROM _sync_reference"):
        t = device.tables.get(n)
        if t is None:
            if n not in device.tracked:
                store.execute("DELETE FROM _sync_reference WHERE n = ?", (n,))
            continue
        for key in _of(t, device, what):
            if is_possible(store, key):
                if not chosen:
                    _let_go(device, t, key)
                text = foreign_key(key, deferred=t.table.ddl is None)
                redefine(store, t.table.name, partial(with_constraint, constraint=text))
                made.append(f"{t.table.name} {called(key)}")
        if not _of(t, device, what):
            store.execute("DELETE FROM _sync_reference WHERE n = ? AND what = ?", (n, what))
    return made


def _of(t: Statements, device: Device, what: str) -> list[ForeignKey]:
    """The foreign keys of these columns, by number, that the table lacks."""
    names = {str(column.number): column.name for column in t.table.columns}
    columns = tuple(names.get(number, "") for number in what.split(","))
    keys = carried(t.table, device.schema)
    return [key for key in keys if key.columns == columns and not has_key(device.store, t.table, key)]


def _let_go(device: Device, t: Statements, key: ForeignKey) -> None:
    """Drop foreign keys of the same columns to tables that take no part: they followed such a table when the
    application renamed it, and the table that is meant is here now."""
    for one in outward(device, t):
        if [folded(name) for name in one.foreign.columns] == [folded(name) for name in key.columns]:
            redefine(device.store, t.table.name, partial(without_foreign_key, columns=key.columns))
