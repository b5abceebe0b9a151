"""An insert or a delete that is offered again, and what others have offered before it (law L7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import pytest

from syncline import Table
from syncline.merge.again import decide_again
from syncline.merge.decide import Base, Decision, Entry, Sent, decide
from syncline.merge.policies import COLUMN_POLICIES, ROW_POLICIES
from syncline.merge.rules import resolve
from syncline.model.operations import GONE, RETURNED
from syncline.model.schema import ColumnSchema, TableSchema
from syncline.model.values import EVERYTHING, Value

NOTES = TableSchema(
    "notes",
    (
        ColumnSchema("id", "integer", "INTEGER"),
        ColumnSchema("a", "any", "ANY"),
        ColumnSchema("b", "any", "ANY"),
    ),
    ("id",),
)
A, B, ALL = 1, 2, 3


def entry(op: str, hlc: int, mask: int = ALL, origin: str = "other") -> Entry:
    return Entry(op, mask, (hlc, origin), ALL)


IMAGE = [entry(RETURNED, 0), entry(RETURNED, 20, B)]
"""The row came back from the image of an update of b at 20."""


def settle(
    op: str, hlc: int, present: list[Value] | None, rivals: Sequence[Entry], rules: Table | None = None
) -> Decision:
    sent = Sent(op, [0, 1] if op == "I" else [], ["a", "b"] if op == "I" else [], hlc, [hlc, hlc], "me", None)
    there = None if present is None else dict(enumerate(present))
    return decide_again(NOTES, resolve(NOTES, rules or Table()), replace(sent, past="offered"), there, rivals)


def test_l2_an_insert_that_an_image_knew_is_in_it_and_kept_where_it_differs() -> None:
    """Whether who brought it knew this insert, or a row of this key of another past, nobody can tell."""
    found = settle("I", 10, ["changed", "b2"], IMAGE)
    assert (found.form, found.override, found.rejected) == (None, True, None)
    assert [(note.column, note.outcome, note.sent, note.hub) for note in found.notes] == [
        (None, "hub", ["a", "b"], ["changed", "b2"])
    ]
    assert settle("I", 10, ["a", "b"], IMAGE).notes == []


@pytest.mark.parametrize("rules", [Table(), Table(merge="row")])
def test_what_the_replica_has_edited_later_itself_is_no_conflict(rules: Table) -> None:
    mine = [entry(RETURNED, 0, origin="me"), entry(RETURNED, 20, B, origin="me")]
    assert settle("I", 10, ["a2", "b2"], mine, rules).notes == []
    later = [entry(RETURNED, 5, origin="me"), entry("U", 20, A, origin="me")]
    assert settle("I", 10, ["a2", "b"], later, rules).notes == []
    assert settle("I", 10, None, [*later, entry(GONE, 50, origin="me")], rules).notes == []


def test_an_insert_that_is_newer_than_an_image_is_the_row() -> None:
    found = settle("I", 30, ["old", "b2"], IMAGE)
    assert (found.form, found.op, found.values) == ("update", RETURNED, ["a", "b"])
    assert found.entries == [(EVERYTHING, 30)]
    assert [(note.column, note.outcome, note.hub) for note in found.notes] == [
        (None, "replica", ["old", "b2"])
    ]


def test_columns_that_were_edited_later_stay() -> None:
    """The update of a landed on a row that had the key before; the insert was made between the two."""
    found = settle("I", 30, ["a3", "b2"], [*IMAGE, entry("U", 40, A)])
    assert (found.form, found.op, found.columns, found.values) == ("update", "U", [1], ["b"])
    assert found.entries == [(B, 30)]
    assert [(note.column, note.sent, note.hub) for note in found.notes] == [(0, "a", "a3"), (1, "b", "b2")]


TWICE = [entry(RETURNED, 40)]
"""Another has inserted a row of this key as well: maybe in another past, which was lost before or after."""


@pytest.mark.parametrize("rules", [Table(), Table(merge="row"), Table(inserts="same_row")])
def test_l2_an_insert_that_loses_to_another_s_is_kept(rules: Table) -> None:
    found = settle("I", 10, ["theirs", "b2"], TWICE, rules)
    assert (found.form, found.override, found.rejected) == (None, True, None)
    assert [(note.column, note.outcome, note.sent, note.hub) for note in found.notes] == [
        (None, "hub", ["a", "b"], ["theirs", "b2"])
    ]
    assert settle("I", 10, ["a", "b"], TWICE, rules).notes == []  # it is the same row


def test_l2_columns_of_an_insert_that_lose_to_another_s_are_kept() -> None:
    found = settle("I", 30, ["a3", "b2"], [entry(RETURNED, 20), entry("U", 40, A)])
    assert (found.form, found.columns, found.values) == ("update", [1], ["b"])
    assert [(note.column, note.outcome, note.sent, note.hub) for note in found.notes] == [
        (0, "hub", "a", "a3"),
        (1, "replica", "b", "b2"),
    ]


def test_l2_an_insert_is_kept_that_loses_to_the_delete_of_another_s() -> None:
    """Which of the two was deleted nobody knows any more."""
    found = settle("I", 10, None, [*TWICE, entry(GONE, 50)])
    assert (found.form, found.override) == (None, True)
    assert [(note.outcome, note.sent, note.hub) for note in found.notes] == [("hub", ["a", "b"], None)]


def test_of_a_column_that_has_the_value_already_nothing_is_noted() -> None:
    found = settle("I", 30, ["a", "b"], [*IMAGE, entry("U", 40, A)])
    assert (found.columns, found.values, found.override, found.notes) == ([1], ["b"], True, [])


def test_a_row_that_competes_as_a_whole_stays_if_it_is_newer() -> None:
    found = settle("I", 30, ["a3", "b2"], [*IMAGE, entry("U", 40, A)], Table(merge="row"))
    assert (found.form, found.override) == (None, True)


@pytest.mark.parametrize(
    "rivals",
    [[], [entry("U", 20)], [entry("D", 5), entry("I", 20)], [*IMAGE, entry("D", 25), entry("I", 30)]],
)
def test_a_row_of_which_the_log_does_not_say_that_it_came_back_is_another(rivals: list[Entry]) -> None:
    rejected = settle("I", 10, ["other", "b"], rivals).rejected
    assert rejected is not None
    assert rejected.code == "key_taken"


def test_the_replica_s_own_row_is_no_other() -> None:
    """It was deleted by another in between, who is still to come."""
    found = settle("I", 10, ["first", "b"], [entry(RETURNED, 5, origin="me")])
    assert (found.form, found.op, found.rejected) == ("update", RETURNED, None)


@pytest.mark.parametrize(
    ("rivals", "form"),
    [
        ([entry(GONE, 20)], None),
        ([entry(GONE, 5)], "insert"),
        ([*IMAGE, entry("D", 25)], None),
        ([entry("D", 20)], "insert"),
        ([entry("I", 15), entry("D", 20)], "insert"),
        ([entry(GONE, 5), entry(RETURNED, 7), entry(GONE, 8)], "insert"),
    ],
)
def test_an_insert_that_meets_no_row_comes_in_unless_its_row_was_deleted_later(
    rivals: list[Entry], form: str | None
) -> None:
    found = settle("I", 10, None, rivals)
    assert found.form == form
    assert form is None or (found.op, found.entries) == (RETURNED, [(EVERYTHING, 10)])


@pytest.mark.parametrize("deletes", ["newer_wins", "delete_wins", "update_wins"])
def test_a_delete_goes_by_clocks_where_the_row_was_made_again(deletes: str) -> None:
    rules = Table(deletes=deletes)
    newer, older = (settle("D", 10, ["a", "b"], [entry(RETURNED, hlc)], rules) for hlc in (20, 5))
    assert (newer.form, newer.override, newer.notes) == (None, True, [])
    assert (older.form, older.op, older.notes) == ("delete", GONE, [])


def test_an_update_of_a_row_that_came_back_is_a_rival_of_a_delete() -> None:
    assert settle("D", 30, ["a", "b"], IMAGE, Table(deletes="update_wins")).wanted


@pytest.mark.parametrize(("past", "op"), [("no", None), ("perhaps", GONE), ("offered", GONE)])
def test_a_delete_of_what_the_centre_may_have_lost_is_logged_though_there_is_no_row(
    past: Literal["no", "perhaps", "offered"], op: str | None
) -> None:
    sent = Sent("D", [], [], 10, [], "me", None, past)
    found = decide(NOTES, resolve(NOTES, Table()), sent, None, [])
    assert (found.op or None, found.entries) == (op, [(EVERYTHING, 10)] if op else [])


@pytest.mark.parametrize("past", ["perhaps", "offered"])
def test_what_comes_back_from_an_image_is_as_old_as_can_be_but_for_what_was_edited(
    past: Literal["perhaps", "offered"],
) -> None:
    base = Base({1: "b"}, {0: "a", 1: "b2"})
    sent = Sent("U", [1], ["b2"], 20, [20], "me", base, past)
    found = decide(NOTES, resolve(NOTES, Table()), sent, None, [])
    assert (found.form, found.op, found.values) == ("insert", RETURNED, ["a", "b2"])
    assert found.entries == [(EVERYTHING, 0), (B, 20)]


@pytest.mark.parametrize("merge", ["replica_wins", {"a": "replica_wins"}])
@pytest.mark.parametrize(
    ("rivals", "wins"),
    [
        ([entry("U", 20, A)], False),
        ([entry("U", 5, A)], True),
        ([entry("U", 20, B)], True),
        ([entry("U", 20, A, "hub")], True),
        ([entry("U", 5, A), entry("U", 20, A, "hub")], True),
        ([entry("U", 20, A), entry("U", 30, A, "hub")], False),
    ],
)
def test_an_update_loses_under_replica_wins_to_what_a_device_had_sent_later(
    merge: str | dict[str, str], rivals: list[Entry], wins: bool
) -> None:
    """Whichever is offered first; what the centre wrote loses to both."""
    base = Base({0: "old"}, {0: "mine", 1: "b"})
    sent = Sent("U", [0], ["mine"], 10, [10], "me", base, past="offered")
    found = decide_again(NOTES, resolve(NOTES, Table(merge=merge)), sent, {0: "there", 1: "b"}, rivals)
    assert ("mine" in found.values) is wins
    fresh = decide(
        NOTES, resolve(NOTES, Table(merge=merge)), replace(sent, past="no"), {0: "there", 1: "b"}, rivals
    )
    assert "mine" in fresh.values, "an edit of now wins always"


@pytest.mark.parametrize("merge", ["last_in", {"a": "last_in"}])
def test_a_policy_by_which_the_last_to_arrive_wins_is_known_by_its_record(
    merge: str | dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for policies in (COLUMN_POLICIES, ROW_POLICIES):
        record = replace(policies["replica_wins"], name="last_in")  # type: ignore[type-var]
        monkeypatch.setitem(policies, "last_in", record)  # type: ignore[arg-type]
    base = Base({0: "old"}, {0: "mine", 1: "b"})
    sent = Sent("U", [0], ["mine"], 10, [10], "me", base, past="offered")
    rules = resolve(NOTES, Table(merge=merge))
    newer, older = [entry("U", 20, A)], [entry("U", 5, A)]
    assert "mine" not in decide_again(NOTES, rules, sent, {0: "there", 1: "b"}, newer).values
    assert "mine" in decide_again(NOTES, rules, sent, {0: "there", 1: "b"}, older).values


def test_what_was_perhaps_added_twice_is_noted_under_the_policy_of_its_column(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    total = replace(COLUMN_POLICIES["sum"], name="total")
    monkeypatch.setitem(COLUMN_POLICIES, "total", total)  # type: ignore[arg-type]
    base = Base({0: 1}, {0: 3, 1: "b"})
    sent = Sent("U", [0], [2], 10, [10], "me", base, past="offered", returned={0: 1})
    rules = resolve(NOTES, Table(merge={"a": "total"}))
    found = decide_again(NOTES, rules, sent, {0: 5, 1: "b"}, [entry("U", 20, B)])
    assert [(note.column, note.policy, note.sent) for note in found.notes] == [(0, "total", 7)]


def test_which_columns_were_sent_later_is_told_column_by_column() -> None:
    rules = resolve(NOTES, Table(merge={"a": "replica_wins", "b": "replica_wins"}))
    base = Base({0: "a0", 1: "b0"}, {0: "mine", 1: "mine too"})
    sent = Sent("U", [0, 1], ["mine", "mine too"], 10, [10, 10], "me", base, past="offered")
    found = decide_again(NOTES, rules, sent, {0: "there", 1: "there"}, [entry("U", 20, B)])
    assert (found.columns, found.values) == ([0], ["mine"])


def test_an_insert_that_wins_over_a_row_like_it_overrules_nobody() -> None:
    found = settle("I", 30, ["a", "b"], IMAGE)
    assert (found.form, found.op, found.notes) == ("update", RETURNED, [])


def counted(inserted: Value, there: Value, returned: Value, hlc: int, past_hlc: int = 20) -> Decision:
    """An insert of a counter `a` whose row another has brought back with `returned` in it."""
    sent = Sent("I", [0, 1], [inserted, "b"], hlc, [hlc, hlc], "me", None)
    sent = replace(sent, past="offered", returned={0: returned})
    rivals = [entry(RETURNED, 0), entry(RETURNED, past_hlc, B)]
    return decide_again(NOTES, resolve(NOTES, Table(merge={"a": "sum"})), sent, {0: there, 1: "b2"}, rivals)


def test_a_counter_of_a_row_that_is_back_is_what_is_inserted_and_what_came_since() -> None:
    found = counted(inserted=3, there=9, returned=5, hlc=10)
    assert (found.form, found.op, found.columns, found.values) == ("update", "U", [0], [7])
    assert (found.entries, found.override) == ([(A, 10)], True)


def test_a_newer_insert_brings_its_counter_and_all_else() -> None:
    found = counted(inserted=3, there=9, returned=5, hlc=30)
    assert (found.form, found.op, found.columns, found.values) == ("update", RETURNED, [0, 1], [7, "b"])
    assert found.entries == [(EVERYTHING, 30)]


def test_a_counter_that_is_no_number_is_left_as_it_is() -> None:
    found = counted(inserted="three", there=9, returned=5, hlc=10)
    assert (found.form, [note.sent for note in found.notes]) == (None, [["three", "b"]])


def test_l2_a_counter_that_counts_is_not_what_differs() -> None:
    sent = Sent("I", [0, 1], [3, "b2"], 10, [10, 10], "me", None, past="offered", returned={0: 5})
    found = decide_again(NOTES, resolve(NOTES, Table(merge={"a": "sum"})), sent, {0: 9, 1: "b2"}, IMAGE)
    assert (found.columns, found.values, found.notes) == ([0], [7], [])
