"""Several `serve` processes on one PostgreSQL database: killed, renewed, prepared anew (laws L2, L3)."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

import syncline
from syncline import Hub, Table
from syncline.errors import ProtocolError, SynclineError

RULES = {"counter": Table(merge={"total": "sum"})}
ATTEMPTS = 8


@pytest.fixture
def toml(postgres_url: str, tmp_path: Path) -> Path:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE counter (id integer PRIMARY KEY, total bigint NOT NULL)")
        connection.execute("INSERT INTO counter SELECT n, 0 FROM generate_series(1, 10) AS n")
    path = tmp_path / "syncline.toml"
    path.write_text(
        f'[hub]\ndatabase = "{postgres_url}"\npool = 4\nlock_timeout = 5\nstatement_timeout = 30\n'
        '[tables.counter]\nmerge = { total = "sum" }\n'
    )
    with Hub(postgres_url, tables=RULES) as hub:
        hub.init()
    return path


@contextmanager
def served(toml: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "syncline", "serve", str(toml), "--port", "0", "--json", *options],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the server ended before it listened"
        yield process, json.loads(line)["url"]
    finally:
        process.terminate()
        try:
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.communicate()


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(number) for number in found.split()]


class Device:
    """Adds to counters and syncs, until told to stop; syncs again what failed for a passing reason."""

    def __init__(self, file: Path, urls: list[str]) -> None:
        self.file, self.urls = file, urls
        self.added = self.syncs = self.repeated = 0
        self.failure: BaseException | None = None
        syncline.clone(urls[0], file).close()

    def run(self, end: Callable[[], bool]) -> None:
        try:
            while not end():
                self.edit()
                self.sync(self.urls[self.syncs % len(self.urls)])
                self.syncs += 1
        except BaseException as error:
            self.failure = error

    def edit(self) -> None:
        with closing(sqlite3.connect(self.file, timeout=30)) as connection, connection:
            connection.execute("UPDATE counter SET total = total + 1 WHERE id % 2 = ?", (self.syncs % 2,))
        self.added += 5

    def sync(self, url: str) -> None:
        with syncline.connect(self.file, url) as replica:
            for attempt in range(ATTEMPTS):
                try:
                    replica.sync()
                    return
                except SynclineError as error:
                    if not error.retry or attempt == ATTEMPTS - 1:
                        raise
                    self.repeated += 1


def while_devices_sync(devices: list[Device], disturb: Callable[[], None]) -> None:
    """Run the devices beside `disturb`, and until each has synced once more after it."""
    over = threading.Event()
    after: dict[Device, int] = {}

    def done(device: Device) -> bool:
        return over.is_set() and device.syncs > after.setdefault(device, device.syncs)

    threads = [threading.Thread(target=device.run, args=(lambda d=device: done(d),)) for device in devices]
    for thread in threads:
        thread.start()
    try:
        disturb()
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
    assert [device.failure for device in devices] == [None] * len(devices)


def check(url: str, devices: list[Device]) -> None:
    with psycopg.connect(url) as connection:
        total = connection.execute("SELECT sum(total)::bigint FROM counter").fetchone()
    assert total == (sum(device.added for device in devices),)


def until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(3000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it did not happen within 30 s")


def test_workers_killed_one_after_the_other_under_load_lose_nothing_l2_l3(
    toml: Path, postgres_url: str, tmp_path: Path
) -> None:
    with served(toml, "--workers", "2") as (process, url):
        devices = [Device(tmp_path / f"{n}.db", [url]) for n in range(3)]

        def kill_each() -> None:
            for victim in workers_of(process):
                synced = devices[0].syncs
                os.kill(victim, signal.SIGKILL)
                until(lambda v=victim: v not in workers_of(process) and len(workers_of(process)) == 2)
                until(lambda s=synced: devices[0].syncs > s or devices[0].failure is not None)

        while_devices_sync(devices, kill_each)
        check(postgres_url, devices)


def test_a_rolling_restart_under_load_fails_no_sync(toml: Path, postgres_url: str, tmp_path: Path) -> None:
    with served(toml, "--workers", "2") as (process, url):
        devices = [Device(tmp_path / f"{n}.db", [url]) for n in range(3)]
        before = set(workers_of(process))

        def renew() -> None:
            process.send_signal(signal.SIGHUP)
            until(lambda: len(workers_of(process)) == 2 and not before & set(workers_of(process)))

        while_devices_sync(devices, renew)
        check(postgres_url, devices)


def test_workers_end_when_the_process_that_started_them_is_killed(toml: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "syncline", "serve", str(toml), "--port", "0", "--json", "--workers", "2"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline()
    workers = workers_of(process)
    assert len(workers) == 2
    process.kill()
    process.communicate()
    until(lambda: not any(_runs(worker) for worker in workers))


def _runs(number: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return False


def test_devices_that_change_servers_with_every_sync_count_once_l3(
    toml: Path, postgres_url: str, tmp_path: Path
) -> None:
    with served(toml) as (_, one), served(toml) as (_, other):
        devices = [Device(tmp_path / f"{n}.db", [one, other]) for n in range(2)]
        while_devices_sync(devices, lambda: until(lambda: all(device.syncs > 5 for device in devices)))
        check(postgres_url, devices)


def test_what_another_process_prepares_is_noticed_by_the_next_request(postgres_url: str, toml: Path) -> None:
    folder = toml.parent
    with Hub(postgres_url) as long_running, Hub(postgres_url) as other:
        device = syncline.clone(long_running, folder / "old.db")
        with psycopg.connect(postgres_url) as connection:
            connection.execute("ALTER TABLE counter ADD COLUMN note text")
            connection.execute("CREATE TABLE a_new_one (id integer PRIMARY KEY)")
        other.init()
        device.sync()
        assert "note" in {column.name for column in long_running.schema.table("counter").columns}
        with psycopg.connect(postgres_url) as connection:
            connection.execute("UPDATE counter SET note = 'seen' WHERE id = 3")
        new = syncline.clone(long_running, folder / "new.db")
        with psycopg.connect(postgres_url) as connection:
            connection.execute("INSERT INTO a_new_one VALUES (1)")
        assert new.sync().as_dict()
        with closing(sqlite3.connect(folder / "new.db")) as file:
            assert file.execute("SELECT note FROM counter WHERE id = 3").fetchall() == [("seen",)]
            assert file.execute("SELECT id FROM a_new_one").fetchall() == [(1,)]
        device.close()
        new.close()


def test_a_hub_removed_and_made_anew_by_another_process_is_another_hub(postgres_url: str, toml: Path) -> None:
    with Hub(postgres_url) as long_running, Hub(postgres_url) as other:
        with syncline.clone(long_running, toml.parent / "device.db") as device:
            with psycopg.connect(postgres_url) as connection:
                connection.execute("DROP SCHEMA syncline CASCADE")
            other.init()
            with pytest.raises(ProtocolError) as refused:
                device.sync()
            assert refused.value.code == "other_hub"
        long_running.ready()
