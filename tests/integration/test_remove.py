"""`init --remove` takes everything away again: what was there before is there as it was, to the byte."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import syncline
from syncline.databases.postgresql import PostgresDatabase
from syncline.databases.sqlite import open_database as open_sqlite
from syncline.errors import DatabaseError, NotPrepared
from syncline.testing.conforms.centre import World
from tests.conformance.test_sqlite import SqliteCentre
from tests.support.dump import dump
from tests.support.postgres import PostgresCentre

TABLES = (
    "CREATE SCHEMA farm",
    "CREATE TABLE farm.animal (id int PRIMARY KEY, tag text UNIQUE, born date DEFAULT CURRENT_DATE)",
    "CREATE TABLE visit (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
    " animal int REFERENCES farm.animal ON DELETE CASCADE, at timestamptz) ",
    "CREATE TABLE parts (region text, id int, PRIMARY KEY (region, id)) PARTITION BY LIST (region)",
    "CREATE TABLE parts_eu PARTITION OF parts FOR VALUES IN ('eu')",
    "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN NEW.tag := upper(NEW.tag); RETURN NEW; END $$",
    "CREATE TRIGGER shout BEFORE INSERT OR UPDATE ON farm.animal FOR EACH ROW EXECUTE FUNCTION shout()",
    "ALTER TABLE farm.animal ENABLE ALWAYS TRIGGER shout",
    "CREATE VIEW calves AS SELECT * FROM farm.animal WHERE born > '2026-01-01'",
    "INSERT INTO farm.animal VALUES (1, 'a'), (2, 'b')",
    "INSERT INTO visit (animal) VALUES (1), (2)",
    "INSERT INTO parts VALUES ('eu', 1)",
)


@pytest.fixture
def centre(postgres_url: str) -> PostgresCentre:
    return PostgresCentre(postgres_url)


@pytest.fixture
def database(centre: PostgresCentre) -> Iterator[PostgresDatabase]:
    database = centre.open()
    yield database
    database.close()


def test_postgresql_is_to_the_byte_what_it_was(centre: PostgresCentre, tmp_path: Path) -> None:
    centre.run(*TABLES)
    before = dump(centre.url)
    with syncline.Hub(centre.url) as hub:
        hub.init()
        assert dump(centre.url) != before
        syncline.clone(hub, tmp_path / "device.db").close()
        planned = hub.remove(dry_run=True)
        assert planned.statements == ["DROP SCHEMA syncline CASCADE"]
        assert hub.schema
        removed = hub.remove()
        assert removed == planned
        assert "1 registered replicas are forgotten; they must be cloned again" in removed.notes
        assert 'stopped tracking "farm"."animal"' in removed.notes
        with pytest.raises(NotPrepared):
            assert hub.schema
        assert (hub.remove().statements, hub.remove().notes) == ([], [])
    assert dump(centre.url) == before


def test_postgresql_keeps_what_was_written_meanwhile_and_can_be_prepared_again(
    centre: PostgresCentre, database: PostgresDatabase
) -> None:
    centre.run(*TABLES)
    database.catalogue.prepare(database.catalogue.reflect(None))
    first = database.catalogue.hub_id
    world = World(centre, database, database.catalogue.load())
    assert world.push(world.stage("insert", "animal", [[3, "C", "2026-01-02"]])) == []
    database.catalogue.remove()
    centre.run("UPDATE farm.animal SET tag = 'x' WHERE id = 1", "TRUNCATE visit")
    database.catalogue.prepare(database.catalogue.reflect(None))
    assert database.catalogue.hub_id != first
    assert [row[:2] for row in World(centre, database, database.catalogue.load()).rows("animal")] == [
        [1, "X"], [2, "B"], [3, "C"],
    ]  # fmt: skip


def test_objects_that_others_built_on_the_schema_are_not_dropped(
    centre: PostgresCentre, database: PostgresDatabase
) -> None:
    centre.run(*TABLES)
    database.catalogue.prepare(database.catalogue.reflect(None))
    centre.run(
        'CREATE VIEW "Lag" AS SELECT replica, last_pull FROM syncline.clients',
        "CREATE TABLE stamped (id int, at bigint DEFAULT syncline.direct_hlc())",
        "CREATE TRIGGER mine AFTER INSERT ON visit FOR EACH STATEMENT EXECUTE FUNCTION syncline.insert_1()",
        "ALTER TABLE visit DISABLE TRIGGER mine",
    )
    for dry_run in (True, False):
        with pytest.raises(DatabaseError) as caught:
            database.catalogue.remove(dry_run=dry_run)
        assert caught.value.code == "depended_on"
        for words in (
            'view public."Lag"',
            "default value for public.stamped.at",
            "trigger mine on public.visit",
        ):
            assert words in caught.value.detail
    database.catalogue.load()
    centre.run('DROP VIEW "Lag"', "DROP TABLE stamped", "DROP TRIGGER mine ON visit")
    assert database.catalogue.remove().statements


SQLITE = """
CREATE TABLE animal (id INTEGER PRIMARY KEY, tag TEXT UNIQUE);
CREATE TABLE visit (
    animal INTEGER REFERENCES animal ON DELETE CASCADE, n INTEGER, PRIMARY KEY (animal, n)
) WITHOUT ROWID;
CREATE TABLE "odd ""name" (id BLOB PRIMARY KEY, v);
CREATE INDEX visits ON visit (n);
CREATE VIEW calves AS SELECT * FROM animal;
CREATE TRIGGER shout AFTER INSERT ON animal BEGIN UPDATE animal SET tag = upper(tag) WHERE id = NEW.id; END;
INSERT INTO animal VALUES (1, 'a'), (2, 'b');
INSERT INTO visit VALUES (1, 1), (2, 5);
INSERT INTO "odd ""name" VALUES (x'00', 1.5), (NULL, 'x');
"""


def everything(file: Path) -> list[str]:
    """Every definition and every row; without SQLite's own table, which cannot be dropped."""
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [line for line in connection.iterdump() if "sqlite_sequence" not in line]


