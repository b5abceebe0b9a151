"""Chunks travel while the rest of the push is being frozen: no gain without the laws (L1, L2, L3)."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import syncline
from syncline.errors import SynclineError, TransportError
from syncline.protocol import messages as m
from syncline.protocol.messages import Limits, Request, Response
from syncline.replica import ahead
from syncline.replica.ahead import Ahead, Chunk
from syncline.replica.device import Device
from syncline.replica.draft import Listener
from syncline.replica.freeze import Frozen, freeze
from syncline.replica.replica import Replica
from syncline.replica.store import Store
from syncline.transports.local import LocalTransport
from tests.support.network import Network

BOOKS = 45


class World:
    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder, self.centre = folder, folder / "centre.db"
        with sqlite3.connect(self.centre) as connection:
            connection.execute("CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT, lent INTEGER)")
        rules = {"book": syncline.Table(merge={"lent": "sum"})}
        self.hub = syncline.Hub(f"sqlite:///{self.centre}", tables=rules, limits=limits)
        self.hub.init()
        syncline.clone(self.hub, folder / "a.db").close()
        self.app = sqlite3.connect(folder / "a.db", isolation_level=None)
        self.app.executemany("INSERT INTO book VALUES (?, 'x', 0)", [(i,) for i in range(BOOKS)])
        self.restart(first=True)

    def restart(self, *, first: bool = False) -> None:
        """The device's process ends and another one begins."""
        if not first:
            self.replica.close()
        self.network = Network(self.hub)
        self.replica = Replica(Store.open(self.folder / "a.db"), lambda: self.network)

    def books(self) -> list[tuple[int, int]]:
        with sqlite3.connect(self.centre) as connection:
            return connection.execute("SELECT id, lent FROM book ORDER BY id").fetchall()

    def close(self) -> None:
        self.replica.close()
        self.app.close()
        self.hub.close()


def hand_over(self: Ahead, number: int, digest: str, body: bytes) -> None:
    """Every chunk is taken, as if the network were as fast as the freeze."""
    self._ready.put(Chunk(self.draft, number, digest, body))


def end(self: Ahead) -> None:
    self._ready.put(None)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "LARGE", 5)
    monkeypatch.setattr(Ahead, "offer", hand_over)
    monkeypatch.setattr(Ahead, "end", end)


@pytest.fixture
def world(tmp_path: Path, taken: None) -> Iterator[World]:
    made = World(tmp_path, Limits(push_rows=10))
    yield made
    made.close()


def numbers(network: Network) -> list[int]:
    return [request.chunk for request in network.of(m.PushChunk) if isinstance(request, m.PushChunk)]


def test_chunks_that_went_ahead_are_not_sent_again(world: World) -> None:
    report = world.replica.push()
    assert (report.sent, report.pushes) == (BOOKS, 1)
    draft, whole = world.network.of(m.BeginPush)
    assert isinstance(draft, m.BeginPush) and isinstance(whole, m.BeginPush)
    assert (draft.draft, whole.draft) == ("", draft.digest)
    assert draft.digest != whole.digest
    before = [request.push for request in world.network.of(m.PushChunk) if isinstance(request, m.PushChunk)]
    assert before.count(draft.digest) >= 3, "most went ahead"
    assert sorted(numbers(world.network)) == list(range(1, whole.chunks + 1))
    assert world.books() == [(i, 0) for i in range(BOOKS)]


def test_l11_of_chunks_that_went_ahead_the_bodies_are_not_read_again(world: World) -> None:
    asked: list[str] = []
    world.replica._store._connection.set_trace_callback(asked.append)
    world.replica.push()
    whole = world.network.of(m.BeginPush)[-1]
    assert isinstance(whole, m.BeginPush)
    later = [
        r for r in world.network.of(m.PushChunk) if isinstance(r, m.PushChunk) and r.push == whole.digest
    ]
    read = [sql for sql in asked if "b.body FROM _sync_outbox_chunk" in sql]
    assert len(later) < whole.chunks
    assert [int(sql.rpartition("=")[2]) for sql in read] == [request.chunk for request in later]


def test_a_chunk_that_is_ready_while_another_travels_goes_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def only_even(self: Ahead, number: int, digest: str, body: bytes) -> None:
        if number % 2 == 0:
            hand_over(self, number, digest, body)

    monkeypatch.setattr(Ahead, "offer", only_even)
    world.replica.push()
    assert numbers(world.network)[:2] == [2, 4]
    assert sorted(numbers(world.network)) == [1, 2, 3, 4, 5]
    assert len(world.books()) == BOOKS


