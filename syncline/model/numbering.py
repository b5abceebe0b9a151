"""Giving out the numbers of tables and columns, so that what has one keeps it and none is used again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from syncline.model.schema import Schema, TableSchema

Place = tuple[str, str]
"""Where a table lives in the central database: its schema and its name."""


@dataclass(frozen=True, slots=True)
class Renamed:
    """What the central database knows to be another name of the same thing.

    `tables` maps the present place of a table to its number, `columns` the number of a table to the numbers
    of its columns by their present names. What is in neither is known by its name.
    """

    tables: Mapping[Place, int] = field(default_factory=dict)
    columns: Mapping[int, Mapping[str, int]] = field(default_factory=dict)


def renumbered(found: Schema, before: Schema | None, renamed: Renamed | None = None) -> Schema:
    """Return `found`, a schema that was just reflected, with the numbers of `before`, the one last prepared.

    New tables and columns get numbers that were never given out; what `found` says of numbers is ignored.
    """
    if before is None:
        return found
    renamed = renamed or Renamed()
    former = {(table.central_schema, table.central_name): table for table in before.tables}
    taken = set(renamed.tables.values())
    tables = []
    for table in found.tables:
        place = (table.central_schema, table.central_name)
        number = renamed.tables.get(place)
        same = before.by_number.get(number) if number is not None else former.get(place)
        if same is not None and number is None and same.number in taken:
            same = None  # another table has this one's former name
        columns = {} if same is None else renamed.columns.get(same.number, {})
        tables.append(_like(table, same, columns))
    return Schema(tuple(tables), before.used)


def _like(table: TableSchema, same: TableSchema | None, renamed: Mapping[str, int]) -> TableSchema:
    """The table with its former numbers; negative ones are given out where it is made."""
    numbers = {} if same is None else {column.name: column.number for column in same.columns}
    kept = set(renamed.values())
    numbers = {name: number for name, number in numbers.items() if number not in kept} | dict(renamed)
    columns = tuple(replace(column, number=numbers.get(column.name, -1)) for column in table.columns)
    return replace(
        table,
        columns=columns,
        number=-1 if same is None else same.number,
        used=0 if same is None else same.used,
    )
