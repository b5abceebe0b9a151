"""A proxy in between, as Debian ships it: bodies of 1 MB, answers within 60 s."""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

import syncline
from syncline.errors import BodyRefused, TransportError
from syncline.protocol import messages as m
from syncline.protocol.flows import run
from syncline.replica import sync
from syncline.replica.device import Device
from syncline.replica.progress import silent
from syncline.replica.store import Store
from syncline.server import create_app, serving
from syncline.transports.local import LocalTransport
from syncline.transports.open import clone_over
from tests.support.nginx import free_port, proxied

ROOT = Path(__file__).resolve().parents[2]


class World:
    """A centre, its hub over HTTP, and nginx before it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "device.db"
        with closing(sqlite3.connect(folder / "centre.db")) as centre:
            centre.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body TEXT)")
        self.hub = syncline.Hub(f"sqlite:///{folder / 'centre.db'}")
        self.hub.init()
        self.port = free_port()

    def plainly(self, url: str) -> str:
        """A server of nginx that says nothing but where the hub is."""
        return f"server {{ listen 127.0.0.1:{self.port}; location / {{ proxy_pass {url}; }} }}"

    def write(self, *rows: tuple[int, str]) -> None:
        with closing(sqlite3.connect(self.file)) as device, device:
            device.executemany("INSERT INTO item VALUES (?, ?)", rows)

    def count(self) -> int:
        with closing(sqlite3.connect(self.folder / "centre.db")) as centre:
            (count,) = centre.execute("SELECT count(*) FROM item").fetchone()
            return int(count)

    def chunk_bytes(self) -> int | None:
        with closing(sqlite3.connect(self.file)) as device:
            found: int | None = device.execute("SELECT chunk_bytes FROM _sync_state").fetchone()[0]
            return found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.hub.close()


def rows(count: int, first: int = 1) -> list[tuple[int, str]]:
    """Rows of 1,200 characters that compress to half."""
    random_bytes = random.Random(first).randbytes
    return [(number, random_bytes(600).hex()) for number in range(first, first + count)]


@pytest.mark.parametrize("write", ["as the documentation says", "plainly"])
def test_a_backlog_gets_out_and_rows_come_in(world: World, tmp_path: Path, write: str) -> None:
    with serving(create_app(world.hub)) as url:
        server = documented(url, world.port) if write != "plainly" else world.plainly(url)
        with (
            proxied(server, world.port, tmp_path / "nginx") as proxy,
            syncline.clone(proxy, world.file) as replica,
        ):
            world.write(*rows(3000))
            report = replica.sync()
            assert (report.push.sent, report.push.rejected, world.count()) == (3000, (), 3000)
            assert (world.chunk_bytes() is None) == (write != "plainly")
            before = world.chunk_bytes()
            world.write((9999, "small and urgent"))
            assert replica.sync().push.sent == 1
            assert world.chunk_bytes() == before
            with syncline.clone(proxy, tmp_path / "other.db") as other:
                assert other.verify().equal


def documented(url: str, port: int) -> str:
    """The server of docs/proxies.md, on this port, without TLS."""
    (block,) = re.findall(r"```nginx\n(.*?)```", (ROOT / "docs" / "proxies.md").read_text("utf-8"), re.DOTALL)
    block = block.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};").replace(
        "http://127.0.0.1:8080", url
    )
    return re.sub(r"^\s*ssl_.*\n", "", block, flags=re.MULTILINE)


def test_a_row_that_no_chunk_makes_small_enough_is_set_aside_and_named_and_others_pass_it(
    world: World, tmp_path: Path
) -> None:
    """L2, L12: a bad row never blocks the others; as soon as the proxy lets it through a retry takes it."""
    large = "".join(body for _, body in rows(2500))
    with serving(create_app(world.hub)) as url:
        front = proxied(world.plainly(url), world.port, tmp_path / "nginx")
        with front as proxy, syncline.clone(proxy, world.file) as replica:
            world.write((1, large), *rows(3, 2), (9, large))
            report = replica.sync()
            assert (report.push.sent, report.pending, world.count()) == (3, 0, 3)
            assert sorted((one.table, one.key, one.code) for one in report.push.rejected) == [
                ("item", (1,), "body_refused"),
                ("item", (9,), "body_refused"),
            ]
            one = report.push.rejected[0]
            assert "bytes" in one.detail and "413" in one.detail and "client_max_body_size" in one.remedy
            assert one.values == {"body": large}
            replica.retry(one.id)
            world.write((10, "later"))
            again = replica.sync()
            assert [one.code for one in again.push.rejected] == ["body_refused"], "the proxy is as it was"
            assert (world.count(), replica.status().rejected) == (4, 2)
        with syncline.connect(world.file, hub=url) as replica:
            for one in replica.rejected():
                replica.retry(one.id)
            assert replica.sync().push.sent == 2
            assert replica.verify().equal
    assert world.count() == 6


def test_a_hub_that_is_down_behind_the_proxy_is_unreachable_for_now(world: World, tmp_path: Path) -> None:
    with serving(create_app(world.hub)) as url:
        port = int(url.rpartition(":")[2])
        proxy = proxied(world.plainly(url), world.port, tmp_path / "nginx")
        gone = proxy.__enter__()
        syncline.clone(gone, world.file).close()
    try:
        world.write((1, "x"))
        verbs: list[Callable[[syncline.Replica], object]] = [syncline.Replica.sync, syncline.Replica.pull]
        for verb in verbs:
            with syncline.connect(world.file) as replica, pytest.raises(TransportError) as caught:
                verb(replica)
            assert (caught.value.code, caught.value.retry) == ("hub_unreachable", True)
            assert "502" in caught.value.detail
        with serving(create_app(world.hub), port=port), syncline.connect(world.file) as replica:
            assert replica.sync().push.sent == 1
    finally:
        proxy.__exit__(None, None, None)


class Narrow(LocalTransport):
    """Lets no request through that is larger than `most` bytes; loses the answers of `lost` pushes."""

    def __init__(self, hub: syncline.Hub, most: int, lost: int = 0) -> None:
        super().__init__(hub)
        self.most, self.lost, self.refused = most, lost, 0

    def send(self, request: m.Request) -> m.Response:
        if len(msgspec.msgpack.encode(request)) > self.most:
            self.refused += 1
            raise BodyRefused("too large for what is in between")
        answer = super().send(request)
        if isinstance(request, m.Push) and self.lost:
            self.lost -= 1
            raise TransportError("the answer was lost")
        return answer


def test_chunks_shrink_until_they_fit_and_stay_so(world: World) -> None:
    clone_over(LocalTransport(world.hub), world.file)
    world.write(*rows(2000))
    narrow = Narrow(world.hub, 300_000)
    with closing(Store.open(world.file)) as store:
        assert run(sync.sync(Device.load(store), silent), narrow).push.sent == 2000
        refused, size = narrow.refused, store.state().chunk_bytes
        assert refused > 1 and size is not None and size < 300_000
        world.write(*rows(2000, 5000))
        assert run(sync.sync(Device.load(store), silent), narrow).push.sent == 2000
    assert narrow.refused == refused
    assert world.count() == 4000


def test_l11_many_rows_that_are_not_let_through_are_set_aside_at_once(world: World) -> None:
    """Chunks that go through are not drafted anew for each of them."""
    clone_over(LocalTransport(world.hub), world.file)
    world.write(*((number, text * (300 if number % 3 == 0 else 1)) for number, text in rows(60)))
    narrow = Narrow(world.hub, 200_000)
    with closing(Store.open(world.file)) as store:
        report = run(sync.sync(Device.load(store), silent), narrow)
    assert (report.push.sent, len(report.push.rejected), report.pending) == (40, 20, 0)
    assert narrow.refused < 60 and report.requests < 250
    assert world.count() == 40


def test_l9_what_points_at_a_row_that_is_not_let_through_is_set_aside_with_it(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "centre.db")) as centre:
        centre.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body TEXT)")
        centre.execute(
            "CREATE TABLE part (id INTEGER PRIMARY KEY, item INTEGER REFERENCES item (id), t TEXT)"
        )
        centre.execute("INSERT INTO item VALUES (5, 'there')")
        centre.commit()
    with syncline.Hub(f"sqlite:///{tmp_path / 'centre.db'}") as hub:
        hub.init()
        clone_over(LocalTransport(hub), tmp_path / "a.db")
        with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as device:
            device.execute("PRAGMA foreign_keys = ON")
            device.execute("INSERT INTO item VALUES (1, ?), (2, 'small')", ("x" * 200_000,))
            device.execute("INSERT INTO part VALUES (1, 1, 'of the large one'), (2, 2, 'of the small one')")
            device.execute("UPDATE item SET body = ? WHERE id = 5", ("y" * 200_000,))
        with closing(Store.open(tmp_path / "a.db")) as store:
            device_file = Device.load(store)
            report = run(sync.sync(device_file, silent), Narrow(hub, 100_000))
            assert sorted((one.table, one.key, one.code) for one in report.push.rejected) == [
                ("item", (1,), "body_refused"),
                ("item", (5,), "body_refused"),
                ("part", (1,), "parent_rejected"),
            ]
            assert store.rows("SELECT id FROM item ORDER BY 1") == [(2,), (5,)]
            assert store.value("SELECT body FROM item WHERE id = 5") == "there"
        with syncline.connect(tmp_path / "a.db", hub=hub) as replica:
            for one in replica.rejected():
                replica.retry(one.id)
            assert replica.sync().push.sent == 3 and replica.verify().equal


def test_l3_a_push_that_the_hub_has_is_not_taken_apart(world: World) -> None:
    """It got through another way, and its answer was lost: its edits are sent under no other number."""
    clone_over(LocalTransport(world.hub), world.file)
    world.write(*rows(500))
    with closing(Store.open(world.file)) as store:
        device = Device.load(store)
        with pytest.raises(TransportError):
            run(sync.push(device, silent), Narrow(world.hub, 10_000_000, lost=1))
        before = store.rows("SELECT number, digest FROM _sync_outbox")
        with pytest.raises(BodyRefused):
            run(sync.push(device, silent), Narrow(world.hub, 100_000))
        assert store.rows("SELECT number, digest FROM _sync_outbox") == before
        assert run(sync.sync(device, silent), LocalTransport(world.hub)).pending == 0
    assert world.count() == 500


def test_l11_chunks_do_not_shrink_without_end(world: World) -> None:
    clone_over(LocalTransport(world.hub), world.file)
    world.write(*rows(100))
    with closing(Store.open(world.file)) as store:
        device, narrow = Device.load(store), Narrow(world.hub, 1_000)
        with pytest.raises(BodyRefused):
            run(sync.push(device, silent), narrow)
        assert narrow.refused < 10
        assert run(sync.sync(device, silent), LocalTransport(world.hub)).push.sent == 100
