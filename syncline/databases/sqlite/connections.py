"""Connections to one SQLite file, bounded, or the single one of an in-memory database."""

from __future__ import annotations

import math
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote

from syncline.databases.base import Driver, Pool
from syncline.databases.sqlite.errors import mapped
from syncline.errors import CentreHeld, ConfigurationError, DatabaseUnavailable

Clock = Callable[[], int]
MEMORY = ":memory:"
CACHE_KIB = 16 * 1024
"""Page cache of one connection: with the 2 MB that SQLite takes by itself, keys in no order spill."""


def path_of(url: str) -> str:
    """The file that sqlite:///relative.db, sqlite:////absolute.db or sqlite:///:memory: names."""
    scheme, separator, path = url.partition("://")
    if scheme != "sqlite" or not separator or not path.startswith("/") or len(path) < 2:
        raise ConfigurationError(
            "what is given is not the address of a SQLite database",
            remedy="Write sqlite:///relative.db, sqlite:////absolute/path.db or sqlite:///:memory:",
        )
    return unquote(path[1:])


def data_version(connection: sqlite3.Connection) -> int:
    """A number that changes with every commit of another connection."""
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


class Connections:
    """Up to `size` connections to one file, handed out one transaction at a time.

    In memory there is exactly one, and whoever wants it waits for it.
    """

    def __init__(self, path: str, size: int, timeout: float, clock: Clock | None) -> None:
        self.path = path
        self.memory = path == MEMORY
        self._timeout = timeout
        self._clock = clock
        driver = Driver(self.open, lambda connection: not connection.in_transaction, lifetime=math.inf)
        self._pool = Pool(driver, 1 if self.memory else size, timeout * 3)
        self._writer = threading.Lock()

    @contextmanager
    def borrow(self) -> Iterator[sqlite3.Connection]:
        """A connection for one transaction. One that an error left in a transaction is rolled back."""
        with self._pool.connection() as connection:
            try:
                yield connection
            finally:
                connection.rollback()

    @contextmanager
    def asking(self) -> Iterator[sqlite3.Connection]:
        """`borrow`, with the errors of Syncline."""
        with mapped(self.path), self.borrow() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A transaction that reads; its first statement takes the snapshot (WAL)."""
        with self.asking() as connection:
            connection.execute("BEGIN")
            yield connection

    @contextmanager
    def writing(self, *, dry_run: bool = False) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the write lock from the beginning. With `dry_run` it leaves nothing. It is
        committed at the end, unless it was before."""
        with self.queue(), self.asking() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            if not dry_run and connection.in_transaction:
                connection.execute("COMMIT")

    @contextmanager
    def queue(self) -> Iterator[None]:
        """Writers of this process queue here, which is quicker and fairer than SQLite's busy handler."""
        if not self._writer.acquire(timeout=self._timeout * 3):
            raise CentreHeld(f"{self.path}: other transactions of this process kept the file to themselves")
        try:
            yield
        finally:
            self._writer.release()

    def open(self) -> sqlite3.Connection:
        """A new connection, with foreign keys on and in nobody's transaction."""
        with mapped(self.path):
            connection = self._connect()
            connection.execute("PRAGMA foreign_keys = ON")
            # In memory the journal of a savepoint would hold every page that a push touches: 4 kB a row.
            connection.execute("PRAGMA temp_store = FILE")
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        if self._clock is not None:
            _install_clock(connection, self._clock)
        return connection

    def _connect(self) -> sqlite3.Connection:
        if self.memory:
            return sqlite3.connect(MEMORY, isolation_level=None, check_same_thread=False)
        if not os.path.exists(self.path):
            raise DatabaseUnavailable(
                f"{self.path}: there is no such file",
                remedy="Create the database with your application first, or correct [hub] database.",
            )
        return sqlite3.connect(
            f"file:{quote(str(Path(self.path).absolute()))}?mode=rw",
            uri=True,
            timeout=self._timeout,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=512,
        )

    def close(self) -> None:
        """Close what is idle now, and the others when they come back."""
        self._pool.close()


def _install_clock(connection: sqlite3.Connection, clock: Clock) -> None:
    """Let `clock` (milliseconds since 1970 UTC) stand in for SQLite's own julianday('now')."""
    connection.create_function("julianday", 1, lambda _: clock() / 86_400_000 + 2_440_587.5)
