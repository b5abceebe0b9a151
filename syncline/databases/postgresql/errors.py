"""From SQLSTATE to Syncline's errors and refusal codes; the only place that does so.

A row is refused for integrity, data and trigger errors. What concerns the connection, the transaction, the
server or Syncline's own statements is an error of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from syncline.errors import (
    Conflict,
    DatabaseError,
    DatabaseReadOnly,
    DatabaseUnavailable,
    NotPrepared,
    SynclineError,
    ValueRefused,
)
from syncline.hub.contract import Outdated, codes

_REFUSED = {
    "23502": codes.NOT_NULL,
    "23503": codes.FOREIGN_KEY,
    "23001": codes.FOREIGN_KEY,
    "23505": codes.UNIQUE,
    "23514": codes.CHECK,
    "44000": codes.CHECK,
    "42501": codes.CONSTRAINT,
    "428C9": codes.INVALID,
    "54000": codes.INVALID,
}
_REFUSED_CLASSES = {"22": codes.INVALID, "23": codes.CONSTRAINT}
_OF_THE_WHOLE = frozenset("08 0A 25 26 28 2D 3D 3F 40 42 53 54 55 57 58 72 F0 HV XX".split())
"""Classes of SQLSTATE that say nothing about a row. Any other is what a trigger raised."""

_AGAIN = frozenset(["40001", "40P01", "55P03"])
_UNREACHABLE_CLASSES = ("08", "28", "3D", "53", "57")
_MISSING = frozenset(["42P01", "3F000", "42883"])


def refusal_code(error: psycopg.Error) -> str | None:
    """The code of the refusal that this error means for a row, or None if it is an error of the whole."""
    state = error.sqlstate
    if state is None:
        return None
    if state == "42501" and not error.diag.context:
        return None  # not raised in a trigger: the hub's own role lacks a right
    if state in _REFUSED:
        return _REFUSED[state]
    if state[:2] in _REFUSED_CLASSES:
        return _REFUSED_CLASSES[state[:2]]
    return None if state[:2] in _OF_THE_WHOLE else codes.TRIGGER


def is_stale_plan(error: psycopg.Error) -> bool:
    """Whether a statement that the driver had prepared no longer fits: a column has another type since.
    The end of the transaction makes the driver forget what it has prepared."""
    return error.sqlstate == "0A000" and error.diag.source_function == "RevalidateCachedQuery"


def message_of(error: psycopg.Error) -> str:
    """What the server said, in one line: message and detail, without the position in a statement."""
    said = [text for text in (error.diag.message_primary, error.diag.message_detail) if text]
    return ": ".join(said) or str(error).strip()


def translated(error: psycopg.Error) -> SynclineError:
    """The error of Syncline's tree for an error of the driver."""
    state = error.sqlstate
    if state is None:
        if isinstance(error, psycopg.DataError):
            return ValueRefused(f"PostgreSQL cannot hold a value: {error}")
        if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
            return DatabaseUnavailable(f"the connection to the central database failed: {error}".strip())
        return DatabaseError(str(error))
    if is_stale_plan(error):
        return Outdated(message_of(error))
    if state in _AGAIN:
        return Conflict(message_of(error))
    if state == "25006":
        return DatabaseReadOnly(message_of(error))
    if state == "57014":
        return DatabaseError(f"a statement took too long: {message_of(error)}", code="database_timeout")
    if state.startswith(_UNREACHABLE_CLASSES):
        return DatabaseUnavailable(f"{message_of(error)} (SQLSTATE {state})")
    if state in _MISSING or (state == "42703" and not error.diag.context):  # not in a trigger of the user's
        return NotPrepared(
            f"something the hub relies on is missing: {message_of(error)} (SQLSTATE {state})",
        )
    return DatabaseError(f"{message_of(error)} (SQLSTATE {state})")


@contextmanager
def translating() -> Iterator[None]:
    """Turn errors of the driver into Syncline's."""
    try:
        yield
    except psycopg.Error as error:
        raise translated(error) from error
