"""The central database of a simulated world over PostgreSQL: a database of its own in a server that is given.

Its clock is the server's, so a history whose outcome hangs on clocks need not repeat itself to the letter.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg import sql

from syncline.databases.postgresql import open_database
from syncline.testing.office import Clock, MakeOffice, Refused, Row

_numbers = itertools.count(1)


def offices_in(server: str) -> MakeOffice:
    """Makes centres in the server at this URL, whose user may create databases."""

    def make(clock: Clock) -> PostgresOffice:
        return PostgresOffice(server)

    return make


class PostgresOffice:
    """A fresh database. Other programs have a session of their own in it, in autocommit."""

    types = ("TEXT", "INTEGER", "VARCHAR(20)", "BIGINT")
    can_alter = True
    any_type = "TEXT"
    values = (None, "", "x", "\u00fc\u4e16", "1")

    def __init__(self, server: str) -> None:
        self._server, self._name = server, f"sim{os.getpid()}_{next(_numbers)}"
        self.start = int(time.time() * 1000)
        self._backups: list[str] = []
        self._manage("CREATE DATABASE {}", self._name)
        self._url = f"{server.rpartition('/')[0]}/{self._name}"
        self.database = open_database(self._url)
        self.database.catalogue.look_seconds = 0.0
        self._connect()

    def _connect(self) -> None:
        self._session: psycopg.Connection[Any] = psycopg.connect(self._url, autocommit=True)

    def _manage(self, statement: str, *names: str) -> None:
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def backup(self) -> str:
        """Another database; a copy is made of one that nobody is connected to."""
        name = f"{self._name}_{len(self._backups)}"
        self._session.close()
        with psycopg.connect(self._server, autocommit=True) as connection:
            ended = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s"
            connection.execute(ended, [self._name])
        self._manage("CREATE DATABASE {} TEMPLATE {}", name, self._name)
        self._backups.append(name)
        self._connect()
        return name

    def restore(self, backup: str) -> None:
        """The hub's sessions end, as they do where a server goes down."""
        self._session.close()
        self._manage("DROP DATABASE {} WITH (FORCE)", self._name)
        self._manage("CREATE DATABASE {} TEMPLATE {}", self._name, backup)
        self._connect()

    def _execute(self, statement: str, parameters: Sequence[object]) -> psycopg.Cursor[Any]:
        marked = statement.replace("%", "%%").replace("?", "%s") if parameters else statement
        try:
            return self._session.execute(marked.encode(), list(parameters) or None)
        except (
            psycopg.IntegrityError,
            psycopg.DataError,
        ) as error:
            raise Refused(str(error)) from error

    def run(self, sql: str, *parameters: object) -> int:
        return self._execute(sql, parameters).rowcount

    def rows(self, sql: str, *parameters: object) -> list[Row]:
        return self._execute(sql, parameters).fetchall()

    def together(self, statements: Sequence[str]) -> None:
        with self._session.transaction():
            self.run("SET CONSTRAINTS ALL DEFERRED")
            for statement in statements:
                self.run(statement)

    def ignoring(self, sql: str) -> str:
        return sql

    def without_rowid(self) -> str:
        return ""

    def triggers(self, table: str) -> list[str]:
        found = "SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass(?) AND NOT tgisinternal"
        return [name for (name,) in self.rows(found, table)]

    def drop_trigger(self, name: str, table: str) -> None:
        self.run(f"DROP TRIGGER {name} ON {table}")

    def foreign_key(self, table: str, column: str) -> str | None:
        found = self.rows(
            "SELECT conname FROM pg_constraint JOIN pg_attribute"
            " ON attrelid = conrelid AND conkey = ARRAY[attnum]"
            " WHERE contype = 'f' AND conrelid = to_regclass(?) AND attname = ?",
            table,
            column,
        )
        return found[0][0] if found else None

    def logged(self) -> Iterator[tuple[str, int, Row]]:
        logs = "SELECT relname FROM pg_class WHERE relnamespace = 'syncline'::regnamespace AND relkind = 'r'"
        for (log,) in self.rows(f"{logs} AND relname ~ '^log_[0-9]+$'"):
            for (entry,) in self.rows(f"SELECT to_json(l) FROM syncline.{log} l"):
                key = tuple(
                    value for name, value in sorted(entry.items()) if name[1:].isdigit() and name[0] == "k"
                )
                yield entry["op"], int(log.removeprefix("log_")), key

    def broken(self) -> list[Row]:
        return []  # no foreign key can be broken: nobody here may switch one off

    def close(self) -> None:
        self._session.close()
        self.database.close()
        for name in (self._name, *self._backups):
            self._manage("DROP DATABASE {} WITH (FORCE)", name)
