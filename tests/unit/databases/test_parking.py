"""Third values of rows that trade unique ones: one column an index, the likeliest first."""

from __future__ import annotations

from syncline.databases.base.parking import UniqueColumn, third_values, ways


def test_null_in_a_column_that_points_nowhere_is_tried_first() -> None:
    foreign = UniqueColumn("i", 1, nullable=True, foreign=True, values=["0"])
    strict = UniqueColumn("i", 2, nullable=False, foreign=False, values=["'x'"])
    loose = UniqueColumn("i", 3, nullable=True, foreign=False, values=["'y'"])
    (found,) = ways([foreign, strict, loose])
    assert found == [(3, "NULL"), (3, "'y'"), (2, "'x'"), (1, "NULL")]


def test_an_index_of_which_no_column_can_hold_anything_else_is_left_out() -> None:
    assert ways([UniqueColumn("i", 1, nullable=False, foreign=True, values=["0"])]) == []


def test_each_index_takes_its_next_way_in_each_round_and_keeps_its_last() -> None:
    found = ways(
        [
            UniqueColumn("one", 1, nullable=True, foreign=False, values=["a"]),
            UniqueColumn("two", 2, nullable=False, foreign=False, values=["b", "c", "d"]),
        ]
    )
    rounds = [dict(third_values(found, round_)) for round_ in range(3)]
    assert rounds == [{1: "NULL", 2: "b"}, {1: "a", 2: "c"}, {1: "a", 2: "d"}]


def test_a_column_of_two_indexes_holds_one_value() -> None:
    found = ways([UniqueColumn(i, 1, nullable=False, foreign=False, values=[i]) for i in ("first", "second")])
    assert third_values(found, 0) == {1: "first"}
