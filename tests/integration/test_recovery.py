"""A centre that went back in time, or whose log begins after what a replica has seen.

Nothing pending is lost; what was pushed and lost comes again, once (laws L2, L3, L5, L6, L7)."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

import syncline
from syncline.errors import ProtocolError, StoreBusy, TransportError, WatermarkRefused
from syncline.hub import watermark
from syncline.hub.watermark import Watermark
from syncline.model.actor import Actor
from syncline.model.scope import UNBOUNDED, Scope
from syncline.protocol.messages import (
    CommitPush,
    Limits,
    Pull,
    Push,
    Request,
    Response,
    Snapshot,
)
from syncline.replica.refill import fresh_path
from syncline.replica.replica import Replica
from syncline.replica.store import Store
from syncline.testing.faults import DAY, julianday
from syncline.transports.local import Answers
from tests.support.restored import keep, put_back

DDL = """
CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT, visits INTEGER DEFAULT 0);
CREATE TABLE invoice (
    id TEXT PRIMARY KEY,
    customer INTEGER NOT NULL REFERENCES customer (id) ON DELETE CASCADE,
    total REAL CHECK (total >= 0),
    number INTEGER UNIQUE
);
INSERT INTO customer VALUES (1, 'Ada', 'London', 0), (2, 'Bob', 'Rome', 5), (3, 'Cleo', 'Paris', 7),
    (5, 'Eve', 'Oslo', 2);
INSERT INTO invoice VALUES ('i1', 1, 1.5, 101), ('i2', 2, 2.5, 102), ('i3', 3, 3.5, 103);
"""
RULES = {"customer": syncline.Table(merge={"visits": "sum"}), "invoice": syncline.Table()}


class Gate:
    """A hub before which requests can be refused, or their answers lost."""

    def __init__(self) -> None:
        self.hub: Answers
        self.refused: dict[str, str] = {}
        """Replicas whose pulls are refused until they are filled again, with the code."""
        self.requests: list[Request] = []
        self.lose: Callable[[Request], bool] = lambda request: False
        self.between: Callable[[], None] = lambda: None

    def handle(self, actor: Actor, request: Request) -> Response:
        self.requests.append(request)
        if isinstance(request, Snapshot):
            self.refused.pop(request.replica, None)
        pull = request.pull if isinstance(request, Push) else request
        code = self.refused.get(pull.replica) if isinstance(pull, Pull) else None
        if code is not None and isinstance(request, Push):  # the push was committed before
            self.hub.handle(actor, msgspec.structs.replace(request, pull=None))
        if code is not None:
            raise WatermarkRefused("not from there", code=code)
        answer = self.hub.handle(actor, request)
        self.between()
        if self.lose(request):
            raise TransportError("the answer was lost")
        return answer


class World:
    """A centre that can be put back to what it was, and connections of the applications."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.gate = folder, Gate()
        with sqlite3.connect(folder / "centre.db") as made:
            made.executescript(DDL)
        made.close()
        self._open()
        self.hub.init()

    def _open(self) -> None:
        self.hub = syncline.Hub(f"sqlite:///{self.folder}/centre.db", tables=RULES)
        self.gate.hub = self.hub
        self.centre = self.application("centre.db")

    def close(self) -> None:
        self.centre.close()
        self.hub.close()

    def keep(self) -> None:
        """A backup of the centre as it is now."""
        keep(self.folder / "centre.db", self.folder / "backup.db")

    def restore(self) -> None:
        """The centre goes back to the backup."""
        self.close()
        put_back(self.folder / "backup.db", self.folder / "centre.db")
        self._open()

    def application(self, name: str) -> sqlite3.Connection:
        connection = sqlite3.connect(self.folder / name, isolation_level=None)
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    def device(self, name: str) -> sqlite3.Connection:
        syncline.clone(self.hub, self.folder / name).close()
        return self.application(name)

    def open(self, name: str) -> Replica:
        return syncline.connect(self.folder / name, self.gate)  # type: ignore[arg-type]

    def refuse(self, name: str, code: str) -> None:
        """The hub does not know this device's place any more."""
        with self.open(name) as replica:
            assert replica.id is not None
            self.gate.refused[replica.id] = code

    def sync(self, name: str) -> syncline.SyncReport:
        with self.open(name) as replica:
            return replica.sync()

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
    made.close()


