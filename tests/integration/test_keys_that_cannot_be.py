"""Keys that a column's type cannot hold, or would hold in another spelling: such a row is rejected, or there
is nothing to do for it; whatever else is pushed is written (L2, L8)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

import syncline
from syncline import Hub
from syncline.model.scope import UNBOUNDED
from syncline.model.values import Value
from syncline.protocol.messages import Limits
from tests.unit.hub.desk import Device

DDL = (
    "CREATE TABLE item (id integer PRIMARY KEY, name text); CREATE TABLE other (id integer PRIMARY KEY);"
    "CREATE TABLE line (a text NOT NULL, b smallint NOT NULL, name text, PRIMARY KEY (a, b));"
    "CREATE TABLE word (k text NOT NULL PRIMARY KEY, name text);"
    "CREATE TABLE ratio (f double precision NOT NULL PRIMARY KEY, name text);"
    "INSERT INTO item VALUES (1, 'one'); INSERT INTO line VALUES ('p', 1, 'one');"
    "INSERT INTO word VALUES ('2', 'two'); INSERT INTO ratio VALUES (9007199254740992, 'large')"
)
SPANS = "CREATE TABLE span (k interval PRIMARY KEY, name text); INSERT INTO span VALUES ('1 day', 'a day')"
"""Only PostgreSQL reads these keys."""

UNHELD: list[tuple[str, list[Value]]] = [
    ("item", [3_000_000_000]),
    ("item", ["x"]),
    ("item", [1.5]),
    ("item", [2**40]),
    ("item", [b"\x01"]),
    ("line", ["p", 99_999]),
    ("line", ["p\0", 1]),
    ("word", ["a\0b"]),
    ("word", [2]),
    ("span", ["soon"]),
    ("span", [1]),
]
"""Keys that no row of the table can have over PostgreSQL."""

MISSPELLED = {
    "sqlite": [
        ("word", [2]),
        ("item", ["1"]),
        ("item", [" 1 "]),
        ("ratio", [2**53 + 1]),
        ("line", ["p", "1"]),
    ],
    "postgresql": [("span", ["24:00:00"]), ("span", ["1 day"])],
}
"""Keys that are another spelling of a row that is there."""

OPS = ("D", "-", "U", "I", "R")


@pytest.fixture
def postgresql(postgres_url: str) -> Iterator[Hub]:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"{DDL}; {SPANS}".encode())
    with Hub(postgres_url, limits=Limits(push_rows=10)) as hub:
        hub.init()
        yield hub


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Hub]:
    with closing(sqlite3.connect(tmp_path / "centre.db")) as connection:
        connection.executescript(DDL)
    with Hub(f"sqlite:///{tmp_path / 'centre.db'}", limits=Limits(push_rows=10)) as hub:
        hub.init()
        yield hub


def pushed(hub: Hub, number: int, op: str, table: str, key: list[Value]) -> tuple[list[Any], int]:
    """Push a change of a row and an insert beside it: the rejections as (code, table, key), and how many rows
    the hub wants to know more of."""
    device = Device(hub, f"r{number}")
    device.insert("other", 1000 + number)
    if op == "U":
        device.update(table, key, {"name": "new"})
    elif op in ("I", "R"):
        device.insert(table, *key, "new", op=op)
    else:
        device.delete(table, *key, op=op)
    verdict = device.push()
    names = {one.number: one.name for one in hub.schema.tables}
    return [(one.code, names[one.table], list(one.key)) for one in verdict.rejected], len(verdict.wanted)


def rows(hub: Hub, table: str) -> list[list[Any]]:
    """What a new device is given of a table."""
    with hub.database.read(UNBOUNDED) as transaction:
        return transaction.rows.chunk(hub.schema.number_of(table), None, 1000)


def test_what_cannot_be_is_deleted_already_and_otherwise_rejected(postgresql: Hub) -> None:
    number = 0
    for table, key in UNHELD:
        for op in OPS:
            number += 1
            expected = [] if op in ("D", "-") else [("invalid_value", table, key)]
            assert pushed(postgresql, number, op, table, key) == (expected, 0), (op, table, key)
    assert len(rows(postgresql, "other")) == number
    assert rows(postgresql, "item") == [[1, "one"]]
    assert rows(postgresql, "word") == [["2", "two"]]


@pytest.mark.parametrize("centre", MISSPELLED)
def test_another_spelling_of_a_key_is_rejected(centre: str, request: pytest.FixtureRequest) -> None:
    hub: Hub = request.getfixturevalue(centre)
    before = {table: rows(hub, table) for table, _ in MISSPELLED[centre]}
    number = 0
    for table, key in MISSPELLED[centre]:
        for op in OPS:
            number += 1
            expected = [] if op == "-" else [("invalid_value", table, key)]
            assert pushed(hub, number, op, table, key) == (expected, 0), (op, table, key)
    assert len(rows(hub, "other")) == number
    assert {table: rows(hub, table) for table in before} == before


def test_a_whole_number_that_a_float_key_rounds_is_rejected(postgresql: Hub) -> None:
    for number, op in enumerate(OPS):
        expected = [] if op in ("D", "-") else [("invalid_value", "ratio", [2**53 + 1])]
        assert pushed(postgresql, number, op, "ratio", [2**53 + 1]) == (expected, 0), op
    assert rows(postgresql, "ratio") == [[2.0**53, "large"]]


def test_a_key_is_still_found_in_the_spelling_that_is_its_own(sqlite: Hub) -> None:
    own: list[tuple[str, list[Value]]] = [
        ("word", ["2"]),
        ("item", [1.0]),
        ("ratio", [2**53]),
        ("line", ["p", 1]),
    ]
    for number, (table, key) in enumerate(own):
        assert pushed(sqlite, number, "U", table, key) == ([], 0), (table, key)
        assert [row[-1] for row in rows(sqlite, table)] == ["new"]
        assert pushed(sqlite, 100 + number, "D", table, key)[0] == []


EDITS: dict[str, Callable[[sqlite3.Connection], Any]] = {
    "deleted": lambda app: app.executescript(
        "INSERT INTO item VALUES (3000000000, 'x'); DELETE FROM item WHERE id > 1;"
        "INSERT INTO line VALUES ('p', 99999, 'x'); DELETE FROM line WHERE b > 1;"
        "INSERT INTO word VALUES ('a' || char(0), 'x'); DELETE FROM word WHERE k <> '2';"
        "INSERT INTO span VALUES ('soon', 'x'); DELETE FROM span WHERE k = 'soon'"
    ),
    "corrected": lambda app: app.executescript(
        "INSERT INTO item VALUES (3000000000, 'x'); UPDATE item SET id = 30 WHERE id > 1;"
        "INSERT INTO line VALUES ('p', 99999, 'x'); UPDATE line SET b = 30 WHERE b > 1;"
        "INSERT INTO word VALUES ('a' || char(0), 'x'); UPDATE word SET k = '30' WHERE k <> '2';"
        "INSERT INTO span VALUES ('soon', 'x'); UPDATE span SET k = '2 days' WHERE k = 'soon'"
    ),
}


@pytest.mark.parametrize("beside", [1, 35], ids=["small", "chunked"])
@pytest.mark.parametrize("edit", EDITS)
def test_a_device_goes_on_after_a_key_that_was_taken_back(
    postgresql: Hub, tmp_path: Path, edit: str, beside: int
) -> None:
    with syncline.clone(postgresql, tmp_path / "device.db") as device:
        with closing(sqlite3.connect(device.file, isolation_level=None)) as app:
            EDITS[edit](app)
            app.executemany("INSERT INTO other VALUES (?)", [(n,) for n in range(beside)])
        report = device.sync()
        assert (report.push.rejected, report.pending) == ((), 0)
        assert device.verify().equal
    assert len(rows(postgresql, "other")) == beside
    count = 2 if edit == "corrected" else 1
    assert [len(rows(postgresql, name)) for name in ("item", "line", "word", "span")] == [count] * 4


@pytest.mark.parametrize("beside", [1, 35], ids=["small", "chunked"])
def test_values_that_cannot_be_do_not_stop_a_device(postgresql: Hub, tmp_path: Path, beside: int) -> None:
    with syncline.clone(postgresql, tmp_path / "device.db") as device:
        with closing(sqlite3.connect(device.file, isolation_level=None)) as app:
            app.execute("INSERT INTO item VALUES (3000000000, 'x')")
            app.execute("UPDATE line SET b = 99999")
            app.execute("DELETE FROM word")
            app.execute("INSERT INTO word VALUES ('2', 'a' || char(0))")
            app.executemany("INSERT INTO other VALUES (?)", [(n,) for n in range(beside)])
        report = device.sync()
        assert {(one.table, one.code) for one in report.push.rejected} == {
            ("item", "invalid_value"), ("line", "invalid_value"), ("word", "invalid_value")
        }  # fmt: skip
        assert report.pending == 0
    assert len(rows(postgresql, "other")) == beside
