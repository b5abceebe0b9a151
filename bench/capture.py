"""Capture: what the triggers cost the application, against the same writes in a file without them."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import syncline
from bench import rows
from bench.centres import SqliteCentre
from bench.figures import Figure, most
from bench.world import World

SECTION = "capture"
Work = Callable[[sqlite3.Connection, Sequence[Any]], None]
UPDATE = "UPDATE item SET title = ? WHERE id = ?"


def measure(world: World) -> list[Figure]:
    """Bulk insert, bulk update and single durable writes; the centre plays no part."""
    size, singles = world.size(100_000, 5_000), world.size(300, 30)
    names = {
        f"insert of {size:,} rows": 2.0,
        f"update of {size:,} rows, one column": 1.5,
        "single durable insert": 1.1,
        "single durable update": 1.1,
    }
    taken: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in names}
    for run in range(world.runs):
        tracked, plain = _tracked(world), _plain(world)
        for name, steps in zip(names, _steps(size, singles, run), strict=True):
            for file, times in zip((tracked, plain), taken[name], strict=True):
                times.append(_seconds(file, *steps) * 1000)
        tracked.unlink()
        plain.unlink()
    return [
        Figure(SECTION, "device", name, "ms", *taken[name], [most(limit, "ratio")], "bare: plain SQLite")
        for name, limit in names.items()
    ]


def _steps(size: int, singles: int, run: int) -> list[tuple[Work, Sequence[Any]]]:
    new, more = rows.items(size), rows.items(singles, start=size)
    changes = [(f"Title {run} {number}", rows.key(number)) for number in range(size)]
    return [
        (_bulk(rows.ITEM_INSERT), new),
        (_bulk(UPDATE), changes),
        (_single(rows.ITEM_INSERT), more),
        (_single(UPDATE), [(f"{title} again", key) for title, key in changes[:singles]]),
    ]


def _bulk(statement: str) -> Work:
    def work(connection: sqlite3.Connection, values: Sequence[Any]) -> None:
        with connection:
            connection.executemany(statement, values)

    return work


def _single(statement: str) -> Work:
    """One transaction a row."""

    def work(connection: sqlite3.Connection, values: Sequence[Any]) -> None:
        for value in values:
            with connection:
                connection.execute(statement, value)

    return work


def _seconds(file: Path, work: Work, values: Sequence[Any]) -> float:
    """The time of a piece of work on an open connection."""
    with closing(sqlite3.connect(file)) as connection:
        start = time.perf_counter()
        work(connection, values)
        return time.perf_counter() - start


def _tracked(world: World) -> Path:
    folder = world.path(SECTION)
    folder.mkdir()
    file = folder / "tracked.db"
    with syncline.Hub(SqliteCentre(folder).url, tables={"item": syncline.Table()}) as hub:
        hub.init()
        syncline.clone(hub, file).close()
    return file


def _plain(world: World) -> Path:
    file = world.path("plain.db")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(rows.SQLITE.format(name="item"))
    return file
