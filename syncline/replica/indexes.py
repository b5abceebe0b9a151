"""Columns and unique indexes of a device table, read from the file itself: they may have been changed.

Capture must know the unique indexes: which other row an insert would replace.
"""

from __future__ import annotations

from syncline.model.forms import FORMS, KINDS, default_form, formed
from syncline.model.naming import folded
from syncline.model.schema import ColumnSchema, TableSchema
from syncline.replica.affinity import carries
from syncline.replica.store import Store, quote
from syncline.sqlitekit.tables import Column, Unique, has_rowid, read_columns, read_uniques


def columns_of(store: Store, table: str) -> dict[str, Column]:
    """The columns that the table has in this file, by name. Empty if there is no such table."""
    return {column.name: column for column in read_columns(store.described, table)}


def uniques_of(store: Store, table: str) -> list[Unique]:
    """The unique indexes of the table in this file, besides that of the primary key.

    The condition of a partial index is to be left out: whoever asks gets rows that may be hit, not only those
    that are.
    """
    return [unique for unique in read_uniques(store.described, table) if not unique.primary]


ROWIDS = ("rowid", "oid", "_rowid_")
"""Names by which SQLite knows a row's number, where no column takes them (sqlite.org/rowidtable.html)."""


def rowid_of(store: Store, table: str) -> str | None:
    """A name for the row's number, if the table has one besides its key; None if the key is that number, in a
    table without one, and where columns take all names."""
    key = next((unique.name for unique in read_uniques(store.described, table) if unique.primary), None)
    if key is None or not has_rowid(store.described, key):
        return None
    taken = {folded(name) for name in columns_of(store, table)}
    return next((name for name in ROWIDS if name not in taken), None)


def misfits(store: Store, table: TableSchema) -> list[str]:
    """Why the table of this file cannot take part as the hub's `table`, as sentences; empty if it can."""
    present = columns_of(store, table.name)
    if not present:
        return [f"{store.path} has no table {table.name}"]
    missing = [column.name for column in table.columns if column.name not in present]
    wrong = [f"table {table.name}: this file lacks the hub's columns {', '.join(missing)}"] if missing else []
    if not has_key(store, table):
        wrong.append(
            f"table {table.name}: the key is {', '.join(table.key)} at the hub"
            f" and {', '.join(_primary_key(store, table.name)) or 'none'} in this file"
        )
    for column in table.columns:
        here = present.get(column.name)
        if here is not None and here.generated:
            wrong.append(f"table {table.name}: the column {column.name} is generated in this file")
        elif here is not None and not carries(column.type, column.declared, here.declared, column.form):
            wrong.append(
                f"table {table.name}: the column {column.name} is"
                f" {column.central or column.declared or 'without a type'} at the hub and"
                f" {here.declared or 'without a type'} in this file, which would change its values; declare"
                f" it {column.declared or 'without a type'}{_or_form(column, here.declared)}"
            )
    return wrong


def is_as_known(column: ColumnSchema, here: Column) -> bool:
    """Whether a column of this file holds the values of one that it was made for."""
    return not here.generated and carries(column.type, column.declared, here.declared, column.form)


def _or_form(column: ColumnSchema, here: str) -> str:
    """The form in which a column declared like this would keep the values, as the end of a sentence."""
    kind = KINDS.get(column.type, "")
    for form in FORMS.get(kind, ()):
        as_asked = formed(column, form) if form != default_form(column.type) else column
        if form != column.form and carries(column.type, as_asked.declared, here, form):
            return f", or ask for the form that it can hold: --forms {kind}={form}"
    return ""


def has_key(store: Store, table: TableSchema) -> bool:
    """Whether the table of this file has the hub's key: as its primary key, or as a unique index."""
    keys = [_primary_key(store, table.name)]
    for unique in uniques_of(store, table.name):
        if not unique.partial and all(collation == "BINARY" for _, collation in unique.columns):
            keys.append(tuple(name or "" for name, _ in unique.columns))
    return any(set(key) == set(table.key) for key in keys)


def _primary_key(store: Store, table: str) -> tuple[str, ...]:
    parts = store.described(f"PRAGMA table_info({quote(table)})")
    return tuple(name for _, name, *_, place in sorted(parts, key=lambda part: part[-1]) if place)
