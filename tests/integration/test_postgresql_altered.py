"""A table that is altered while a hub runs, by somebody who does not run `init`: what a device sends and what
is stored do not drift apart unseen (laws L5, L8)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import syncline
from syncline.hub import central
from syncline.hub.contract import codes
from syncline.replica.replica import Replica

LOUDER = """
CREATE FUNCTION louder() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN NEW.name := upper(NEW.name); RETURN NEW; END';
CREATE TRIGGER louder BEFORE INSERT OR UPDATE ON item FOR EACH ROW EXECUTE FUNCTION louder()
"""
MANY = 600
"""More rows than travel as one parameter of a statement."""


class World:
    def __init__(self, url: str, file: Path) -> None:
        self.url, self.file = url, file
        self.run("CREATE TABLE item (id int PRIMARY KEY, name varchar(9), price numeric(12,2))")
        self.hub = syncline.Hub(url)
        self.hub.init()
        self.replica: Replica = syncline.clone(self.hub, file)
        self.add(0, 1)
        self.replica.push()

    def run(self, sql: str) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute(sql)

    def add(self, start: int, count: int) -> None:
        with sqlite3.connect(self.file) as app:
            rows = [(number, f"n{number}", "1.25") for number in range(start, start + count)]
            app.executemany("INSERT INTO item VALUES (?, ?, ?)", rows)

    def here(self) -> list[tuple[int, str, str]]:
        with sqlite3.connect(self.file) as app:
            return app.execute("SELECT id, name, price FROM item ORDER BY id").fetchall()

    def there(self) -> list[tuple[int, str, str]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute("SELECT id, name, price::text FROM item ORDER BY id").fetchall()


@pytest.fixture
def world(postgres_url: str, tmp_path: Path) -> Iterator[World]:
    made = World(postgres_url, tmp_path / "a.db")
    yield made
    made.replica.close()
    made.hub.close()


@pytest.mark.parametrize("count", [1, MANY])
def test_a_trigger_that_was_added_is_noticed(world: World, count: int) -> None:
    world.run(LOUDER)
    world.add(1, count)
    report = world.replica.push()
    assert (report.sent, report.rejected) == (count, ())
    assert world.here() == world.there()
    assert world.here()[1] == (1, "N1", "1.25")


@pytest.mark.parametrize("count", [1, MANY])
def test_a_rule_that_was_added_is_noticed(world: World, count: int) -> None:
    world.run("CREATE RULE none AS ON INSERT TO item WHERE new.id = 1 DO INSTEAD NOTHING")
    world.add(1, count)
    report = world.replica.push()
    assert [edit.code for edit in report.rejected] == [codes.TRIGGER]
    assert world.here() == world.there()


@pytest.mark.parametrize("count", [1, MANY])
@pytest.mark.parametrize("kind", ["price TYPE numeric(14,4)", "name TYPE text"])
def test_l13_the_type_of_a_captured_column_can_be_changed(world: World, kind: str, count: int) -> None:
    world.run(f"ALTER TABLE item ALTER COLUMN {kind}")
    world.run("UPDATE item SET name = 'theirs' WHERE id = 0")
    world.add(1, count)
    world.replica.sync()
    world.replica.sync()
    assert not list(world.replica.rejected())
    assert world.here() == world.there()


def test_l13_a_push_that_meets_a_column_of_another_enum_is_answered_and_the_rest_of_it_written(
    postgres_url: str, tmp_path: Path
) -> None:
    def run(statements: str) -> None:
        with psycopg.connect(postgres_url) as connection:
            connection.execute(statements)

    run(
        "CREATE TYPE paint AS ENUM ('RED', 'BLUE'); CREATE TABLE car (id int PRIMARY KEY, paint paint);"
        " CREATE TABLE other (id int PRIMARY KEY); INSERT INTO car VALUES (1, 'RED')"
    )
    with syncline.Hub(postgres_url) as hub:
        hub.init()
        with syncline.clone(hub, tmp_path / "b.db") as replica:
            replica.sync()
            run(
                "CREATE TYPE coat AS ENUM ('RED', 'X');"
                " ALTER TABLE car ALTER COLUMN paint TYPE coat USING paint::text::coat"
            )
            with sqlite3.connect(replica.file) as app:
                app.executescript("UPDATE car SET paint = 'BLUE'; INSERT INTO other VALUES (1)")
            report = replica.sync().push
            assert [(edit.table, edit.code) for edit in report.rejected] == [("car", codes.TABLE_CHANGED)]
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT id FROM other").fetchall() == [(1,)]


def test_who_meets_an_existing_row_looks_however_long_the_first_attempt_took(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(central, "PATIENCE_SECONDS", -1.0)
    world.add(1, 1)
    world.run("INSERT INTO item VALUES (1, 'theirs', 2.00)")
    report = world.replica.push()
    assert (report.sent, [edit.code for edit in report.rejected]) == (1, ["key_taken"])
    assert world.here() == world.there()


def test_l13_a_table_that_has_lost_all_of_its_columns_is_known_by_its_name(world: World) -> None:
    world.run("ALTER TABLE item RENAME TO thing")
    world.run("ALTER TABLE thing DROP COLUMN id, DROP COLUMN name, DROP COLUMN price")
    renaming = world.hub.database.catalogue.renamed()
    assert renaming is not None
    assert [table.central_name for table in renaming.now.tables] == ["thing"]


EDITS = {
    "UPDATE": ("UPDATE car SET name = 'mine' WHERE id = 1", [(1, "mine"), (2, "b")]),
    "INSERT": ("INSERT INTO car VALUES (3, 'new')", [(1, "a"), (2, "b"), (3, "new")]),
    "DELETE": ("DELETE FROM car WHERE id = 2", [(1, "a")]),
}


@pytest.mark.parametrize(
    "made",
    [
        "MATERIALIZED VIEW car AS SELECT * FROM former",
        "VIEW car AS SELECT * FROM former",
        "VIEW car AS SELECT id, name FROM former UNION ALL SELECT id, name FROM former WHERE false",
        "VIEW car AS SELECT id, max(name) AS name FROM former GROUP BY id",
        "SEQUENCE car",
        "TYPE car AS (id int, name text)",
        "UNLOGGED TABLE car (id int PRIMARY KEY, name text)",
    ],
)
@pytest.mark.parametrize("edits", ["UPDATE", "INSERT", "DELETE"])
def test_l12_what_takes_the_name_of_a_table_stops_nobody(
    postgres_url: str, tmp_path: Path, made: str, edits: str
) -> None:
    """The table goes on under the name that it has now."""

    def run(statements: str) -> list[Any]:
        with psycopg.connect(postgres_url) as connection:
            cursor = connection.execute(statements)
            return [] if cursor.description is None else cursor.fetchall()

    run(
        "CREATE TABLE car (id int PRIMARY KEY, name text); CREATE TABLE other (id int PRIMARY KEY);"
        " INSERT INTO car VALUES (1, 'a'), (2, 'b')"
    )
    with syncline.Hub(postgres_url) as hub:
        hub.init()
        with syncline.clone(hub, tmp_path / "b.db") as replica:
            replica.sync()
            with sqlite3.connect(replica.file) as app:
                app.executescript(f"{EDITS[edits][0]}; INSERT INTO other VALUES (1)")
            run(f"ALTER TABLE car RENAME TO former; CREATE {made}")
            report = replica.sync()
            assert report.push is not None and (report.push.rejected, report.pending) == ((), 0)
            assert replica.verify().equal
    assert run("SELECT id, name FROM former ORDER BY id") == EDITS[edits][1]
    assert run("SELECT id FROM other") == [(1,)]
