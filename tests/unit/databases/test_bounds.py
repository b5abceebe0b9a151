"""What a scan compares a key with, and who else is told to have changed a row."""

from __future__ import annotations

import pytest

from syncline.databases.base.bounds import Bound, between
from syncline.model.values import Value


def side(place: int, value: Value, number: int) -> tuple[str, str, Value]:
    return f"k{place}", f"${number}", value


@pytest.mark.parametrize(
    ("after", "upto", "tests", "bound"),
    [
        (None, None, [], []),
        (Bound((1, "a"), True), None, ["(k0, k1) > ($1, $2)"], [1, "a"]),
        (Bound((1,), False), None, ["(k0) >= ($1)"], [1]),
        (None, Bound((1, "a"), True), ["(k0, k1) <= ($1, $2)"], [1, "a"]),
        (None, Bound((1,), False), ["(k0) < ($1)"], [1]),
        (Bound((1,), True), Bound((2, "b"), True), ["(k0) > ($1)", "(k0, k1) <= ($2, $3)"], [1, 2, "b"]),
        (Bound((), False), Bound((), True), ["1 = 1", "1 = 1"], []),
        (Bound((), True), Bound((), False), ["1 = 0", "1 = 0"], []),
    ],
)
def test_a_row_lies_behind_one_point_and_not_behind_the_other(
    after: Bound | None, upto: Bound | None, tests: list[str], bound: list[Value]
) -> None:
    assert between(after, upto, side) == (tests, bound)