def test_what_the_centre_lost_comes_again_once_and_pending_edits_are_kept(world: World) -> None:
    a, b = world.device("a.db"), world.device("b.db")
    a.execute("UPDATE customer SET visits = visits + 1 WHERE id = 1")
    world.sync("a.db")
    world.sync("b.db")
    world.keep()
    a.execute("UPDATE customer SET visits = visits + 10, city = 'Bath' WHERE id = 1")
    world.sync("a.db")
    a.execute("INSERT INTO customer VALUES (9, 'Ida', NULL, 3)")
    a.execute("DELETE FROM invoice WHERE id = 'i3'")
    world.sync("a.db")
    world.sync("b.db")
    b.execute("UPDATE customer SET visits = visits + 100, name = 'Ada L.' WHERE id = 1")
    a.execute("UPDATE customer SET visits = visits + 1000 WHERE id = 1")
    a.execute("INSERT INTO invoice VALUES ('i9', 9, 1.0, 109)")
    world.restore()
    report = world.sync("a.db")
    assert report.recovered is not None
    assert (report.recovered.reason, report.recovered.offered, report.recovered.missing) == ("restored", 2, 0)
    assert (report.pending, report.push.rejected) == (0, ())
    world.sync("b.db")
    assert world.sync("a.db").recovered is None
    world.agree(a, b)
    assert content(world.centre, "customer")[0] == (1, "Ada L.", "Bath", 1111)
    assert not list(world.folder.glob("*.refilling*"))


def test_what_the_centre_lost_comes_again_though_the_clock_has_leapt_ahead_since(world: World) -> None:
    a = world.device("a.db")
    world.keep()
    a.execute("UPDATE customer SET visits = visits + 10 WHERE id = 1")
    world.sync("a.db")
    world.restore()
    with world.open("a.db") as replica:
        ahead = julianday(lambda: int(time.time() * 1000) + 60 * DAY)
        replica._store.define("julianday", 1, ahead)
        recovered = replica.sync().recovered
    assert recovered is not None
    assert (recovered.offered, recovered.missing) == (1, 0)
    assert content(world.centre, "customer")[0][3] == 10
    world.agree(a)


# Pruned: the file is filled again -------------------------------------------------------------------------


def behind(world: World, a: sqlite3.Connection) -> None:
    """The centre changes, and the log that says so is gone."""
    world.centre.execute("UPDATE customer SET city = 'Lyon', visits = visits + 20 WHERE id = 2")
    world.centre.execute("INSERT INTO customer VALUES (4, 'Dan', 'Kyiv', 0)")
    world.centre.execute("DELETE FROM invoice WHERE id = 'i3'")
    world.centre.execute("UPDATE invoice SET number = 999 WHERE id = 'i1'")
    world.centre.execute("UPDATE invoice SET number = 101 WHERE id = 'i2'")
    world.centre.execute("UPDATE invoice SET number = 102 WHERE id = 'i1'")
    world.refuse("a.db", "watermark_pruned")


@pytest.mark.parametrize("verb", ["sync", "pull", "push"])
def test_a_file_without_edits_becomes_what_the_centre_is(world: World, verb: str) -> None:
    a = world.device("a.db")
    behind(world, a)
    with world.open("a.db") as replica:
        getattr(replica, verb)()
        report = replica.sync()
    assert report.recovered is None or (report.recovered.reason, report.recovered.offered) == ("pruned", 0)
    world.agree(a)
    assert world.sync("a.db").requests == 1


def test_it_is_said_how_many_rows_differed(world: World) -> None:
    """Two rows changed, one came, one went in `customer` and `invoice`, and `i1` and `i2` traded numbers."""
    a = world.device("a.db")
    behind(world, a)
    recovered = world.sync("a.db").recovered
    assert recovered is not None
    assert recovered.rows == 5  # customers 2 and 4, invoices i1, i2 and i3


