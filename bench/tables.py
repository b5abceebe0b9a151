"""A SQLite centre of many tables: preparing it, the first look at it, following one new column."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import syncline
from bench.figures import Figure
from bench.world import World

SECTION = "tables"
TABLE = (
    "CREATE TABLE t{n} (id INTEGER PRIMARY KEY, a TEXT NOT NULL DEFAULT '', b INTEGER, c REAL,"
    " parent INTEGER REFERENCES t{parent} (id))"
)


def measure(world: World) -> list[Figure]:
    """Processor seconds, for so many tables and half of them: twice as many should cost about twice."""
    most = world.size(400, 40)
    return [figure for tables in (most // 2, most) for figure in _of(world, tables)]


def _of(world: World, tables: int) -> list[Figure]:
    spent: dict[str, list[float]] = {"init": [], "first request": [], "following a new column": []}
    for _ in range(world.runs):
        file = world.path("tables.db")
        file.unlink(missing_ok=True)
        _run(file, *(TABLE.format(n=n, parent=max(0, n - 1)) for n in range(tables)))
        with syncline.Hub(f"sqlite:///{file}") as hub:
            spent["init"].append(_seconds(hub.init))
        with syncline.Hub(f"sqlite:///{file}") as hub:
            spent["first request"].append(_seconds(hub.ready))
            _run(file, "ALTER TABLE t1 ADD COLUMN d TEXT")
            spent["following a new column"].append(_seconds(hub.look))
    return [
        Figure(SECTION, "sqlite", f"{what}, {tables} tables", "s", runs, note="processor time")
        for what, runs in spent.items()
    ]


def _seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def _run(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
