"""The central database of a simulated world, as other programs work with it, and the one over SQLite."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from syncline.databases.sqlite import open_database
from syncline.databases.sqlite.errors import mapped
from syncline.errors import DatabaseError
from syncline.hub.contract import Database
from syncline.testing.outside import outside, put_back

START = 1_700_000_000_000
"""When simulated time begins, in milliseconds since 1970."""
CONSTRAINT = 19
"""SQLite's number for a constraint that refuses a statement."""

Clock = Callable[[], int]
"""Simulated time in milliseconds since 1970."""
Row = tuple[Any, ...]


class Refused(Exception):
    """A constraint of the centre refused another program's statement."""


class Office(Protocol):
    """A central database of one history. Statements mark parameters by `?`."""

    @property
    def database(self) -> Database:
        """The adapter under test."""

    @property
    def start(self) -> int:
        """When the history begins, in milliseconds since 1970."""

    @property
    def types(self) -> Sequence[str]:
        """Declared types of new columns."""

    @property
    def can_alter(self) -> bool:
        """Whether tables are altered where they stand; otherwise another one takes their place."""

    @property
    def any_type(self) -> str:
        """The declared type of a column that is as loose as there is."""

    @property
    def values(self) -> Sequence[Any]:
        """Some that such a column takes."""

    def run(self, sql: str, *parameters: object) -> int:
        """One statement of another program; how many rows it changed. Refused."""

    def rows(self, sql: str, *parameters: object) -> list[Row]:
        """What another program reads."""

    def together(self, statements: Sequence[str]) -> None:
        """Statements of one transaction in which no foreign key is looked at."""

    def ignoring(self, sql: str) -> str:
        """The same INSERT or UPDATE, of those rows that no unique value stands in the way of."""

    def without_rowid(self) -> str:
        """What a CREATE TABLE may end with, to store its rows otherwise."""

    def triggers(self, table: str) -> list[str]:
        """The names of the triggers on a table."""

    def drop_trigger(self, name: str, table: str) -> None:
        """Take one away."""

    def foreign_key(self, table: str, column: str) -> str | None:
        """The name of the constraint by which a column points at another table."""

    def logged(self) -> Iterator[tuple[str, int, Row]]:
        """The hub's log: operation, number of the table, key."""

    def broken(self) -> list[Row]:
        """Rows that point at nothing."""

    def backup(self) -> Any:
        """The database as it is now."""

    def restore(self, backup: Any) -> None:
        """The database as it was at a backup."""

    def close(self) -> None:
        """Give the database back; nothing is left of it."""


MakeOffice = Callable[[Clock], Office]


class SqliteOffice:
    """In memory, with the clock of the history."""

    types = ("TEXT", "INTEGER", "VARCHAR(20)", "", "TEXT COLLATE NOCASE", "BIGINT")
    can_alter = False
    any_type = ""
    values = (None, 1, 2.5, "x", b"\x00\xff")
    start = START

    def __init__(self, clock: Clock) -> None:
        self.database = open_database("sqlite:///:memory:", clock=clock)
        self._connection: Any = None
        """While a transaction is open."""

    def run(self, sql: str, *parameters: object) -> int:
        try:
            with self._connected() as connection, mapped("centre"):
                return int(connection.execute(sql, parameters).rowcount)
        except DatabaseError as error:
            if getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF == CONSTRAINT:
                raise Refused(error.detail) from error
            raise

    def rows(self, sql: str, *parameters: object) -> list[Row]:
        with self._connected() as connection:
            return list(connection.execute(sql, parameters))

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        if self._connection is not None:
            yield self._connection
        else:
            with outside(self.database) as connection:
                yield connection

    def together(self, statements: Sequence[str]) -> None:
        with outside(self.database) as self._connection:
            for statement in ("PRAGMA foreign_keys = OFF", "BEGIN IMMEDIATE", *statements):
                self.run(statement)
            self.run("COMMIT")
            self.run("PRAGMA foreign_keys = ON")
        self._connection = None

    def ignoring(self, sql: str) -> str:
        verb = sql[:6]
        return f"{verb} OR IGNORE {sql[6:]}" if verb in ("INSERT", "UPDATE") else sql

    def without_rowid(self) -> str:
        return "WITHOUT ROWID"

    def triggers(self, table: str) -> list[str]:
        sql = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?"
        return [name for (name,) in self.rows(sql, table)]

    def drop_trigger(self, name: str, table: str) -> None:
        self.run(f"DROP TRIGGER {name}")

    def foreign_key(self, table: str, column: str) -> str | None:
        return None

    def logged(self) -> Iterator[tuple[str, int, Row]]:
        for op, n, *key in self.rows("SELECT op, tbl, k0, k1 FROM _sync_hub_log"):
            yield op, n, tuple(part for part in key if part is not None)

    def broken(self) -> list[Row]:
        return self.rows("PRAGMA foreign_key_check")

    def backup(self) -> bytes:
        with outside(self.database) as connection:
            return connection.serialize()

    def restore(self, backup: bytes) -> None:
        with outside(self.database) as connection:
            put_back(connection, backup)

    def close(self) -> None:
        self.database.close()
