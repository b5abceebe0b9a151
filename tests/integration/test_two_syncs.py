"""Two syncs of one file at once: the second waits; and were there no lock, none is harmed (L2, L3)."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import syncline
from syncline.errors import StoreBusy
from syncline.protocol.flows import Flow
from syncline.protocol.messages import Limits, Pull, Push, Register, Request, Response, Snapshot
from syncline.replica import sync as verbs
from syncline.replica.device import Device
from syncline.replica.progress import silent
from syncline.replica.store import Store
from syncline.transports.local import LocalTransport

RULES = {"t": syncline.Table(merge={"n": "sum"})}


class World:
    """A centre with a counter, and one device file."""

    def __init__(self, folder: Path, limits: Limits | None = None) -> None:
        self.centre, self.file = str(folder / "c.db"), str(folder / "d.db")
        sql(self.centre, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER NOT NULL DEFAULT 0)")
        sql(self.centre, "INSERT INTO t (id) VALUES (1)")
        self.hub = syncline.Hub(f"sqlite:///{self.centre}", RULES, limits=limits)
        self.hub.init()
        syncline.clone(self.hub, self.file).close()

    def edit(self) -> None:
        sql(self.file, "UPDATE t SET n = n + 1")

    def sync(self) -> syncline.SyncReport:
        with syncline.connect(self.file, self.hub) as replica:
            return replica.sync()

    @property
    def counted(self) -> tuple[int, int, int]:
        """In the centre, on the device, pending."""
        return (
            sql(self.centre, "SELECT n FROM t")[0][0],
            sql(self.file, "SELECT n FROM t")[0][0],
            sql(self.file, "SELECT count(*) FROM _sync_log_0")[0][0],
        )


def sql(file: str, text: str, *parameters: Any) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(file, isolation_level=None, timeout=60)
    try:
        return connection.execute(text, parameters).fetchall()
    finally:
        connection.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.hub.close()


class Unlocked:
    """A sync without the lock, request by request."""

    def __init__(self, world: World) -> None:
        self.store = Store.open(world.file)
        self.transport = LocalTransport(world.hub)
        self.flow: Flow[Any] = self._watched()
        self.request: Request | None = next(self.flow)

    def _watched(self) -> Flow[Any]:
        with self.store.watched():
            return (yield from verbs.sync(Device.load(self.store), silent))

    def answered(self) -> Response:
        """The hub has the request; its answer is on its way."""
        assert self.request is not None
        return self.transport.send(self.request)

    def take(self, answer: Response) -> None:
        try:
            self.request = self.flow.send(answer)
        except StopIteration:
            self.request = None

    def go_on(self) -> None:
        """Send the request, and take the answer or the refusal."""
        try:
            answer = self.answered()
        except syncline.SynclineError as refused:
            self.request = self.flow.throw(refused)
        else:
            self.take(answer)

    def go_on_refused(self) -> None:
        """The hub refuses the request; what follows goes on, at a time when the other has to wait."""
        try:
            self.answered()
        except syncline.SynclineError as refused:
            request = self.flow.throw(refused)
            while True:
                request = self.flow.send(self.transport.send(request))

    def is_overtaken(self) -> None:
        """It goes on, and is told that another sync has been through."""
        with pytest.raises(StoreBusy):
            while self.request is not None:
                self.go_on()
        self.close()

    def close(self) -> None:
        self.flow.close()
        self.store.close()


def test_an_answer_that_comes_after_another_sync_went_on_changes_nothing(world: World) -> None:
    world.edit()
    slow = Unlocked(world)
    assert isinstance(slow.request, Push)
    world.sync()  # sends the same push and takes its verdict
    world.edit()
    answer = slow.answered()  # a repeat, for the hub
    world.sync()
    with pytest.raises(StoreBusy):
        slow.take(answer)
    slow.close()
    assert world.counted == (2, 2, 0)
    world.edit()
    for _ in range(2):
        assert world.sync().recovered is None
    assert world.counted == (3, 3, 0)


@pytest.mark.parametrize("requests", range(4))
def test_a_push_in_chunks_that_another_sync_has_finished_meanwhile(tmp_path: Path, requests: int) -> None:
    world = World(tmp_path, Limits(push_rows=1))
    sql(world.file, "INSERT INTO t (id) VALUES (2), (3), (4)")
    slow = Unlocked(world)
    for _ in range(requests):
        slow.take(slow.answered())
    world.sync()
    slow.is_overtaken()
    assert sql(world.centre, "SELECT id FROM t ORDER BY id") == [(1,), (2,), (3,), (4,)]
    assert world.sync().pending == 0
    world.hub.close()


@pytest.mark.parametrize("requests", range(4))
def test_a_push_in_chunks_after_which_another_one_is_in_flight_by_now(tmp_path: Path, requests: int) -> None:
    world = World(tmp_path, Limits(push_rows=1))
    sql(world.file, "INSERT INTO t (id) VALUES (2), (3)")
    slow = Unlocked(world)
    for _ in range(requests):
        slow.take(slow.answered())
    world.sync()
    sql(world.file, "INSERT INTO t (id) VALUES (4), (5), (6)")
    other = Unlocked(world)
    other.take(other.answered())
    slow.is_overtaken()
    while other.request is not None:
        other.go_on()
    other.close()
    assert sql(world.centre, "SELECT id FROM t ORDER BY id") == [(number,) for number in range(1, 7)]
    assert world.sync().pending == 0
    world.hub.close()


@pytest.mark.parametrize("later", [False, True])
def test_l2_a_sync_that_compares_does_so_with_the_rows_that_it_has_fetched_itself(
    world: World, later: bool
) -> None:
    """The tables as the centre has them are kept in the file, which another sync fetches anew meanwhile."""
    sql(world.centre, "INSERT INTO t (id) VALUES (2), (4), (5), (6)")
    world.sync()
    script = "CREATE TABLE n (id INTEGER PRIMARY KEY, n INTEGER NOT NULL DEFAULT 0);"
    script += "INSERT INTO n SELECT * FROM t WHERE id <> 2; DROP TABLE t; ALTER TABLE n RENAME TO t"
    with closing(sqlite3.connect(world.file)) as program:
        program.executescript(script)
    with syncline.connect(world.file, world.hub) as replica:
        replica.status()  # which notices it
    slow = Unlocked(world)
    while not isinstance(slow.request, Pull):
        slow.go_on()
    other = Unlocked(world)
    assert isinstance(other.request, Snapshot)
    if later:
        sql(world.centre, "INSERT INTO t (id) VALUES (3)")
        other.go_on()
    slow.is_overtaken()
    while other.request is not None:
        other.go_on()
    other.close()
    world.sync()
    left = [(1,), *([(3,)] if later else []), (4,), (5,), (6,)]
    assert sql(world.centre, "SELECT id FROM t") == sql(world.file, "SELECT id FROM t") == left


def test_a_push_that_the_hub_has_passed_meanwhile_makes_no_new_identity(world: World) -> None:
    world.edit()
    slow = Unlocked(world)
    world.sync()
    world.edit()

    class Between(LocalTransport):
        """The slow one's request arrives when push 2 was answered and its answer is not yet taken."""

        def send(self, request: Request) -> Response:
            answer = super().send(request)
            if isinstance(request, Push):
                with pytest.raises(StoreBusy):
                    slow.go_on_refused()
            return answer

    with syncline.connect(world.file, world.hub) as other:
        other._open_transport = lambda: Between(world.hub)
        other.sync()
    slow.close()
    assert world.counted == (2, 2, 0)
    for _ in range(2):
        world.edit()
        world.sync()
    assert world.counted == (4, 4, 0)


