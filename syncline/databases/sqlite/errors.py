"""From SQLite's error numbers to Syncline's errors and refusal codes; the only place that does so."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from syncline.errors import Conflict, DatabaseError, DatabaseUnavailable, SynclineError
from syncline.hub.contract import codes

_REFUSALS = {
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: codes.UNIQUE,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: codes.UNIQUE,
    sqlite3.SQLITE_CONSTRAINT_ROWID: codes.UNIQUE,
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: codes.FOREIGN_KEY,
    sqlite3.SQLITE_CONSTRAINT_NOTNULL: codes.NOT_NULL,
    sqlite3.SQLITE_CONSTRAINT_CHECK: codes.CHECK,
    sqlite3.SQLITE_CONSTRAINT_TRIGGER: codes.TRIGGER,
    sqlite3.SQLITE_CONSTRAINT | (12 << 8): codes.INVALID,  # SQLITE_CONSTRAINT_DATATYPE: STRICT tables
    sqlite3.SQLITE_MISMATCH: codes.INVALID,
    sqlite3.SQLITE_TOOBIG: codes.INVALID,
}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_UNREACHABLE = {
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_NOTADB: "the file is not a SQLite database",
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_READONLY: "the file or its folder cannot be written",
    sqlite3.SQLITE_IOERR: "the disk reported an error",
    sqlite3.SQLITE_PERM: "permission was denied",
    sqlite3.SQLITE_FULL: "the disk is full",
}


def number_of(error: sqlite3.Error) -> int:
    """The extended result code; -1 for errors of the Python module itself."""
    return int(getattr(error, "sqlite_errorcode", -1))


def refusal_code(error: sqlite3.Error) -> str | None:
    """The code under which a row is refused; None if this is no trouble of a row."""
    number = number_of(error)
    found = _REFUSALS.get(number) or _REFUSALS.get(number & 0xFF)
    if found is None and number & 0xFF == sqlite3.SQLITE_CONSTRAINT:
        return codes.CONSTRAINT
    return found


def translated(error: sqlite3.Error, place: str) -> SynclineError:
    """What to raise instead of a driver error."""
    number = number_of(error) & 0xFF
    if number in _BUSY:
        return Conflict(f"{place}: another program holds the write lock")
    if number in _UNREACHABLE:
        return DatabaseUnavailable(f"{place}: {_UNREACHABLE[number]} ({error})")
    return DatabaseError(f"{place}: {error}")


@contextmanager
def mapped(place: str) -> Iterator[None]:
    """Map driver errors raised inside."""
    try:
        yield
    except sqlite3.Error as error:
        raise translated(error, place) from error
