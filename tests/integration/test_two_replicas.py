"""Two devices and a hub over SQLite in one process: the path of a write, end to end."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

import syncline
from syncline.errors import SchemaError, StoreError, TransportError
from syncline.protocol.messages import Limits, Push, Request, Response
from syncline.replica.replica import Replica
from syncline.replica.store import Store
from syncline.transports.local import LocalTransport

DDL = """
CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT, visits INTEGER DEFAULT 0);
CREATE TABLE invoice (
    id TEXT PRIMARY KEY,
    customer INTEGER NOT NULL REFERENCES customer (id) ON DELETE CASCADE,
    total REAL CHECK (total >= 0),
    number INTEGER UNIQUE
);
INSERT INTO customer VALUES (1, 'Ada', 'London', 0), (2, 'Bob', 'Rome', 5);
INSERT INTO invoice VALUES ('i1', 1, 1.5, 101), ('i2', 2, 2.5, 102);
"""


class World:
    """A centre, its hub, and connections of the applications."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.centre = self.application("centre.db")
        self.centre.executescript(DDL)
        rules = {
            "customer": syncline.Table(merge={"visits": "sum", "city": "review"}),
            "invoice": syncline.Table(),
        }
        self.hub = syncline.Hub(f"sqlite:///{folder}/centre.db", tables=rules)
        self.hub.init()

    def application(self, name: str) -> sqlite3.Connection:
        connection = sqlite3.connect(self.folder / name, isolation_level=None)
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    def device(self, name: str) -> tuple[Replica, sqlite3.Connection]:
        replica = syncline.clone(self.hub, self.folder / name)
        return replica, self.application(name)

    def agree(self, *devices: sqlite3.Connection) -> None:
        for table in ("customer", "invoice"):
            wanted = content(self.centre, table)
            assert [content(device, table) for device in devices] == [wanted] * len(devices)


def content(connection: sqlite3.Connection, table: str) -> list[tuple[object, ...]]:
    return connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.hub.close()


def test_edits_of_every_kind_reach_the_other_device(world: World) -> None:
    (one, a), (two, b) = world.device("a.db"), world.device("b.db")
    a.execute("INSERT INTO customer VALUES (3, 'Cleo', NULL, 1)")
    a.execute("INSERT INTO invoice VALUES ('i3', 3, 9.25, 103)")
    a.execute("UPDATE customer SET name = 'Ada L.' WHERE id = 1")
    a.execute("DELETE FROM customer WHERE id = 2")
    a.execute("UPDATE invoice SET id = 'i1b' WHERE id = 'i1'")
    report = one.sync()
    assert (report.requests, report.push.pushes, report.pending) == (1, 1, 0)
    assert report.push.rejected == ()
    two.sync()
    world.agree(a, b)
    assert one.status().pending == {}


def test_two_columns_of_one_row_edited_on_two_devices_both_stay_and_counters_add_up(world: World) -> None:
    (one, a), (two, b) = world.device("a.db"), world.device("b.db")
    a.execute("UPDATE customer SET name = 'Robert', visits = visits + 2 WHERE id = 2")
    b.execute("UPDATE customer SET city = 'Paris', visits = visits + 3 WHERE id = 2")
    world.centre.execute("UPDATE customer SET visits = visits + 10 WHERE id = 2")
    for replica in (one, two, one):
        replica.sync()
    assert content(a, "customer")[1] == (2, "Robert", "Paris", 20)
    world.agree(a, b)


def test_a_conflict_is_kept_and_can_be_resolved_from_the_device(world: World) -> None:
    (one, a), (two, b) = world.device("a.db"), world.device("b.db")
    a.execute("UPDATE customer SET city = 'Oslo' WHERE id = 1")
    b.execute("UPDATE customer SET city = 'Bern' WHERE id = 1")
    one.sync()
    report = two.sync()
    assert report.push.conflicts == 1
    (note,) = two.conflicts(open_only=True)
    assert (note.base, note.sent, note.hub) == ("London", "Bern", "Oslo")
    two.resolve(note.id, "sent")
    for replica in (one, two):
        replica.sync()
    assert content(a, "customer")[0][2] == "Bern"
    world.agree(a, b)
    assert two.conflicts(open_only=True) == []


def test_a_rejected_edit_does_not_hold_up_the_others_and_can_be_tried_again(world: World) -> None:
    (one, a), (two, b) = world.device("a.db"), world.device("b.db")
    a.execute("INSERT INTO invoice VALUES ('ix', 1, 1, 200)")
    b.execute("INSERT INTO invoice VALUES ('iy', 1, 1, 200)")
    b.execute("UPDATE customer SET name = 'Bo' WHERE id = 2")
    one.sync()
    report = two.sync()
    assert [edit.key for edit in report.push.rejected] == [("iy",)]
    world.agree(b)
    (kept,) = two.rejected()
    assert kept.values["number"] == 200
    world.centre.execute("UPDATE invoice SET number = 201 WHERE id = 'ix'")
    two.sync()
    two.retry(kept.id)
    assert two.sync().push.rejected == ()
    one.sync()
    world.agree(a, b)
    assert two.rejected() == []


