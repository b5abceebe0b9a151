"""A device file or a centre that is not what it should be: written past capture."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

Statement = str | tuple[str, Sequence[Any]]


def damage_device(file: Path, *statements: Statement) -> None:
    """Run statements in a device file that its triggers do not capture."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE _sync_state SET suppressed = 1")
        for statement in statements:
            sql, values = (statement, ()) if isinstance(statement, str) else statement
            connection.execute(sql, values)
        connection.execute("UPDATE _sync_state SET suppressed = 0")
        connection.execute("COMMIT")


def damage_sqlite(file: Path, *statements: str) -> None:
    """Change a SQLite centre behind the hub's back: its triggers are away for one transaction."""
    with closing(sqlite3.connect(file, isolation_level=None, timeout=20)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        triggers = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY rowid"
        ).fetchall()
        for name, _ in triggers:
            connection.execute(f'DROP TRIGGER "{name}"')
        for statement in statements:
            connection.execute(statement)
        for _, sql in triggers:
            connection.execute(sql)
        connection.execute("COMMIT")


def damage_postgres(url: str, *statements: str) -> None:
    """Change a PostgreSQL centre behind the hub's back: its triggers are off for one transaction."""
    with psycopg.connect(url) as connection:
        triggers = connection.execute(
            "SELECT tgrelid::regclass::text, quote_ident(tgname), tgenabled::text FROM pg_trigger"
            " WHERE NOT tgisinternal AND tgenabled <> 'D'"
        ).fetchall()
        modes = {"A": "ENABLE ALWAYS", "R": "ENABLE REPLICA", "O": "ENABLE"}
        for table, name, _ in triggers:
            connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER {name}".encode())
        for statement in statements:
            connection.execute(statement.encode())
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table, name, enabled in triggers:
            connection.execute(f"ALTER TABLE {table} {modes[enabled]} TRIGGER {name}".encode())
