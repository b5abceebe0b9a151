"""Changes that compete as a whole row, for random rows, rivals and changes: who wins, what is written, what
is kept for a person, and what the device must hear (laws L2 and L6)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from syncline import Table
from syncline.merge.decide import Base, Decision, Entry, Sent, decide
from syncline.merge.policies import DELETE_POLICIES, KEY_TAKEN_REMEDY, ROW_POLICIES
from syncline.merge.rules import resolve
from syncline.model.schema import ColumnSchema, TableSchema
from syncline.model.values import EVERYTHING

TABLE = TableSchema(
    "t",
    (
        ColumnSchema("id", "integer", "INTEGER"),
        ColumnSchema("a", "integer", "INTEGER"),
        ColumnSchema("b", "integer", "INTEGER"),
        ColumnSchema("made", "integer", "INTEGER", computed=True),
    ),
    ("id",),
)
Row = dict[int, Any]
VALUES = st.integers(0, 2)
ROWS = st.fixed_dictionaries({0: VALUES, 1: VALUES, 2: VALUES})
HLCS = st.integers(1, 5)
NAMED = st.builds(
    lambda op, mask, hlc, origin: Entry(op, mask if op == "U" else EVERYTHING, (hlc, origin), 0b111),
    st.sampled_from("IRUD"),
    st.sampled_from([0b001, 0b010, 0b011]),
    HLCS,
    st.sampled_from(["hub", "a", "zed"]),
)
"""Entries of others that say what they changed."""
WHOLE = [name for name, policy in ROW_POLICIES.items() if policy.whole]


@dataclass
class Meeting:
    """A change of the device `me`, and what it meets. `after`: the row as the device has it, None if gone."""

    sent: Sent
    before: Row | None
    after: Row | None
    present: Row | None
    rivals: list[Entry]

    @property
    def newest(self) -> tuple[int, str]:
        return sorted(entry.stamp for entry in self.rivals)[-1]

    def decided(self, **rules: Any) -> Decision:
        table = Table(**{"inserts": "same_row", **rules})
        return decide(TABLE, resolve(TABLE, table), self.sent, self.present, self.rivals)


@st.composite
def meetings(draw: st.DrawFn, kinds: str = "IRUD") -> Meeting:
    kind, rivals = draw(st.sampled_from(kinds)), draw(st.lists(NAMED, max_size=3))
    before = None if kind == "I" else draw(ROWS)
    present = draw(st.none() | ROWS) if rivals else before
    if kind == "D":
        base = Base(before or {}, draw(st.sampled_from([None, before])))
        return Meeting(Sent("D", [], [], draw(HLCS), [], "me", base), before, None, present, rivals)
    after = draw(ROWS)
    columns = [0, 1]
    if kind == "U":
        columns = draw(st.sampled_from([[0], [1], [0, 1]]))
        after = {**(before or {}), **{column: after[column] for column in columns}}
    stamps = draw(st.lists(HLCS, min_size=len(columns), max_size=len(columns)))
    known = {column: (before or {})[column] for column in columns} if kind == "U" else before or {}
    base = Base(known, after if kind == "U" else None)
    sent = Sent(kind, columns, [after[column] for column in columns], max(stamps), stamps, "me", base)
    return Meeting(sent, before, after, present, rivals)


def plain(row: Row | None) -> list[Any] | None:
    return None if row is None else [row.get(column) for column in TABLE.values]


def lacking(row: Row) -> list[int]:
    """The places of which a row says nothing."""
    return [place for place, column in enumerate(TABLE.values) if column not in row]


def pushed(row: Row) -> tuple[list[int], list[Any]]:
    return [0, 1], [row[0], row[1]]


def started(meeting: Meeting) -> Row:
    """What the device's row was; of other columns than those that it updates, what it has."""
    return (
        {**(meeting.after or {}), **(meeting.before or {})}
        if meeting.sent.op == "U"
        else meeting.before or {}
    )


def check_note(decision: Decision, meeting: Meeting, outcome: str, policy: str) -> None:
    """One conflict of the row, with what the edit started from, what it made and what the centre had."""
    (note,) = decision.notes
    assert (note.column, note.outcome, note.policy) == (None, outcome, policy)
    assert note.rival == (meeting.newest if meeting.rivals else (0, ""))
    before = started(meeting)
    assert note.base == (plain(before) if meeting.before is not None else None)
    sent = meeting.after
    if meeting.sent.op in "IR":
        sent = dict(zip(*pushed(meeting.after or {}), strict=True))
    assert note.sent == plain(sent)
    assert note.hub == plain(meeting.present)
    assert note.resolution is None
    images = {"base": None if meeting.before is None else before, "sent": sent, "hub": meeting.present}
    unknown = {name: lacking(row) for name, row in images.items() if row is not None}
    assert note.unknown == {name: places for name, places in unknown.items() if places}


