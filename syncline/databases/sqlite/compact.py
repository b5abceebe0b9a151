"""What compacting asks of SQLite: temporary tables, which it keeps on disk, and how it compares."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from syncline.databases.base import compacting
from syncline.databases.base.dialect import Value
from syncline.databases.sqlite.dialect import SqliteLedgerSession
from syncline.sqlitekit.sql import commas


class Compaction(compacting.Compaction):
    """Looks for covered entries over a connection."""

    last = "max(seq) AS seq, hlc"

    def __init__(self, connection: sqlite3.Connection, keys: Sequence[str], words: Sequence[str]) -> None:
        super().__init__(SqliteLedgerSession(connection), keys, words)
        self._execute = connection.execute

    def set_aside(self, name: str, query: str, row: Sequence[str], *values: Value) -> str:
        table = f"_sync_{name}"
        self._execute(f"DROP TABLE IF EXISTS temp.{table}")
        self._execute(f"CREATE TEMP TABLE {table} AS {query}", values)
        self._execute(f"CREATE INDEX temp.{table}_row ON {table} ({commas(row)})")
        return f"temp.{table}"

    def free(self, tables: Sequence[str]) -> None:
        for table in tables:
            self._execute(f"DROP TABLE {table}")

    def is_same(self, left: str, right: str) -> str:
        return f"{left} IS {right}"

    def told_apart(self, key: str) -> list[str]:
        """1 and 1.0 are two keys."""
        return [f"typeof({key})"]
