"""Which log entries a later one covers."""

from __future__ import annotations

from typing import Any

import pytest

from syncline.hub.contract.compaction import LogEntry, covered


def log(*entries: tuple[str, str, int, int, str]) -> list[Any]:
    """(row, op, mask, HLC, origin) each; the numbers of those covered."""
    return sorted(covered([LogEntry(place, *entry) for place, entry in enumerate(entries)]))


@pytest.mark.parametrize(
    ("later", "gone"),
    [
        (("x", "U", 3, 9, "r1"), True),
        (("x", "U", 7, 9, "hub"), True),
        (("x", "D", 7, 9, "r1"), True),
        (("x", "R", 7, 5, "r1"), True),
        (("x", "U", 1, 9, "r1"), False),
        (("x", "U", 3, 9, "r2"), False),
        (("x", "U", 3, 4, "r1"), False),
        (("x", "U", 3, 5, "hub"), False),
        (("y", "U", 3, 9, "r1"), False),
        (("x", "d", 0, 9, "r1"), True),
        (("x", "i", 7, 9, "r1"), True),
        (("x", "i", 1, 9, "r1"), False),
        (("x", "M", 7, 9, "hub"), False),
    ],
)
def test_an_update_is_covered_by_what_says_as_much(later: tuple[str, str, int, int, str], gone: bool) -> None:
    """('hub', 5) is lower than ('r1', 5): stamps are compared with their origins."""
    assert log(("x", "U", 3, 5, "r1"), later) == ([0] if gone else [])


def test_only_updates_go_and_the_last_word_stays() -> None:
    found = log(
        ("x", "I", 7, 1, "hub"), ("x", "U", 1, 2, "hub"), ("x", "U", 1, 3, "hub"), ("x", "U", 2, 4, "hub"),
        ("x", "D", 7, 5, "hub"), ("x", "I", 7, 6, "hub"),
    )  # fmt: skip
    assert found == [1, 2, 3]


def test_l5_an_entry_that_keeps_old_values_stays() -> None:
    """A later entry names its columns, but not what they were before it."""
    entries = [
        LogEntry(place, "row", "U", 1, 10 + place, "hub", keeps)
        for place, keeps in enumerate([True, False, False])
    ]
    assert covered(entries) == [1]
