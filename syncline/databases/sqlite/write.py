"""Steps 5 to 7 in the centre: everything the engine needs inside the one transaction of a push.

BEGIN IMMEDIATE holds SQLite's only write lock from the first statement, so `lock` has nothing to lock and
no insert can meet a row committed meanwhile.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from syncline.databases.base import statements
from syncline.databases.base.bases import Bases
from syncline.databases.base.logtable import Others, floor_of, since
from syncline.databases.base.writing import BaseWriter
from syncline.databases.sqlite import apply, stage
from syncline.databases.sqlite.dialect import ledger_of
from syncline.databases.sqlite.layout import Layout
from syncline.databases.sqlite.read import RowReader
from syncline.databases.sqlite.replaced import PERHAPS, without_idle
from syncline.databases.sqlite.stage import Staged
from syncline.databases.sqlite.undone import Undone
from syncline.hub.contract import Key, Position, Refusal, Rival, Stage


class RowWriter(RowReader, BaseWriter[Staged]):
    """The contract's `Rows` over a connection that holds the write lock."""

    def __init__(self, connection: sqlite3.Connection, layout: Layout, undone: Undone) -> None:
        RowReader.__init__(self, connection, layout)
        BaseWriter.__init__(self)
        self._undone, self._thorough = undone, undone.thorough

    def foresee(self) -> None:
        self._thorough = True

    def drop(self, loaded: Sequence[Staged]) -> None:
        for staged in loaded:
            stage.drop(self.connection, staged)

    def load(self, stage_: Stage) -> None:
        stage_.handle = stage.load(self.connection, self.layout, stage_, len(self._staged))

    def keyless(self, stage_: Stage, rows: Sequence[int]) -> frozenset[int]:
        """None: SQLite makes another value of a key only where that is a key, too."""
        return frozenset()

    def present(self, stages: Sequence[Stage], *, hopeful: bool) -> list[set[int]]:
        return [self.there(self.loaded(stage_)) for stage_ in stages]

    def rivals(
        self, stage_: Stage, bases: Sequence[Position], base: Sequence[int], replica: str
    ) -> list[Rival]:
        staged, known = self.loaded(stage_), Bases(bases, base, replica)
        shape, floor = staged.shape, floor_of(known)
        if not Others(ledger_of(self.connection)).has_others(shape.n, replica, floor):
            return []
        stage.index(self.connection, staged)
        statement = since(shape, stage.LOG, f"{staged.table} AS s")
        found = self.connection.execute(statement, (floor, shape.n)).fetchall()
        if any(op == PERHAPS for _, _, op, *_ in found):
            found = without_idle(found, self.there(staged))
        return known.rivals(shape, found)

    def there(self, staged: Staged) -> set[int]:
        return {row for (row,) in self.connection.execute(*staged.over(statements.present(staged.shape)))}

    def children(self, stage_: Stage, child: int, pairs: Sequence[tuple[str, str]]) -> list[tuple[int, Key]]:
        staged = self.loaded(stage_)
        statement = statements.children(staged.shape, self.layout.shapes[child], pairs)
        return [(n, tuple(key)) for n, *key in self.connection.execute(*staged.over(statement))]

    def discard(self, stage_: Stage, rows: Sequence[int]) -> None:
        stage.discard(self.connection, self.loaded(stage_), rows)

    def apply(self, stages: Sequence[Stage], origin: str) -> list[Refusal]:
        loaded = [self.loaded(stage_) for stage_ in stages]
        return apply.apply(self, loaded, origin, self._undone, thorough=self._thorough)

    def is_triggered(self, staged: Staged) -> bool:
        return bool(staged.shape.facts.triggers)

    def stored_otherwise(self, staged: Staged) -> list[int]:
        shape, tests = staged.shape, []
        for number, column in enumerate(staged.stage.columns):
            stored = shape.values_of("t", [column])[0]
            tests.append(f"{stored} IS NOT s.c{number} COLLATE BINARY")
            tests.append(f"typeof({stored}) <> typeof(s.c{number})")
        found = self.connection.execute(*staged.over(statements.differing(shape, tests)))
        return [row for (row,) in found]
