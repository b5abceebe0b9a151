"""What a statement made of a hub's words may do: make the one table, index or column it is for, no more.

SQLite asks an authorizer for everything that a statement does, while it is prepared. Whatever is not allowed
here is refused: ATTACH, PRAGMA, triggers, views, virtual tables, reading or writing any other table,
functions that the application gave this connection. A statement that takes too long is ended.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from functools import cache

from syncline.model.naming import folded

Rule = Callable[[int, str | None, str | None, str | None, str | None], int]
"""An authorizer of `sqlite3.Connection.set_authorizer`."""

SECONDS = 600.0
"""How long a statement may take: the making of an index over millions of rows takes some."""

STEPS = 1_000_000
"""After so many steps of SQLite's machine the time is looked at."""

_MASTER = ("sqlite_master", "sqlite_schema")
_HARMFUL = frozenset({"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit", "sqlite_dbpage"})


def only_table(name: str) -> Rule:
    """Make this table, with the indexes that its constraints need."""

    def rule(action: int, one: str | None, two: str | None, base: str | None, _: str | None) -> int:
        own = folded(one or "") == folded(name)
        allowed = (
            (action == sqlite3.SQLITE_CREATE_TABLE and own and base == "main")
            # SQLite makes this table of its own for the first one with AUTOINCREMENT.
            or (action == sqlite3.SQLITE_CREATE_TABLE and one == "sqlite_sequence" and base == "main")
            or (
                action == sqlite3.SQLITE_CREATE_INDEX and folded(two or "") == folded(name) and base == "main"
            )
            or (action == sqlite3.SQLITE_READ and (own or one in _MASTER) and base == "main")
            or (
                action in (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE) and one in _MASTER and base == "main"
            )
            or (action == sqlite3.SQLITE_FUNCTION and _is_built_in(two))
        )
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    return rule


def only_index(name: str, table: str) -> Rule:
    """Make this index of this table."""

    def rule(action: int, one: str | None, two: str | None, base: str | None, _: str | None) -> int:
        own = folded(one or "") == folded(name) and base == "main"
        of_table = folded(one or "") == folded(table) and base == "main"
        allowed = (
            (action == sqlite3.SQLITE_CREATE_INDEX and own and folded(two or "") == folded(table))
            or (action == sqlite3.SQLITE_REINDEX and own)
            or (action == sqlite3.SQLITE_READ and (of_table or one in _MASTER))
            or (
                action in (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE) and one in _MASTER and base == "main"
            )
            or (action == sqlite3.SQLITE_FUNCTION and _is_built_in(two))
        )
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    return rule


def only_column(table: str) -> Rule:
    """Add a column to this table. SQLite reads the table's definition for that, and may check its rows."""

    def rule(action: int, one: str | None, two: str | None, base: str | None, _: str | None) -> int:
        known = folded(one or "") in (*_MASTER, folded(table), "pragma_quick_check")
        allowed = (
            (action == sqlite3.SQLITE_ALTER_TABLE and one == "main" and folded(two or "") == folded(table))
            or (action == sqlite3.SQLITE_UPDATE and one in _MASTER)
            or (action == sqlite3.SQLITE_READ and known)
            or action == sqlite3.SQLITE_SELECT
            or (action == sqlite3.SQLITE_PRAGMA and one == "quick_check" and two == table)
            or (action == sqlite3.SQLITE_FUNCTION and _is_built_in(two))
        )
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    return rule


def no_longer_than(seconds: float) -> Callable[[], int]:
    """A progress handler that ends what has not ended by then."""
    end = time.monotonic() + seconds
    return lambda: int(time.monotonic() > end)


def _is_built_in(function: str | None) -> bool:
    return function is not None and function.lower() in _built_in()


@cache
def _built_in() -> frozenset[str]:
    """The functions that SQLite has by itself, but for those that reach beyond the file."""
    connection = sqlite3.connect(":memory:")
    try:
        names = {name.lower() for (name,) in connection.execute("SELECT name FROM pragma_function_list")}
    finally:
        connection.close()
    return frozenset(names - _HARMFUL)
