"""The hub's schema as it arrives, checked before anything is made of it: it comes from a network.

Malformed names table and column. Texts that end in a statement are read as data (`sqlitekit.described`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from syncline.errors import Malformed
from syncline.model.masks import words_for
from syncline.model.schema import MOST_COLUMNS, ColumnSchema, ForeignKey, Schema, TableSchema, from_plain
from syncline.protocol.messages import SchemaAnswer
from syncline.replica.answers import REMEDY
from syncline.sqlitekit.acceptable import check_names, check_table
from syncline.sqlitekit.described import NoDefinition

TABLES = 5_000
"""How many tables there may be: more than any database has."""

WIDEST = MOST_COLUMNS + words_for(MOST_COLUMNS)
"""How many columns the change log of a table may have beside its own: those of the table, and one for each 62
numbers that a mask reaches to."""

NUMBER = 1 << 31
"""Numbers of tables and columns are below this."""

_ACTIONS = frozenset({"NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT"})


def read_schema(answer: SchemaAnswer) -> Schema:
    """The schema of an answer. Malformed."""
    try:
        _check_shape(answer.tables)
        schema = from_plain({"tables": answer.tables, "used": answer.used})
    except (TypeError, KeyError, ValueError, AttributeError, RecursionError) as error:
        raise Malformed(f"the hub's schema cannot be read: {type(error).__name__}", remedy=REMEDY) from error
    if not 0 <= answer.used <= NUMBER:
        raise _wrong("it has too many tables")
    _check_distinct((table.number for table in schema.tables), "numbers of tables")
    try:
        check_names((table.name for table in schema.tables), "one of the tables")
    except NoDefinition as error:
        raise _wrong(str(error)) from error
    by_name = {table.name: table for table in schema.tables}
    for table in schema.tables:
        try:
            _check_table(table, by_name)
        except NoDefinition as error:
            raise _wrong(f"table {table.name}: {error}") from error
    return schema


def _check_shape(tables: Any) -> None:
    """TypeError unless everything has the type that the records say; Malformed if there is too much of it."""
    if len(tables) > TABLES:
        raise _wrong("it has too many tables")
    for table in tables:
        _check_fields(table, TableSchema)
        if not 1 <= len(table["columns"]) <= MOST_COLUMNS:
            raise _wrong(f"a table has {len(table['columns'])} columns; there may be 1 to {MOST_COLUMNS}")
        for column in table["columns"]:
            _check_fields(column, ColumnSchema)
        keys = [*table["foreign_keys"], *table.get("unchecked", ())]
        for key in keys:
            _check_fields(key, ForeignKey)
        for names in (table["key"], table["indexes"], *table["uniques"]):
            _check_texts(names)
        for key in keys:
            _check_texts(key["columns"])
            _check_texts(key["parent_columns"])


_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "bool": (bool,),
    "int": (int,),
    "str | None": (str, type(None)),
}
"""What a field of a record may hold, by how its type is written; what is not here is a list."""


def _check_fields(plain: Any, record: type[ColumnSchema] | type[ForeignKey] | type[TableSchema]) -> None:
    known = {one.name: str(one.type) for one in fields(record) if one.init}
    if not isinstance(plain, dict) or not plain.keys() <= known.keys():
        raise TypeError("unknown fields")
    for name, value in plain.items():
        kinds = _KINDS.get(known[name], (list, tuple))
        if not isinstance(value, kinds) or (kinds == (int,) and isinstance(value, bool)):
            raise TypeError(f"{name} is of another type")


def _check_texts(names: Any) -> None:
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise TypeError("names are texts")


def _check_table(table: TableSchema, by_name: dict[str, TableSchema]) -> None:
    columns = {column.name for column in table.columns}
    if not 0 <= table.number < NUMBER or not 0 <= table.used <= NUMBER:
        raise NoDefinition("its number cannot be")
    if len(columns) + words_for(table.bits) > WIDEST:
        raise NoDefinition("the numbers of its columns are higher than a change log can hold")
    _check_distinct((column.number for column in table.columns), f"numbers of columns of {table.name}")
    for column in table.columns:
        if not 0 <= column.number < NUMBER:
            raise NoDefinition(f"the number of column {column.name} cannot be")
    check_table(table)
    for key in table.foreign_keys:
        _check_foreign_key(key, columns, by_name)


def _check_foreign_key(key: ForeignKey, columns: Iterable[str], by_name: dict[str, TableSchema]) -> None:
    parent = by_name.get(key.parent)
    known = set(columns) >= set(key.columns) and 0 < len(key.columns) == len(key.parent_columns)
    if parent is not None:
        known = known and {column.name for column in parent.columns} >= set(key.parent_columns)
    if not known or not {key.on_delete, key.on_update} <= _ACTIONS:
        raise NoDefinition("a foreign key names columns or actions there are not")


def _check_distinct(values: Iterable[object], what: str) -> None:
    found = list(values)
    if len(set(found)) < len(found):
        raise _wrong(f"two of {what} are the same")


def _wrong(what: str) -> Malformed:
    return Malformed(f"the hub's schema cannot be: {what}", remedy=REMEDY)
