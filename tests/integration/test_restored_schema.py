"""A centre that was restored to before a change of its tables which devices have taken (L2, L3, L5).

Devices find their way by themselves, on every kind of centre: the hub says that it does not know their
schema, they take its own, and what is pending is counted once, or kept with its reason."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

import syncline
from syncline.errors import TransportError
from syncline.model.actor import Actor
from syncline.protocol.messages import CommitPush, Push, Request, Response
from syncline.replica.replica import Replica
from syncline.replica.store import Store
from syncline.transports.local import LocalTransport
from tests.support.restored import Centre, PostgresCentre, SqliteCentre

DDL = """
CREATE TABLE farm (id INTEGER PRIMARY KEY, name TEXT NOT NULL, cows INTEGER DEFAULT 0, note TEXT);
CREATE TABLE visit (id TEXT PRIMARY KEY, farm INTEGER REFERENCES farm (id), remark TEXT);
INSERT INTO farm VALUES (1, 'Hill', 3, 'steep'), (2, 'Dale', 5, 'wet');
INSERT INTO visit VALUES ('v1', 1, 'first')
"""
RULES = {"farm": {"cows": "sum"}}


class Servers:
    """Two servers of one hub, which answer by turns."""

    def __init__(self) -> None:
        self.hubs: Sequence[syncline.Hub] = ()
        self._turn = itertools.count()

    def handle(self, actor: Actor, request: Request) -> Response:
        return self.hubs[next(self._turn) % len(self.hubs)].handle(actor, request)


class Line:
    """A connection to the hub that can lose requests and answers."""

    def __init__(self, servers: Servers) -> None:
        self._inner = LocalTransport(servers)
        self.loses = ""

    def send(self, request: Request) -> Response:
        is_push = isinstance(request, (Push, CommitPush))
        if is_push and self.loses == "request":
            raise TransportError("the request was lost")
        answer = self._inner.send(request)
        if is_push and self.loses == "answer":
            raise TransportError("the answer was lost")
        return answer

    def close(self) -> None:
        self._inner.close()


class World:
    def __init__(self, folder: Path, centre: Centre) -> None:
        self.folder, self.centre, self.servers = folder, centre, Servers()
        self.centre.run(DDL)
        self.start()
        self.servers.hubs[0].init()

    def start(self) -> None:
        rules = {"farm": syncline.Table(merge=RULES["farm"]), "visit": syncline.Table()}
        names = [*rules, *(name for name in ("photo", "walk") if self.has(name))]
        tables = {name: rules.get(name, syncline.Table()) for name in names}
        self.servers.hubs = [syncline.Hub(self.centre.url, tables=tables) for _ in range(2)]

    def has(self, table: str) -> bool:
        try:
            return bool(self.centre.run(f"SELECT count(*) FROM {table}"))
        except (sqlite3.Error, psycopg.Error):
            return False

    def stop(self) -> None:
        for hub in self.servers.hubs:
            hub.close()

    def alter(self, script: str) -> None:
        self.centre.run(script)
        self.stop()
        self.start()
        self.servers.hubs[0].init()

    def restore(self) -> None:
        self.stop()
        self.centre.restore()
        self.start()

    def device(self, name: str) -> Device:
        path = self.folder / name
        syncline.clone(self.servers, path).close()  # type: ignore[arg-type]
        return Device(path, Line(self.servers))

    def rows(self, table: str, columns: str) -> list[Any]:
        return [tuple(row) for row in self.centre.run(f"SELECT {columns} FROM {table} ORDER BY 1")]

    def agree(self, table: str, columns: str, *devices: Device) -> None:
        wanted = self.rows(table, columns)
        for device in devices:
            assert device.rows(table, columns) == wanted


class Device:
    def __init__(self, path: Path, line: Line) -> None:
        self.line = line
        self.replica = Replica(Store.open(path), lambda: line)
        self.app = sqlite3.connect(path, isolation_level=None, timeout=20)
        self.app.execute("PRAGMA foreign_keys = ON")

    def sync(self) -> syncline.SyncReport:
        return self.replica.sync()

    def run(self, *statements: str) -> None:
        for sql in statements:
            self.app.execute(sql)

    def rows(self, table: str, columns: str) -> list[Any]:
        return self.app.execute(f"SELECT {columns} FROM {table} ORDER BY 1").fetchall()

    def rejected(self) -> list[tuple[str, str, dict[str, Any]]]:
        return [(one.table, one.code, dict(one.values)) for one in self.replica.rejected()]


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "sqlite":
        made = World(tmp_path, SqliteCentre(tmp_path))
    else:
        made = World(tmp_path, PostgresCentre(request.getfixturevalue("postgres_database")))
    yield made
    made.stop()


def test_l2_devices_of_a_schema_that_the_centre_has_lost_go_on_with_its_own(world: World) -> None:
    a, b = world.device("a.db"), world.device("b.db")
    world.centre.keep()
    world.alter(
        "ALTER TABLE farm ADD COLUMN weather TEXT; CREATE TABLE photo (id TEXT PRIMARY KEY, body TEXT)"
    )
    a.run("UPDATE farm SET cows = cows + 1 WHERE id = 1")
    for device in (a, b):
        device.sync()
    a.run(
        "UPDATE farm SET weather = 'wet', cows = cows + 10 WHERE id = 1",
        "INSERT INTO photo VALUES ('p', 'x')",
    )
    a.sync()  # taken, and lost
    a.run(
        "UPDATE farm SET weather = 'dry', cows = cows + 100, note = 'flat' WHERE id = 1",
        "INSERT INTO farm (id, name, weather) VALUES (3, 'Mill', 'fog')",
        "UPDATE photo SET body = 'y'",
    )
    world.restore()
    report = a.sync()
    assert report.recovered is not None
    assert a.replica.status().pending == {}
    for _ in range(2):
        for device in (a, b):
            device.sync()
    assert world.rows("farm", "id, name, cows, note") == [
        (1, "Hill", 114, "flat"),
        (2, "Dale", 5, "wet"),
        (3, "Mill", 0, None),
    ]
    world.agree("farm", "id, name, cows, note", a, b)
    assert sorted(a.rejected(), key=repr) == [
        ("farm", "column_dropped", {"weather": "dry"}),
        ("farm", "column_dropped", {"weather": "fog"}),
        ("farm", "column_dropped", {"weather": "wet"}),
        ("photo", "table_dropped", {"body": "x"}),
        ("photo", "table_dropped", {"body": "y"}),
    ]
    assert a.rows("farm", "id, weather")[0] == (1, "dry")  # it stays in the file
    assert a.replica.verify().equal


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_l3_a_push_in_flight_made_with_a_schema_that_is_lost_counts_once(world: World, lost: str) -> None:
    a, b = world.device("a.db"), world.device("b.db")
    world.centre.keep()
    world.alter("ALTER TABLE farm ADD COLUMN weather TEXT")
    a.sync()
    a.run("UPDATE farm SET weather = 'wet', cows = cows + 10 WHERE id = 1")
    a.line.loses = lost
    with pytest.raises(TransportError):
        a.sync()
    a.run("UPDATE farm SET cows = cows + 100 WHERE id = 1")
    world.restore()
    a.line.loses = ""
    for _ in range(2):
        a.sync()
        b.sync()
    assert world.rows("farm", "id, cows") == [(1, 113), (2, 5)]
    world.agree("farm", "id, name, cows, note", a, b)
    assert a.rejected() == [("farm", "column_dropped", {"weather": "wet"})]


def test_l8_numbers_that_are_given_out_again_mean_something_else(world: World) -> None:
    """The restored centre gives the number of a lost column, and of a lost table, to another one."""
    a, b = world.device("a.db"), world.device("b.db")
    world.centre.keep()
    world.alter(
        "ALTER TABLE farm ADD COLUMN weather TEXT; CREATE TABLE photo (id TEXT PRIMARY KEY, body TEXT)"
    )
    a.sync()
    a.run("UPDATE farm SET weather = 'wet' WHERE id = 1", "INSERT INTO photo VALUES ('p', 'x')")
    a.sync()
    a.run("UPDATE farm SET weather = 'dry' WHERE id = 2", "INSERT INTO photo VALUES ('q', 'y')")
    world.restore()
    world.alter(
        "ALTER TABLE farm ADD COLUMN humidity TEXT; CREATE TABLE walk (id TEXT PRIMARY KEY, steps TEXT);"
        " UPDATE farm SET humidity = 'high'; INSERT INTO walk VALUES ('w', 'many')"
    )
    for _ in range(2):
        a.sync()
        b.sync()
    world.agree("farm", "id, name, cows, note, humidity", a, b)
    assert world.rows("farm", "id, humidity") == [(1, "high"), (2, "high")]
    world.agree("walk", "id, steps", a, b)
    assert world.rows("walk", "id, steps") == [("w", "many")]
    assert a.rows("farm", "id, weather") == [(1, "wet"), (2, "dry")]
    assert sorted(a.rejected(), key=repr) == [
        ("farm", "column_dropped", {"weather": "dry"}),
        ("farm", "column_dropped", {"weather": "wet"}),
        ("photo", "table_dropped", {"body": "x"}),
        ("photo", "table_dropped", {"body": "y"}),
    ]
    for edit in a.replica.rejected():  # none of them is an edit of what has its number now
        with pytest.raises(syncline.SynclineError):
            a.replica.retry(edit.id)
    assert a.replica.verify().equal


def test_what_is_made_again_under_its_name_takes_its_place(world: World) -> None:
    """The migration is run again on the restored centre, before a device has synced or after that."""
    a, b = world.device("a.db"), world.device("b.db")
    world.centre.keep()
    change = (
        "ALTER TABLE farm ADD COLUMN weather TEXT; CREATE TABLE photo (id TEXT PRIMARY KEY, body TEXT);"
        " ALTER TABLE visit RENAME COLUMN remark TO words"
    )
    world.alter(change)
    for device in (a, b):
        device.sync()
    a.run("UPDATE farm SET weather = 'wet' WHERE id = 1", "INSERT INTO photo VALUES ('p', 'x')")
    a.sync()
    b.run("UPDATE visit SET remark = 'second'")
    world.restore()
    a.sync()
    world.alter("ALTER TABLE farm ADD COLUMN humidity TEXT; " + change)
    for _ in range(3):
        a.sync()
        b.sync()
    assert world.rows("visit", "id, words") == [("v1", "second")]
    for device in (a, b):
        device.replica.upgrade()
        world.agree("farm", "id, name, cows, note, weather, humidity", device)
        world.agree("photo", "id, body", device)
        world.agree("visit", "id, farm, words", device)
        columns = [row[1] for row in device.app.execute("PRAGMA table_info(farm)")]
        assert sorted(columns) == ["cows", "humidity", "id", "name", "note", "weather"]
        assert device.replica.verify().equal
    assert world.rows("photo", "id, body") == [("p", "x")]  # only here: it is new to the centre


def test_a_device_two_versions_behind_with_a_backlog_and_a_rename_that_is_lost(world: World) -> None:
    a, b = world.device("a.db"), world.device("b.db")
    world.alter("ALTER TABLE farm ADD COLUMN size INTEGER DEFAULT 1")
    world.centre.keep()
    world.alter("ALTER TABLE farm RENAME COLUMN note TO words")
    a.sync()
    world.alter("ALTER TABLE farm ADD COLUMN weather TEXT")
    a.run("UPDATE farm SET note = 'flat', size = 7 WHERE id = 1")
    a.sync()
    a.run("UPDATE farm SET note = 'high', weather = 'wet' WHERE id = 2")
    b.run(*(f"INSERT INTO farm (id, name, cows) VALUES ({n}, 'F{n}', {n})" for n in range(10, 60)))
    world.restore()
    for _ in range(2):
        b.sync()
        a.sync()
    assert world.rows("farm", "id, note, size")[:2] == [(1, "flat", 7), (2, "high", 1)]
    assert len(world.rows("farm", "id")) == 52
    world.agree("farm", "id, name, cows, note, size", a, b)
    assert a.rejected() == [("farm", "column_dropped", {"weather": "wet"})]


def test_a_type_that_the_centre_has_wider_no_more(world: World) -> None:
    if isinstance(world.centre, SqliteCentre):
        pytest.skip("SQLite has no types to widen")
    a, b = world.device("a.db"), world.device("b.db")
    world.centre.keep()
    world.alter("ALTER TABLE farm ALTER COLUMN cows TYPE bigint")
    a.sync()
    a.run(
        "UPDATE farm SET cows = cows + 5000000000 WHERE id = 1", "UPDATE farm SET note = 'kept' WHERE id = 2"
    )
    a.sync()
    a.run("UPDATE farm SET note = 'later' WHERE id = 1")
    world.restore()
    for _ in range(2):
        a.sync()
        b.sync()
    assert world.rows("farm", "id, cows, note") == [(1, 3, "later"), (2, 5, "kept")]
    world.agree("farm", "id, name, cows, note", a, b)
    assert [(table, list(values)) for table, _, values in a.rejected()] == [("farm", ["cows"])]


@pytest.mark.parametrize("then", ["", "other", "gone"])
def test_a_lost_push_of_before_a_new_column_is_sent_under_the_schema_it_was_made_with(
    world: World, then: str
) -> None:
    """The centre knows both schemas. The images that it asks for are of the device's present one."""
    a, b = world.device("a.db"), world.device("b.db")
    world.alter("ALTER TABLE farm ADD COLUMN weather TEXT DEFAULT 'sun'")
    a.sync()
    world.centre.keep()
    b.run("UPDATE farm SET note = 'of b', cows = cows + 1 WHERE id = 2")
    b.sync()  # made before the column, which comes with its answer
    if then == "gone":
        b.run("DELETE FROM farm WHERE id = 2")
        b.sync()
    world.restore()
    if then:
        a.run("UPDATE farm SET name = 'of a', note = 'of a', weather = 'rain' WHERE id = 2")
        a.sync()
    assert b.sync().recovered == syncline.Recovered("restored", 1 + (then == "gone"), 0, int(bool(then)))
    for device in (a, b, a, b):
        device.sync()
    columns = "id, name, cows, note, weather"
    second = {
        "": [(2, "Dale", 6, "of b", "sun")],
        "other": [(2, "of a", 6, "of a", "rain")],
        "gone": [(2, "of a", 6, "of a", "rain")],
    }
    assert world.rows("farm", columns) == [(1, "Hill", 3, "steep", "sun"), *second[then]]
    world.agree("farm", columns, a, b)
    assert (a.rejected(), b.rejected()) == ([], [])
    assert b.replica.verify().equal