def test_pending_edits_of_every_kind_stay_on_top(world: World) -> None:
    """Laws L2 and L6."""
    a = world.device("a.db")
    a.execute("INSERT INTO customer VALUES (8, 'Hal', NULL, 1)")
    a.execute("UPDATE customer SET name = 'Robert', visits = visits + 3 WHERE id = 2")
    a.execute("REPLACE INTO customer VALUES (5, 'Eva', 'Bonn', 50)")
    a.execute("DELETE FROM invoice WHERE id = 'i2'")
    a.execute("UPDATE invoice SET total = 9 WHERE id = 'i3'")
    behind(world, a)
    with world.open("a.db") as replica:
        replica.pull()
        assert a.execute("SELECT * FROM customer WHERE id = 2").fetchone() == (2, "Robert", "Lyon", 28)
        assert a.execute("SELECT name, city FROM customer WHERE id = 5").fetchone() == ("Eva", "Bonn")
        assert a.execute("SELECT id FROM invoice").fetchall() == [("i1",)]
        assert replica.status().hidden == 1
        assert sum(replica.status().pending.values()) >= 5
        replica.sync()
    world.agree(a)
    assert world.centre.execute("SELECT * FROM customer WHERE id = 2").fetchone() == (2, "Robert", "Lyon", 28)


def test_a_log_that_was_really_pruned(world: World) -> None:
    """Counters and columns of edits whose bases are lost are merged by comparing old values."""
    a, b = world.device("a.db"), world.device("b.db")
    a.execute("UPDATE customer SET visits = visits + 3, city = 'mine' WHERE id = 2")
    a.execute("UPDATE customer SET name = 'Adele' WHERE id = 1")
    a.execute("DELETE FROM invoice WHERE id = 'i3'")
    for visits in (10, 20):
        b.execute("UPDATE customer SET visits = visits + ?, name = 'Bert' WHERE id = 2", (visits,))
        world.sync("b.db")
    with world.hub.database.write(UNBOUNDED) as transaction:
        transaction.log.prune([], 0.0, None, 1000)
    report = world.sync("a.db")
    assert report.recovered is not None
    assert (report.recovered.reason, report.push.rejected) == ("pruned", ())
    world.sync("b.db")
    world.agree(a, b)
    assert world.centre.execute("SELECT * FROM customer WHERE id = 2").fetchone() == (2, "Bert", "mine", 38)
    assert world.centre.execute("SELECT name FROM customer WHERE id = 1").fetchone() == ("Adele",)
    assert world.centre.execute("SELECT 1 FROM invoice WHERE id = 'i3'").fetchone() is None


def test_l5_a_watermark_of_another_scope_is_no_place_to_go_on_from(world: World) -> None:
    """Rows that come into a scope without being touched stand in no log."""
    a = world.device("a.db")
    world.centre.execute("UPDATE customer SET city = 'Lyon' WHERE id = 2")
    a.execute("UPDATE customer SET name = 'Adele' WHERE id = 1")
    central = world.hub._central
    ((replica, token),) = a.execute("SELECT replica, watermark FROM _sync_state").fetchall()
    elsewhere = Watermark(central.watermark(token, replica).position, Scope(()).fingerprint)
    a.execute("UPDATE _sync_state SET watermark = ?", (watermark.mint(elsewhere, central.key, replica),))
    report = world.sync("a.db")
    assert report.recovered is not None
    assert (report.recovered.reason, report.recovered.offered) == ("scope", 0)
    assert report.push.rejected == ()
    world.agree(a)
    assert a.execute("SELECT name, city FROM customer WHERE id < 3").fetchall() == [
        ("Adele", "London"),
        ("Bob", "Lyon"),
    ]


