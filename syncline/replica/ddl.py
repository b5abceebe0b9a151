"""The tables of a device file, as SQL made from the hub's schema.

A table of an SQLite centre is made of the words of its own CREATE TABLE (`sqlitekit.described`). Any other
gets the declared types of the schema, its keys and its foreign keys, deferred so that the order within one
transaction is free (law L9). Indexes come after the rows, which is faster; those that a foreign key points at
cannot wait.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from syncline.model.naming import folded
from syncline.model.schema import ColumnSchema, ForeignKey, Schema, TableSchema
from syncline.replica.store import quote
from syncline.sqlitekit.definition import (
    Called,
    index_name,
    is_unique_index,
    names_column,
    renamed_index,
    renamed_table,
)
from syncline.sqlitekit.described import index_sql, table_sql


def create_table(table: TableSchema, schema: Schema) -> str:
    """The CREATE TABLE of one table."""
    return _create_table(table, schema) if table.ddl is None else table_sql(table.ddl, table.name)


def local_table(table: TableSchema, hub: Schema, local: Schema) -> str:
    """The CREATE TABLE of one table of `local`, the hub's schema with the names of a file."""
    theirs = hub.by_number[table.number]
    if table == theirs or table.ddl is None:
        return create_table(table, local)
    text = None
    if table.columns == theirs.columns:
        called = {folded(one.name): _called(one, local.by_number[one.number]) for one in hub.tables}
        text = renamed_table(table_sql(table.ddl, theirs.name), table.name, called)
    return _create_table(table, local) if text is None else text


def _called(theirs: TableSchema, own: TableSchema) -> Called:
    here = {column.number: column.name for column in own.columns}
    return Called(own.name, {folded(column.name): here[column.number] for column in theirs.columns})


def add_column(table: TableSchema, column: ColumnSchema, keys: Sequence[ForeignKey]) -> str:
    """The ALTER TABLE for a new column with these foreign keys, as much of it as SQLite allows there: a
    default that is a constant, NOT NULL only with one, and foreign keys only without. (`replica.defining`
    gives it any other default afterwards.)"""
    text = f"ALTER TABLE {quote(table.name)} ADD COLUMN {quote(column.name)} {column.declared}".rstrip()
    default = constant(column.default)
    if default is not None:
        text += f" DEFAULT {default}"
        if not (column.nullable or column.computed or default.upper() == "NULL"):
            text += " NOT NULL"
    else:
        text += "".join(f" {_references(key)}" for key in keys)
    return text


_CONSTANT = re.compile(r"NULL|TRUE|FALSE|[-+]?(\d+(\.\d*)?|\.\d+)(E[-+]?\d+)?|X?'([^']|'')*'", re.IGNORECASE)


def constant(default: str | None) -> str | None:
    """The default of a column without parentheses, if it is a constant; else None."""
    text = (default or "").strip()
    while text.startswith("(") and text.endswith(")"):
        text = text[1:-1].strip()
    return text if _CONSTANT.fullmatch(text) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """An index that a device has. `what` says by numbers which one it is, in every version of the schema.

    `verbatim` is the CREATE INDEX of an SQLite centre, whose names of columns are `called` here as they are.
    `inline`: a table that is made with it has it as a constraint.
    """

    table: int
    what: str
    name: str
    on: str
    columns: tuple[str, ...] = ()
    unique: bool = False
    inline: bool = False
    verbatim: str | None = None
    called: Mapping[str, str] = field(default_factory=dict)

    def sql(self, name: str) -> str:
        """The CREATE INDEX, under this name."""
        if self.verbatim is None:
            kind = "UNIQUE INDEX" if self.unique else "INDEX"
            return f"CREATE {kind} {quote(name)} ON {quote(self.on)} ({_names(self.columns)})"
        if name == self.name and all(own == quote(theirs) for theirs, own in self.called.items()):
            return self.verbatim
        called = {folded(theirs): own for theirs, own in self.called.items()}
        return renamed_index(self.verbatim, quote(name), quote(self.on), called)


def indexes(hub: Schema, local: Schema) -> list[Index]:
    """Every index of the hub's schema, with the names of `local`, the same schema as it is called here."""
    found: list[Index] = []
    names = _Names(local)
    for table in local.tables:
        theirs = hub.by_number[table.number]
        for text in (index_sql(text, theirs.name) for text in table.indexes):
            found.append(_verbatim(text, theirs, table))
        if table.ddl is None:
            found += _uniques(table, local, names) + _child_indexes(table, local, names)
    return found


