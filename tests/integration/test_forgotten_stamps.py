"""Edits that the hub has forgotten are not offered again: nobody could tell that they count twice (L3)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import syncline
from syncline.databases.sqlite import open_database
from syncline.errors import TransportError
from syncline.hub.retention import Retention
from syncline.protocol.messages import Limits, Push, Request, Response
from syncline.testing.faults import DAY, julianday
from syncline.transports.local import LocalTransport

NOW = 1_772_000_000_000
DDL = "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER DEFAULT 0)"


class AnswerLost(LocalTransport):
    """A line on which the answers to pushes are lost."""

    def send(self, request: Request) -> Response:
        answer = super().send(request)
        if isinstance(request, Push):
            raise TransportError("the answer was lost")
        return answer


class CutOff(LocalTransport):
    """A line on which no push arrives."""

    def send(self, request: Request) -> Response:
        if isinstance(request, Push):
            raise TransportError("the line is dead")
        return super().send(request)


class World:
    """A centre with a counter in a row, and device files of it. `days` have passed; the clocks of devices are
    `ahead` by so many."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.centre = folder, folder / "centre.db"
        self.days, self.ahead, self.rows = 0.0, 0.0, 10
        with closing(sqlite3.connect(self.centre)) as connection:
            connection.executescript(f"{DDL}; INSERT INTO t VALUES (1, 0)")
        self.open(memory=1)
        self.hub.init()

    def open(self, memory: int) -> None:
        """The hub remembers stamps for so many days."""
        database = open_database(f"sqlite:///{self.centre}", clock=self.wall)
        rules = {"t": syncline.Table(merge={"n": "sum"})}
        limits = Limits(keep_sent=memory * 86_400)
        self.hub = syncline.Hub(database, rules, limits=limits, retention=Retention(keep=0))

    def reopen(self, memory: int) -> None:
        self.hub.close()
        self.open(memory)

    def restore(self, backup: Path) -> None:
        self.hub.close()
        copy(backup, self.centre)
        self.open(memory=1)

    def wall(self) -> int:
        return NOW + int(self.days * DAY)

    def on_device(self) -> int:
        return NOW + int((self.days + self.ahead) * DAY)

    def device(self, name: str) -> Path:
        syncline.clone(self.hub, self.folder / name).close()
        return self.folder / name

    def sql(self, file: Path, *statements: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            clock = self.wall if file == self.centre else self.on_device
            connection.create_function("julianday", 1, julianday(clock))
            return [connection.execute(text).fetchall() for text in statements][-1]

    def sync(self, file: Path, line: type[LocalTransport] = LocalTransport) -> syncline.SyncReport:
        with syncline.connect(file, self.hub) as replica:
            replica._store.define("julianday", 1, julianday(self.on_device))
            replica._open_transport = lambda: line(self.hub)
            return replica.sync()

    def prune(self, *files: Path) -> None:
        """Others write, these devices pull, and the log of all this is pruned."""
        for _ in range(2):
            self.rows += 1
            self.sql(self.centre, f"INSERT INTO t VALUES ({self.rows}, 0)")
            for file in files:
                self.sync(file)
        self.hub.prune()

    def reconcile(self, file: Path) -> syncline.SyncReport:
        """The file syncs after a copy of it has gone on under its id."""
        twin = self.folder / f"twin{self.rows}.db"
        copy(file, twin)
        self.rows += 2
        self.sql(twin, f"INSERT INTO t VALUES ({self.rows - 1}, 0)")
        self.sync(twin)
        self.hub.prune()
        self.sql(file, f"INSERT INTO t VALUES ({self.rows}, 0)")
        report = self.sync(file)
        assert report.recovered is not None
        return report

    def counted(self) -> int:
        ((count,),) = self.sql(self.centre, "SELECT n FROM t WHERE id = 1")
        return int(count)

    def why(self, file: Path) -> list[str]:
        with syncline.connect(file, self.hub) as replica:
            return [edit.detail for edit in replica.rejected()]

    def kept(self, file: Path) -> list[tuple[str, dict[str, Any]]]:
        with syncline.connect(file, self.hub) as replica:
            return [(edit.code, dict(edit.values)) for edit in replica.rejected()]


def copy(source: Path, target: Path) -> None:
    """A backup of a file, or a file put back from one."""
    for side in ("", "-wal", "-shm"):
        target.with_name(target.name + side).unlink(missing_ok=True)
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


UNTOLD = [("edit_untold", {"n": 5})]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.hub.close()


def test_l3_a_push_whose_answer_came_when_it_was_nearly_forgotten(world: World) -> None:
    a = world.device("a.db")
    world.sql(a, "UPDATE t SET n = n + 5")
    with pytest.raises(TransportError):
        world.sync(a, AnswerLost)
    world.days = 0.9
    world.sync(a)
    world.days = 1.5
    world.prune(a)
    world.reconcile(a)
    assert (world.counted(), world.kept(a)) == (5, [])


def test_l3_a_push_of_a_device_whose_clock_is_ahead(world: World) -> None:
    a = world.device("a.db")
    world.ahead = 10
    world.sql(a, "UPDATE t SET n = n + 5")
    world.sync(a)
    world.days = 3
    world.prune(a)
    world.reconcile(a)
    assert (world.counted(), world.kept(a)) == (5, [])


def test_l3_a_push_that_was_forgotten_before_the_memory_was_made_longer(world: World) -> None:
    a = world.device("a.db")
    world.sql(a, "UPDATE t SET n = n + 5")
    world.sync(a)
    world.days = 2
    world.prune(a)
    world.reopen(memory=7)
    world.reconcile(a)
    assert (world.counted(), world.kept(a)) == (5, [])


def test_l3_a_pending_edit_that_was_forgotten_before_the_memory_was_made_longer(world: World) -> None:
    a, twin = world.device("a.db"), world.folder / "twin.db"
    world.sql(a, "UPDATE t SET n = n + 5")
    copy(a, twin)
    world.sql(twin, "INSERT INTO t VALUES (5, 0)")
    world.sync(twin)
    world.days = 2
    world.prune()
    world.reopen(memory=7)
    assert world.sync(a).recovered is not None
    assert (world.counted(), world.kept(a)) == (5, UNTOLD)
    assert [("older than" in why, "clock" in why) for why in world.why(a)] == [(True, False)]


def test_l3_a_pending_edit_of_a_device_whose_clock_is_ahead(world: World) -> None:
    a, twin = world.device("a.db"), world.folder / "twin.db"
    world.ahead = 10
    world.sql(a, "UPDATE t SET n = n + 5")
    copy(a, twin)
    world.sql(twin, "INSERT INTO t VALUES (5, 0)")
    world.sync(twin)
    world.days = 3
    world.prune()
    assert world.sync(a).recovered is not None
    assert (world.counted(), world.kept(a)) == (5, UNTOLD)


def test_a_retried_edit_of_a_device_whose_clock_is_far_behind_is_sent(world: World) -> None:
    """What was set aside, for the clock said that it was old, does not keep the file from going on when
    somebody wants it all the same; and a retry that two copies make counts once."""
    a, backup, twin = world.device("a.db"), world.folder / "backup.db", world.folder / "twin.db"
    copy(world.centre, backup)
    world.sql(a, "INSERT INTO t VALUES (2, 0)")
    world.sync(a)
    world.restore(backup)
    world.ahead = -30
    world.sql(a, "UPDATE t SET n = n + 5 WHERE id = 1")
    world.sync(a)
    assert (world.counted(), world.kept(a)) == (0, UNTOLD)
    with syncline.connect(a, world.hub) as replica:
        (told,) = replica.rejected()
        assert "30 days, 0:00:0" in told.detail and "behind the hub's" in told.detail
        assert "the file was copied, or it or the centre put back" in told.detail
        assert told.remedy.startswith("Set the device's clock right.")
    copy(a, twin)
    for file in (a, twin):
        with syncline.connect(file, world.hub) as replica:
            replica._store.define("julianday", 1, julianday(world.on_device))
            replica.retry(replica.rejected()[0].id)
        for _ in range(2):
            world.sync(file)
    assert (world.counted(), world.kept(a), world.kept(twin)) == (5, [], [])


def test_l3_a_carried_edit_that_was_forgotten_before_the_memory_was_made_longer(world: World) -> None:
    """It was found to be pending still, and had not been sent when a copy of the file sent it."""
    a, late, twin = world.device("a.db"), world.folder / "late.db", world.folder / "twin.db"
    world.sql(a, "UPDATE t SET n = n + 5")
    copy(a, twin)
    copy(a, late)
    world.sql(twin, "UPDATE t SET n = n + 100")

    world.sql(world.centre, "UPDATE _sync_hub_clients SET departed = 1")  # by another copy
    with pytest.raises(TransportError):
        world.sync(a, CutOff)
    world.sync(late)
    world.days = 2
    world.prune()
    world.reopen(memory=7)
    world.sync(a)
    assert (world.counted(), world.kept(a)) == (5, UNTOLD)


def test_l3_what_a_copy_had_brought_long_before_the_file_heard_of_it(world: World) -> None:
    a, twin = world.device("a.db"), world.folder / "twin.db"
    world.sql(a, "UPDATE t SET n = n + 5")
    copy(a, twin)
    world.sql(twin, "INSERT INTO t VALUES (5, 0)")
    world.sync(twin)
    world.days = 0.9
    assert world.sync(a).recovered is not None
    world.days = 1.5
    world.prune(a)
    world.reconcile(a)
    assert (world.counted(), world.kept(a)) == (5, [])


def test_l3_a_lost_push_that_is_about_to_be_offered_when_a_copy_offers_it(world: World) -> None:
    a, twin, backup = world.device("a.db"), world.folder / "twin.db", world.folder / "backup.db"
    world.ahead = 10
    copy(world.centre, backup)
    world.sql(a, "UPDATE t SET n = n + 5")
    world.sync(a)
    copy(a, twin)
    world.restore(backup)
    world.days = 0.3
    with pytest.raises(TransportError):
        world.sync(a, CutOff)
    world.days = 0.4
    world.sync(twin)
    world.days = 1.5
    world.prune()
    world.sync(a)
    assert (world.counted(), world.kept(a)) == (5, UNTOLD)


def test_l2_a_push_that_is_remembered_still_is_offered_to_a_centre_that_lost_it(world: World) -> None:
    """Its answer came late, and the memory was made longer: neither matters to what is young enough."""
    a, backup = world.device("a.db"), world.folder / "backup.db"
    copy(world.centre, backup)
    world.sql(a, "UPDATE t SET n = n + 5")
    with pytest.raises(TransportError):
        world.sync(a, AnswerLost)
    world.days = 0.5
    world.sync(a)
    world.restore(backup)
    world.reopen(memory=7)
    world.days = 0.9
    report = world.sync(a)
    assert report.recovered is not None
    assert report.recovered.offered == 1
    assert (world.counted(), world.kept(a)) == (5, [])
