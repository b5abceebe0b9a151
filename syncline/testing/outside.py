"""A SQLite centre as any other program sees it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from syncline.databases.sqlite import SqliteDatabase


@contextmanager
def outside(database: SqliteDatabase) -> Iterator[sqlite3.Connection]:
    """A connection as any other program would have, in autocommit.

    In memory it is the only connection there is, borrowed: do not open transactions meanwhile.
    """
    if database.connections.memory:
        with database.connections.borrow() as connection:
            yield connection
    else:
        connection = database.connections.open()
        try:
            yield connection
        finally:
            connection.close()
