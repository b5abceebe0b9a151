"""The tables that take part, in the portable form both sides agree on.

A row travels as a plain list: the key's values in the order of `key`, then the values of some of the
other columns. Those other columns are `TableSchema.values`; a column index on the wire and a bit of a
column mask both count in `values`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ColumnSchema:
    """One column.

    `type` is its portable type: integer, boolean, float, decimal, text, blob, timestamp, timestamptz, date,
    time, timetz, interval, uuid, json, enum; `any` for a SQLite column, carried as it is; `other` for a
    central type carried as its text. `declared` is the type written in the device's CREATE TABLE; `central`
    the central database's own name for the type (used in casts by its adapter, never by the device).
    `computed` columns are made by the central database: they travel to the device and never back.
    `increment` columns (their merge policy says so) travel to the hub as the difference, see
    `model.values.add`.
    """

    name: str
    type: str
    declared: str
    central: str = ""
    nullable: bool = True
    computed: bool = False
    increment: bool = False
    default: str | None = None
    """An SQL expression that SQLite understands, or None."""


@dataclass(frozen=True, slots=True)
class ForeignKey:
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    on_delete: str = "NO ACTION"
    on_update: str = "NO ACTION"
    deferrable: bool = False


@dataclass(frozen=True, slots=True)
class TableSchema:
    """One table. `columns` holds key columns too; generated columns of a SQLite table are left out.

    `ddl` is the verbatim CREATE TABLE when the central database is SQLite; the device then uses it.
    `name` is unique in a schema and is the table's name on the device; `central_schema` and
    `central_name` say where it lives in the central database.
    """

    name: str
    columns: tuple[ColumnSchema, ...]
    key: tuple[str, ...]
    foreign_keys: tuple[ForeignKey, ...] = ()
    uniques: tuple[tuple[str, ...], ...] = ()
    central_schema: str = ""
    central_name: str = ""
    ddl: str | None = None
    indexes: tuple[str, ...] = ()
    """Verbatim CREATE INDEX statements (SQLite centre only)."""
    exact: bool = True
    """False when what is stored can differ from what was sent (computed columns, scaled decimals,
    user triggers, ...): the hub then compares after writing and answers overrides."""
    keys: tuple[ColumnSchema, ...] = field(init=False)
    values: tuple[ColumnSchema, ...] = field(init=False)

    def __post_init__(self) -> None:
        by_name = {column.name: column for column in self.columns}
        object.__setattr__(self, "keys", tuple(by_name[name] for name in self.key))
        rest = tuple(column for column in self.columns if column.name not in self.key)
        object.__setattr__(self, "values", rest)

    @property
    def pushed(self) -> tuple[int, ...]:
        """Indices into `values` of the columns a device may write."""
        return tuple(i for i, column in enumerate(self.values) if not column.computed)

    @property
    def all_mask(self) -> int:
        """The mask of every column in `values`."""
        return (1 << len(self.values)) - 1

    def column(self, name: str) -> ColumnSchema:
        """Return the column called `name`; KeyError if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Schema:
    """All tables, in foreign-key order: parents before children as far as there is no cycle.

    A table's position here is its number on the wire.
    """

    tables: tuple[TableSchema, ...]
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        canonical = json.dumps(to_plain(self), sort_keys=True, separators=(",", ":"))
        object.__setattr__(self, "fingerprint", hashlib.sha256(canonical.encode()).hexdigest()[:32])

    def position(self, name: str) -> int:
        """Return the number of the table called `name`; KeyError if there is none."""
        for index, table in enumerate(self.tables):
            if table.name == name:
                return index
        raise KeyError(name)

    def table(self, name: str) -> TableSchema:
        return self.tables[self.position(name)]


def arrange(tables: Iterable[TableSchema]) -> Schema:
    """Return a schema with the tables in foreign-key order, ties by name. Deterministic.

    Cycles are broken at the table with the fewest parents still to come.
    """
    waiting = {table.name: table for table in sorted(tables, key=lambda t: t.name)}
    parents = {
        name: {fk.parent for fk in table.foreign_keys if fk.parent in waiting and fk.parent != name}
        for name, table in waiting.items()
    }
    ordered: list[TableSchema] = []
    while waiting:
        name = min(waiting, key=lambda n: (len(parents[n] & waiting.keys()), n))
        ordered.append(waiting.pop(name))
    return Schema(tuple(ordered))


def to_plain(schema: Schema) -> dict[str, Any]:
    """A JSON-able form of the schema, without what is derived."""
    tables = []
    for table in schema.tables:
        plain = asdict(table)
        del plain["keys"], plain["values"]
        tables.append(plain)
    return {"tables": tables}


def from_plain(plain: dict[str, Any]) -> Schema:
    """The inverse of `to_plain`."""
    tables = []
    for item in plain["tables"]:
        item = dict(item)
        item["columns"] = tuple(ColumnSchema(**column) for column in item["columns"])
        item["foreign_keys"] = tuple(
            ForeignKey(
                **{**fk, "columns": tuple(fk["columns"]), "parent_columns": tuple(fk["parent_columns"])}
            )
            for fk in item["foreign_keys"]
        )
        item["key"], item["indexes"] = tuple(item["key"]), tuple(item["indexes"])
        item["uniques"] = tuple(tuple(unique) for unique in item["uniques"])
        tables.append(TableSchema(**item))
    return Schema(tuple(tables))
