"""What only SQLite does when a captured table is altered."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import syncline
from syncline.databases.sqlite import open_database
from syncline.errors import WatermarkRefused
from syncline.hub.contract import Database
from syncline.testing.conforms.centre import World


class FileCentre:
    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def open(self) -> Database:
        return open_database(f"sqlite:///{self.path}")

    def run(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement in statements:
                connection.execute(statement)
            connection.execute("COMMIT")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    centre = FileCentre(tmp_path / "central.db")
    centre.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)", "INSERT INTO t VALUES (1, 'x', 'y')")
    database = centre.open()
    database.catalogue.prepare(database.catalogue.reflect(None))
    yield World(centre, database, database.catalogue.load())
    database.close()


def test_sqlite_refuses_to_drop_a_captured_column_and_doctor_says_what_to_do(world: World) -> None:
    with pytest.raises(sqlite3.OperationalError, match="_sync_hub_0_"):
        world.run("ALTER TABLE t DROP COLUMN b")
    found = {finding.code: finding for finding in world.database.catalogue.examine(world.schema)}
    assert "_sync_hub_<n>_" in found["columns_held"].remedy


def test_l4_the_remedy_keeps_numbers_and_devices_compare_themselves(world: World) -> None:
    before, start = world.schema.table("t"), world.now()
    assert isinstance(world.centre, FileCentre)
    with closing(sqlite3.connect(world.centre.path)) as connection:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE name GLOB '_sync_hub_0_*'")
        triggers = [name for (name,) in rows]
    world.run(*(f"DROP TRIGGER {name}" for name in triggers), "ALTER TABLE t DROP COLUMN b")
    world.run("UPDATE t SET a = 'z'", "INSERT INTO t VALUES (2, 'new')")
    done = world.renew()
    assert any("was missing" in note for note in done.notes)
    after = world.schema.table("t")
    assert {c.name: c.number for c in after.columns} == {
        c.name: c.number for c in before.columns if c.name != "b"
    }
    with pytest.raises(WatermarkRefused) as caught:
        world.since(start)
    assert caught.value.code == "watermark_lost"


BESIDE = (
    "CREATE TABLE new_t (id INTEGER PRIMARY KEY, a NOT NULL, b)",
    "INSERT INTO new_t SELECT * FROM t WHERE id <> 2",
    "DROP TABLE t",
    "ALTER TABLE new_t RENAME TO t",
)
RENAMED = (
    "ALTER TABLE t RENAME TO old_t",
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a NOT NULL, b)",
    "INSERT INTO t SELECT * FROM old_t WHERE id <> 2",
    "DROP TABLE old_t",
)
"""A table that is rebuilt, as migration tools do where ALTER TABLE cannot; one row is left out."""


def test_l4_a_table_that_was_rebuilt_is_captured_again_and_devices_compare_themselves(world: World) -> None:
    start = world.now()
    world.run(*BESIDE, "INSERT INTO t VALUES (2, 'z', NULL)")
    done = world.renew()
    assert any("every device compares itself" in note for note in done.notes)
    with pytest.raises(WatermarkRefused) as caught:
        world.since(start)
    assert caught.value.code == "watermark_lost"
    later = world.now()
    assert world.since(later) == {}
    world.run("UPDATE t SET b = 'c' WHERE id = 2")
    assert world.since(later)["t"] == {(2,): {"b"}}
    assert world.renew().notes == []
    assert world.since(later)["t"] == {(2,): {"b"}}


@pytest.mark.parametrize("rebuild", [BESIDE, RENAMED], ids=["beside", "renamed"])
def test_l5_a_row_that_goes_while_its_table_is_rebuilt_goes_from_devices(
    rebuild: tuple[str, ...], tmp_path: Path
) -> None:
    centre = FileCentre(tmp_path / "central.db")
    centre.run(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a NOT NULL, b)",
        "CREATE TABLE u (id INTEGER PRIMARY KEY, a)",
        "INSERT INTO t VALUES (1, 'x', 'y'), (2, 'gone', NULL), (3, 'z', NULL)",
    )
    with syncline.Hub(f"sqlite:///{centre.path}") as hub:
        hub.init()
        with syncline.clone(hub, tmp_path / "a.db") as a, syncline.clone(hub, tmp_path / "b.db") as b:
            centre.run(*rebuild)
            hub.init()
            with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as app:
                app.execute("UPDATE t SET b = 'mine' WHERE id = 3")
                app.execute("INSERT INTO u VALUES (1, 'new')")
            a.sync()
            a.sync()
            b.sync()
            for replica in (a, b):
                with closing(sqlite3.connect(replica.file)) as file:
                    assert file.execute("SELECT * FROM t").fetchall() == [(1, "x", "y"), (3, "z", "mine")]
                    assert file.execute("SELECT * FROM u").fetchall() == [(1, "new")]
                assert replica.verify().equal
                assert replica.rejected() == []


CHAINS = {
    "one column": ["a>c", "c>d", "d>e"],
    "back": ["a>c", "c>a", "a>c"],
    "another takes its name": ["a>c", "b>a", "a>b"],
    "trade": ["a>c", "c>x b>c x>b", "b>k"],
    "trade twice": ["a>x b>a x>b", "a>x b>a x>b", "a>c"],
    "case": ["a>A", "A>c", "c>C"],
    "key": ["id>key", "key>k a>id", "k>key"],
    "table": ["t>u", "u>v a>c", "c>d", "v>t", "d>e"],
}
"""Renames from one `prepare` to the next, of columns and of the table."""


@pytest.mark.parametrize("other_process", [False, True])
@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_names_that_change_again_and_again_keep_their_numbers(
    world: World, chain: list[str], other_process: bool
) -> None:
    table, numbers = "t", {c.name: c.number for c in world.schema.table("t").columns}
    start, n = world.now(), world.schema.number_of("t")
    for step in chain:
        for former, *_, present in (part.split(">") for part in step.split()):
            if former == table:
                world.run(f"ALTER TABLE {table} RENAME TO {present}")
                table = present
            else:
                world.run(f"ALTER TABLE {table} RENAME COLUMN {former} TO {present}")
                numbers[present] = numbers.pop(former)
        if other_process:
            world.database.close()
            world.database = world.centre.open()
        catalogue = world.database.catalogue
        catalogue.prepare(catalogue.reflect(None))
        world.schema = catalogue.load()
        assert world.schema.number_of(table) == n
        assert {c.name: c.number for c in world.schema.table(table).columns} == numbers
    assert world.since(start) == {}
