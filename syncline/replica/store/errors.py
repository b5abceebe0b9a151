"""The one place where an error of SQLite becomes an error of Syncline: by number, never by text."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from syncline.errors import (
    StoreBusy,
    StoreConstraint,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreObstacle,
    StoreReadOnly,
    SynclineError,
    ValueRefused,
)
from syncline.sqlitekit.errors import BUSY, FAILURES, Failure, constraint_of, number_of, primary_of, said_by

_CLASSES: dict[int, type[StoreError]] = {
    **dict.fromkeys(BUSY, StoreBusy),
    sqlite3.SQLITE_READONLY: StoreReadOnly,
    sqlite3.SQLITE_PERM: StoreReadOnly,
    sqlite3.SQLITE_FULL: StoreFull,
    sqlite3.SQLITE_CORRUPT: StoreDamaged,
    sqlite3.SQLITE_NOTADB: StoreDamaged,
    **dict.fromkeys((sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG), StoreObstacle),
}


def translate(error: Failure, path: str) -> SynclineError:
    """Return the Syncline error that says what this error of SQLite means for the file at `path`.

    An operational error without a number is the driver's own: text that is not UTF-8 was read. So is one of
    text that was to be written.
    """
    primary, constraint, said = primary_of(error), constraint_of(error), said_by(error)
    if primary < 0:
        if isinstance(error, sqlite3.OperationalError | UnicodeError):
            return ValueRefused(f"a text in {path} is not valid UTF-8")
        return StoreError(f"{path}: {said}")
    if constraint is not None:
        return StoreConstraint(f"{path}: {said}", constraint)
    if primary == sqlite3.SQLITE_NOTADB:
        return StoreDamaged(f"{path} is not an SQLite database", remedy="Check the path.")
    if number_of(error) == sqlite3.SQLITE_CORRUPT_VTAB:  # the index of a virtual table, not the file
        primary = sqlite3.SQLITE_ERROR
    named = getattr(error, "sqlite_errorname", "")
    return _CLASSES.get(primary, StoreError)(f"{path}: {said}" + (f" ({named})" if named else ""))


@contextmanager
def legible(path: str, what: str) -> Iterator[None]:
    """Inside, what Syncline has noted in the file is read: StoreDamaged if it is not as Syncline writes it,
    since somebody has altered it by hand."""
    try:
        yield
    except (msgspec.MsgspecError, LookupError, ValueError, TypeError, AttributeError) as error:
        detail = f"{path}: {what} that Syncline has noted in it cannot be read, it was altered: {error}"
        raise StoreDamaged(detail) from error


@contextmanager
def translated_files(path: str) -> Iterator[None]:
    """Raise every error of the file system inside the block as the StoreError that it means, also where there
    can be no file of such a name."""
    try:
        yield
    except ValueError as error:
        raise StoreError(f"there can be no file {path!r}: {error}", remedy="Check the path.") from error
    except OSError as error:
        kind = StoreFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else StoreError
        raise kind(f"{path}: {error.strerror or error}") from error


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Raise every error of SQLite inside the block as the error of Syncline that it means."""
    try:
        yield
    except FAILURES as error:
        raise translate(error, path) from error
