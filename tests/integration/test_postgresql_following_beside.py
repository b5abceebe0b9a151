"""A hub follows changed tables beside other programs: what they wait for, and what it waits for (law L13)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import syncline
from syncline.databases.postgresql import open_database
from syncline.hub.contract import Database
from tests.support.application import sql

TABLES = 4
Session = psycopg.Connection[Any]


@pytest.fixture
def session(postgres_url: str) -> Iterator[Session]:
    """Another program's, which commits each statement unless it has begun a transaction."""
    with psycopg.connect(postgres_url, autocommit=True) as session:
        for n in range(TABLES):
            session.execute(f"CREATE TABLE t{n} (id int PRIMARY KEY, v text)")
            session.execute(f"INSERT INTO t{n} VALUES (1, 'a')")
        yield session


@pytest.fixture
def database(postgres_url: str) -> Database:
    database = open_database(postgres_url)
    database.catalogue.look_seconds = 0.0  # type: ignore[misc]
    return database


def triggers(session: Session) -> set[int]:
    found = session.execute("SELECT oid::int8 FROM pg_trigger WHERE tgname ~ '^syncline_'")
    return {oid for (oid,) in found}


def add_columns(session: Session) -> None:
    for n in range(TABLES):
        session.execute(f"ALTER TABLE t{n} ADD COLUMN n int")


def columns(hub: syncline.Hub) -> set[tuple[str, ...]]:
    return {tuple(column.name for column in table.columns) for table in hub.schema.tables}


def test_l13_who_reads_does_not_keep_a_hub_from_following(
    session: Session, database: Database, postgres_url: str
) -> None:
    with syncline.Hub(database) as hub, psycopg.connect(postgres_url) as reader:
        hub.init()
        add_columns(session)
        reader.execute("SELECT FROM t0, t1, t2, t3")
        hub.look()
        assert columns(hub) == {("id", "v", "n")}


def test_l13_triggers_that_name_no_column_stay_when_a_column_comes(
    session: Session, database: Database, tmp_path: Path
) -> None:
    with syncline.Hub(database) as hub:
        hub.init()
        with syncline.clone(hub, tmp_path / "a.db") as replica:
            before = triggers(session)
            add_columns(session)
            hub.look()
            assert triggers(session) == before
            for n in range(TABLES):
                session.execute(f"UPDATE t{n} SET n = 7")
            replica.sync()
            for n in range(TABLES):
                assert sql(tmp_path / "a.db", f"SELECT id, v, n FROM t{n}") == [(1, "a", 7)]
            assert replica.verify().equal


def test_l13_what_a_transaction_writes_while_a_hub_would_follow_is_not_lost(
    session: Session, database: Database, postgres_url: str, tmp_path: Path
) -> None:
    """Its functions did not know the column, and its commit comes late: the hub waits for it."""
    with syncline.Hub(database) as hub:
        hub.init()
        with syncline.clone(hub, tmp_path / "a.db") as replica:
            add_columns(session)
            with psycopg.connect(postgres_url) as writer:
                writer.execute("UPDATE t2 SET n = 5")
                hub.look()
                replica.sync()
                assert [len(hub.schema.table(f"t{n}").columns) for n in range(TABLES)] == [3, 3, 2, 3]
            hub.look()
            replica.sync()
            assert columns(hub) == {("id", "v", "n")}
            assert sql(tmp_path / "a.db", "SELECT id, v, n FROM t2") == [(1, "a", 5)]
            assert replica.verify().equal


def test_a_trigger_of_ours_that_is_gone_or_asleep_is_made_again(session: Session, database: Database) -> None:
    with syncline.Hub(database) as hub:
        hub.init()
        before = triggers(session)
        session.execute("ALTER TABLE t0 ADD COLUMN n int, DISABLE TRIGGER ALL")
        named = "SELECT tgname FROM pg_trigger WHERE tgrelid = 't1'::regclass AND tgname LIKE '%delete%'"
        ((name,),) = session.execute(named).fetchall()
        session.execute(f"DROP TRIGGER {name} ON t1")
        hub.look()
        assert len(triggers(session)) == len(before)
        assert hub.database.catalogue.uncaptured() == []
