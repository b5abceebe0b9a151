"""Looking at a file that somebody else made, before it is trusted with anything."""

from __future__ import annotations

import sqlite3
from pathlib import Path

Connection = sqlite3.Connection
Unreadable = sqlite3.Error
"""What a file raises that is damaged, or is no database."""


def only_looked_at(path: str) -> Connection:
    """A connection that reads and trusts nothing: no function, view or trigger of the file's is run.

    Unreadable if there is no such file."""

    def rule(action: int, one: str | None, *_: str | None) -> int:
        reads = action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ)
        return sqlite3.SQLITE_OK if reads else sqlite3.SQLITE_DENY

    connection = sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    for setting in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0", "query_only = ON"):
        connection.execute(f"PRAGMA {setting}")
    connection.set_authorizer(rule)
    return connection
