"""Known tables that have changed are taken each when it is free (laws L4, L13)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

import syncline
from syncline.databases.base import preparing
from syncline.databases.postgresql import PostgresDatabase, open_database
from syncline.errors import Conflict
from syncline.hub.contract import Tuning
from tests.support.application import sql

Session = psycopg.Connection[Any]
Taking = Callable[[syncline.Hub], None]


def initialise(hub: syncline.Hub) -> None:
    hub.init()


def look(hub: syncline.Hub) -> None:
    hub.look()


def create(session: Session, count: int) -> None:
    for n in range(count):
        session.execute(f"CREATE TABLE t{n} (id int PRIMARY KEY, v text)")
        session.execute(f"INSERT INTO t{n} VALUES (1, 'a')")


@pytest.fixture
def session(postgres_url: str) -> Iterator[Session]:
    """Another program's, which commits each statement and never waits for as long as a second."""
    with psycopg.connect(postgres_url, autocommit=True) as session:
        session.execute("SET lock_timeout = '1s'")
        yield session


@pytest.fixture
def database(postgres_url: str) -> PostgresDatabase:
    database = open_database(postgres_url, Tuning(lock_timeout=1))
    database.catalogue.look_seconds = 0.0
    return database


def columns(hub: syncline.Hub) -> dict[str, list[str]]:
    """As they are recorded."""
    return {table.name: [c.name for c in table.columns] for table in hub.database.catalogue.load().tables}


