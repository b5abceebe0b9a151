"""Clocks that are wrong: whoever arrives first, the order of stamps is kept (L7); what was wrong once
recovers."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import syncline
from syncline.replica.examine import examine

YEARS = 10 * 365.25 * 86400


def sql(file: Path, text: str, *parameters: Any, ahead: float = 0) -> list[tuple[Any, ...]]:
    """A statement of an application whose clock is so many seconds ahead."""
    connection = sqlite3.connect(file, isolation_level=None)
    if ahead:
        (now,) = connection.execute("SELECT julianday('now')").fetchone()
        connection.create_function("julianday", 1, lambda _: now + ahead / 86400)
    try:
        return connection.execute(text, parameters).fetchall()
    finally:
        connection.close()


class World:
    """A centre with three rows, and two devices."""

    def __init__(self, folder: Path) -> None:
        self.centre = folder / "centre.db"
        sql(self.centre, "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
        sql(self.centre, "INSERT INTO t VALUES (1, 'one'), (2, 'two'), (3, 'three')")
        self.hub = syncline.Hub(f"sqlite:///{self.centre}")
        self.hub.init()
        self.files = {name: folder / f"{name}.db" for name in "abc"}
        for file in self.files.values():
            syncline.clone(self.hub, file).close()

    def write(self, name: str, value: str, row: int = 1, ahead: float = 0) -> None:
        sql(self.files[name], "UPDATE t SET v = ? WHERE id = ?", value, row, ahead=ahead)

    def sync(self, names: str) -> None:
        for name in names:
            with syncline.connect(self.files[name], self.hub) as replica:
                replica.sync()

    def value(self, row: int = 1) -> str:
        ((found,),) = sql(self.centre, "SELECT v FROM t WHERE id = ?", row)
        return str(found)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.hub.close()


@pytest.mark.parametrize("order", ["abc", "acb", "bac", "bca", "cab", "cba"])
@pytest.mark.parametrize("ahead", [600, YEARS])
def test_l7_of_edits_beyond_the_tolerance_the_later_wins(world: World, ahead: float, order: str) -> None:
    for place, name in enumerate("abc"):
        world.write(name, f"{name}'s", ahead=ahead + place)
    world.sync(order)
    assert world.value() == "c's"
    world.sync("abc")
    for file in world.files.values():
        assert sql(file, "SELECT v FROM t WHERE id = 1") == [("c's",)]


def test_a_clock_that_runs_ahead_wins_no_longer_than_the_tolerance(world: World) -> None:
    world.write("a", "ahead", ahead=YEARS)
    world.sync("a")
    ((hlc,),) = sql(world.centre, "SELECT max(hlc) FROM _sync_hub_log")
    ((now,),) = sql(world.centre, "SELECT (julianday('now') - 2440587.5) * 86400000.0")
    assert (hlc >> 16) - now <= 300_000


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_a_hub_whose_clock_was_wrong_once_recovers(world: World, order: str) -> None:
    sql(world.centre, "UPDATE t SET v = 'bad clock' WHERE id = 3", ahead=YEARS)
    (told,) = [one for one in world.hub.examine() if one.code == "clock_ahead"]
    assert told.level == "warning"
    world.sync("abc")
    world.write("a", "a, earlier")
    sql(world.files["a"], "UPDATE _sync_log_0 SET at = at - 1e-5")
    world.write("b", "b, later")
    world.sync(order)
    assert world.value() == "b, later"
    world.sync("abc")
    sql(world.centre, "UPDATE t SET v = 'centre, earlier' WHERE id = 2")
    sql(
        world.centre,
        "UPDATE _sync_hub_log SET hlc = hlc - (1000 << 16) WHERE seq = (SELECT max(seq) FROM _sync_hub_log)",
    )
    world.write("c", "c, later", row=2)
    world.sync("c")
    assert world.value(2) == "c, later"
    assert [one for one in world.hub.examine() if one.code == "clock_ahead"] == []


def test_doctor_tells_of_a_device_whose_clock_was_ahead(world: World) -> None:
    assert "clock_ahead" not in [one.code for one in examine(world.files["a"])]
    world.write("a", "ahead", ahead=YEARS)
    world.sync("a")
    (told,) = [one for one in examine(world.files["a"]) if one.code == "clock_ahead"]
    assert told.level == "warning"
    assert "Set the device's clock right" in told.remedy