class Losing(LocalTransport):
    """Loses what it is told to: the next requests, or the next answers."""

    requests, answers = 0, 0

    def send(self, request: Request) -> Response:
        if self.requests:
            self.requests -= 1
            raise TransportError("the request was lost")
        response = super().send(request)
        if self.answers:
            self.answers -= 1
            raise TransportError("the answer was lost")
        return response


def losing(world: World, name: str) -> tuple[Replica, Losing]:
    transport = Losing(world.hub)
    return Replica(Store.open(world.folder / name), lambda: transport), transport


def test_a_push_whose_answer_was_lost_counts_once_l3(world: World) -> None:
    replica, a = world.device("a.db")
    replica.close()
    replica, transport = losing(world, "a.db")
    a.execute("UPDATE customer SET visits = visits + 1 WHERE id = 1")
    transport.answers = 2
    for _ in range(2):
        with pytest.raises(TransportError):
            replica.sync()
    assert replica.status().in_flight == 1
    a.execute("UPDATE customer SET visits = visits + 10 WHERE id = 1")
    replica.sync()
    assert content(world.centre, "customer")[0][3] == 11
    world.agree(a)


def test_a_pull_asks_for_the_verdict_of_a_push_in_flight_first(world: World) -> None:
    replica, a = world.device("a.db")
    replica.close()
    replica, transport = losing(world, "a.db")
    a.execute("UPDATE customer SET name = 'X' WHERE id = 1")
    transport.requests = 1
    with pytest.raises(TransportError):
        replica.sync()
    world.centre.execute("UPDATE customer SET name = 'Y' WHERE id = 2")
    replica.pull()
    assert replica.status().in_flight is None
    world.agree(a)


def test_large_pulls_and_pushes_go_in_parts_and_are_shown_at_once_l5(world: World) -> None:
    world.hub.limits = Limits(pull_rows=7, push_rows=10)
    (one, a), (two, b) = world.device("a.db"), world.device("b.db")
    a.executemany("INSERT INTO customer VALUES (?, 'n', NULL, 0)", [(i,) for i in range(100, 200)])
    a.executemany("INSERT INTO invoice VALUES (?, ?, 1, NULL)", [(f"n{i}", i) for i in range(100, 200)])
    pushed = one.sync()
    assert (pushed.push.sent, pushed.push.pushes) == (200, 1)
    assert pushed.requests == 1 + 20 + 1 + 1, "begin, the chunks, commit with the pull, forget"
    pulled = two.sync()
    assert pulled.pull.written == 200
    assert pulled.pull.pages > 20
    world.agree(a, b)


def test_a_copied_file_takes_an_id_of_its_own_and_loses_nothing(world: World) -> None:
    one, a = world.device("a.db")
    a.execute("UPDATE customer SET visits = visits + 1 WHERE id = 1")
    a.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    one.close()
    (world.folder / "copy.db").write_bytes((world.folder / "a.db").read_bytes())
    first, second = (syncline.connect(world.folder / name, hub=world.hub) for name in ("a.db", "copy.db"))
    first.sync()
    b = world.application("copy.db")
    b.execute("INSERT INTO customer VALUES (7, 'copy', NULL, 0)")
    second.sync()
    assert second.id != first.id
    first.sync()
    world.agree(a, b)
    assert content(world.centre, "customer")[-1][1] == "copy"


def test_tracking_an_existing_file_joins_its_rows_with_those_of_the_hub(world: World) -> None:
    b = world.application("b.db")
    b.executescript(DDL)
    b.execute("UPDATE customer SET city = 'Wien' WHERE id = 1")
    b.execute("INSERT INTO customer VALUES (8, 'own', NULL, 0)")
    world.centre.execute("INSERT INTO customer VALUES (9, 'new', NULL, 0)")
    replica = syncline.connect(world.folder / "b.db", hub=world.hub)
    replica.track("customer", "invoice")
    assert [row[0] for row in content(b, "customer")] == [1, 2, 8, 9]
    assert replica.status().pending == {"customer": 1}
    (kept,) = replica.rejected()
    assert (kept.code, kept.key) == ("key_taken", (1,)) and replica.conflicts() == []
    assert list(kept.values.values())[:2] == ["Ada", "Wien"]
    replica.sync()
    world.agree(b)


