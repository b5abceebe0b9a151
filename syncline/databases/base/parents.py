"""What a foreign key that fails says of staged rows: which row each of them points at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic

from syncline.databases.base import statements
from syncline.databases.base.isolation import Part
from syncline.databases.base.staged import R, Verbs
from syncline.hub.contract import Key, Refusal, Stage, codes
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


class Parents(Generic[R]):
    """Looks up what a failing foreign key means for staged rows."""

    def __init__(
        self,
        session: Verbs,
        tables: Sequence[TableSchema],
        loaded: Sequence[R],
        unreadable: type[Exception],
    ) -> None:
        """`unreadable`: the error of a query that finds a value which is none of its column's type."""
        self._session, self._tables, self._loaded = session, tables, loaded
        self._unreadable = unreadable

    def target(self, constraint: Constraint, part: Part[R]) -> tuple[int, Key] | None:
        """(table number, key) of the row that the row of a part points at in vain, if it can be told."""
        return constraint.target(self._tables, part.loaded.shape.table, part.loaded.stage, part.rows[0])

    def orphans(self, part: Part[R], constraint: Constraint | None) -> list[Refusal]:
        """All rows whose parent neither exists nor is staged."""
        loaded, stage, shape = part.loaded, part.loaded.stage, part.loaded.shape
        places = places_of(shape.table, stage, constraint.columns) if constraint is not None else None
        if constraint is None or places is None:
            return []
        staged = [*shape.staged_keys(), *shape.staged_values(stage.columns)]
        pairs = [
            (staged[place], shape.quote(target))
            for place, target in zip(places, constraint.targets, strict=True)
        ]
        parent = f"{shape.quote(constraint.parent_schema)}.{shape.quote(constraint.parent_name)}"
        try:
            with self._session.savepoint():
                rows = self._session.run(*loaded.over(statements.orphans(pairs, parent), part.rows))
        except self._unreadable:  # some other row holds what cannot be cast: leave it to isolation
            return []
        theirs = self._coming(constraint)
        words = f"foreign key {', '.join(constraint.columns)}"
        detail = f"{words}: there is no such row in {constraint.parent_name}"
        return [
            Refusal(
                stage, n, codes.FOREIGN_KEY, detail, constraint.target(self._tables, shape.table, stage, n)
            )
            for (n,) in rows
            if tuple(stage.rows[n][place] for place in places) not in theirs
        ]

    def _coming(self, constraint: Constraint) -> set[Key]:
        """What the staged inserts of the parent's table hold in the referenced columns."""
        parent = constraint.parent(self._tables)
        if parent is None:
            return set()
        inserts = [
            (loaded.stage, loaded.live)
            for loaded in self._loaded
            if loaded.shape.n == parent.number and loaded.stage.form == "insert"
        ]
        return coming(parent, constraint.targets, inserts)
