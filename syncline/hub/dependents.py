"""Rows that cannot be written because one that they point at was refused: all of them at once.

The database would name them too, but a tree of rows only level by level, an attempt for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from syncline.hub.contract import Key, Refusal, Stage, codes
from syncline.model.schema import ForeignKey, Schema, TableSchema

RowId = tuple[int, Key]
Place = tuple[Stage, int]


def with_dependents(schema: Schema, stages: Sequence[Stage], found: Sequence[Refusal]) -> list[Refusal]:
    """The refusals, and one for each staged row that points, by whatever way, at a refused insert."""
    result = list(found)
    roots = [refusal for refusal in found if refusal.stage.form == "insert"]
    if not roots:
        return result
    pointing = _Pointing(schema, stages)
    refused = {(id(refusal.stage), refusal.row) for refusal in found}
    waiting = [_row_id(schema, refusal.stage, refusal.row) for refusal in roots]
    while waiting:
        parent = waiting.pop()
        for stage, row in pointing.at(parent):
            if (id(stage), row) not in refused:
                refused.add((id(stage), row))
                name = schema.by_number[parent[0]].name
                detail = f"the row of {name} with key {list(parent[1])!r} that it points at is not there"
                result.append(Refusal(stage, row, codes.FOREIGN_KEY, detail, parent))
                if stage.form == "insert":
                    waiting.append(_row_id(schema, stage, row))
    return result


def pointing_at(
    schema: Schema, stages: Sequence[Stage], rows: Iterable[RowId], met: Sequence[Stage] = ()
) -> list[tuple[Stage, int, RowId]]:
    """The staged rows that point, by whatever way, at one of these rows, each with the row it points at.

    `met`: inserts that met a row of their key, as they were sent. One that has its key from a row that it
    points at is another thing than the row it met, whatever was decided, and so are those that point at it.
    """
    pointing, derived = _Pointing(schema, stages), _Pointing(schema, met, is_derived=True)
    found: list[tuple[Stage, int, RowId]] = []
    known: set[tuple[int, int]] = set()
    waiting = list(rows)
    while waiting:
        parent = waiting.pop()
        for stage, row in [*pointing.at(parent), *derived.at(parent)]:
            if (id(stage), row) not in known:
                known.add((id(stage), row))
                found.append((stage, row, parent))
                if stage.form == "insert":
                    waiting.append(_row_id(schema, stage, row))
    return found


@dataclass(slots=True)
class _Pointing:
    """Which staged rows point at a row, by foreign keys to its primary key. Indexed when first asked for."""

    schema: Schema
    stages: Sequence[Stage]
    is_derived: bool
    """Whether only foreign keys count that have a column of the row's own key."""
    _by_parent: dict[int, dict[Key, list[Place]]]

    def __init__(self, schema: Schema, stages: Sequence[Stage], *, is_derived: bool = False) -> None:
        self.schema, self.stages, self.is_derived, self._by_parent = schema, stages, is_derived, {}

    def at(self, row: RowId) -> list[Place]:
        table, key = row
        if table not in self._by_parent:
            self._by_parent[table] = self._index(self.schema.by_number[table])
        return self._by_parent[table].get(key, [])

    def _index(self, parent: TableSchema) -> dict[Key, list[Place]]:
        found: dict[Key, list[Place]] = {}
        for stage in self.stages:
            child = self.schema.by_number[stage.table]
            for columns in _columns_of(child, parent, stage, self.is_derived):
                for row, values in enumerate(stage.rows):
                    if row not in stage.discarded:
                        found.setdefault(tuple(values[i] for i in columns), []).append((stage, row))
        return found


def _columns_of(
    child: TableSchema, parent: TableSchema, stage: Stage, is_derived: bool
) -> Iterator[list[int]]:
    """For each foreign key of the child to the parent's key: where a staged row has the key's values."""
    if stage.form == "delete":
        return
    names = [*child.key, *(child.values[i].name for i in stage.columns)]
    for fk in child.foreign_keys:
        if is_derived and set(fk.columns).isdisjoint(child.key):
            continue
        if fk.parent == parent.name and set(_targets(fk, parent)) == set(parent.key):
            own = dict(zip(_targets(fk, parent), fk.columns, strict=True))
            if set(fk.columns) <= set(names):
                yield [names.index(own[name]) for name in parent.key]


def _targets(fk: ForeignKey, parent: TableSchema) -> tuple[str, ...]:
    return fk.parent_columns or parent.key


def _row_id(schema: Schema, stage: Stage, row: int) -> RowId:
    return stage.table, tuple(stage.rows[row][: len(schema.by_number[stage.table].key)])
