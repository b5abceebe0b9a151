"""Verify: one differing row among many is found; seconds, requests and memory of both sides.

The bare operation reads the device's table once, in key order, as any program would.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import syncline
from bench import device, rows
from bench.centres import Centre
from bench.figures import Figure, most
from bench.world import World

SECTION = "verify"


def measure(world: World) -> list[Figure]:
    """An equal file, one with one row that differs, and the repair of it."""
    with world.centres(SECTION) as centres:
        return [figure for centre in centres for figure in _verify(world, centre)]


def _verify(world: World, centre: Centre) -> list[Figure]:
    size = world.size(1_000_000, 100_000)
    centre.fill(size)
    file = world.path("verified.db")
    figures = []
    with centre.served() as server:
        syncline.clone(server.url, str(file)).close()
        for name, options in (("equal", ()), ("one row differs", ()), ("one row repaired", ("--repair",))):
            if name == "one row differs":
                damage(file, rows.key(size // 2))
            server.forget_peak()
            runs, bare = [], []
            for _ in range(1 if options else world.runs):
                runs.append(device.in_process("verify", file, *options))
                bare.append(read(file))
            assert all(run["differences"] == (0 if name == "equal" else 1) for run in runs)
            world.say(f"verify of {size:,} rows over {centre.kind}, {name}: {runs[-1]}")
            figures += _figures(f"{size:,} rows, {name}", centre.kind, runs, bare, server.peak_megabytes)
    return figures


def _figures(
    name: str, centre: str, runs: list[dict[str, float]], bare: list[float], hub: float
) -> list[Figure]:
    seconds, requests, memory = ([run[kind] for run in runs] for kind in ("seconds", "requests", "megabytes"))
    return [
        Figure(SECTION, centre, name, "s", seconds, bare, note="bare: read once in key order"),
        Figure(SECTION, centre, f"{name}, requests", "requests", requests, (), [most(4)]),
        Figure(SECTION, centre, f"{name}, device", "MB", [max(memory)], (), [most(200)]),
        Figure(SECTION, centre, f"{name}, hub", "MB", [hub], (), [most(200)]),
    ]


def damage(file: Path, key: str) -> None:
    """Change a row so that capture does not see it."""
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE _sync_state SET suppressed = 1")
        connection.execute("UPDATE item SET quantity = quantity + 1 WHERE id = ?", (key,))
        connection.execute("UPDATE _sync_state SET suppressed = 0")


def read(file: Path) -> float:
    """Seconds of reading the table once, in key order."""
    with closing(sqlite3.connect(file)) as connection:
        start = time.perf_counter()
        cursor = connection.execute("SELECT * FROM item ORDER BY id")
        while cursor.fetchmany(1000):
            pass
        return time.perf_counter() - start
