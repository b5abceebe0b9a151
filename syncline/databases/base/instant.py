"""The instant at which a database stands, asked on a connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Closing(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=Closing)


class Instants(Generic[C]):
    """The contract's `Database.instant`. `connect` makes a connection, `ask` asks on it for something that is
    another thing after every commit. What two connections say is never equal. Safe to use from several
    threads."""

    def __init__(self, connect: Callable[[], C], ask: Callable[[C], object]) -> None:
        self._connect, self._ask = connect, ask
        self._connection: C | None = None
        self._opened = 0
        self._lock = threading.Lock()

    def now(self) -> tuple[int, object]:
        """The instant. Raises what the connection raises; the next call connects again."""
        with self._lock:
            if self._connection is None:
                self._connection = self._connect()
                self._opened += 1
            try:
                return self._opened, self._ask(self._connection)
            except BaseException:
                self._drop()
                raise

    def close(self) -> None:
        """Give the connection back; the next call of `now` makes another one."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
