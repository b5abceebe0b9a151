"""Foreign keys that fail: which rows point at nothing, and at what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from syncline.databases.base.isolation import Part
from syncline.databases.postgresql import statements as sql
from syncline.databases.postgresql.errors import refusal_code
from syncline.databases.postgresql.layout import Layout, Shape
from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.sql import qualified, queries, quote
from syncline.databases.postgresql.stage import Loaded
from syncline.hub.contract import Key, Refusal, codes
from syncline.model.values import Value


@dataclass(frozen=True, slots=True)
class Constraint:
    """A foreign key of the central database, by the names of its columns."""

    columns: list[str]
    parent_schema: str
    parent_name: str
    targets: list[str]


class Parents:
    """Looks up what a failing foreign key means for staged rows."""

    def __init__(self, session: Session, layout: Layout, loaded: Sequence[Loaded]) -> None:
        self._session = session
        self._layout = layout
        self._loaded = loaded

    def of_row(self, error: psycopg.Error, loaded: Loaded, row: int) -> tuple[int, Key] | None:
        """(table number, key) of the row that this one points at in vain, if it can be told."""
        constraint = self._constraint(error, loaded.shape)
        if constraint is None or loaded.stage.form == "delete":
            return None
        return self._parent_key(constraint, loaded, row)

    def orphans(self, failure: BaseException, parts: Sequence[Part[Loaded]]) -> list[Refusal]:
        """All rows whose parent neither exists nor is staged, if the failure is of that foreign key."""
        if not isinstance(failure, psycopg.Error) or refusal_code(failure) != codes.FOREIGN_KEY:
            return []
        found: list[Refusal] = []
        for part in parts:
            constraint = self._constraint(failure, part.loaded.shape) if part.form != "delete" else None
            if constraint is not None:
                found += self._orphans_of(constraint, part)
        return found

    def _orphans_of(self, constraint: Constraint, part: Part[Loaded]) -> list[Refusal]:
        loaded = part.loaded
        staged = [_staged(loaded, name) for name in constraint.columns]
        parent = self._shape_of(constraint)
        if any(index is None for index in staged):
            return []
        pairs = [
            (
                loaded.codecs[index or 0].write(f"s.{sql.staged_name(index or 0, loaded.shape.arity)}"),
                quote(name),
            )
            for index, name in zip(staged, constraint.targets, strict=True)
        ]
        name = qualified(constraint.parent_schema, constraint.parent_name)
        try:
            with self._session.savepoint():
                rows = [
                    row for (row,) in self._session.run(*loaded.over(sql.orphans(pairs, name), part.rows))
                ]
        except psycopg.DataError:  # some other row holds what cannot be cast: leave it to isolation
            return []
        coming = self._coming(parent, constraint.targets) if parent is not None else set()
        detail = (
            f"foreign key {', '.join(constraint.columns)}: there is no such row in {constraint.parent_name}"
        )
        return [
            Refusal(loaded.stage, row, codes.FOREIGN_KEY, detail, self._parent_key(constraint, loaded, row))
            for row in rows
            if tuple(loaded.stage.rows[row][index or 0] for index in staged) not in coming
        ]

    def _coming(self, parent: Shape, targets: list[str]) -> set[Key]:
        """What the staged inserts of the parent's table hold in the referenced columns."""
        found: set[Key] = set()
        for loaded in self._loaded:
            if loaded.shape is parent and loaded.stage.form == "insert":
                columns = [_staged(loaded, name) for name in targets]
                if None not in columns:
                    rows = loaded.stage.rows
                    found |= {tuple(rows[row][index or 0] for index in columns) for row in loaded.live}
        return found

    def _parent_key(self, constraint: Constraint, loaded: Loaded, row: int) -> tuple[int, Key] | None:
        parent = self._shape_of(constraint)
        if parent is None or set(constraint.targets) != set(parent.table.key):
            return None
        by_target: dict[str, Value] = {}
        for name, target in zip(constraint.columns, constraint.targets, strict=True):
            index = _staged(loaded, name)
            if index is None:
                return None
            by_target[target] = loaded.stage.rows[row][index]
        return parent.n, tuple(by_target[name] for name in parent.table.key)

    def _shape_of(self, constraint: Constraint) -> Shape | None:
        place = (constraint.parent_schema, constraint.parent_name)
        for shape in self._layout.by_number:
            if (shape.table.central_schema, shape.table.central_name) == place:
                return shape
        return None

    def _constraint(self, error: psycopg.Error, shape: Shape) -> Constraint | None:
        """The foreign key that the error names, if it is one of this table."""
        diag, table = error.diag, shape.table
        if (diag.schema_name, diag.table_name) != (table.central_schema, table.central_name):
            return None
        rows = self._session.run(
            queries("write.sql")["foreign key"], diag.schema_name, diag.table_name, diag.constraint_name
        )
        return Constraint(*rows[0]) if rows else None


def _staged(loaded: Loaded, name: str) -> int | None:
    """Where in a staged row the column stands, None if it is not staged."""
    table = loaded.shape.table
    names = [*table.key, *(table.values[i].name for i in loaded.stage.columns)]
    return names.index(name) if name in names else None
