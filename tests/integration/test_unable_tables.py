"""A table of a device that cannot take part as it is stops no other (L2, L5, L12, L13)."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import syncline
from syncline.errors import SchemaError, StoreBusy, TransportError
from syncline.replica.examine import examine
from tests.integration.test_restored_schema import Device, Line, Servers
from tests.support.serving import Served

DDL = """
CREATE TABLE farm (id INTEGER PRIMARY KEY, name TEXT NOT NULL, cows INTEGER DEFAULT 0);
CREATE TABLE visit (id TEXT PRIMARY KEY, farm INTEGER REFERENCES farm (id), remark TEXT);
CREATE TABLE step (id TEXT PRIMARY KEY, visit TEXT REFERENCES visit (id), what TEXT);
CREATE TABLE crop (id INTEGER PRIMARY KEY, name TEXT);
INSERT INTO farm VALUES (1, 'Hill', 3), (2, 'Dale', 5), (3, 'Ford', 7);
INSERT INTO visit VALUES ('v1', 1, 'first'), ('v2', 2, 'second');
INSERT INTO step VALUES ('s1', 'v1', 'dig');
INSERT INTO crop VALUES (1, 'rye'), (2, 'oats');
"""
COLUMNS = {
    "farm": "id INTEGER, name TEXT NOT NULL, cows INTEGER DEFAULT 0",
    "crop": "id INTEGER, name TEXT",
}
CODES = {"dropped": "table_missing", "keyless": "key_missing", "altered": "table_altered"}


class World:
    def __init__(self, folder: Path) -> None:
        self.folder, self.servers = folder, Servers()
        self.centre = sqlite3.connect(folder / "centre.db", isolation_level=None, timeout=20)
        self.centre.execute("PRAGMA foreign_keys = ON")
        self.centre.executescript(DDL)
        rules = {"farm": syncline.Table(merge={"cows": "sum"})}
        rules |= {name: syncline.Table() for name in ("visit", "step", "crop")}
        self.servers.hubs = [syncline.Hub(f"sqlite:///{folder}/centre.db", tables=rules) for _ in range(2)]
        self.servers.hubs[0].init()

    def device(self, name: str) -> Device:
        path = self.folder / name
        syncline.clone(self.servers, path).close()  # type: ignore[arg-type]
        return Device(path, Line(self.servers))

    def agree(self, *devices: Device, tables: tuple[str, ...] = ("farm", "visit", "step", "crop")) -> None:
        for table in tables:
            wanted = self.centre.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
            for device in devices:
                names = [row[1] for row in self.centre.execute(f"PRAGMA table_info({table})")]
                assert device.rows(table, ", ".join(names)) == wanted, table


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.centre.close()


def spoil(device: Device, table: str, how: str) -> None:
    """What a program does to a table: it is gone, without its key, or without a column."""
    device.app.execute("PRAGMA foreign_keys = OFF")
    kept = "id, name" if how == "altered" and table == "farm" else "*"
    device.app.execute(f"CREATE TEMP TABLE kept AS SELECT * FROM {table}")
    if how != "dropped":
        columns = COLUMNS[table] if how == "keyless" else "id INTEGER PRIMARY KEY"
        device.app.execute(f"CREATE TABLE made ({columns})")
        device.app.execute(f"INSERT INTO made SELECT {kept if how == 'keyless' else 'id'} FROM {table}")
    device.app.execute(f"DROP TABLE {table}")
    if how != "dropped":
        device.app.execute(f"ALTER TABLE made RENAME TO {table}")
    device.app.execute("PRAGMA foreign_keys = ON")


def mend(device: Device, table: str, how: str) -> None:
    """The table is as it was, with the rows that it had."""
    device.app.execute("PRAGMA foreign_keys = OFF")
    if how == "keyless":
        device.app.execute(f"CREATE UNIQUE INDEX {table}_key ON {table} (id)")
    else:
        device.app.execute(f"DROP TABLE IF EXISTS {table}")
        columns = COLUMNS[table].replace("id INTEGER", "id INTEGER PRIMARY KEY")
        device.app.execute(f"CREATE TABLE {table} ({columns})")
        device.app.execute(f"INSERT INTO {table} SELECT * FROM kept")
    device.app.execute("DROP TABLE kept")
    device.app.execute("PRAGMA foreign_keys = ON")


def test_l5_what_a_table_could_not_take_before_it_was_set_aside_comes_when_it_fits_again(
    world: World,
) -> None:
    """The centre lets one refer to a table that has no key here; its new row comes with that change."""
    a = world.device("a.db")
    spoil(a, "farm", "keyless")
    world.centre.execute("ALTER TABLE crop ADD COLUMN farm INTEGER REFERENCES farm (id)")
    world.centre.execute("INSERT INTO crop (id, name) VALUES (5, 'new')")
    with pytest.raises(SchemaError):  # there is no table left that takes part
        a.replica.pull()
    mend(a, "farm", "keyless")
    a.sync()
    world.agree(a)


@pytest.mark.parametrize("how", ["dropped", "keyless", "altered"])
@pytest.mark.parametrize("table", ["farm", "crop"])
def test_l12_the_others_are_synced_and_it_is_named(world: World, table: str, how: str) -> None:
    a, b = world.device("a.db"), world.device("b.db")
    a.run(f"UPDATE {table} SET name = 'mine' WHERE id = 1")  # captured, and waits
    spoil(a, table, how)
    other = "crop" if table == "farm" else "farm"
    a.run(
        f"UPDATE {other} SET name = 'new' WHERE id = 1", f"INSERT INTO {other} (id, name) VALUES (9, 'more')"
    )
    b.run(
        f"UPDATE {table} SET name = 'theirs' WHERE id = 2",
        f"INSERT INTO {table} (id, name) VALUES (7, 'theirs')",
        "DELETE FROM crop WHERE id = 2" if table == "farm" else "DELETE FROM farm WHERE id = 3",
        "UPDATE visit SET remark = 'seen' WHERE id = 'v2'",
    )
    b.sync()
    for verb in ("pull", "push", "preview", "sync"):
        getattr(a.replica, verb)()
    b.sync()
    report = a.sync()
    world.agree(a, b, tables=(other,) if table == "farm" else ("farm", "visit", "step"))
    named = {one.table: one for one in report.unable}
    assert named[table].code == CODES[how] and table in named[table].detail and named[table].remedy
    assert set(named) == ({"farm", "visit", "step"} if table == "farm" else {"crop"})
    assert a.replica.status().unable == report.unable
    assert a.replica.status().pending == {table: 1}
    b.sync()  # nothing of it was undone in the centre
    assert b.rows(table, "id")[-1] == (7,)
    assert not a.rejected()


@pytest.mark.parametrize("how", ["dropped", "keyless", "altered"])
@pytest.mark.parametrize("table", ["farm", "crop"])
def test_l5_it_is_made_good_when_it_comes_back(world: World, table: str, how: str) -> None:
    a, b = world.device("a.db"), world.device("b.db")
    a.run("INSERT INTO visit VALUES ('v9', 3, 'pending')")
    spoil(a, table, how)
    a.sync()
    b.run(
        f"UPDATE {table} SET name = 'theirs' WHERE id = 2",
        f"INSERT INTO {table} (id, name) VALUES (7, 'theirs')",
        "DELETE FROM step",
        "UPDATE visit SET remark = 'seen' WHERE id = 'v2'",
    )
    b.sync()
    a.sync()
    mend(a, table, how)
    a.run(f"INSERT INTO {table} (id, name) VALUES (8, 'here')")
    report = a.sync()
    assert {one.table for one in report.regained} >= {table} and not report.unable
    for _ in range(2):
        b.sync()
        a.sync()
    world.agree(a, b)
    assert world.centre.execute(f"SELECT id, name FROM {table} WHERE id > 6").fetchall() == [
        (7, "theirs"),
        (8, "here"),
    ]
    assert world.centre.execute("SELECT remark FROM visit WHERE id = 'v9'").fetchone() == ("pending",)
    assert world.centre.execute("SELECT count(*) FROM step").fetchone() == (0,)
    assert a.replica.verify().equal
    assert not a.replica.status().unable and not a.rejected()


@pytest.mark.parametrize("how", ["dropped", "keyless", "altered"])
@pytest.mark.parametrize("repair", [False, True])
def test_l12_verify_does_not_call_equal_what_it_could_not_compare(
    world: World, how: str, repair: bool
) -> None:
    a = world.device("a.db")
    assert a.replica.verify().unable == ()
    spoil(a, "farm", how)
    a.run("UPDATE crop SET name = 'pending' WHERE id = 1")
    for _ in range(2):  # the first one notices it, and syncs
        found = a.replica.verify(repair)
        assert not found.equal and found.complete and not found.differences
        assert {one.table: one.code for one in found.unable} == {
            "farm": CODES[how],
            "visit": "parent_unable",
            "step": "parent_unable",
        }
        assert all(one.remedy for one in found.unable)
        assert [(table.name, table.equal) for table in found.tables] == [("crop", True)]
    mend(a, "farm", how)
    a.sync()
    assert a.replica.verify(repair).equal


def test_l12_the_command_line_says_what_verify_could_not_compare(tmp_path: Path) -> None:
    world = World(tmp_path)
    a = world.device("a.db")
    configuration = tmp_path / "syncline.toml"
    configuration.write_text(f'[hub]\ndatabase = "sqlite:///{tmp_path}/centre.db"\n')
    with Served(configuration) as server:
        command = [sys.executable, "-m", "syncline.cli", "verify", a.replica.file, "--hub", server.url]
        spoil(a, "crop", "altered")
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        assert told.returncode == 3
        assert "crop was not compared: table crop: this file lacks the hub's columns name" in told.stdout
        assert "[table_altered]" in told.stdout and "to do: Alter it" in told.stdout
        assert "all others are equal" in told.stdout and "--repair" not in told.stderr
        plain = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
        assert plain.returncode == 3
        found = json.loads(plain.stdout)
        assert not found["equal"] and [one["code"] for one in found["unable"]] == ["table_altered"]
    world.centre.close()


def test_l3_a_push_in_flight_with_edits_of_it_counts_once(world: World) -> None:
    for number, lost in enumerate(["request", "answer"]):
        a = world.device(f"a{number}.db")
        a.run(
            "UPDATE farm SET cows = cows + 10 WHERE id = 1",
            f"INSERT INTO crop VALUES ({20 + number}, 'mine')",
        )
        a.line.loses = lost
        with pytest.raises(TransportError):
            a.sync()
        a.line.loses = ""
        spoil(a, "farm", "keyless")
        a.sync()
        assert world.centre.execute("SELECT name FROM crop WHERE id = ?", (20 + number,)).fetchone() == (
            "mine",
        )
        mend(a, "farm", "keyless")
        a.sync()
        a.sync()
        world.agree(a)
    assert world.centre.execute("SELECT cows FROM farm WHERE id = 1").fetchone() == (23,)


def test_a_dropped_table_that_track_makes_again_gets_its_rows(world: World) -> None:
    a, b = world.device("a.db"), world.device("b.db")
    spoil(a, "crop", "dropped")
    a.sync()
    b.run("INSERT INTO crop VALUES (5, 'flax')")
    b.sync()
    a.sync()
    a.replica.track("crop")
    a.sync()
    world.agree(a, b)


def test_the_centre_changes_another_table_meanwhile(world: World) -> None:
    a = world.device("a.db")
    spoil(a, "crop", "dropped")
    a.sync()
    world.centre.executescript(
        "ALTER TABLE visit ADD COLUMN mood TEXT DEFAULT 'good'; CREATE TABLE barn (id INTEGER PRIMARY KEY)"
    )
    world.servers.hubs[0].init()
    a.run("UPDATE visit SET remark = 'later' WHERE id = 'v1'")
    a.sync()
    world.agree(a, tables=("farm", "visit", "step"))
    world.centre.execute("ALTER TABLE crop ADD COLUMN kind TEXT")
    world.servers.hubs[0].init()
    assert [one.code for one in a.sync().unable] == ["table_missing"]  # the others go on
    mend(a, "crop", "dropped")
    a.sync()
    world.agree(a)


def test_a_file_that_has_no_other_table_says_so(world: World) -> None:
    path = world.folder / "one.db"
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE crop (id INTEGER PRIMARY KEY, name TEXT)")
    made.close()
    with syncline.connect(path, hub=world.servers) as replica:  # type: ignore[arg-type]
        replica.track("crop")
        replica.sync()
    with sqlite3.connect(path) as made:
        made.execute("DROP TABLE crop")
    made.close()
    with syncline.connect(path, hub=world.servers) as replica, pytest.raises(SchemaError):  # type: ignore[arg-type]
        replica.sync()


@pytest.mark.parametrize("how", ["dropped", "keyless", "altered"])
def test_l12_doctor_says_of_a_table_that_is_aside_what_is_wrong_and_when_it_fits_again(
    world: World, how: str
) -> None:
    a = world.device("a.db")
    spoil(a, "farm", how)
    a.sync()
    said = {finding.code: finding for finding in examine(a.replica.file)}
    assert not said.keys() & {"table_waits", "table_not_made"}
    assert "farm" in said[CODES[how]].sentence and said[CODES[how]].remedy
    assert said["parent_unable"].level == "trouble"
    mend(a, "farm", how)
    said = {finding.code: finding for finding in examine(a.replica.file)}
    assert said["table_waits"].remedy == "Run: syncline sync FILE"
    assert not said.keys() & {CODES[how], "parent_unable", "table_not_made"}
    assert a.replica.status().unable == ()
    a.sync()
    assert "table_waits" not in {finding.code for finding in examine(a.replica.file)}


def test_l2_l12_a_sync_that_failed_brings_it_back_all_the_same(world: World) -> None:
    """Another program has the file locked when the hub's answer is taken in."""
    a, b = world.device("a.db"), world.device("b.db")
    spoil(a, "farm", "keyless")
    a.sync()
    a.replica._device.store.execute("PRAGMA busy_timeout = 200")
    world.centre.execute("INSERT INTO crop VALUES (5, 'flax')")
    with closing(sqlite3.connect(a.replica.file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy):
            a.sync()
        other.execute("ROLLBACK")
    assert {one.table for one in a.sync().unable} == {"farm", "visit", "step"}
    assert not a.replica.verify().equal
    mend(a, "farm", "keyless")
    a.run("INSERT INTO farm VALUES (8, 'here', 1)", "UPDATE visit SET remark = 'mine' WHERE id = 'v1'")
    b.run("UPDATE farm SET cows = cows + 1 WHERE id = 2", "UPDATE step SET what = 'sow' WHERE id = 's1'")
    for _ in range(2):
        b.sync()
        a.sync()
    world.agree(a, b)
    assert world.centre.execute("SELECT name, cows FROM farm WHERE id IN (2, 8)").fetchall() == [
        ("Dale", 6),
        ("here", 1),
    ]
    assert world.centre.execute("SELECT remark FROM visit WHERE id = 'v1'").fetchone() == ("mine",)
    assert a.replica.verify().equal


def test_l5_a_table_that_only_waited_has_what_others_deleted_no_more_though_the_file_is_filled_again(
    world: World,
) -> None:
    """And what was not captured of the other is said, where nobody can tell who did what."""
    a, b = world.device("a.db"), world.device("b.db")
    spoil(a, "farm", "keyless")
    a.sync()
    b.run("DELETE FROM step", "UPDATE visit SET remark = 'seen' WHERE id = 'v2'")
    b.sync()
    a.sync()
    world.centre.executescript(
        "CREATE TABLE made (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO made SELECT * FROM crop;"
        "DROP TABLE crop; ALTER TABLE made RENAME TO crop"
    )
    world.servers.hubs[0].init()
    mend(a, "farm", "keyless")
    a.run("UPDATE farm SET cows = cows + 1 WHERE id = 2", "INSERT INTO farm VALUES (8, 'here', 1)")
    report = a.sync()
    assert report.recovered is not None and report.recovered.reason == "lost"
    assert [(one.table, one.inserted, one.kept) for one in report.regained] == [("farm", 1, 1)]
    b.sync()
    world.agree(a, b)
    assert a.rows("step", "id") == [] and a.rows("visit", "remark") == [("first",), ("seen",)]
    (note,) = a.replica.conflicts()
    assert (note.table, note.key, note.sent, note.hub) == ("farm", [2], ["Dale", 6], ["Dale", 5])
