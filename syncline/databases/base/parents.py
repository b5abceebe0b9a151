"""What a foreign key that fails says of staged rows: which row each of them points at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from syncline.hub.contract import Key, Stage
from syncline.model.schema import TableSchema
from syncline.model.values import Value


@dataclass(frozen=True, slots=True)
class Constraint:
    """A foreign key of the central database, by the names of its columns."""

    columns: Sequence[str]
    parent_schema: str
    parent_name: str
    targets: Sequence[str]

    def parent(self, tables: Iterable[TableSchema]) -> TableSchema | None:
        """The table it points at, if that is among these."""
        place = (self.parent_schema, self.parent_name)
        return next((t for t in tables if (t.central_schema, t.central_name) == place), None)

    def target(
        self, tables: Iterable[TableSchema], table: TableSchema, stage: Stage, row: int
    ) -> tuple[int, Key] | None:
        """(table number, key) of the row that a staged row of `table` points at, as far as it tells."""
        parent, places = self.parent(tables), places_of(table, stage, self.columns)
        if parent is None or places is None:
            return None
        values = [stage.rows[row][place] for place in places]
        key = key_of(parent, dict(zip(self.targets, values, strict=True)))
        return None if key is None else (parent.number, key)


def key_of(parent: TableSchema, values: Mapping[str, Value]) -> Key | None:
    """The parent's key, if these are its columns; of a row known by another unique key it is unknown."""
    return tuple(values[name] for name in parent.key) if set(values) == set(parent.key) else None


def places_of(table: TableSchema, stage: Stage, names: Sequence[str]) -> list[int] | None:
    """Where in a staged row these columns stand; None unless all of them are staged."""
    staged = [*table.key, *(table.values[number].name for number in stage.columns)]
    return [staged.index(name) for name in names] if set(names) <= set(staged) else None


def coming(
    parent: TableSchema, targets: Sequence[str], inserts: Iterable[tuple[Stage, Sequence[int]]]
) -> set[Key]:
    """What rows that are to be inserted hold in these columns of the parent: stages and their rows."""
    found: set[Key] = set()
    for stage, rows in inserts:
        places = places_of(parent, stage, targets)
        if places is not None:
            found |= {tuple(stage.rows[row][place] for place in places) for row in rows}
    return found
