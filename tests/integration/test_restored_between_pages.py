"""A centre that is put back between two requests of one hydrate or pull: nothing that a device was told as of
a later instant than it goes on from stays in its file (L5)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from syncline.errors import WatermarkRefused
from syncline.hub.engine import Hub
from syncline.model.actor import ANYONE
from syncline.protocol.flows import run
from syncline.protocol.messages import Limits, Pull, Request, Response, Snapshot
from syncline.replica.hydrate import fill
from syncline.replica.progress import silent
from syncline.replica.replica import Replica
from syncline.replica.store import Store
from syncline.testing.office import START, SqliteOffice
from syncline.transports.local import LocalTransport
from syncline.transports.open import clone_over

TABLES = ("thing", "other")
Act = Callable[[], None]


class World:
    """A centre with rows that fill several pages, which does something before it answers a request: the one
    with this number of a kind, counted from 1."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.office = SqliteOffice(lambda: START)
        for table in TABLES:
            self.make(table)
        self.hub = Hub(self.office.database, limits=Limits(pull_rows=2))
        self.hub.init()
        self.before: dict[tuple[type[Request], int], Act] = {}
        self.asked: list[type[Request]] = []

    def make(self, table: str) -> None:
        self.office.run(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, name TEXT)")
        for number in range(1, 6):
            self.office.run(f"INSERT INTO {table} VALUES (?, 'old')", number)

    def keep(self) -> None:
        self.backup = self.office.backup()

    def lose(self) -> None:
        self.office.restore(self.backup)

    def handle(self, actor: Any, request: Request) -> Response:
        self.asked.append(type(request))
        act = self.before.pop((type(request), self.asked.count(type(request))), None)
        if act is not None:
            act()
        return self.hub.handle(actor, request)

    def write(self, table: str, number: int) -> Act:
        """What the backup does not have."""

        def act() -> None:
            self.keep()
            self.office.run(f"UPDATE {table} SET name = 'lost' WHERE id = ?", number)

        return act

    def line(self) -> LocalTransport:
        self.asked.clear()
        return LocalTransport(self, ANYONE)

    def clone(self) -> None:
        clone_over(self.line(), self.folder / "r.db")

    def sync(self) -> Any:
        line = self.line()
        with Replica(Store.open_file(self.folder / "r.db"), lambda: line) as replica:
            return replica.sync()

    def make_file(self) -> None:
        """One that takes no part yet."""
        with closing(sqlite3.connect(self.folder / "r.db")) as app:
            for table in TABLES:
                app.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, name TEXT)")

    def track(self, *tables: str) -> None:
        line = self.line()
        with Replica(Store.open_file(self.folder / "r.db"), lambda: line) as replica:
            replica.track(*tables)

    def check(self) -> None:
        store = Store.open_reading(self.folder / "r.db")
        for table in (one.name for one in self.hub.schema.tables):
            rows = self.office.rows(f"SELECT * FROM {table} ORDER BY id")
            assert store.rows(f"SELECT * FROM {table} ORDER BY id") == rows, table
        store.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.office.close()


@pytest.mark.parametrize("restored", [(Snapshot, 4), (Pull, 1)])
def test_rows_of_a_chunk_are_not_kept_if_the_centre_went_back_before_the_next_request(
    world: World, restored: tuple[type[Request], int]
) -> None:
    """It knows still from where the hydrate began."""
    world.before = {(Snapshot, 2): world.write("thing", 3), restored: world.lose}
    world.clone()
    world.check()
    assert world.asked.count(Snapshot) > 6  # it began anew


def test_an_attempt_that_was_cut_off_is_not_gone_on_with(world: World) -> None:
    store = Store.open_private(":memory:")

    def cut_off() -> None:
        raise ConnectionError

    world.before = {(Snapshot, 2): world.write("thing", 3), (Snapshot, 4): cut_off}
    with pytest.raises(ConnectionError):
        run(fill(store, None, silent, "r"), world.line())
    world.lose()
    with pytest.raises(WatermarkRefused) as caught:
        run(fill(store, None, silent, "r"), world.line())
    assert caught.value.code == "centre_restored"
    store.close()


def test_rows_of_a_page_are_not_kept_if_the_centre_went_back_before_the_next_one(world: World) -> None:
    """The page ends before what it shows."""
    world.clone()
    for number in range(1, 6):
        world.office.run("UPDATE thing SET name = 'new' WHERE id = ?", number)
    world.write("thing", 1)()
    world.before = {(Pull, 2): world.lose}
    report = world.sync()
    assert report.recovered is not None and report.recovered.reason == "restored"
    world.check()


@pytest.mark.parametrize("restored", [(Snapshot, 2), (Snapshot, 4), (Snapshot, 5), (Pull, 2)])
def test_new_tables_are_of_one_past(world: World, restored: tuple[type[Request], int]) -> None:
    """They are fetched one after the other, and the pull goes on from where the file had got to."""
    world.clone()
    world.make("first")
    world.make("second")
    world.hub.init()
    world.before = {(Snapshot, 1): world.write("first", 1), restored: world.lose}
    world.sync()
    world.check()


def test_a_track_that_was_cut_off_begins_anew(world: World) -> None:
    world.make_file()

    def cut_off() -> None:
        raise ConnectionError

    world.before = {(Snapshot, 2): world.write("thing", 3), (Snapshot, 4): cut_off}
    with pytest.raises(ConnectionError):
        world.track(*TABLES)
    world.lose()
    world.track(*TABLES)
    world.sync()
    world.check()


def test_tables_that_are_tracked_later_are_of_the_past_of_the_others(world: World) -> None:
    world.make_file()
    world.track("other")
    world.sync()
    world.before = {(Snapshot, 2): world.write("thing", 3)}
    world.track("thing")
    world.lose()
    world.sync()
    world.check()
