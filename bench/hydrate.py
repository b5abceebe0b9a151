"""Hydrate by rows: a new device is filled, against a plain `executemany` of the same rows."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import syncline
from bench import device, rows
from bench.centres import Centre
from bench.figures import Figure, least
from bench.world import World

SECTION = "hydrate"


def measure(world: World) -> list[Figure]:
    """Rows a second from nothing to a working replica."""
    with world.centres(SECTION) as centres:
        return [_hydrate(world, centre) for centre in centres]


def _hydrate(world: World, centre: Centre) -> Figure:
    size = world.size(1_000_000, 20_000)
    ours, bare = [], []
    centre.fill(size)
    with centre.served() as server:
        for _ in range(world.runs):
            file, plain = world.path("hydrated.db"), world.path("plain.db")
            start = time.perf_counter()
            syncline.clone(server.url, str(file)).close()
            ours.append(size / (time.perf_counter() - start))
            assert device.count(file) == size
            bare.append(size / bare_insert(plain, size))
            file.unlink()
            plain.unlink()
            world.say(f"hydrate from {centre.kind}: {ours[-1]:,.0f} rows/s, bare {bare[-1]:,.0f}")
    targets = [least(0.4, "ratio"), least(120_000)]
    name = f"hydrate {size:,} rows"
    return Figure(SECTION, centre.kind, name, "rows/s", ours, bare, targets, "bare: executemany")


def bare_insert(file: Path, size: int) -> float:
    """Seconds of inserting the rows in key order in one transaction; making the rows is not counted."""
    keys = sorted(range(size), key=rows.key)
    seconds = 0.0
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(rows.SQLITE.format(name="item"))
        for first in range(0, size, 20_000):
            chunk = [rows.item(number) for number in keys[first : first + 20_000]]
            start = time.perf_counter()
            connection.executemany(rows.ITEM_INSERT, chunk)
            seconds += time.perf_counter() - start
        start = time.perf_counter()
        connection.commit()
        return seconds + time.perf_counter() - start
