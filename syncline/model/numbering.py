"""Giving out the numbers of tables and columns, so that what has one keeps it and none is used again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from syncline.model.schema import ColumnSchema, Schema, TableSchema

Place = tuple[str, str]
"""Where a table lives in the central database: its schema and its name."""


@dataclass(frozen=True, slots=True)
class Renamed:
    """What the central database knows to be the same thing as before, whatever it is called now.

    `tables` maps the present place of a table to its number; a table that is not in it is known by its name,
    unless one that is there and takes part has that number. `columns` maps the number of a table in `tables`
    to the numbers of its columns by their present names: a column that is not named there is a new one. The
    columns of a table that has no line there are known by their names.
    """

    tables: Mapping[Place, int] = field(default_factory=dict)
    columns: Mapping[int, Mapping[str, int]] = field(default_factory=dict)

    def without(self, anew: Collection[int]) -> Renamed:
        """The same of all tables but those of these numbers."""
        tables = {place: number for place, number in self.tables.items() if number not in anew}
        return Renamed(tables, {n: some for n, some in self.columns.items() if n not in anew})


def renumbered(found: Schema, before: Schema | None, renamed: Renamed | None = None) -> Schema:
    """Return `found`, a schema that was just reflected, with the numbers of `before`, the one last prepared.

    New tables and columns get numbers that were never given out; what `found` says of numbers is ignored.
    """
    if before is None:
        return found
    renamed = renamed or Renamed()
    former = {(table.central_schema, table.central_name): table for table in before.tables}
    places = [(table.central_schema, table.central_name) for table in found.tables]
    taken = {renamed.tables[place] for place in places if place in renamed.tables}
    tables = []
    for place, table in zip(places, found.tables, strict=True):
        number = renamed.tables.get(place)
        same = before.by_number.get(number) if number is not None else former.get(place)
        if same is not None and number is None and same.number in taken:
            same = None  # another table has this one's former name
        columns = None if number is None else renamed.columns.get(number)
        tables.append(_like(table, same, columns))
    return Schema(tuple(tables), before.used)


def beginning(before: Schema | None, anew: Collection[int], taken: Collection[int] = ()) -> Schema | None:
    """The schema last prepared without the tables of these numbers, which are not given out again; nor are
    any up to those that are `taken` by somebody else."""
    beyond = max((number + 1 for number in taken), default=0)
    if before is None:
        return Schema((), beyond) if beyond else None
    if not anew and beyond <= before.used:
        return before
    tables = tuple(table for table in before.tables if table.number not in anew)
    return Schema(tables, max(before.used, beyond))


def named_now(before: Schema, renamed: Renamed) -> Schema:
    """Return `before`, the schema last prepared, under the names that its tables and columns have now.

    Columns that are known to be gone are left out; a table of which nothing is known stays as it was.
    """
    places = {number: place for place, number in renamed.tables.items()}
    tables = []
    for table in before.tables:
        central = table.central_schema, table.central_name
        place = places.get(table.number, central)
        names = {number: name for name, number in renamed.columns.get(table.number, {}).items()}
        if table.number not in renamed.columns:
            names = {column.number: column.name for column in table.columns}
        columns = [replace(c, name=names[c.number]) for c in table.columns if c.number in names]
        key = [names[column.number] for column in table.keys if column.number in names]
        if place != central:
            plain = table.name == table.central_name
            name = place[1] if plain else f"{place[0]}_{place[1]}"
            table = replace(table, name=name, central_schema=place[0], central_name=place[1])
        keyless = replace(table, foreign_keys=(), uniques=(), unchecked=())
        tables.append(replace(keyless, columns=tuple(columns), key=tuple(key)))
    return Schema(tuple(tables), before.used)


def _like(table: TableSchema, same: TableSchema | None, known: Mapping[str, int] | None) -> TableSchema:
    """The table with its former numbers; negative ones are given out where it is made."""
    numbers: Mapping[str, int] = {}
    if same is not None:
        numbers = {column.name: column.number for column in same.columns} if known is None else known
    origins = {} if same is None else {column.number: column.origin for column in same.columns}
    columns = tuple(_numbered(column, numbers.get(column.name, -1), origins) for column in table.columns)
    return replace(
        table,
        columns=columns,
        number=-1 if same is None else same.number,
        used=0 if same is None else same.used,
        born="" if same is None or same.origin == table.name else same.origin,
    )


def _numbered(column: ColumnSchema, number: int, origins: Mapping[int, str]) -> ColumnSchema:
    origin = origins.get(number, column.name)
    return replace(column, number=number, born="" if origin == column.name else origin)
