"""A SQLite database as any other program sees it, and one in memory put back to a backup."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

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


def put_back(connection: sqlite3.Connection, content: bytes) -> None:
    """A database in memory is what `serialize` gave.

    A connection that is deserialized itself crashes in statements that it has prepared before, if they have
    a table-valued function (seen with SQLite 3.40).
    """
    with closing(sqlite3.connect(":memory:")) as source:
        source.deserialize(content)
        source.backup(connection)
