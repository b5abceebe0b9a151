"""SQLite's words for the ledger."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import ClassVar

from syncline.databases.base import ONE_LOG, Dialect, Kind, Ledger
from syncline.databases.base.dialect import DbApiSession

WALL = "CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER)"
"""Milliseconds since 1970 UTC. `julianday` is the only source of time, so a caller's clock can stand in."""


class SqliteDialect(Dialect):
    """Tables with a prefix in the one file; who writes holds the lock of the whole file."""

    types: ClassVar[Mapping[Kind, str]] = {
        "serial": "INTEGER PRIMARY KEY AUTOINCREMENT",
        "text": "TEXT",
        "bytes": "BLOB",
        "integer": "INTEGER",
    }
    now: ClassVar[str] = WALL
    texts: ClassVar[str] = "(SELECT value FROM json_each(?))"
    random: ClassVar[str] = "random() & 0x7fffffffffffffff"
    for_update: ClassVar[str] = ""
    one_writer: ClassVar[bool] = True
    own = ONE_LOG

    def table(self, name: str) -> str:
        return "_sync_hub" if name == "state" else f"_sync_hub_{name}"

    def index(self, name: str) -> str:
        return f"_sync_hub_{name}"

    def mark(self, number: int) -> str:
        return f"?{number}"


DIALECT = SqliteDialect()


class SqliteLedgerSession(DbApiSession):
    """The ledger's verbs over a connection."""

    dialect = DIALECT


def ledger_of(connection: sqlite3.Connection) -> Ledger:
    """The ledger over a connection in a transaction."""
    return Ledger(SqliteLedgerSession(connection))
