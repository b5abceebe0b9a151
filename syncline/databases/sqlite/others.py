"""Whether anybody but one replica has written to a table since a place in the log of a SQLite centre."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from syncline.databases.base.others import OtherWriters
from syncline.databases.sqlite.dialect import ledger_of


class Others(OtherWriters):
    """Over a connection that holds the write lock."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(ledger_of(connection))
        self._run = connection.execute

    def end(self) -> int:
        return int(self._run("SELECT coalesce(max(seq), 0) FROM _sync_hub_log").fetchone()[0])

    def is_any(self, table: int, replica: str, floor: int) -> bool:
        sql = "SELECT 1 FROM _sync_hub_log WHERE seq > ? AND tbl = ? AND origin <> ? LIMIT 1"
        return self._run(sql, (floor, table, replica)).fetchone() is not None

    def last_by(self, above: int) -> Iterable[tuple[int, str, int]]:
        sql = "SELECT tbl, origin, max(seq) FROM _sync_hub_log WHERE seq > ? GROUP BY tbl, origin"
        return self._run(sql, (above,))
