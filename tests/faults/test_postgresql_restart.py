"""PostgreSQL is restarted, crashes, or is a standby behind a running server (laws L2, L4, L12)."""

from __future__ import annotations

import json
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

import syncline
from syncline import Hub, Table
from syncline.cli import output, run
from syncline.errors import DatabaseReadOnly, DatabaseUnavailable, SynclineError
from syncline.hub.contract import Tuning
from syncline.server import create_app, serving
from tests.support.postgres import PostgresServer, start_server

SAFE = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_writer_delay": "10s",
}
"""Nothing reaches the disk but what a commit brings there."""

RULES = {"counter": Table(merge={"total": "sum"})}


@pytest.fixture
def server(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    if postgres_server.process is None:
        pytest.skip("the server given is not ours to restart")
    server = start_server(SAFE)
    yield server
    server.stop()


@pytest.fixture
def hub(server: PostgresServer) -> Iterator[Hub]:
    url = server.database()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE counter (id integer PRIMARY KEY, total bigint NOT NULL)")
        connection.execute("INSERT INTO counter SELECT n, 0 FROM generate_series(1, 10) AS n")
    with Hub(url, tables=RULES, tuning=Tuning(pool=6)) as hub:
        hub.init()
        yield hub


def shut_down(server: PostgresServer) -> None:
    """In an orderly way, cutting the sessions."""
    assert server.process is not None
    server.process.send_signal(signal.SIGINT)
    server.process.wait(20)


def add(file: Path) -> None:
    with closing(sqlite3.connect(file, timeout=30)) as connection, connection:
        connection.execute("UPDATE counter SET total = total + 1")


def totals(hub: Hub) -> list[tuple[int, int]]:
    with psycopg.connect(hub.database._url) as connection:  # type: ignore[attr-defined]
        return connection.execute("SELECT id, total FROM counter ORDER BY id").fetchall()


@pytest.mark.parametrize("end", [shut_down, PostgresServer.crash], ids=["restart", "crash"])
def test_a_server_says_that_the_database_is_away_and_works_again_when_it_is_back(
    server: PostgresServer, hub: Hub, tmp_path: Path, end: Callable[[PostgresServer], None]
) -> None:
    file = tmp_path / "device.db"
    with serving(create_app(hub)) as url, syncline.clone(url, file) as device:
        add(file)
        device.sync()
        add(file)
        end(server)
        with pytest.raises(DatabaseUnavailable) as caught:
            device.sync()
        assert caught.value.retry
        with pytest.raises(DatabaseUnavailable):
            hub.ready()
        server.start_again()
        hub.ready()
        device.sync()
        assert totals(hub) == [(n, 2) for n in range(1, 11)]


def test_l2_a_crash_under_load_loses_and_doubles_nothing(
    server: PostgresServer, hub: Hub, tmp_path: Path
) -> None:
    files = [tmp_path / f"{n}.db" for n in range(4)]
    added = [0] * len(files)
    over, failures = threading.Event(), list[BaseException]()

    def work(number: int, url: str) -> None:
        try:
            with syncline.connect(files[number], url) as device:
                while not over.is_set():
                    add(files[number])
                    added[number] += 1
                    _sync_at_last(device)
        except BaseException as error:
            failures.append(error)

    with serving(create_app(hub)) as url:
        for file in files:
            syncline.clone(url, file).close()
        threads = [threading.Thread(target=work, args=(n, url)) for n in range(len(files))]
        for thread in threads:
            thread.start()
        for _ in range(2):
            _until(
                lambda goal=[count + 3 for count in added]: (
                    bool(failures) or all(map(int.__ge__, added, goal))
                )
            )
            server.crash()
            server.start_again()
        over.set()
        for thread in threads:
            thread.join(60)
    assert failures == []
    assert totals(hub) == [(n, sum(added)) for n in range(1, 11)]


def troubles(toml: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What `doctor` finds to be trouble, by code."""
    capsys.readouterr()
    code = run(["doctor", str(toml), "--json"])
    found = json.loads(capsys.readouterr().out)["findings"]
    wrong = [finding["code"] for finding in found if finding["level"] == "trouble"]
    assert code == (output.PERSON_NEEDED if wrong else output.DONE)
    return wrong


def test_a_standby_is_said_to_take_no_writes_and_works_once_promoted(
    server: PostgresServer, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert server.folder is not None
    toml = tmp_path / "syncline.toml"
    rules = '[tables.counter]\nmerge = { total = "sum" }\n'
    toml.write_text(f'[hub]\ndatabase = "{hub.database._url}"\n{rules}')  # type: ignore[attr-defined]
    assert troubles(toml, capsys) == []
    shut_down(server)
    assert troubles(toml, capsys) == ["database_unavailable"]
    (server.folder / "data" / "standby.signal").touch()
    server.start_again()
    for _ in range(2):
        with pytest.raises(DatabaseReadOnly) as caught:
            hub.ready()
        assert (caught.value.code, caught.value.retry) == ("database_read_only", True)
    assert troubles(toml, capsys) == ["database_read_only"]
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("SELECT pg_promote()")
    found = {finding.code: finding.sentence for finding in hub.examine()}
    assert troubles(toml, capsys) == []
    assert ", timeline 2, " in found["cluster"]
    assert found["promoted"].endswith("the timeline was 1")
    hub.ready()


def test_a_database_that_an_operator_has_made_read_only_can_be_pulled_from(
    hub: Hub, server: PostgresServer, tmp_path: Path
) -> None:
    file = tmp_path / "device.db"
    with syncline.clone(hub, file) as device, syncline.clone(hub, tmp_path / "other.db") as other:
        add(file)
        _make_read_only(server, hub, "on")
        with pytest.raises(DatabaseReadOnly):
            device.sync()
        other.pull()
        assert [found.code for found in hub.examine() if found.level == "trouble"] == ["database_read_only"]
        _make_read_only(server, hub, "off")
        device.sync()
        assert totals(hub) == [(n, 1) for n in range(1, 11)]


def _make_read_only(server: PostgresServer, hub: Hub, value: str) -> None:
    name = hub.database._url.rpartition("/")[2]  # type: ignore[attr-defined]
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {value}".encode())
        connection.execute(
            f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'".encode()
        )


def test_timeouts_are_those_configured(server: PostgresServer) -> None:
    url = server.database()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE t (id integer PRIMARY KEY, slow text)")
    with Hub(url, tuning=Tuning(pool=1, statement_timeout=0.2, lock_timeout=0.1)) as hub:
        hub.init()
        with hub.database._pool.connection() as connection:  # type: ignore[attr-defined]
            said = connection.execute("SHOW statement_timeout").fetchall()
            said += connection.execute("SHOW lock_timeout").fetchall()
        assert said == [["200ms"], ["100ms"]]


def test_l4_transaction_numbers_used_again_after_a_crash_make_no_gap(
    server: PostgresServer, hub: Hub, tmp_path: Path
) -> None:
    """Numbers that left no trace on disk are given out again; a watermark must not count them as seen."""
    file = tmp_path / "device.db"
    url = hub.database._url  # type: ignore[attr-defined]
    with syncline.clone(hub, file) as device:
        _change(url, "UPDATE counter SET total = 3 WHERE id = 1")
        device.pull()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("UPDATE counter SET total = 5 WHERE id = 1")
            for _ in range(20):
                connection.execute("BEGIN; SELECT pg_current_xact_id(); ROLLBACK")
        device.pull()
        server.crash()
        server.start_again()
        _change(url, "UPDATE counter SET total = 7 WHERE id = 2")
        device.pull()
        with closing(sqlite3.connect(file)) as reader:
            assert reader.execute("SELECT total FROM counter WHERE id <= 2 ORDER BY id").fetchall() == [
                (5,),
                (7,),
            ]


def _change(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement.encode())


def _sync_at_last(device: syncline.Replica) -> None:
    pause = threading.Event()
    for _ in range(100):
        try:
            device.sync()
            return
        except SynclineError as error:
            if not error.retry:
                raise
            pause.wait(0.05)
    raise AssertionError("it did not sync within 100 attempts")


def _until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(3000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it did not happen within 30 s")