def test_a_push_in_flight_gets_its_verdict_first(world: World) -> None:
    a = world.device("a.db")
    a.execute("UPDATE customer SET visits = visits + 3 WHERE id = 2")
    world.gate.lose = lambda request: isinstance(request, Push)
    with pytest.raises(TransportError):
        world.sync("a.db")
    world.gate.lose = lambda request: False
    a.execute("UPDATE customer SET visits = visits + 4 WHERE id = 2")
    behind(world, a)
    assert world.sync("a.db").recovered is not None
    world.agree(a)
    assert world.centre.execute("SELECT visits FROM customer WHERE id = 2").fetchone() == (32,)


def test_a_parent_that_is_gone_waits_for_the_verdict_of_its_child(world: World) -> None:
    """Law L9: nothing is switched off, and no cascade takes an edited child along."""
    a = world.device("a.db")
    a.execute("INSERT INTO invoice VALUES ('i9', 3, 1.0, 109)")
    a.execute("UPDATE invoice SET total = 4 WHERE id = 'i3'")
    world.centre.execute("DELETE FROM customer WHERE id = 3")
    world.refuse("a.db", "watermark_pruned")
    with world.open("a.db") as replica:
        replica.pull()
        assert a.execute("PRAGMA foreign_key_check").fetchall() == []
        replica.sync()
        assert a.execute("PRAGMA foreign_key_check").fetchall() == []
    world.agree(a)


def test_a_unique_value_that_a_pending_row_took_is_settled_by_the_hub(world: World) -> None:
    a = world.device("a.db")
    a.execute("INSERT INTO invoice VALUES ('mine', 1, 1.0, 500)")
    world.centre.execute("INSERT INTO invoice VALUES ('theirs', 1, 1.0, 500)")
    world.refuse("a.db", "watermark_pruned")
    report = world.sync("a.db")
    assert [edit.key for edit in report.push.rejected] == [("mine",)]
    world.agree(a)


@pytest.mark.parametrize("how", ["removed", "another"])
def test_a_file_to_fill_from_that_is_taken_away_meanwhile_is_filled_again(world: World, how: str) -> None:
    a = world.device("a.db")
    behind(world, a)
    before = content(a, "invoice")
    with closing(Store.open(world.folder / "a.db")) as store:
        fresh = Path(fresh_path(store))

    def take_away() -> None:
        if fresh.exists():
            fresh.unlink()
            if how == "another":
                Store.open_private(fresh).close()

    world.gate.between = take_away
    with pytest.raises(StoreBusy, match="taken away"):
        world.sync("a.db")
    assert content(a, "invoice") == before
    world.gate.between = lambda: None
    world.sync("a.db")
    world.agree(a)


def cut_off_filling(world: World) -> Path:
    """A recovery of `a.db` is cut off while it fills the file; where the fresh file is."""
    world.gate.lose = lambda request: isinstance(world.gate.requests[-2], Snapshot)
    with pytest.raises(TransportError):
        world.sync("a.db")
    world.gate.lose = lambda request: False
    return world.folder / "a.db.refilling"


def test_a_recovery_that_was_cut_off_goes_on_with_the_file_that_it_had_begun(world: World) -> None:
    a = world.device("a.db")
    behind(world, a)
    fresh = cut_off_filling(world)
    assert sum(isinstance(request, Snapshot) for request in world.gate.requests) == 1
    with closing(sqlite3.connect(fresh)) as begun:
        assert content(begun, "customer") == content(world.centre, "customer")
    world.sync("a.db")
    assert sum(isinstance(request, Snapshot) for request in world.gate.requests) == 1
    world.agree(a)


@pytest.mark.parametrize("how", ["damaged", "of another schema"])
def test_a_file_to_fill_from_that_cannot_be_gone_on_with_is_begun_anew(world: World, how: str) -> None:
    a = world.device("a.db")
    behind(world, a)
    fresh = cut_off_filling(world)
    if how == "damaged":
        fresh.write_bytes(b"no database" * 1000)
    else:
        with closing(sqlite3.connect(fresh)) as begun, begun:
            begun.execute("UPDATE _sync_state SET fingerprint = 'another'")
    world.sync("a.db")
    world.agree(a)


