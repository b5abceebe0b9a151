"""Rows that a centre put back to before they were made gets again from its devices (L2, L3, L5, L7).

Whichever device comes first, the centre has what it had before it was put back, and nothing is rejected."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import syncline
from tests.support.restored import Centre, PostgresCentre, SqliteCentre

DDL = """
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, code TEXT);
CREATE TABLE part (id TEXT PRIMARY KEY NOT NULL, item INTEGER REFERENCES item (id) ON DELETE CASCADE);
CREATE TABLE note (id TEXT PRIMARY KEY NOT NULL, name TEXT, code TEXT);
INSERT INTO item VALUES (101, 'old', NULL), (102, 'old', NULL);
INSERT INTO note VALUES ('101', 'old', NULL), ('102', 'old', NULL)
"""
TABLES = ("item", "part", "note")
ALONE = ("item", "note")


class World:
    """A centre with three devices x, y and z, which it can forget."""

    def __init__(self, folder: Path, centre: Centre, deletes: str = "newer_wins") -> None:
        self.folder, self.centre = folder, centre
        self.rules = {name: syncline.Table(deletes=deletes) for name in TABLES}
        centre.run(DDL)
        self.hub = syncline.Hub(centre.url, tables=self.rules)
        self.hub.init()
        for name in "xyz":
            syncline.clone(self.hub, folder / name).close()

    def run(self, name: str, *statements: str) -> None:
        with closing(sqlite3.connect(self.folder / name, isolation_level=None)) as app:
            app.execute("PRAGMA foreign_keys = ON")
            for sql in statements:
                app.execute(sql)

    def sync(self, names: str) -> None:
        for name in names:
            with syncline.connect(self.folder / name, hub=self.hub) as replica:
                replica.sync()

    def did(self, name: str, *statements: str) -> None:
        """Statements on a device, and a sync of it and all others."""
        self.run(name, *statements)
        self.sync(name + "xyz")

    def put_back(self) -> None:
        """The centre is what it was at its backup."""
        self.hub.close()
        self.centre.restore()
        self.hub = syncline.Hub(self.centre.url, tables=self.rules)
        self.hub.init()

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        return {
            table: [tuple(row) for row in self.centre.run(f"SELECT * FROM {table} ORDER BY 1")]
            for table in TABLES
        }

    def rejected(self, name: str) -> list[tuple[str, tuple[Any, ...], str]]:
        with syncline.connect(self.folder / name, hub=self.hub) as replica:
            return [(one.table, tuple(one.key), one.code) for one in replica.rejected()]

    def check(self, wanted: dict[str, list[tuple[Any, ...]]]) -> None:
        """The centre and every device have this, and nothing was rejected."""
        for table, rows in self.rows().items():
            assert rows == wanted[table], table
        for name in "xyz":
            assert self.rejected(name) == []
            with closing(sqlite3.connect(self.folder / name)) as app:
                for table in TABLES:
                    assert app.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() == wanted[table], name


@pytest.fixture
def make_world(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> Iterator[Callable[[str], World]]:
    made: list[World] = []

    def make(deletes: str) -> World:
        centre: Centre
        if kind == "sqlite":
            centre = SqliteCentre(tmp_path)
        else:
            centre = PostgresCentre(request.getfixturevalue("postgres_database"))
        made.append(World(tmp_path, centre, deletes))
        return made[-1]

    yield make
    for world in made:
        world.hub.close()


@pytest.fixture
def world(make_world: Callable[[str], World]) -> World:
    return make_world("newer_wins")


def insert(number: int, name: str) -> list[str]:
    """A row in each table that has no parent."""
    return [f"INSERT INTO {table} VALUES ({number}, '{name}', NULL)" for table in ALONE]


def update(number: int, column: str, value: str) -> list[str]:
    return [f"UPDATE {table} SET {column} = '{value}' WHERE id = {number}" for table in ALONE]


def delete(number: int) -> list[str]:
    return [f"DELETE FROM {table} WHERE id = {number}" for table in ALONE]


def part(name: str, number: int) -> str:
    return f"INSERT INTO part VALUES ('{name}{number}', {number})"


History = Callable[[int], list[tuple[str, list[str]]]]
"""What devices did one after the other to the row of a number, each knowing what was done before."""

HISTORIES: dict[str, History] = {
    "edited": lambda n: [("x", insert(n, "one")), ("y", update(n, "code", "Y"))],
    "edited by two": lambda n: [
        ("x", insert(n, "one")),
        ("z", update(n, "name", "uno")),
        ("y", update(n, "code", "Y")),
    ],
    "edited again": lambda n: [
        ("x", insert(n, "one")),
        ("y", update(n, "code", "Y")),
        ("z", update(n, "code", "Z")),
        ("x", update(n, "name", "uno")),
    ],
    "made anew at one go": lambda n: [("x", insert(n, "one")), ("y", [*delete(n), *insert(n, "another")])],
    "pointed at": lambda n: [
        ("x", [*insert(n, "one"), part("x", n)]),
        ("y", [*update(n, "code", "Y"), part("y", n)]),
    ],
    "deleted": lambda n: [("x", insert(n, "one")), ("y", delete(n))],
    "edited and deleted": lambda n: [
        ("x", insert(n, "one")),
        ("z", update(n, "code", "Z")),
        ("y", delete(n)),
    ],
    "deleted with its children": lambda n: [
        ("x", [*insert(n, "one"), part("x", n)]),
        ("y", delete(n)),
    ],
    "its key used again": lambda n: [("x", insert(n, "one")), ("y", delete(n)), ("y", insert(n, "another"))],
    "its key used again by a third": lambda n: [
        ("x", insert(n, "one")),
        ("y", delete(n)),
        ("z", insert(n, "another")),
        ("x", update(n, "code", "X")),
    ],
    "made again by who made it": lambda n: [
        ("x", insert(n, "one")),
        ("y", delete(n)),
        ("x", insert(n, "again")),
    ],
}
OF_OLD: dict[str, History] = {
    "deleted, made again and deleted": lambda n: [
        ("z", [f"DELETE FROM note WHERE id = {n}"]),
        ("x", [f"INSERT INTO note VALUES ({n}, 'new', NULL)"]),
        ("y", [f"DELETE FROM note WHERE id = {n}"]),
    ],
    "edited and made anew": lambda n: [
        ("z", [f"UPDATE note SET name = 'Z' WHERE id = {n}"]),
        ("x", [f"DELETE FROM note WHERE id = {n}"]),
        ("y", [f"INSERT INTO note VALUES ({n}, 'new', NULL)"]),
    ],
}
"""Of rows that the backup has. With an integer key a new row is refused while the old one is there still."""


def play(world: World, histories: dict[str, History], first: int) -> None:
    """All of them side by side, of rows with numbers from `first` on."""
    steps = [history(number) for number, history in enumerate(histories.values(), first)]
    for turn in itertools.zip_longest(*steps):
        for device in "xyz":
            done = [sql for step in turn if step is not None and step[0] == device for sql in step[1]]
            if done:
                world.did(device, *done)


@pytest.mark.parametrize(
    ("kind", "order"),
    [
        *(("sqlite", "".join(order)) for order in itertools.permutations("xyz")),
        *(("postgresql", order) for order in ("xyz", "yxz", "zyx")),
    ],
)
def test_l7_the_centre_has_again_what_it_had_whoever_comes_first(world: World, order: str) -> None:
    world.centre.keep()
    play(world, HISTORIES, 1)
    play(world, OF_OLD, 101)
    wanted = world.rows()
    world.put_back()
    world.sync(order * 2)
    world.check(wanted)


BOTH = pytest.mark.parametrize("kind", ["sqlite", "postgresql"])


@BOTH
@pytest.mark.parametrize("order", ["xyz", "yxz", "zyx"])
def test_l7_an_edit_that_waited_while_the_centre_was_put_back_meets_no_other_row(
    world: World, order: str
) -> None:
    """y had the row of x, and was about to send its edit of it."""
    world.centre.keep()
    world.did("x", *insert(1, "one"))
    world.run("y", *update(1, "code", "Y"))
    world.put_back()
    world.sync(order * 2)
    assert [row for rows in world.rows().values() for row in rows if str(row[0]) == "1"] == [
        (1, "one", "Y"),
        ("1", "one", "Y"),
    ]
    world.check(world.rows())


@BOTH
@pytest.mark.parametrize("pushed", [False, True])
@pytest.mark.parametrize("order", ["xyz", "yxz", "zyx"])
def test_l7_a_delete_that_waited_while_the_centre_was_put_back_is_done(
    world: World, order: str, pushed: bool
) -> None:
    world.centre.keep()
    world.did("x", *insert(1, "one"))
    if pushed:
        world.did("y", *update(1, "code", "Y"))
    wanted = world.rows()
    world.run("y", *delete(1))
    world.put_back()
    world.sync(order * 2)
    for rows in wanted.values():
        rows[:] = [row for row in rows if str(row[0]) != "1"]
    world.check(wanted)


@BOTH
@pytest.mark.parametrize("deletes", ["newer_wins", "delete_wins", "update_wins"])
def test_l7_whichever_device_comes_first_however_deletes_are_settled(
    make_world: Callable[[str], World], deletes: str
) -> None:
    """A delete was made knowing the row: it is no rival of the insert."""
    world = make_world(deletes)
    world.centre.keep()
    play(world, {name: HISTORIES[name] for name in ("deleted", "made again by who made it")}, 1)
    wanted = world.rows()
    for order in ("xyz", "yxz"):
        world.put_back()
        world.sync(order * 2)
        world.check(wanted)


@BOTH
@pytest.mark.parametrize("order", ["yzx", "zyx", "zxy"])
def test_another_row_that_took_the_key_since_is_another_thing(world: World, order: str) -> None:
    """z uses the key after the centre was put back: who comes later gets the other row's key refused."""
    world.centre.keep()
    world.did("x", "INSERT INTO item VALUES (1, 'one', NULL)")
    world.run("y", "UPDATE item SET code = 'Y' WHERE id = 1")
    world.sync("y")
    world.put_back()
    world.sync("z")
    world.run("z", "INSERT INTO item VALUES (1, 'of z', 'Z')")
    world.sync(order * 2)
    taken = [("item", (1,), "key_taken")]
    if order[0] == "y":
        assert world.rows()["item"][0] == (1, "one", "Y")
        assert world.rejected("z") == taken
        assert world.rejected("x") == []
    else:
        assert world.rows()["item"][0] == (1, "of z", "Z")
        assert world.rejected("x") == taken


