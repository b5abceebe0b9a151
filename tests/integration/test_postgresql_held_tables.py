"""A table that another program holds exclusively (an open migration) delays its own edits alone, once, and
everybody says who holds it (laws L12, L13)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import psycopg
import pytest

import syncline
from syncline.server import create_app, serving
from tests.support.application import sql
from tests.support.held import PATIENCE, Session, centre, patient_hub
from tests.support.postgres import PostgresCentre

TABLES = (
    "CREATE TABLE a (id int PRIMARY KEY, n text)",
    "CREATE TABLE b (id int PRIMARY KEY, n text)",
    "CREATE TABLE child (id int PRIMARY KEY, a int REFERENCES a, n text)",
    "INSERT INTO a SELECT i, 'x' FROM generate_series(1, 5) i",
    "INSERT INTO b SELECT i, 'x' FROM generate_series(1, 5) i",
)
HOLDING = (
    "ALTER TABLE a ADD z int",
    "DROP TABLE a CASCADE",
    "TRUNCATE a CASCADE",
    "LOCK TABLE a IN ACCESS EXCLUSIVE MODE",
    "CREATE INDEX ON a (n)",
    "LOCK TABLE a IN EXCLUSIVE MODE",
)


@pytest.fixture
def hub(postgres_url: str) -> Iterator[syncline.Hub]:
    with patient_hub(postgres_url, *TABLES) as hub:
        yield hub


@pytest.fixture
def device(tmp_path: Path, hub: syncline.Hub) -> syncline.Replica:
    return syncline.clone(hub, tmp_path / "a.db")


@pytest.fixture
def other(postgres_url: str) -> Iterator[Session]:
    with psycopg.connect(postgres_url, application_name="migration") as connection:
        yield connection


@pytest.mark.parametrize("holding", HOLDING)
def test_edits_of_a_table_that_is_held_wait_and_the_others_go(
    postgres_url: str, device: syncline.Replica, other: Session, holding: str
) -> None:
    sql(device.file, "UPDATE a SET n = 'mine' WHERE id = 1", "UPDATE b SET n = 'mine' WHERE id = 1")
    sql(device.file, "INSERT INTO a VALUES (9, 'new')", "DELETE FROM a WHERE id = 3")
    other.execute(holding.encode())
    begun = time.monotonic()
    done = device.sync()
    assert PATIENCE <= time.monotonic() - begun < PATIENCE + 8
    assert {(edit.code, edit.table, edit.key) for edit in done.push.rejected} == {
        ("row_locked", "a", (1,)),
        ("row_locked", "a", (3,)),
        ("row_locked", "a", (9,)),
    }
    assert all(f"session {other.info.backend_pid}" in edit.detail for edit in done.push.rejected)
    assert centre(postgres_url, "SELECT n FROM b WHERE id = 1") == [("mine",)]
    assert sql(device.file, "SELECT id, n FROM a ORDER BY id") == [
        (1, "mine"),
        (2, "x"),
        (4, "x"),
        (5, "x"),
        (9, "new"),
    ]
    assert (device.status().pending, device.rejected()) == ({"a": 3}, [])
    other.rollback()
    assert device.sync().push.rejected == ()
    assert centre(postgres_url, "SELECT id, n FROM a WHERE id IN (1, 3, 9) ORDER BY 1") == [
        (1, "mine"),
        (9, "new"),
    ]


def test_rows_that_point_at_a_table_that_is_held_wait_and_what_needs_no_look_at_it_goes(
    postgres_url: str, device: syncline.Replica, other: Session
) -> None:
    sql(device.file, "INSERT INTO child VALUES (1, 2, 'c'), (2, 3, 'c')")
    device.push()
    sql(
        device.file,
        "INSERT INTO child VALUES (3, 2, 'c'), (4, NULL, 'c')",
        "UPDATE child SET a = 4 WHERE id = 1",
    )
    sql(device.file, "UPDATE child SET n = 'mine' WHERE id = 2")
    other.execute("ALTER TABLE a ADD z int")
    done = device.push().rejected
    assert {(edit.code, edit.table, edit.key) for edit in done} == {
        ("row_locked", "child", (1,)),
        ("row_locked", "child", (3,)),
        ("row_locked", "child", (4,)),
    }
    said = f"may point at table public.a, which is held by session {other.info.backend_pid}"
    assert all(said in edit.detail for edit in done)
    assert centre(postgres_url, "SELECT id, n FROM child ORDER BY 1") == [(1, "c"), (2, "mine")]
    other.rollback()
    assert device.push().rejected == ()
    assert centre(postgres_url, "SELECT a FROM child ORDER BY id") == [(4,), (3,), (2,), (None,)]


def test_a_delete_waits_while_the_table_that_may_point_at_it_is_held(
    postgres_url: str, device: syncline.Replica, other: Session
) -> None:
    sql(device.file, "DELETE FROM a WHERE id = 2", "UPDATE a SET n = 'mine' WHERE id = 1")
    other.execute("ALTER TABLE child ADD z int")
    (edit,) = device.push().rejected
    assert (edit.code, edit.table, edit.key) == ("row_locked", "a", (2,))
    assert (
        f"may be pointed at by table public.child, which is held by session {other.info.backend_pid}"
        in edit.detail
    )
    assert centre(postgres_url, "SELECT n FROM a WHERE id < 3 ORDER BY id") == [("mine",), ("x",)]
    assert sql(device.file, "SELECT id FROM a ORDER BY id") == [(1,), (3,), (4,), (5,)]


@pytest.mark.parametrize("holding", ["ALTER TABLE a ADD z int", "LOCK TABLE a IN SHARE MODE"])
def test_of_a_large_push_the_rows_of_the_table_that_is_held_wait(
    tmp_path: Path, postgres_url: str, hub: syncline.Hub, other: Session, holding: str
) -> None:
    hub.limits = msgspec.structs.replace(hub.limits, push_rows=300)
    device = syncline.clone(hub, tmp_path / "large.db")
    many = "WITH RECURSIVE n (i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)"
    sql(device.file, *(f"INSERT INTO {t} {many} SELECT i, 'new' FROM n" for t in ("a", "b")))
    sql(device.file, f"INSERT INTO child {many} SELECT i, i, 'new' FROM n WHERE i < 700")
    other.execute(holding.encode())
    done = device.push().rejected
    assert Counter(edit.table for edit in done) == {"a": 1491, "child": 690}
    assert {edit.code for edit in done} <= {"row_locked", "parent_rejected"}
    assert centre(postgres_url, "SELECT count(*) FROM b") == [(1496,)]
    assert device.status().pending == {"a": 1491, "child": 690}
    other.rollback()
    assert device.push().rejected == ()
    assert centre(postgres_url, "SELECT count(*) FROM child JOIN a ON a.id = child.a") == [(690,)]


def test_edits_that_others_have_met_wait_undecided(
    tmp_path: Path, postgres_url: str, hub: syncline.Hub, device: syncline.Replica, other: Session
) -> None:
    """What is contested is decided once the row can be read, and nothing of either edit is lost (law L2)."""
    second = syncline.clone(hub, tmp_path / "b.db")
    sql(second.file, "UPDATE a SET n = 'theirs' WHERE id IN (1, 2)", "DELETE FROM a WHERE id = 4")
    second.sync()
    sql(device.file, "UPDATE a SET n = 'mine' WHERE id IN (1, 4)", "DELETE FROM a WHERE id = 2")
    other.execute("ALTER TABLE a ADD z int")
    assert {edit.code for edit in device.push().rejected} == {"row_locked"}
    assert device.status().pending == {"a": 3}
    other.rollback()
    done = device.sync()
    assert done.push.rejected == ()
    assert len(device.conflicts()) == 3 or done.push.conflicts
    assert sql(device.file, "SELECT id, n FROM a ORDER BY id") == centre(
        postgres_url, "SELECT * FROM a ORDER BY id"
    )


def test_two_devices_that_push_at_once_both_get_their_answer(
    tmp_path: Path, postgres_url: str, hub: syncline.Hub, other: Session
) -> None:
    devices = [syncline.clone(hub, tmp_path / f"{n}.db") for n in range(2)]
    for n, device in enumerate(devices, 1):
        sql(device.file, f"UPDATE a SET n = 'd{n}' WHERE id = {n}", f"UPDATE b SET n = 'd{n}' WHERE id = {n}")
    other.execute("ALTER TABLE a ADD z int")
    with ThreadPoolExecutor() as threads:
        done = list(threads.map(lambda device: device.push(), devices))
    assert [[edit.code for edit in one.rejected] for one in done] == [["row_locked"]] * 2
    assert centre(postgres_url, "SELECT n FROM b WHERE id < 3 ORDER BY id") == [("d1",), ("d2",)]


def test_what_needs_the_rows_of_a_held_table_is_busy_and_names_it_and_the_session(
    tmp_path: Path, postgres_url: str, hub: syncline.Hub, device: syncline.Replica, other: Session
) -> None:
    """A pull with nothing new of the table goes on (laws L5, L12)."""
    PostgresCentre(postgres_url).run("UPDATE b SET n = 'theirs' WHERE id = 1")
    other.execute("ALTER TABLE a ADD z int")
    device.pull()
    assert sql(device.file, "SELECT n FROM b WHERE id = 1") == [("theirs",)]
    other.rollback()
    PostgresCentre(postgres_url).run("UPDATE a SET n = 'theirs' WHERE id = 1")
    PostgresCentre(postgres_url).run("UPDATE b SET n = 'theirs' WHERE id = 2")
    other.execute("ALTER TABLE a ADD z int")
    said = f"table public.a is held by session {other.info.backend_pid}"
    for ask in (device.pull, device.verify, lambda: syncline.clone(hub, tmp_path / "b.db")):
        with pytest.raises(syncline.SynclineError, match=said) as caught:
            ask()
        assert caught.value.code == "busy"
    assert sql(device.file, "SELECT n FROM b WHERE id = 2") == [("x",)]
    other.rollback()
    device.pull()
    assert sql(device.file, "SELECT n FROM b WHERE id = 2") == [("theirs",)]
    assert device.verify().equal


def test_what_waits_stays_pending_though_the_pull_behind_it_is_busy(
    postgres_url: str, device: syncline.Replica, other: Session
) -> None:
    PostgresCentre(postgres_url).run("UPDATE a SET n = 'theirs' WHERE id = 2")
    sql(device.file, "UPDATE a SET n = 'mine' WHERE id = 1", "UPDATE b SET n = 'mine' WHERE id = 1")
    other.execute("ALTER TABLE a ADD z int")
    with pytest.raises(syncline.SynclineError, match=r"table public\.a is held by session"):
        device.sync()
    assert centre(postgres_url, "SELECT n FROM b WHERE id = 1") == [("mine",)]
    assert (device.status().pending, device.rejected()) == ({"a": 1}, [])
    other.rollback()
    device.sync()
    assert centre(postgres_url, "SELECT n FROM a WHERE id = 1") == [("mine",)]


def test_doctor_and_init_answer_though_a_table_is_held(
    postgres_url: str, hub: syncline.Hub, other: Session
) -> None:
    other.execute("ALTER TABLE a ADD z int")
    other.execute("UPDATE b SET n = 'held' WHERE id = 1")
    pause = f"SELECT pg_sleep({PATIENCE})"
    centre(postgres_url, pause)
    found = [one.sentence for one in hub.examine() if one.code == "rows_held"]
    pid = other.info.backend_pid
    assert any(f"session {pid}" in one and '"public"."a"' in one for one in found)
    assert any(f"session {pid}" in one and '"public"."b" with the keys [1]' in one for one in found)
    PostgresCentre(postgres_url).run("CREATE TABLE late (id int PRIMARY KEY, a int)")
    hub.init()
    assert "late" in [table.name for table in hub.schema.tables]


PARTED = (
    "CREATE TABLE p (id int, year int, n text, PRIMARY KEY (id, year)) PARTITION BY LIST (year)",
    "CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)",
    "CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2)",
    "INSERT INTO p VALUES (1, 1, 'x'), (2, 2, 'x')",
)


@pytest.mark.parametrize("holding", ["TRUNCATE p1", "ALTER TABLE p DETACH PARTITION p1", "DROP TABLE p1"])
def test_a_partition_that_is_held_delays_edits_of_its_table_alone(
    tmp_path: Path, postgres_url: str, hub: syncline.Hub, other: Session, holding: str
) -> None:
    """Whoever looks at the catalogue for what was altered needs no table."""
    PostgresCentre(postgres_url).run(*PARTED)
    hub.init()
    device = syncline.clone(hub, tmp_path / "p.db")
    sql(device.file, "UPDATE p SET n = 'mine'", "UPDATE b SET n = 'mine' WHERE id = 1")
    PostgresCentre(postgres_url).run("UPDATE b SET n = 'theirs' WHERE id = 2")
    other.execute(holding.encode())
    PostgresCentre(postgres_url).run("ALTER TABLE b ADD z int")
    hub.look()
    done = device.sync().push.rejected
    assert {(edit.code, edit.table) for edit in done} == {("row_locked", "p")}
    assert all(f"session {other.info.backend_pid}" in edit.detail for edit in done)
    assert centre(postgres_url, "SELECT n FROM b WHERE id = 1") == [("mine",)]
    assert sql(device.file, "SELECT n FROM b WHERE id = 2") == [("theirs",)]
    with pytest.raises(syncline.SynclineError, match=r"table public\.p\d? is held by session") as caught:
        device.verify()
    assert caught.value.code == "busy"
    hub.examine()
    other.rollback()
    assert device.sync().push.rejected == ()
    assert centre(postgres_url, "SELECT DISTINCT n FROM p") == [("mine",)]


def test_a_table_that_a_trigger_writes_to_is_named_and_the_others_go(
    tmp_path: Path, postgres_url: str, hub: syncline.Hub, other: Session
) -> None:
    PostgresCentre(postgres_url).run(
        "CREATE TABLE audit (b int)",
        "CREATE FUNCTION audited() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO audit VALUES (NEW.id); RETURN NULL; END $$",
        "CREATE TRIGGER audited AFTER UPDATE ON b FOR EACH ROW EXECUTE FUNCTION audited()",
    )
    hub.init()
    device = syncline.clone(hub, tmp_path / "audit.db")
    sql(device.file, "UPDATE b SET n = 'mine'", "UPDATE a SET n = 'mine' WHERE id = 1")
    other.execute("ALTER TABLE audit ADD z int")
    done = device.sync().push.rejected
    assert {(edit.code, edit.table) for edit in done} == {("row_locked", "b")}
    said = f"waits: table public.audit is held by session {other.info.backend_pid}"
    assert [said in edit.detail for edit in done] == [True] * 5
    assert centre(postgres_url, "SELECT n FROM a WHERE id = 1") == [("mine",)]
    other.rollback()
    assert device.sync().push.rejected == ()
    assert centre(postgres_url, "SELECT count(*) FROM audit") == [(5,)]


def test_whoever_keeps_a_migration_waiting_is_named(
    postgres_url: str, device: syncline.Replica, other: Session
) -> None:
    """Behind one that waits for the table everybody waits."""
    sql(device.file, "UPDATE a SET n = 'mine' WHERE id = 1", "UPDATE b SET n = 'mine' WHERE id = 1")
    other.execute("SELECT * FROM a")
    with psycopg.connect(postgres_url) as migration, ThreadPoolExecutor() as threads:
        altering = threads.submit(migration.execute, "ALTER TABLE a ADD z int")
        waits = f"SELECT count(*) FROM pg_locks WHERE pid = {migration.info.backend_pid} AND NOT granted"
        while centre(postgres_url, waits) == [(0,)]:
            pass
        try:
            rejected = device.push().rejected
        finally:
            other.rollback()
        altering.result()
        migration.rollback()
    assert [edit.table for edit in rejected] == ["a"]
    assert f"a [1] is held by session {other.info.backend_pid}" in rejected[0].detail
    assert centre(postgres_url, "SELECT n FROM b WHERE id = 1") == [("mine",)]


def test_a_clone_over_the_network_is_told_which_table_is_held(
    tmp_path: Path, hub: syncline.Hub, other: Session
) -> None:
    other.execute("ALTER TABLE a ADD z int")
    with serving(create_app(hub)) as url:
        with pytest.raises(syncline.SynclineError, match=r"table public\.a is held by session") as caught:
            syncline.clone(url, tmp_path / "b.db")
        assert caught.value.code == "busy"
        other.rollback()
        syncline.clone(url, tmp_path / "b.db").close()
