"""How far a counter behind keys follows the keys that devices give (law L13)."""

from __future__ import annotations

import pytest

from syncline.databases.base.counters import NEAR, reach


@pytest.mark.parametrize(
    ("last", "keys", "far"),
    [
        (0, [], 0),
        (5, [3, 4, 5], 5),
        (5, [7, 6], 7),
        (5, [6, "a text", None, 8], 8),
        (0, [NEAR, 2 * NEAR, 3 * NEAR], 3 * NEAR),
        (0, [1, NEAR + 2], 1),
        (7, [2**63 - 1], 7),
    ],
)
def test_a_counter_follows_keys_that_are_near_to_what_it_has_reached(
    last: int, keys: list[object], far: int
) -> None:
    assert reach(last, keys) == far
