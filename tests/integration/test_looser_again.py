"""A table was out of service for a while, or is another one under its name, and asks less of a row than
before: what Syncline made of the former goes when it comes back, what the application made stays (laws L2,
L5, L12)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import syncline
from syncline.hub.registry import open_database
from tests.support.application import sql
from tests.support.either import centre_with, run

ID = "id varchar(9) PRIMARY KEY NOT NULL"
ACTIONS = ("CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT", "NO ACTION")


class World:
    """A centre that is looked at whenever it is told to, and a device."""

    def __init__(self, url: str, folder: Path, *ddl: str) -> None:
        self.url, self.folder = url, folder
        run(url, *ddl)
        database = open_database(url)
        if url.startswith("postgresql"):
            database.catalogue.look_seconds = 0.0  # type: ignore[misc]
        self.hub = syncline.Hub(database)
        self.hub.init()
        self.device = syncline.clone(self.hub, folder / "device.db")

    def close(self) -> None:
        self.device.close()
        self.hub.close()

    def change(self, *statements: str) -> None:
        """Another program does this in the centre, and the hub looks."""
        self.write(*statements)
        self.hub.look()

    def write(self, *statements: str) -> None:
        run(self.url, *statements)

    def sync(self) -> syncline.SyncReport:
        self.device.sync()
        return self.device.sync()

    def edit(self, *statements: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.device.file)) as app:
            app.execute("PRAGMA foreign_keys = ON")
            with app:
                for statement in statements:
                    rows = app.execute(statement).fetchall()
        return rows

    def here(self, statement: str) -> list[tuple[Any, ...]]:
        return sql(self.device.file, statement)

    def there(self, query: str) -> list[tuple[Any, ...]]:
        if self.url.startswith("sqlite"):
            return sql(self.url.removeprefix("sqlite:///"), query)
        import psycopg

        with psycopg.connect(self.url) as connection:
            return connection.execute(query).fetchall()  # type: ignore[call-overload,no-any-return]

    def keys(self, table: str) -> list[tuple[Any, ...]]:
        """The foreign keys of a table of the device: parent and action of a delete."""
        return [(row[2], row[6]) for row in self.here(f"PRAGMA foreign_key_list({table})")]


Made = Callable[..., World]


@pytest.fixture
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Made]:
    worlds: list[World] = []

    def make(kind: str, *ddl: str) -> World:
        worlds.append(World(centre_with(request, kind, tmp_path), tmp_path, *ddl))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()


both = pytest.mark.parametrize("kind", ["sqlite", "postgresql"])


@both
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("is_between", [True, False], ids=["a sync between", "no sync between"])
@pytest.mark.parametrize("parent", ["q", "none"])
def test_l2_a_former_foreign_key_takes_no_rows_of_the_table_that_came_back(
    kind: str, action: str, is_between: bool, parent: str, made: Made
) -> None:
    world = made(
        kind,
        f"CREATE TABLE p ({ID})",
        f"CREATE TABLE q ({ID})",
        f"CREATE TABLE line ({ID}, ref varchar(9) REFERENCES p ON DELETE {action})",
        "INSERT INTO p VALUES ('k1'), ('k3')",
        "INSERT INTO line VALUES ('l3', 'k3')",
    )
    world.change("DROP TABLE line")
    if is_between:
        world.sync()
    leads = f" REFERENCES q ON DELETE {action}" if parent == "q" else ""
    world.change(
        f"CREATE TABLE line ({ID}, ref varchar(9){leads})",
        "INSERT INTO q VALUES ('k1'), ('k2')",
        "INSERT INTO line VALUES ('l1', 'k1'), ('l2', 'k2')",
    )
    world.write("DELETE FROM p WHERE id = 'k3'")
    world.sync()
    assert world.device.waiting() == []
    assert world.keys("line") == ([("q", action)] if parent == "q" else [])
    world.edit("DELETE FROM p WHERE id = 'k1'")
    world.sync()
    rows = [("l1", "k1"), ("l2", "k2")]
    assert world.there("SELECT id, ref FROM line WHERE id <> 'l3' ORDER BY id") == rows
    assert world.there("SELECT id FROM p") == []
    assert world.device.verify().equal


@pytest.mark.parametrize("action", ACTIONS)
def test_l2_a_foreign_key_with_another_parent_since_a_narrowing_that_is_undone_is_that_alone(
    action: str, made: Made
) -> None:
    world = made(
        "postgresql",
        f"CREATE TABLE p ({ID})",
        f"CREATE TABLE q ({ID})",
        f"CREATE TABLE t ({ID}, v text, ref varchar(9) CONSTRAINT fk REFERENCES p ON DELETE {action})",
        "INSERT INTO p VALUES ('k1')",
        "INSERT INTO q VALUES ('k1')",
        "INSERT INTO t VALUES ('r', 'v', 'k1')",
    )
    world.change("ALTER TABLE t ALTER COLUMN v TYPE varchar(9)")
    world.sync()
    world.change(
        "ALTER TABLE t DROP CONSTRAINT fk",
        f"ALTER TABLE t ADD FOREIGN KEY (ref) REFERENCES q ON DELETE {action}",
    )
    world.change("ALTER TABLE t ALTER COLUMN v TYPE text")
    world.sync()
    assert world.keys("t") == [("q", action)]
    world.edit("DELETE FROM p")
    world.sync()
    assert world.there("SELECT id, v, ref FROM t") == [("r", "v", "k1")]


LOOSE = ("INSERT INTO t VALUES ('n', NULL, '1'), ('u', 'a', '1')",)


@both
@pytest.mark.parametrize("is_between", [True, False], ids=["a sync between", "no sync between"])
def test_l5_what_a_table_that_came_back_may_hold_now_arrives(kind: str, is_between: bool, made: Made) -> None:
    world = made(
        kind,
        f"CREATE TABLE t ({ID}, a text NOT NULL, u text)",
        "CREATE UNIQUE INDEX uq ON t (u)",
        "CREATE UNIQUE INDEX two ON t (a, u)",
        "INSERT INTO t VALUES ('r', 'a', '1')",
    )
    world.change("DROP TABLE t")
    if is_between:
        world.sync()
    world.change(
        f"CREATE TABLE t ({ID}, a text, u text)",
        "CREATE UNIQUE INDEX by_id_and_a ON t (id, a)",
        "INSERT INTO t VALUES ('r', 'a', '1')",
        *LOOSE,
    )
    report = world.sync()
    assert report.pull.waiting == ()
    assert [key for (key,) in world.here("SELECT id FROM t ORDER BY id")] == ["n", "r", "u"]
    assert len([row for row in world.here("PRAGMA index_list(t)") if row[3] == "c"]) == 1
    world.change("DROP INDEX by_id_and_a")
    world.sync()
    assert [row for row in world.here("PRAGMA index_list(t)") if row[3] == "c"] == []


def test_l5_what_was_loosened_during_a_narrowing_that_is_undone_is_loose_here_too(made: Made) -> None:
    world = made(
        "postgresql",
        f"CREATE TABLE t ({ID}, a text NOT NULL, u text CONSTRAINT uq UNIQUE, g integer NOT NULL)",
        "INSERT INTO t VALUES ('r', 'a', '1', 1)",
    )
    for _ in range(2):
        world.change("ALTER TABLE t ALTER COLUMN u TYPE varchar(9)")
        world.sync()
        world.change("ALTER TABLE t ALTER COLUMN u TYPE text")
        world.sync()
        assert [row[1] for row in world.here("PRAGMA index_list(t)") if row[3] == "c"] == ["t_u_unique"]
    world.change("ALTER TABLE t ALTER COLUMN u TYPE varchar(9)")
    world.sync()
    world.change(
        "ALTER TABLE t ALTER COLUMN a DROP NOT NULL",
        "ALTER TABLE t DROP CONSTRAINT uq",
        "ALTER TABLE t ALTER COLUMN g DROP NOT NULL",
        "INSERT INTO t VALUES ('n', NULL, '1', NULL), ('u', 'a', '1', 2)",
    )
    world.change("ALTER TABLE t ALTER COLUMN u TYPE text")
    assert world.sync().pull.waiting == ()
    assert world.here("SELECT id, g FROM t ORDER BY id") == [("n", None), ("r", 1), ("u", 2)]


@both
def test_l13_what_the_application_made_stays_when_its_table_comes_back(kind: str, made: Made) -> None:
    world = made(
        kind,
        f"CREATE TABLE p ({ID})",
        f"CREATE TABLE t ({ID}, a text, b text NOT NULL, ref varchar(9) REFERENCES p ON DELETE CASCADE)",
        "CREATE UNIQUE INDEX uq ON t (b)",
        "INSERT INTO p VALUES ('k')",
    )
    world.change("DROP TABLE t")
    world.sync()
    world.edit("CREATE TABLE mine (id PRIMARY KEY)", "CREATE UNIQUE INDEX own ON t (a, b)")
    with closing(sqlite3.connect(world.device.file)) as app:
        app.executescript(
            """BEGIN; CREATE TABLE fresh (id varchar(9) PRIMARY KEY NOT NULL, a text NOT NULL,
            b text NOT NULL, ref varchar(9) REFERENCES p ON DELETE CASCADE REFERENCES mine ON DELETE CASCADE);
            DROP TABLE t; ALTER TABLE fresh RENAME TO t; CREATE UNIQUE INDEX uq ON t (a); COMMIT"""
        )
    world.change(f"CREATE TABLE t ({ID}, a text, b text, ref varchar(9))")
    world.write("INSERT INTO t VALUES ('x', NULL, NULL, NULL), ('y', 'a', NULL, NULL), ('z', 'a', 'b', NULL)")
    world.sync()
    assert world.keys("t") == [("mine", "CASCADE")]
    assert world.here("SELECT id FROM t") == [("y",)]
    assert [row[3] for row in world.here("PRAGMA table_info(t)")] == [1, 1, 0, 0]
    assert {row.key: row.object for row in world.device.waiting()} == {
        ("x",): "NOT NULL (t.a)",
        ("z",): "unique index uq",
    }


@both
def test_l5_a_table_that_is_tracked_again_with_other_columns_asks_what_the_centre_asks(
    kind: str, made: Made
) -> None:
    world = made(
        kind,
        f"CREATE TABLE p ({ID})",
        f"CREATE TABLE t ({ID}, a text NOT NULL, b text NOT NULL,"
        " ref varchar(9) REFERENCES p ON DELETE CASCADE)",
        "CREATE UNIQUE INDEX uq ON t (a)",
        "INSERT INTO p VALUES ('k')",
        "INSERT INTO t VALUES ('r', 'x', 'y', 'k')",
    )
    world.change("DROP TABLE t")
    world.sync()
    world.change(
        f"CREATE TABLE t ({ID}, a2 text, c text, lead varchar(9))",
        "INSERT INTO t VALUES ('r', 'x', 'y', 'k'), ('s', NULL, NULL, NULL), ('t', 'x', 'z', 'none')",
    )
    world.sync()
    assert world.device.status().tables == ("p",)
    world.edit(
        "ALTER TABLE t RENAME COLUMN a TO a2",
        "ALTER TABLE t ADD COLUMN c text",
        "ALTER TABLE t RENAME COLUMN ref TO lead",
    )
    with closing(sqlite3.connect(world.device.file)) as app:
        app.execute("SELECT * FROM t").fetchall()  # knows the table as it is
        world.device.track("t")
        app.execute("INSERT INTO t (id) VALUES ('own')")
        app.commit()
    assert world.sync().pull.waiting == ()
    assert world.keys("t") == []
    world.edit("DELETE FROM p")
    world.sync()
    assert world.there("SELECT id, lead FROM t ORDER BY id") == [
        ("own", None),
        ("r", "k"),
        ("s", None),
        ("t", "none"),
    ]


@both
def test_l5_a_column_that_was_dropped_before_its_table_asks_for_nothing(kind: str, made: Made) -> None:
    world = made(kind, f"CREATE TABLE o ({ID})", f"CREATE TABLE t ({ID}, a text NOT NULL, b text)")
    if kind == "postgresql":
        world.change("ALTER TABLE t DROP COLUMN a")
    else:
        names = sql(
            world.url.removeprefix("sqlite:///"), "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        )
        of_table = [name for (name,) in names if name.startswith("_sync_hub_")]
        with closing(sqlite3.connect(world.url.removeprefix("sqlite:///"))) as app:
            for name in of_table:
                app.execute(f'DROP TRIGGER "{name}"')
            app.execute("ALTER TABLE t DROP COLUMN a")
            app.commit()
        world.hub.init()
    world.sync()
    world.change("DROP TABLE t")
    world.sync()
    world.change(f"CREATE TABLE t ({ID}, b text)", "INSERT INTO t VALUES ('r', 'b')")
    world.sync()
    world.device.track("t")
    assert world.sync().pull.waiting == ()
    assert world.here("SELECT id, b FROM t") == [("r", "b")]


def test_l9_of_two_foreign_keys_of_the_same_columns_the_one_that_is_gone_goes(made: Made) -> None:
    world = made(
        "postgresql",
        f"CREATE TABLE p ({ID}, code text UNIQUE)",
        f"CREATE TABLE q ({ID})",
        f"CREATE TABLE t ({ID}, ref varchar(9) CONSTRAINT one REFERENCES p ON DELETE CASCADE"
        " CONSTRAINT two REFERENCES q ON DELETE CASCADE, code text CONSTRAINT three REFERENCES p (code))",
    )
    assert sorted(world.keys("t")) == [("p", "CASCADE"), ("p", "NO ACTION"), ("q", "CASCADE")]
    world.change("ALTER TABLE t DROP CONSTRAINT one")
    world.sync()
    assert sorted(world.keys("t")) == [("p", "NO ACTION"), ("q", "CASCADE")]


def test_l5_a_foreign_key_to_other_columns_of_its_parent_is_another_one(made: Made) -> None:
    world = made(
        "postgresql",
        f"CREATE TABLE p ({ID}, code varchar(9) UNIQUE)",
        f"CREATE TABLE t ({ID}, ref varchar(9) CONSTRAINT one REFERENCES p (code) ON DELETE CASCADE)",
        "INSERT INTO p VALUES ('a', 'x')",
    )
    assert world.keys("t") == [("p", "CASCADE")]
    world.change(
        "ALTER TABLE t DROP CONSTRAINT one, ADD FOREIGN KEY (ref) REFERENCES p (id)",
        "INSERT INTO t VALUES ('r', 'a')",
    )
    assert world.sync().pull.waiting == ()
    assert world.here("SELECT * FROM t") == [("r", "a")]
