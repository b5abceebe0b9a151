"""From SQLite's error numbers to Syncline's errors and refusal codes; the only place that does so."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from syncline.errors import CentreHeld, DatabaseError, DatabaseUnavailable, NameTaken, SynclineError
from syncline.hub.contract import codes
from syncline.sqlitekit.errors import BUSY, FAILURES, Constraint, Failure, constraint_of, primary_of, said_by

_CONSTRAINTS: dict[Constraint, str] = {
    "unique": codes.UNIQUE,
    "foreign_key": codes.FOREIGN_KEY,
    "not_null": codes.NOT_NULL,
    "check": codes.CHECK,
    "trigger": codes.TRIGGER,
    "datatype": codes.INVALID,
    "other": codes.CONSTRAINT,
}
_INVALID = (sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG)
_UNREACHABLE = {
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_NOTADB: "the file is not a SQLite database",
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_READONLY: "the file or its folder cannot be written",
    sqlite3.SQLITE_IOERR: "the disk reported an error",
    sqlite3.SQLITE_PERM: "permission was denied",
    sqlite3.SQLITE_FULL: "the disk is full",
}

_OF_THE_CONNECTION = (
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_MISUSE,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_INTERNAL,
)


def refusal_code(error: Failure, *, triggers: bool) -> str | None:
    """The code under which a row is refused; None if this is no trouble of a row.

    Syncline's statements over rows name nothing but tables and columns that were just looked up: an error
    out of one is raised by the row itself, a constraint, an expression, or one of the table's `triggers`,
    unless it is the file's or the connection's."""
    constraint, number = constraint_of(error), primary_of(error)
    if constraint is not None:
        return _CONSTRAINTS[constraint]
    if number in _INVALID:
        return codes.INVALID
    if number < 0 or number in BUSY or number in _UNREACHABLE or number in _OF_THE_CONNECTION:
        return None
    return codes.TRIGGER if triggers else codes.CONSTRAINT


def translated(error: Failure, place: str) -> SynclineError:
    """What to raise instead of a driver error."""
    number = primary_of(error)
    if number in BUSY:
        return CentreHeld(f"{place}: another program holds the file, and did so for as long as is waited")
    if number in _UNREACHABLE:
        return DatabaseUnavailable(f"{place}: {_UNREACHABLE[number]} ({said_by(error)})")
    is_taken = " already " in f" {said_by(error)} " and number == sqlite3.SQLITE_ERROR
    return (NameTaken if is_taken else DatabaseError)(f"{place}: {said_by(error)}")


@contextmanager
def mapped(place: str) -> Iterator[None]:
    """Map driver errors raised inside."""
    try:
        yield
    except FAILURES as error:
        raise translated(error, place) from error
