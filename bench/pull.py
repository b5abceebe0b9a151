"""Incremental pull: other devices' changes arrive, against plain updates of the same rows."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import syncline
from bench import rows
from bench.centres import Centre
from bench.figures import Figure, least
from bench.world import World

SECTION = "pull"


def measure(world: World) -> list[Figure]:
    """Rows a second of pulling one-column updates and new rows made in the centre."""
    with world.centres(SECTION) as centres:
        return [figure for centre in centres for figure in _pull(world, centre)]


def _pull(world: World, centre: Centre) -> list[Figure]:
    size = world.size(100_000, 5_000)
    updates: list[float] = []
    bare: list[float] = []
    centre.fill(size)
    with centre.served() as server:
        file, plain = world.path("pull.db"), world.path("plain.db")
        with syncline.clone(server.url, str(file)) as replica:
            _plain_copy(plain, size)
            for run in range(world.runs):
                centre.run(f"UPDATE item SET title = 'Title {run}'")
                start = time.perf_counter()
                replica.pull()
                updates.append(size / (time.perf_counter() - start))
                bare.append(size / _bare_update(plain, size, run))
                world.say(f"pull from {centre.kind}: {updates[-1]:,.0f} rows/s, bare {bare[-1]:,.0f}")
            with closing(sqlite3.connect(file)) as connection:
                title = f"Title {world.runs - 1}"
                query = "SELECT count(*) FROM item WHERE title = ?"
                assert connection.execute(query, (title,)).fetchone()[0] == size
    name = f"pull {size:,} one-column updates"
    return [
        Figure(
            SECTION, centre.kind, name, "rows/s", updates, bare, [least(0.4, "ratio")], "bare: executemany"
        )
    ]


def _plain_copy(file: Path, size: int) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        with connection:
            connection.execute(rows.SQLITE.format(name="item"))
            for chunk in rows.chunks(size, 50_000):
                connection.executemany(rows.ITEM_INSERT, chunk)


def _bare_update(file: Path, size: int, run: int) -> float:
    """Seconds of the same updates as a plain program makes them from a list in memory."""
    changes = [(f"Title {run}", rows.key(number)) for number in range(size)]
    changes.sort(key=lambda change: change[1])
    with closing(sqlite3.connect(file)) as connection:
        start = time.perf_counter()
        with connection:
            connection.executemany("UPDATE item SET title = ? WHERE id = ?", changes)
        return time.perf_counter() - start