@pytest.mark.parametrize("counted", [False, True], ids=["without AUTOINCREMENT", "with AUTOINCREMENT"])
def test_sqlite_is_what_it_was(tmp_path: Path, counted: bool) -> None:
    file = tmp_path / "central.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(SQLITE)
        if counted:
            connection.executescript(
                "CREATE TABLE c (id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO c VALUES (7)"
            )
        master = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
    before = everything(file)
    with syncline.Hub(f"sqlite:///{file}") as hub:
        hub.init()
        assert everything(file) != before
        syncline.clone(hub, tmp_path / "device.db").close()
        planned = hub.remove(dry_run=True)
        assert hub.schema
        removed = hub.remove()
        assert removed == planned
        assert "stopped tracking animal" in removed.notes
        assert hub.remove().statements == []
    assert everything(file) == before
    with closing(sqlite3.connect(file)) as connection:
        now = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
        sequences = connection.execute("SELECT * FROM sqlite_sequence").fetchall()
    assert [row for row in now if row[1] != "sqlite_sequence"] == [
        row for row in master if row[1] != "sqlite_sequence"
    ]
    assert sequences == ([("c", 7)] if counted else [])


def test_a_sqlite_file_that_is_a_device_too_stays_one(tmp_path: Path) -> None:
    """The centre's tables go, those of a replica in the same file stay."""
    upper, middle = tmp_path / "upper.db", tmp_path / "middle.db"
    with closing(sqlite3.connect(upper)) as connection:
        connection.executescript("CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
    with syncline.Hub(f"sqlite:///{upper}") as hub:
        hub.init()
        syncline.clone(hub, middle).close()
        before = everything(middle)
        with syncline.Hub(f"sqlite:///{middle}") as below:
            below.init()
            below.remove()
        assert everything(middle) == before
        with syncline.connect(str(middle), hub=hub) as replica:
            replica.sync()


def test_a_view_on_syncline_tables_is_not_broken_in_sqlite(tmp_path: Path) -> None:
    centre = SqliteCentre(tmp_path / "central.db")
    centre.run("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    database = open_sqlite(f"sqlite:///{centre.path}")
    database.catalogue.prepare(database.catalogue.reflect(None))
    centre.run("CREATE VIEW lag AS SELECT replica FROM _sync_hub_clients")
    with pytest.raises(DatabaseError, match="view lag") as caught:
        database.catalogue.remove()
    assert caught.value.code == "depended_on"
    centre.run("DROP VIEW lag")
    assert database.catalogue.remove().statements
    database.close()