def test_nobody_waits_for_a_network_that_is_slow(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The freeze ends while the first chunk is still on its way (law L1)."""
    monkeypatch.undo()
    monkeypatch.setattr(ahead, "LARGE", 5)
    frozen, plain, send = threading.Event(), freeze, world.network.inner.send

    def noted(device: Device, listener: Listener | None = None) -> Frozen | None:
        made = plain(device, listener)
        frozen.set()
        return made

    def slow(request: Request) -> Response:
        if isinstance(request, m.PushChunk):
            assert frozen.wait(60)
            world.app.execute("UPDATE book SET lent = 1 WHERE id = 0")
        return send(request)

    monkeypatch.setattr(ahead, "freeze_pending", noted)
    world.network.inner.send = slow  # type: ignore[method-assign]
    world.replica.push()
    world.replica.push()
    assert world.books()[0] == (0, 1)


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_l2_l3_every_request_may_be_lost(world: World, lost: str) -> None:
    for number in range(40):
        world.restart()
        setattr(world.network, f"lose_{lost}", number)
        try:
            world.replica.push()
        except TransportError:
            assert world.replica.status().in_flight == 1, "what was frozen stays frozen"
            continue
        if len(world.network.seen) <= number:
            break
    world.restart()
    world.app.execute("UPDATE book SET lent = lent + 1")
    world.replica.sync()
    assert world.replica.status().pending == {}
    assert world.books() == [(i, 1) for i in range(BOOKS)]


def test_a_hub_that_cannot_be_reached_is_tried_once(world: World) -> None:
    world.network.lose_request = 0
    with pytest.raises(TransportError):
        world.replica.push()
    assert len(world.network.seen) == 1
    assert world.replica.status().in_flight == 1


@pytest.mark.parametrize("kind", [m.BeginPush, m.PushChunk])
def test_what_the_hub_objects_to_is_said_when_the_push_is_complete(world: World, kind: type[Request]) -> None:
    world.network.refuse[kind] = SynclineError("not now")
    assert world.replica.push().sent == BOOKS
    assert len(world.books()) == BOOKS


def test_a_draft_that_is_begun_anew_leaves_nothing_of_the_first(tmp_path: Path, taken: None) -> None:
    world = World(tmp_path, Limits(push_rows=10, bytes=8_000))
    world.app.execute("UPDATE book SET title = ? WHERE id = 40", ("x" * 9_000,))
    report = world.replica.push()
    assert [edit.code for edit in report.rejected] == ["too_large"]
    names = {request.digest for request in world.network.of(m.BeginPush) if isinstance(request, m.BeginPush)}
    assert len(names) == 3, "two drafts and the push"
    assert [key for key, _ in world.books()] == [i for i in range(BOOKS) if i != 40]
    world.close()


def test_a_kill_while_it_is_frozen_leaves_no_trace(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        """Ends the process, as far as this test is concerned."""

    def dies(self: Ahead, number: int, digest: str, body: bytes) -> None:
        hand_over(self, number, digest, body)
        if number == 3:
            raise Killed

    monkeypatch.setattr(Ahead, "offer", dies)
    with pytest.raises(Killed):
        world.replica.push()
    assert len(numbers(world.network)) >= 2
    monkeypatch.setattr(Ahead, "offer", hand_over)
    world.app.execute("UPDATE book SET title = 'other' WHERE id < 20")
    world.restart()
    assert world.replica.push().sent == BOOKS
    with sqlite3.connect(world.centre) as connection:
        assert connection.execute("SELECT count(*) FROM book WHERE title = 'other'").fetchone() == (20,)
    assert world.books() == [(i, 0) for i in range(BOOKS)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_when_the_driver_is_torn_down_the_freeze_is_over_before_the_file_is_closed(
    world: World, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(ahead, "LARGE", 5)
    threads, travelling = list[threading.Thread](), threading.Event()

    def slow(device: Device, listener: Listener | None = None) -> Frozen | None:
        threads.append(threading.current_thread())
        made = freeze(device, listener)
        assert travelling.wait(60)
        return made

    def torn(request: Request) -> Response:
        if isinstance(request, m.PushChunk):
            travelling.set()
            raise error
        return LocalTransport(world.hub).send(request)

    monkeypatch.setattr(ahead, "freeze_pending", slow)
    world.network.inner.send = torn  # type: ignore[method-assign]
    try:
        world.replica.push()
    except error:
        assert not threads[0].is_alive()
        world.restart()
    assert world.replica.push().sent == BOOKS
    assert len(world.books()) == BOOKS
