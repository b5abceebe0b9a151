"""Waiting for news in a SQLite file: a hub in this process says so, other processes are noticed by asking."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable
from threading import Condition

from syncline.databases.base.watch import BaseWatch
from syncline.databases.sqlite.errors import mapped

ASK_SECONDS = 0.1
"""How often another process's commit is looked for. `PRAGMA data_version` reads one page at most."""


def data_version(connection: sqlite3.Connection) -> int:
    """A number that changes with every commit of another connection."""
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


class Bell:
    """Rings in this process whenever a hub here has committed."""

    def __init__(self) -> None:
        self._condition = Condition()
        self.rings = 0

    def ring(self) -> None:
        """Wake everybody who waits."""
        with self._condition:
            self.rings += 1
            self._condition.notify_all()

    def wait(self, rings: int, seconds: float) -> bool:
        """Whether it rang since it had rung `rings` times; waits for it up to `seconds`."""
        with self._condition:
            return self._condition.wait_for(lambda: self.rings != rings, seconds)


class SqliteWatch(BaseWatch):
    """A `hub.contract.Watch` over one file. In memory (`connect` None) only the bell is there to be heard."""

    def __init__(self, path: str, bell: Bell, connect: Callable[[], sqlite3.Connection] | None) -> None:
        self._path, self._bell = path, bell
        self._connection = None if connect is None else connect()
        self.look_seconds = math.inf if connect is None else ASK_SECONDS
        self.seen: tuple[int, int] = self.look()

    def look(self) -> tuple[int, int]:
        """How often the bell rang, and a number that changes with every commit of another connection."""
        rings = self._bell.rings
        if self._connection is None:
            return rings, 0
        with mapped(self._path):
            return rings, data_version(self._connection)

    def hear(self, seconds: float) -> bool:
        return self._bell.wait(self.seen[0], seconds)

    def close(self) -> None:
        """Stop listening. Idempotent."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
