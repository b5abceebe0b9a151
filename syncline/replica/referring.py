"""Foreign keys to and from tables that come, or take part again: while such a table took no part the others
did without them (`migrate`), and a file that was filled meanwhile never had them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from syncline.model.naming import folded
from syncline.model.schema import ForeignKey, TableSchema
from syncline.replica.ddl import carried, foreign_key
from syncline.replica.device import Device
from syncline.replica.outside import outward
from syncline.replica.redefine import redefine
from syncline.replica.statements import Statements
from syncline.replica.store import Store
from syncline.sqlitekit.definition import with_constraint, without_foreign_key
from syncline.sqlitekit.tables import read_foreign_keys, read_uniques


def refer(device: Device, fresh: frozenset[int]) -> None:
    """Give the file the foreign keys of its schema to and from these tables, by number, that it lacks. Inside
    a transaction, when the indexes are made.

    One whose parent columns are not unique in this file is left out: SQLite would refuse every write.
    Rows that have no parent are not looked for; those of the centre have one, and edits that the device has
    not sent are judged by the centre. Tables that the application made and named are its own.
    """
    store, present = device.store, {t.table.name: t for t in device.tables.values()}
    if store.state().chosen:
        return
    for t in present.values():
        for key in carried(t.table, device.schema):
            parent = present.get(key.parent)
            if parent is None or fresh.isdisjoint((t.n, parent.n)):
                continue
            if not _has(store, t.table, key) and _is_unique(store, parent.table, key.parent_columns):
                _let_go(device, t, key)
                text = foreign_key(key, deferred=t.table.ddl is None)
                redefine(store, t.table.name, partial(with_constraint, constraint=text))


def _let_go(device: Device, t: Statements, key: ForeignKey) -> None:
    """Drop foreign keys of the same columns to tables that take no part: they followed such a table when the
    application renamed it, and the table that is meant is here now."""
    for one in outward(device, t):
        if [folded(name) for name in one.foreign.columns] == [folded(name) for name in key.columns]:
            redefine(device.store, t.table.name, partial(without_foreign_key, columns=key.columns))


def _has(store: Store, table: TableSchema, wanted: ForeignKey) -> bool:
    found = read_foreign_keys(store.described, table.name)
    return any(_folded(one) == _folded(wanted) for one in found)


def _folded(key: ForeignKey) -> tuple[Sequence[str], str]:
    return [folded(name) for name in key.columns], folded(key.parent)


def _is_unique(store: Store, table: TableSchema, columns: Sequence[str]) -> bool:
    rowid = len(columns) == 1 and tuple(columns) == table.key
    uniques = (unique.whole for unique in read_uniques(store.described, table.name))
    return rowid or any(set(unique) == set(columns) for unique in uniques)
