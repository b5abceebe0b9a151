"""Chinook where it can be edited: on a device, in PostgreSQL, in a central SQLite file."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg

KEYS = {
    "artist": ("artist_id",),
    "album": ("album_id",),
    "employee": ("employee_id",),
    "customer": ("customer_id",),
    "genre": ("genre_id",),
    "invoice": ("invoice_id",),
    "media_type": ("media_type_id",),
    "track": ("track_id",),
    "invoice_line": ("invoice_line_id",),
    "playlist": ("playlist_id",),
    "playlist_track": ("playlist_id", "track_id"),
}
Key = tuple[Any, ...]
Rows = dict[Key, tuple[Any, ...]]


def camel(name: str) -> str:
    """Chinook's SQLite file says InvoiceLineId where its PostgreSQL script says invoice_line_id."""
    return "".join(part.title() for part in name.split("_"))


class Place(ABC):
    """One copy of Chinook. Names are those of PostgreSQL; decimals and times are given as text.

    Every call is one transaction. `Refused` when the database's own constraints do not allow it.
    """

    class Refused(Exception):
        pass

    def __init__(self, label: str, first_id: int) -> None:
        self.label, self._next = label, first_id

    def new_id(self) -> int:
        """An id nobody else gives."""
        self._next += 1
        return self._next

    @abstractmethod
    def run(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement (with ? for values) in a transaction of its own."""

    def name(self, name: str) -> str:
        """The name of a table or column here, quoted."""
        return f'"{name}"'

    def moment(self, text: str) -> Any:
        """A timestamp as this place writes it."""
        return text

    def money(self, text: str) -> Any:
        """A decimal as this place writes it."""
        return text

    def insert(self, table: str, **columns: Any) -> None:
        names = ", ".join(map(self.name, columns))
        places = ", ".join("?" * len(columns))
        self.run(f"INSERT INTO {self.name(table)} ({names}) VALUES ({places})", list(columns.values()))

    def put(self, table: str, key: Key, **columns: Any) -> None:
        """An upsert."""
        names = [*KEYS[table], *columns]
        updates = ", ".join(f"{self.name(c)} = excluded.{self.name(c)}" for c in columns)
        self.run(
            f"INSERT INTO {self.name(table)} ({', '.join(map(self.name, names))})"
            f" VALUES ({', '.join('?' * len(names))})"
            f" ON CONFLICT ({', '.join(map(self.name, KEYS[table]))}) DO UPDATE SET {updates}",
            [*key, *columns.values()],
        )

    def update(self, table: str, key: Key, **columns: Any) -> None:
        sets = ", ".join(f"{self.name(c)} = ?" for c in columns)
        self.run(f"UPDATE {self.name(table)} SET {sets} WHERE {self._is(table)}", [*columns.values(), *key])

    def delete(self, table: str, key: Key) -> None:
        self.run(f"DELETE FROM {self.name(table)} WHERE {self._is(table)}", key)

    def get(self, table: str, key: Key, column: str) -> Any:
        found = self.run(f"SELECT {self.name(column)} FROM {self.name(table)} WHERE {self._is(table)}", key)
        return found[0][0] if found else None

    def keys(self, table: str) -> list[Key]:
        names = ", ".join(map(self.name, KEYS[table]))
        return self.run(f"SELECT {names} FROM {self.name(table)} ORDER BY {names}")

    def rows(self, table: str) -> Rows:
        """Every row as a device should hold it, by key."""
        names = ", ".join(map(self.name, KEYS[table]))
        found = self.run(f"SELECT {names}, t.* FROM {self.name(table)} AS t")
        width = len(KEYS[table])
        return {row[:width]: tuple(map(portable, row[width:])) for row in found}

    def _is(self, table: str) -> str:
        return " AND ".join(f"{self.name(column)} = ?" for column in KEYS[table])


def portable(value: Any) -> Any:
    """What a device holds for a value that the central database gives as a Python object."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        text = value.isoformat()
        return text.rstrip("0") if "." in text else text
    return value


class SqlitePlace(Place):
    """A device, or the central file. The connection is an application's: nothing of Syncline is in it."""

    def __init__(self, label: str, first_id: int, file: Path, *, of_sqlite: bool) -> None:
        super().__init__(label, first_id)
        self.of_sqlite = of_sqlite
        self.connection = sqlite3.connect(file, timeout=30, isolation_level=None)
        self.connection.execute("PRAGMA foreign_keys = ON")

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self.connection.execute(statement, values).fetchall()
        except sqlite3.IntegrityError as error:
            raise self.Refused(str(error)) from error

    def name(self, name: str) -> str:
        return f'"{camel(name)}"' if self.of_sqlite else f'"{name}"'

    def moment(self, text: str) -> Any:
        return text.replace("T", " ") if self.of_sqlite else text

    def money(self, text: str) -> Any:
        return float(text) if self.of_sqlite else text

    def replace(self, table: str, key: Key, columns: Mapping[str, Any]) -> None:
        """REPLACE, which removes the row without firing delete triggers."""
        names = [*KEYS[table], *columns]
        self.run(
            f"REPLACE INTO {self.name(table)} ({', '.join(map(self.name, names))})"
            f" VALUES ({', '.join('?' * len(names))})",
            [*key, *columns.values()],
        )


class PostgresPlace(Place):
    def __init__(self, label: str, first_id: int, url: str) -> None:
        super().__init__(label, first_id)
        self.connection = psycopg.connect(url, autocommit=True)

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            cursor = self.connection.execute(statement.replace("?", "%s").encode(), values)
        except psycopg.IntegrityError as error:
            raise self.Refused(str(error)) from error
        return cursor.fetchall() if cursor.description else []
