"""What the hub makes of a row whose base is lost, for random rows and logs (laws L2 and L7)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.hub.accept import Part
from syncline.hub.bases import Bases, compared
from syncline.merge.decide import Base, Entry
from syncline.model.schema import ColumnSchema, TableSchema
from syncline.model.values import EVERYTHING

NAMES = ("a", "b", "c")
TABLE = TableSchema(
    "t",
    (ColumnSchema("id", "integer", "INTEGER"), *(ColumnSchema(name, "integer", "INTEGER") for name in NAMES)),
    ("id",),
)
ALL = 0b111
FLOOR = 7
MASKS = st.integers(1, ALL)
ROWS = st.fixed_dictionaries(dict.fromkeys(range(3), st.integers(0, 1)))
ENTRIES = st.lists(
    st.builds(
        lambda op, mask, hlc, origin, unseen: Entry(
            op, mask if op == "U" else EVERYTHING, (hlc, origin), unseen
        ),
        st.sampled_from("UUUID"),
        MASKS,
        st.integers(8, 20),
        st.sampled_from(["hub", "zed"]),
        st.integers(0, ALL),
    ),
    max_size=3,
)


def columns_of(mask: int) -> set[int]:
    return {column for column in range(3) if mask >> column & 1}


@settings(max_examples=400, deadline=None)
@given(ENTRIES, ROWS, ROWS, MASKS, st.integers(0, ALL))
def test_only_what_is_another_value_by_now_has_a_rival_where_the_base_is_lost(
    entries: list[Entry], image: dict[int, int], present: dict[int, int], sent: int, lost: int
) -> None:
    """`image` is the row of the device; of the sent columns it had `before`, which is 0 everywhere."""
    before = dict.fromkeys(columns_of(sent), 0)
    lost &= sent
    found = compared(entries, Base(before, image), present, lost, FLOOR, TABLE)
    started = {**image, **before}
    differing = {column for column in range(3) if started[column] != present[column]}
    for column in range(3):
        bit = 1 << column
        rivals = [entry for entry in found if entry.mask & entry.unseen & bit]
        logged = [entry for entry in entries if entry.mask & entry.unseen & bit]
        if column in columns_of(lost) and column not in differing:
            assert rivals == []  # nobody interfered
        if column in differing:
            # Whoever did it is in the log, or the log has forgotten: then it was before all that it has.
            named = [entry for entry in entries if entry.mask & bit]
            assert [entry.stamp for entry in rivals if entry.stamp[0] > FLOOR] == [
                one.stamp for one in logged
            ]
            assert [(one.op, one.stamp) for one in found if one.stamp[0] == FLOOR and one.mask & bit] == (
                [] if named else [("U", (FLOOR, "hub"))]
            )
    forgotten = [entry for entry in found if entry.stamp == (FLOOR, "hub")]
    assert len(forgotten) <= 1
    assert all(entry.mask == entry.unseen and columns_of(entry.mask) <= differing for entry in forgotten)
    kept = [entry for entry in found if entry not in forgotten]
    loud = [
        entry for entry in entries if columns_of(entry.mask) & (differing | columns_of(entry.unseen & ~lost))
    ]
    assert [(one.op, one.mask, one.stamp) for one in kept] == [
        ("R" if one.op == "I" else one.op, one.mask, one.stamp)  # whether it was there before is not known
        for one in loud
    ]


@given(ENTRIES, st.none() | ROWS, MASKS)
def test_a_row_that_is_gone_was_deleted_at_the_latest_when_the_log_forgot_it(
    entries: list[Entry], image: dict[int, int] | None, lost: int
) -> None:
    found = compared(entries, Base({0: 0}, image), None, lost, FLOOR, TABLE)
    assert found == [*entries, Entry("D", ALL, (FLOOR, "hub"), ALL)]


def part(op: str, base: list[int], column_base: list[list[int]] | None = None) -> Part:
    rows = [[key, 5, 6] for key in (1, 2, 3)]
    return Part(0, op, [0, 2], rows, [1, 1, 1], base, None, column_base, [(1,), (2,), (3,)])


def test_which_rows_and_columns_have_a_lost_base() -> None:
    bases = Bases([None, None], frozenset({1}), FLOOR)
    plain = part("U", [0, 1, 0])
    assert bases.lost_rows(plain) == [1]
    assert [bases.lost_columns(plain, row) for row in range(3)] == [0, 0b101, 0]
    mixed = part("U", [0, 0, 0], [[0, 0], [0, 1], [1, 1]])
    assert bases.lost_rows(mixed) == [1, 2]
    assert [bases.lost_columns(mixed, row) for row in range(3)] == [0, 0b100, 0b101]
    of_the_row = part("U", [1, 0, 0], [[0, 0], [0, 0], [0, 0]])
    assert bases.lost_rows(of_the_row) == [0] and bases.lost_columns(of_the_row, 0) == 0
    assert bases.lost_rows(part("U", [])) == []
    for op in "DR":
        assert bases.lost_rows(part(op, [0, 1, 0])) == [1]
    for op in "I-":  # they started from nothing
        assert bases.lost_rows(part(op, [1, 1, 1])) == []
    assert Bases([None, None]).lost_rows(plain) == []


def test_a_write_of_columns_that_the_capture_could_not_tell_is_a_rival_where_the_base_is_lost() -> None:
    row = {0: 1, 1: 1, 2: 1}
    untold = Entry("U", 0, (9, "hub"), 0)
    assert compared([untold], Base(row, None), row, 0, FLOOR, TABLE) == [untold]
    seen = Entry("U", 0b1, (9, "hub"), 0)
    assert compared([seen], Base(row, None), row, 0, FLOOR, TABLE) == []