def test_an_application_reads_the_old_state_or_the_new_one(world: World) -> None:
    """Law L5."""
    a = world.device("a.db")
    behind(world, a)
    before, seen = content(a, "invoice"), []
    world.gate.between = lambda: seen.append(content(a, "invoice"))
    world.sync("a.db")
    assert len(seen) > 3
    assert all(state in (before, content(world.centre, "invoice")) for state in seen)


def test_the_application_writes_at_every_moment_of_a_recovery(world: World) -> None:
    """Laws L1 and L2: no lock is held while the network is waited for, and no edit is lost."""
    a = world.device("a.db")
    a.execute("PRAGMA busy_timeout = 0")
    written = []

    def write() -> None:
        key = 1000 + len(written)
        a.execute("INSERT INTO customer VALUES (?, 'new', NULL, 0)", (key,))
        a.execute("UPDATE customer SET visits = visits + 1 WHERE id = 2")
        written.append(key)

    world.keep()
    a.execute("UPDATE customer SET visits = visits + 100 WHERE id = 2")
    world.sync("a.db")
    world.restore()
    a.execute("UPDATE customer SET visits = visits + 1000 WHERE id = 2")
    world.gate.between = write
    assert world.sync("a.db").recovered is not None
    world.gate.between = lambda: None
    world.sync("a.db")
    world.agree(a)
    assert len(written) > 5
    assert world.centre.execute("SELECT count(*) FROM customer WHERE name = 'new'").fetchone() == (
        len(written),
    )
    expected = 5 + 100 + 1000 + len(written)
    assert world.centre.execute("SELECT visits FROM customer WHERE id = 2").fetchone() == (expected,)


# Restored: what was lost is offered again -----------------------------------------------------------------


def test_pushes_are_offered_in_order_without_what_was_rejected(world: World) -> None:
    a = world.device("a.db")
    world.keep()
    a.execute("INSERT INTO invoice VALUES ('n1', 1, 1.0, 201)")
    world.sync("a.db")
    a.execute("UPDATE invoice SET total = 2 WHERE id = 'n1'")
    world.centre.execute("INSERT INTO invoice VALUES ('other', 1, 1.0, 777)")
    a.execute("INSERT INTO invoice VALUES ('bad', 1, 1.0, 777)")
    assert len(world.sync("a.db").push.rejected) == 1
    a.execute("DELETE FROM invoice WHERE id = 'i1'")
    world.sync("a.db")
    a.execute("UPDATE customer SET name = 'A.' WHERE id = 1")
    world.restore()
    report = world.sync("a.db")
    assert report.recovered is not None
    assert (report.recovered.offered, report.push.pushes, report.push.rejected) == (3, 4, ())
    world.agree(a)
    assert content(world.centre, "invoice") == [
        ("i2", 2, 2.5, 102),
        ("i3", 3, 3.5, 103),
        ("n1", 1, 2.0, 201),
    ]
    with world.open("a.db") as replica:
        assert [edit.key for edit in replica.rejected()] == [("bad",)]


def test_a_row_that_the_centre_has_never_had_comes_back_whole_from_an_update(world: World) -> None:
    """Another device made it, and its push was lost too. The counter is not counted twice."""
    a, b = world.device("a.db"), world.device("b.db")
    world.keep()
    b.execute("INSERT INTO customer VALUES (7, 'Gil', 'Gent', 10)")
    world.sync("b.db")
    world.sync("a.db")
    for name in ("Gil 1", "Gil 2"):
        a.execute("UPDATE customer SET visits = visits + 1, name = ? WHERE id = 7", (name,))
        world.sync("a.db")
    a.execute("UPDATE customer SET visits = visits + 5 WHERE id = 7")
    world.restore()
    world.sync("a.db")
    assert world.centre.execute("SELECT * FROM customer WHERE id = 7").fetchone() == (7, "Gil 2", "Gent", 17)
    world.refuse("b.db", "centre_restored")
    world.sync("b.db")
    assert world.sync("a.db").recovered is None
    world.agree(a, b)
    assert world.centre.execute("SELECT * FROM customer WHERE id = 7").fetchone() == (7, "Gil 2", "Gent", 17)


