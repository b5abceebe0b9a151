"""Reflecting, preparing and removing on PostgreSQL: aloud, idempotent, nothing of the user's altered."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

import syncline
from syncline.databases.base import preparing
from syncline.databases.postgresql import PostgresDatabase, open_database
from syncline.errors import (
    ConfigurationError,
    Conflict,
    DatabaseError,
    DatabaseUnavailable,
    NotPrepared,
    SchemaError,
)
from syncline.hub.contract import Tuning
from syncline.model.scope import UNBOUNDED
from tests.support.postgres import PostgresCentre, PostgresServer


@pytest.fixture
def centre(postgres_url: str) -> PostgresCentre:
    return PostgresCentre(postgres_url)


@pytest.fixture
def database(centre: PostgresCentre) -> Iterator[PostgresDatabase]:
    database = centre.open()
    yield database
    database.close()


def catalogue(centre: PostgresCentre) -> list[tuple[object, ...]]:
    """The user's columns, constraints and indexes, and all triggers."""
    with centre.connect() as session:
        return session.execute(
            "SELECT attrelid::regclass::text, attname::text, atttypid::int, attnotnull FROM pg_attribute"
            " JOIN pg_class c ON c.oid = attrelid WHERE relnamespace = 'public'::regnamespace AND attnum > 0"
            " UNION ALL SELECT conrelid::regclass::text, pg_get_constraintdef(oid), 0, true"
            " FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
            " UNION ALL SELECT tgrelid::regclass::text, tgname::text, 0, true"
            " FROM pg_trigger WHERE NOT tgisinternal"
            " ORDER BY 1, 2"
        ).fetchall()


TABLES = (
    "CREATE TABLE parent (id int PRIMARY KEY, name varchar(20) NOT NULL UNIQUE)",
    "CREATE TABLE child (a int, b int, parent int REFERENCES parent ON DELETE CASCADE, PRIMARY KEY (b, a))",
)


def test_preparing_twice_does_nothing_the_second_time(
    centre: PostgresCentre, database: PostgresDatabase
) -> None:
    centre.run(*TABLES)
    schema = database.catalogue.reflect(None)
    first = database.catalogue.prepare(schema)
    assert "CREATE SCHEMA syncline" in first.statements[0]
    assert any("parent" in note for note in first.notes)
    hub = database.catalogue.hub_id
    again = database.catalogue.prepare(database.catalogue.reflect(None))
    assert (again.statements, again.notes) == ([], [])
    assert database.catalogue.hub_id == hub
    assert database.catalogue.load() == schema
    assert [table.name for table in schema.tables] == ["parent", "child"]


