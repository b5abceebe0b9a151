"""Staged rows that hang together: those that point at each other, by whatever way.

What is checked at the end of a transaction may be right of several rows and of none of them alone. Where such
a check fails the rows are tried in these groups, so that those which are right together are not refused for
another's sake.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from itertools import product

from syncline.databases.base.isolation import L, Part
from syncline.databases.base.parents import places_of
from syncline.hub.contract import Key
from syncline.model.schema import TableSchema

Place = tuple[int, int]
"""The index of a stage, the number of a row in it."""


def groups(tables: Sequence[TableSchema], parts: Sequence[Part[L]]) -> list[Set[Place]]:
    """The rows of these parts by what they hang together with, in the order of their first rows. `tables`: of
    each stage, by its index."""
    above: dict[Place, Place] = {(part.index, row): (part.index, row) for part in parts for row in part.rows}

    def top(place: Place) -> Place:
        while above[place] != place:
            above[place] = above[above[place]]
            place = above[place]
        return place

    for one, other in _pairs(tables, parts):
        first, second = sorted((top(one), top(other)))
        above[second] = first
    found: dict[Place, set[Place]] = {}
    for place in above:
        found.setdefault(top(place), set()).add(place)
    return list(found.values())


def _pairs(tables: Sequence[TableSchema], parts: Sequence[Part[L]]) -> Iterator[tuple[Place, Place]]:
    """Rows, and rows that they point at."""
    for child in parts:
        for fk in tables[child.index].foreign_keys:
            pointing = _held(tables[child.index], child, fk.columns)
            for parent in parts if pointing else ():
                table = tables[parent.index]
                if table.name == fk.parent:
                    for key, places in _held(table, parent, fk.parent_columns or table.key).items():
                        yield from product(pointing.get(key, ()), places)


def _held(table: TableSchema, part: Part[L], names: Sequence[str]) -> dict[Key, list[Place]]:
    """The rows by what they hold in these columns, as far as they tell it and it is not NULL."""
    found: dict[Key, list[Place]] = {}
    places = places_of(table, part.loaded.stage, names)
    for row in part.rows if places is not None else ():
        key = tuple(part.loaded.stage.rows[row][place] for place in places or ())
        if None not in key:
            found.setdefault(key, []).append((part.index, row))
    return found


def only(parts: Sequence[Part[L]], chosen: Set[Place]) -> list[Part[L]]:
    """As much of the parts as is among the chosen, in the same order."""
    found = []
    for part in parts:
        rows = tuple(row for row in part.rows if (part.index, row) in chosen)
        if rows:
            found.append(replace(part, rows=rows))
    return found
