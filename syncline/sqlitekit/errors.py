"""What SQLite's error numbers mean (sqlite.org/rescode.html).

Python's module makes a UnicodeDecodeError of an error whose text is not UTF-8, since it names an object of
the file or is a trigger's own; its number is lost. What it was is told by how SQLite begins its sentence.
"""

from __future__ import annotations

import sqlite3
from typing import Literal

Constraint = Literal["unique", "foreign_key", "not_null", "check", "trigger", "datatype", "other"]
"""Which kind of constraint a statement broke; `datatype`: the declared type of a STRICT table's column."""

_CONSTRAINTS: dict[int, Constraint] = {
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: "unique",
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: "unique",
    sqlite3.SQLITE_CONSTRAINT_ROWID: "unique",
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: "foreign_key",
    sqlite3.SQLITE_CONSTRAINT_NOTNULL: "not_null",
    sqlite3.SQLITE_CONSTRAINT_CHECK: "check",
    sqlite3.SQLITE_CONSTRAINT_TRIGGER: "trigger",
    sqlite3.SQLITE_CONSTRAINT | (12 << 8): "datatype",  # SQLITE_CONSTRAINT_DATATYPE: not in the module
}
BUSY = frozenset([sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED])
"""Somebody else holds a lock."""


Failure = sqlite3.Error | UnicodeError
"""What a statement raises."""
FAILURES = (sqlite3.Error, UnicodeError)

_BEGINNINGS = {
    b"malformed database schema": sqlite3.SQLITE_CORRUPT,
    b"UNIQUE constraint failed": sqlite3.SQLITE_CONSTRAINT_UNIQUE,
    b"NOT NULL constraint failed": sqlite3.SQLITE_CONSTRAINT_NOTNULL,
    b"CHECK constraint failed": sqlite3.SQLITE_CONSTRAINT_CHECK,
}


def number_of(error: Failure) -> int:
    """The extended result code; -1 for errors of the Python module itself."""
    if isinstance(error, UnicodeDecodeError):
        found = (number for start, number in _BEGINNINGS.items() if error.object.startswith(start))
        return next(found, sqlite3.SQLITE_ERROR)
    return int(getattr(error, "sqlite_errorcode", -1))


def said_by(error: BaseException) -> str:
    """SQLite's sentence, with a mark in place of what is not UTF-8."""
    return error.object.decode(errors="replace") if isinstance(error, UnicodeDecodeError) else str(error)


def primary_of(error: Failure) -> int:
    """The primary result code; -1 for errors of the Python module itself. SQLITE_FULL also where the file
    beside the database that its users share (`-shm`) cannot grow."""
    number = number_of(error)
    if number == sqlite3.SQLITE_IOERR_SHMSIZE:
        return sqlite3.SQLITE_FULL
    return number if number < 0 else number & 0xFF


def constraint_of(error: Failure) -> Constraint | None:
    """The kind of constraint that was broken; None if the error is another."""
    if primary_of(error) != sqlite3.SQLITE_CONSTRAINT:
        return None
    return _CONSTRAINTS.get(number_of(error), "other")
