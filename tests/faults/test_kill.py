"""Processes killed by SIGKILL at random moments of push, pull and hydrate, on either side (L2, L3, L5).

`SYNCLINE_KILLS` sets how many kills there are (default 100, shared out over the cases).
"""

from __future__ import annotations

import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

import syncline
from tests.support.postgres import free_port

KILLS = int(os.environ.get("SYNCLINE_KILLS", "100"))
DEVICE = Path(__file__).with_name("device.py")
TABLES = ("visit", "note")


class Server:
    """`syncline serve` as a process that can be killed and started again on its port."""

    def __init__(self, configuration: Path) -> None:
        self.configuration, self.port = configuration, free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "syncline", "serve", str(self.configuration)]
        self.process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with suppress(OSError), closing(socket.create_connection(("127.0.0.1", self.port), 1)):
                return
            assert self.process.poll() is None, "the server ended by itself"
            time.sleep(0.02)
        raise AssertionError("the server did not listen within 30 s")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        self.kill()
        self.start()


@pytest.fixture
def sqlite_centre(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'central.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def centre(request: pytest.FixtureRequest) -> str:
    name = "sqlite_centre" if request.param == "sqlite" else "postgres_url"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture
def server(tmp_path: Path, centre: str) -> Iterator[Server]:
    script = """
        CREATE TABLE visit (id INTEGER PRIMARY KEY, patient TEXT, state TEXT, total INTEGER NOT NULL);
        CREATE TABLE note (id TEXT PRIMARY KEY, visit_id INTEGER NOT NULL REFERENCES visit (id), body TEXT);
    """
    run_in_centre(centre, script.split(";"))
    configuration = tmp_path / "syncline.toml"
    configuration.write_text(
        f'[hub]\ndatabase = "{centre}"\n[tables.visit]\nmerge = {{ total = "sum" }}\n[tables.note]\n'
    )
    subprocess.run([sys.executable, "-m", "syncline", "init", str(configuration)], check=True)
    server = Server(configuration)
    server.start()
    yield server
    server.kill()


def run_in_centre(url: str, statements: list[str]) -> None:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
            for statement in statements:
                connection.execute(statement)
        return
    import psycopg

    with psycopg.connect(url) as pg:
        for statement in statements:
            if statement.strip():
                pg.execute(statement.encode())


def rows_in_centre(url: str, table: str) -> list[tuple[Any, ...]]:
    query = f"SELECT * FROM {table} ORDER BY id"
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            return connection.execute(query).fetchall()
    import psycopg

    with psycopg.connect(url) as pg:
        return sorted(pg.execute(query.encode()).fetchall())


def rows_on_device(file: Path, table: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(file)) as connection:
        return sorted(connection.execute(f"SELECT * FROM {table} ORDER BY id").fetchall())


class Device:
    """A replica file, edited as an application would, synced by a process that may be killed."""

    def __init__(self, file: Path, number: int, rng: random.Random) -> None:
        self.file, self.number, self.rng = file, number, rng
        self.written: set[str] = set()
        self.added = 0

    def edit(self) -> None:
        """New rows, changed rows and increments, in one transaction."""
        with closing(sqlite3.connect(self.file, timeout=30)) as connection, connection:
            connection.execute("PRAGMA foreign_keys = ON")
            visits = [row[0] for row in connection.execute("SELECT id FROM visit")]
            for _ in range(self.rng.randint(1, 120)):
                name = f"{self.number}-{len(self.written)}"
                self.written.add(name)
                connection.execute(
                    "INSERT INTO note VALUES (?, ?, ?)", (name, self.rng.choice(visits), "x" * 200)
                )
            for visit in self.rng.sample(visits, min(10, len(visits))):
                step = self.rng.randint(1, 9)
                self.added += step
                connection.execute(
                    "UPDATE visit SET total = total + ?, state = ? WHERE id = ?",
                    (step, f"by {self.number}", visit),
                )

    def start(self, verb: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(DEVICE), verb, str(self.file), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None and process.stdin is not None
        line = process.stdout.readline()
        assert line == "ready\n", process.communicate()
        process.stdin.write("go\n")
        process.stdin.flush()
        return process


def test_a_hundred_kills_on_either_side_lose_nothing_and_double_nothing_l2_l3(
    server: Server, centre: str, tmp_path: Path
) -> None:
    rng = random.Random(20)
    run_in_centre(centre, [f"INSERT INTO visit VALUES ({i}, 'patient {i}', 'new', 0)" for i in range(1, 31)])
    devices = []
    for number in range(2):
        file = tmp_path / f"device{number}.db"
        syncline.clone(server.url, file).close()
        devices.append(Device(file, number, rng))
    longest = 0.25
    for kill in range(KILLS // 2 - 10):
        device = rng.choice(devices)
        device.edit()
        process = device.start("sync")
        time.sleep(rng.uniform(0, longest))
        if kill % 2:
            os.kill(process.pid, signal.SIGKILL)
        else:
            server.restart()
        process.communicate(timeout=60)
    settle(devices)
    check(devices, centre)


def test_a_hydrate_killed_on_either_side_goes_on_where_it_broke_l2_l5(
    server: Server, centre: str, tmp_path: Path
) -> None:
    rng = random.Random(30)
    values = ", ".join(f"({i}, 'patient {i}', 'new', {i})" for i in range(1, 40_001))
    run_in_centre(centre, [f"INSERT INTO visit VALUES {values}"])
    file = tmp_path / "device.db"
    device = Device(file, 0, rng)
    kills = 0
    while kills < 10:
        process = device.start("clone", server.url)
        time.sleep(rng.uniform(0, 0.4))
        if kills % 3 == 2:
            server.restart()
        else:
            os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
        kills += 1
        run_in_centre(centre, [f"UPDATE visit SET total = total + 1 WHERE id = {kills}"])
        if file.exists():
            check([device], centre, synced=False)
            file.unlink()
            for leftover in tmp_path.glob("device.db-*"):
                leftover.unlink()
    syncline.clone(server.url, file).close()
    check([device], centre)


LARGE_ROWS = 20
"""Rows of a megabyte that no compression makes smaller: a push of three chunks."""


def test_a_large_push_killed_on_either_side_is_done_once_and_whole_l2_l3(
    server: Server, centre: str, tmp_path: Path
) -> None:
    rng = random.Random(40)
    run_in_centre(centre, ["INSERT INTO visit VALUES (1, 'patient', 'new', 0)"])
    device = Device(tmp_path / "device.db", 0, rng)
    syncline.clone(server.url, device.file).close()
    written, seen = 0, set()
    for kill in range(max(4, KILLS // 10)):
        if written * LARGE_ROWS == (arrived := count_in_centre(centre)):
            write_large(device.file, written := written + 1)
        seen.add(arrived)
        process = device.start("sync")
        time.sleep(rng.uniform(0, 1.2))
        if kill % 2:
            os.kill(process.pid, signal.SIGKILL)
        else:
            server.restart()
        process.communicate(timeout=60)
    assert all(count % LARGE_ROWS == 0 for count in seen), "a push is there whole or not at all"
    settle([device])
    assert count_in_centre(centre) == written * LARGE_ROWS
    assert rows_in_centre(centre, "visit")[0][3] == written * LARGE_ROWS


def write_large(file: Path, number: int) -> None:
    with closing(sqlite3.connect(file, timeout=30)) as connection, connection:
        for row in range(LARGE_ROWS):
            connection.execute(
                "INSERT INTO note VALUES (?, 1, hex(randomblob(500000)))", (f"large-{number}-{row}",)
            )
            connection.execute("UPDATE visit SET total = total + 1 WHERE id = 1")


def count_in_centre(url: str) -> int:
    query = "SELECT count(*) FROM note"
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            return int(connection.execute(query).fetchone()[0])
    import psycopg

    with psycopg.connect(url) as pg:
        (count,) = pg.execute(query.encode()).fetchone() or (0,)
        return int(count)


def settle(devices: list[Device]) -> None:
    """Sync everything until there is nothing left to send."""
    for _ in range(2):
        for device in devices:
            with syncline.connect(device.file) as replica:
                replica.sync()


def check(devices: list[Device], centre: str, *, synced: bool = True) -> None:
    """Every device equals the centre, every row written is there once, every increment counted once."""
    if not synced:
        settle(devices)
    notes = rows_in_centre(centre, "note")
    assert {row[0] for row in notes} == set().union(*(device.written for device in devices))
    if any(device.added for device in devices):
        assert sum(row[3] for row in rows_in_centre(centre, "visit")) == sum(d.added for d in devices)
    for table in TABLES:
        expected = rows_in_centre(centre, table)
        for device in devices:
            assert rows_on_device(device.file, table) == expected
