"""Foreign keys that fail: which rows point at nothing, and at what."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from syncline.databases.base.isolation import Part
from syncline.databases.base.parents import Constraint, coming, places_of
from syncline.databases.postgresql import statements as sql
from syncline.databases.postgresql.errors import Trouble, refusal_code
from syncline.databases.postgresql.layout import Layout, Shape
from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.sql import qualified, queries, quote
from syncline.databases.postgresql.stage import Loaded
from syncline.hub.contract import Key, Refusal, codes


class Parents:
    """Looks up what a failing foreign key means for staged rows."""

    def __init__(self, session: Session, layout: Layout, loaded: Sequence[Loaded]) -> None:
        self._session, self._tables, self._loaded = session, layout.schema.tables, loaded

    def of_row(self, error: Trouble, loaded: Loaded, row: int) -> tuple[int, Key] | None:
        """(table number, key) of the row that this one points at in vain, if it can be told."""
        constraint = self._constraint(error, loaded.shape)
        if constraint is None or loaded.stage.form == "delete":
            return None
        return constraint.target(self._tables, loaded.shape.table, loaded.stage, row)

    def orphans(self, failure: object, parts: Sequence[Part[Loaded]]) -> list[Refusal]:
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
        loaded, stage, table = part.loaded, part.loaded.stage, part.loaded.shape.table
        places = places_of(table, stage, constraint.columns)
        if places is None:
            return []
        staged = [
            loaded.codecs[place].write(f"s.{sql.staged_name(place, loaded.shape.arity)}") for place in places
        ]
        pairs = list(zip(staged, map(quote, constraint.targets), strict=True))
        name = qualified(constraint.parent_schema, constraint.parent_name)
        try:
            with self._session.savepoint():
                rows = self._session.run(*loaded.over(sql.orphans(pairs, name), part.rows))
        except psycopg.DataError:  # some other row holds what cannot be cast: leave it to isolation
            return []
        theirs = self._coming(constraint)
        words = f"foreign key {', '.join(constraint.columns)}"
        detail = f"{words}: there is no such row in {constraint.parent_name}"
        return [
            Refusal(stage, n, codes.FOREIGN_KEY, detail, constraint.target(self._tables, table, stage, n))
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

    def _constraint(self, error: Trouble, shape: Shape) -> Constraint | None:
        """The foreign key that the error names, if it is one of this table."""
        diag, table = error.diag, shape.table
        if (diag.schema_name, diag.table_name) != (table.central_schema, table.central_name):
            return None
        rows = self._session.run(
            queries("write.sql")["foreign key"], diag.schema_name, diag.table_name, diag.constraint_name
        )
        return Constraint(*rows[0]) if rows else None
