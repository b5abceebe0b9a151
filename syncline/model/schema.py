"""The tables that take part, in the portable form both sides agree on.

A row travels as a plain list: the key's values in the order of `key`, then the values of some of the
other columns. Those other columns are `TableSchema.values`.

Tables and columns have numbers, given out by the hub and never used again: a table's is unique in the hub, a
column's in its table. Messages, column masks, change logs and kept pushes name tables and columns by their
numbers alone, so that they mean the same before and after a change of the schema. A centre that was restored
gives numbers out again which it gave out in a past that it has lost; what has the same number and another
`origin` is something else. Numbers say nothing about
order: tables are ordered by `Schema.rank`, the values of a whole row by `TableSchema.places`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from syncline.model.values import mask_of

MOST_COLUMNS = 1_900
"""A table with more cannot take part: an SQLite table has 2,000 at most, and the change log of a table, on a
device, has some of its own beside those of the table: one for each 62 numbers that its columns ever had."""


@dataclass(frozen=True, slots=True)
class ColumnSchema:
    """One column.

    `type` is its portable type: integer, boolean, float, decimal, text, blob, timestamp, timestamptz, date,
    time, timetz, interval, uuid, json, enum; `any` for a SQLite column, carried as it is; `other` for a
    central type carried as its text. `declared` is the type written in the device's CREATE TABLE; `central`
    the central database's own name for the type (used in casts by its adapter, never by the device).
    `computed` columns are made by the central database: they travel to the device and never back.
    `increment` columns (their merge policy says so) travel to the hub as the difference, see
    `model.values.add`. `number` is negative while none was given out.
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
    number: int = -1
    defaulted: bool = False
    """Whether the central database has a value of its own for a row that gives none."""
    modifier: int = -1
    """The length or precision of the central type, as the central database keeps it; -1: it has none."""
    form: str = ""
    """How its values are spelled in a device's file (`model.forms`): in the hub's schema what the hub asks
    for, in a file's own what they are; empty: nobody asks for anything."""
    spelled: bool = False
    """Whether several texts may mean one value of it, so that the central database alone can tell how a key
    is spelled."""
    born: str = ""
    """The name it had when its number was given out, if it has another one now."""

    @property
    def origin(self) -> str:
        """The name it had when its number was given out."""
        return self.born or self.name


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
    unchecked: tuple[ForeignKey, ...] = ()
    """Foreign keys of the centre that devices do not check, and those whose actions they do not do, with
    these actions alone: what they take or empty a device has neither seen nor done."""
    central_schema: str = ""
    central_name: str = ""
    ddl: str | None = None
    indexes: tuple[str, ...] = ()
    """Verbatim CREATE INDEX statements (SQLite centre only)."""
    exact: bool = True
    """False when what is stored can differ from what was sent (computed columns, scaled decimals,
    user triggers, ...): the hub then compares after writing and answers overrides."""
    number: int = -1
    """Negative while none was given out."""
    used: int = 0
    """How many column numbers were given out so far, those of columns that are gone included."""
    born: str = ""
    """The name it had when its number was given out, if it has another one now."""
    keys: tuple[ColumnSchema, ...] = field(init=False, compare=False)
    values: Mapping[int, ColumnSchema] = field(init=False, compare=False)
    """The columns outside the key by number, ascending: the order of the values of a whole row."""
    places: Mapping[int, int] = field(init=False, compare=False)
    """Where the value of a column stands among the values of a whole row, by the column's number."""

    def __post_init__(self) -> None:
        columns = _numbered(self)
        by_name = {column.name: column for column in columns}
        rest = sorted((c for c in columns if c.name not in self.key), key=lambda column: column.number)
        used = max(self.used, *(column.number + 1 for column in columns), 0)
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "used", used)
        object.__setattr__(self, "keys", tuple(by_name[name] for name in self.key))
        object.__setattr__(self, "values", {column.number: column for column in rest})
        object.__setattr__(self, "places", {column.number: place for place, column in enumerate(rest)})

    @property
    def origin(self) -> str:
        """The name it had when its number was given out."""
        return self.born or self.name

    @property
    def enforced(self) -> tuple[ForeignKey, ...]:
        """The foreign keys that the centre enforces, whether devices check them or not."""
        return (*self.foreign_keys, *self.unchecked)

    @property
    def pushed(self) -> tuple[int, ...]:
        """Numbers of the value columns that a device may write, ascending."""
        return tuple(number for number, column in self.values.items() if not column.computed)

    @property
    def all_mask(self) -> int:
        """The mask of every column in `values`."""
        return mask_of(self.values)

    @property
    def bits(self) -> int:
        """How many bits a mask of this table has: the highest number of a value column, and one."""
        return max(self.values, default=-1) + 1

    def column(self, name: str) -> ColumnSchema:
        """Return the column called `name`; KeyError if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Schema:
    """All tables, in foreign-key order: parents before children as far as there is no cycle.

    Tables without a number get those from `used` on, in this order.
    """

    tables: tuple[TableSchema, ...]
    used: int = 0
    """How many table numbers were given out so far, those of tables that are gone included."""
    by_number: Mapping[int, TableSchema] = field(init=False, compare=False)
    rank: Mapping[int, int] = field(init=False, compare=False)
    """The place of a table in the foreign-key order, by its number."""
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        used = max(self.used, *(table.number + 1 for table in self.tables), 0)
        tables = []
        for table in self.tables:
            if table.number < 0:
                table, used = replace(table, number=used), used + 1
            tables.append(table)
        object.__setattr__(self, "tables", tuple(tables))
        object.__setattr__(self, "used", used)
        object.__setattr__(self, "by_number", {table.number: table for table in tables})
        object.__setattr__(self, "rank", {table.number: place for place, table in enumerate(tables)})
        canonical = json.dumps(to_plain(self), sort_keys=True, separators=(",", ":"))
        object.__setattr__(self, "fingerprint", hashlib.sha256(canonical.encode()).hexdigest()[:32])

    def table(self, name: str) -> TableSchema:
        """Return the table called `name`; KeyError if there is none."""
        for table in self.tables:
            if table.name == name:
                return table
        raise KeyError(name)

    def number_of(self, name: str) -> int:
        """Return the number of the table called `name`; KeyError if there is none."""
        return self.table(name).number


def _numbered(table: TableSchema) -> tuple[ColumnSchema, ...]:
    """The columns of a table, each with a number: new ones follow those that were given out.

    The columns outside the key come first, so that the masks of a new table have no gap.
    """
    if all(column.number >= 0 for column in table.columns):
        return table.columns
    fresh = max(table.used, *(column.number + 1 for column in table.columns), 0)
    numbers: dict[str, int] = {}
    for in_key in (False, True):
        for column in table.columns:
            if column.number < 0 and (column.name in table.key) == in_key:
                numbers[column.name] = fresh + len(numbers)
    return tuple(
        replace(column, number=numbers[column.name]) if column.name in numbers else column
        for column in table.columns
    )


def arrange(tables: Iterable[TableSchema], used: int = 0) -> Schema:
    """Return a schema with the tables in foreign-key order, ties by name. Deterministic.

    `used` is how many table numbers were given out before.

    Cycles are broken at the table with the fewest parents still to come.
    """
    waiting = {table.name: table for table in sorted(tables, key=lambda t: t.name)}
    parents = {
        name: {fk.parent for fk in table.enforced if fk.parent in waiting and fk.parent != name}
        for name, table in waiting.items()
    }
    ordered: list[TableSchema] = []
    while waiting:
        name = min(waiting, key=lambda n: (len(parents[n] & waiting.keys()), n))
        ordered.append(waiting.pop(name))
    return Schema(tuple(ordered), used)


def to_plain(schema: Schema) -> dict[str, Any]:
    """A JSON-able form of the schema, without what is derived."""
    tables = []
    for table in schema.tables:
        plain = _plain(table)
        plain["columns"] = [_plain(column) for column in table.columns]
        plain["foreign_keys"] = [_plain(key) for key in table.foreign_keys]
        if table.unchecked:
            plain["unchecked"] = [_plain(key) for key in table.unchecked]
        tables.append(plain)
    return {"tables": tables, "used": schema.used}


def _plain(record: ColumnSchema | ForeignKey | TableSchema) -> dict[str, Any]:
    """The fields that were given. Not `asdict`, which copies all: it is done for each fingerprint.

    What was never renamed does not say its first name, and a table whose foreign keys devices check says of
    no others."""
    found = {one.name: getattr(record, one.name) for one in fields(record) if one.init}
    if not found.get("born", True):
        del found["born"]
    if not found.get("unchecked", True):
        del found["unchecked"]
    return found


def from_plain(plain: dict[str, Any]) -> Schema:
    """The inverse of `to_plain`."""
    tables = []
    for item in plain["tables"]:
        item = dict(item)
        item["columns"] = tuple(ColumnSchema(**column) for column in item["columns"])
        for name in ("foreign_keys", "unchecked"):
            item[name] = tuple(
                ForeignKey(
                    **{**fk, "columns": tuple(fk["columns"]), "parent_columns": tuple(fk["parent_columns"])}
                )
                for fk in item.get(name, ())
            )
        item["key"], item["indexes"] = tuple(item["key"]), tuple(item["indexes"])
        item["uniques"] = tuple(tuple(unique) for unique in item["uniques"])
        tables.append(TableSchema(**item))
    return Schema(tuple(tables), plain["used"])
