"""The conformance suite over SQLite, in a file."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import ClassVar

import pytest

from syncline.databases.sqlite import open_database
from syncline.hub.contract import Database
from syncline.testing.conformance import Centre, DatabaseConformance

CYCLE = (
    "CREATE TABLE hen (id integer PRIMARY KEY, egg integer REFERENCES egg (id))",
    "CREATE TABLE egg (id integer PRIMARY KEY, hen integer REFERENCES hen (id))",
)
TRIGGER = (
    "CREATE TRIGGER contact_guard BEFORE INSERT ON contact WHEN NEW.name = 'forbidden'"
    " BEGIN SELECT RAISE(ABORT, 'this name is not welcome'); END",
    "CREATE TRIGGER contact_new AFTER INSERT ON contact BEGIN"
    " UPDATE contact SET shown = upper(name) WHERE id = NEW.id;"
    " INSERT INTO noted VALUES (NEW.id); END",
    "CREATE TRIGGER contact_renamed AFTER UPDATE ON contact WHEN OLD.name IS NOT NEW.name BEGIN"
    " UPDATE contact SET shown = upper(name) WHERE id = NEW.id; END",
)


class SqliteCentre:
    """A file, and another program that writes to it with a connection of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        sqlite3.connect(path).close()
        path.touch()

    def open(self) -> Database:
        return open_database(f"sqlite:///{self.path}")

    def run(self, *statements: str) -> None:
        connection = sqlite3.connect(self.path, isolation_level=None)
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("BEGIN IMMEDIATE")
            for statement in statements:
                connection.execute(statement)
            connection.execute("COMMIT")
        finally:
            connection.close()


class TestSqlite(DatabaseConformance):
    CYCLE: ClassVar = CYCLE
    TRIGGER: ClassVar = TRIGGER

    @pytest.fixture
    def centre(self, tmp_path: Path) -> Centre:
        return SqliteCentre(tmp_path / "central.db")
