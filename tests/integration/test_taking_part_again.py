"""A table that could not take part takes part as soon as it can: a running hub notices by itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import psycopg
import pytest

import syncline
from syncline.hub.registry import open_database
from tests.support.application import sql

UNABLE = {
    "a key made by pg_dump": (
        ["CREATE TABLE nt (id int NOT NULL, v text)"],
        ["ALTER TABLE ONLY nt ADD CONSTRAINT nt_pkey PRIMARY KEY (id)"],
    ),
    "a key made of an index": (
        ["CREATE TABLE nt (id int NOT NULL, v text)", "CREATE UNIQUE INDEX nt_id ON nt (id)"],
        ["ALTER TABLE nt ADD PRIMARY KEY USING INDEX nt_id"],
    ),
    "a child that inherits no longer": (
        [
            "CREATE TABLE par (id int PRIMARY KEY)",
            "CREATE TABLE nt (PRIMARY KEY (id), v text) INHERITS (par)",
        ],
        ["ALTER TABLE nt NO INHERIT par"],
    ),
    "a parent whose child was let go": (
        ["CREATE TABLE nt (id int PRIMARY KEY, v text)", "CREATE TABLE child () INHERITS (nt)"],
        ["ALTER TABLE child NO INHERIT nt"],
    ),
    "names that are told apart": (
        ['CREATE TABLE nt (id int PRIMARY KEY, v text, "V" text)'],
        ['ALTER TABLE nt RENAME COLUMN "V" TO w'],
    ),
    "a name that was reserved": (
        ["CREATE TABLE sqlite_nt (id int PRIMARY KEY, v text)"],
        ["ALTER TABLE sqlite_nt RENAME TO nt"],
    ),
    "a key that is generated no longer": (
        ["CREATE TABLE nt (a int, id int GENERATED ALWAYS AS (a) STORED PRIMARY KEY, v text)"],
        ["ALTER TABLE nt ALTER COLUMN id DROP EXPRESSION"],
    ),
    "a table that is logged": (
        ["CREATE UNLOGGED TABLE nt (id int PRIMARY KEY, v text)"],
        ["ALTER TABLE nt SET LOGGED"],
    ),
    "a partition that was detached": (
        [
            "CREATE TABLE whole (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)",
            "CREATE TABLE nt PARTITION OF whole FOR VALUES FROM (0) TO (9)",
        ],
        ["ALTER TABLE whole DETACH PARTITION nt"],
    ),
}


def run(url: str, *statements: str) -> None:
    with psycopg.connect(url) as connection:
        for statement in statements:
            connection.execute(statement)


def looking(url: str, tables: Mapping[str, syncline.Table] | None = None) -> syncline.Hub:
    """A hub that looks whenever it is told to."""
    database = open_database(url)
    database.catalogue.look_seconds = 0.0  # type: ignore[misc]
    return syncline.Hub(database, tables)


@pytest.mark.parametrize("case", UNABLE)
def test_a_table_that_can_take_part_from_now_on_is_noticed(
    case: str, postgres_url: str, tmp_path: Path
) -> None:
    before, after = UNABLE[case]
    run(postgres_url, "CREATE TABLE anchor (id int PRIMARY KEY)")
    with looking(postgres_url) as hub:
        hub.init()
        with syncline.clone(hub, tmp_path / "a.db") as replica:
            run(postgres_url, *before)
            hub.look()
            replica.sync()
            assert "nt" not in replica.status().tables
            run(postgres_url, *after, "INSERT INTO nt (id, v) VALUES (1, 'x')")
            hub.look()
            replica.sync()
            assert "nt" in replica.status().tables
            assert [f for f in hub.examine() if f.code == "not_followed_yet"] == []
            assert sql(tmp_path / "a.db", "SELECT id, v FROM nt") == [(1, "x")]


@pytest.mark.parametrize("named", [False, True])
def test_a_table_that_has_lost_its_key_takes_part_again_with_it(
    named: bool, postgres_url: str, tmp_path: Path
) -> None:
    run(
        postgres_url,
        "CREATE TABLE b (id int PRIMARY KEY, v text)",
        "INSERT INTO b VALUES (1, 'a')",
        "CREATE TABLE o (id int PRIMARY KEY)",
    )
    tables = {"b": syncline.Table(), "o": syncline.Table()} if named else None
    with looking(postgres_url, tables) as hub:
        hub.init()
        with syncline.clone(hub, tmp_path / "a.db") as replica:
            run(postgres_url, "ALTER TABLE b DROP CONSTRAINT b_pkey")
            hub.look()
            replica.sync()
            assert tuple(replica.status().tables) == ("o",)
            run(postgres_url, "ALTER TABLE b ADD PRIMARY KEY (id)", "UPDATE b SET v = 'centre'")
            hub.look()
            replica.sync()
            assert set(replica.status().tables) == {"b", "o"}
            assert sql(tmp_path / "a.db", "SELECT id, v FROM b") == [(1, "centre")]
            sql(tmp_path / "a.db", "UPDATE b SET v = 'device'")
            replica.sync()
            assert replica.verify().equal
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT id, v FROM b").fetchall() == [(1, "device")]


class Centre:
    """Any centre, with a table that is known by a unique index that the configuration names."""

    tables: ClassVar = {"b": syncline.Table(key=["id"]), "o": syncline.Table()}

    def __init__(self, url: str) -> None:
        self.url = url
        self.run(
            "CREATE TABLE b (id integer NOT NULL, v text)",
            "CREATE UNIQUE INDEX bk ON b (id)",
            "INSERT INTO b VALUES (1, 'a')",
            "CREATE TABLE o (id integer PRIMARY KEY)",
        )

    def run(self, *statements: str) -> None:
        if self.url.startswith("sqlite"):
            sql(self.url.removeprefix("sqlite:///"), *statements)
        else:
            run(self.url, *statements)

    def hub(self) -> syncline.Hub:
        return looking(self.url, self.tables)


@pytest.fixture(params=["sqlite", "postgresql"])
def centre(request: pytest.FixtureRequest, tmp_path: Path) -> Centre:
    if request.param == "sqlite":
        return Centre(f"sqlite:///{tmp_path / 'centre.db'}")
    return Centre(request.getfixturevalue("postgres_url"))


@pytest.mark.parametrize("server", ["the same", "another"])
def test_a_table_named_with_its_key_takes_part_again_with_the_index(
    server: str, centre: Centre, tmp_path: Path
) -> None:
    with centre.hub() as hub, centre.hub() as other:
        hub.init()
        with syncline.clone(hub, tmp_path / "a.db") as replica:
            centre.run("DROP INDEX bk")
            hub.look()
            replica.sync()
            assert tuple(replica.status().tables) == ("o",)
            centre.run("CREATE UNIQUE INDEX bk ON b (id)", "UPDATE b SET v = 'centre'")
            (hub if server == "the same" else other).look()
            replica.sync()
            assert set(replica.status().tables) == {"b", "o"}
            assert replica.verify().equal


def test_a_table_that_was_dropped_and_is_created_again_takes_part_as_it_was_named(
    centre: Centre, tmp_path: Path
) -> None:
    with centre.hub() as hub:
        hub.init()
        with syncline.clone(hub, tmp_path / "a.db") as replica:
            centre.run("DROP TABLE o")
            hub.look()
            replica.sync()
            centre.run("CREATE TABLE o (id integer PRIMARY KEY)", "INSERT INTO o VALUES (7)")
            hub.look()
            replica.sync()
            assert set(replica.status().tables) == {"b", "o"}
            assert sql(tmp_path / "a.db", "SELECT id FROM o") == [(7,)]


def test_what_init_took_out_stays_out(centre: Centre) -> None:
    """Only a table that left by itself waits; and a name means no other table once it is back."""
    with centre.hub() as hub:
        hub.init()
        centre.run("DROP INDEX bk")
        hub.look()
    with looking(centre.url, {"o": syncline.Table()}) as hub:
        hub.init()
        centre.run("CREATE UNIQUE INDEX bk ON b (id)")
        hub.look()
        assert [table.name for table in hub.schema.tables] == ["o"]


def test_a_table_made_under_the_former_name_of_one_that_came_back_takes_no_part(centre: Centre) -> None:
    with centre.hub() as hub:
        hub.init()
        centre.run("DROP INDEX bk")
        hub.look()
        centre.run("CREATE UNIQUE INDEX bk ON b (id)")
        hub.look()
        centre.run("ALTER TABLE b RENAME TO c")
        hub.look()
        centre.run("CREATE TABLE b (id integer PRIMARY KEY)")
        hub.look()
        assert [table.name for table in hub.schema.tables] == ["c", "o"]
