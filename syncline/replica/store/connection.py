"""Opening the device file: the connection's settings, and why each is so."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from syncline.errors import StoreError, StoreReadOnly
from syncline.replica.store.errors import translated, translated_files
from syncline.sqlitekit.files import make_private

LIBRARY = sqlite3.sqlite_version_info
"""The SQLite that this process uses."""

SAFE_CHECKPOINTS = (3, 51, 3)
"""SQLite before this can lose writes when one connection writes while another checkpoints
(sqlite.org/wal.html, "The WAL reset bug")."""

BUSY_SECONDS = 5.0
CACHE_KIB = 32 * 1024
"""Page cache: rows are looked up by key in no order, and the default of 2 MB holds few of them."""

MEMORY = ":memory:"

STATEMENTS = 512
"""Statements that stay prepared: a push and a pull of a few tables take more than the 128 that Python keeps
by itself."""


def checked_path(path: str | os.PathLike[str], beside: str = "") -> str:
    """The path of a device file, as text. StoreError if there can be no file of that name, also with `beside`
    at its end, or it cannot be looked at."""
    name = os.fspath(path)
    if not isinstance(name, str):
        raise StoreError(f"{name!r} is no path: it is no text", remedy="Give the path as text.")
    if name != MEMORY:
        with translated_files(name), suppress(FileNotFoundError, NotADirectoryError):
            os.stat(name + beside)
    return name


def missing(path: str, since: str = "") -> StoreError:
    """What to raise where there is no file. `since`: how long so, in words."""
    return StoreError(
        f"there is no file {path}{since}",
        code="store_missing",
        remedy="Check the path, put the file back, or make it with: syncline clone URL FILE",
    )


def place_of(path: str) -> os.stat_result | None:
    """Which file is at a path; None if none is."""
    with translated_files(path):
        try:
            return os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None


def open_existing(path: str, busy_seconds: float) -> sqlite3.Connection:
    """Open a file that is there, shared with the application's own connections."""
    if checked_path(path) != MEMORY and not Path(path).is_file():
        raise missing(path)
    connection = _open(path, "rw", busy_seconds)
    # A checkpoint that begins by itself does so beside whoever writes at the moment: see `store.wal`.
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def open_reading(path: str, busy_seconds: float) -> sqlite3.Connection:
    """Open a file that is there without changing anything of it, not even its journal mode."""
    target = (
        f"{Path(path).absolute().as_uri()}?mode=rw"  # with mode=ro SQLite leaves a -wal and a -shm behind
    )
    with translated(path):
        connection = sqlite3.connect(target, uri=True, timeout=busy_seconds, isolation_level=None)
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def open_private(path: str, busy_seconds: float) -> sqlite3.Connection:
    """Open or create a file that no other program knows yet: it may checkpoint as usual. It is made for its
    owner alone to read."""
    if path != MEMORY:
        with translated_files(path):
            make_private(path)
    return _open(path, "rwc", busy_seconds)


def _open(path: str, mode: str, busy_seconds: float) -> sqlite3.Connection:
    memory = path == MEMORY
    target = path if memory else f"{Path(path).absolute().as_uri()}?mode={mode}"
    with translated(path):
        connection = sqlite3.connect(
            target,
            uri=not memory,
            timeout=busy_seconds,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=STATEMENTS,
        )
        try:
            _settle(connection, path, memory)
        except BaseException:
            connection.close()
            raise
    return connection


def _settle(connection: sqlite3.Connection, path: str, memory: bool) -> None:
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # a damaged file says so here
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal" and not memory:
        raise StoreReadOnly(f"{path} cannot be set to write-ahead logging (it stays in mode {mode})")
    # FULL: a push number must be on the disk before the push leaves, or a repeat would differ.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute("PRAGMA recursive_triggers = OFF")
