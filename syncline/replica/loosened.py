"""What the centre asks of a row no longer, this file does not ask either: NOT NULL, foreign keys, and the
unique indexes that Syncline has made. One way for a table that goes on, and for one that takes part again
after it did not for a while.

What the application has put into its tables beside that is its own and stays (docs/device.md).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial

from syncline.model.naming import folded
from syncline.model.schema import ColumnSchema, ForeignKey, Schema, TableSchema
from syncline.replica.ddl import carried
from syncline.replica.indexes import columns_of
from syncline.replica.made import take_over
from syncline.replica.names import Retired, latest
from syncline.replica.postponed import has_key, note_postponed
from syncline.replica.redefine import redefine
from syncline.replica.store import Store
from syncline.sqlitekit.definition import without_foreign_key, without_not_null
from syncline.sqlitekit.tables import read_foreign_keys, table_names

Names = Mapping[str, str]


def loosen(store: Store, former: TableSchema, table: TableSchema, schema: Schema) -> None:
    """Bring a table of the file from what `former` asked of a row to what `table` does, which is one of
    `schema`. Names are those of the file. Inside a transaction.

    Columns that only `former` has must have a value no longer. A foreign key that leads elsewhere now is
    noted, to be made when it can be."""
    now = {folded(column.name): column for column in table.columns}
    for column in former.columns:
        if _is_required(column) and not (
            folded(column.name) in now and _is_required(now[folded(column.name)])
        ):
            redefine(store, table.name, partial(without_not_null, column=column.name))
    wanted = carried(table, schema)
    for here in list(read_foreign_keys(store.described, table.name)):
        if _is_among(store, here, former.foreign_keys) and not _is_among(store, here, wanted):
            leads = partial(_leads, store, here)
            redefine(store, table.name, partial(without_foreign_key, columns=here.columns, leads=leads))
            for one in wanted if not store.state().chosen else ():
                if set(map(folded, one.columns)) == set(map(folded, here.columns)):
                    if not has_key(store, table, one):
                        note_postponed(store, table, one)


def loosen_again(store: Store, retired: Retired, hub: Schema, local: Schema, n: int) -> None:
    """`loosen` a table that takes part again, by what was asked of its rows when it took part last. `local`
    is the hub's schema with the names of this file. Inside a transaction."""
    table = local.by_number[n]
    known = latest({m: one for m, one in retired.tables.items() if m != n}, table.name)
    if known is not None:
        called = _as_called_now(store, known)
        loosen(store, called, table, local)
        take_over(store, known, called, hub, local, n)


def renamed(table: TableSchema, columns: Names, parents: Names) -> TableSchema:
    """The table with other names of some of its columns, and of tables that its foreign keys lead to."""
    keys = (
        replace(
            key,
            columns=tuple(columns.get(name, name) for name in key.columns),
            parent=parents.get(key.parent, key.parent),
        )
        for key in table.foreign_keys
    )
    return replace(
        table,
        columns=tuple(replace(one, name=columns.get(one.name, one.name)) for one in table.columns),
        key=tuple(columns.get(name, name) for name in table.key),
        foreign_keys=tuple(keys),
        uniques=tuple(tuple(columns.get(name, name) for name in unique) for unique in table.uniques),
    )


def _as_called_now(store: Store, former: TableSchema) -> TableSchema:
    """A table that took part before, with the names that the application may have given it meanwhile: a
    column is told by its place, a parent by the columns that lead to it."""
    present, known = list(columns_of(store, former.name)), {one.name for one in former.columns}
    pairs = zip((one.name for one in former.columns), present, strict=False)
    columns = {name: own for name, own in pairs if name not in present and own not in known}
    there = {folded(name) for name in table_names(store.described)}
    parents = {}
    for key in former.foreign_keys if not there.issuperset(_parents(former)) else ():
        now = [folded(columns.get(name, name)) for name in key.columns]
        for here in read_foreign_keys(store.described, former.name):
            if folded(key.parent) not in there and [folded(name) for name in here.columns] == now:
                parents[key.parent] = here.parent
    return renamed(former, columns, parents)


def _parents(table: TableSchema) -> set[str]:
    return {folded(key.parent) for key in table.foreign_keys}


def _is_required(column: ColumnSchema) -> bool:
    return not (column.nullable or column.computed)


def _is_among(store: Store, here: ForeignKey, keys: Collection[ForeignKey]) -> bool:
    """Whether a foreign key of the file is one of these, whatever it does when its parent goes."""
    return any(
        folded(here.parent) == folded(key.parent) and _pairs(store, here, key) == _pairs(store, key, key)
        for key in keys
    )


def _pairs(store: Store, key: ForeignKey, other: ForeignKey) -> Collection[object]:
    """Which column stands for which, in whatever order. Without the parent's columns where these are called
    otherwise by now than the `other` knows."""
    own = [folded(name) for name in key.columns]
    keys = sorted((one.key, folded(one.name)) for one in columns_of(store, other.parent).values())
    theirs = [folded(name) for name in key.parent_columns] or [name for place, name in keys if place]
    known = {folded(name) for name in other.parent_columns} <= {name for _, name in keys}
    return set(zip(own, theirs, strict=False)) if known and len(own) == len(theirs) else set(own)


def _leads(store: Store, here: ForeignKey, parent: str, theirs: tuple[str, ...]) -> bool:
    """Whether a foreign key leads where this one does, by the columns that its text names."""
    one = replace(here, parent=parent, parent_columns=theirs)
    return _is_among(store, one, [here])