def test_an_edit_of_a_row_that_was_removed_later_does_not_stop_the_recovery(world: World) -> None:
    a, b = world.device("a.db"), world.device("b.db")
    world.keep()
    b.execute("INSERT INTO customer VALUES (7, 'Gil', 'Gent', 10)")
    world.sync("b.db")
    world.sync("a.db")
    a.execute("UPDATE customer SET city = 'Rome' WHERE id = 7")
    world.sync("a.db")
    a.execute("DELETE FROM customer WHERE id = 7")
    world.sync("a.db")
    world.restore()
    a.execute("UPDATE customer SET city = 'Rome' WHERE id = 1")
    world.sync("a.db")
    world.agree(a)
    assert world.centre.execute("SELECT 1 FROM customer WHERE id = 7").fetchone() is None


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_the_same_edit_wins_whichever_device_comes_first(world: World, order: str) -> None:
    """Law L7, and counters add up exactly (law L3)."""
    a, b = world.device("a.db"), world.device("b.db")
    world.keep()
    b.execute("UPDATE customer SET name = 'older', visits = visits + 10 WHERE id = 1")
    world.sync("b.db")
    a.execute("UPDATE customer SET name = 'newer', visits = visits + 100 WHERE id = 1")
    world.sync("a.db")
    world.sync("b.db")
    world.restore()
    world.refuse("a.db", "centre_restored")
    world.refuse("b.db", "centre_restored")
    for name in [*order, *order]:
        world.sync(f"{name}.db")
    world.agree(a, b)
    assert world.centre.execute("SELECT * FROM customer WHERE id = 1").fetchone() == (
        1,
        "newer",
        "London",
        110,
    )


def test_a_push_in_flight_that_the_centre_never_got_is_pending_again(world: World) -> None:
    a = world.device("a.db")
    world.keep()
    a.execute("UPDATE customer SET visits = visits + 1 WHERE id = 1")
    world.sync("a.db")
    a.execute("UPDATE customer SET visits = visits + 10 WHERE id = 1")
    world.gate.lose = lambda request: isinstance(request, Push)
    with pytest.raises(TransportError):
        world.sync("a.db")
    world.gate.lose = lambda request: False
    world.restore()
    a.execute("UPDATE customer SET visits = visits + 100 WHERE id = 1")
    report = world.sync("a.db")
    assert report.recovered is not None
    assert report.recovered.offered == 1
    world.agree(a)
    assert world.centre.execute("SELECT visits FROM customer WHERE id = 1").fetchone() == (111,)


def test_a_centre_that_goes_back_again_and_again_loses_nothing(world: World) -> None:
    a = world.device("a.db")
    world.keep()
    for step in range(4):
        a.execute("UPDATE customer SET visits = visits + ? WHERE id = 1", (10**step,))
        world.sync("a.db")
        if step == 1:
            middle = world.folder / "middle.db"
            world.centre.execute("VACUUM INTO ?", (str(middle),))
    world.restore()
    a.execute("UPDATE customer SET city = 'Oslo' WHERE id = 1")
    losses = iter([False, False, True])
    world.gate.lose = lambda request: isinstance(request, Push) and next(losses)
    with pytest.raises(TransportError):
        world.sync("a.db")
    world.gate.lose = lambda request: False
    world.restore()
    assert world.sync("a.db").recovered is not None
    world.agree(a)
    assert content(world.centre, "customer")[0] == (1, "Ada", "Oslo", 1111)