def test_it_goes_back_again_while_a_device_recovers(world: World) -> None:
    a = world.device("a.db")
    world.centre.keep()
    world.alter("ALTER TABLE farm ADD COLUMN weather TEXT")
    a.sync()
    for n in range(3):
        a.run(f"UPDATE farm SET cows = cows + 1, weather = 'w{n}' WHERE id = 1")
        a.sync()
    world.restore()
    a.line.loses = "answer"
    with pytest.raises(TransportError):
        a.sync()
    world.alter("ALTER TABLE farm ADD COLUMN humidity TEXT")
    with pytest.raises(TransportError):
        a.sync()
    world.restore()
    a.line.loses = ""
    for _ in range(2):
        a.sync()
    assert world.rows("farm", "id, cows") == [(1, 6), (2, 5)]
    world.agree("farm", "id, name, cows, note", a)
    assert [values for _, _, values in a.rejected()] == [{"weather": f"w{n}"} for n in range(3)]


WITHOUT_NOTE = {
    SqliteCentre: "PRAGMA foreign_keys = OFF;"
    " CREATE TABLE fresh (id INTEGER PRIMARY KEY, name TEXT NOT NULL, cows INTEGER DEFAULT 0);"
    " INSERT INTO fresh SELECT id, name, cows FROM farm; DROP TABLE farm; ALTER TABLE fresh RENAME TO farm",
    PostgresCentre: "ALTER TABLE farm DROP COLUMN note",
}


