"""Keeping the write-ahead log of a device file small, which other connections hold open; see ADR 22."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

WAL_BYTES = 2 * 1024 * 1024
"""A write-ahead log of this size is taken over into the file."""

LARGE_LOG = 2 * WAL_BYTES
"""A log that takes a while to take over: whoever waited for the transaction that wrote it comes first, and
whoever made that transaction does not wait."""

WAL_WAIT_MS = 80
"""How long a checkpoint waits for readers: as long, at most, it keeps another program from writing."""

MOMENT = 0.1
"""Seconds: whoever waits for the write lock looks that often."""


class Wal:
    """Keeps the write-ahead log of a file small that other connections hold open.

    SQLite before 3.51.3 can lose writes when one connection begins to write while another begins a
    checkpoint. A checkpoint of mode TRUNCATE holds the write lock from its beginning to its end, so that
    nobody writes meanwhile. It falls back to a mode that does not when the lock is not to be had: hence
    none is begun while another program writes; the next transaction looks again. The connection's own
    transactions and the taking over of a large log, which has a thread and a connection of its own, come in
    `turn`.
    """

    def __init__(self, path: str, connection: sqlite3.Connection, busy_seconds: float) -> None:
        self._path, self._log, self._connection = path, f"{path}-wal", connection
        self._busy_ms = int(busy_seconds * 1000)
        self._due = WAL_BYTES
        self._lock = threading.Lock()
        self._aside: threading.Thread | None = None
        self._closing = False

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Inside, no log is taken over aside: around every transaction of the connection."""
        with self._lock:
            yield

    def bound(self) -> None:
        """Take the log over into the file if it has grown, and if nobody else writes at the moment: a large
        one aside, and a moment later.

        A reader that keeps an old state in view keeps it from being complete; it is tried again when the log
        has grown as much again. Outside any transaction; never an error: the log is sound at any size."""
        if self._aside is not None and self._aside.is_alive():
            return
        try:
            size = os.stat(self._log).st_size
        except FileNotFoundError:
            return
        if size < self._due:
            self._due = max(WAL_BYTES, min(self._due, size + WAL_BYTES))
        elif size < LARGE_LOG:
            self._note(size, self._checkpoint(self._connection))
        else:
            self._aside = threading.Thread(target=self._take_over, args=(size,), name="syncline log")
            self._aside.start()

    def close(self) -> None:
        """Wait for a log that is being taken over. Before the connection is closed."""
        self._closing = True
        if self._aside is not None:
            self._aside.join()

    def _take_over(self, size: int) -> None:
        time.sleep(MOMENT)
        while not self._lock.acquire(timeout=MOMENT):
            if self._closing:  # within a transaction, which ends with the connection
                return
        try:
            self._note(size, self._apart())
        finally:
            self._lock.release()

    def _apart(self) -> bool:
        try:
            target = f"{Path(self._path).absolute().as_uri()}?mode=rw"
            with closing(sqlite3.connect(target, uri=True, timeout=0, isolation_level=None)) as connection:
                connection.execute("PRAGMA wal_autocheckpoint = 0")
                return self._checkpoint(connection)
        except (
            sqlite3.DatabaseError,
            UnicodeError,
        ):  # the file is gone, or no database any more: its next user is told
            return False

    def _note(self, size: int, done: bool) -> None:
        self._due = WAL_BYTES if done else size + WAL_BYTES

    def _checkpoint(self, connection: sqlite3.Connection) -> bool:
        connection.execute("PRAGMA busy_timeout = 0")
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
            connection.execute(f"PRAGMA busy_timeout = {WAL_WAIT_MS}")
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.OperationalError:  # somebody writes, or a disk is full: what is logged stays there
            return False
        finally:
            connection.execute(f"PRAGMA busy_timeout = {self._busy_ms}")
        return not busy