def test_the_second_of_two_threads_waits_and_says_for_whom(world: World) -> None:
    sent, go = threading.Event(), threading.Event()

    class Slow(LocalTransport):
        def send(self, request: Request) -> Response:
            sent.set()
            assert go.wait(60)
            return super().send(request)

    def first() -> None:
        with syncline.connect(world.file, world.hub) as replica:
            replica._open_transport = lambda: Slow(world.hub)
            replica.sync()

    world.edit()
    thread = threading.Thread(target=first)
    thread.start()
    try:
        assert sent.wait(60)
        with syncline.connect(world.file, world.hub, wait=0) as replica:
            with pytest.raises(StoreBusy, match=r"is being synced by process \d+ .*\(sync, since"):
                replica.push()
            assert replica.status().pending == {"t": 1}  # what needs no network is not kept waiting
        with pytest.raises(StoreBusy), syncline.connect(world.file, world.hub, wait=0) as replica:
            replica.verify()
    finally:
        go.set()
        thread.join()
    world.edit()
    world.sync()
    assert world.counted == (2, 2, 0)


def test_a_file_that_two_syncs_have_left_stuck_heals_itself(world: World) -> None:
    """Its watermark is of another id than its own: so it was, once, after two syncs at once."""
    world.edit()
    world.sync()
    other = "3f1c6d0e-0000-4000-8000-000000000000"
    LocalTransport(world.hub).send(Register(other))
    sql(world.file, "UPDATE _sync_state SET replica = ?, push = 0, chain = ''", other)
    sql(world.centre, "UPDATE t SET n = n + 100")
    world.edit()
    assert world.sync().recovered is not None
    assert world.counted == (102, 102, 0)
    world.edit()
    assert world.sync().recovered is None
    assert world.counted == (103, 103, 0)
