"""The hub's sessions are its own: no setting of the database, the role or another program's changes how
values are spelled (law L8), and none of the hub's is seen by others, also behind a pooler (law L13)."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

import syncline
from syncline.databases.postgresql import open_database
from syncline.databases.postgresql.session import SETTINGS
from syncline.hub.contract import Tuning
from tests.support.postgres import PostgresCentre

ITEM = "CREATE TABLE item (id int PRIMARY KEY, name text, iv interval, at timestamptz, r regclass, x xml)"
ROW = "INSERT INTO item VALUES ({}, 'Łódź', '1 day -02:00', '2026-01-02 03:04+00', 'item', '<a/>')"
SHOWN = ("Łódź", "P1DT-2H", "2026-01-02T03:04:00Z", "public.item", "<a/>")
WORRIES = (
    "client_encoding = 'latin1'",
    "intervalstyle = 'sql_standard'",
    "datestyle = 'SQL, DMY'",
    "timezone = 'Asia/Kathmandu'",
    "bytea_output = 'escape'",
    "extra_float_digits = 0",
    "xmloption = 'document'",
    "quote_all_identifiers = on",
    "search_path = pg_catalog",
    "transform_null_equals = on",
)
"""What an operator may have set for every session of a database."""


def run(device: syncline.Replica, *statements: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(device.file)) as connection, connection:
        for statement in statements:
            rows = connection.execute(statement).fetchall()
    return rows


def setting(connection: psycopg.Connection[tuple[object, ...]], name: str) -> object:
    row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
    assert row is not None
    return row[0]


def test_l8_no_setting_of_the_database_changes_what_travels(tmp_path: Path, postgres_url: str) -> None:
    centre, name = PostgresCentre(postgres_url), postgres_url.rpartition("/")[2]
    centre.run(ITEM, ROW.format(1), *(f'ALTER DATABASE "{name}" SET {worry}' for worry in WORRIES))
    with syncline.Hub(postgres_url) as hub:
        hub.init()
        device = syncline.clone(hub, tmp_path / "a.db")
        values = ", ".join(f"'{value}'" for value in SHOWN)
        run(device, *(f"INSERT INTO item VALUES ({n}, {values})" for n in range(2, 700)))
        assert device.sync().push.rejected == ()
        run(device, f"INSERT INTO item VALUES (1000, {values})")
        assert device.sync().push.rejected == ()
        assert run(device, "SELECT DISTINCT name, iv, at, r, x FROM item") == [SHOWN]
        assert device.verify().equal
    with psycopg.connect(postgres_url, client_encoding="utf8") as other:
        found = other.execute("SELECT name, count(*) FROM public.item GROUP BY 1").fetchall()
    assert found == [("Łódź", 700)]


def test_l13_behind_a_pooler_no_setting_is_left_to_other_programs(tmp_path: Path, pooled_url: str) -> None:
    """Two sessions of the server: what one program leaves in them, all others have."""
    centre = PostgresCentre(pooled_url)
    centre.run(ITEM, ROW.format(1))
    watched = [*SETTINGS, "lock_timeout", "statement_timeout", "search_path", "syncline.applying"]
    with psycopg.connect(pooled_url, autocommit=True, prepare_threshold=None) as other:
        other.execute("SET syncline.applying = ''")
        before = {one: setting(other, one) for one in watched}
        with syncline.Hub(pooled_url) as hub:
            hub.init()
            device = syncline.clone(hub, tmp_path / "a.db")
            other.execute("BEGIN")  # keeps the session that the hub has had until now
            run(device, "UPDATE item SET name = 'a'", "INSERT INTO item (id, iv) VALUES (2, 'P2DT-3H')")
            for _ in range(12):  # more often than a driver waits before it prepares by name
                assert device.sync().push.rejected == ()
                run(device, "UPDATE item SET name = name || 'a'")
            centre.run("INSERT INTO item (id, iv) VALUES (3, '3 days -04:00')")
            device.sync()
            other.execute("COMMIT")
            assert run(device, "SELECT iv FROM item") == [("P1DT-2H",), ("P2DT-3H",), ("P3DT-4H",)]
            assert device.verify().equal
        sessions = []
        with psycopg.connect(pooled_url) as second:
            other.execute("BEGIN")
            for connection in (other, second):
                sessions.append(connection.execute("SELECT pg_backend_pid()").fetchone())
                assert {one: setting(connection, one) for one in watched} == before
            other.execute("COMMIT")
        assert sessions[0] != sessions[1]


def test_l8_what_another_program_sets_in_a_shared_session_changes_nothing(
    tmp_path: Path, pooled_url: str
) -> None:
    PostgresCentre(pooled_url).run(ITEM, ROW.format(1))
    with (
        psycopg.connect(pooled_url, prepare_threshold=None) as one,
        psycopg.connect(pooled_url, prepare_threshold=None) as two,
    ):
        for other in (one, two):  # both sessions of the server, each held until both are set
            for worry in WORRIES[1:]:
                other.execute(f"SET {worry}".encode())
        one.commit()
        two.commit()
    with syncline.Hub(pooled_url) as hub:
        hub.init()
        device = syncline.clone(hub, tmp_path / "a.db")
        assert run(device, "SELECT name, iv, at, r, x FROM item") == [SHOWN]
        run(device, "UPDATE item SET name = 'b'")
        assert device.sync().push.rejected == ()
        assert device.verify().equal


@pytest.mark.parametrize("is_direct", [False, True])
def test_news_are_noticed_behind_a_pooler(pooled_url: str, postgres_url: str, is_direct: bool) -> None:
    """By looking, or on a connection past the pooler; nobody listens in a shared session."""
    PostgresCentre(postgres_url).run("CREATE TABLE item (id int PRIMARY KEY)")
    tuning = Tuning(direct=postgres_url if is_direct else "")
    with closing(open_database(pooled_url, tuning)) as database:
        database.catalogue.prepare(database.catalogue.reflect(None))
        with closing(database.watch()) as watch:
            assert not watch.wait(0.3)
            begun = time.monotonic()
            timer = threading.Timer(
                0.1, lambda: PostgresCentre(postgres_url).run("INSERT INTO item VALUES (1)")
            )
            timer.start()
            assert watch.wait(10)
            timer.join()
            assert time.monotonic() - begun < 5
            if is_direct:
                timer = threading.Timer(0.1, database.hint)
                timer.start()
                assert watch.wait(10)
                timer.join()
        with psycopg.connect(postgres_url) as other:
            other.autocommit = True
            sql = (
                "SELECT application_name FROM pg_stat_activity"
                " WHERE query LIKE 'LISTEN%' AND datname = current_database()"
            )
            until = time.monotonic() + 5  # a session that was closed is gone a moment later
            while (listening := other.execute(sql).fetchall()) and time.monotonic() < until:
                time.sleep(0.05)
    assert listening == []
