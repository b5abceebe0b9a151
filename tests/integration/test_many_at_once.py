"""Many replicas and other programs on the same few rows of one PostgreSQL database, all at once.

Laws: L2 (every edit is accepted, overruled or rejected, never gone), L3 (increments count once), L6/L7.
`SYNCLINE_REPLICAS` and `SYNCLINE_ROUNDS` make it longer.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import IsolationLevel

import syncline
from syncline import Hub, Table
from syncline.server import create_app, serving

REPLICAS = int(os.environ.get("SYNCLINE_REPLICAS", "50"))
ROUNDS = int(os.environ.get("SYNCLINE_ROUNDS", "2"))
ROWS = 20
LEVELS = (IsolationLevel.READ_COMMITTED, IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE)
TRANSACTIONS = 12
"""Of each other program."""

TABLES = (
    "CREATE TABLE counter (id integer PRIMARY KEY, total bigint NOT NULL, best bigint NOT NULL,"
    " label text, small integer NOT NULL CHECK (small < 900))",
    f"INSERT INTO counter SELECT n, 0, 0, 'new', 0 FROM generate_series(1, {ROWS}) AS n",
    "CREATE TABLE claim (slot integer PRIMARY KEY, owner text NOT NULL)",
    "CREATE TABLE entry (id text PRIMARY KEY, counter integer NOT NULL REFERENCES counter (id))",
    # The user's own memory of what ever was in the rows; not tracked.
    "CREATE TABLE seen (what text NOT NULL)",
    "CREATE FUNCTION remember() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " INSERT INTO seen VALUES (CASE TG_TABLE_NAME WHEN 'counter' THEN to_jsonb(NEW)->>'label'"
    " ELSE to_jsonb(NEW)->>'owner' END); RETURN NULL; END $$",
    "CREATE TRIGGER remember AFTER UPDATE OF label ON counter FOR EACH ROW EXECUTE FUNCTION remember()",
    "CREATE TRIGGER remember AFTER INSERT OR UPDATE ON claim FOR EACH ROW EXECUTE FUNCTION remember()",
)
RULES = {
    "counter": Table(merge={"total": "sum", "best": "max"}),
    "claim": Table(inserts="same_row"),
    "entry": Table(),
}


@dataclass
class Tally:
    """What was done, to compare the end with."""

    added: int = 0
    best: dict[int, int] = field(default_factory=dict)
    texts: set[str] = field(default_factory=set)
    entries: set[str] = field(default_factory=set)
    failures: list[BaseException] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@pytest.fixture
def centre(postgres_url: str) -> Iterator[str]:
    with psycopg.connect(postgres_url) as connection:
        for statement in TABLES:
            connection.execute(statement.encode())
    with Hub(postgres_url, tables=RULES) as hub:
        hub.init()
    yield postgres_url


def edit(file: str, name: str, rng: random.Random, tally: Tally) -> None:
    """One transaction of the application: increments, maxima, labels, a claim, an entry, at times a row
    that the centre will refuse."""
    with closing(sqlite3.connect(file, timeout=30)) as device, device:
        for number in rng.sample(range(1, ROWS + 1), 6):
            step, best, label = rng.randint(1, 9), rng.randint(1, 10**6), f"{name} label {number}"
            device.execute(
                "UPDATE counter SET total = total + ?, best = max(best, ?), label = ? WHERE id = ?",
                (step, best, label, number),
            )
            with tally.lock:
                tally.added += step
                tally.best[number] = max(best, tally.best.get(number, 0))
                tally.texts.add(label)
        slot, owner = rng.randint(1, ROWS), f"{name} owner"
        if not device.execute("SELECT 1 FROM claim WHERE slot = ?", (slot,)).fetchone():
            device.execute("INSERT INTO claim VALUES (?, ?)", (slot, owner))
            tally.texts.add(owner)
        device.execute("INSERT INTO entry VALUES (?, ?)", (name, rng.randint(1, ROWS)))
        tally.entries.add(name)


def device_at_work(number: int, file: str, hub: str | Hub, start: threading.Barrier, tally: Tally) -> None:
    rng = random.Random(number)
    try:
        with syncline.connect(file, hub) as replica:
            start.wait(60)
            for turn in range(ROUNDS):
                edit(file, f"device {number} turn {turn}", rng, tally)
                replica.sync()  # once: no deadlock and no lock timeout reaches a device
    except BaseException as error:
        start.abort()
        tally.failures.append(error)


def program_at_work(
    number: int, url: str, level: IsolationLevel, start: threading.Barrier, tally: Tally
) -> None:
    """Another program: adds to rows in random order, straight in the database."""
    rng = random.Random(1000 + number)
    try:
        with psycopg.connect(url) as connection:
            connection.isolation_level = level
            start.wait(60)
            for _ in range(TRANSACTIONS):
                rows = rng.sample(range(1, ROWS + 1), 3)
                _until_it_commits(connection, rows)
                with tally.lock:
                    tally.added += len(rows)
    except BaseException as error:
        start.abort()
        tally.failures.append(error)


def _until_it_commits(connection: psycopg.Connection[Any], rows: Sequence[int]) -> None:
    while True:
        try:
            with connection.transaction():
                for row in rows:
                    connection.execute("UPDATE counter SET total = total + 1 WHERE id = %s", (row,))
            return
        except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected):
            continue


def run_all(jobs: Sequence[Callable[[], None]]) -> None:
    with ThreadPoolExecutor(len(jobs)) as threads:
        for job in [threads.submit(job) for job in jobs]:
            job.result()


def contents(execute: Callable[[str], Any]) -> dict[str, list[tuple[Any, ...]]]:
    return {table: sorted(map(tuple, execute(f"SELECT * FROM {table}").fetchall())) for table in RULES}


def check(url: str, files: Sequence[str], hub: str | Hub, tally: Tally) -> None:
    """Nothing is gone, nothing counted twice; everybody has the same."""
    assert tally.failures == []
    for file in files:
        with syncline.connect(file, hub) as replica:
            replica.sync()
            assert replica.rejected() == []
            assert replica.log() == []
    with psycopg.connect(url) as connection:
        central = contents(lambda text: connection.execute(text.encode()))
        seen = {text for (text,) in connection.execute("SELECT what FROM seen")}
        notes = [json.loads(data) for (data,) in connection.execute("SELECT data FROM syncline.conflicts")]
    overruled = {note["sent"] for note in notes if note["column"] in ("label", "owner")}
    overruled |= {value for note in notes if isinstance(note["sent"], list) for value in note["sent"]}
    assert sum(row[1] for row in central["counter"]) == tally.added
    assert {row[0]: row[2] for row in central["counter"]} == {n: tally.best.get(n, 0) for n in range(1, 21)}
    assert {row[0] for row in central["entry"]} == tally.entries
    assert tally.texts - seen - overruled == set()
    for file in files:
        with closing(sqlite3.connect(file)) as device:
            assert contents(device.execute) == central


def files_of(hub: Hub, folder: Path) -> list[str]:
    files = [str(folder / f"device{number}.db") for number in range(REPLICAS)]
    for file in files:
        syncline.clone(hub, file).close()
    return files


def at_once(url: str, hubs: Sequence[str | Hub], files: Sequence[str], tally: Tally) -> None:
    start = threading.Barrier(len(files) + len(LEVELS))
    jobs: list[Callable[[], None]] = []
    for number, (file, hub) in enumerate(zip(files, hubs, strict=True)):
        jobs.append(lambda n=number, f=file, h=hub: device_at_work(n, f, h, start, tally))  # type: ignore[misc]
    for number, level in enumerate(LEVELS):
        jobs.append(lambda n=number, v=level: program_at_work(n, url, v, start, tally))  # type: ignore[misc]
    run_all(jobs)


def test_fifty_replicas_each_with_a_hub_of_its_own_beside_every_isolation_level_l2_l3(
    centre: str, tmp_path: Path
) -> None:
    tally = Tally()
    with ExitStack() as stack:
        hubs = [stack.enter_context(Hub(centre, tables=RULES)) for _ in range(REPLICAS)]
        files = files_of(hubs[0], tmp_path)
        at_once(centre, hubs, files, tally)
        check(centre, files, hubs[0], tally)


def test_fifty_replicas_over_http_beside_every_isolation_level_l2_l3(centre: str, tmp_path: Path) -> None:
    tally = Tally()
    with Hub(centre, tables=RULES) as hub, serving(create_app(hub)) as url:
        files = files_of(hub, tmp_path)
        at_once(centre, [url] * REPLICAS, files, tally)
        check(centre, files, hub, tally)
