"""From SQLSTATE to Syncline's errors and refusal codes; the only place that does so.

Who raised an error decides, not the class of its SQLSTATE: what a statement over rows says is the fault of
some of them, unless it concerns the connection, the server or something of Syncline's own that is missing.
Even that is the fault of a row if others of its kind pass the same statement.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from syncline.databases.base.staged import Tries
from syncline.databases.base.steps import Fault
from syncline.errors import (
    Conflict,
    DatabaseError,
    DatabaseReadOnly,
    DatabaseUnavailable,
    NameTaken,
    NotPrepared,
    SynclineError,
    ValueRefused,
)
from syncline.hub.contract import Locked, Outdated, codes

_CODES = {
    "23502": codes.NOT_NULL,
    "23503": codes.FOREIGN_KEY,
    "23001": codes.FOREIGN_KEY,
    "23505": codes.UNIQUE,
    "23514": codes.CHECK,
    "44000": codes.CHECK,
    "428C9": codes.INVALID,
}
_CODES_OF_CLASSES = {"22": codes.INVALID, "23": codes.CONSTRAINT, "54": codes.INVALID}
_OF_THE_SERVER = frozenset("08 25 26 28 53 57 58 F0 HV".split())
"""Classes of SQLSTATE for what goes on in the server, if the server itself raises them."""
_OF_STATEMENTS = frozenset("0A 3D 3F 42 55 XX".split())
"""Classes for what is wrong with a statement or what it works on, unless code of the user's makes it."""
LOCKED = "55P03"
_AGAIN = frozenset(["40001", "40P01", LOCKED])
_PLAINLY: dict[str, type[SynclineError]] = dict.fromkeys(_AGAIN, Conflict)
_PLAINLY |= {LOCKED: Locked, "25006": DatabaseReadOnly}
_PLAINLY |= dict.fromkeys(("42P06", "42P07", "42710", "42723"), NameTaken)
_UNREACHABLE_CLASSES = ("08", "28", "3D", "53", "57")
_MISSING = frozenset(["42P01", "3F000", "42883"])
_NOT_AS_KNOWN = frozenset(["42703", "42704", "42809", "55000"])
"""What the hub's own statements meet where something is gone, or a view has taken a table's name."""

_STALE = frozenset(["RevalidateCachedQuery", "CheckSelectLocking"])
"""The functions of PostgreSQL's that refuse what a table that is altered, or a view now, no longer has."""

_RAISING = frozenset(["exec_stmt_raise", "exec_stmt_assert", "PLy_elog_impl"])
"""The functions of PostgreSQL's procedural languages that raise what a function's author wrote."""


NOT_SINGLY = tuple(sorted([*_AGAIN, *_OF_THE_SERVER, "XX001", "XX002"]))
"""States and classes of which it counts which function of PostgreSQL raised them: a row that is tried within
the server does not tell."""


@dataclass(kw_only=True, eq=False)
class Said(Exception):
    """What the server said of a row that was tried within it: as much as counts, under the driver's names.

    `context` is that of the statement alone."""

    sqlstate: str
    message_primary: str
    message_detail: str | None
    schema_name: str
    table_name: str
    constraint_name: str
    context: str | None
    source_function: str | None = None

    @property
    def diag(self) -> Said:
        """It stands for its own diagnostics."""
        return self


Trouble = psycopg.Error | Said
TROUBLE = (psycopg.Error, Said)


def is_raised(error: Trouble) -> bool:
    """Whether code of the user's raised it on purpose, at whatever state."""
    return error.diag.source_function in _RAISING


def _is_in_code(error: Trouble) -> bool:
    """Whether it happened inside a function of the user's, not one of Syncline's."""
    context = error.diag.context
    return context is not None and "syncline." not in context


def fault_of(error: Trouble, tries: Tries) -> Fault:
    """Whose fault this error of a statement over rows is."""
    attempt = tries.before
    state = error.sqlstate
    if state is None or state.startswith("57P") or is_stale_plan(error):
        return Fault.WHOLE
    if is_raised(error):
        return Fault.MET if state in _AGAIN and attempt == 0 else Fault.ROW
    if state == LOCKED and not tries.waits:
        return Fault.ROW
    if state in _AGAIN:  # nothing but user code fails to serialize under READ COMMITTED
        return Fault.ROW if state == "40001" and attempt else Fault.MET
    if state == "57014" and _is_in_code(error):
        return Fault.ROW
    if state[:2] in _OF_THE_SERVER or state in ("XX001", "XX002"):
        return Fault.DOUBT
    if state[:2] in _OF_STATEMENTS and state not in _CODES and not _is_in_code(error):
        return Fault.DOUBT
    return Fault.ROW


def refusal_code(error: Trouble) -> str:
    """The code of the refusal of a row whose fault this is."""
    state = error.sqlstate or ""
    if state == LOCKED and not is_raised(error):
        return codes.LOCKED
    is_users = state != "42501" and (is_raised(error) or error.diag.context)
    known = _CODES.get(state) or _CODES_OF_CLASSES.get(state[:2])
    return known or (codes.TRIGGER if is_users else codes.CONSTRAINT)


def is_stale_plan(error: Trouble) -> bool:
    """Whether a statement no longer fits, prepared by the driver or with casts to what a column was: that has
    another type since.
    The end of the transaction makes the driver forget what it has prepared."""
    is_refused = error.sqlstate == "0A000" and error.diag.source_function in _STALE
    return (is_refused or error.sqlstate == "42804") and not _is_in_code(error)


def message_of(error: Trouble) -> str:
    """What the server said, in one line: message and detail, without the position in a statement."""
    said = [text for text in (error.diag.message_primary, error.diag.message_detail) if text]
    return ": ".join(said) or str(error).strip()


def translated(error: Trouble) -> SynclineError:
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
    if state in _PLAINLY:
        return _PLAINLY[state](message_of(error))
    if state == "57014":
        return DatabaseError(f"a statement took too long: {message_of(error)}", code="database_timeout")
    if state.startswith(_UNREACHABLE_CLASSES):
        return DatabaseUnavailable(f"{message_of(error)} (SQLSTATE {state})")
    is_of_users = bool(error.diag.context)  # in a trigger
    if state in _MISSING or (state in _NOT_AS_KNOWN and not is_of_users):
        missing = f"something the hub relies on is missing: {message_of(error)}"
        return NotPrepared(f"{missing} (SQLSTATE {state})")
    return DatabaseError(f"{message_of(error)} (SQLSTATE {state})")


@contextmanager
def translating() -> Iterator[None]:
    """Turn errors of the driver into Syncline's."""
    try:
        yield
    except TROUBLE as error:
        raise translated(error) from error
