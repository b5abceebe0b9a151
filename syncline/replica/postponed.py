"""Foreign keys of the hub's that this file cannot have now: what they point at is not unique here, or takes
no part.

SQLite refuses every INSERT and DELETE on both tables of such a one, the application's own too (law L13). So
it is left out, noted with the numbers of its columns, and made when it can be (`replica.referring`). `doctor`
says what it waits for. And an index that a foreign key of this file needs is not dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from syncline.model.naming import folded
from syncline.model.schema import ForeignKey, TableSchema
from syncline.replica.redefine import redefine
from syncline.replica.statements import Statements
from syncline.replica.store import Store
from syncline.sqlitekit.definition import to_table, without_foreign_key
from syncline.sqlitekit.tables import is_referable, read_foreign_keys, table_names


def is_possible(store: Store, key: ForeignKey) -> bool:
    """Whether the file can have a foreign key of the hub's: its parent takes part, and what it points at is
    unique here."""
    return folded(key.parent) in map(folded, store.numbers()) and is_referable(store.described, key)


def called(key: ForeignKey) -> str:
    """A foreign key in words, without the table that it is of."""
    theirs = f" ({', '.join(key.parent_columns)})" if key.parent_columns else ""
    return f"({', '.join(key.columns)}) to {key.parent}{theirs}"


def note_postponed(store: Store, table: TableSchema, key: ForeignKey) -> None:
    """Note that the table has this foreign key not yet. Inside a transaction."""
    numbers = {folded(column.name): str(column.number) for column in table.columns}
    what = ",".join(numbers[folded(name)] for name in key.columns)
    store.execute("INSERT OR IGNORE INTO _sync_reference (n, what) VALUES (?, ?)", (table.number, what))


def postponed(store: Store, table: TableSchema) -> list[ForeignKey]:
    """The foreign keys of its schema that the table has not yet."""
    noted = {what for (what,) in store.rows("SELECT what FROM _sync_reference WHERE n = ?", (table.number,))}
    if not noted:
        return []
    numbers = {column.name: str(column.number) for column in table.columns}
    keys = [key for key in table.foreign_keys if ",".join(numbers[name] for name in key.columns) in noted]
    return [key for key in keys if not has_key(store, table, key)]


def has_key(store: Store, table: TableSchema, wanted: ForeignKey) -> bool:
    """Whether the table has a foreign key of these columns to that parent."""
    return any(_is_same(one, wanted) for one in read_foreign_keys(store.described, table.name))


def _is_same(one: ForeignKey, other: ForeignKey) -> bool:
    def told(key: ForeignKey) -> tuple[list[str], str]:
        return [folded(name) for name in key.columns], folded(key.parent)

    return told(one) == told(other)


def is_of(table: TableSchema, key: ForeignKey) -> bool:
    """Whether the schema of a table has a foreign key of these columns to that parent."""
    return any(_is_same(key, one) for one in table.foreign_keys)


def postpone(store: Store, table: TableSchema) -> None:
    """Take the foreign keys out of a table that was just made which the file cannot have yet, and note them.
    Inside a transaction."""
    for key in read_foreign_keys(store.described, table.name):
        if not is_possible(store, key):
            _take_out(store, table, key)


def postpone_mismatched(store: Store, tables: Iterable[Statements]) -> None:
    """Take the hub's foreign keys out of tables that Syncline made, and note them, for which SQLite refuses
    writes by now. Inside a transaction."""
    for t in tables if not store.state().chosen else ():
        for key in mismatched(store, t.table.name):
            if is_of(t.table, key):
                _take_out(store, t.table, key)


def _take_out(store: Store, table: TableSchema, key: ForeignKey) -> None:
    leads = to_table(key.parent)
    redefine(store, table.name, partial(without_foreign_key, columns=key.columns, leads=leads))
    note_postponed(store, table, key)


def mismatched(store: Store, table: str) -> list[ForeignKey]:
    """The foreign keys that a table has for which SQLite refuses writes."""
    keys = read_foreign_keys(store.described, table)
    return [key for key in keys if not is_referable(store.described, key)]


def needing(store: Store, index: str) -> Iterator[tuple[str, ForeignKey]]:
    """The foreign keys of the file, with the tables they are of, that this index makes possible."""
    on = store.row("SELECT tbl_name FROM sqlite_master WHERE type = 'index' AND name = ?", (index,))
    for name, ddl in table_names(store.described).items() if on else ():
        if "references" not in ddl.lower():
            continue
        for key in read_foreign_keys(store.described, name):
            if on and folded(key.parent) == folded(on[0]) and is_referable(store.described, key):
                if not is_referable(store.described, key, without=index):
                    yield name, key
