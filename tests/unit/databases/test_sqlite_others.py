"""Whether others have written to a table of a SQLite centre: what the whole log says, for less."""

from __future__ import annotations

import random
import sqlite3
from typing import Any

import pytest

from syncline.databases.base import others
from syncline.databases.base.logtable import Others
from syncline.databases.sqlite.dialect import ledger_of
from syncline.model.scope import UNBOUNDED
from tests.unit.hub.desk import Desk

TABLES = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); CREATE TABLE u (id INTEGER PRIMARY KEY)"


def connection_of(desk: Desk) -> sqlite3.Connection:
    with desk.database.write(UNBOUNDED) as transaction:
        connection: sqlite3.Connection = transaction.rows.connection
        return connection


@pytest.mark.parametrize("seed", range(20))
def test_it_is_what_a_look_at_the_whole_log_says(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "FEW", 3)
    dice, connection = random.Random(seed), connection_of(Desk(TABLES))
    origins, insert = (
        ["hub", "a", "b", "c"],
        "INSERT INTO _sync_hub_log (tbl, op, hlc, origin) VALUES (?, 'U', 1, ?)",
    )
    for _ in range(60):
        connection.execute("BEGIN IMMEDIATE")
        often = dice.choice(origins)
        for _ in range(dice.randrange(8)):
            origin = often if dice.random() < 0.8 else dice.choice(origins)
            connection.execute(insert, (dice.randrange(3), origin))
        (end,) = connection.execute("SELECT coalesce(max(seq), 0) FROM _sync_hub_log").fetchone()
        table, origin, floor = dice.randrange(3), dice.choice(origins), dice.randint(0, end)
        found = connection.execute(
            "SELECT count(*) FROM _sync_hub_log WHERE tbl = ? AND origin <> ? AND seq > ?",
            (table, origin, floor),
        ).fetchone()[0]
        assert Others(ledger_of(connection)).has_others(table, origin, floor) == bool(found)
        connection.execute(dice.choice(["COMMIT", "COMMIT", "ROLLBACK"]))


def work_of(connection: sqlite3.Connection, device: Any) -> int:
    """How much SQLite does for a push, in hundreds of its steps."""
    steps = 0

    def counted() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.set_progress_handler(counted, 100)
    device.update("t", [1], {"a": "once more"})
    assert not device.push().wanted
    connection.set_progress_handler(None, 0)
    return steps


def test_a_push_of_a_device_that_never_pulls_costs_the_same_however_much_it_has_pushed() -> None:
    desk = Desk(TABLES)
    desk.sql(
        "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
        " SELECT i, 'x' FROM n"
    )
    one, connection = desk.device("one"), connection_of(desk)

    def many() -> None:
        for number in range(1, 2001):
            one.update("t", [number], {"a": "mine"})
        one.push()
        work_of(connection, one)  # goes through what is new, once

    many()
    first = work_of(connection, one)
    for _ in range(4):
        many()
    assert 0 < work_of(connection, one) <= first + 20
    desk.sql("UPDATE t SET a = 'theirs' WHERE id = 7")
    one.update("t", [7], {"a": "mine"})
    assert one.push().wanted == [[0, [7]]]
