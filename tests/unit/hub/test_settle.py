"""What the hub finds when it looks at the centre again: rows that moved since they were locked, and rows that
are not as they were written (laws L2 and L6)."""

from __future__ import annotations

from typing import Any

import pytest

from syncline import Table
from syncline.errors import Conflict
from syncline.hub.accept import Part
from syncline.hub.bases import Bases
from syncline.hub.contract import Rival
from syncline.hub.settle import _contested, _still
from syncline.merge.rules import resolve
from syncline.model.schema import ColumnSchema, TableSchema
from tests.unit.hub.desk import Desk, overrides


def part(op: Any) -> Part:
    rows: list[list[Any]] = [[1], [2]]
    return Part(0, op, [], rows, [1, 1], [], None, None, [(1,), (2,)])


CASES = [("I", False), ("R", True), ("U", True), ("D", True), ("-", True)]
"""By operation: whether the row is there where nothing about it is strange."""


@pytest.mark.parametrize(("op", "there"), CASES)
@pytest.mark.parametrize("is_strange", [False, True])
def test_a_row_that_came_or_went_since_it_was_locked_makes_the_push_be_tried_again(
    op: str, there: bool, is_strange: bool
) -> None:
    strange = [1] if is_strange else []
    there = there != is_strange
    same, other = {(2,)} if there else set(), set() if there else {(2,)}
    _still(part(op), strange, [1], same)
    with pytest.raises(Conflict, match=r"the row with key \[2\] came or went meanwhile"):
        _still(part(op), strange, [1], other)


def test_only_rows_that_are_decided_are_looked_at_again() -> None:
    _still(part("I"), [], [1], {(1,)})  # the first is written by the database as it is sent, or refused


COUNTED = TableSchema(
    "counted",
    (
        ColumnSchema("id", "integer", "INTEGER"),
        ColumnSchema("name", "text", "TEXT"),
        ColumnSchema("hits", "integer", "INTEGER"),
    ),
    ("id",),
)
NAME, HITS = 0, 1
RIVAL = Rival(2, None, "U", 1, 5, "zed")


@pytest.mark.parametrize(
    ("op", "columns", "base", "rows"),
    [
        ("U", [NAME], [], [1, 2]),
        ("U", [HITS], [], [0, 1, 2, 3]),  # the result of each depends on what is there
        ("U", [NAME, HITS], [], [0, 1, 2, 3]),
        ("I", [NAME, HITS], [], [1, 2]),
        ("R", [NAME, HITS], [], [1, 2]),
        ("D", [], [], [1, 2]),
        ("-", [], [], [0, 1, 2, 3]),
        ("U", [NAME], [1, 0, 0, 0], [0, 1, 2]),
        ("I", [NAME, HITS], [1, 0, 0, 0], [1, 2]),
    ],
)
def test_which_rows_are_decided_one_by_one_and_which_are_written_as_they_were_sent(
    op: str, columns: list[int], base: list[int], rows: list[int]
) -> None:
    """Row 1 is not as the centre has it, of row 2 there is a rival, and what has base 1 has a lost one."""
    keys = [(number,) for number in range(4)]
    sent = Part(0, op, columns, [[number, *columns] for number in range(4)], [1] * 4, base, None, None, keys)
    rules = resolve(COUNTED, Table(merge={"hits": "sum"}))
    bases = Bases([None, None], frozenset({1}), 1)  # type: ignore[list-item]
    assert _contested(sent, [1], {2: [RIVAL]}, rules, bases) == rows


ITEM = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, gone INTEGER);"
SOFT = """
CREATE TRIGGER soft BEFORE DELETE ON item WHEN old.name = 'kept'
BEGIN UPDATE item SET gone = 1 WHERE id = old.id; SELECT RAISE(IGNORE); END;
"""


@pytest.mark.parametrize("was_there", [True, False])
def test_a_row_that_the_centre_only_marks_as_deleted_is_told_as_it_is(was_there: bool) -> None:
    """Also where the trigger that marks it came after the hub had read the schema."""
    desk = Desk(ITEM + SOFT if was_there else ITEM)
    desk.sql("INSERT INTO item VALUES (1, 'kept', 0), (2, 'free', 0)")
    device = desk.device("one")
    device.pull()
    if not was_there:
        desk.sql(SOFT)
    device.delete("item", 1)
    device.delete("item", 2)
    verdict = device.push()
    assert (verdict.rejected, verdict.conflicts) == ([], [])
    assert overrides(verdict) == [(0, "U", [[1, "kept", 1]])]
    assert desk.sql("SELECT id FROM item") == [(1,)]