def test_l2_a_new_row_is_offered_again_where_a_dropped_column_is_there_again(world: World) -> None:
    """The push has no value of the column: the row has none."""
    a, b = world.device("a.db"), world.device("b.db")
    world.centre.keep()
    world.alter(WITHOUT_NOTE[type(world.centre)])
    a.sync()
    a.run(
        "INSERT INTO farm (id, name, cows) VALUES (3, 'Mill', 7)",
        "REPLACE INTO farm (id, name, cows) VALUES (2, 'Vale', 9)",
    )
    a.sync()
    world.restore()
    for _ in range(2):
        a.sync()
        b.sync()
    assert world.rows("farm", "id, name, cows, note")[2] == (3, "Mill", 7, None)
    assert world.rows("farm", "id, name")[1] == (2, "Vale")
    world.agree("farm", "id, name, cows, note", a, b)
    assert a.replica.status().pending == {} and a.replica.verify().equal


def test_l2_what_a_lost_column_leaves_of_an_edit_keeps_what_it_stands_on(world: World) -> None:
    """Columns of one row were edited at different times, after different pulls; one of them is lost."""
    a, b = world.device("a.db"), world.device("b.db")
    world.centre.keep()
    world.alter("ALTER TABLE farm ADD COLUMN weather TEXT")
    a.sync()
    a.run("UPDATE farm SET weather = 'wet' WHERE id = 1")
    world.centre.run("UPDATE farm SET name = 'Dell' WHERE id = 2")
    a.replica.pull()
    a.run("UPDATE farm SET note = 'flat' WHERE id = 1")
    a.sync()
    world.restore()
    for _ in range(2):
        a.sync()
        b.sync()
    assert world.rows("farm", "id, note") == [(1, "flat"), (2, "wet")]
    assert a.rejected() == [("farm", "column_dropped", {"weather": "wet"})]
    world.agree("farm", "id, name, cows, note", a, b)
