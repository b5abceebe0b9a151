"""A malformed push is refused by name before anything is touched (laws L10 and L12)."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.errors import Malformed, TooLarge
from syncline.hub.accept import Part, accept, details_by_row
from syncline.hub.clocks import clamped
from syncline.hub.versions import brought, brought_details
from syncline.model.clock import stamp
from syncline.model.schema import ColumnSchema, Schema, TableSchema
from syncline.protocol.messages import Detail, Limits, PushGroup

SCHEMA = Schema(
    (
        TableSchema(
            "item",
            (
                ColumnSchema("id", "integer", "INTEGER"),
                ColumnSchema("name", "text", "TEXT"),
                ColumnSchema("total", "integer", "INTEGER", computed=True),
                ColumnSchema("qty", "integer", "INTEGER"),
            ),
            ("id",),
        ),
        TableSchema(
            "tag",
            (ColumnSchema("item", "integer", "INTEGER"), ColumnSchema("word", "text", "TEXT")),
            ("item", "word"),
        ),
    )
)
NOW = 1_800_000_000_000
GOOD = PushGroup(0, "U", [0, 2], [[1, "a", 5], [2, "b", 6]], [100, 1], [0, 1])


def check(*groups: PushGroup, bases: int = 2, limits: Limits | None = None) -> list[Part]:
    return accept(groups, SCHEMA, bases, limits or Limits())


def changed(**fields: Any) -> PushGroup:
    return msgspec.structs.replace(GOOD, **fields)


def test_a_good_group_becomes_a_part_with_absolute_stamps() -> None:
    (part,) = check(GOOD)
    assert part.hlc == [100, 101]
    assert part.keys == [(1,), (2,)]
    assert [part.base_of(row) for row in (0, 1)] == [0, 1]
    assert part.column_hlc_of(1) == [101, 101]
    assert part.column_base_of(1, 0) == 1


def test_columns_edited_at_different_times_have_stamps_and_bases_of_their_own() -> None:
    (part,) = check(changed(column_hlc=[[90, 100], [101, 80]], column_base=[[0, 1], [1, 1]]))
    assert part.column_hlc_of(1) == [101, 80]
    assert part.column_base_of(0, 1) == 1


def test_no_bases_per_row_means_the_first() -> None:
    (part,) = check(changed(base=[]), bases=1)
    assert part.base_of(1) == 0


def test_every_operation_has_its_columns() -> None:
    parts = check(
        PushGroup(0, "I", [0, 2], [[1, "a", 5]], [1]),
        PushGroup(0, "R", [0, 2], [[2, "a", 5]], [1]),
        PushGroup(0, "D", [], [[3]], [1]),
        PushGroup(0, "-", [], [[4]], [1]),
        PushGroup(1, "I", [], [[1, "x"]], [1]),
        PushGroup(1, "R", [], [[1, "y"]], [1]),
    )
    assert [part.op for part in parts] == ["I", "R", "D", "-", "I", "R"]


def test_what_is_written_to_a_computed_column_is_not_merged_and_its_row_is_told() -> None:
    found = brought(
        check(changed(columns=[0, 1]), changed(columns=[1], rows=[[3, 9], [4, 9]])), SCHEMA, SCHEMA
    )
    assert [(part.columns, part.rows) for part in found.parts] == [([0], [[1, "a"], [2, "b"]])]
    assert found.defaulted == [(0, (1,)), (0, (2,)), (0, (3,)), (0, (4,))]
    assert found.unplaced == []


def test_an_empty_push_needs_no_base() -> None:
    assert check(bases=0) == []


@pytest.mark.parametrize(
    ("group", "code"),
    [
        (changed(table=2), "unknown_table"),
        (changed(table=-1), "unknown_table"),
        (changed(columns=[0, 3]), "unknown_column"),
        (changed(columns=[0, -1]), "unknown_column"),
        (changed(columns=[2, 0]), "unknown_column"),
        (changed(columns=[0, 0]), "unknown_column"),
        (changed(columns=[], rows=[[1], [2]]), "malformed"),
        (changed(op="I", columns=[0], rows=[[1, "a"], [2, "b"]]), "unknown_column"),
        (changed(op="R", columns=[0, 1, 2], rows=[[1, "a", 9, 5], [2, "b", 9, 6]]), "unknown_column"),
        (changed(op="D"), "unknown_column"),
        (changed(op="-", columns=[0], rows=[[1, "a"], [2, "b"]]), "unknown_column"),
        (PushGroup(1, "U", [], [[1, "x"]], [1]), "malformed"),
        (changed(rows=[[1, "a", 5], [2, "b"]]), "malformed"),
        (changed(rows=[[1, "a", 5], [2, "b", 6, 7]]), "malformed"),
        (changed(rows=[[1, "a", 5], []]), "malformed"),
        (changed(rows=[[1, "a", 5], [None, "b", 6]]), "null_key"),
        (changed(rows=[[1, "a", 5], [1, "b", 6]]), "malformed"),
        (changed(hlc=[100]), "malformed"),
        (changed(hlc=[100, 1, 1]), "malformed"),
        (changed(hlc=[-1, 5]), "malformed"),
        (changed(hlc=[5, -6]), "malformed"),
        (changed(hlc=[2**63 - 1, 1]), "malformed"),
        (changed(base=[0]), "malformed"),
        (changed(base=[0, 2]), "malformed"),
        (changed(base=[0, -1]), "malformed"),
        (changed(column_hlc=[[1, 1]]), "malformed"),
        (changed(column_hlc=[[1, 1], [1]]), "malformed"),
        (changed(column_hlc=[[1, 1], [1, -1]]), "malformed"),
        (changed(column_hlc=[[1, 1], [1, 2**63]]), "malformed"),
        (changed(column_base=[[0, 0], [0]]), "malformed"),
        (changed(column_base=[[0, 0], [0, 2]]), "malformed"),
        (changed(column_base=[[0, 0], [0, -1]]), "malformed"),
    ],
)
def test_a_malformed_group_is_refused(group: PushGroup, code: str) -> None:
    with pytest.raises(Malformed) as caught:
        check(group)
    assert caught.value.code == code
    assert re.search("table (item|tag|number)", caught.value.detail)  # of which table it was (law L12)


@pytest.mark.parametrize("op", ["I", "U", "R", "D", "-"])
@pytest.mark.parametrize("column_stamps", [None, []])
def test_a_group_without_rows_is_refused(op: str, column_stamps: list[list[int]] | None) -> None:
    columns = [] if op in ("D", "-") else [0, 2]
    empty = PushGroup(0, op, columns, [], [], [], column_stamps, column_stamps)
    with pytest.raises(Malformed, match="table item: a group without rows"):
        check(GOOD, empty)


def test_stamps_may_be_nothing_and_all_there_is() -> None:
    (part,) = check(changed(hlc=[0, 2**63 - 1], column_hlc=[[0, 0], [2**63 - 1, 0]]))
    assert part.hlc == [0, 2**63 - 1] and part.column_hlc_of(1) == [2**63 - 1, 0]


def test_one_key_in_two_tables_is_two_rows() -> None:
    tables = (TableSchema(name, SCHEMA.tables[0].columns, ("id",)) for name in ("one", "two"))
    parts = accept(
        [PushGroup(table, "D", [], [[1]], [1]) for table in (0, 1)], Schema(tuple(tables)), 1, Limits()
    )
    assert [part.keys for part in parts] == [[(1,)], [(1,)]]


def test_a_refusal_names_the_table() -> None:
    with pytest.raises(Malformed, match="table item"):
        check(changed(hlc=[]))


def test_a_row_stands_once_in_a_push_whatever_the_operation() -> None:
    with pytest.raises(Malformed, match="twice"):
        check(GOOD, PushGroup(0, "D", [], [[2]], [1]))


@pytest.mark.parametrize("bases", [0, 10_001])
def test_a_push_names_its_bases_and_not_too_many(bases: int) -> None:
    with pytest.raises(Malformed, match="bases"):
        check(changed(base=[]), bases=bases)


def test_too_many_rows_are_refused_by_the_sum_over_all_groups() -> None:
    """L11: no request is unbounded."""
    groups = [PushGroup(0, "D", [], [[1], [2]], [1, 1]), PushGroup(1, "D", [], [[1, "a"]], [1])]
    assert len(check(*groups, limits=Limits(push_rows=3))) == 2
    with pytest.raises(TooLarge) as caught:
        check(*groups, limits=Limits(push_rows=2))
    assert caught.value.code == "too_many_rows"


def test_stamps_of_a_clock_that_runs_ahead_are_cut_to_the_tolerance() -> None:
    now = 1_000_000
    ahead, fine = stamp(now + 5_000), stamp(now + 100) + 7
    group = PushGroup(0, "U", [0, 2], [[1, "a", 5], [2, "b", 6]], [ahead, fine - ahead])
    parts = check(msgspec.structs.replace(group, column_hlc=[[fine, ahead], [fine, fine]]))
    sent = copy.deepcopy(parts)
    parts = clamped(parts, now, 1_000)
    assert clamped(sent, now, 1_000) == parts  # those of a second attempt are cut alike
    highest = stamp(now + 1_000)
    assert parts[0].hlc == [highest, fine]
    assert parts[0].column_hlc == [[fine, highest], [fine, fine]]


HIGH = st.integers(NOW, NOW + 300).map(stamp)
STAMPS = st.lists(st.tuples(HIGH, HIGH, st.booleans()), min_size=1, max_size=4)
PARTS = st.lists(st.tuples(STAMPS, st.booleans()), min_size=1, max_size=3)


@settings(deadline=None)
@given(PARTS)
def test_l7_cut_stamps_keep_their_order_and_are_remembered_as_they_were(
    given_parts: list[tuple[list[tuple[int, int, bool]], bool]],
) -> None:
    """The tolerance is 100 ms: nothing is left beyond it, and nothing within it is touched."""
    parts, before = [], []
    for rows, has_columns in given_parts:
        columns = [[first, second] for first, second, _ in rows] if has_columns else None
        hlc = [max(first, second) if high else min(first, second) for first, second, high in rows]
        keys = [(number,) for number in range(len(rows))]
        parts.append(Part(0, "U", [0, 2], [], hlc, [], columns, None, keys))
        before.append([[one, *(columns[row] if columns else [])] for row, one in enumerate(hlc)])
    sent = copy.deepcopy(parts)
    given, parts = parts, clamped(parts, NOW, 100)
    assert given == sent
    highest, pairs = stamp(NOW + 100), []
    for part, known in zip(parts, before, strict=True):
        after = [
            [one, *(part.column_hlc[row] if part.column_hlc else [])] for row, one in enumerate(part.hlc)
        ]
        pairs += [pair for old, new in zip(known, after, strict=True) for pair in zip(old, new, strict=True)]
        cut = {(row,): old for row, old in enumerate(known) if max(old) > highest}
        assert (part.claims or {}) == cut
    most = max(old for old, _ in pairs)
    for old, new in pairs:
        if old <= highest:
            assert new == old
        else:
            assert new == max(highest - (most - old), highest - stamp(100))
    if most > highest:
        assert max(new for _, new in pairs) == highest


def test_details_are_found_by_table_and_key() -> None:
    given = [
        Detail(0, [7], [2, 0], [5, "old"], ["new", 1, 6]),
        Detail(0, [8], [0], ["old"], None),
        Detail(1, [1, "x"], [], [], []),
    ]
    found = details_by_row(given, SCHEMA)
    assert found[0, (7,)].before == {2: 5, 0: "old"}
    assert found[0, (7,)].image == {0: "new", 1: 1, 2: 6}
    assert found[0, (8,)].before == {0: "old"} and found[0, (8,)].image is None
    assert found[1, (1, "x")].before == {} and found[1, (1, "x")].image == {}


@pytest.mark.parametrize(
    ("detail", "code"),
    [
        (Detail(2, [1], [], [], None), "unknown_table"),
        (Detail(0, [1], [], [], ["a"], [0, 9]), "malformed"),
        (Detail(0, [1], [], [], ["a", "b"], [0, 0]), "unknown_column"),
        (Detail(0, [1], [], [], ["a", "b"], [0]), "malformed"),
        (Detail(-1, [1], [], [], None), "unknown_table"),
        (Detail(0, [1, 2], [], [], None), "malformed"),
        (Detail(0, [1], [0], [], None), "malformed"),
        (Detail(0, [1], [3], ["x"], None), "unknown_column"),
        (Detail(0, [1], [-1], ["x"], None), "unknown_column"),
        (Detail(0, [1], [], [], ["a", 1]), "malformed"),
        (Detail(0, [1], [0], [["a"]], None), "malformed"),
        (Detail(0, [1], [0], [True], None), "malformed"),
        (Detail(0, [2**63], [0], ["a"], None), "malformed"),
    ],
)
def test_malformed_details_are_refused(detail: Detail, code: str) -> None:
    with pytest.raises(Malformed) as caught:
        details_by_row([detail], SCHEMA)
    assert caught.value.code == code and caught.value.detail


def test_an_image_may_be_of_some_columns() -> None:
    (found,) = details_by_row([Detail(0, [7], [], [], ["new", 6], [0, 2])], SCHEMA).values()
    assert found.image == {0: "new", 2: 6}


def test_details_of_a_device_that_has_another_schema_by_now() -> None:
    """What neither the schema of the push nor the present one has is left out."""
    table = SCHEMA.by_number[0]
    more = replace(table, columns=(*table.columns, replace(table.values[0], number=5, name="more")))
    present = Schema((more, *SCHEMA.tables[1:]))
    detail = Detail(0, [7], [0, 9], ["old", "gone"], ["new", "later", 6], [0, 5, 9])
    (found,) = brought_details(details_by_row([detail], SCHEMA), present).values()
    assert (found.before, found.image) == ({0: "old"}, {0: "new", 5: "later"})
    with pytest.raises(Malformed) as caught:
        details_by_row([Detail(0, [7], [5], ["x"], None)], SCHEMA)
    assert caught.value.code == "unknown_column"