@contextmanager
def longest_wait(url: str) -> Iterator[list[timedelta]]:
    """The longest waits for locks that there are meanwhile, as PostgreSQL tells them."""
    asked = (
        "SELECT coalesce(max(clock_timestamp() - waitstart), '0 s') FROM pg_locks WHERE NOT granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    waits, end = [timedelta(0)], threading.Event()

    def watch() -> None:
        with psycopg.connect(url, autocommit=True) as watcher:
            while not end.is_set():
                waits.extend(wait for (wait,) in watcher.execute(asked).fetchall())

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(watch)
        try:
            yield waits
        finally:
            end.set()
            done.result()


@pytest.mark.parametrize("take", [initialise, look])
@pytest.mark.parametrize("change", ["ADD COLUMN n int", "DROP COLUMN w", "RENAME COLUMN w TO n"])
def test_l13_a_changed_table_that_is_held_keeps_no_other_one_and_nobody_waits_long(
    session: Session,
    database: PostgresDatabase,
    postgres_url: str,
    tmp_path: Path,
    take: Taking,
    change: str,
) -> None:
    """What others write meanwhile reaches devices."""
    create(session, 2)
    session.execute("ALTER TABLE t0 ADD COLUMN w int; ALTER TABLE t1 ADD COLUMN w int")
    with syncline.Hub(database) as hub:
        hub.init()
        with syncline.clone(hub, tmp_path / "a.db") as replica:
            before = columns(hub)
            session.execute(f"ALTER TABLE t0 {change}")
            session.execute(f"ALTER TABLE t1 {change}")
            with psycopg.connect(postgres_url) as holder, longest_wait(postgres_url) as waits:
                holder.execute("UPDATE t1 SET v = 'held' WHERE id = 1")
                written, taking = 1, threading.Event()

                def attempt() -> None:
                    try:
                        take(hub)
                    except Conflict as error:
                        assert '"public"."t1"' in error.detail and '"public"."t0"' not in error.detail
                        assert f"session {holder.info.backend_pid}" in error.detail
                    finally:
                        taking.set()

                with ThreadPoolExecutor(1) as pool:
                    done = pool.submit(attempt)
                    while not taking.is_set():
                        written += 1
                        session.execute(f"INSERT INTO t0 VALUES ({written}, 'b')")
                        session.execute(f"INSERT INTO t1 VALUES ({written}, 'b')")
                    done.result()
                recorded = columns(hub)
                assert recorded["t0"] != before["t0"] and recorded["t1"] == before["t1"]
                session.execute(
                    "UPDATE t0 SET v = 'late' WHERE id = 2; UPDATE t1 SET v = 'late' WHERE id = 2"
                )
                holder.commit()
            assert timedelta(0) < max(waits) < timedelta(seconds=0.9)
            take(hub)
            assert columns(hub)["t0"] == columns(hub)["t1"] == recorded["t0"]
            replica.sync()
            for n, first in enumerate(("a", "held")):
                rows = sql(tmp_path / "a.db", f"SELECT id, v FROM t{n} ORDER BY id LIMIT 2")
                assert rows == [(1, first), (2, "late")]
                assert sql(tmp_path / "a.db", f"SELECT count(*) FROM t{n}") == [(written,)]
            assert replica.verify().equal


def test_l13_a_device_works_with_the_one_that_is_taken_while_the_other_waits(
    session: Session, database: PostgresDatabase, postgres_url: str, tmp_path: Path
) -> None:
    create(session, 2)
    with syncline.Hub(database) as hub:
        hub.init()
        with syncline.clone(hub, tmp_path / "a.db") as replica, psycopg.connect(postgres_url) as holder:
            session.execute("ALTER TABLE t0 ADD COLUMN n int; ALTER TABLE t1 ADD COLUMN n int")
            holder.execute("UPDATE t1 SET v = 'held' WHERE id = 1")
            replica.sync()
            replica.sync()
            session.execute("INSERT INTO t0 VALUES (2, 'b', 3); INSERT INTO t1 VALUES (2, 'b', 3)")
            sql(tmp_path / "a.db", "UPDATE t0 SET n = 5 WHERE id = 1", "INSERT INTO t1 VALUES (7, 'mine')")
            assert replica.sync().push.rejected == ()
            assert sql(tmp_path / "a.db", "SELECT * FROM t0 ORDER BY id") == [(1, "a", 5), (2, "b", 3)]
            assert sql(tmp_path / "a.db", "SELECT * FROM t1 WHERE id > 1 ORDER BY id") == [
                (2, "b"),
                (7, "mine"),
            ]
            assert session.execute("SELECT * FROM t1 WHERE id = 7").fetchall() == [(7, "mine", None)]
            holder.commit()
            replica.sync()
            replica.sync()
            expected = [(1, "held", None), (2, "b", 3), (7, "mine", None)]
            assert sql(tmp_path / "a.db", "SELECT * FROM t1 ORDER BY id") == expected
            assert replica.verify().equal


def test_l13_many_that_are_free_one_after_the_other_are_not_held_together_for_a_second(
    session: Session, database: PostgresDatabase, postgres_url: str
) -> None:
    """Each is given up shortly after it is waited for: none of the waits is long, all together are."""
    count, stop = 18, threading.Event()
    create(session, count)
    with syncline.Hub(database) as hub:
        hub.init()
        for n in range(count):
            session.execute(f"ALTER TABLE t{n} ADD COLUMN n int")

        def give_up(holders: dict[str, Session]) -> None:
            asked = "SELECT relation::regclass::text FROM pg_locks WHERE NOT granted AND relation IS NOT NULL"
            with psycopg.connect(postgres_url, autocommit=True) as eye:
                while not stop.is_set():
                    for name in {name for (name,) in eye.execute(asked).fetchall()} & holders.keys():
                        time.sleep(0.06)
                        holders.pop(name).close()

        def write() -> None:
            with psycopg.connect(postgres_url, autocommit=True) as other:
                other.execute("SET lock_timeout = '1s'")
                while not stop.is_set():
                    other.execute("UPDATE t0 SET v = 'b'")
                    time.sleep(0.01)

        holders = {f"t{n}": psycopg.connect(postgres_url) for n in range(1, count)}
        for name, holder in holders.items():
            holder.execute(f"UPDATE {name} SET v = 'held'".encode())
        with ThreadPoolExecutor(2) as pool:
            beside = [pool.submit(give_up, holders), pool.submit(write)]
            try:
                while not prepared(hub):
                    assert not any(future.done() for future in beside)
            finally:
                stop.set()
            for future in beside:
                future.result()
        assert all(names == ["id", "v", "n"] for names in columns(hub).values())


def prepared(hub: syncline.Hub) -> bool:
    try:
        return bool(hub.init())
    except Conflict:
        return False


def test_l13_after_the_time_each_changed_table_is_taken_by_itself(
    session: Session, database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(session, 5)
    with syncline.Hub(database) as hub:
        hub.init()
        for n in range(5):
            session.execute(f"ALTER TABLE t{n} ADD COLUMN n int")
        ((versions,),) = session.execute("SELECT count(*) FROM syncline.versions").fetchall()
        monkeypatch.setattr(preparing, "HOLD_SECONDS", 0.0)
        prepared = hub.init()
        assert all(names == ["id", "v", "n"] for names in columns(hub).values())
        ((now,),) = session.execute("SELECT count(*) FROM syncline.versions").fetchall()
        assert now - versions > 1
        assert len([note for note in prepared.notes if "renewed" in note]) == 5
        assert hub.init().statements == []


def test_l13_tables_whose_rows_are_all_sent_anew_are_not_held_together(
    session: Session, database: PostgresDatabase
) -> None:
    session.execute("CREATE TYPE mood AS ENUM ('sad', 'ok')")
    for n in range(2):
        session.execute(
            f"CREATE TABLE t{n} (id int PRIMARY KEY, mood mood); INSERT INTO t{n} VALUES (1, 'sad')"
        )
    with syncline.Hub(database) as hub:
        hub.init()
        session.execute("ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'")
        hub.init()
    entries = "SELECT xid FROM syncline.log_0 UNION ALL SELECT xid FROM syncline.log_1"
    found = session.execute(entries).fetchall()
    assert len(found) == len(set(found)) == 2


def test_l13_a_table_that_goes_and_is_read_keeps_no_other_one(
    session: Session, database: PostgresDatabase, postgres_url: str
) -> None:
    create(session, 3)
    with syncline.Hub(postgres_url) as hub:
        hub.init()
    session.execute("ALTER TABLE t0 ADD COLUMN n int")
    tables = {"t0": syncline.Table(), "t2": syncline.Table()}
    with syncline.Hub(database, tables=tables) as hub:
        with psycopg.connect(postgres_url) as reader:
            reader.execute("SELECT FROM t1")
            with pytest.raises(
                Conflict, match=rf'^"public"."t1": in use by session {reader.info.backend_pid} '
            ):
                hub.init()
            assert columns(hub) == {"t0": ["id", "v", "n"], "t1": ["id", "v"], "t2": ["id", "v"]}
            session.execute("INSERT INTO t1 VALUES (2, 'b')")
        hub.init()
        assert columns(hub) == {"t0": ["id", "v", "n"], "t2": ["id", "v"]}
        assert hub.init().statements == []


FAMILY = (
    "CREATE TABLE parent (id int PRIMARY KEY, v text)",
    "CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent)",
    "CREATE TABLE alone (id int PRIMARY KEY)",
    "INSERT INTO parent VALUES (1, 'a'); INSERT INTO child VALUES (1, 1)",
)


@pytest.mark.parametrize(
    ("change", "held", "left"),
    [
        ("ALTER TABLE parent ADD n int; ALTER TABLE child ADD n int", "child", {"child"}),
        ("ALTER TABLE parent RENAME TO elder; ALTER TABLE child ADD n int", "child", {"child", "parent"}),
        ("ALTER TABLE parent RENAME TO elder; ALTER TABLE child ADD n int", "elder", {"child", "parent"}),
        ("ALTER TABLE parent RENAME TO x; ALTER TABLE child RENAME TO parent", "x", {"child", "parent"}),
        ("ALTER TABLE parent ADD n int UNIQUE; ALTER TABLE child ADD n int REFERENCES parent (n)", "parent",
         {"child", "parent"}),
        ("ALTER TABLE parent ADD n int UNIQUE; ALTER TABLE child ADD n int REFERENCES parent (n)", "child",
         {"child"}),
    ],
)  # fmt: skip
def test_l8_what_would_make_no_schema_is_taken_together(
    session: Session,
    database: PostgresDatabase,
    postgres_url: str,
    tmp_path: Path,
    change: str,
    held: str,
    left: set[str],
) -> None:
    """A foreign key that points nowhere, a name that two have: no version says so, not for a moment."""
    for statement in FAMILY:
        session.execute(statement.encode())
    with syncline.Hub(database) as hub:
        hub.init()
        with syncline.clone(hub, tmp_path / "a.db") as replica:
            before = {table.number: table for table in database.catalogue.load().tables}
            session.execute(change.encode())
            session.execute("ALTER TABLE alone ADD n int")
            with psycopg.connect(postgres_url) as holder:
                holder.execute(f"UPDATE {held} SET id = id".encode())
                with pytest.raises(Conflict):
                    hub.init()
                now = database.catalogue.load()
                assert {t.name for n, t in before.items() if now.by_number[n] == t} == left
                names = {table.name for table in now.tables}
                assert len(names) == 3
                assert {key.parent for table in now.tables for key in table.foreign_keys} <= names
            hub.init()
            assert all(now != before[n] for n, now in database.catalogue.load().by_number.items())
            replica.sync()
            assert replica.verify().equal
            assert hub.init().statements == []


def test_old_values_of_a_table_that_waits_stay_those_that_were_declared(
    session: Session, database: PostgresDatabase, postgres_url: str
) -> None:
    create(session, 2)
    session.execute("ALTER TABLE t0 ADD COLUMN w int; ALTER TABLE t1 ADD COLUMN w int")
    catalogue = database.catalogue
    kept = "SELECT kept_old FROM syncline.state"
    catalogue.prepare(catalogue.reflect(None), before={"t0": ["v"], "t1": ["v"]})
    with psycopg.connect(postgres_url) as holder:
        holder.execute("UPDATE t1 SET v = 'held'")
        with pytest.raises(Conflict):
            catalogue.prepare(catalogue.reflect(None), before={"t0": ["w"], "t1": ["w"]})
        assert session.execute(kept).fetchall() == [('{"0": [1], "1": [0]}',)]
        session.execute("UPDATE t0 SET v = 'b'; UPDATE t1 SET v = 'b' WHERE id > 1")
    catalogue.prepare(catalogue.reflect(None), before={"t0": ["w"], "t1": ["w"]})
    assert session.execute(kept).fetchall() == [('{"0": [1], "1": [1]}',)]
    database.close()
