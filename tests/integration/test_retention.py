"""The log is pruned to what live replicas need, and a centre that went back in time is noticed."""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

import syncline
from syncline import Hub
from syncline.cli import run
from syncline.errors import ReplicaRevoked, WatermarkRefused
from syncline.hub.retention import DAY, Retention
from syncline.model.actor import ANYONE
from syncline.model.scope import UNBOUNDED
from syncline.protocol import messages as m
from syncline.protocol.body import open_groups, seal
from syncline.protocol.status import status_of
from syncline.server import create_app, serving
from syncline.server.housekeeping import Housekeeping
from tests.support.dump import dump, load
from tests.support.postgres import PostgresServer, start_server
from tests.support.restored import put_back, put_data_back

TABLE = "CREATE TABLE item (id integer PRIMARY KEY, name text, qty integer)"
AT_ONCE = Retention(keep=0)


class Place:
    """A central database of either kind, another program in it, and devices that speak by hand."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.sql(TABLE)
        self.hub = Hub(url, retention=AT_ONCE)
        self.hub.init()
        self.fingerprint = self.hub.schema.fingerprint

    def sql(self, *statements: str) -> list[Any]:
        if self.url.startswith("sqlite"):
            connection: Any = sqlite3.connect(self.url.removeprefix("sqlite:///"))
        else:
            connection = psycopg.connect(self.url)
        found: list[Any] = []
        for statement in statements:
            cursor = connection.execute(statement)
            found = cursor.fetchall() if cursor.description else []
        connection.commit()
        connection.close()
        return found

    def insert(self, *ids: int) -> None:
        for number in ids:
            self.sql(f"INSERT INTO item VALUES ({number}, 'n', 0)")

    def register(self, replica: str) -> str:
        answer: Any = self.hub.handle(ANYONE, m.Register(replica, name=f"{replica}'s"))
        return str(answer.watermark)

    def pull(self, replica: str, watermark: str) -> tuple[str, set[int]]:
        """Everything new; what was confirmed is written down at once."""
        self.forget_note(replica)
        answer: Any = self.hub.handle(ANYONE, m.Pull(watermark, 1000, replica, self.fingerprint))
        rows = {
            row[0] for group in open_groups(answer.groups, answer.digest or seal([])[1]) for row in group.rows
        }
        return answer.watermark or watermark, rows

    def forget_note(self, replica: str, seen: int = 1_577_836_800_000) -> None:
        table = "_sync_hub_clients" if self.url.startswith("sqlite") else "syncline.clients"
        self.sql(f"UPDATE {table} SET last_seen = {seen}, last_push = NULL WHERE replica = '{replica}'")

    def log(self) -> int:
        name = "_sync_hub_log" if self.url.startswith("sqlite") else "syncline.log_0"
        return int(self.sql(f"SELECT count(*) FROM {name}")[0][0])

    def refused(self, replica: str, watermark: str) -> str:
        with pytest.raises(WatermarkRefused) as caught:
            self.pull(replica, watermark)
        return caught.value.code


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        sqlite3.connect(tmp_path / "central.db").close()
        (tmp_path / "central.db").touch()
        place = Place(f"sqlite:///{tmp_path}/central.db")
    else:
        place = Place(request.getfixturevalue("postgres_url"))
    yield place
    place.hub.close()


def test_l4_the_log_is_pruned_to_the_slowest_live_replica(place: Place) -> None:
    slow, quick = place.register("slow"), place.register("quick")
    place.insert(1, 2, 3)
    slow, found = place.pull("slow", slow)
    assert found == {1, 2, 3}
    place.pull("slow", slow)  # which confirms it
    place.insert(4, 5, 6)
    quick, _ = place.pull("quick", quick)
    place.pull("quick", quick)
    done = place.hub.prune()
    assert done.pruned >= 2
    assert done.held_by == ["slow"]
    assert place.pull("slow", slow)[1] == {4, 5, 6}
    assert place.pull("quick", quick)[1] == set()


def test_a_stale_replica_holds_nothing_back_and_is_told_so(place: Place) -> None:
    start = place.register("old")
    place.insert(1, 2, 3)
    place.forget_note("old")
    assert [one.state for one in place.hub.replicas()] == ["stale"]
    assert place.hub.prune(dry_run=True).pruned >= 2
    assert place.hub.prune().pruned >= 2
    assert place.refused("old", start) == "watermark_pruned"


def test_forgotten_and_revoked_replicas_hold_nothing_back(place: Place) -> None:
    for replica in ("a", "b"):
        place.register(replica)
    place.insert(1, 2, 3)
    assert place.hub.prune().pruned <= 1
    place.hub.forget("a")
    place.hub.revoke("b")
    assert place.hub.prune().pruned >= 1
    assert [(one.client.replica, one.state) for one in place.hub.replicas()] == [("b", "revoked")]


def test_after_the_longest_time_entries_go_whoever_needs_them(place: Place) -> None:
    start = place.register("slow")
    place.insert(1, 2, 3)
    hub = Hub(place.url, retention=Retention(keep=0, longest=0))
    hub.prune()
    hub.close()
    assert place.refused("slow", start) == "watermark_pruned"


def test_what_is_young_stays(place: Place) -> None:
    place.insert(1, 2, 3)
    hub = Hub(place.url, retention=Retention(keep=2 * DAY))
    assert hub.prune().pruned == 0
    hub.close()


def test_of_two_servers_one_prunes(place: Place) -> None:
    place.insert(1, 2, 3)
    hubs = [Hub(place.url, retention=Retention(keep=0, interval=3600)) for _ in range(2)]
    first, second = map(Housekeeping, hubs)
    assert [first.look(), second.look(), first.look()] == [True, False, False]
    for hub in hubs:
        hub.close()


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
def test_l4_an_open_transaction_loses_nothing(place: Place, postgres_server: PostgresServer) -> None:
    """SQLite has one writer at a time."""
    start = place.register("r")
    with psycopg.connect(place.url) as open_one:
        open_one.execute("INSERT INTO item VALUES (1, 'late', 0)")
        place.insert(2, 3, 4)
        watermark, found = place.pull("r", start)
        assert found == {2, 3, 4}
        place.pull("r", watermark)
        place.hub.prune()
        assert place.pull("r", watermark)[1] == set()
        open_one.commit()
    assert place.pull("r", watermark)[1] == {1}


def test_l11_a_large_log_is_pruned_in_steps_while_others_write(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncline.hub.retention.BATCH", 5_000)
    if place.url.startswith("sqlite"):
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
        place.sql(f"{numbers} INSERT INTO item SELECT i, 'n', 0 FROM n", "UPDATE item SET qty = 1")
    else:
        for part in range(8):
            first = part * 2500
            place.sql(
                f"INSERT INTO item SELECT i, 'n', 0 FROM generate_series({first + 1}, {first + 2500}) AS i"
            )
            place.sql(f"UPDATE item SET qty = 1 WHERE id > {first}")
    assert place.log() >= 40_000
    ended = threading.Event()

    def write() -> None:
        number = 100_000
        while not ended.is_set():
            number += 1
            place.insert(number)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        done = place.hub.prune()
    finally:
        ended.set()
        writer.join()
    assert done.pruned + done.compacted >= 39_000
    start = place.register("r")
    place.insert(99_999)
    assert place.pull("r", start)[1] == {99_999}


def test_a_file_put_back_from_a_backup_is_noticed_even_after_it_grew_on(tmp_path: Path) -> None:
    central = tmp_path / "central.db"
    sqlite3.connect(central).close()
    central.touch()
    place = Place(f"sqlite:///{central}")
    watermark = place.register("r")
    place.insert(1, 2)
    place.hub.close()
    place.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(central, tmp_path / "backup.db")
    place.hub = Hub(place.url)
    place.insert(3, 4, 5)
    watermark, _ = place.pull("r", watermark)
    place.hub.close()
    put_back(tmp_path / "backup.db", central)
    place.hub = Hub(place.url)
    assert place.refused("r", watermark) == "centre_restored"
    place.insert(6, 7, 8, 9, 10)
    assert place.refused("r", watermark) == "centre_restored"
    place.hub.close()


def test_a_dump_loaded_elsewhere_begins_its_log_anew(
    postgres_database: Callable[[], str],
) -> None:
    place = Place(postgres_database())
    watermark = place.register("r")
    place.insert(1, 2, 3)
    watermark, _ = place.pull("r", watermark)
    place.hub.close()
    other = postgres_database()
    load(dump(place.url), other)
    place.url, place.hub = other, Hub(other, retention=AT_ONCE)
    assert place.refused("r", watermark) == "centre_restored"
    with place.hub.database.read(UNBOUNDED) as transaction:
        assert transaction.log.floor().hlc > 0
    fresh = place.register("new")
    place.insert(4)
    assert place.pull("new", fresh)[1] == {4}
    assert place.hub.prune().pruned >= 0
    place.hub.close()


def test_the_data_directory_put_back_from_a_copy_is_noticed(postgres_server: PostgresServer) -> None:
    if postgres_server.process is None:
        pytest.skip("the server given is not ours to stop")
    server = start_server({"fsync": "on", "synchronous_commit": "on"})
    try:
        place = Place(server.database())
        watermark = place.register("r")
        place.insert(1, 2)
        place.hub.close()
        assert server.folder is not None
        _halt(server)
        shutil.copytree(server.folder / "data", server.folder / "copy", copy_function=shutil.copy2)
        server.start_again()
        place.hub = Hub(place.url)
        place.insert(3, 4, 5)
        watermark, _ = place.pull("r", watermark)
        place.hub.close()
        _halt(server)
        put_data_back(server.folder / "copy", server)
        server.start_again()
        place.hub = Hub(place.url)
        assert place.refused("r", watermark) == "centre_restored"
        place.insert(6, 7, 8, 9, 10, 11)
        assert place.refused("r", watermark) == "centre_restored"
        place.hub.close()
    finally:
        server.stop()


def _halt(server: PostgresServer) -> None:
    """End it in good order."""
    assert server.process is not None
    server.process.terminate()
    server.process.send_signal(2)
    server.process.wait(20)


def test_an_operator_lists_forgets_revokes_and_prunes(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = tmp_path / "syncline.toml"
    toml.write_text(f'[hub]\ndatabase = "{place.url}"\n[retention]\nkeep_days = 0\n')
    place.register("one")
    place.insert(1, 2, 3)
    place.register("two")

    def said(*arguments: str) -> Any:
        assert run([*arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    listed = said("replicas", str(toml))["replicas"]
    assert [(one["replica"], one["behind"], one["holds"]) for one in listed] == [
        ("one", 3, True),
        ("two", 0, False),
    ]
    assert run(["replicas", str(toml)]) == 0
    heads, *rows = capsys.readouterr().out.splitlines()
    assert "one's" in rows[1] and rows[1].endswith("held back") and not rows[2].endswith("held back")
    assert heads.split() == "replica name actor state last seen push behind log".split()
    assert said("prune", str(toml), "--dry-run")["held_by"] == ["one"]
    assert said("forget", str(toml), "one", "--yes") == {"replica": "one", "forgotten": True}
    done = said("prune", str(toml))
    assert done["pruned"] >= 2
    assert done["floor"] is not None
    assert run(["prune", str(toml)]) == 0
    assert "log entries went" in capsys.readouterr().out
    assert said("revoke", str(toml), "two")["revoked"]
    assert said("replicas", str(toml))["replicas"][0]["state"] == "revoked"
    assert not said("revoke", str(toml), "two", "--undo")["revoked"]
    capsys.readouterr()
    assert run(["revoke", str(toml), "nobody"]) == 1
    assert "unknown_replica" in capsys.readouterr().err


def test_a_revoked_replica_is_locked_out_over_http(place: Place, tmp_path: Path) -> None:
    with serving(create_app(place.hub)) as url:
        device = syncline.clone(url, str(tmp_path / "device.db"))
        place.hub.revoke(device.id)
        with closing(sqlite3.connect(device.file)) as connection, connection:
            connection.execute("INSERT INTO item VALUES (1, 'mine', 0)")
        with pytest.raises(ReplicaRevoked) as caught:
            device.sync()
        assert (caught.value.code, status_of(caught.value)) == ("replica_revoked", 403)
        assert place.sql("SELECT count(*) FROM item")[0][0] == 0
        place.hub.revoke(device.id, undo=True)
        device.sync()
        assert place.sql("SELECT count(*) FROM item")[0][0] == 1
        device.close()


def test_l2_a_device_that_comes_too_late_keeps_its_edits(place: Place, tmp_path: Path) -> None:
    place.insert(1, 2, 3)
    with serving(create_app(place.hub)) as url:
        device = syncline.clone(url, str(tmp_path / "device.db"))
        with closing(sqlite3.connect(device.file)) as connection, connection:
            connection.execute("UPDATE item SET qty = 7 WHERE id = 1")
            connection.execute("DELETE FROM item WHERE id = 2")
        place.sql("UPDATE item SET name = 'theirs'", "DELETE FROM item WHERE id = 3")
        place.insert(4)
        place.hub.forget(device.id)
        assert place.hub.prune().pruned > 0
        device.sync()
        with closing(sqlite3.connect(device.file)) as connection:
            here = connection.execute("SELECT * FROM item ORDER BY id").fetchall()
        assert here == place.sql("SELECT * FROM item ORDER BY id")
        assert here[0] == (1, "theirs", 7)
        assert [one.state for one in place.hub.replicas()] == ["live"]
        device.close()


def test_a_server_notices_a_change_of_the_tables_though_no_device_asks(
    place: Place, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncline.server.housekeeping.LOOK_SECONDS", 0.05)
    place.hub.check()
    monkeypatch.setattr(place.hub._follower, "_pause", 0.0)
    with caplog.at_level(logging.INFO, "syncline.hub"), Housekeeping(place.hub):
        place.sql("ALTER TABLE item ADD COLUMN idle INTEGER")
        end = time.monotonic() + 20
        while "prepared the changed tables anew" not in caplog.text and time.monotonic() < end:
            time.sleep(0.02)
    assert "prepared the changed tables anew" in caplog.text
