"""The centre has a table, or a column, that the device did not know when it edited, and the hub has not
looked yet: nothing of what is there is lost unsaid, and no device is stuck by being told of it (L2, L3,
L12)."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

import syncline
from syncline.errors import TransportError
from syncline.protocol.messages import CommitPush, Limits, Push, Request, Response
from syncline.replica.replica import Replica
from syncline.replica.store import Store
from syncline.transports.local import LocalTransport
from tests.support.application import sql
from tests.support.either import centre_with, run

DDL = (
    "CREATE TABLE ord (id INTEGER PRIMARY KEY, note TEXT)",
    "CREATE TABLE part (id INTEGER PRIMARY KEY,"
    " ord INTEGER REFERENCES ord (id) ON DELETE CASCADE, amount INTEGER)",
    "CREATE TABLE tag (id INTEGER PRIMARY KEY)",
    "INSERT INTO ord VALUES (1, 'n'), (2, 'm')",
    "INSERT INTO part VALUES (1, 1, 5), (2, 2, 6)",
    "INSERT INTO tag VALUES (1), (2)",
)
POLICIES = {"SET NULL": "set_null", "SET DEFAULT": "set_default", "CASCADE": "cascade"}


def pay(action: str) -> list[str]:
    """A new table of the centre, with rows."""
    reference = f"INTEGER REFERENCES ord (id) ON DELETE {action}"
    return [
        f"CREATE TABLE pay (id INTEGER PRIMARY KEY, ord {reference}, amount INTEGER)",
        "INSERT INTO pay VALUES (1, 1, 9), (2, 2, 8)",
    ]


class Line(LocalTransport):
    """A connection to the hub that can lose the answers to pushes."""

    loses = False

    def send(self, request: Request) -> Response:
        answer = super().send(request)
        if self.loses and isinstance(request, (Push, CommitPush)):
            raise TransportError("the answer was lost")
        return answer


class Desk:
    """A centre, its hub, and a device."""

    def __init__(self, url: str, hub: syncline.Hub, file: Path) -> None:
        self.url, self.hub, self.file, self.line = url, hub, file, Line(hub)
        syncline.clone(hub, file).close()
        self.device = Replica(Store.open(file), lambda: self.line)

    def edit(self, *statements: str) -> None:
        """On the device, as an application does that lets its foreign keys work."""
        with closing(sqlite3.connect(self.file)) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            with connection:
                for statement in statements:
                    connection.execute(statement)
        time.sleep(0.05)

    def centre(self, *statements: str) -> None:
        run(self.url, *statements)
        time.sleep(0.05)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        if self.url.startswith("sqlite:///"):
            return [tuple(row) for row in sql(self.url.removeprefix("sqlite:///"), query)]
        with psycopg.connect(self.url) as connection:
            return list(connection.execute(query.encode()))

    def kept(self) -> list[tuple[Any, ...]]:
        """The conflicts, of which the operator is told the same."""
        mine, theirs = (
            [(note.table, note.key, note.column, note.policy, note.outcome) for note in notes]
            for notes in (self.device.conflicts(), self.hub.conflicts())
        )
        assert mine == theirs
        return mine


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return centre_with(request, request.param, tmp_path, *DDL)


@pytest.fixture(params=[1000, 1], ids=["in one piece", "in chunks"])
def desk(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> Iterator[Desk]:
    with syncline.Hub(url, limits=Limits(push_rows=request.param)) as hub:
        hub.init()
        made = Desk(url, hub, tmp_path / "one.db")
        with closing(made.device):
            yield made


@pytest.mark.parametrize("action", POLICIES)
def test_l12_what_a_delete_took_from_a_table_that_is_new_is_told_and_the_table_comes(
    desk: Desk, action: str
) -> None:
    desk.centre(*pay(action))
    desk.edit("DELETE FROM ord WHERE id = 1", "INSERT INTO ord VALUES (7, 'another')")
    report = desk.device.sync()
    assert (report.pending, report.push.rejected, report.push.conflicts) == (0, (), 1)
    column = None if action == "CASCADE" else "ord"
    assert desk.kept() == [("pay", [1], column, POLICIES[action], "replica")]
    left = [(2, 2, 8)] if action == "CASCADE" else [(1, None, 9), (2, 2, 8)]
    assert desk.rows("SELECT * FROM pay ORDER BY id") == left
    assert sql(str(desk.file), "SELECT * FROM pay ORDER BY id") == left
    assert desk.device.verify().equal


def test_a_preview_tells_what_a_delete_would_take_from_a_table_that_is_new(desk: Desk) -> None:
    desk.centre(*pay("CASCADE"))
    desk.hub.init()
    desk.edit("DELETE FROM ord WHERE id = 1")
    (note,) = desk.device.preview().conflicts
    assert (note.table, note.key, note.policy) == ("pay", [1], "cascade")
    assert sql(str(desk.file), "SELECT count(*) FROM ord") == [(1,)]
    assert desk.device.sync().push.conflicts == 1


@pytest.mark.parametrize("action", ["RESTRICT", "NO ACTION"])
def test_l12_a_delete_that_a_new_table_forbids_is_rejected_and_the_table_comes(
    desk: Desk, action: str
) -> None:
    desk.centre(*pay(action))
    desk.edit("DELETE FROM ord WHERE id = 1", "INSERT INTO ord VALUES (7, 'another')")
    (edit,) = desk.device.sync().push.rejected
    assert (edit.table, edit.key, edit.op, edit.code) == ("ord", (1,), "D", "foreign_key_violation")
    assert sql(str(desk.file), "SELECT id FROM ord, pay USING (id) ORDER BY id") == [(1,), (2,)]
    assert desk.device.verify().equal


@pytest.mark.parametrize("goes", [False, True], ids=["the table stays", "the table goes again"])
@pytest.mark.parametrize("action", ["SET NULL", "CASCADE"])
def test_l3_a_repeat_tells_the_same_of_a_table_that_the_device_never_had(
    desk: Desk, action: str, goes: bool
) -> None:
    desk.centre(*pay(action))
    desk.edit("DELETE FROM ord WHERE id = 1", "INSERT INTO ord VALUES (7, 'another')")
    desk.line.loses = True
    with pytest.raises(TransportError):
        desk.device.sync()
    desk.line.loses = False
    if goes:
        desk.centre("DROP TABLE pay")
        desk.hub.init(yes=True)
    report = desk.device.sync()
    assert (report.pending, report.push.conflicts) == (0, 1)
    ((table, key, *_),) = desk.kept()
    assert (table, key) == ("pay", [1])
    assert desk.rows("SELECT id FROM ord ORDER BY id") == [(2,), (7,)]
    assert desk.device.verify().equal


WRITES = {
    "a new column": ["ALTER TABLE part ADD COLUMN x TEXT", "UPDATE part SET x = 'new' WHERE id = 1"],
    "a new column among others": [
        "ALTER TABLE part ADD COLUMN x TEXT DEFAULT 'x'",
        "ALTER TABLE part RENAME COLUMN amount TO sum",
        "UPDATE part SET x = 'new' WHERE id = 1",
    ],
}


@pytest.mark.parametrize("written", WRITES)
def test_l2_what_was_written_into_a_column_that_is_new_is_not_lost_to_an_older_delete(
    desk: Desk, written: str
) -> None:
    desk.edit("DELETE FROM part WHERE id = 1", "UPDATE ord SET note = 'other' WHERE id = 2")
    desk.centre(*WRITES[written])
    assert desk.device.sync().push.conflicts == 1
    assert desk.kept() == [("part", [1], None, "newer_wins", "hub")]
    assert desk.rows("SELECT id, x FROM part WHERE id = 1") == [(1, "new")]
    desk.hub.init()
    desk.device.sync()
    assert sql(str(desk.file), "SELECT id, x FROM part WHERE id = 1") == [(1, "new")]
    assert desk.device.verify().equal


@pytest.mark.parametrize(
    "edits",
    [
        ["DELETE FROM part WHERE id = 1", "UPDATE ord SET note = 'other' WHERE id = 2"],
        ["DELETE FROM ord WHERE id = 1"],
        ["DELETE FROM ord WHERE id = 1", "INSERT INTO ord VALUES (1, 'back')"],
    ],
    ids=["by itself", "with its parent", "with a parent that is made anew"],
)
def test_l2_what_was_written_into_a_column_that_is_new_is_kept_where_a_younger_delete_wins(
    desk: Desk, edits: list[str]
) -> None:
    desk.centre(*WRITES["a new column"])
    desk.edit(*edits)
    assert desk.device.sync().push.conflicts == 1
    assert desk.kept() == [("part", [1], None, "newer_wins", "replica")]
    assert desk.rows("SELECT id FROM part") == [(2,)]
    assert desk.device.verify().equal


def test_l2_a_table_of_keys_alone_gets_a_column(desk: Desk) -> None:
    desk.edit("DELETE FROM tag WHERE id = 1", "DELETE FROM tag WHERE id = 2")
    desk.centre("ALTER TABLE tag ADD COLUMN name TEXT", "UPDATE tag SET name = 'new' WHERE id = 1")
    assert desk.device.sync().push.conflicts == 1
    assert desk.kept() == [("tag", [1], None, "newer_wins", "hub")]
    desk.hub.init()
    desk.device.sync()
    assert desk.rows("SELECT * FROM tag") == [(1, "new")] == sql(str(desk.file), "SELECT * FROM tag")


def test_edits_of_other_columns_do_not_meet_what_was_written_into_a_new_one(desk: Desk) -> None:
    desk.edit("UPDATE part SET amount = 50 WHERE id = 1", "UPDATE part SET amount = 60 WHERE id = 2")
    desk.centre(*WRITES["a new column"])
    assert desk.device.sync().push.conflicts == 0
    assert desk.rows("SELECT id, amount, x FROM part ORDER BY id") == [(1, 50, "new"), (2, 60, None)]
    assert desk.device.verify().equal


def test_what_changes_nothing_is_no_change_once_the_hub_has_looked(desk: Desk) -> None:
    desk.edit("DELETE FROM part WHERE id = 1", "DELETE FROM part WHERE id = 2")
    desk.centre("ALTER TABLE part ADD COLUMN x TEXT")
    desk.hub.init()
    desk.centre("UPDATE part SET amount = amount, x = x")
    assert desk.device.sync().push.conflicts == 0
    assert desk.rows("SELECT * FROM part") == []
