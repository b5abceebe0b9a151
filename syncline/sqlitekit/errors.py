"""What SQLite's error numbers mean (sqlite.org/rescode.html)."""

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


def number_of(error: sqlite3.Error) -> int:
    """The extended result code; -1 for errors of the Python module itself."""
    return int(getattr(error, "sqlite_errorcode", -1))


def primary_of(error: sqlite3.Error) -> int:
    """The primary result code; -1 for errors of the Python module itself. SQLITE_FULL also where the file
    beside the database that its users share (`-shm`) cannot grow."""
    number = number_of(error)
    if number == sqlite3.SQLITE_IOERR_SHMSIZE:
        return sqlite3.SQLITE_FULL
    return number if number < 0 else number & 0xFF


def constraint_of(error: sqlite3.Error) -> Constraint | None:
    """The kind of constraint that was broken; None if the error is another."""
    if primary_of(error) != sqlite3.SQLITE_CONSTRAINT:
        return None
    return _CONSTRAINTS.get(number_of(error), "other")
