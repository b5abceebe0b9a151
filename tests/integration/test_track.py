"""Tables of an existing file that are made to take part: what differs, what is refused, kills in between."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import syncline
from syncline.errors import SchemaError, StoreError
from syncline.replica import join, track
from syncline.replica.apply import Answer, Applied, Step, run_steps
from syncline.replica.device import Device

COLUMNS = "id INTEGER PRIMARY KEY, name TEXT, price TEXT"


class Killed(Exception):
    """In place of a kill."""


class World:
    """A centre with its hub, and a file of the application's with rows of its own."""

    def __init__(self, folder: Path) -> None:
        self.centre = sqlite3.connect(folder / "centre.db", isolation_level=None)
        self.centre.executescript(
            f"""CREATE TABLE item ({COLUMNS});
            INSERT INTO item VALUES (1, 'same', '1'), (2, 'hub', '2'), (3, 'new', '3')"""
        )
        self.hub = syncline.Hub(f"sqlite:///{folder}/centre.db", tables={"item": syncline.Table()})
        self.hub.init()
        self.file = folder / "device.db"
        self.app = sqlite3.connect(self.file, isolation_level=None)

    def fill(self, columns: str = COLUMNS) -> None:
        self.app.executescript(
            f"""CREATE TABLE item ({columns});
            INSERT INTO item VALUES (1, 'same', '1'), (2, 'mine', '2'), (9, 'own', '9')"""
        )

    def open(self) -> Any:
        return syncline.connect(self.file, hub=self.hub)

    def close(self) -> None:
        self.app.close()
        self.hub.close()
        self.centre.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


@pytest.mark.parametrize("killed", range(4))
def test_l2_a_track_that_is_killed_goes_on_and_keeps_what_was_edited_in_between(
    world: World, killed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fill()
    monkeypatch.setattr(join, "CHUNK", 1)
    monkeypatch.setattr(track, "PAUSE", 0)
    done = 0

    def until(device: Device, answer: Answer, steps: Sequence[Step]) -> Applied:
        nonlocal done
        if done == killed:
            raise Killed
        done += 1
        return run_steps(device, answer, steps)

    with monkeypatch.context() as patch, world.open() as replica, pytest.raises(Killed):
        patch.setattr(track, "run_steps", until)
        replica.track("item")
    world.app.execute("INSERT INTO item VALUES (8, 'meanwhile', NULL)")
    world.app.execute("UPDATE item SET price = 'edited' WHERE id = 1")
    with world.open() as replica:
        with pytest.raises(StoreError, match="has not been filled"):
            replica.sync()
        replica.track("item")
        assert replica.conflicts() == []
        (kept,) = replica.rejected()
        assert (kept.code, kept.key, kept.values) == ("key_taken", (2,), {"name": "mine", "price": "2"})
        replica.sync()
        assert replica.verify().equal
    rows = world.centre.execute("SELECT * FROM item ORDER BY id").fetchall()
    assert rows == [
        (1, "same", "edited"),
        (2, "hub", "2"),
        (3, "new", "3"),
        (8, "meanwhile", None),
        (9, "own", "9"),
    ]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("id INTEGER PRIMARY KEY, name TEXT, price DECIMAL(10,2)", "price is TEXT at the hub and DECIMAL"),
        ("id TEXT PRIMARY KEY, name TEXT, price TEXT", "id is INTEGER at the hub and TEXT in this file"),
        ("id INTEGER, name TEXT, price TEXT", "the key is id at the hub and none in this file"),
    ],
)
def test_l8_a_type_that_would_change_values_is_refused_before_anything_is_changed(
    world: World, columns: str, said: str
) -> None:
    world.fill(columns)
    with world.open() as replica, pytest.raises(SchemaError, match=said):
        replica.track("item")
    assert world.app.execute("SELECT count(*) FROM sqlite_master WHERE name LIKE '_sync%'").fetchone() == (0,)
    assert world.centre.execute("SELECT count(*) FROM item").fetchone() == (3,)


