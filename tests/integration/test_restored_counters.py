"""Counters of rows that a centre put back to before they were made gets again from its devices (L3)."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import syncline
from tests.support.restored import Centre, PostgresCentre, SqliteCentre

RULES = {"t": syncline.Table(merge={"n": "sum", "price": "sum"})}
DDL = "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, price NUMERIC(10, 2), name TEXT)"


class World:
    """A centre with three devices."""

    def __init__(self, folder: Path, centre: Centre) -> None:
        self.folder, self.centre = folder, centre
        centre.run(DDL)
        self.open()
        self.hub.init()
        for name in "xyz":
            syncline.clone(self.hub, folder / name).close()

    def open(self) -> None:
        self.hub = syncline.Hub(self.centre.url, tables=RULES)

    def did(self, name: str, sql: str) -> None:
        """A statement on a device, and a sync of it and all others."""
        self.run(name, sql)
        self.sync(name + "xyz")

    def run(self, name: str, sql: str) -> None:
        with closing(sqlite3.connect(self.folder / name, isolation_level=None)) as app:
            app.execute(sql)

    def sync(self, names: str) -> None:
        for name in names:
            with syncline.connect(self.folder / name, hub=self.hub) as replica:
                replica.sync()

    def put_back(self) -> None:
        self.hub.close()
        self.centre.restore()
        self.open()
        self.hub.init()

    def everywhere(self) -> set[tuple[object, ...]]:
        """What the centre and the devices show."""
        sql = "SELECT id, n, price, name FROM t ORDER BY id"
        found = list(self.centre.run(sql))
        for name in "xyz":
            with closing(sqlite3.connect(self.folder / name)) as app:
                found += app.execute(sql).fetchall()
        return {(*row[:2], None if row[2] is None else float(row[2]), row[3]) for row in found}


@pytest.fixture
def world(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    centre: Centre = SqliteCentre(tmp_path)
    if kind == "postgresql":
        centre = PostgresCentre(request.getfixturevalue("postgres_database"))
    made = World(tmp_path, centre)
    yield made
    made.hub.close()


ORDERS = [(kind, "".join(names)) for kind in ("sqlite",) for names in itertools.permutations("xyz")]


@pytest.mark.parametrize(("kind", "order"), [*ORDERS, ("postgresql", "yzx"), ("postgresql", "zxy")])
def test_l3_counters_of_a_row_that_the_backup_lacks_count_once_whoever_comes_first(
    world: World, order: str
) -> None:
    """x makes the row, and adds to it; so do y and z, who have seen what the others did, or have not."""
    world.centre.keep()
    world.did("x", "INSERT INTO t VALUES (1, 100, '5.25', 'new')")
    world.did("y", "UPDATE t SET n = n + 1, price = price + 0.5")
    world.did("x", "UPDATE t SET n = n + 10, name = 'x'")
    world.did("z", "UPDATE t SET n = n + 1000, price = price + 0.25")
    world.did("y", "UPDATE t SET n = n + 10000")
    world.put_back()
    world.sync(order + order)
    world.sync("xyz")
    assert world.everywhere() == {(1, 11111, 6.0, "x")}


@pytest.mark.parametrize("kind", ["sqlite"])
def test_l3_counters_of_a_row_count_once_if_an_edit_that_was_pending_brings_it_back(world: World) -> None:
    world.centre.keep()
    world.did("x", "INSERT INTO t VALUES (1, 100, NULL, 'new')")
    world.did("x", "UPDATE t SET n = n + 10")
    world.run("y", "UPDATE t SET n = n + 1")
    world.put_back()
    world.sync("yzxyz")
    assert world.everywhere() == {(1, 111, None, "new")}


@pytest.mark.parametrize("kind", ["sqlite"])
def test_l2_a_row_whose_maker_does_not_come_has_what_the_device_shows_that_brings_it_back(
    world: World,
) -> None:
    world.centre.keep()
    world.centre.run("INSERT INTO t VALUES (1, 100, 5, 'by a program')")
    world.sync("xyz")
    world.did("y", "UPDATE t SET n = n + 1")
    world.put_back()
    world.sync("yxzy")
    assert world.everywhere() == {(1, 101, 5.0, "by a program")}


@pytest.mark.parametrize("kind", ["sqlite"])
def test_l12_an_increment_that_may_be_counted_twice_as_nobody_offers_the_row_is_kept_with_both_values(
    world: World,
) -> None:
    """A program had made the row; y shows it with the increment of z, or without."""
    world.centre.keep()
    world.centre.run("INSERT INTO t VALUES (1, 100, 5, 'by a program')")
    world.sync("xyz")
    world.did("z", "UPDATE t SET n = n + 10")
    world.did("y", "UPDATE t SET n = n + 1")
    world.did("y", "UPDATE t SET n = n + 1000")
    world.put_back()
    world.sync("yzxy")
    ((_, counted, *_),) = world.everywhere()
    assert counted == 1121
    found = [
        (one.column, one.policy, one.outcome, one.sent, one.hub)
        for one in world.hub.conflicts(open_only=False)
    ]
    assert found == [("n", "sum", "replica", 1121, 1111)], "and none of y's own"


@pytest.mark.parametrize("kind", ["sqlite"])
def test_l3_a_row_that_came_back_twice_counts_once(world: World) -> None:
    """The second time another device brings it back."""
    world.centre.keep()
    world.did("x", "INSERT INTO t VALUES (1, 100, NULL, 'new')")
    world.did("y", "UPDATE t SET n = n + 1")
    world.did("z", "UPDATE t SET n = n + 10")
    for order in ("yx", "zyx"):
        world.put_back()
        world.sync(order)
    world.sync("xyz")
    assert world.everywhere() == {(1, 111, None, "new")}
