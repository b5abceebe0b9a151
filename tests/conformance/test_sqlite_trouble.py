"""A SQLite centre that is not there, not ours, locked, or asked for what cannot take part."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from syncline.databases.sqlite import open_database
from syncline.databases.sqlite.connections import path_of
from syncline.databases.sqlite.reflect import reflect
from syncline.errors import (
    ConfigurationError,
    Conflict,
    DatabaseUnavailable,
    NotPrepared,
    SchemaError,
    SynclineError,
)
from syncline.hub.contract import Outdated, Stage, Tuning
from syncline.model.scope import UNBOUNDED
from syncline.testing.conforms.centre import World
from tests.conformance.test_sqlite import SqliteCentre


def test_addresses() -> None:
    assert path_of("sqlite:///central.db") == "central.db"
    assert path_of("sqlite:////var/lib/a%20b.db") == "/var/lib/a b.db"
    assert path_of("sqlite:///:memory:") == ":memory:"
    for url in ("sqlite://", "sqlite:///", "sqlite:central.db", "central.db", "postgresql:///x"):
        with pytest.raises(ConfigurationError):
            path_of(url)


def test_l12_a_file_that_is_not_there_is_said_and_not_made(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(DatabaseUnavailable, match="no such file"):
        database.catalogue.load()
    assert list(tmp_path.iterdir()) == []


def test_l12_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("not a database at all, but long enough to look at" * 10)
    with pytest.raises(DatabaseUnavailable, match="not a SQLite database"):
        open_database(f"sqlite:///{path}").catalogue.reflect(None)


def test_l12_a_closed_hub_says_so(tmp_path: Path) -> None:
    database = SqliteCentre(tmp_path / "central.db").open()
    database.close()
    with pytest.raises(DatabaseUnavailable, match="closed"):
        database.catalogue.load()


def test_l12_a_lock_held_by_another_program_is_a_conflict_to_try_again(tmp_path: Path) -> None:
    path = tmp_path / "central.db"
    SqliteCentre(path).run("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    database = open_database(f"sqlite:///{path}", Tuning(lock_timeout=0.05))
    database.catalogue.prepare(database.catalogue.reflect(None))
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(Conflict), database.write(UNBOUNDED):
        pass
    with database.read(UNBOUNDED) as reading:
        assert reading.rows.estimate() == 0
    holder.close()
    with database.write(UNBOUNDED) as transaction:
        assert transaction.ledger.clock() == 0
    database.close()


def test_a_newer_layout_is_left_alone(tmp_path: Path) -> None:
    centre = SqliteCentre(tmp_path / "central.db")
    centre.run("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    database = centre.open()
    schema = database.catalogue.reflect(None)
    database.catalogue.prepare(schema)
    centre.run("UPDATE _sync_hub SET layout = 99")
    for attempt in (database.catalogue.load, lambda: database.catalogue.prepare(schema)):
        with pytest.raises(NotPrepared, match="99"):
            attempt()
    database.close()


def test_a_hub_notices_that_other_tables_were_prepared(tmp_path: Path) -> None:
    centre = SqliteCentre(tmp_path / "central.db")
    centre.run("CREATE TABLE a (id INTEGER PRIMARY KEY)", "CREATE TABLE b (id INTEGER PRIMARY KEY)")
    first, second = centre.open(), centre.open()
    first.catalogue.prepare(first.catalogue.reflect(["a"]))
    first.catalogue.load()
    second.catalogue.prepare(second.catalogue.reflect(["a", "b"]))
    with pytest.raises(Outdated, match="by another process"), first.read(UNBOUNDED):
        pass
    assert len(first.catalogue.load().tables) == 2
    first.close()
    second.close()


def test_a_column_added_later_does_not_disturb(tmp_path: Path) -> None:
    centre = SqliteCentre(tmp_path / "central.db")
    centre.run("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    database = centre.open()
    database.catalogue.prepare(database.catalogue.reflect(None))
    world = World(centre, database, database.catalogue.load())
    start = world.now()
    centre.run("ALTER TABLE t ADD COLUMN w TEXT DEFAULT 'd'", "INSERT INTO t VALUES (1, 'x', 'y')")
    assert set(world.since(start)["t"]) == {(1,)}
    assert world.push(world.stage("insert", "t", [[2, "z"]])) == []
    assert world.rows("t") == [[1, "x"], [2, "z"]]
    database.close()


def test_l7_eight_threads_write_one_after_the_other(tmp_path: Path) -> None:
    centre = SqliteCentre(tmp_path / "central.db")
    centre.run("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    database = centre.open()
    database.catalogue.prepare(database.catalogue.reflect(None))
    world = World(centre, database, database.catalogue.load())
    start, trouble = world.now(), []

    def work(worker: int) -> None:
        try:
            for number in range(10):
                stage = Stage(0, "insert", "I", [0], [[worker * 100 + number, "x"]], [1 << 20])
                with database.write(UNBOUNDED) as transaction:
                    transaction.rows.stage(stage)
                    assert transaction.rows.apply([stage], f"r{worker}") == []
                with database.read(UNBOUNDED) as reading:
                    reading.log.entries(start, "", 100)
        except SynclineError as error:
            trouble.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert trouble == []
    assert len(world.since(start)["t"]) == 80
    database.close()


@pytest.mark.parametrize(
    ("ddl", "why"),
    [
        (["CREATE TABLE t (a)"], "no primary key"),
        (["CREATE VIEW t AS SELECT 1 AS id"], "is a view"),
        (["CREATE VIRTUAL TABLE t USING fts5(x)"], "ordinary tables"),
        (["CREATE TABLE t (id INTEGER PRIMARY KEY, p REFERENCES p)"], "not an ordinary table"),
        (
            [
                "CREATE TABLE p (id INTEGER PRIMARY KEY)",
                "CREATE TABLE t (id INTEGER PRIMARY KEY, p REFERENCES p)",
            ],
            "add that table too",
        ),
        (
            ["CREATE TABLE t (id INTEGER PRIMARY KEY, v, p REFERENCES t (v))"],
            "not a key of it",
        ),
        (
            [
                "CREATE TABLE t (id INTEGER PRIMARY KEY)",
                "CREATE TRIGGER bad BEFORE INSERT ON t BEGIN SELECT RAISE ( rollback, 'x'); END",
            ],
            "RAISE(ABORT)",
        ),
    ],
)
def test_l12_why_a_table_cannot_take_part_is_said(ddl: list[str], why: str) -> None:
    connection = sqlite3.connect(":memory:")
    for statement in ddl:
        connection.execute(statement)
    with pytest.raises(SchemaError) as caught:
        reflect(connection, ["t"])
    assert why in caught.value.detail
    everything = [table.name for table in reflect(connection, None).schema.tables]
    assert everything == (["p", "t"] if why == "add that table too" else [])
    connection.close()


def test_a_table_goes_by_the_name_and_statement_it_was_made_with() -> None:
    connection = sqlite3.connect(":memory:")
    ddl = "CREATE TABLE Parent (Id INTEGER PRIMARY KEY, code TEXT DEFAULT 'x' UNIQUE) -- as written"
    connection.execute(ddl)
    connection.execute(
        "CREATE TABLE child (id TEXT PRIMARY KEY, up REFERENCES PARENT, c REFERENCES parent(CODE))"
    )
    connection.execute("CREATE INDEX child_up ON child (up)")
    schema = reflect(connection, ["PARENT", "child"]).schema
    parent, child = schema.table("Parent"), schema.table("child")
    assert (
        parent.ddl == connection.execute("SELECT sql FROM sqlite_master WHERE name = 'Parent'").fetchone()[0]
    )
    assert parent.uniques == (("code",),)
    assert parent.column("code").default == "'x'"
    assert not parent.column("Id").nullable
    assert child.column("id").nullable
    assert [(key.columns, key.parent, key.parent_columns) for key in child.foreign_keys] == [
        (("up",), "Parent", ("Id",)),
        (("c",), "Parent", ("code",)),
    ]
    assert child.indexes == ("CREATE INDEX child_up ON child (up)",)
    connection.close()


def test_a_full_text_table_and_its_shadows_are_left_out() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE notes USING fts5(x)")
    connection.execute("CREATE TABLE notes_of_mine (id INTEGER PRIMARY KEY)")
    assert [table.name for table in reflect(connection, None).schema.tables] == ["notes_of_mine"]
    connection.close()