def test_a_dry_run_says_it_all_and_does_nothing(
    centre: PostgresCentre, database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """... of one transaction: on a slow machine the tables would be taken one after the other."""
    monkeypatch.setattr(preparing, "HOLD_SECONDS", math.inf)
    centre.run(*TABLES)
    before = catalogue(centre)
    schema = database.catalogue.reflect(None)
    said = database.catalogue.prepare(schema, dry_run=True)
    assert catalogue(centre) == before
    with pytest.raises(NotPrepared):
        database.catalogue.load()
    assert database.catalogue.prepare(schema).statements == said.statements


def test_preparing_and_removing_wait_for_those_who_write_and_keep_nobody_waiting(
    centre: PostgresCentre, database: PostgresDatabase
) -> None:
    """DDL has to wait for every open transaction on the table; who comes after it is not to wait as well."""
    centre.run(*TABLES)
    schema = database.catalogue.reflect(None)
    waiting = (
        "SELECT coalesce(max(clock_timestamp() - waitstart), '0 s') FROM pg_locks WHERE NOT granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    for work in (lambda: database.catalogue.prepare(schema), database.catalogue.remove):
        with psycopg.connect(centre.url) as writer, ThreadPoolExecutor(1) as pool:
            writer.execute("INSERT INTO parent VALUES (1, 'x')")
            future = pool.submit(work)
            waits, end = [], time.monotonic() + 1.5
            with centre.connect() as watcher:
                while time.monotonic() < end:
                    waits += [wait for (wait,) in watcher.execute(waiting).fetchall()]
            assert not future.done()
            writer.rollback()
            assert future.result().statements
            assert timedelta(0) < max(waits) < timedelta(seconds=0.9)


def test_a_lost_or_disabled_trigger_is_made_again(centre: PostgresCentre, database: PostgresDatabase) -> None:
    centre.run(*TABLES)
    database.catalogue.prepare(database.catalogue.reflect(None))
    intact = catalogue(centre)
    centre.run(
        "DROP TRIGGER syncline_update_0 ON parent", "ALTER TABLE child DISABLE TRIGGER syncline_insert_1"
    )
    renewed = database.catalogue.prepare(database.catalogue.reflect(None))
    assert [note for note in renewed.notes if "renewed" in note] == [
        'renewed the capture of "public"."parent"',
        'renewed the capture of "public"."child"',
    ]
    assert len([note for note in renewed.notes if "was missing: every device compares itself" in note]) == 2
    assert catalogue(centre) == intact
    assert database.catalogue.prepare(database.catalogue.reflect(None)).statements == []


def test_a_table_taken_out_is_no_longer_captured_and_numbers_stay(
    centre: PostgresCentre, database: PostgresDatabase
) -> None:
    centre.run(*TABLES, "CREATE TABLE zebra (id int PRIMARY KEY)")
    database.catalogue.prepare(database.catalogue.reflect(None))
    prepared = database.catalogue.prepare(database.catalogue.reflect(["parent", "zebra"]))
    assert 'stopped tracking "public"."child"' in prepared.notes
    assert [name for _, name, _, _ in catalogue(centre)].count("syncline_insert_0") == 1
    with centre.connect() as session:
        numbers = "SELECT central_name, n FROM syncline.tables ORDER BY n"
        assert session.execute(numbers).fetchall() == [("parent", 0), ("zebra", 2)]
    database.catalogue.prepare(database.catalogue.reflect(None))
    with centre.connect() as session:
        assert session.execute(numbers).fetchall() == [("parent", 0), ("zebra", 2), ("child", 3)]


def test_a_table_with_other_columns_keeps_its_log(centre: PostgresCentre, database: PostgresDatabase) -> None:
    centre.run(*TABLES)
    database.catalogue.prepare(database.catalogue.reflect(None))
    fingerprint = database.catalogue.load().fingerprint
    centre.run("ALTER TABLE parent ADD COLUMN more text")
    prepared = database.catalogue.prepare(database.catalogue.reflect(None))
    assert prepared.notes == ['renewed the capture of "public"."parent"']
    assert not any("DROP TABLE" in statement for statement in prepared.statements)
    assert database.catalogue.load().fingerprint != fingerprint
    centre.run("INSERT INTO parent VALUES (1, 'x', 'y')", "UPDATE parent SET more = 'z'")


def test_everything_that_cannot_take_part_is_named_with_the_reason(
    centre: PostgresCentre, database: PostgresDatabase
) -> None:
    centre.run(
        "CREATE TABLE keyless (id int)",
        "CREATE VIEW glance AS SELECT 1 AS id",
        "CREATE UNLOGGED TABLE fleeting (id int PRIMARY KEY)",
        "CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id)",
        "CREATE TABLE part PARTITION OF parts FOR VALUES FROM (0) TO (9)",
        "CREATE TABLE heirless (id int PRIMARY KEY)",
        "CREATE TABLE heir () INHERITS (heirless)",
        'CREATE TABLE twice (id int PRIMARY KEY, "ID" int)',
        "CREATE TABLE made (id int PRIMARY KEY GENERATED ALWAYS AS (1) STORED)",
        "CREATE TABLE sqlite_stat1 (id int PRIMARY KEY)",
        "CREATE SCHEMA one; CREATE TABLE one.both (id int PRIMARY KEY)",
        "CREATE SCHEMA two; CREATE TABLE two.both (id int PRIMARY KEY)",
        "CREATE TABLE fine (id int PRIMARY KEY)",
    )
    names = (
        "keyless glance fleeting part heirless heir twice made sqlite_stat1 both nothing Fine fine".split()
    )
    with pytest.raises(SchemaError) as error:
        database.catalogue.reflect(names)
    said = str(error.value)
    for words in (
        "public.keyless: has no primary key", "public.glance: is a view", "public.fleeting: is unlogged",
        "public.part: is a partition", "public.heirless: inherits", "public.heir: inherits",
        "public.twice: has columns that differ in case", "public.made: has a generated column",
        "public.sqlite_stat1: has a name that is reserved", "both: is in several schemas",
        "one.both, two.both", "nothing: there is no such table",
        "Fine: there is no such table; is public.fine meant?",
    ):  # fmt: skip
        assert words in said
    assert "public.fine:" not in said
    schema = database.catalogue.reflect(None)
    assert [table.name for table in schema.tables] == ["fine", "one_both", "parts", "two_both"]
    notes = database.catalogue.prepare(schema).notes
    assert any("left out public.keyless: has no primary key" in note for note in notes)


def test_tables_can_be_named_with_their_schema(centre: PostgresCentre, database: PostgresDatabase) -> None:
    centre.run(
        "CREATE SCHEMA one; CREATE TABLE one.t (id int PRIMARY KEY)", "CREATE TABLE t (id int PRIMARY KEY)"
    )
    assert [table.central_schema for table in database.catalogue.reflect(["one.t"]).tables] == ["one"]
    assert [table.central_schema for table in database.catalogue.reflect(["t"]).tables] == ["public"]
    assert [table.name for table in database.catalogue.reflect(["t", "one.t"]).tables] == [
        "one_t",
        "public_t",
    ]


def test_a_schema_says_what_a_device_needs(centre: PostgresCentre, database: PostgresDatabase) -> None:
    centre.run(
        "CREATE TABLE far (id int PRIMARY KEY)",
        "CREATE TABLE parent (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), code text, UNIQUE (code))",
        "CREATE TABLE child (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,"
        " parent uuid REFERENCES parent ON DELETE SET NULL ON UPDATE CASCADE DEFERRABLE,"
        " far int REFERENCES far, price numeric(10, 2) NOT NULL DEFAULT 0.5,"
        " ok boolean DEFAULT true, word text DEFAULT 'it''s',"
        " at timestamptz DEFAULT now(), later int UNIQUE DEFERRABLE, part int, EXCLUDE (part WITH =))",
        "CREATE UNIQUE INDEX ON child (word) WHERE ok",
        "CREATE UNIQUE INDEX ON child (lower(word))",
        "CREATE UNIQUE INDEX ON child (word, price)",
    )
    schema = database.catalogue.reflect(["parent", "child"])
    child = schema.table("child")
    assert child.key == ("id",)
    assert child.uniques == (("word", "price"),)
    assert schema.table("parent").uniques == (("code",),)
    (key,) = child.foreign_keys
    assert (key.columns, key.parent, key.parent_columns) == (("parent",), "parent", ("id",))
    assert (key.on_delete, key.on_update, key.deferrable) == ("SET NULL", "CASCADE", True)
    column = child.column
    assert (column("price").declared, column("price").default) == ("DECIMAL_TEXT$(10,2)", "'0.5'")
    assert (column("ok").default, column("word").default) == ("1", "'it''s'")
    assert (column("at").type, column("id").computed, column("id").nullable) == ("timestamptz", False, False)
    assert "devices do not check it" in database.catalogue.prepare(schema).notes[-1]


def test_rows_hidden_from_the_hub_by_a_policy_are_an_obstacle(centre: PostgresCentre) -> None:
    centre.run(
        "CREATE TABLE t (id int PRIMARY KEY, tenant text)",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        "DROP ROLE IF EXISTS plain",
        "CREATE ROLE plain LOGIN",
        "GRANT ALL ON t TO plain",
    )
    database = open_database(centre.url.replace("postgres@", "plain@"))
    with pytest.raises(SchemaError, match="BYPASSRLS"):
        database.catalogue.reflect(["t"])
    database.close()
    centre.run("DROP OWNED BY plain", "DROP ROLE plain")


def test_a_database_that_cannot_hold_every_text_is_refused(postgres_server: PostgresServer) -> None:
    with psycopg.connect(postgres_server.url, autocommit=True) as session:
        session.execute("DROP DATABASE IF EXISTS narrow")
        session.execute("CREATE DATABASE narrow ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    url = postgres_server.url.rpartition("/")[0] + "/narrow"
    with pytest.raises(DatabaseError, match="LATIN1"):
        open_database(url)
    postgres_server.drop(url)


def test_a_database_that_is_not_there_is_said_to_be_unreachable(postgres_url: str) -> None:
    with pytest.raises(DatabaseUnavailable):
        open_database("postgresql://nobody@127.0.0.1:9/none")
    with pytest.raises(DatabaseUnavailable, match="nowhere"):
        open_database(postgres_url.rpartition("/")[0] + "/nowhere")
    with pytest.raises(ConfigurationError):
        open_database("host=127.0.0.1")


def test_a_connection_that_was_cut_is_replaced(centre: PostgresCentre, database: PostgresDatabase) -> None:
    centre.run(*TABLES)
    database.catalogue.prepare(database.catalogue.reflect(None))
    with pytest.raises(DatabaseUnavailable), database.read(UNBOUNDED) as transaction:
        transaction.log.now()
        with centre.connect() as session:
            session.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        transaction.log.now()
    with database.read(UNBOUNDED) as transaction:
        transaction.log.now()


def test_what_is_read_before_preparing_is_refused(database: PostgresDatabase) -> None:
    for attempt in (
        database.catalogue.load,
        lambda: database.catalogue.hub_id,
        lambda: database.read(UNBOUNDED).__enter__(),
    ):
        with pytest.raises(NotPrepared):
            attempt()


def test_another_layout_is_not_prepared(centre: PostgresCentre, database: PostgresDatabase) -> None:
    centre.run(*TABLES)
    database.catalogue.prepare(database.catalogue.reflect(None))
    centre.run("UPDATE syncline.state SET layout = 0")
    with pytest.raises(NotPrepared, match="layout 0"):
        database.catalogue.load()


def test_two_that_prepare_at_once_follow_each_other(
    centre: PostgresCentre, database: PostgresDatabase
) -> None:
    centre.run(*TABLES)
    schema = database.catalogue.reflect(None)
    with psycopg.connect(centre.url) as other:
        other.execute("SELECT pg_advisory_xact_lock(7310579412345)")
        other.rollback()
        database.catalogue.prepare(schema)
    second = centre.open()
    assert second.catalogue.prepare(schema).statements == []
    second.close()


def test_l13_each_table_is_taken_when_it_is_free_and_who_holds_the_others_is_said(
    postgres_url: str, centre: PostgresCentre
) -> None:
    """A table that points at one that is held waits with it; one that is only read does not wait."""
    centre.run(
        *(f"CREATE TABLE t{n} (id int PRIMARY KEY)" for n in range(12)),
        "CREATE TABLE child (id int PRIMARY KEY, t5 int REFERENCES t5)",
        "CREATE TABLE one (id int PRIMARY KEY, two int)",
        "CREATE TABLE two (id int PRIMARY KEY, one int REFERENCES one)",
        "ALTER TABLE one ADD FOREIGN KEY (two) REFERENCES two",
    )
    with (
        psycopg.connect(postgres_url, application_name="report") as writer,
        psycopg.connect(postgres_url) as reader,
        syncline.Hub(postgres_url, tuning=Tuning(lock_timeout=1)) as hub,
    ):
        writer.execute("INSERT INTO t5 VALUES (1)")
        writer.execute("INSERT INTO two VALUES (1)")
        reader.execute("SELECT * FROM t7")
        with pytest.raises(
            Conflict, match=rf"in use by session {writer.info.backend_pid} .*\(report"
        ) as caught:
            hub.init()
        assert '"public"."t5"' in caught.value.detail
        assert '"public"."t7"' not in caught.value.detail
        taken = {table.name for table in hub.schema.tables}
        assert taken == {f"t{n}" for n in range(12) if n != 5}
        writer.rollback()
        hub.init()
        assert len(hub.schema.tables) == 15
        assert hub.init().statements == []


def test_a_unique_index_is_the_key_of_a_table_without_one(postgres_url: str, tmp_path: Path) -> None:
    centre = PostgresCentre(postgres_url)
    centre.run(
        "CREATE TABLE x (a int NOT NULL, b text NOT NULL, c int, UNIQUE (a, b))",
        "CREATE TABLE loose (a int UNIQUE, b int)",
        "INSERT INTO x VALUES (1, 'one', 1), (1, 'two', 2)",
    )
    with syncline.Hub(postgres_url, tables={"x": syncline.Table(key=["b", "a"])}) as hub:
        hub.init()
        device = syncline.clone(hub, tmp_path / "a.db")
        with closing(sqlite3.connect(device.file)) as app, app:
            app.execute("UPDATE x SET c = 9 WHERE b = 'one'")
            app.execute("INSERT INTO x VALUES (2, 'one', 3)")
            app.execute("DELETE FROM x WHERE b = 'two'")
        assert device.sync().push.rejected == ()
        centre.run("UPDATE x SET c = 10 WHERE a = 2")
        device.sync()
        assert device.verify().equal
    with centre.connect() as session:
        assert session.execute("SELECT * FROM x ORDER BY a").fetchall() == [(1, "one", 9), (2, "one", 10)]
    for table, key, said in (("x", ["a"], "no unique index on exactly"), ("loose", ["a"], "SET NOT NULL")):
        with syncline.Hub(postgres_url, tables={table: syncline.Table(key=key)}) as hub:
            with pytest.raises(SchemaError, match=said):
                hub.init()
            with pytest.raises(SchemaError, match=said):
                hub.check()


def test_notes_name_constraint_and_tables_and_partitions_are_none(
    centre: PostgresCentre, database: PostgresDatabase
) -> None:
    centre.run(
        "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9)",
        "CREATE TABLE far (id int UNIQUE)",
        "CREATE TABLE near (id int PRIMARY KEY, up int CONSTRAINT near_up REFERENCES far (id))",
    )
    planned = database.catalogue.prepare(database.catalogue.reflect(None), dry_run=True)
    assert not any("p1" in note for note in planned.notes)
    (note,) = [note for note in planned.notes if "devices do not check it" in note]
    assert note == (
        "public.near: the foreign key near_up (up) points at public.far, which takes no part;"
        " devices do not check it"
    )


def test_a_dry_run_is_complete(centre: PostgresCentre, database: PostgresDatabase) -> None:
    """Run by hand, its statements leave what `init` would leave, and nothing for it to do."""
    centre.run("CREATE TABLE t (id int PRIMARY KEY, a text)", 'CREATE TABLE "it\'s" (id int PRIMARY KEY)')
    planned = database.catalogue.prepare(database.catalogue.reflect(None), dry_run=True)
    centre.run(*planned.statements)
    database.catalogue.load()
    assert database.catalogue.prepare(database.catalogue.reflect(None)).statements == []


def test_a_key_is_known_when_the_table_has_another_name_and_serve_still_starts(postgres_url: str) -> None:
    centre = PostgresCentre(postgres_url)
    centre.run("CREATE TABLE x (a int NOT NULL UNIQUE, c int)")
    tables = {"x": syncline.Table(key=["a"])}
    with syncline.Hub(postgres_url, tables=tables) as hub:
        hub.init()
        centre.run("ALTER TABLE x RENAME TO y")
        time.sleep(2.1)  # so often it looks
        assert [table.name for table in hub.schema.tables] == ["y"]
        hub.check()
    with syncline.Hub(postgres_url, tables=tables) as hub:
        hub.check()
