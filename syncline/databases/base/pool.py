"""`Pool`: a bounded number of connections, made when they are needed and used again.

A connection is made in the thread that needs it, so that a server that is down says so at once and is found
the moment it is back. One that the server has hung up on is noticed before it is used, without asking the
server; nothing runs in the background.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore, Lock
from typing import Generic, Protocol, TypeVar

from syncline.errors import DatabaseUnavailable

LIFETIME_SECONDS = 3600.0
"""An older connection to a server is not used again: what that keeps for it must not grow for ever."""

IDLE_SECONDS = 60.0
"""After this long a firewall in between may have forgotten the connection: ask the server."""


class Closable(Protocol):
    """What a connection is to the pool."""

    def close(self) -> None: ...


C = TypeVar("C", bound=Closable)


@dataclass(frozen=True, slots=True)
class Driver(Generic[C]):
    """What the pool wants to know of a driver's connections.

    `connect` makes one. `is_idle`: whether no transaction is open. `is_quiet`: whether it is open and the
    server has said nothing unasked, without asking it. `answers`: whether the server answers, by asking it.
    Without a server there is nothing to ask. After `lifetime` seconds a connection is not used again."""

    connect: Callable[[], C]
    is_idle: Callable[[C], bool]
    is_quiet: Callable[[C], bool] = lambda _: True
    answers: Callable[[C], bool] = lambda _: True
    lifetime: float = LIFETIME_SECONDS


class Pool(Generic[C]):
    """At most `size` connections. A thread waits up to `patience` seconds for one to become free."""

    def __init__(self, driver: Driver[C], size: int, patience: float) -> None:
        self._driver, self._size, self._patience = driver, size, patience
        self._places = BoundedSemaphore(size)
        self._lock = Lock()
        self._idle: list[tuple[C, float, float]] = []
        """With the times since when it exists and since when it is idle; the last used is used first."""
        self._closed = False

    @contextmanager
    def connection(self) -> Iterator[C]:
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

    def _take(self) -> tuple[C, float]:
        while True:
            with self._lock:
                if not self._idle:
                    break
                connection, born, since = self._idle.pop()
            if self._usable(connection, born, since):
                return connection, born
            connection.close()
        return self._driver.connect(), time.monotonic()

    def _usable(self, connection: C, born: float, since: float) -> bool:
        now = time.monotonic()
        if now - born > self._driver.lifetime or not self._driver.is_quiet(connection):
            return False
        return now - since <= IDLE_SECONDS or self._driver.answers(connection)

    def _give_back(self, connection: C, born: float) -> None:
        if not self._driver.is_idle(connection):
            connection.close()
            return
        with self._lock:
            if not self._closed:
                self._idle.append((connection, born, time.monotonic()))
                return
        connection.close()
