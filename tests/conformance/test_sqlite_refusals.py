"""Whose fault an error is in a SQLite centre: that of the row that raised it; the other rows go on."""

from __future__ import annotations

import pytest

from syncline.hub.contract import codes
from syncline.testing.conforms.centre import World
from tests.conformance.test_sqlite_capture import Make, make

__all__ = ["make"]


def checked(make: Make, *more: str) -> World:
    return make(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a)", "CREATE TABLE u (id INTEGER PRIMARY KEY)", *more
    )


NEGATIVE = "CREATE TRIGGER x BEFORE INSERT ON t WHEN NEW.a < 0 BEGIN"


@pytest.mark.parametrize(
    ("ddl", "code"),
    [
        (f"{NEGATIVE} SELECT RAISE(ABORT, 'no'); END", codes.TRIGGER),
        (f"{NEGATIVE} SELECT RAISE(FAIL, 'no'); END", codes.TRIGGER),
        (f"{NEGATIVE} SELECT json('{{'); END", codes.TRIGGER),
        ("CREATE UNIQUE INDEX x ON t (CASE WHEN a < 0 THEN json('{') ELSE id END)", codes.CONSTRAINT),
        ("CREATE INDEX x ON t (CASE WHEN a < 0 THEN abs(-9223372036854775807 - 1) END)", codes.CONSTRAINT),
    ],
    ids=["abort", "fail", "broken expression in a trigger", "index", "overflow"],
)  # fmt: skip
def test_what_a_row_raises_is_its_own(make: Make, ddl: str, code: str) -> None:
    world = checked(make, ddl)
    rows: list[list[object]] = [[number, number] for number in range(50)]
    rows[7][1] = rows[33][1] = -1
    refused = world.push(world.stage("insert", "t", rows))  # type: ignore[arg-type]
    assert [(one.row, one.code) for one in refused] == [(7, code), (33, code)]
    assert world.push_what_fits(world.stage("insert", "t", [[99, -1]])) == {("t", (99,))}


def test_a_broken_trigger_stops_the_rows_of_its_table_alone(make: Make) -> None:
    world = checked(make, "CREATE TRIGGER x AFTER INSERT ON t BEGIN INSERT INTO gone VALUES (1); END")
    stages = world.stage("insert", "t", [[1, 1]]), world.stage("insert", "u", [[1]])
    assert world.push_what_fits(*stages) == {("t", (1,))}
    assert world.rows("u") == [[1]]
