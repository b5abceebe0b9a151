"""The centre's tables change while devices have edits: what reaches them by itself (L2, L5, L6)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from syncline.databases.sqlite.reflect import reflect
from syncline.model.numbering import Renamed, renumbered
from syncline.protocol.flows import run
from syncline.protocol.messages import Push, Snapshot
from syncline.replica import sync
from syncline.replica.device import Device
from syncline.replica.hydrate import fill
from syncline.replica.pending import pending_edits
from syncline.replica.progress import silent
from syncline.replica.rejected import rejected
from syncline.testing.faults import CrashingStore
from tests.support.device import schema_of
from tests.support.peer import Peer

DDL = """
CREATE TABLE owner (id TEXT PRIMARY KEY, name TEXT, score INTEGER);
CREATE TABLE thing (id INTEGER PRIMARY KEY, owner TEXT REFERENCES owner (id) DEFERRABLE INITIALLY DEFERRED,
    title TEXT NOT NULL, note TEXT);
INSERT INTO owner VALUES ('a', 'Ada', 10), ('b', 'Bob', 20);
INSERT INTO thing VALUES (1, 'a', 'one', 'n1'), (2, 'b', 'two', 'n2'), (3, NULL, 'three', 'n3');
"""


class World:
    """A centre whose tables change, and a device that was cloned before."""

    def __init__(self, path: Path) -> None:
        self.centre = sqlite3.connect(":memory:", isolation_level=None)
        self.centre.executescript(DDL)
        self.peer = Peer(schema_of(self.centre, ["score"]), {})
        self._read()
        self.store = CrashingStore.open_private(path)
        self.app = sqlite3.connect(path, isolation_level=None)
        self.app.execute("PRAGMA foreign_keys = ON")
        run(fill(self.store, None, silent), self.peer)

    def alter(
        self, script: str, columns: Mapping[str, Mapping[str, str]] | None = None, **tables: str
    ) -> None:
        """Change the centre. Renames are told apart by what is said of them: the former names of `columns` by
        table and present name, and of `tables` by present name."""
        self.centre.executescript(script)
        before = self.peer.schema
        found = reflect(self.centre, _tables(self.centre))
        numbers = {("", new): before.number_of(old) for new, old in tables.items()}
        moved = {}
        for name, names in (columns or {}).items():
            former = before.table(tables.get(name, name))
            moved[former.number] = {new: former.column(old).number for new, old in names.items()}
        self.peer.schema = renumbered(found, before, Renamed(numbers, moved))
        self._read()

    def write(self, sql: str, table: str) -> None:
        """Change rows in the centre, and have every row of the table as news."""
        self.centre.execute(sql)
        self._read()
        self.peer.news.append([self.peer.group(self.peer.schema.table(table))])

    def _read(self) -> None:
        for name in _tables(self.centre):
            self.peer.rows[name] = _all(self.centre, name)

    @property
    def device(self) -> Device:
        return Device.load(self.store)

    def sync(self) -> None:
        run(sync.sync(self.device, silent), self.peer)

    def pull(self) -> None:
        run(sync.pull(self.device, silent), self.peer)

    def all(self, table: str) -> list[dict[str, Any]]:
        return _all(self.app, table)

    def pushed(self) -> list[Push]:
        return [request for request in self.peer.asked if isinstance(request, Push)]

    def close(self) -> None:
        self.store.close()
        self.app.close()
        self.centre.close()


def _tables(app: sqlite3.Connection) -> list[str]:
    return [name for (name,) in app.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]


def _all(app: sqlite3.Connection, table: str) -> list[dict[str, Any]]:
    cursor = app.execute(f'SELECT * FROM "{table}" ORDER BY 1')
    names = [part[0] for part in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "device.db")
    yield world
    world.close()


def test_l6_a_new_column_arrives_with_its_values_and_pending_edits_stay(world: World) -> None:
    world.app.execute("UPDATE thing SET note = 'mine' WHERE id = 1")
    world.app.execute("INSERT INTO thing VALUES (9, 'b', 'nine', NULL)")
    world.alter(
        "ALTER TABLE thing ADD COLUMN size INTEGER NOT NULL DEFAULT 5; UPDATE thing SET size = id * 10"
    )
    world.pull()
    assert [(row["id"], row["note"], row["size"]) for row in world.all("thing")] == [
        (1, "mine", 10), (2, "n2", 20), (3, "n3", 30), (9, None, 5),
    ]  # fmt: skip
    assert pending_edits(world.device) == {"thing": 2}
    world.app.execute("UPDATE thing SET size = 11 WHERE id = 1")
    world.sync()
    (push,) = world.pushed()
    assert push.schema == world.peer.schema.fingerprint
    assert pending_edits(world.device) == {}


def test_l5_what_changes_while_the_schema_is_followed_is_there_too(world: World) -> None:
    world.alter("ALTER TABLE thing ADD COLUMN size INTEGER; UPDATE thing SET size = id")

    def meanwhile(request: object) -> None:
        if isinstance(request, Snapshot):
            world.peer.before = lambda request: None
            world.write("UPDATE thing SET size = 100 WHERE id = 2", "thing")

    world.peer.before = meanwhile
    world.sync()
    assert [row["size"] for row in world.all("thing")] == [1, 100, 3]


def test_a_new_table_arrives_and_is_captured(world: World) -> None:
    world.alter("CREATE TABLE tag (id INTEGER PRIMARY KEY, thing INTEGER REFERENCES thing (id), word TEXT);"
                "INSERT INTO tag VALUES (1, 2, 'red')")  # fmt: skip
    world.sync()
    assert world.all("tag") == [{"id": 1, "thing": 2, "word": "red"}]
    world.app.execute("INSERT INTO tag VALUES (2, 1, 'blue')")
    assert pending_edits(world.device) == {"tag": 1}


def test_l2_edits_of_a_dropped_column_are_kept_and_the_rest_stays_pending(world: World) -> None:
    world.app.execute("UPDATE thing SET note = 'mine', title = 'uno' WHERE id = 1")
    world.app.execute("UPDATE thing SET note = 'only' WHERE id = 2")
    world.app.execute("INSERT INTO thing VALUES (9, 'b', 'nine', 'new')")
    world.alter("ALTER TABLE thing DROP COLUMN note")
    world.pull()
    found = {edit.key: (edit.code, edit.values, edit.base) for edit in rejected(world.device)}
    assert found == {
        (1,): ("column_dropped", {"note": "mine"}, {"note": "n1"}),
        (2,): ("column_dropped", {"note": "only"}, {"note": "n2"}),
        (9,): ("column_dropped", {"note": "new"}, {"note": None}),
    }
    assert pending_edits(world.device) == {"thing": 2}
    assert [row["note"] for row in world.all("thing")] == ["mine", "only", "n3", "new"]
    world.app.execute("UPDATE thing SET note = 'nobody hears of it' WHERE id = 3")
    assert pending_edits(world.device) == {"thing": 2}


def test_l2_edits_of_a_dropped_table_are_kept(world: World) -> None:
    world.app.execute("UPDATE thing SET title = 'uno' WHERE id = 1")
    world.app.execute("INSERT INTO thing VALUES (9, 'b', 'nine', 'new')")
    world.app.execute("DELETE FROM thing WHERE id = 3")
    world.alter("DROP TABLE thing")
    world.pull()
    found = {edit.key: (edit.op, edit.code, edit.values.get("title")) for edit in rejected(world.device)}
    assert found == {
        (1,): ("U", "table_dropped", "uno"),
        (9,): ("I", "table_dropped", "nine"),
        (3,): ("D", "table_dropped", None),
    }
    assert len(world.all("thing")) == 3 and list(world.store.numbers()) == ["owner"]


def test_l2_a_verdict_of_a_new_schema_is_taken_in_with_it(world: World) -> None:
    world.app.execute("UPDATE thing SET note = 'mine' WHERE id = 1")
    world.alter("ALTER TABLE thing ADD COLUMN size INTEGER; UPDATE thing SET size = id")
    run(sync.push(world.device, silent), world.peer)
    assert [(row["note"], row["size"]) for row in world.all("thing")] == [("mine", 1), ("n2", 2), ("n3", 3)]
    assert pending_edits(world.device) == {}
    assert world.pushed()[0].schema != world.peer.schema.fingerprint


def test_a_renamed_column_keeps_its_name_here(world: World) -> None:
    world.app.execute("UPDATE thing SET note = 'mine' WHERE id = 1")
    world.alter("ALTER TABLE thing RENAME COLUMN note TO remark", {"thing": {"remark": "note"}})
    world.write("UPDATE thing SET remark = 'theirs' WHERE id = 2", "thing")
    world.pull()
    assert [row["note"] for row in world.all("thing")] == ["mine", "theirs", "n3"]
    assert world.device.hub == world.peer.schema


def test_a_renamed_table_keeps_its_name_here(world: World) -> None:
    world.alter("ALTER TABLE owner RENAME TO person", person="owner")
    world.write("UPDATE person SET name = 'Bo' WHERE id = 'b'", "person")
    world.sync()
    assert [row["name"] for row in world.all("owner")] == ["Ada", "Bo"]
    world.app.execute("UPDATE owner SET name = 'Eve' WHERE id = 'a'")
    assert pending_edits(world.device) == {"owner": 1}


CHANGES = """
ALTER TABLE thing ADD COLUMN size INTEGER NOT NULL DEFAULT 5;
UPDATE thing SET size = id * 10;
ALTER TABLE thing DROP COLUMN note;
CREATE TABLE tag (id INTEGER PRIMARY KEY, word TEXT);
INSERT INTO tag VALUES (1, 'red');
"""


def test_l2_a_kill_at_any_statement_leaves_the_old_state_and_the_next_sync_does_it_again(
    tmp_path: Path,
) -> None:
    for countdown in range(10_000):
        world = World(tmp_path / f"device{countdown}.db")
        world.app.execute("UPDATE thing SET note = 'mine', title = 'uno' WHERE id = 1")
        world.alter(CHANGES)
        world.store.countdown = countdown
        crashed = False
        try:
            world.pull()
        except BaseException as error:
            assert type(error).__name__ == "Crash", error
            crashed = True
        world.store.countdown = None
        if crashed:
            names = [row[1] for row in world.app.execute("PRAGMA table_info(thing)")]
            state = world.store.state().fingerprint == world.peer.schema.fingerprint
            assert ("size" in names) == state
            world.pull()
        assert [(row["title"], row["size"]) for row in world.all("thing")] == [
            ("uno", 10), ("two", 20), ("three", 30),
        ]  # fmt: skip
        assert world.all("tag") == [{"id": 1, "word": "red"}]
        assert [edit.values for edit in rejected(world.device)] == [{"note": "mine"}]
        assert pending_edits(world.device) == {"thing": 1}
        assert world.app.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        world.close()
        if not crashed:
            return
    raise AssertionError("it never ended")
