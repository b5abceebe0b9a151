"""One edit from device to device: written on one, synced, pulled by the other."""

from __future__ import annotations

import sqlite3
import statistics
import time
from contextlib import closing
from pathlib import Path

import syncline
from bench import rows
from bench.centres import Centre
from bench.figures import Figure, most
from bench.world import World

SECTION = "latency"


def measure(world: World) -> list[Figure]:
    """p50 and p99 of write, sync on one device and pull on the other."""
    with world.centres(SECTION) as centres:
        return [figure for centre in centres for figure in _edits(world, centre)]


def _edits(world: World, centre: Centre) -> list[Figure]:
    times = world.size(200, 20)
    centre.fill(world.size(10_000, 1_000))
    middle, tail, bare = [], [], []
    with centre.served() as server:
        left, right, plain = world.path("left.db"), world.path("right.db"), world.path("plain.db")
        _plain(plain)
        with syncline.clone(server.url, str(left)) as one, syncline.clone(server.url, str(right)) as two:
            for run in range(world.runs):
                ours = _series(one, two, left, right, run, times)
                middle.append(statistics.median(ours))
                tail.append(sorted(ours)[int(len(ours) * 0.99)])
                bare.append(_bare(plain, times))
                world.say(f"edit over {centre.kind}: p50 {middle[-1]:.1f} ms, p99 {tail[-1]:.1f} ms")
    note = "bare: two durable SQLite writes"
    return [
        Figure(SECTION, centre.kind, "one edit, device to device, p50", "ms", middle, bare, [most(15)], note),
        Figure(SECTION, centre.kind, "one edit, device to device, p99", "ms", tail, (), [most(100)]),
    ]


def _series(
    one: syncline.Replica, two: syncline.Replica, left: Path, right: Path, run: int, times: int
) -> list[float]:
    """Milliseconds of each edit until the other device can read it."""
    taken = []
    with closing(sqlite3.connect(left)) as writer, closing(sqlite3.connect(right)) as reader:
        for number in range(times):
            key, title = rows.key(number), f"edit {run} {number}"
            start = time.perf_counter()
            with writer:
                writer.execute("UPDATE item SET title = ? WHERE id = ?", (title, key))
            one.sync()
            two.sync()
            found = reader.execute("SELECT title FROM item WHERE id = ?", (key,)).fetchone()
            taken.append((time.perf_counter() - start) * 1000)
            assert found == (title,)
    return taken


def _plain(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        with connection:
            connection.execute(rows.SQLITE.format(name="item"))
            connection.executemany(rows.ITEM_INSERT, rows.items(1_000))


def _bare(file: Path, times: int) -> float:
    """The median milliseconds of two plain durable writes."""
    taken = []
    with closing(sqlite3.connect(file)) as connection:
        for number in range(times):
            start = time.perf_counter()
            for text in ("left", "right"):
                with connection:
                    change = (f"{text} {start}", rows.key(number % 1_000))
                    connection.execute("UPDATE item SET title = ? WHERE id = ?", change)
            taken.append((time.perf_counter() - start) * 1000)
    return statistics.median(taken)
