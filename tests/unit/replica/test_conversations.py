"""A replica and what a hub says, whatever numbers tables and columns have: clone, track, verify, refill,
preview, the details of a push (L2, L5, L6)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from syncline.protocol.body import seal
from syncline.protocol.flows import run
from syncline.protocol.messages import Detail, Push, Rejection, Verdict
from syncline.replica import preview, sync, track, verify
from syncline.replica.details import details
from syncline.replica.device import Device
from syncline.replica.freeze import freeze
from syncline.replica.hydrate import fill
from syncline.replica.offer import offer_next
from syncline.replica.progress import silent
from syncline.replica.refill import refill
from syncline.replica.rejected import rejected
from syncline.replica.sent import lose
from syncline.replica.store import Store
from tests.support.device import schema_of
from tests.support.peer import Peer

DDL = """
CREATE TABLE owner (id TEXT PRIMARY KEY, name TEXT UNIQUE, score INTEGER);
CREATE TABLE thing (
    id INTEGER PRIMARY KEY,
    owner TEXT REFERENCES owner (id) DEFERRABLE INITIALLY DEFERRED,
    title TEXT,
    note TEXT
);
"""
OWNERS = [{"id": "a", "name": "Ada", "score": 10}, {"id": "b", "name": "Bob", "score": 20}]
THINGS = [
    {"id": 1, "owner": "a", "title": "one", "note": "n1"},
    {"id": 2, "owner": "b", "title": "two", "note": "n2"},
    {"id": 3, "owner": None, "title": "three", "note": "n3"},
]


class World:
    """A device file that was cloned from a peer, and a connection of the application."""

    def __init__(self, path: Path) -> None:
        with sqlite3.connect(":memory:") as model:
            model.executescript(DDL)
            self.schema = schema_of(model, ["score"])
        model.close()
        self.peer = Peer(self.schema, {"owner": [*map(dict, OWNERS)], "thing": [*map(dict, THINGS)]})
        self.store = Store.open_private(path)
        self.app = sqlite3.connect(path, isolation_level=None)
        self.app.execute("PRAGMA foreign_keys = ON")

    def clone(self) -> World:
        run(fill(self.store, None, silent), self.peer)
        return self

    @property
    def device(self) -> Device:
        return Device.load(self.store)

    def number(self, table: str) -> int:
        return self.schema.number_of(table)

    def columns(self, table: str, *names: str) -> list[int]:
        return [self.schema.table(table).column(name).number for name in names]

    def all(self, table: str) -> list[dict[str, Any]]:
        cursor = self.app.execute(f"SELECT * FROM {table} ORDER BY 1")
        names = [part[0] for part in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def past_the_triggers(self, sql: str) -> None:
        with self.store.transaction() as store:
            store.set_state(suppressed=1)
            store.execute(sql)
            store.set_state(suppressed=0)

    def verdict(self, rejections: list[Rejection], *overrides: tuple[str, dict[str, Any]]) -> None:
        """What the peer says to the next push."""
        groups = [self.peer.group(self.schema.table(table), [row]) for table, row in overrides]
        body, digest = seal(groups)
        self.peer.decide = lambda number: Verdict(number, [], digest, Raw(body), rejections)

    def shown(self, detail: Detail) -> tuple[Any, ...]:
        """Table, key, base and image, by name."""
        table = self.schema.by_number[detail.table]
        names = {number: column.name for number, column in table.values.items()}
        base = dict(zip([names[i] for i in detail.columns], detail.base, strict=True))
        columns = names if detail.image_columns is None else detail.image_columns
        image = detail.image and dict(zip([names[i] for i in columns], detail.image, strict=True))
        return table.name, detail.key, base, image

    def close(self) -> None:
        self.store.close()
        self.app.close()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "device.db")
    yield world
    world.close()


@pytest.fixture
def world(empty: World) -> World:
    return empty.clone()


def test_a_clone_has_every_value_in_its_column(world: World) -> None:
    assert (world.all("owner"), world.all("thing")) == (OWNERS, THINGS)
    assert world.store.numbers() == {name: world.number(name) for name in ("owner", "thing")}


def test_a_file_with_rows_of_its_own_keeps_what_only_it_has_and_notes_what_differs(empty: World) -> None:
    empty.app.executescript(DDL)
    empty.app.execute("INSERT INTO owner VALUES ('a', 'Ada', 10), ('c', 'Cid', 1)")
    empty.app.execute("INSERT INTO thing VALUES (1, 'a', 'mine', 'n1'), (9, 'c', 'nine', NULL)")
    run(track.track(empty.store, ["thing", "owner"], None, silent), empty.peer)
    assert empty.all("owner") == [*OWNERS, {"id": "c", "name": "Cid", "score": 1}]
    assert empty.all("thing") == [*THINGS, {"id": 9, "owner": "c", "title": "nine", "note": None}]
    frozen = freeze(empty.device)
    assert frozen is not None
    assert empty.app.execute("SELECT count(*) FROM _sync_conflict").fetchone() == (0,)
    kept = empty.app.execute("SELECT code FROM _sync_rejected").fetchall()
    assert kept == [("key_taken",)]  # an integer key that differs is another thing


def test_what_differs_is_named_by_its_columns_and_repaired(world: World) -> None:
    world.past_the_triggers("UPDATE owner SET name = 'Eve' WHERE id = 'b'")
    world.past_the_triggers("UPDATE thing SET note = 'other' WHERE id = 2")
    world.past_the_triggers("DELETE FROM thing WHERE id = 3")
    report = run(verify.repair(world.device, silent), world.peer)
    found = {(one.table, one.key): (one.kind, one.here, one.centre) for one in report.differences}
    assert found == {
        ("owner", ("b",)): ("differs", {"name": "Eve"}, {"name": "Bob"}),
        ("thing", (2,)): ("differs", {"note": "other"}, {"note": "n2"}),
        ("thing", (3,)): ("missing_here", {}, THINGS[2]),
    }
    assert [(table.name, table.rows, table.equal) for table in report.tables] == [
        ("owner", 2, False),
        ("thing", 2, False),
    ]
    assert report.equal and report.repaired == 3
    assert (world.all("owner"), world.all("thing")) == (OWNERS, THINGS)


def test_l6_a_file_that_is_filled_again_keeps_its_pending_edits(world: World) -> None:
    world.app.execute("UPDATE owner SET score = score + 5 WHERE id = 'a'")
    world.app.execute("UPDATE thing SET title = 'mine' WHERE id = 1")
    world.app.execute("INSERT INTO thing VALUES (7, 'b', 'new', NULL)")
    world.peer.rows["owner"][0] |= {"name": "Ann", "score": 100}
    world.peer.rows["thing"][0] |= {"title": "theirs", "note": "new note"}
    del world.peer.rows["thing"][2]
    run(refill(world.device, silent), world.peer)
    assert world.all("owner")[0] == {"id": "a", "name": "Ann", "score": 105}
    assert world.all("thing") == [
        {"id": 1, "owner": "a", "title": "mine", "note": "new note"},
        THINGS[1],
        {"id": 7, "owner": "b", "title": "new", "note": None},
    ]


def edit(world: World) -> None:
    """An edit of each kind, and later ones of the same rows, which are no part of the push."""
    world.app.execute("UPDATE owner SET score = score + 5, name = 'mine' WHERE id = 'a'")
    world.app.execute("UPDATE thing SET note = 'mine' WHERE id = 1")
    world.app.execute("DELETE FROM thing WHERE id = 2")


def test_the_details_of_a_push_are_as_of_its_freeze(world: World) -> None:
    edit(world)
    assert freeze(world.device) is not None
    world.app.execute("UPDATE thing SET note = 'later', title = 'later' WHERE id = 1")
    world.app.execute("DELETE FROM owner WHERE id = 'b'")
    owner, thing = world.number("owner"), world.number("thing")
    found = details(world.device, [(owner, ("a",)), (thing, (1,)), (thing, (2,))])
    assert list(map(world.shown, found)) == [
        ("owner", ["a"], {"name": "Ada", "score": 10}, {"name": "mine", "score": 15}),
        ("thing", [1], {"note": "n1"}, {"owner": "a", "title": "one", "note": "mine"}),
        ("thing", [2], {"owner": "b", "title": "two", "note": "n2"}, None),
    ]


def test_what_a_push_brings_back_is_shown_and_kept(world: World) -> None:
    edit(world)
    thing = world.number("thing")
    refused = Rejection(thing, [1], "check", "no", "Mend it.", [world.number("owner"), ["a"]])
    override = {"id": 2, "owner": "a", "title": "theirs", "note": None}
    world.verdict([refused], ("thing", THINGS[0]), ("thing", override))

    shown = run(preview.preview(world.device, silent), world.peer)
    (row,) = shown.rejected
    assert (shown.rows, row.table, row.key, row.parent) == (3, "thing", (1,), ("owner", ("a",)))
    assert [(one.table, one.key, one.values) for one in shown.overruled] == [
        ("thing", (2,), {name: value for name, value in override.items() if name != "id"})
    ]

    run(sync.push(world.device, silent), world.peer)
    assert world.all("thing") == [THINGS[0], override, THINGS[2]]
    (kept,) = rejected(world.device)
    assert (kept.table, kept.values, kept.base) == ("thing", {"note": "mine"}, {"note": "n1"})
    assert kept.parent == ("owner", ("a",))
    (push,) = [request for request in world.peer.asked if isinstance(request, Push)]
    assert sorted(world.shown(detail)[1:3] for detail in push.details if detail.table == thing) == [
        ([1], {"note": "n1"}),
        ([2], {"owner": "b", "title": "two", "note": "n2"}),
    ]


def test_a_push_that_is_offered_again_has_its_rows_without_what_later_ones_added(world: World) -> None:
    edit(world)
    run(sync.push(world.device, silent), world.peer)
    world.app.execute("UPDATE owner SET score = score + 100 WHERE id = 'a'")
    world.app.execute("DELETE FROM thing WHERE id = 1")
    run(sync.push(world.device, silent), world.peer)
    with world.store.transaction() as store:
        lose(store, [1, 2])
        assert offer_next(world.device, "w0")
    owner, thing = world.number("owner"), world.number("thing")
    found = details(world.device, [(owner, ("a",)), (thing, (1,))])
    assert list(map(world.shown, found)) == [
        ("owner", ["a"], {}, {"name": "mine", "score": 15}),
        ("thing", [1], {}, {"note": "mine"}),
    ]
