"""What is legal before and after is accepted: rows of a push that trade unique values, in a SQLite centre."""

from __future__ import annotations

import pytest

from syncline.testing.conforms.centre import World
from tests.conformance.test_sqlite_capture import Make, make

__all__ = ["make"]


@pytest.mark.parametrize("rule", ["", "CHECK (v > 0)", "CHECK (v >= 0 AND v < 99)"])
@pytest.mark.parametrize("form", ["once", "again and again"])
def test_rows_may_trade_places(make: Make, rule: str, form: str) -> None:
    world: World = make(
        f"CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER NOT NULL UNIQUE {rule})",
        "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)",
    )
    start, stages = world.now(), [world.stage("update", "t", [[1, 3], [2, 1], [3, 2]])]
    if form != "once":
        stages = [world.stage("update", "t", [[1, 3]]), world.stage("update", "t", [[2, 1], [3, 2]])]
        stages[1].entries = [(number, 2, hlc) for number, hlc in enumerate(stages[1].hlc)]
    assert world.push(*stages) == []
    assert world.rows("t") == [[1, 3], [2, 1], [3, 2]]
    assert world.since(start, "r1") == {}, "third values are nobody's edits"


def test_a_new_row_takes_a_value_that_moves_and_a_flag_changes_its_row(make: Make) -> None:
    world: World = make(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, list, v INTEGER NOT NULL, is_default INTEGER NOT NULL)",
        "CREATE UNIQUE INDEX a ON t (list, v)",
        "CREATE UNIQUE INDEX b ON t (list, abs(v))",
        "CREATE UNIQUE INDEX c ON t (is_default) WHERE is_default = 1",
        "INSERT INTO t VALUES (1, 1, 1, 0), (2, 1, 2, 1)",
    )
    inserted = world.stage("insert", "t", [[3, 1, 1, 0]])
    assert world.push(inserted, world.stage("update", "t", [[1, 1, 2, 1], [2, 1, 3, 0]])) == []
    assert world.rows("t") == [[1, 1, 2, 1], [2, 1, 3, 0], [3, 1, 1, 0]]


def test_a_long_drag_takes_no_longer_than_its_rows(make: Make) -> None:
    world: World = make("CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER NOT NULL UNIQUE)")
    assert world.push(world.stage("insert", "t", [[n, n] for n in range(2000)])) == []
    assert world.push(world.stage("update", "t", [[n, (n + 1) % 2000] for n in range(2000)])) == []
    assert world.rows("t")[:2] == [[0, 1], [1, 2]]