@settings(max_examples=500, deadline=None)
@given(meetings(), st.sampled_from(WHOLE))
def test_a_row_competes_as_a_whole_under_a_row_policy(meeting: Meeting, policy: str) -> None:
    decision, sent = meeting.decided(merge=policy), meeting.sent
    assert not decision.wanted and decision.rejected is None
    wins = (
        not meeting.rivals
        or {
            "row": meeting.newest < (sent.hlc, "me"),
            "hub_wins": False,
            "replica_wins": True,
            "review": False,
        }[policy]
    )
    if sent.op == "D" and meeting.present is None:
        assert (decision.form, decision.override, decision.notes) == (None, True, [])
        return
    if wins and sent.op == "D":
        assert (decision.form, decision.op) == ("delete", "D")
        assert (decision.columns, decision.values, decision.override) == ([], [], False)
    elif wins and sent.op == "U" and not meeting.rivals:
        assert (decision.form, decision.op, decision.override) == ("update", "U", False)
        assert (decision.columns, decision.values) == (sent.columns, sent.values)
    elif wins:
        assert meeting.after is not None
        there = meeting.present is not None
        assert (decision.form, decision.op) == (("update", "R") if there else ("insert", "I"))
        assert (decision.columns, decision.values) == pushed(meeting.after)
        assert decision.override is (sent.op == "U")
    else:
        assert (decision.form, decision.entries, decision.override) == (None, [], True)
    if wins and (meeting.rivals or sent.op != "U"):
        assert decision.entries == [(EVERYTHING, sent.hlc)]
    same = sent.op in "IR" and meeting.present is not None
    same = same and all(
        (meeting.present or {})[c] == v for c, v in zip(sent.columns, sent.values, strict=True)
    )
    quiet = wins and meeting.present is None and sent.op in "IR"  # nothing was there to lose
    if not meeting.rivals or same or quiet:
        assert decision.notes == []
    else:
        outcome = "replica" if wins else "open" if policy == "review" else "hub"
        check_note(decision, meeting, outcome, policy)


@settings(max_examples=300, deadline=None)
@given(meetings("RUD"), st.sampled_from(list(DELETE_POLICIES)))
def test_an_update_against_a_delete_is_settled_by_the_policy_of_deletes(
    meeting: Meeting, policy: str
) -> None:
    sent, gone = meeting.sent, meeting.present is None
    assume(sent.op == "D" or (sent.op == "U" and gone))
    if gone and sent.op == "U" and not meeting.rivals:
        return
    decision = meeting.decided(deletes=policy)
    newer = not meeting.rivals or meeting.newest < (sent.hlc, "me")
    lives = any(entry.op != "D" for entry in meeting.rivals)
    if sent.op == "D" and gone:
        assert (decision.form, decision.override, decision.notes) == (None, True, [])
        return
    if sent.op == "D":
        stands = {"newer_wins": newer, "delete_wins": True, "update_wins": not lives}[policy]
        assert (decision.form, decision.override) == (("delete", False) if stands else (None, True))
    else:
        stands = {"newer_wins": newer, "delete_wins": False, "update_wins": True}[policy]
        assert decision.form == ("insert" if stands else None) and decision.override
        if stands:
            assert (decision.op, decision.columns, decision.values) == ("I", *pushed(meeting.after or {}))
    assert decision.entries == ([(EVERYTHING, sent.hlc)] if stands else [])
    if meeting.rivals:
        check_note(decision, meeting, "replica" if stands else "hub", policy)
    else:
        assert decision.notes == []


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([*WHOLE, {}]), ROWS)
def test_an_update_whose_row_is_gone_without_a_trace_comes_back_or_is_kept(merge: Any, after: Row) -> None:
    """L2: the insert before it may have been rejected."""
    before = {0: 0}
    sent = Sent("U", [0], [after[0]], 3, [3], "me", Base(before, after))
    meeting = Meeting(sent, {**after, **before}, after, None, [])
    for deletes in DELETE_POLICIES:
        decision = meeting.decided(merge=merge, deletes=deletes)
        assert decision.override
        if merge == {} and deletes == "delete_wins":
            assert decision.form is None
            check_note(decision, meeting, "hub", "delete_wins")
        else:
            assert (decision.form, decision.columns, decision.values) == ("insert", *pushed(after))
            assert decision.notes == []


