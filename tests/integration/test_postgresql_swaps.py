"""What is legal before and after is accepted: rows of one push that trade values which must differ."""

from __future__ import annotations

import pytest

from syncline.hub.contract import Stage
from syncline.model.values import Value
from syncline.testing.conforms.centre import World
from tests.support.postgres import Make


def split(world: World, rows: list[list[Value]]) -> list[Stage]:
    """One update edited once, in a stage of its own, and the others edited again and again."""
    single, repeated = world.stage("update", "t", rows[:1]), world.stage("update", "t", rows[1:])
    repeated.entries = [(number, 2, hlc) for number, hlc in enumerate(repeated.hlc)]
    return [single, repeated]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("int NOT NULL UNIQUE", [1, 2, 3]),
        ("int NOT NULL UNIQUE CHECK (v > 0)", [1, 2, 3]),
        ("int UNIQUE", [1, 2, 3]),
        ("int UNIQUE NULLS NOT DISTINCT", [1, 2, 3]),
        ("smallint NOT NULL UNIQUE CHECK (v BETWEEN 1 AND 9)", [1, 2, 3]),
        ("varchar(1) NOT NULL UNIQUE", ["x", "y", "z"]),
        ("date NOT NULL UNIQUE", ["2024-01-01", "2024-01-02", "2024-01-03"]),
        ("numeric(4,1) NOT NULL, EXCLUDE (v WITH =)", ["1.0", "2.0", "3.0"]),
        ("int4range NOT NULL, EXCLUDE USING gist (v WITH &&)", ["[1,5)", "[5,9)", "[9,12)"]),
        ("int NOT NULL UNIQUE DEFERRABLE", [1, 2, 3]),
    ],
)
@pytest.mark.parametrize("form", ["once", "again and again"])
def test_rows_may_trade_places(make: Make, column: str, values: list[Value], form: str) -> None:
    world = make(f"CREATE TABLE t (id int PRIMARY KEY, v {column})")
    assert world.push(world.stage("insert", "t", [[n, v] for n, v in enumerate(values)])) == []
    start, rows = world.now(), [[n, values[n - 1]] for n in range(3)]
    stages = [world.stage("update", "t", rows)] if form == "once" else split(world, rows)  # type: ignore[arg-type]
    assert world.push(*stages) == []
    assert world.rows("t") == rows
    assert world.since(start, "r1") == {}, "third values are nobody's edits"


def test_a_new_row_may_take_a_value_that_moves(make: Make) -> None:
    world = make(
        "CREATE TABLE t (id int PRIMARY KEY, list int, v int NOT NULL, UNIQUE (list, v))",
        "CREATE UNIQUE INDEX ON t ((v * 2)) WHERE list = 1",
        "INSERT INTO t VALUES (1, 1, 1), (2, 1, 2)",
    )
    stages = world.stage("insert", "t", [[3, 1, 1]]), world.stage("update", "t", [[1, 1, 2], [2, 1, 3]])
    assert world.push(*stages) == []
    assert world.rows("t") == [[1, 1, 2], [2, 1, 3], [3, 1, 1]]


def test_one_flag_moves_from_row_to_row(make: Make) -> None:
    world = make(
        "CREATE TABLE t (id int PRIMARY KEY, is_default bool NOT NULL)",
        "CREATE UNIQUE INDEX ON t (is_default) WHERE is_default",
        "INSERT INTO t VALUES (1, false), (2, true)",
    )
    assert world.push(world.stage("update", "t", [[1, 1], [2, 0]])) == []
    assert world.rows("t") == [[1, 1], [2, 0]]


def test_a_value_that_somebody_else_has_is_refused_and_the_trade_is_not(make: Make) -> None:
    world = make(
        "CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL UNIQUE)",
        "INSERT INTO t SELECT i, i FROM generate_series(1, 9) i",
    )
    assert world.push_what_fits(world.stage("update", "t", [[1, 2], [2, 1], [3, 9]])) == {("t", (3,))}
    assert world.rows("t")[:3] == [[1, 2], [2, 1], [3, 3]]
