"""How long the application waits for its own writes beside Syncline: BEGIN IMMEDIATE in another process."""

from __future__ import annotations

import multiprocessing
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import syncline
from bench.figures import Figure, most
from bench.world import World
from syncline.replica.store import Store

SECTION = "waits"
LIMITS = {1_000: 0.1, 100_000: 1.0, 1_000_000: 5.0}
"""The longest wait allowed, in seconds, by the rows that a verb has to do with."""

TRACK_SECONDS = {100_000: 5.0}
"""How long `track` may take, by the rows."""

UNIQUE = "CREATE TABLE place (id INTEGER PRIMARY KEY, rank INTEGER UNIQUE, a TEXT)"
INDEXED = "CREATE TABLE seat (id INTEGER PRIMARY KEY, rank INTEGER, a TEXT)"
INDEX = "CREATE UNIQUE INDEX seat_rank ON seat (rank)"
"""So a device has a unique constraint of PostgreSQL; one of SQLite it has in its table, as it is there."""

PLACES = (
    "WITH RECURSIVE s (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM s WHERE i < {count})"
    " INSERT INTO {name} SELECT i, i, 'some text ' || i FROM s"
)
TABLE = "CREATE TABLE {name} (id INTEGER PRIMARY KEY, a TEXT, b TEXT, n INTEGER)"
OWN = "CREATE TABLE own (id INTEGER PRIMARY KEY, v TEXT)"
ROWS = (
    "WITH RECURSIVE s (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM s WHERE i < {count})"
    " INSERT INTO {name} SELECT i, 'some text ' || i, hex(randomblob(20)), i FROM s"
)
PAUSE = 0.002

Verb = Callable[[], object]


def measure(world: World) -> list[Figure]:
    """Every verb at each number of rows; a million with --full alone."""
    sizes = [world.size(1_000, 200), world.size(100_000, 2_000)]
    if world.full:
        sizes.append(1_000_000)
    return [figure for size in sizes for figure in _Measured(world, size).figures()]


