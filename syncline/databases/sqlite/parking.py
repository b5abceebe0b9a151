"""Third values for rows of one push that trade unique values: SQLite looks at a unique index row by row."""

from __future__ import annotations

import re
from collections.abc import Iterator

from syncline.databases.sqlite.stage import Staged
from syncline.sqlitekit.sql import quote
from syncline.sqlitekit.tables import Column, Unique

ROUNDS = 5
"""So many kinds of values are tried for a row."""


def third_values(staged: Staged) -> Iterator[dict[str, str]]:
    """Values, as SQL by the name of a column, that a row may hold meanwhile: the likeliest first.

    Each unique index needs one column that this stage writes."""
    names = [staged.shape.table.values[number].name for number in staged.stage.columns]
    ways = [found for unique in staged.shape.facts.uniques if (found := _ways(staged, unique, names))]
    for round_ in range(min(ROUNDS, max(map(len, ways), default=0))):
        yield dict(found[min(round_, len(found) - 1)] for found in ways)


def _ways(staged: Staged, unique: Unique, written: list[str]) -> list[tuple[str, str]]:
    columns = [staged.shape.facts.column(name) for name in written if _is_in(name, unique)]
    pointing = {name.lower() for key in staged.shape.facts.foreign_keys for name in key.columns}
    columns.sort(key=lambda column: (column.name.lower() in pointing, column.notnull))
    return [
        (column.name, value)
        for column in columns
        for value in _values(staged.shape.name, column)
        if value == "NULL" or column.name.lower() not in pointing
    ]


def _is_in(name: str, unique: Unique) -> bool:
    if any(column is not None and column.lower() == name.lower() for column, _ in unique.columns):
        return True
    return unique.sql is not None and re.search(rf"\b{re.escape(name)}\b", unique.sql, re.I) is not None


def _values(table: str, column: Column) -> list[str]:
    found = [] if column.notnull else ["NULL"]
    name = quote(column.name)
    if column.affinity in ("TEXT", ""):
        return [*found, "hex(randomblob(16))", "substr(hex(randomblob(16)), 1, 4)", "randomblob(16)"]
    lowest, highest = f"(SELECT min(min({name}), 0) FROM {table})", f"(SELECT max({name}) FROM {table})"
    return [*found, f"{lowest} - 1", f"{highest} + 1", "0", "1"]
