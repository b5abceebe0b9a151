"""A sync with nothing to do: it waits for nobody, and costs the same however many tables there are."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import syncline

MOST = 34
"""Statements in the device file that a sync with nothing to do takes at most."""


def centre(folder: Path, tables: int) -> str:
    file = folder / "centre.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        for number in range(tables):
            connection.execute(f"CREATE TABLE t{number} (id INTEGER PRIMARY KEY, a TEXT)")
            connection.execute(f"INSERT INTO t{number} VALUES (1, 'a')")
    return f"sqlite:///{file}"


@pytest.mark.parametrize("tables", [1, 250])
def test_a_sync_with_nothing_to_do_asks_the_file_a_few_things_however_many_tables_there_are(
    tmp_path: Path, tables: int
) -> None:
    with syncline.Hub(centre(tmp_path, tables)) as hub:
        hub.init()
        with syncline.clone(hub, tmp_path / "device.db") as replica:
            replica.sync()
            asked: list[str] = []
            replica._store._connection.set_trace_callback(asked.append)
            replica.sync()
    assert 0 < len(asked) <= MOST


def test_a_sync_with_nothing_to_do_does_not_wait_for_a_program_that_writes(tmp_path: Path) -> None:
    with syncline.Hub(centre(tmp_path, 2)) as hub:
        hub.init()
        with syncline.clone(hub, tmp_path / "device.db") as replica:
            replica.sync()
            with closing(sqlite3.connect(tmp_path / "device.db", isolation_level=None)) as application:
                application.execute("BEGIN IMMEDIATE")
                application.execute("UPDATE t0 SET a = 'mine'")
                assert replica.sync().pull.written == 0
                application.execute("COMMIT")
            assert replica.sync().push.sent == 1


def test_when_it_was_synced_is_noted_once_a_minute_where_nothing_came(tmp_path: Path) -> None:
    with syncline.Hub(centre(tmp_path, 1)) as hub:
        hub.init()
        with syncline.clone(hub, tmp_path / "device.db") as replica:
            replica.sync()
            noted = replica.status().last_sync
            replica.sync()
            assert replica.status().last_sync == noted
            with closing(sqlite3.connect(tmp_path / "device.db")) as connection, connection:
                for moment in ("2020-01-01T00:00:00.000Z", "2999-01-01T00:00:00.000Z"):
                    connection.execute("UPDATE _sync_state SET last_sync = ?", (moment,))
                    connection.commit()
                    replica.sync()
                    assert (
                        str(replica.status().last_sync)[:2] == "20" and replica.status().last_sync != moment
                    )
