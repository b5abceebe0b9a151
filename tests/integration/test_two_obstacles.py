"""A row of the centre that two objects of a device's file refuse waits by name, whichever they are; when
one of them is mended the other is named, and then the row comes (laws L5, L12)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import syncline
from tests.support.application import sql

CENTRE = (
    "CREATE TABLE p (id TEXT PRIMARY KEY NOT NULL)",
    "CREATE TABLE away (id TEXT PRIMARY KEY NOT NULL)",
    "CREATE TABLE boss (id TEXT PRIMARY KEY NOT NULL, c TEXT)",
    "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, code TEXT, a TEXT, b TEXT, u TEXT, g TEXT, ref TEXT,"
    " above TEXT, lead TEXT, boss TEXT REFERENCES boss (id))",
    "INSERT INTO t (id, code, a, u) VALUES ('t0', 'c0', 'x', 'dup'), ('r', 'c1', 'x', 'free')",
)
DEVICE = """
CREATE TABLE p (id TEXT PRIMARY KEY NOT NULL);
CREATE TABLE away (id TEXT PRIMARY KEY NOT NULL);
CREATE TABLE boss (id TEXT PRIMARY KEY NOT NULL, c TEXT CHECK (c <> 'bad'));
CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, code TEXT UNIQUE, a TEXT NOT NULL, b TEXT CHECK (b <> 'bad'),
    u TEXT, g TEXT, ref TEXT REFERENCES p (id){action}, above TEXT REFERENCES t (id){action},
    lead TEXT REFERENCES away{action}, boss TEXT REFERENCES boss (id));
CREATE UNIQUE INDEX only_u ON t (u);
CREATE TRIGGER guard_insert BEFORE INSERT ON t WHEN new.g = 'bad' BEGIN SELECT RAISE(ABORT, 'guarded'); END;
CREATE TRIGGER guard_update BEFORE UPDATE ON t WHEN new.g = 'bad' BEGIN SELECT RAISE(ABORT, 'guarded'); END;
CREATE TABLE favourite (id INTEGER PRIMARY KEY, code TEXT REFERENCES t (code));
"""


class Obstacle(NamedTuple):
    """The value of a column that meets an object of the file, what that is called, and a value that meets
    none."""

    column: str
    bad: str
    named: tuple[str, ...]
    good: str


OBSTACLES = {
    "NOT NULL": Obstacle("a", "NULL", ("NOT NULL (t.a)",), "'x'"),
    "CHECK": Obstacle("b", "'bad'", ("CHECK (b <> 'bad')",), "'x'"),
    "unique index": Obstacle("u", "'dup'", ("unique index only_u",), "'other'"),
    "trigger": Obstacle("g", "'bad'", ("trigger guard_insert", "trigger guard_update"), "'x'"),
    "own foreign key": Obstacle("ref", "'none'", ("foreign key of t to p",), "NULL"),
    "foreign key to itself": Obstacle("above", "'none'", ("foreign key of t to t",), "NULL"),
    "foreign key outward": Obstacle("lead", "'none'", ("foreign key of t to away",), "NULL"),
    "parent that waits": Obstacle("boss", "'held'", ("CHECK (c <> 'bad')",), "NULL"),
    "local row": Obstacle("code", "'changed'", ("foreign key of favourite",), "'c1'"),
    "pending row": Obstacle("u", "'mine'", ("unique index only_u",), "'other'"),
}
ACTIONS = ("", " ON DELETE CASCADE ON UPDATE CASCADE")
PAIRS = [pair for pair in combinations(OBSTACLES, 2) if len({OBSTACLES[name].column for name in pair}) == 2]


class World:
    def __init__(self, folder: Path, action: str) -> None:
        self.centre = folder / "central.db"
        sql(self.centre, *CENTRE)
        self.hub = syncline.Hub(f"sqlite:///{self.centre}")
        self.hub.init()
        self.file = folder / "device.db"
        with closing(sqlite3.connect(self.file)) as app:
            app.executescript(DEVICE.format(action=action))
        self.device = syncline.connect(self.file, hub=self.hub)
        self.device.track("p", "boss", "t")

    def close(self) -> None:
        self.device.close()
        self.hub.close()

    def here(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.file)) as app:
            app.execute("PRAGMA foreign_keys = ON")
            with app:
                return app.execute(statement).fetchall()

    def waiting(self) -> dict[tuple[Any, ...], str]:
        report = self.device.sync()
        found = {(row.table, *row.key): row.object for row in report.pull.waiting}
        assert {(row.table, *row.key): row.object for row in self.device.waiting()} == found
        assert self.device.status().waiting_count == len(found)
        return found

    def row(self, key: str) -> list[tuple[Any, ...]]:
        return sql(self.file, f"SELECT * FROM t WHERE id = '{key}'")


@pytest.fixture(params=ACTIONS, ids=["no action", "cascade"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, request.param)
    yield world
    world.close()


def is_possible(pair: tuple[str, str], kind: str) -> bool:
    return kind == "update" or "local row" not in pair


@pytest.mark.parametrize("kind", ["insert", "update"])
@pytest.mark.parametrize("pair", PAIRS, ids=" and ".join)
def test_l12_a_row_that_two_objects_refuse_is_named(world: World, pair: tuple[str, str], kind: str) -> None:
    if not is_possible(pair, kind):
        pytest.skip("nothing refers to a new row")
    key = "r" if kind == "update" else "s"
    one, other = (OBSTACLES[name] for name in (pair if kind == "insert" else pair[::-1]))
    if "parent that waits" in pair:
        sql(world.centre, "INSERT INTO boss VALUES ('held', 'bad')")
    if "local row" in pair:
        world.here("INSERT INTO favourite (code) VALUES ('c1')")
    before = world.row(key)
    stays = [before, []] if "parent that waits" in pair else [before]  # without its parent it cannot be here
    values = {"a": "'x'", one.column: one.bad, other.column: other.bad}
    if kind == "insert":
        sql(
            world.centre,
            f"INSERT INTO t (id, {', '.join(values)}) VALUES ('s', {', '.join(values.values())})",
        )
    else:
        sql(world.centre, f"UPDATE t SET {', '.join(f'{n} = {v}' for n, v in values.items())} WHERE id = 'r'")
    if "pending row" in pair:
        world.here("INSERT INTO t (id, a, u) VALUES ('mine', 'x', 'mine')")
        world.device.pull()
    held = {("boss", "held"): "CHECK (c <> 'bad')"} if "parent that waits" in pair else {}
    for _ in range(2):
        found = world.waiting()
        assert set(found.pop(("t", key)).split(", ")) <= {*one.named, *other.named}
        assert found == held
        assert world.row(key) in stays
        assert not world.device.verify().equal
    sql(world.centre, f"UPDATE t SET {one.column} = {one.good} WHERE id = '{key}'")
    found = world.waiting()
    also = OBSTACLES["local row"].named if "local row" in pair and held else ()  # it keeps the row here
    assert found.pop(("t", key)) in other.named + also
    assert found == held
    assert world.row(key) in stays
    sql(world.centre, f"UPDATE t SET {other.column} = {other.good} WHERE id = '{key}'")
    assert world.waiting() == held
    assert world.row(key) == sql(world.centre, f"SELECT * FROM t WHERE id = '{key}'")
    if held:
        sql(world.centre, "UPDATE boss SET c = 'good'")
        assert world.waiting() == {}
    assert world.device.verify().equal