def _verbatim(text: str, theirs: TableSchema, table: TableSchema) -> Index:
    called = {column.name: quote(own.name) for column, own in zip(theirs.columns, table.columns, strict=True)}
    if theirs.name != table.name:
        called[theirs.name] = quote(table.name)
    return Index(
        table=table.number,
        what=text,
        name=index_name(text),
        on=table.name,
        unique=is_unique_index(text),
        verbatim=text,
        called=called,
    )


class _Names:
    """Names for indexes. In SQLite they must differ, in more than case, from those of all other indexes and
    of all tables: `t` with `a_b` and `t_a` with `b` would have the same one."""

    def __init__(self, schema: Schema) -> None:
        self._taken = {folded(table.name) for table in schema.tables}

    def new(self, *parts: str) -> str:
        """A name of these parts; with a number if it is taken."""
        plain = name = "_".join(parts)
        for number in count(2):
            if folded(name) not in self._taken:
                break
            name = f"{plain}_{number}"
        self._taken.add(folded(name))
        return name


def _create_table(table: TableSchema, schema: Schema) -> str:
    rowid = len(table.keys) == 1 and table.keys[0].declared.upper() == "INTEGER"
    parts = [_column(table, column, rowid) for column in table.columns]
    if not rowid:
        parts.append(f"PRIMARY KEY ({_names(table.key)})")
    parts += [f"UNIQUE ({_names(unique)})" for unique in table.uniques if _is_inline(table, unique, schema)]
    parts += [foreign_key(key) for key in carried(table, schema)]
    body = ",\n    ".join(parts)
    return f"CREATE TABLE {quote(table.name)} (\n    {body}\n)"


def _column(table: TableSchema, column: ColumnSchema, rowid: bool) -> str:
    """A computed column may be NULL here: the hub fills it in."""
    in_key = column.name in table.key
    text = f"{quote(column.name)} {column.declared}".rstrip()
    if in_key and rowid:
        text += " PRIMARY KEY"
    if in_key or not (column.nullable or column.computed):
        text += " NOT NULL"
    if column.default is not None:
        text += f" DEFAULT ({column.default})"
    return text


def foreign_key(key: ForeignKey, *, deferred: bool = True) -> str:
    """A foreign key as a constraint of its table; one of an SQLite centre is not `deferred`."""
    text = f"FOREIGN KEY ({_names(key.columns)}) {_references(key)}"
    return text if deferred else text.removesuffix(_DEFERRED)


_DEFERRED = " DEFERRABLE INITIALLY DEFERRED"


def _references(key: ForeignKey) -> str:
    return (
        f"REFERENCES {quote(key.parent)} ({_names(key.parent_columns)})"
        f" ON DELETE {key.on_delete} ON UPDATE {key.on_update}{_DEFERRED}"
    )


def carried(table: TableSchema, schema: Schema) -> list[ForeignKey]:
    """The foreign keys whose parent takes part too."""
    names = {other.name for other in schema.tables}
    return [key for key in table.foreign_keys if key.parent in names]


def _is_inline(table: TableSchema, columns: Sequence[str], schema: Schema) -> bool:
    """Whether these columns are unique by the table itself: a foreign key points at them, or no index of an
    SQLite centre says so."""
    if table.ddl is None or _is_parent(table, columns, schema):
        return _is_parent(table, columns, schema)
    known = [text for text in table.indexes if is_unique_index(text)]
    return not any(all(names_column(text, name) for name in columns) for text in known)


def _is_parent(table: TableSchema, columns: Sequence[str], schema: Schema) -> bool:
    """Whether a foreign key points at these columns."""
    return any(
        key.parent == table.name and set(key.parent_columns) == set(columns)
        for child in schema.tables
        for key in child.foreign_keys
    )


def _uniques(table: TableSchema, schema: Schema, names: _Names) -> list[Index]:
    return [
        Index(
            table=table.number,
            what="unique " + _numbers(table, unique),
            name=names.new(table.name, *unique, "unique"),
            on=table.name,
            columns=unique,
            unique=True,
            inline=_is_parent(table, unique, schema),
        )
        for unique in table.uniques
    ]


def _child_indexes(table: TableSchema, schema: Schema, names: _Names) -> list[Index]:
    """One for every foreign key that has none: without it each delete of a parent reads all children."""
    present = [table.key, *table.uniques]
    return [
        Index(
            table=table.number,
            what="parent " + _numbers(table, columns),
            name=names.new(table.name, *columns, "parent"),
            on=table.name,
            columns=columns,
        )
        for columns in dict.fromkeys(key.columns for key in carried(table, schema))
        if not any(other[: len(columns)] == columns for other in present)
    ]


def _numbers(table: TableSchema, columns: Sequence[str]) -> str:
    return ",".join(str(table.column(name).number) for name in columns)


def _names(columns: Sequence[str]) -> str:
    return ", ".join(quote(name) for name in columns)
