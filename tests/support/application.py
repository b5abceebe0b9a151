"""An application with a connection of its own at an SQLite file, a device's or the centre's."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any


def sql(file: str | Path, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements, each a transaction; the rows of the last one."""
    rows: list[tuple[Any, ...]] = []
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for statement in statements:
            rows = connection.execute(statement).fetchall()
    return rows