@pytest.mark.parametrize("again", [False, True])
def test_a_large_push_is_offered_as_one_in_its_chunks(world: World, again: bool) -> None:
    """What was pushed after it waits its turn, also when the centre goes back twice."""
    world.hub.limits = Limits(push_rows=10)
    a = world.device("a.db")
    world.keep()
    for number in range(100, 130):
        a.execute("INSERT INTO customer VALUES (?, 'new', NULL, 1)", (number,))
        a.execute("INSERT INTO invoice VALUES (?, ?, 1.0, ?)", (f"n{number}", number, number + 1000))
    assert world.sync("a.db").push.pushes == 1
    for step in range(3):
        a.execute("UPDATE customer SET name = ?, visits = visits + 10 WHERE id >= 100", (f"name {step}",))
        a.execute("DELETE FROM invoice WHERE customer = ?", (100 + step,))
        world.sync("a.db")
    a.execute("UPDATE customer SET visits = visits + 100 WHERE id >= 100")
    world.restore()
    world.hub.limits = Limits(push_rows=10)
    if again:
        commits = iter([False, True])
        world.gate.lose = lambda request: isinstance(request, CommitPush) and next(commits)
        with pytest.raises(TransportError):
            world.sync("a.db")
        world.gate.lose = lambda request: False
        world.restore()
        world.hub.limits = Limits(push_rows=10)
    report = world.sync("a.db")
    assert report.recovered is not None
    assert report.push.rejected == ()
    world.agree(a)
    rows = content(world.centre, "customer")[-30:]
    assert {row[1:] for row in rows} == {("name 2", None, 131)}
    assert world.centre.execute("SELECT count(*) FROM invoice").fetchone() == (30,)


def test_what_is_no_longer_kept_is_said(world: World) -> None:
    """Law L12."""
    a = world.device("a.db")
    world.keep()
    a.execute("UPDATE customer SET visits = visits + 1 WHERE id = 1")
    world.sync("a.db")
    world.restore()
    a.execute("DELETE FROM _sync_sent")  # as it is in time
    a.execute("UPDATE customer SET visits = visits + 10 WHERE id = 1")
    report = world.sync("a.db")
    assert report.recovered is not None
    assert (report.recovered.offered, report.recovered.missing) == (0, 1)
    world.agree(a)
    assert world.centre.execute("SELECT visits FROM customer WHERE id = 1").fetchone() == (10,)


def test_conflicts_that_the_centre_lost_stay_noted_beside_new_ones_with_their_numbers(world: World) -> None:
    a, b = world.device("a.db"), world.device("b.db")
    world.keep()

    def clash(name: str) -> None:
        b.execute("UPDATE customer SET name = ? WHERE id = 1", (f"{name} b",))
        a.execute("UPDATE customer SET name = ? WHERE id = 1", (f"{name} a",))
        world.sync("b.db")
        world.sync("a.db")
        world.sync("b.db")

    clash("first")
    world.restore()
    world.refuse("a.db", "centre_restored")
    world.refuse("b.db", "centre_restored")
    world.sync("a.db")
    world.sync("b.db")
    world.sync("a.db")
    clash("second")
    world.agree(a, b)
    with world.open("a.db") as replica:
        sent = [note.sent for note in replica.conflicts()]
    assert {"first a", "second a"} <= set(sent)


def test_a_push_that_is_lost_while_the_watermark_stays_good_is_noticed(world: World) -> None:
    """Law L5: the device would show for ever what the centre does not have."""
    a = world.device("a.db")
    world.keep()
    a.execute("UPDATE customer SET visits = visits + 1 WHERE id = 1")
    with world.open("a.db") as replica:
        replica.push()
    world.restore()
    report = world.sync("a.db")
    assert report.recovered is not None
    assert report.recovered.offered == 1
    world.agree(a)
    assert world.sync("a.db").requests == 1


def test_another_hub_stays_an_error(world: World) -> None:
    a = world.device("a.db")
    world.refuse("a.db", "centre_restored")
    with sqlite3.connect(world.folder / "centre.db") as centre:
        centre.execute("UPDATE _sync_hub SET hub = 'another'")
    world.close()
    world._open()
    with pytest.raises(ProtocolError) as caught:
        world.sync("a.db")
    assert caught.value.code in ("other_hub", "watermark_garbled")
    assert a.execute("SELECT count(*) FROM customer").fetchone() == (4,)
