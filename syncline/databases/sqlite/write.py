"""Steps 5 to 7 in the centre: everything the engine needs inside the one transaction of a push.

BEGIN IMMEDIATE holds SQLite's only write lock from the first statement, so `lock` has nothing to lock and
no insert can meet a row committed meanwhile.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from syncline.databases.base import statements
from syncline.databases.sqlite import apply, stage
from syncline.databases.sqlite.layout import Layout
from syncline.databases.sqlite.position import own
from syncline.databases.sqlite.read import RowReader
from syncline.databases.sqlite.stage import Staged
from syncline.databases.sqlite.undone import Undone
from syncline.hub.contract import Position, Refusal, Rival, Stage
from syncline.model.masks import join_mask
from syncline.sqlitekit.sql import commas


class RowWriter(RowReader):
    """The contract's `Rows` over a connection that holds the write lock."""

    def __init__(self, connection: sqlite3.Connection, layout: Layout, undone: Undone) -> None:
        super().__init__(connection, layout)
        self._undone = undone
        self._staged: list[Staged] = []

    def unstage(self) -> None:
        for staged in self._staged:
            stage.drop(self.connection, staged)
            staged.stage.handle = None  # they hold each other
        self._staged.clear()

    def ready(self, stage_: Stage) -> None:
        """There is nothing that could be done before."""

    def stage(self, stage_: Stage) -> None:
        staged = stage.load(self.connection, self.layout, stage_, len(self._staged))
        stage_.handle = staged
        self._staged.append(staged)

    def lock(self, stages: Sequence[Stage], *, hopeful: bool = False) -> list[list[int]]:
        found = []
        for stage_ in stages:
            there = self._present(stage_.handle)
            live, inserts = stage_.handle.live, stage_.form == "insert"
            found.append([row for row in live if (row in there) == inserts])
        return found

    def rivals(
        self, stage_: Stage, bases: Sequence[Position], base: Sequence[int], replica: str
    ) -> list[Rival]:
        staged: Staged = stage_.handle
        floors = [own(position).seq for position in bases]
        floor = min((floors[number] for number in set(base)), default=floors[0])
        shape = staged.shape
        if (
            self.connection.execute(
                "SELECT 1 FROM _sync_hub_log WHERE seq > ? AND tbl = ? AND origin <> ? LIMIT 1",
                (floor, shape.n, replica),
            ).fetchone()
            is None
        ):
            return []
        stage.index(self.connection, staged)
        masks = commas(f"l.{name}" for name in shape.words)
        found = self.connection.execute(
            f"SELECT s.n, l.seq, l.op, l.hlc, l.origin, {masks}"
            f" FROM _sync_hub_log AS l CROSS JOIN {staged.table} AS s"
            f" WHERE l.seq > ? AND l.tbl = ? AND {shape.matches('l')} ORDER BY l.seq",
            (floor, shape.n),
        ).fetchall()
        whole = shape.table.all_mask
        return [
            Rival(row, seq, op, join_mask(words) if op == "U" else whole, hlc, origin)
            for row, seq, op, hlc, origin, *words in self._without_idle(staged, found)
            if origin != replica and seq > (floors[base[row]] if base else floor)
        ]

    def _without_idle(self, staged: Staged, found: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Entries M that removed a row become D; the others go.

        M removed the row if the next entry of the key is an insert, or if it is the last and the row is gone.
        """
        if not any(entry[2] == "M" for entry in found):
            return found
        present = self._present(staged)
        following: dict[int, str] = {}
        kept = []
        for entry in reversed(found):
            row, op = entry[0], entry[2]
            after = following.get(row, "" if row in present else "I")
            following[row] = op
            if op != "M":
                kept.append(entry)
            elif after == "I":
                kept.append((*entry[:2], "D", *entry[3:]))
        return kept[::-1]

    def _present(self, staged: Staged) -> set[int]:
        return {row for (row,) in self.connection.execute(*staged.over(statements.present(staged.shape)))}

    def discard(self, stage_: Stage, rows: Sequence[int]) -> None:
        stage.discard(self.connection, stage_.handle, rows)

    def apply(self, stages: Sequence[Stage], origin: str) -> list[Refusal]:
        return apply.apply(self, [stage_.handle for stage_ in stages], origin, self._undone)

    def differing(self, stage_: Stage) -> list[int]:
        staged: Staged = stage_.handle
        shape = staged.shape
        if stage_.form == "delete":  # turned into an update, the centre's way of deleting
            there = staged.over(statements.present(shape))
            return [row for (row,) in self.connection.execute(*there)] if shape.facts.triggers else []
        tests = []
        for number, column in enumerate(stage_.columns):
            stored = shape.values_of("t", [column])[0]
            tests.append(f"{stored} IS NOT s.c{number} COLLATE BINARY")
            tests.append(f"typeof({stored}) <> typeof(s.c{number})")
        found = self.connection.execute(*staged.over(statements.differing(shape, tests)))
        return [row for (row,) in found]
