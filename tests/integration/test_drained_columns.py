"""A column that a program dropped by copying its table, and added again, has no values of its own (L2)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import syncline
from syncline.cli.verbs import application
from syncline.errors import TransportError, UsageError
from tests.integration.test_rebuilt import forget_the_past
from tests.integration.test_restored_schema import Device, Line, Servers

DDL = """
CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, city TEXT, visits INTEGER NOT NULL DEFAULT 0);
CREATE TABLE other (id INTEGER PRIMARY KEY, v TEXT);
INSERT INTO customer VALUES (1,'a','x',1), (2,'b','y',2), (3,NULL,'z',3), (4,'d','z',4), (5,'e','z',5);
"""
COLUMNS = {
    "id": "INTEGER PRIMARY KEY",
    "name": "TEXT",
    "city": "TEXT",
    "visits": "INTEGER NOT NULL DEFAULT 0",
}
ADDED = {"name": "name TEXT", "visits": "visits INTEGER NOT NULL DEFAULT 0", "city": "city TEXT"}


class World:
    def __init__(self, folder: Path) -> None:
        self.folder, self.servers = folder, Servers()
        self.centre = sqlite3.connect(folder / "centre.db", isolation_level=None, timeout=20)
        self.centre.executescript(DDL)
        rules = {"customer": syncline.Table(merge={"visits": "sum"}), "other": syncline.Table()}
        self.hub = syncline.Hub(f"sqlite:///{folder}/centre.db", tables=rules)
        self.servers.hubs = [self.hub]
        self.hub.init()

    def device(self, name: str) -> Device:
        path = self.folder / name
        syncline.clone(self.servers, path).close()  # type: ignore[arg-type]
        return Device(path, Line(self.servers))

    def values(self, columns: str = "id, name, city, visits") -> list[tuple[object, ...]]:
        return self.centre.execute(f"SELECT {columns} FROM customer ORDER BY id").fetchall()

    def agree(self, *devices: Device) -> None:
        for device in devices:
            assert device.rows("customer", "id, name, city, visits") == self.values()
            assert device.replica.verify().equal


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.centre.close()


def copy_without(device: Device, *dropped: str) -> None:
    """As `transform(drop=...)` of sqlite-utils, a batch of Alembic or RemoveField of Django."""
    kept = [name for name in COLUMNS if name not in dropped]
    device.app.executescript(
        f"BEGIN; CREATE TABLE made ({', '.join(f'{name} {COLUMNS[name]}' for name in kept)});"
        f" INSERT INTO made SELECT {', '.join(kept)} FROM customer; DROP TABLE customer;"
        " ALTER TABLE made RENAME TO customer; COMMIT"
    )


def add(device: Device, *columns: str) -> None:
    for column in columns:
        device.run(f"ALTER TABLE customer ADD COLUMN {ADDED.get(column, column)}")


@pytest.mark.parametrize("news", [False, True])
@pytest.mark.parametrize("synced", [False, True])
@pytest.mark.parametrize("dropped", [("name",), ("visits",), ("name", "visits"), ("name", "city", "visits")])
def test_l2_the_centres_values_return(
    world: World, dropped: tuple[str, ...], synced: bool, news: bool
) -> None:
    a, b = world.device("a.db"), world.device("b.db")
    copy_without(a, *dropped)
    if synced:
        (told,) = a.sync().unable
        assert told.code == "table_altered" and "values come back" in told.remedy
    if news:
        b.run(
            *(f"UPDATE customer SET {name} = {name} || '9' WHERE id = 2" for name in dropped),
            "INSERT INTO customer VALUES (6, 'f', 'w', 6)",
            "INSERT INTO other VALUES (1, 'x')",
        )
        b.sync()
        if synced:
            a.sync()
    add(a, *dropped)
    wanted = world.values()
    done = a.sync().regained[0]
    assert (done.inserted, done.updated, done.deleted, done.kept) == (0, 0, 0, 0) and done.returned
    b.sync()
    assert world.values() == wanted
    assert not a.replica.conflicts() and not a.rejected()
    world.agree(a, b)


@pytest.mark.parametrize("news", [False, True])
@pytest.mark.parametrize("synced", [False, True])
def test_l2_edits_that_were_captured_before_are_named(world: World, synced: bool, news: bool) -> None:
    a = world.device("a.db")
    a.run(
        "UPDATE customer SET name = 'offline', city = 'moved' WHERE id = 1",
        "UPDATE customer SET visits = visits + 7 WHERE id = 2",
        "UPDATE customer SET name = 'more' WHERE id = 4",
        "DELETE FROM customer WHERE id = 5",
        "INSERT INTO customer VALUES (7, 'mine', 'here', 3)",
    )
    copy_without(a, "name", "visits")
    if synced:
        a.sync()
    if news:
        world.centre.execute("INSERT INTO other VALUES (1, 'x')")
        a.sync()
    add(a, "name", "visits")
    a.sync()
    assert world.values() == [
        (1, "a", "moved", 1),
        (2, "b", "y", 2),
        (3, None, "z", 3),
        (4, "d", "z", 4),
        (7, None, "here", 0),
    ]
    kept = a.replica.rejected()
    assert {(edit.key[0], edit.op, edit.code, *edit.base.items()) for edit in kept} == {
        (1, "U", "value_lost", ("name", "a")),
        (2, "U", "value_lost", ("visits", 2)),
        (4, "U", "value_lost", ("name", "d")),
        (7, "U", "value_lost"),
    }
    for edit in kept:
        assert edit.values == {} and "went with its values" in edit.detail
        with pytest.raises(UsageError) as refused:
            a.replica.retry(edit.id)
        assert refused.value.code == "values_gone"
    said = CliRunner().invoke(application, ["rejected", str(a.replica.file), "show", str(kept[0].id)]).stdout
    assert "value_lost" in said
    world.agree(a)


@pytest.mark.parametrize("news", [False, True])
@pytest.mark.parametrize("synced", [False, True])
def test_what_is_written_after_the_column_was_added_is_an_edit(
    world: World, synced: bool, news: bool
) -> None:
    a = world.device("a.db")
    a.run("UPDATE customer SET name = 'before' WHERE id = 2")
    copy_without(a, "name", "visits")
    if synced:
        a.sync()
    if news:
        world.centre.execute("INSERT INTO other VALUES (1, 'x')")
        a.sync()
    add(a, "name", "visits")
    a.run(
        "UPDATE customer SET name = 'after' WHERE id IN (1, 2, 3)",
        "UPDATE customer SET visits = 9 WHERE id = 4",
    )
    a.sync()
    a.sync()
    assert world.values("id, name, visits") == [
        (1, "after", 1), (2, "after", 2), (3, "after", 3), (4, "d", 9), (5, "e", 5),
    ]  # fmt: skip
    assert not a.rejected() and not a.replica.conflicts()
    world.agree(a)


def test_an_edit_that_is_captured_before_the_values_are_back_counts(world: World) -> None:
    a = world.device("a.db")
    copy_without(a, "name", "visits")
    add(a, "name", "visits")
    a.replica.status()  # captured from here on
    with syncline.connect(a.replica.file, hub=world.servers) as replica:  # type: ignore[arg-type]
        replica.status()
    a.run(
        "UPDATE customer SET visits = visits + 2 WHERE id = 4",
        "UPDATE customer SET name = 'later' WHERE id = 1",
        "UPDATE customer SET name = 'x' WHERE id = 2",
        "UPDATE customer SET name = NULL WHERE id = 2",
    )
    a.sync()
    a.sync()
    assert world.values("id, name, visits") == [
        (1, "later", 1), (2, None, 2), (3, None, 3), (4, "d", 6), (5, "e", 5),
    ]  # fmt: skip
    world.agree(a)


@pytest.mark.parametrize("filler", ["NOT NULL DEFAULT '?'", "DEFAULT 'none'", "NOT NULL"])
def test_l2_whatever_the_program_fills_the_column_with_is_no_value(world: World, filler: str) -> None:
    a = world.device("a.db")
    world.centre.execute("UPDATE customer SET name = 'c' WHERE id = 3")
    a.run("UPDATE customer SET name = 'offline' WHERE id = 1")
    copy_without(a, "name")
    if filler == "NOT NULL":  # Django's AddField(default=...) leaves no default behind
        a.app.executescript(
            "BEGIN; CREATE TABLE made (id INTEGER PRIMARY KEY, city TEXT, visits INTEGER DEFAULT 0, name TEXT"
            " NOT NULL); INSERT INTO made SELECT id, city, visits, 'unknown' FROM customer;"
            " DROP TABLE customer; ALTER TABLE made RENAME TO customer; COMMIT"
        )
    else:
        add(a, f"name TEXT {filler}")
    a.sync()
    assert [name for (name,) in world.values("name")] == ["a", "b", "c", "d", "e"]
    assert [(edit.key, edit.code) for edit in a.replica.rejected()] == [((1,), "value_lost")]
    world.agree(a)


def test_a_column_that_came_back_with_its_values_keeps_its_edits(world: World) -> None:
    a = world.device("a.db")
    a.run("UPDATE customer SET name = 'offline' WHERE id = 1")
    a.app.execute("CREATE TEMP TABLE kept AS SELECT id, name FROM customer")
    copy_without(a, "name")
    a.sync()
    add(a, "name")
    a.run("UPDATE customer SET name = (SELECT name FROM kept WHERE kept.id = customer.id)")
    a.sync()
    assert [name for (name,) in world.values("name")] == ["offline", "b", None, "d", "e"]
    assert not a.rejected() and not a.replica.conflicts()
    world.agree(a)


def test_what_was_set_to_the_default_while_a_table_was_copied_is_an_edit(world: World) -> None:
    a = world.device("a.db")
    a.run("UPDATE customer SET name = NULL WHERE id = 1")
    copy_without(a)
    a.run("UPDATE customer SET visits = 0 WHERE id = 2", "UPDATE customer SET name = NULL WHERE id = 4")
    a.sync()
    assert world.values("id, name, visits") == [
        (1, None, 1), (2, "b", 0), (3, None, 3), (4, None, 4), (5, "e", 5),
    ]  # fmt: skip
    assert not a.rejected()
    world.agree(a)


def test_l3_a_push_in_flight_with_values_that_went_counts_once(world: World) -> None:
    for number, lost in enumerate(["request", "answer"]):
        a = world.device(f"a{number}.db")
        a.run(f"UPDATE customer SET name = 'sent {number}' WHERE id = 1")
        a.line.loses = lost
        with pytest.raises(TransportError):
            a.sync()
        a.line.loses = ""
        copy_without(a, "name")
        a.sync()
        add(a, "name")
        a.sync()
        arrived = lost == "answer"
        assert world.values("name")[0] == ("sent 1" if arrived else "a",)
        assert [edit.code for edit in a.replica.rejected()] == ([] if arrived else ["value_lost"])
        world.agree(a)


def test_l2_a_device_whose_place_is_lost_too_empties_nothing(world: World) -> None:
    a = world.device("a.db")
    a.run("UPDATE customer SET name = 'offline' WHERE id = 1")
    copy_without(a, "name")
    forget_the_past(world)  # type: ignore[arg-type]
    add(a, "name")
    assert a.sync().recovered is not None
    a.sync()
    assert [name for (name,) in world.values("name")] == ["a", "b", "theirs", "d", "e"]
    assert [(edit.key, edit.code) for edit in a.replica.rejected()] == [((1,), "value_lost")]
    assert not a.replica.conflicts()
    world.agree(a)
