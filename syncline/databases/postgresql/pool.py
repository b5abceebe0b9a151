"""`Pool`: a bounded number of connections, made when they are needed and used again.

A connection is made in the thread that needs it, so that a server that is down says so at once and is found
the moment it is back. One that the server has hung up on is noticed before it is used, without asking the
server; nothing runs in the background.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore, Lock

import psycopg
from psycopg.pq import TransactionStatus

from syncline.databases.postgresql.session import Connection
from syncline.errors import DatabaseUnavailable

LIFETIME_SECONDS = 3600.0
"""An older connection is not used again: what a server keeps for it must not grow for ever."""

IDLE_SECONDS = 60.0
"""After this long a firewall in between may have forgotten the connection: ask the server."""


class Pool:
    """At most `size` connections. A thread waits up to `patience` seconds for one to become free."""

    def __init__(self, connect: Callable[[], Connection], size: int, patience: float) -> None:
        self._connect, self._size, self._patience = connect, size, patience
        self._places = BoundedSemaphore(size)
        self._lock = Lock()
        self._idle: list[tuple[Connection, float, float]] = []
        """With the times since when it exists and since when it is idle; the last used is used first."""
        self._closed = False

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection for this thread. Whatever transaction is left open on it is rolled back."""
        if self._closed:
            raise DatabaseUnavailable("the connections to the central database were closed")
        if not self._places.acquire(timeout=self._patience):
            raise DatabaseUnavailable(
                f"all {self._size} connections to the central database were busy for {self._patience:.0f} s",
                code="database_busy",
                remedy="Raise [hub] pool, or start more servers; it is safe to try again.",
            )
        try:
            connection, born = self._take()
            try:
                yield connection
            finally:
                self._give_back(connection, born)
        finally:
            self._places.release()

    def close(self) -> None:
        """Close what is idle now, and the others when they are given back."""
        with self._lock:
            self._closed, idle = True, self._idle
            self._idle = []
        for connection, _, _ in idle:
            connection.close()

    def _take(self) -> tuple[Connection, float]:
        while True:
            with self._lock:
                if not self._idle:
                    break
                connection, born, since = self._idle.pop()
            if _usable(connection, born, since):
                return connection, born
            connection.close()
        return self._connect(), time.monotonic()

    def _give_back(self, connection: Connection, born: float) -> None:
        if connection.info.transaction_status != TransactionStatus.IDLE:
            connection.close()
            return
        with self._lock:
            if not self._closed:
                self._idle.append((connection, born, time.monotonic()))
                return
        connection.close()


def _usable(connection: Connection, born: float, since: float) -> bool:
    """Whether the server is still there. It says nothing unasked but that it ends."""
    now = time.monotonic()
    if connection.closed or now - born > LIFETIME_SECONDS:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    if poll.poll(0):
        return False
    if now - since > IDLE_SECONDS:
        try:
            connection.execute("")
        except psycopg.Error:
            return False
    return True