@BOTH
def test_l2_a_row_that_was_made_and_deleted_since_under_the_key_is_another_thing(world: World) -> None:
    """Its delete is none of the row that the centre has lost."""
    world.centre.keep()
    world.did("x", "INSERT INTO item VALUES (1, 'one', NULL)")
    wanted = world.rows()
    world.put_back()
    world.sync("z")
    world.run("z", "INSERT INTO item VALUES (1, 'of z', NULL)")
    world.sync("z")
    world.run("z", "DELETE FROM item WHERE id = 1")
    world.sync("zxyz")
    world.check(wanted)


@pytest.mark.parametrize(
    ("kind", "order", "how"),
    [*itertools.product(["sqlite"], ["xyz", "zyx"], ["column", "row"]), ("postgresql", "yxz", "row")],
)
def test_l7_under_replica_wins_too_the_last_that_a_device_had_sent_comes_back_whoever_offers_first(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, order: str, how: str
) -> None:
    merge = "replica_wins" if how == "row" else {"name": "replica_wins", "code": "replica_wins"}
    postgres = kind == "postgresql"
    centre = (
        PostgresCentre(request.getfixturevalue("postgres_database")) if postgres else SqliteCentre(tmp_path)
    )
    names = {"item": {"merge": merge}, "part": {}, "note": {"merge": merge}}
    world = World(tmp_path, centre)
    world.hub.close()
    world.rules = {name: syncline.Table(**rules) for name, rules in names.items()}
    world.hub = syncline.Hub(centre.url, tables=world.rules)
    world.hub.init()
    centre.keep()
    for device, value in (("x", "first"), ("y", "second"), ("z", "third")):
        world.did(
            device,
            f"UPDATE item SET name = '{value}' WHERE id = 101",
            f"UPDATE note SET name = '{value}', code = '{value}' WHERE id = '102'",
        )
    world.did("x", "UPDATE item SET code = 'x' WHERE id = 101")
    wanted = world.rows()
    world.put_back()
    world.sync(order + "xyz")
    world.check(wanted)
    world.hub.close()


@BOTH
@pytest.mark.parametrize(
    "done", ["UPDATE note SET name = 'y' WHERE id = 'new'", "DELETE FROM note WHERE id = 'new'"]
)
def test_l2_an_insert_of_one_past_is_kept_that_loses_to_what_was_done_to_a_row_of_another(
    world: World, done: str
) -> None:
    world.centre.keep()
    world.centre.run("INSERT INTO note VALUES ('new', 'of the centre', NULL)")
    world.sync("y")
    world.put_back()
    world.sync("x")
    world.run("x", "INSERT INTO note VALUES ('new', 'of x', 'x')")
    world.sync("x")
    world.run("y", done)  # it has not heard of the new past
    world.put_back()
    world.sync("yxyz")
    assert ["of x", "x"] in [note.sent for note in world.hub.conflicts()]
    world.check(world.rows())
