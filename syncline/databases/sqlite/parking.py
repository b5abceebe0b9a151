"""Third values for rows of one push that trade unique values: SQLite looks at a unique index row by row."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from syncline.databases.base import parking
from syncline.databases.base.parking import UniqueColumn
from syncline.databases.sqlite.stage import Staged
from syncline.sqlitekit.sql import folded, quote
from syncline.sqlitekit.tables import Column, Unique

ROUNDS = 5
"""So many kinds of values are tried for a row."""


def third_values(staged: Staged) -> Iterator[Mapping[int, str]]:
    """Values, as SQL by the number of a column, that a row may hold meanwhile: the likeliest first."""
    facts, values = staged.shape.facts, staged.shape.table.values
    pointing = {folded(name) for key in facts.foreign_keys for name in key.columns}
    columns = []
    for index, unique in enumerate(facts.uniques):
        for number in staged.stage.columns:
            column = facts.column(values[number].name)
            if _is_in(column.name, unique):
                others = _values(staged.shape.name, column)
                foreign = folded(column.name) in pointing
                columns.append(UniqueColumn(index, number, not column.notnull, foreign, others))
    ways = parking.ways(columns)
    for round_ in range(min(ROUNDS, max(map(len, ways), default=0))):
        yield parking.third_values(ways, round_)


def _is_in(name: str, unique: Unique) -> bool:
    if any(column is not None and folded(column) == folded(name) for column, _ in unique.columns):
        return True
    return unique.sql is not None and re.search(rf"\b{re.escape(name)}\b", unique.sql, re.I) is not None


def _values(table: str, column: Column) -> list[str]:
    if column.affinity in ("TEXT", ""):
        return ["hex(randomblob(16))", "substr(hex(randomblob(16)), 1, 4)", "randomblob(16)"]
    name = quote(column.name)
    lowest, highest = f"(SELECT min(min({name}), 0) FROM {table})", f"(SELECT max({name}) FROM {table})"
    return [f"{lowest} - 1", f"{highest} + 1", "0", "1"]
