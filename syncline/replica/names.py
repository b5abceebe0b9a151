"""What tables and columns are called in this file, and what is left in it of what the hub has no more.

The application's SQL uses the names that it was written with. A table or column that was renamed in the
centre therefore keeps its name here until the application asks (`replica.upgrade`); one that was dropped
stays as an ordinary one that does not take part.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from syncline.model.naming import folded
from syncline.model.schema import Schema, TableSchema, from_plain, to_plain
from syncline.replica.store import Store


@dataclass(frozen=True, slots=True)
class Names:
    """Names in this file, by number: of tables, and of columns by their table's number. Only those that are
    not the hub's."""

    tables: Mapping[int, str] = field(default_factory=dict)
    columns: Mapping[int, Mapping[int, str]] = field(default_factory=dict)

    def of(self, table: TableSchema) -> dict[str, str]:
        """The names of a table's columns in this file, by the hub's names."""
        own = self.columns.get(table.number, {})
        return {column.name: own.get(column.number, column.name) for column in table.columns}

    def table(self, table: TableSchema) -> str:
        """The name of a table in this file."""
        return self.tables.get(table.number, table.name)


def differing(hub: Schema, tables: Mapping[int, str], columns: Mapping[int, Mapping[int, str]]) -> Names:
    """The names that are not the hub's, of those in this file: of tables, and of columns by table."""
    called = {
        n: {c.number: some[c.number] for c in hub.by_number[n].columns if some[c.number] != c.name}
        for n, some in columns.items()
    }
    return Names(
        {n: name for n, name in tables.items() if hub.by_number[n].name != name},
        {n: some for n, some in called.items() if some},
    )


def renumber(store: Store, names: Mapping[int, str]) -> None:
    """The tracked tables are called like this from now on. Inside a transaction."""
    for number in names:
        store.forget_number(number)
    for number, name in names.items():
        store.number(number, name)


def localized(hub: Schema, names: Names) -> Schema:
    """The hub's schema with the names of this file. The verbatim statements of a table stay as they are."""
    if not (names.tables or names.columns):
        return hub
    by_name = {table.name: table for table in hub.tables}
    return Schema(tuple(_localized(table, names, by_name) for table in hub.tables), hub.used)


def _localized(table: TableSchema, names: Names, by_name: Mapping[str, TableSchema]) -> TableSchema:
    own = names.of(table)
    keys = []
    for key in table.foreign_keys:
        parent = by_name.get(key.parent)
        theirs = {} if parent is None else names.of(parent)
        keys.append(
            replace(
                key,
                columns=tuple(own[name] for name in key.columns),
                parent=key.parent if parent is None else names.table(parent),
                parent_columns=tuple(theirs.get(name, name) for name in key.parent_columns),
            )
        )
    return replace(
        table,
        name=names.table(table),
        columns=tuple(replace(column, name=own[column.name]) for column in table.columns),
        key=tuple(own[name] for name in table.key),
        foreign_keys=tuple(keys),
        uniques=tuple(tuple(own[name] for name in unique) for unique in table.uniques),
    )


def read_names(kept: str | None) -> Names:
    """The inverse of `written_names`."""
    if kept is None:
        return Names()
    plain = json.loads(kept)
    return Names(
        {int(number): name for number, name in plain["tables"].items()},
        {
            int(table): {int(number): name for number, name in columns.items()}
            for table, columns in plain["columns"].items()
        },
    )


def written_names(names: Names) -> str | None:
    """As JSON; None if no name differs."""
    if not (names.tables or names.columns):
        return None
    return json.dumps({"tables": dict(names.tables), "columns": dict(names.columns)}, default=dict)


# What is left of what the hub has no more ----------------------------------------------------------------


LOST = 1 << 31
"""Numbers of tables and columns from here on are this file's own, for what the centre has lost: it may give
out their numbers again."""


@dataclass(frozen=True, slots=True)
class RetiredColumn:
    """A column that stays in its table and takes no part. `literal`: what rows of the hub get there, as SQL,
    where they must have a value; None: nothing."""

    number: int
    name: str
    literal: str | None = None

    @property
    def is_lost(self) -> bool:
        """Whether the centre does not know of it any more, as it was restored to before."""
        return self.number >= LOST


@dataclass(frozen=True, slots=True)
class Retired:
    """Tables with the names that they had here, and columns by their table's number."""

    tables: Mapping[int, TableSchema] = field(default_factory=dict)
    columns: Mapping[int, tuple[RetiredColumn, ...]] = field(default_factory=dict)
    changed: Mapping[int, str] = field(default_factory=dict)
    """How tables among them were changed in the centre, which could not be followed, by number."""

    def constants(self, table: int) -> dict[str, str]:
        """The columns that rows of the hub need a value for, by name, and that value as SQL."""
        return {one.name: one.literal for one in self.columns.get(table, ()) if one.literal is not None}

    def label(self, number: int, table: int | None = None) -> int:
        """A number of this file's own for a table, or a column of that table, that the centre has lost."""
        if table is None:
            taken = set(self.tables)
        else:
            taken = {one.number for one in self.columns.get(table, ())}
        found = LOST + number % LOST
        while found in taken:
            found += LOST
        return found

    def name(self, table: int, column: int) -> str | None:
        """What a retired column of a table is called; the newest of that number."""
        return next((one.name for one in self.columns.get(table, ()) if one.number == column), None)


def latest(tables: Mapping[int, TableSchema], name: str) -> TableSchema | None:
    """The table of this name, in any case; if several had it, the last one that took part."""
    found = [number for number, table in tables.items() if folded(table.name) == folded(name)]
    return tables[max(found)] if found else None


def read_retired(kept: str | None) -> Retired:
    """The inverse of `written_retired`."""
    if kept is None:
        return Retired()
    plain: dict[str, Any] = json.loads(kept)
    tables = from_plain({"tables": plain["tables"], "used": 0}).tables
    return Retired(
        {table.number: table for table in tables},
        {int(n): tuple(RetiredColumn(*column) for column in kept) for n, kept in plain["columns"].items()},
        {int(n): why for n, why in plain.get("changed", {}).items()},
    )


def written_retired(retired: Retired) -> str | None:
    """As JSON; None if there is nothing."""
    if not (retired.tables or retired.columns):
        return None
    columns = {
        n: [[one.number, one.name, one.literal] for one in kept] for n, kept in retired.columns.items()
    }
    plain = {"tables": to_plain(Schema(tuple(retired.tables.values())))["tables"], "columns": columns}
    return json.dumps(plain | ({"changed": dict(retired.changed)} if retired.changed else {}))
