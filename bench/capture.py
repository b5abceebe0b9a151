"""Capture: what the triggers cost the application, against the same writes in a file without them."""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import syncline
from bench import rows
from bench.centres import SqliteCentre
from bench.figures import Figure, most
from bench.world import World

SECTION = "capture"
Pair = tuple[sqlite3.Connection, sqlite3.Connection]
UPDATE = "UPDATE item SET title = ? WHERE id = ?"
Values = Sequence[Any]


def measure(world: World) -> list[Figure]:
    """Bulk insert, bulk update and single durable writes; the centre plays no part."""
    size, singles = world.size(100_000, 5_000), world.size(300, 30)
    limits = {
        f"insert of {size:,} rows": 2.0,
        f"update of {size:,} rows, one column": 1.5,
        "single durable insert, p50": 1.1,
        "single durable update, p50": 1.1,
    }
    taken: list[list[tuple[float, float]]] = [[] for _ in limits]
    for run in range(world.runs):
        tracked, plain = _tracked(world), _plain(world)
        with closing(sqlite3.connect(tracked)) as ours, closing(sqlite3.connect(plain)) as bare:
            for times, pair in zip(taken, _run((ours, bare), size, singles, run), strict=True):
                times.append(pair)
        tracked.unlink()
        plain.unlink()
    figures = []
    for (name, limit), times in zip(limits.items(), taken, strict=True):
        ours_ms, bare_ms = zip(*times, strict=True)
        targets = [most(limit, "ratio")]
        figures.append(Figure(SECTION, "device", name, "ms", ours_ms, bare_ms, targets, "bare: plain SQLite"))
    return figures


def _run(files: Pair, size: int, singles: int, run: int) -> Iterator[tuple[float, float]]:
    """Milliseconds (ours, bare) of each kind of write."""
    changes = [(f"Title {run} {number}", rows.key(number)) for number in range(size)]
    yield _bulk(files, rows.ITEM_INSERT, rows.items(size))
    yield _bulk(files, UPDATE, changes)
    yield _single(files, rows.ITEM_INSERT, rows.items(singles, start=size))
    yield _single(files, UPDATE, [(f"{title} again", key) for title, key in changes[:singles]])


def _bulk(files: Pair, statement: str, values: Values) -> tuple[float, float]:
    """All in one transaction."""
    taken = []
    for connection in files:
        start = time.perf_counter()
        with connection:
            connection.executemany(statement, values)
        taken.append((time.perf_counter() - start) * 1000)
    return taken[0], taken[1]


def _single(files: Pair, statement: str, values: Values) -> tuple[float, float]:
    """One transaction a row, turn by turn: what the disk does to one it does to the other. The medians."""
    taken: tuple[list[float], list[float]] = ([], [])
    for value in values:
        for connection, times in zip(files, taken, strict=True):
            start = time.perf_counter()
            with connection:
                connection.execute(statement, value)
            times.append((time.perf_counter() - start) * 1000)
    return statistics.median(taken[0]), statistics.median(taken[1])


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