class _Measured:
    """A centre with a hub in this process, a device file, and the application in another one."""

    def __init__(self, world: World, size: int) -> None:
        self._size, self._folder = size, world.path(f"waits-{size}")
        self._folder.mkdir()
        self._say = world.say
        self._centre = self._folder / "centre.db"
        self._run(
            self._centre,
            "PRAGMA journal_mode = WAL",
            TABLE.format(name="item"),
            TABLE.format(name="other"),
            UNIQUE,
            INDEXED,
            INDEX,
        )
        self._hub = self._open()
        self._hub.init()
        self._file = self._folder / "device.db"

    def _open(self) -> syncline.Hub:
        tables = {
            "item": syncline.Table(merge={"n": "sum"}),
            "other": syncline.Table(),
            "place": syncline.Table(),
            "seat": syncline.Table(),
        }
        return syncline.Hub(f"sqlite:///{self._centre}", tables)

    def figures(self) -> list[Figure]:
        found: list[Figure] = []
        try:
            for file, name, verb in self._verbs():
                with _held() as held:
                    wait, seconds = _waited(file, verb)
                limit = LIMITS.get(self._size)
                targets = [] if limit is None else [most(limit)]
                note = f"took {seconds:.1f} s"
                what = f"{self._size:,} rows: {name}"
                found.append(Figure(SECTION, "sqlite", what, "s", [wait], (), targets, note))
                busy = max(held, default=0.0)
                under = f"{what}, processor time under the lock"
                note = f"in all {sum(held):.2f} s in {len(held)} transactions"
                found.append(Figure(SECTION, "sqlite", under, "s", [busy], (), targets, note))
                self._say(f"{what}: longest wait {wait:.3f} s of {seconds:.1f} s, processor {busy:.3f} s")
                if name.startswith("track"):
                    goals = [most(TRACK_SECONDS[self._size])] if self._size in TRACK_SECONDS else []
                    found.append(Figure(SECTION, "sqlite", f"{what}, duration", "s", [seconds], (), goals))
        finally:
            self._hub.close()
        return found

    def _verbs(self) -> Iterator[tuple[Path, str, Verb]]:
        """What is measured, one after the other: the file, the name, what to do."""
        centre, device, size = self._centre, self._file, self._size
        syncline.clone(self._hub, device).close()
        self._run(device, OWN)
        self._run(centre, ROWS.format(name="item", count=size))
        yield device, "pull of new rows", self._sync
        self._run(centre, "UPDATE item SET n = n + 1, a = a || 'y'")
        yield device, "pull of updates", self._sync
        self._run(device, "UPDATE item SET b = b || 'z'")
        yield device, "push of updates", self._sync
        self._run(device, ROWS.format(name="other", count=size))
        yield device, "push of new rows", self._sync
        self._run(centre, "UPDATE item SET n = n + 1")
        self._run(device, "UPDATE item SET n = n + 2")
        yield device, "both sides, same rows", self._sync
        yield device, "verify", self._verify
        self._run(device, "DELETE FROM other WHERE id % 2 = 0")
        yield device, "push of deletes, half of them", self._sync
        self._run(centre, "DELETE FROM other")
        yield device, "pull of deletes, half of them", self._sync
        for name, what in (("place", "unique values"), ("seat", "values of a unique index")):
            self._run(centre, PLACES.format(name=name, count=size))
            self._sync()
            negative = f"UPDATE {name} SET rank = -rank"
            self._run(centre, negative, f"UPDATE {name} SET rank = 1 - rank")
            yield device, f"pull of {what}, each the neighbour's", self._sync
            self._run(centre, negative, f"UPDATE {name} SET rank = (-rank * 7919) % {size + 3}")
            yield device, f"pull of {what}, shuffled", self._sync
        self._spoil()
        yield device, "repair, half of the rows", self._repair
        self._rebuild()
        self._run(device, "UPDATE item SET a = a || 'u' WHERE id % 2 = 0")
        yield device, "table made anew, half of it edited", self._sync
        self._run(centre, "ALTER TABLE item ADD COLUMN more TEXT DEFAULT 'x'")
        self._run(centre, "UPDATE item SET more = 'y'")
        self._hub.init()
        yield device, "migration, a new column", self._sync
        self._run(centre, "ALTER TABLE item RENAME COLUMN more TO further")
        self._hub.init()
        self._sync()
        yield device, "upgrade, a renamed column", self._upgrade
        for name, file in (("file", device), ("centre", centre)):
            before = self._copied(file)
            self._run(device, "UPDATE item SET a = a || 'r'")
            self._sync()
            self._put_back(before, file)
            yield device, f"recovery, the {name} put back", self._sync
        for name, text in (("equal rows", "a"), ("differing rows", "a || 'q'")):
            own = self._folder / f"own-{name[0]}.db"
            self._run(own, OWN, "PRAGMA journal_mode = WAL", TABLE.format(name="item"))
            self._run(own, "ALTER TABLE item ADD COLUMN further TEXT DEFAULT 'x'")
            self._run(
                own,
                f"ATTACH '{centre}' AS centre",
                f"INSERT INTO item SELECT id, {text}, b, n, further FROM centre.item",
            )
            yield own, f"track, {name}", lambda own=own: self._track(own)
            yield own, f"sync after track, {name}", lambda own=own: self._sync(own)

    def _sync(self, file: Path | None = None) -> None:
        with syncline.connect(file or self._file, hub=self._hub) as replica:
            replica.sync()

    def _verify(self) -> None:
        with syncline.connect(self._file, hub=self._hub) as replica:
            assert replica.verify().equal, "both sides are equal"

    def _spoil(self) -> None:
        """Half of the rows differ, and nobody knows."""
        self._run(
            self._file,
            "UPDATE _sync_state SET suppressed = 1",
            "UPDATE item SET b = 'spoilt' WHERE id % 2 = 0",
            "UPDATE _sync_state SET suppressed = 0",
        )

    def _repair(self) -> None:
        with syncline.connect(self._file, hub=self._hub) as replica:
            assert replica.verify(repair=True).repaired, "there is something to repair"

    def _upgrade(self) -> None:
        with syncline.connect(self._file, hub=self._hub) as replica:
            replica.upgrade()

    def _track(self, file: Path) -> None:
        with syncline.connect(file, hub=self._hub) as replica:
            replica.track("item")

    @staticmethod
    def _copied(file: Path) -> Path:
        copy = file.with_suffix(".before")
        copy.unlink(missing_ok=True)
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        return copy

    def _put_back(self, copy: Path, file: Path) -> None:
        """While nobody has the file open."""
        self._hub.close()
        for part in ("-wal", "-shm"):
            file.with_name(file.name + part).unlink(missing_ok=True)
        copy.replace(file)
        self._hub = self._open()

    def _rebuild(self) -> None:
        with closing(sqlite3.connect(self._file, timeout=60, isolation_level=None)) as connection:
            connection.executescript(
                f"""BEGIN; {TABLE.format(name="new_item")}; INSERT INTO new_item SELECT * FROM item;
                DROP TABLE item; ALTER TABLE new_item RENAME TO item; COMMIT;"""
            )

    @staticmethod
    def _run(file: Path, *statements: str) -> None:
        with closing(sqlite3.connect(file, timeout=60, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)


@contextmanager
def _held() -> Iterator[list[float]]:
    """In this block: the processor time, in seconds, of each transaction in which a replica holds the write
    lock. That much of a wait remains on a machine that does nothing else."""
    plain, begun, found = Store.execute, dict[int, float](), list[float]()

    def execute(store: Store, sql: str, parameters: Any = ()) -> int:
        try:
            return plain(store, sql, parameters)
        finally:
            now = time.thread_time()
            if sql == "BEGIN IMMEDIATE":
                begun[id(store)] = now
            elif sql in ("COMMIT", "ROLLBACK") and id(store) in begun:
                found.append(now - begun.pop(id(store)))

    Store.execute = execute  # type: ignore[method-assign, assignment]
    try:
        yield found
    finally:
        Store.execute = plain  # type: ignore[method-assign]


def _waited(file: Path, verb: Verb) -> tuple[float, float]:
    """The application's longest wait in seconds while the verb runs, and how long that took."""
    context: Any = multiprocessing.get_context("spawn")
    stop, ready, answer = context.Event(), context.Event(), context.SimpleQueue()
    application = context.Process(target=_write, args=(str(file), stop, ready, answer))
    application.start()
    ready.wait()
    begun = time.monotonic()
    try:
        verb()
    finally:
        seconds = time.monotonic() - begun
        stop.set()
        wait = answer.get()
        application.join()
    return wait, seconds


def _write(file: str, stop: Event, ready: Event, answer: Any) -> None:
    """The application: one small write after the other; answers the longest wait."""
    longest = 0.0
    with closing(sqlite3.connect(file, timeout=600, isolation_level=None)) as connection:
        ready.set()
        while not stop.is_set():
            begun = time.monotonic()
            connection.execute("BEGIN IMMEDIATE")
            longest = max(longest, time.monotonic() - begun)
            connection.execute("INSERT INTO own (v) VALUES ('x')")
            connection.execute("COMMIT")
            time.sleep(PAUSE)
    answer.put(longest)
