"""Rows of one push that trade unique values: a database that looks at a unique index row by row lets them in
no order. What is legal before and after is done by way of third values, which the rows hold meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from syncline.databases.base.shape import BaseShape
from syncline.hub.contract import Stage

Ways = Sequence[tuple[int, str]]
"""Of one index: each a column by its number, and the value as SQL; the likeliest first."""


@dataclass(frozen=True, slots=True)
class UniqueColumn:
    """A staged column of what must be unique. `foreign`: it points at another table, so that NULL is all it
    can hold meanwhile. `values`: what else it can hold, as SQL, the likeliest first."""

    index: Hashable
    number: int
    nullable: bool
    foreign: bool
    values: Sequence[str]

    @property
    def ways(self) -> list[tuple[int, str]]:
        """What can be tried with it."""
        values = [*(["NULL"] if self.nullable else []), *([] if self.foreign else self.values)]
        return [(self.number, value) for value in values]


UniqueRow = Sequence[Any]
"""A column of what must be unique, as an adapter looks it up: the index, the column's name, whether it may be
NULL, whether it points at another table, and what the adapter says of its type."""


def staged_uniques(
    shape: BaseShape,
    stage: Stage,
    uniques: Iterable[UniqueRow],
    others: Callable[..., Sequence[str]],
    n: str,
) -> list[UniqueColumn]:
    """Those that rows of a stage change, or have if they are about to go. `others` tells of a column by its
    name, `n`, and its type what else it can hold."""
    values = shape.table.values
    numbers = {values[n].name: n for n in (stage.columns if stage.form == "update" else values)}
    return [
        UniqueColumn(index, numbers[name], nullable, foreign, others(name, n, *type_))
        for index, name, nullable, foreign, *type_ in uniques
        if name in numbers
    ]


def ways(columns: Sequence[UniqueColumn]) -> list[Ways]:
    """For each index what can be tried, if anything. One of its columns is enough."""
    found: dict[Hashable, list[tuple[int, str]]] = {}
    for column in sorted(columns, key=lambda column: (column.foreign, not column.nullable)):
        found.setdefault(column.index, []).extend(column.ways)
    return [tried for tried in found.values() if tried]


def third_values(found: Sequence[Ways], round_: int) -> Mapping[int, str]:
    """Which columns hold what in this round."""
    chosen: dict[int, str] = {}
    for tried in found:
        number, value = tried[min(round_, len(tried) - 1)]
        chosen.setdefault(number, value)
    return chosen
