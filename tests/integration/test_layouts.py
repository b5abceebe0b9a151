"""Syncline's own tables in the central database, from the oldest layout to the present one."""

from __future__ import annotations

import sqlite3
import subprocess
from pathlib import Path

import pytest

from syncline.databases.postgresql.sql import queries
from syncline.databases.sqlite import open_database
from syncline.errors import NotPrepared
from tests.support.postgres import PostgresCentre, PostgresServer, find_binaries

FIXTURES = Path(__file__).parent.parent / "fixtures"
TABLE = "CREATE TABLE thing (id integer PRIMARY KEY, name text)"


def sqlite_shape(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every table of Syncline's, column by column, and every index and trigger."""
    connection = sqlite3.connect(path)
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    shape = {name: connection.execute(f'PRAGMA table_xinfo("{name}")').fetchall() for name in sorted(names)}
    others = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE type <> 'table' ORDER BY 1, 2"
    shape["others"] = connection.execute(others).fetchall()
    connection.close()
    return shape


def old_sqlite(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(TABLE + ";" + (FIXTURES / "layout_1_sqlite.sql").read_text())
    connection.execute("INSERT INTO _sync_hub (id, layout, hub) VALUES (1, 1, 'the-hub')")
    connection.execute(
        "INSERT INTO _sync_hub_client VALUES ('r1', 7, 'abc', x'00', '2026-01-01T00:00:00.000Z', NULL)"
    )
    connection.commit()
    connection.close()


def test_a_fresh_layout_equals_a_migrated_one_on_sqlite(tmp_path: Path) -> None:
    old, fresh = tmp_path / "old.db", tmp_path / "fresh.db"
    old_sqlite(old)
    sqlite3.connect(fresh).executescript(TABLE)
    for path in (old, fresh):
        database = open_database(f"sqlite:///{path}")
        database.prepare(database.reflect(None))
        database.load()
        database.close()
    assert sqlite_shape(old) == sqlite_shape(fresh)


def test_an_old_layout_is_not_prepared_until_init_has_migrated_it_on_sqlite(tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    old_sqlite(old)
    database = open_database(f"sqlite:///{old}")
    with pytest.raises(NotPrepared, match="layout 1") as caught:
        database.load()
    assert "syncline init" in caught.value.remedy
    said = database.prepare(database.reflect(None), dry_run=True)
    assert any("ALTER TABLE _sync_hub_client" in statement for statement in said.statements)
    with pytest.raises(NotPrepared):
        database.load()
    assert database.prepare(database.reflect(None)).statements == said.statements
    database.load()
    assert database.hub_id == "the-hub"
    with database.read() as transaction:
        client = transaction.client("r1")
    assert client is not None
    assert client.number == 7
    database.close()


def old_postgresql(centre: PostgresCentre) -> None:
    """As version 1 left it, before its capture was installed."""
    text = (FIXTURES / "layout_1_postgresql.sql").read_text()
    statements = [piece.partition("\n")[2] for piece in text.split("-- name: ")[1:]]
    centre.run(
        TABLE,
        *statements,
        "INSERT INTO syncline.clients VALUES ('r1', 7, 'abc', '', '2026-01-01 00:00:00+00', NULL)",
    )


def dumped(url: str) -> list[str]:
    """The schema `syncline` as pg_dump writes it, in order, but for what is of one run."""
    binaries = find_binaries()
    assert binaries is not None
    command = [str(binaries / "pg_dump"), "--schema-only", "--schema=syncline", url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [line for line in text.splitlines() if not line.startswith(("--", "\\"))]


def test_a_fresh_layout_equals_a_migrated_one_on_postgresql(postgres_server: PostgresServer) -> None:
    old, fresh = (PostgresCentre(postgres_server.database()) for _ in range(2))
    old_postgresql(old)
    fresh.run(TABLE)
    for centre in (old, fresh):
        database = centre.open()
        database.prepare(database.reflect(None))
        database.load()
        database.close()
    assert dumped(old.url) == dumped(fresh.url)


def test_an_old_layout_is_not_prepared_until_init_has_migrated_it_on_postgresql(postgres_url: str) -> None:
    centre = PostgresCentre(postgres_url)
    old_postgresql(centre)
    database = centre.open()
    with pytest.raises(NotPrepared, match="layout 1") as caught:
        database.load()
    assert "syncline init" in caught.value.remedy
    said = database.prepare(database.reflect(None), dry_run=True)
    assert set(queries("migrate_2.sql").values()) <= set(said.statements)
    with pytest.raises(NotPrepared):
        database.load()
    assert database.prepare(database.reflect(None)).statements == said.statements
    database.load()
    with database.read() as transaction:
        client = transaction.client("r1")
    assert client is not None
    assert client.number == 7
    database.close()
