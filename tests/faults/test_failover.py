"""The primary is lost: a standby takes over, with all of its data or not; or a dump is loaded elsewhere.

Devices meet another centre under the same hub. They keep what is pending, offer again what they had pushed
and the new centre lacks, and count nothing twice (laws L2, L3, L5)."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

import syncline
from syncline import Hub, Replica, Table
from tests.support.dump import dump
from tests.support.postgres import PostgresServer, find_binaries, free_port, start_server, unprivileged

RULES = {"counter": Table(merge={"total": "sum"}), "visit": Table()}
TABLES = (
    "CREATE TABLE counter (id integer PRIMARY KEY, total bigint NOT NULL, note text)",
    "CREATE TABLE visit (id uuid PRIMARY KEY, counter integer NOT NULL REFERENCES counter, said text)",
    "INSERT INTO counter SELECT n, 0, 'as it was' FROM generate_series(1, 5) AS n",
)
SAFE = {"fsync": "on", "synchronous_commit": "on", "wal_level": "replica", "max_wal_senders": "4"}


@pytest.fixture
def primary(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    if postgres_server.process is None:
        pytest.skip("the server given is not ours to lose")
    server = start_server(SAFE)
    yield server
    server.stop()


@pytest.fixture
def standby(primary: PostgresServer, tmp_path: Path) -> Iterator[Callable[[], PostgresServer]]:
    """Makes a copy of the primary as it is now, which follows it once it is started."""
    made: list[PostgresServer] = []

    def copy() -> PostgresServer:
        binaries = find_binaries()
        assert binaries is not None
        assert primary.folder is not None
        folder = primary.folder.with_name(f"{primary.folder.name}-standby")
        folder.mkdir()
        if user := unprivileged():
            os.chown(folder, int(str(user["user"])), int(str(user["group"])))
        command = [binaries / "pg_basebackup", "-d", primary.url, "-D", folder / "data", "-R", "-c", "fast"]
        subprocess.run(command, check=True, cwd=folder, **unprivileged())  # type: ignore[call-overload]
        port = free_port()
        server = PostgresServer(
            f"postgresql://postgres@127.0.0.1:{port}/postgres", None, folder, primary.settings
        )
        made.append(server)
        return server

    yield copy
    for server in made:
        server.stop()
        assert server.folder is not None
        shutil.rmtree(server.folder, ignore_errors=True)


def central(server: PostgresServer) -> str:
    """A prepared central database on this server."""
    url = server.database()
    with psycopg.connect(url) as connection:
        for statement in TABLES:
            connection.execute(statement.encode())
    with Hub(url, tables=RULES) as hub:
        hub.init()
    return url


def elsewhere(url: str, server: PostgresServer) -> str:
    """The same database on another server."""
    return server.url.rpartition("/")[0] + "/" + url.rpartition("/")[2]


def write(device: Replica, *statements: str) -> None:
    with closing(sqlite3.connect(device.file)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = ON")
        for statement in statements:
            connection.execute(statement)


def shown(device: Replica) -> list[list[tuple[object, ...]]]:
    with closing(sqlite3.connect(device.file)) as connection:
        return [
            connection.execute("SELECT id, total, note FROM counter ORDER BY id").fetchall(),
            connection.execute("SELECT id, counter, said FROM visit ORDER BY id").fetchall(),
        ]


def held(url: str) -> list[list[tuple[object, ...]]]:
    with psycopg.connect(url) as connection:
        return [
            connection.execute("SELECT id, total, note FROM counter ORDER BY id").fetchall(),
            connection.execute("SELECT id::text, counter, said FROM visit ORDER BY id").fetchall(),
        ]


def promote(server: PostgresServer) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        assert connection.execute("SELECT pg_promote()").fetchone() == (True,)


def caught_up(standby: PostgresServer, primary: PostgresServer) -> None:
    """Wait until the standby has replayed all that the primary has written."""
    with psycopg.connect(primary.url, autocommit=True) as connection:
        (end,) = connection.execute("SELECT pg_current_wal_lsn()::text").fetchone()  # type: ignore[misc]
    with psycopg.connect(standby.url, autocommit=True) as connection:
        statement = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
        while connection.execute(statement, (end,)).fetchone() != (True,):
            connection.execute("SELECT pg_sleep(0.01)")


def visit(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012}"


def settle(devices: list[Replica], url: str) -> None:
    for _ in range(2):
        for device in devices:
            device.sync()
    assert [shown(device) for device in devices] == [held(url)] * len(devices)


def test_l3_a_failover_without_loss_doubles_nothing_and_keeps_what_is_pending(
    primary: PostgresServer, standby: Callable[[], PostgresServer], tmp_path: Path
) -> None:
    url = central(primary)
    with Hub(url, tables=RULES) as hub:
        for name in ("a", "b"):
            syncline.clone(hub, tmp_path / f"{name}.db").close()
        with syncline.connect(tmp_path / "a.db", hub) as device:
            write(device, "UPDATE counter SET total = total + 5")
            device.sync()
            write(device, "UPDATE counter SET total = total + 2, note = 'written before' WHERE id = 1")
        follower = standby()
        follower.start_again()
        caught_up(follower, primary)
        primary.crash()
    promote(follower)
    url = elsewhere(url, follower)
    with (
        Hub(url, tables=RULES) as hub,
        syncline.connect(tmp_path / "a.db", hub) as a,
        syncline.connect(tmp_path / "b.db", hub) as b,
    ):
        report = a.sync()
        assert report.recovered is not None
        assert (report.recovered.offered, report.recovered.missing) == (0, 0)
        settle([a, b], url)
        assert not a.conflicts()
    assert held(url)[0] == [(1, 7, "written before"), *((n, 5, "as it was") for n in range(2, 6))]


def test_l2_what_a_failover_lost_is_offered_again_and_counted_once(
    primary: PostgresServer, standby: Callable[[], PostgresServer], tmp_path: Path
) -> None:
    url = central(primary)
    with Hub(url, tables=RULES) as hub:
        for name in ("a", "b"):
            syncline.clone(hub, tmp_path / f"{name}.db").close()
        with syncline.connect(tmp_path / "a.db", hub) as a, syncline.connect(tmp_path / "b.db", hub) as b:
            write(a, "UPDATE counter SET total = total + 1")
            a.sync()
            follower = standby()  # what comes now it never hears of
            write(
                a,
                f"INSERT INTO visit VALUES ('{visit(1)}', 2, 'lost')",
                "UPDATE counter SET total = total + 10",
            )
            write(b, "UPDATE counter SET total = total + 100, note = 'b was here' WHERE id = 3")
            settle([a, b], url)
            write(
                a,
                "UPDATE counter SET note = 'pending' WHERE id = 5",
                f"DELETE FROM visit WHERE id = '{visit(1)}'",
            )
            primary.crash()
    follower.start_again()
    promote(follower)
    url = elsewhere(url, follower)
    with (
        Hub(url, tables=RULES) as hub,
        syncline.connect(tmp_path / "b.db", hub) as b,
        syncline.connect(tmp_path / "a.db", hub) as a,
    ):
        assert b.sync().recovered is not None
        report = a.sync()
        assert report.recovered is not None
        assert report.recovered.offered == 1
        settle([a, b], url)
        assert not a.rejected()
        assert not b.rejected()
    notes = {3: "b was here", 5: "pending"}
    assert held(url) == [
        [(n, 111 if n == 3 else 11, notes.get(n, "as it was")) for n in range(1, 6)],
        [],
    ]


def test_l2_a_dump_loaded_into_another_cluster_is_another_time_of_the_same_centre(
    primary: PostgresServer, tmp_path: Path
) -> None:
    url = central(primary)
    with Hub(url, tables=RULES) as hub:
        syncline.clone(hub, tmp_path / "a.db").close()
        with syncline.connect(tmp_path / "a.db", hub) as a:
            write(a, "UPDATE counter SET total = total + 1")
            a.sync()
            text = dump(url)
            write(a, "UPDATE counter SET total = total + 10, note = 'after the dump' WHERE id = 1")
            a.sync()
            write(a, "UPDATE counter SET total = total + 100")
    other = start_server(SAFE)
    try:
        url = other.database()
        with psycopg.connect(url, autocommit=True) as connection:
            binaries = find_binaries()
            assert binaries is not None
            subprocess.run([binaries / "psql", "-q", "-v", "ON_ERROR_STOP=1", url], input=text, text=True,
                           check=True, stdout=subprocess.DEVNULL)  # fmt: skip
            connection.execute("UPDATE counter SET total = total + 1000 WHERE id = 2")
        with Hub(url, tables=RULES) as hub, syncline.connect(tmp_path / "a.db", hub) as a:
            report = a.sync()
            assert report.recovered is not None
            assert report.recovered.offered == 1
            settle([a], url)
            with syncline.clone(hub, tmp_path / "c.db") as c:
                write(c, "UPDATE counter SET total = total + 10000 WHERE id = 5")
                settle([a, c], url)
        assert held(url)[0] == [
            (1, 111, "after the dump"),
            (2, 1101, "as it was"),
            (3, 101, "as it was"),
            (4, 101, "as it was"),
            (5, 10101, "as it was"),
        ]
    finally:
        other.stop()