@settings(max_examples=300, deadline=None)
@given(meetings("IRUD"), ROWS)
def test_where_one_key_means_two_things_only_what_concerns_another_s_row_is_decided_otherwise(
    meeting: Meeting, other: Row
) -> None:
    sent, there = meeting.sent, meeting.present
    if there is None and sent.op == "I" and meeting.rivals:
        expected = replace(meeting, rivals=[]).decided()  # nobody competes with what has no row yet
    else:
        expected = meeting.decided()
    decision = meeting.decided(inserts="key_taken")
    if sent.op == "I":
        another = there is not None and any(there[c] != v for c, v in zip((0, 1), sent.values, strict=True))
    else:
        another = there is not None and bool(meeting.rivals) and meeting.rivals[0].op == "I"
    if not another:
        assert decision == expected
        return
    assert decision.form is None and decision.override and decision.notes == []
    if sent.op == "D":
        assert decision.rejected is None
    else:
        assert decision.rejected is not None
        assert (decision.rejected.code, decision.rejected.remedy) == ("key_taken", KEY_TAKEN_REMEDY)
        assert decision.rejected.detail == "table t: another row was inserted under this key"


@settings(max_examples=200, deadline=None)
@given(meetings("RUD"), st.sampled_from([*WHOLE, {}]), st.integers(6, 9))
def test_what_the_centre_wrote_and_cannot_tell_overrules_no_row_that_is_what_it_was(
    meeting: Meeting, merge: Any, hlc: int
) -> None:
    """The centre names every column where it cannot tell which were written."""
    assume(meeting.before is not None and (merge != {} or meeting.sent.op in "RD"))
    started = {**(meeting.after or {}), **(meeting.before or {})}
    if meeting.sent.op == "U":
        started = {**(meeting.after or {}), **meeting.sent.base.before}  # type: ignore[union-attr]
    vague = Entry("U", EVERYTHING, (hlc, "hub"), 0b111)
    met = replace(meeting, present=started, rivals=[*meeting.rivals, vague])
    without = replace(met, rivals=meeting.rivals)
    assert met.decided(merge=merge) == without.decided(merge=merge)
    assert replace(met, sent=replace(met.sent, base=None)).decided(merge=merge) == Decision(wanted=True)
    told = replace(vague, stamp=(hlc, "zed"))  # of a device, which always can tell
    if merge == "row" or (merge == {} and meeting.sent.op == "R"):
        assert replace(met, rivals=[*meeting.rivals, told]).decided(merge=merge).form is None


def behind(meeting: Meeting) -> Meeting:
    """The same of a device that has no column b yet."""

    def without(row: Any) -> Any:
        return None if row is None else {column: value for column, value in row.items() if column != 1}

    sent, base = meeting.sent, meeting.sent.base
    assert base is not None
    places = [j for j, column in enumerate(sent.columns) if column != 1]
    sent = replace(
        sent,
        columns=[sent.columns[j] for j in places],
        values=[sent.values[j] for j in places],
        column_hlc=[sent.column_hlc[j] for j in places if j < len(sent.column_hlc)],
        base=Base(without(base.before), without(base.image)),
    )
    return replace(meeting, sent=sent)


@settings(max_examples=400, deadline=None)
@given(meetings("IRUD"), st.sampled_from([*WHOLE, {}]), st.sampled_from(list(DELETE_POLICIES)))
def test_what_a_device_of_an_older_schema_lacks_is_neither_written_nor_noted_as_null(
    meeting: Meeting, merge: Any, deletes: str
) -> None:
    older = behind(meeting)
    assume(older.sent.columns or older.sent.op != "U")
    decision = older.decided(merge=merge, deletes=deletes)
    assert 1 not in decision.columns
    for note in decision.notes:
        if note.column is None:
            for name, row in (("base", note.base), ("sent", note.sent)):
                assert row is None or 1 in note.unknown[name]
            assert "hub" not in note.unknown


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["replica_wins", {}]), ROWS, st.none() | ROWS, st.booleans())
def test_an_image_leaves_a_default_to_the_centre_unless_its_null_was_written(
    merge: Any, after: Row, present: Row | None, is_written: bool
) -> None:
    """Column b takes no NULL, and the centre has a default for it."""
    columns = [replace(c, nullable=False, defaulted=True) if c.name == "b" else c for c in TABLE.columns]
    table = replace(TABLE, columns=tuple(columns))
    rivals = [Entry("D" if present is None else "U", EVERYTHING, (1, "zed"), 0b111)]
    assume(present is None or merge != {})
    sent_columns = [0, 1] if is_written else [0]
    image = {**after, 1: None}
    base = Base(dict.fromkeys(sent_columns, 5), image)
    sent = Sent("U", sent_columns, [image[c] for c in sent_columns], 3, [3] * len(sent_columns), "me", base)
    rules = resolve(table, Table(merge=merge, deletes="update_wins"))
    decision = decide(table, rules, sent, present, rivals)
    assert decision.form == ("insert" if present is None else "update")
    assert decision.override
    assert dict(zip(decision.columns, decision.values, strict=True)) == {c: image[c] for c in sent_columns}