def test_tables_can_be_tracked_one_after_the_other(world: World) -> None:
    b = world.application("b.db")
    b.executescript(DDL)
    replica = syncline.connect(world.folder / "b.db", hub=world.hub)
    replica.track("customer")
    world.centre.execute("UPDATE customer SET name = 'Adele' WHERE id = 1")
    world.centre.execute("INSERT INTO invoice VALUES ('i9', 1, 1, 900)")
    replica.sync()
    assert content(b, "customer") == content(world.centre, "customer")
    assert len(content(b, "invoice")) == 2
    b.execute("UPDATE customer SET visits = 9 WHERE id = 2")
    b.execute("INSERT INTO invoice VALUES ('own', 1, 1, 901)")
    replica.track("invoice")
    assert replica.status().pending == {"customer": 1, "invoice": 1}
    replica.sync()
    world.agree(b)


def test_a_file_whose_tables_do_not_fit_is_refused_by_name_and_unchanged_l12(world: World) -> None:
    b = world.application("b.db")
    b.executescript("CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT); CREATE TABLE other (id)")
    replica = syncline.connect(world.folder / "b.db", hub=world.hub)
    with pytest.raises(SchemaError, match="lacks the hub's columns city, visits") as caught:
        replica.track("customer", "other")
    assert "no table other" in caught.value.detail
    assert b.execute("SELECT count(*) FROM sqlite_master").fetchone() == (2,)


def test_the_hub_asks_for_the_details_of_contested_rows_of_a_large_push(world: World) -> None:
    world.centre.executemany(
        "INSERT INTO customer VALUES (?, ?, 'x', 0)", [(i, "n" * 200) for i in range(1000, 1400)]
    )
    replica, a = world.device("a.db")
    world.centre.execute("DELETE FROM customer WHERE id = 1100")
    a.execute("UPDATE customer SET city = 'new' WHERE id >= 1000")
    report = replica.sync()
    assert (report.push.sent, report.requests) == (400, 2)
    assert world.centre.execute("SELECT name, city FROM customer WHERE id = 1100").fetchone() == (
        "n" * 200,
        "new",
    )
    world.agree(a)


def test_a_conflict_that_was_resolved_at_the_hub_is_no_longer_open_here(world: World) -> None:
    (one, a), (two, b) = world.device("a.db"), world.device("b.db")
    a.execute("UPDATE customer SET city = 'Oslo' WHERE id = 1")
    b.execute("UPDATE customer SET city = 'Bern' WHERE id = 1")
    for replica in (one, two):
        replica.sync()
    (note,) = two.conflicts(open_only=True)
    world.hub.resolve(note.id, "hub")
    two.sync()
    assert two.conflicts(open_only=True) == []
    assert two.conflicts()[0].resolution is not None


def test_cloning_onto_an_existing_file_is_refused_l12(world: World) -> None:
    world.device("a.db")
    with pytest.raises(StoreError) as caught:
        syncline.clone(world.hub, world.folder / "a.db")
    assert caught.value.code == "file_exists"
    assert "is a replica already" in caught.value.detail
    assert "syncline sync" in caught.value.remedy and "track" not in caught.value.remedy
    for name, content in (("notes.txt", b"what is to be done: nothing"), ("empty.db", b"")):
        (world.folder / name).write_bytes(content)
        with pytest.raises(StoreError, match="exists already") as caught:
            syncline.clone(world.hub, world.folder / name)
        assert caught.value.code == "file_exists" and "track" in caught.value.remedy
        assert (world.folder / name).read_bytes() == content


def test_a_clone_that_was_cut_off_goes_on_where_it_stopped(world: World) -> None:
    world.hub.limits = Limits(pull_rows=1)

    class Stopped(Exception):
        pass

    def stop(stage: str, done: int, total: int | None) -> None:
        if done >= 2:
            raise Stopped

    with pytest.raises(Stopped):
        syncline.clone(world.hub, world.folder / "a.db", progress=stop)
    assert not (world.folder / "a.db").exists()
    seen: list[int] = []
    syncline.clone(world.hub, world.folder / "a.db", progress=lambda stage, done, total: seen.append(done))
    assert seen[0] >= 1
    world.agree(world.application("a.db"))


def test_a_sync_with_nothing_to_do_is_one_request(world: World) -> None:
    replica, _ = world.device("a.db")
    report = replica.sync()
    assert (report.requests, report.push.sent, report.pull.written) == (1, 0, 0)


def test_edits_made_while_a_request_is_under_way_wait_for_the_next_sync_l1(world: World) -> None:
    replica, a = world.device("a.db")
    replica.close()

    class Busy(LocalTransport):
        def send(self, request: Request) -> Response:
            if isinstance(request, Push) and request.number == 1:
                a.execute("UPDATE customer SET name = 'later' WHERE id = 1")
            return super().send(request)

    replica = Replica(Store.open(world.folder / "a.db"), lambda: Busy(world.hub))
    a.execute("UPDATE customer SET name = 'sooner' WHERE id = 1")
    report = replica.sync()
    assert report.pending == 1
    assert content(a, "customer")[0][1] == "later"
    replica.sync()
    world.agree(a)
