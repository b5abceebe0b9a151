"""The centre's tables change while devices write: a real hub over SQLite, end to end (L2, L3, L5)."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

import syncline
from syncline.errors import TransportError
from syncline.protocol.messages import CommitPush, Limits, Push, Request, Response
from syncline.replica.replica import Replica
from syncline.replica.store import Store
from syncline.transports.local import LocalTransport

DDL = """
CREATE TABLE farm (id INTEGER PRIMARY KEY, name TEXT NOT NULL, size INTEGER, note TEXT);
CREATE TABLE visit (
    id TEXT PRIMARY KEY,
    farm INTEGER REFERENCES farm (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    visits INTEGER DEFAULT 0
);
INSERT INTO farm VALUES (1, 'Hill', 3, 'steep'), (2, 'Dale', 5, 'wet');
INSERT INTO visit VALUES ('v1', 1, 1), ('v2', 2, 2);
"""


class Line:
    """A connection to the hub that can lose answers."""

    def __init__(self, hub: syncline.Hub) -> None:
        self._inner = LocalTransport(hub)
        self.loses = False

    def send(self, request: Request) -> Response:
        answer = self._inner.send(request)
        if self.loses and isinstance(request, (Push, CommitPush)):
            raise TransportError("the answer was lost")
        return answer

    def close(self) -> None:
        self._inner.close()


class World:
    """A centre, its hub, and devices with a connection of their application each."""

    def __init__(self, folder: Path, limits: Limits | None = None) -> None:
        self.folder = folder
        self.centre = self.application("centre.db")
        self.centre.executescript(DDL)
        self.hub = self._hub(limits)
        self.hub.init()
        self.lines: dict[str, Line] = {}

    def _hub(self, limits: Limits | None) -> syncline.Hub:
        url = f"sqlite:///{self.folder}/centre.db"
        return syncline.Hub(url, limits=limits) if limits else syncline.Hub(url)

    def application(self, name: str) -> sqlite3.Connection:
        connection = sqlite3.connect(self.folder / name, isolation_level=None, timeout=20)
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    def device(self, name: str) -> tuple[Replica, sqlite3.Connection]:
        syncline.clone(self.hub, self.folder / name).close()
        self.lines[name] = Line(self.hub)
        replica = Replica(Store.open(self.folder / name), lambda: self.lines[name])
        return replica, self.application(name)

    def alter(self, script: str) -> None:
        self.centre.executescript(script)
        self.hub.init()

    def drop_column(self, table: str, column: str, more: str = "") -> None:
        """As other tools do: a new table takes the place of the old one."""
        ddl = self.centre.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
        names = [row[1] for row in self.centre.execute(f"PRAGMA table_info({table})") if row[1] != column]
        fresh = re.sub(rf",\s*\b{column}\b[^,)]*", "", ddl).replace(table, "fresh", 1)
        kept = ", ".join(names)
        self.alter(
            f"PRAGMA foreign_keys = OFF; {more}; {fresh};"
            f"INSERT INTO fresh ({kept}) SELECT {kept} FROM {table};"
            f"DROP TABLE {table}; ALTER TABLE fresh RENAME TO {table}; PRAGMA foreign_keys = ON"
        )

    def agree(self, *devices: sqlite3.Connection) -> None:
        tables = self.centre.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB '_sync*'"
            " AND name NOT GLOB 'sqlite*'"
        )
        for (table,) in tables.fetchall():
            wanted = content(self.centre, table)
            assert [content(device, table) for device in devices] == [wanted] * len(devices)


def content(connection: sqlite3.Connection, table: str) -> list[dict[str, object]]:
    cursor = connection.execute(f'SELECT * FROM "{table}" ORDER BY 1')
    names = [part[0] for part in cursor.description]
    return [dict(sorted(zip(names, row, strict=True))) for row in cursor]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.hub.close()


def test_new_columns_and_tables_reach_devices_with_pending_edits(world: World) -> None:
    (one, a), (two, b) = world.device("a.db"), world.device("b.db")
    a.execute("UPDATE farm SET name = 'Hill Farm' WHERE id = 1")
    a.execute("UPDATE visit SET visits = visits + 10 WHERE id = 'v1'")
    world.alter(
        "ALTER TABLE farm ADD COLUMN crop TEXT NOT NULL DEFAULT 'grass';"
        "UPDATE farm SET crop = 'rye' WHERE id = 2;"
        "CREATE TABLE barn (id INTEGER PRIMARY KEY, farm INTEGER REFERENCES farm (id), colour TEXT);"
        "CREATE UNIQUE INDEX one_name ON farm (name); INSERT INTO barn VALUES (1, 2, 'red')"
    )
    report = one.sync()
    assert (report.push.sent, report.pending) == (2, 0)
    two.sync()
    world.agree(a, b)
    a.execute("INSERT INTO barn VALUES (2, 1, 'blue')")
    b.execute("UPDATE farm SET crop = 'oats' WHERE id = 1")
    one.sync(), two.sync(), one.sync()
    world.agree(a, b)
    assert two.verify().equal and one.verify().equal


def test_a_device_two_versions_behind_with_a_backlog_catches_up(world: World) -> None:
    (one, a), (two, b) = world.device("a.db"), world.device("b.db")
    a.executemany("INSERT INTO farm VALUES (?, ?, ?, ?)", ((i, f"f{i}", i, "n") for i in range(10, 400)))
    a.execute("UPDATE farm SET note = NULL WHERE id = 1")
    world.alter("ALTER TABLE farm ADD COLUMN crop TEXT DEFAULT 'grass'")
    two.sync()
    world.alter("ALTER TABLE farm ADD COLUMN soil TEXT")
    world.drop_column("farm", "size")
    b.execute("UPDATE farm SET crop = 'rye' WHERE id = 2")
    two.sync()
    one.sync()
    two.sync()
    wanted = content(world.centre, "farm")
    for application in (a, b):
        rows = [{k: v for k, v in row.items() if k != "size"} for row in content(application, "farm")]
        assert rows == wanted
    assert {edit.code for edit in one.rejected()} == {"column_dropped"}
    assert len(one.rejected()) == 390 and one.rejected()[0].values == {"size": 10}
    assert one.verify().equal and two.verify().equal


def test_l3_a_push_whose_answer_was_lost_is_settled_across_a_change(world: World) -> None:
    one, a = world.device("a.db")
    a.execute("UPDATE visit SET visits = visits + 10 WHERE id = 'v1'")
    a.execute("UPDATE farm SET note = 'mine', size = 9 WHERE id = 1")
    world.lines["a.db"].loses = True
    with pytest.raises(TransportError):
        one.sync()
    a.execute("UPDATE farm SET note = 'later' WHERE id = 1")
    world.drop_column("farm", "note", "ALTER TABLE visit ADD COLUMN day TEXT")
    world.lines["a.db"].loses = False
    one.sync()
    assert content(world.centre, "visit")[0]["visits"] == 11
    assert content(world.centre, "farm")[0]["size"] == 9
    assert {edit.values.get("note") for edit in one.rejected()} == {"later"}
    assert one.verify().equal


def test_l2_a_push_frozen_before_a_column_went_has_that_column_refused_alone(world: World) -> None:
    one, a = world.device("a.db")
    a.execute("UPDATE farm SET note = 'mine', size = 9 WHERE id = 1")
    a.execute("INSERT INTO farm VALUES (3, 'Ford', 1, 'new')")
    world.drop_column("farm", "note")
    report = one.sync()
    kept = {edit.key: (edit.op, edit.values, edit.base, edit.code) for edit in report.push.rejected}
    assert kept == {
        (1,): ("U", {"note": "mine"}, {"note": "steep"}, "column_dropped"),
        (3,): ("U", {"note": "new"}, {"note": None}, "column_dropped"),
    }
    assert [row["size"] for row in content(world.centre, "farm")] == [9, 5, 1]
    with pytest.raises(syncline.SynclineError) as caught:
        one.retry(one.rejected()[0].id)
    assert caught.value.code == "column_dropped" and len(one.rejected()) == 2


def test_l2_a_file_that_hears_of_it_later_keeps_that_column_alone(world: World, tmp_path: Path) -> None:
    """A copy of the file asks what became of its edits: what was taken is not among the rejected."""
    one, a = world.device("a.db")
    a.execute("UPDATE farm SET note = 'mine', size = 9 WHERE id = 1")
    a.execute("INSERT INTO farm VALUES (3, 'Ford', 1, 'new')")
    a.execute(f"VACUUM INTO '{tmp_path / 'twin.db'}'")
    world.drop_column("farm", "note")
    one.sync()
    a.execute("UPDATE farm SET size = 6 WHERE id = 2")
    one.sync()
    with syncline.connect(tmp_path / "twin.db", world.hub) as twin:
        assert twin.sync().recovered is not None
        assert {edit.key: (edit.op, edit.values, edit.base, edit.code) for edit in twin.rejected()} == {
            (1,): ("U", {"note": "mine"}, {"note": "steep"}, "column_dropped"),
            (3,): ("U", {"note": "new"}, {"note": None}, "column_dropped"),
        }
        assert twin.verify().equal
    assert [row["size"] for row in content(world.centre, "farm")] == [9, 6, 1]


def test_a_large_push_across_a_change(tmp_path: Path) -> None:
    world = World(tmp_path, Limits(push_rows=50, pull_rows=40))
    (one, a), (two, b) = world.device("a.db"), world.device("b.db")
    a.executemany("INSERT INTO farm VALUES (?, ?, ?, ?)", ((i, f"f{i}", i, "n") for i in range(10, 400)))
    a.execute("UPDATE farm SET name = 'x' WHERE id = 1")
    world.lines["a.db"].loses = True
    with pytest.raises(TransportError):
        one.push()
    world.alter(
        "ALTER TABLE farm ADD COLUMN crop TEXT DEFAULT 'grass'; CREATE TABLE barn (id INTEGER PRIMARY KEY)"
    )
    world.lines["a.db"].loses = False
    one.push()
    two.sync()
    world.agree(a, b)
    assert one.verify().equal
    world.hub.close()


def test_renames_wait_for_the_application(world: World) -> None:
    (one, a), (two, b) = world.device("a.db"), world.device("b.db")
    world.alter("ALTER TABLE farm RENAME COLUMN name TO title; ALTER TABLE farm RENAME TO estate")
    a.execute("UPDATE farm SET name = 'Hill Farm' WHERE id = 1")
    one.sync()
    two.sync()
    assert content(b, "farm")[0]["name"] == "Hill Farm" == content(world.centre, "estate")[0]["title"]
    report = two.upgrade()
    assert (report.tables, report.columns) == ({"farm": "estate"}, {"farm": {"name": "title"}})
    b.execute("UPDATE estate SET title = 'Dale Farm' WHERE id = 2")
    two.sync(), one.sync()
    assert content(a, "farm")[1]["name"] == "Dale Farm"
    world.agree(b)
    assert one.verify().equal and two.verify().equal


def test_a_file_that_must_be_filled_again_follows_first(world: World) -> None:
    one, a = world.device("a.db")
    a.execute("UPDATE farm SET size = 33 WHERE id = 1")
    world.alter("ALTER TABLE farm RENAME COLUMN name TO title")
    one.pull()
    world.alter("ALTER TABLE farm ADD COLUMN crop TEXT; UPDATE farm SET crop = 'rye'")
    with one._store.transaction() as store:
        store.set_state(recovery='{"reason": "pruned"}')
    report = one.sync()
    assert report.recovered is not None and report.pending == 0
    assert content(a, "farm")[0] == {"crop": "rye", "id": 1, "name": "Hill", "note": "steep", "size": 33}
    assert one.verify().equal
    one.upgrade()
    world.agree(a)


def test_l2_pushes_that_the_centre_lost_are_offered_again_under_their_own_schema(world: World) -> None:
    one, a = world.device("a.db")
    backup = sqlite3.connect(":memory:")
    world.centre.backup(backup)
    a.execute("UPDATE farm SET note = 'mine', size = 9 WHERE id = 1")
    a.execute("INSERT INTO farm VALUES (3, 'Ford', 1, 'new')")
    one.sync()
    world.hub.close()
    backup.backup(world.centre)
    world.hub = world._hub(None)
    world.lines["a.db"] = Line(world.hub)
    world.hub.init()
    world.alter("ALTER TABLE farm ADD COLUMN crop TEXT")
    world.drop_column("farm", "note")
    replica = Replica(Store.open(world.folder / "a.db"), lambda: world.lines["a.db"])
    a.execute("UPDATE farm SET name = 'Hill Farm' WHERE id = 1")
    report = replica.sync()
    assert report.recovered is not None and report.recovered.offered == 1
    assert [(row["name"], row["size"]) for row in content(world.centre, "farm")] == [
        ("Hill Farm", 9), ("Dale", 5), ("Ford", 1),
    ]  # fmt: skip
    assert {edit.values["note"] for edit in replica.rejected()} == {"mine", "new"}
    assert replica.verify().equal


def test_a_file_whose_tables_were_chosen_gets_no_others(world: World) -> None:
    a = world.application("own.db")
    a.execute("CREATE TABLE farm (id INTEGER PRIMARY KEY, name TEXT NOT NULL, size INTEGER, note TEXT)")
    replica = syncline.connect(world.folder / "own.db", world.hub)
    replica.track("farm")
    world.alter(
        "CREATE TABLE barn (id INTEGER PRIMARY KEY); ALTER TABLE farm ADD COLUMN crop TEXT DEFAULT 'x'"
    )
    replica.sync()
    assert replica.status().tables == ("farm",) and content(a, "farm")[0]["crop"] == "x"
    a.execute("CREATE TABLE barn (id INTEGER PRIMARY KEY)")
    a.execute("INSERT INTO barn VALUES (7)")
    replica.track("barn")
    replica.sync()
    assert content(world.centre, "barn") == [{"id": 7}]


def test_a_table_that_takes_no_part_any_more_stays(world: World) -> None:
    one, a = world.device("a.db")
    a.execute("UPDATE visit SET visits = 5 WHERE id = 'v1'")
    world.alter("DROP TABLE visit")
    report = one.sync()
    assert [(edit.table, edit.code) for edit in report.push.rejected] == [("visit", "table_dropped")]
    a.execute("DELETE FROM farm WHERE id = 2")
    one.sync()
    world.agree(a)
    assert len(content(a, "visit")) == 1 and one.status().tables == ("farm",)


@pytest.mark.parametrize("is_filled_again", [False, True])
def test_l2_a_table_that_takes_part_again_reaches_the_centre_with_what_was_written_meanwhile(
    world: World, is_filled_again: bool
) -> None:
    one, a = world.device("a.db")
    two, b = world.device("b.db")
    world.alter("DROP TABLE visit")
    one.sync()
    a.execute("INSERT INTO visit VALUES ('v7', 1, 7)")
    world.alter(DDL[DDL.index("CREATE TABLE visit") : DDL.index("INSERT INTO farm")])
    if is_filled_again:
        with one._store.transaction() as store:
            store.set_state(recovery='{"reason": "pruned"}')
    one.sync()
    assert one.status().left_out == () and one.status().pending == {"visit": 3}
    for replica in (one, two, one):
        replica.sync()
    assert {row["id"] for row in content(world.centre, "visit")} == {"v1", "v2", "v7"}
    world.agree(a, b)
    assert one.verify().equal and two.verify().equal
