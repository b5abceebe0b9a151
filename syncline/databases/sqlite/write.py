"""Steps 5 to 7 in the centre: everything the engine needs inside the one transaction of a push.

BEGIN IMMEDIATE holds SQLite's only write lock from the first statement, so `lock` has nothing to lock and
no insert can meet a row committed meanwhile.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from syncline.databases.sqlite import apply, retention, stage
from syncline.databases.sqlite.layout import Layout
from syncline.databases.sqlite.read import CLIENT, Reader, conflict_row, seq_of
from syncline.databases.sqlite.sql import NOW, WALL, commas, join_mask, mask_columns
from syncline.databases.sqlite.stage import Staged
from syncline.databases.sqlite.uploads import UploadKeeping
from syncline.hub.database import Client, ConflictRow, Position, Refusal, Removed, Rival, Stage


class Writer(Reader, UploadKeeping):
    """`hub.database.WriteTransaction` over a connection that holds the write lock."""

    def __init__(self, connection: sqlite3.Connection, layout: Layout) -> None:
        super().__init__(connection, layout)
        self._staged: list[Staged] = []
        self.attempt = 0

    def close(self) -> None:
        """Drop the temporary tables; to be called before the commit."""
        self.unstage()

    def unstage(self) -> None:
        for staged in self._staged:
            self.connection.execute(f"DROP TABLE {staged.table}")
            if staged.entries is not None:
                self.connection.execute(f"DROP TABLE {staged.entries}")
            staged.stage.handle = None  # they hold each other
        self._staged.clear()

    def lock_client(self, replica: str) -> Client | None:
        return self.client(replica)

    def save_client(self, client: Client) -> None:
        (now,) = self.connection.execute(f"SELECT {NOW}").fetchone()
        values = [now if value == "now" and name in _TIMES else value for name, value in _plain(client)]
        changes = commas(f"{name} = excluded.{name}" for name in CLIENT[1:])
        self.connection.execute(
            f"INSERT INTO _sync_hub_client ({commas(CLIENT)}) VALUES ({commas('?' * len(CLIENT))})"
            f" ON CONFLICT (replica) DO UPDATE SET {changes}",
            values,
        )

    def drop_client(self, replica: str) -> None:
        self.connection.execute("DELETE FROM _sync_hub_client WHERE replica = ?", (replica,))

    def take_turn(self, interval: float) -> bool:
        return retention.take_turn(self.connection, interval)

    def note_moment(self) -> None:
        retention.note_moment(self.connection, self.now())

    def prune(self, held: Sequence[Position], keep: float, longest: float | None, limit: int) -> Removed:
        places = [seq_of(position) for position in held]
        return retention.prune(self.connection, places, keep, longest, self.now(), limit)

    def compact(self, limit: int) -> Removed:
        return retention.compact(self.connection, self.layout, self.now(), limit)

    def drop_conflicts(self, days: float, limit: int) -> int:
        return retention.drop_conflicts(self.connection, days, limit)

    def ready(self, stage_: Stage) -> None:
        """There is nothing that could be done before."""

    def stage(self, stage_: Stage) -> None:
        staged = stage.load(self.connection, self.layout, stage_, len(self._staged))
        stage_.handle = staged
        self._staged.append(staged)

    def wait_longer(self, attempt: int) -> None:
        """The write lock is held already."""
        self.attempt = attempt

    def lock(self, stages: Sequence[Stage], *, hopeful: bool = False) -> list[list[int]]:
        return [self._unexpected(stage_.handle) for stage_ in stages]

    def _unexpected(self, staged: Staged) -> list[int]:
        tracked = staged.tracked
        exists = "EXISTS" if staged.stage.form == "insert" else "NOT EXISTS"
        found = self.connection.execute(
            f"SELECT s.rowid - 1 FROM {staged.table} AS s WHERE {exists}"
            f" (SELECT 1 FROM {tracked.name} AS t WHERE {tracked.join('t', 's')}) ORDER BY s.rowid"
        )
        return [row for (row,) in found]

    def rivals(
        self, stage_: Stage, bases: Sequence[Position], base: Sequence[int], replica: str
    ) -> list[Rival]:
        staged: Staged = stage_.handle
        floors = [seq_of(position).seq for position in bases]
        floor = min((floors[number] for number in set(base)), default=floors[0])
        tracked = staged.tracked
        if (
            self.connection.execute(
                "SELECT 1 FROM _sync_hub_log WHERE seq > ? AND tbl = ? AND origin <> ? LIMIT 1",
                (floor, tracked.n, replica),
            ).fetchone()
            is None
        ):
            return []
        stage.index(self.connection, staged)
        masks = commas(f"l.{name}" for name in mask_columns(tracked.words))
        found = self.connection.execute(
            f"SELECT s.rowid - 1, l.seq, l.op, l.hlc, l.origin, {masks}"
            f" FROM _sync_hub_log AS l CROSS JOIN {staged.table} AS s"
            f" WHERE l.seq > ? AND l.tbl = ? AND {stage.same_key(staged, 's', 'l')} ORDER BY l.seq",
            (floor, tracked.n),
        ).fetchall()
        whole = tracked.table.all_mask
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
        tracked = staged.tracked
        found = self.connection.execute(
            f"SELECT s.rowid - 1 FROM {staged.table} AS s CROSS JOIN {tracked.name} AS t"
            f" WHERE {tracked.join('t', 's')}"
        )
        return {row for (row,) in found}

    def discard(self, stage_: Stage, rows: Sequence[int]) -> None:
        stage.discard(self.connection, stage_.handle, rows)

    def apply(self, stages: Sequence[Stage], origin: str) -> list[Refusal]:
        return apply.apply(self, [stage_.handle for stage_ in stages], origin)

    def differing(self, stage_: Stage) -> list[int]:
        staged: Staged = stage_.handle
        tracked = staged.tracked
        tests = []
        for number, column in enumerate(stage_.columns):
            stored = tracked.values_of("t", [column])[0]
            tests.append(f"{stored} IS NOT s.c{number} COLLATE BINARY")
            tests.append(f"typeof({stored}) <> typeof(s.c{number})")
        key = tracked.key_of("t")[0]
        found = self.connection.execute(
            f"SELECT s.rowid - 1 FROM {staged.table} AS s LEFT JOIN {tracked.name} AS t"
            f" ON {tracked.join('t', 's')} WHERE {' OR '.join([f'{key} IS NULL', *tests])} ORDER BY s.rowid"
        )
        return [row for (row,) in found]

    def add_conflicts(self, conflicts: Sequence[ConflictRow]) -> list[int]:
        ids = []
        for conflict in conflicts:
            cursor = self.connection.execute(
                "INSERT INTO _sync_hub_conflict (replica, push, open, data) VALUES (?, ?, ?, ?)",
                (conflict.replica, conflict.push, conflict.open, json.dumps(conflict.data)),
            )
            assert cursor.lastrowid is not None
            ids.append(cursor.lastrowid)
        return ids

    def resolve_conflict(self, number: int) -> ConflictRow | None:
        row = self.connection.execute(
            "SELECT id, replica, push, open, data FROM _sync_hub_conflict WHERE id = ?", (number,)
        ).fetchone()
        return conflict_row(row) if row else None

    def save_resolution(self, number: int, outcome: str, resolution: Any) -> None:
        conflict = self.resolve_conflict(number)
        if conflict is not None:
            data = {**conflict.data, "outcome": outcome, "resolution": resolution}
            self.connection.execute(
                "UPDATE _sync_hub_conflict SET open = 0, data = ? WHERE id = ?", (json.dumps(data), number)
            )

    def milliseconds(self) -> int:
        return int(self.connection.execute(f"SELECT {WALL}").fetchone()[0])

    def clock(self) -> int:
        return int(self.connection.execute("SELECT clock FROM _sync_hub").fetchone()[0])

    def raise_clock(self, hlc: int) -> None:
        self.connection.execute("UPDATE _sync_hub SET clock = ? WHERE clock < ?", (hlc, hlc))


_TIMES = ("last_push", "last_pull", "registered", "last_seen")


def _plain(client: Client) -> list[tuple[str, object]]:
    return [(name, getattr(client, name)) for name in CLIENT]