def test_a_unique_index_will_do_for_a_key(world: World) -> None:
    world.fill("id INTEGER, name TEXT, price TEXT")
    world.app.execute("CREATE UNIQUE INDEX item_key ON item (id)")
    with world.open() as replica:
        replica.track("item")
        world.app.execute("UPDATE item SET name = 'later' WHERE id = 3")
        world.app.execute("INSERT OR REPLACE INTO item VALUES (1, 'replaced', '1')")
        world.centre.execute("UPDATE item SET name = 'theirs' WHERE id = 2")
        replica.sync()
        assert replica.verify().equal
    rows = world.centre.execute("SELECT id, name FROM item ORDER BY id").fetchall()
    assert rows == [(1, "replaced"), (2, "theirs"), (3, "later"), (9, "own")]


FAMILY = (
    "CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT);"
    " CREATE TABLE visit (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p (id), what TEXT);"
    " CREATE TABLE tag (name TEXT PRIMARY KEY NOT NULL, colour TEXT);"
)


@pytest.fixture
def families(tmp_path: Path) -> Iterator[tuple[syncline.Hub, sqlite3.Connection, sqlite3.Connection]]:
    """A centre and a file, of one application that has counted keys up in both."""
    centre = sqlite3.connect(tmp_path / "central.db", isolation_level=None)
    app = sqlite3.connect(tmp_path / "own.db", isolation_level=None)
    centre.executescript(
        f"{FAMILY} INSERT INTO p VALUES (1, 'Bert'), (2, 'both'); INSERT INTO tag VALUES ('x', 'red');"
        " INSERT INTO visit VALUES (1, 1, 'of Bert'), (2, 2, 'both')"
    )
    app.executescript(
        f"{FAMILY} INSERT INTO p VALUES (1, 'Anna'), (2, 'both'), (3, 'only here');"
        " INSERT INTO visit VALUES (1, 1, 'of Anna'), (2, 2, 'both'), (3, 1, 'again of Anna'), (4, 3, 'x');"
        " INSERT INTO tag VALUES ('x', 'blue')"
    )
    with syncline.Hub(f"sqlite:///{tmp_path}/central.db") as hub:
        hub.init()
        yield hub, centre, app
    centre.close()
    app.close()


@pytest.mark.parametrize("calls", [("p", "visit", "tag"), ("p visit tag",), ("visit p", "tag")])
def test_l2_a_row_under_another_s_integer_key_is_another_thing_and_comes_in_under_a_free_number(
    families: tuple[syncline.Hub, sqlite3.Connection, sqlite3.Connection],
    calls: Sequence[str],
    tmp_path: Path,
) -> None:
    """Its children are never given to the other's row, and go with it; text keys name one row."""
    hub, centre, app = families
    with syncline.connect(tmp_path / "own.db", hub=hub) as replica:
        for call in calls:
            replica.track(*call.split())
        assert [(note.table, note.key) for note in replica.conflicts()] == [("tag", ["x"])]
        kept = sorted((one.table, one.key[0], one.code) for one in replica.rejected())
        assert kept == [("p", 1, "key_taken"), ("visit", 1, "key_taken"), ("visit", 3, "parent_rejected")]
        report = replica.sync()
        assert report.push.rejected == () and replica.verify().equal
        assert centre.execute("SELECT * FROM visit").fetchall() == [
            (1, 1, "of Bert"),
            (2, 2, "both"),
            (4, 3, "x"),
        ]
        (anna,) = [one for one in replica.rejected() if one.table == "p"]
        replica.retry(anna.id, new_key=True)
        assert replica.rejected() == []
        replica.sync()
        assert replica.verify().equal
    assert centre.execute("SELECT * FROM p").fetchall() == [
        (1, "Bert"), (2, "both"), (3, "only here"), (4, "Anna"),
    ]  # fmt: skip
    visits = {(p, what) for _, p, what in centre.execute("SELECT * FROM visit")}
    assert visits == {(1, "of Bert"), (2, "both"), (3, "x"), (4, "of Anna"), (4, "again of Anna")}
    assert app.execute("SELECT count(*) FROM visit").fetchone() == (5,)
