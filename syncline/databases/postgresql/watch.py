"""Waiting for news by LISTEN/NOTIFY, and for what other programs wrote by looking at the end of the log.

A hub notifies after its commit, in a transaction of its own: a transaction that notifies takes a lock at its
commit which is one for the whole server, and neither a push nor another program's write is to queue for that.
What other programs write is therefore not announced by the triggers but looked for once a second.
"""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from syncline.databases.base.watch import BaseWatch
from syncline.databases.postgresql.errors import translating
from syncline.databases.postgresql.session import Connection

CHANNEL = "syncline"
LOOK_SECONDS = 1.0
SHARED_LOOK_SECONDS = 0.25
"""Behind a pooler, where nobody can listen: what one server's session hears is another program's."""


class PostgresWatch(BaseWatch[Connection]):
    """A `hub.contract.Watch` with a connection of its own, outside the pool.

    `connect` makes one; `newest` says, in any way that can be compared, how far the log goes.
    """

    def __init__(self, connect: Callable[[], Connection], newest: Callable[[], object]) -> None:
        self._connect, self._newest = connect, newest
        with translating():
            self._listen()

    def wait(self, seconds: float) -> bool:
        with translating():
            if self.connection is None:
                self._listen()
                return True
            try:
                return super().wait(seconds)
            except psycopg.OperationalError:
                self.close()
                raise

    def _listen(self) -> None:
        connection = self._connect()
        if not connection.is_shared:
            connection.execute(f"LISTEN {CHANNEL}")
        self.look_seconds = SHARED_LOOK_SECONDS if connection.is_shared else LOOK_SECONDS
        self.connection, self.seen = connection, self.look()

    def look(self) -> object:
        return self._newest()

    def hear(self, seconds: float) -> bool:
        assert self.connection is not None, "asked while it listens"
        return any(True for _ in self.connection.notifies(timeout=seconds, stop_after=1))
