"""A file whose place is lost is filled again beside, and what differs is taken over (L2, L5, L6)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from syncline.errors import StoreBusy
from syncline.protocol.flows import run
from syncline.protocol.messages import Register, Request
from syncline.replica.apply import Applied
from syncline.replica.device import Device
from syncline.replica.hydrate import fill
from syncline.replica.lost import lost, notice
from syncline.replica.progress import silent
from syncline.replica.refill import fresh_path, refill
from syncline.replica.store import Store, unpack
from tests.support.changing import Changing
from tests.support.device import schema_of
from tests.support.peer import Peer


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Changing]:
    made = Changing(tmp_path / "device.db")
    yield made
    made.close()


def filled_again(world: Changing) -> Applied:
    return run(refill(world.device, silent), world.peer)


def held(world: Changing) -> list[Any]:
    rows = world.app.execute("SELECT key FROM _sync_held").fetchall()
    return [unpack(key) for (key,) in rows]


def test_the_place_is_found_and_the_time_noted(world: Changing) -> None:
    world.write("UPDATE owner SET name = 'Ann' WHERE id = 'a'", "owner")
    world.app.execute("UPDATE _sync_state SET recovery = '{}', last_sync = NULL")
    applied = filled_again(world)
    state = world.store.state()
    assert (state.recovery, state.watermark, state.horizon) == (None, "w1", "w1")
    assert state.last_sync is not None
    assert (applied.written, applied.removed, applied.regained) == ({"owner": 1}, {}, ())
    assert world.all("owner")[0]["name"] == "Ann"
    assert not Path(fresh_path(world.store)).exists()


def test_what_was_held_is_what_the_fresh_file_says(world: Changing) -> None:
    world.app.execute("CREATE UNIQUE INDEX mine ON owner (name)")
    world.write("INSERT INTO owner VALUES ('c', 'Ada', 1), ('d', 'Bob', 2)", "owner")
    world.pull()
    assert held(world) == [["c"], ["d"]]
    world.centre.execute("DELETE FROM owner WHERE id = 'd'")
    world.write("UPDATE owner SET score = 3 WHERE id = 'c'", "owner")
    filled_again(world)
    assert held(world) == [["c"]] and len(world.all("owner")) == 2
    world.app.execute("DROP INDEX mine")
    filled_again(world)
    assert held(world) == [] and world.all("owner")[2] == {"id": "c", "name": "Ada", "score": 3}


def test_a_table_that_was_not_captured_is_compared_and_what_is_only_here_is_pending(world: Changing) -> None:
    world.app.executescript(
        """CREATE TABLE copy (id INTEGER PRIMARY KEY, owner TEXT REFERENCES owner (id), title TEXT NOT NULL,
            note TEXT);
        INSERT INTO copy SELECT * FROM thing WHERE id < 3; DROP TABLE thing;
        ALTER TABLE copy RENAME TO thing; INSERT INTO thing VALUES (7, 'a', 'new', NULL);"""
    )
    notice(world.device)
    assert [world.device.tables[n].table.name for n in lost(world.store)] == ["thing"]
    world.write("UPDATE owner SET name = 'Ann' WHERE id = 'a'", "owner")
    (regained,) = filled_again(world).regained
    assert (regained.table, regained.inserted, regained.returned) == ("thing", 1, 1)
    assert [row["id"] for row in world.all("thing")] == [1, 2, 3, 7]
    world.sync()
    assert len(world.pushed()) == 1
    assert world.app.execute("SELECT count(*) FROM _sync_lost").fetchone() == (0,)


def test_a_file_with_names_of_its_own_goes_on_where_it_was_cut_off(world: Changing) -> None:
    world.alter("ALTER TABLE thing RENAME COLUMN note TO remark", {"thing": {"remark": "note"}})
    world.alter("ALTER TABLE owner RENAME TO person", person="owner")
    world.sync()
    world.write("UPDATE thing SET remark = 'theirs' WHERE id = 1", "thing")

    def another(request: Request) -> None:
        if not isinstance(request, Register):
            world.app.execute("UPDATE _sync_state SET push = 5")

    before, world.peer.before = world.store.state(), another
    with pytest.raises(StoreBusy, match="another process synced"):
        filled_again(world)
    assert world.all("thing")[0]["note"] == "n1" and Path(fresh_path(world.store)).exists()
    world.peer.before = lambda request: None
    world.app.execute("UPDATE _sync_state SET push = ?", (before.push,))
    filled_again(world)
    assert world.all("thing")[0]["note"] == "theirs" and len(world.all("owner")) == 2
    assert world.store.state().names == before.names is not None


def test_a_key_that_differs_only_in_case_is_the_centres_where_the_file_folds_case(tmp_path: Path) -> None:
    with closing(sqlite3.connect(":memory:")) as model:
        model.executescript("CREATE TABLE word (id TEXT COLLATE NOCASE PRIMARY KEY, n INTEGER)")
        peer = Peer(schema_of(model), {"word": [{"id": "a", "n": 1}, {"id": "b", "n": 2}]})
    with closing(Store.open_private(tmp_path / "device.db")) as store:
        run(fill(store, None, silent), peer)
        peer.rows["word"][0]["id"] = "A"
        run(refill(Device.load(store), silent), peer)
        assert store.rows("SELECT * FROM word") == [("A", 1), ("b", 2)]
