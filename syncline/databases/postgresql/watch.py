"""Waiting for news by LISTEN/NOTIFY, and for what other programs wrote by looking at the end of the log.

A hub notifies after its commit, in a transaction of its own: a transaction that notifies takes a lock at its
commit which is one for the whole server, and neither a push nor another program's write is to queue for that.
What other programs write is therefore not announced by the triggers but looked for once a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg

from syncline.databases.postgresql.errors import translating
from syncline.databases.postgresql.session import Connection

CHANNEL = "syncline"
LOOK_SECONDS = 1.0
SHARED_LOOK_SECONDS = 0.25
"""Behind a pooler, where nobody can listen: what one server's session hears is another program's."""


class PostgresWatch:
    """A `hub.contract.Watch` with a connection of its own, outside the pool.

    `connect` makes one; `newest` says, in any way that can be compared, how far the log goes.
    """

    def __init__(self, connect: Callable[[], Connection], newest: Callable[[], object]) -> None:
        self._connect, self._newest = connect, newest
        self._connection: Connection | None = None
        self._seen: object = None
        with translating():
            self._listen()

    def wait(self, seconds: float) -> bool:
        with translating():
            if self._connection is None:
                self._listen()
                return True
            try:
                return self._heard(self._connection, time.monotonic() + seconds)
            except psycopg.OperationalError:
                self.close()
                raise

    def _listen(self) -> None:
        connection = self._connect()
        if not connection.is_shared:
            connection.execute(f"LISTEN {CHANNEL}")
        self._connection, self._seen = connection, self._newest()

    def _heard(self, connection: Connection, end: float) -> bool:
        pause = SHARED_LOOK_SECONDS if connection.is_shared else LOOK_SECONDS
        while True:
            newest = self._newest()
            if newest != self._seen:
                self._seen = newest
                return True
            left = end - time.monotonic()
            for _ in connection.notifies(timeout=max(0.0, min(left, pause)), stop_after=1):
                self._seen = self._newest()
                return True
            if left <= 0:
                return False

    def close(self) -> None:
        """Stop listening. Idempotent."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
