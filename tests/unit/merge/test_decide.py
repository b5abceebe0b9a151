"""One contested row under every policy (law L6: the hub decides), decided without any database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from syncline import Reject, Table
from syncline.merge.decide import Base, Decision, Entry, Sent, decide
from syncline.merge.policies import COLUMN_POLICIES
from syncline.merge.rules import resolve
from syncline.model.schema import ColumnSchema, TableSchema
from syncline.model.values import EVERYTHING, Value

NOTES = TableSchema(
    "notes",
    (
        ColumnSchema("id", "integer", "INTEGER"),
        ColumnSchema("a", "any", "ANY"),
        ColumnSchema("b", "any", "ANY"),
        ColumnSchema("made", "any", "ANY", computed=True),
    ),
    ("id",),
)
A, B, MADE = 1, 2, 4
ALL = A | B | MADE
PLAIN = [name for name, policy in COLUMN_POLICIES.items() if policy.travels == "value"]


def rival(hlc: int, mask: int = ALL, op: str = "U", origin: str = "other", unseen: int = ALL) -> Entry:
    return Entry(op, mask, (hlc, origin), unseen)


def update(
    columns: Sequence[int],
    values: Sequence[Value],
    hlc: int = 10,
    stamps: Sequence[int] | None = None,
    base: Base | None = None,
) -> Sent:
    return Sent("U", columns, values, hlc, stamps or [hlc] * len(columns), "me", base)


def whole(op: str, values: Sequence[Value], hlc: int = 10, base: Base | None = None) -> Sent:
    return Sent(op, [0, 1], values, hlc, [hlc, hlc], "me", base)


def gone(op: str = "D", hlc: int = 10, base: Base | None = None) -> Sent:
    return Sent(op, [], [], hlc, [], "me", base)


def settle(
    sent: Sent, present: list[Value] | None, rivals: Sequence[Entry] = (), rules: Table | None = None
) -> Decision:
    there = None if present is None else dict(enumerate(present))
    return decide(NOTES, resolve(NOTES, replace(rules or Table(), inserts="same_row")), sent, there, rivals)


def test_an_insert_whose_key_another_row_has_is_rejected_where_one_key_means_two_things() -> None:
    rules, there = resolve(NOTES, Table()), {0: 1, 1: 2, 2: "x"}
    taken = decide(NOTES, rules, whole("I", [5, 5]), there, [rival(1, op="I")])
    assert taken.form is None and taken.override and taken.rejected is not None
    assert taken.rejected.code == "key_taken"
    assert decide(NOTES, rules, whole("I", [1, 2]), there, [rival(1, op="I")]).rejected is None
    assert decide(NOTES, rules, whole("I", [5, 5]), None, [rival(99, op="D")]).form == "insert"
    late = decide(NOTES, rules, update([0], [5]), there, [rival(1, op="I")])
    assert late.rejected is not None and late.rejected.code == "key_taken"
    gone_too = decide(NOTES, rules, gone(), there, [rival(1, op="I")])
    assert (gone_too.form, gone_too.override, gone_too.rejected) == (None, True, None)


PAST = Base({0: 0, 1: 0}, {0: 5, 1: 0, 2: "x"})
"""The replica started from a=0, b=0 and its row has a=5."""


# Updates of a column


@pytest.mark.parametrize("policy", [*PLAIN, lambda base, ours, theirs: 99])
def test_without_a_rival_every_policy_takes_what_was_sent(policy: Any) -> None:
    present: Value = {"max": 4, "min": 6}.get(policy if isinstance(policy, str) else "", 0)
    decision = settle(update([0], [5]), [present, 0, "x"], [], Table(merge={"a": policy}))
    assert (decision.form, decision.op) == ("update", "U")
    assert (decision.columns, decision.values) == ([0], [5])
    assert decision.entries == [(A, 10)] and not decision.override and not decision.notes


@pytest.mark.parametrize(("hlc", "wins"), [(9, True), (11, False)])
def test_lww_takes_the_newer(hlc: int, wins: bool) -> None:
    decision = settle(update([0], [5], base=PAST), [7, 0, "x"], [rival(hlc, A)])
    assert decision.columns == ([0] if wins else [])
    assert decision.form == ("update" if wins else None)
    assert decision.override
    (note,) = decision.notes
    assert note.outcome == ("replica" if wins else "hub")
    assert (note.column, note.base, note.sent, note.hub, note.rival) == (0, 0, 5, 7, (hlc, "other"))


@pytest.mark.parametrize(("origin", "wins"), [("hub", True), ("aaa", True), ("zzz", False)])
def test_at_one_instant_the_origin_settles_it(origin: str, wins: bool) -> None:
    """L7: the winner does not depend on the order of arrival."""
    decision = settle(update([0], [5], base=PAST), [7, 0, "x"], [rival(10, A, origin=origin)])
    assert bool(decision.columns) is wins


def test_columns_that_others_did_not_touch_are_no_conflict() -> None:
    decision = settle(update([0], [5]), [0, 7, "x"], [rival(99, B)])
    assert decision.columns == [0] and decision.override and not decision.notes and not decision.wanted


def test_a_rival_seen_by_the_columns_own_base_is_no_rival() -> None:
    decision = settle(update([0, 1], [5, 6]), [0, 0, "x"], [rival(99, A, unseen=B)])
    assert decision.columns == [0, 1] and not decision.notes and decision.override


def test_each_column_is_recorded_with_its_own_hlc() -> None:
    decision = settle(update([0, 1], [5, 6], hlc=12, stamps=[12, 8]), [0, 0, "x"])
    assert decision.entries == [(B, 8), (A, 12)]


def test_columns_of_one_row_are_settled_apart() -> None:
    sent = update([0, 1], [5, 6], hlc=12, stamps=[12, 8], base=PAST)
    decision = settle(sent, [7, 7, "x"], [rival(10)])
    assert decision.columns == [0] and decision.values == [5] and decision.entries == [(A, 12)]
    assert [note.outcome for note in decision.notes] == ["replica", "hub"]


def test_a_sum_adds_up_conflict_or_not() -> None:
    rules = Table(merge={"a": "sum"})
    for rivals in ([], [rival(99, A)]):
        decision = settle(update([0], [5]), [7, 0, "x"], rivals, rules)
        assert decision.values == [12] and not decision.notes and decision.override is bool(rivals)


def test_what_cannot_be_added_up_rejects_its_row_alone() -> None:
    decision = settle(update([0], ["many"]), [7, 0, "x"], [], Table(merge={"a": "sum"}))
    assert decision.rejected is not None and decision.rejected.code == "value_refused"
    assert decision.form is None and decision.override


@pytest.mark.parametrize(
    ("policy", "sent", "kept"), [("max", 8, True), ("max", 6, False), ("min", 6, True), ("min", 8, False)]
)
@pytest.mark.parametrize("hlc", [None, 1, 99])
def test_max_and_min_take_the_value_whoever_is_newer(
    policy: str, sent: int, kept: bool, hlc: int | None
) -> None:
    rivals = [] if hlc is None else [rival(hlc, A)]
    decision = settle(update([0], [sent], base=PAST), [7, 0, "x"], rivals, Table(merge={"a": policy}))
    assert decision.values == ([sent] if kept else [])
    assert decision.override is (bool(rivals) or not kept)
    assert [(note.outcome, note.base, note.sent, note.hub) for note in decision.notes] == (
        [] if hlc is None and kept else [("replica" if kept else "hub", 0, sent, 7)]
    )


@pytest.mark.parametrize("policy", ["max", "min"])
def test_what_does_not_exceed_is_kept_with_its_base_also_if_nobody_else_edited(policy: str) -> None:
    sent = {"max": 6, "min": 8}[policy]
    assert settle(update([0], [sent]), [7, 0, "x"], [], Table(merge={"a": policy})).wanted
    (note,) = settle(update([0], [sent], base=PAST), [7, 0, "x"], [], Table(merge={"a": policy})).notes
    assert (note.policy, note.rival, note.base) == (policy, (0, "hub"), 0)
    assert not settle(update([0], [7]), [7, 0, "x"], [], Table(merge={"a": policy})).notes


# What the centre wrote and could not tell


def vague(hlc: int) -> Entry:
    return rival(hlc, origin="hub")


def test_a_vague_entry_overrules_nothing_where_the_centre_has_what_the_edit_started_from() -> None:
    sent = update([0], [5], base=PAST)
    decision = settle(sent, [0, 3, "x"], [vague(99)])
    assert (decision.values, decision.notes, decision.override) == ([5], [], True)
    assert settle(sent, [1, 0, "x"], [vague(99)]).values == []
    assert settle(update([0], [5]), [0, 3, "x"], [vague(99)]).wanted
    assert settle(sent, [0, 3, "x"], [rival(99, origin="hub", mask=A)]).values == []


def test_where_a_table_has_one_column_an_entry_of_the_centres_says_which() -> None:
    table = TableSchema("one", NOTES.columns[:2], ("id",))
    sent = update([0], [5], base=Base({0: 0}, {0: 5}))
    told = Entry("U", A, (99, "hub"), A)
    assert decide(table, resolve(table, Table()), sent, {0: 0}, [told]).values == []
    assert decide(table, resolve(table, Table()), replace(sent, base=None), {0: 0}, [told]).wanted
    gone = Sent("D", [], [], 10, [], "me", Base({0: 0}, None))
    assert decide(table, resolve(table, Table()), gone, {0: 0}, [told]).form is None


def test_a_later_entry_says_what_became_of_a_column_that_a_vague_one_may_have_touched() -> None:
    sent = update([0], [5], hlc=10, base=PAST)
    assert settle(sent, [1, 0, "x"], [vague(99), rival(4, mask=A)]).values == [5]
    assert settle(sent, [1, 0, "x"], [rival(4, mask=A), vague(99)]).values == []
    assert settle(sent, [1, 0, "x"], [vague(1), rival(40, mask=A)]).values == []


@pytest.mark.parametrize("rules", [Table(), Table(merge="row")])
@pytest.mark.parametrize("op", ["D", "R", "U"])
def test_a_whole_row_that_is_what_it_was_has_no_vague_rival(rules: Table, op: str) -> None:
    if op == "U" and rules.merge != "row":
        return
    base = Base({0: 0, 1: 0}, {0: 0, 1: 0, 2: "x"})
    sent = {"D": gone(base=base), "R": whole("R", [5, 5], base=base), "U": update([0], [5], base=base)}[op]
    assert settle(sent, [0, 0, "x"], [vague(99)], rules).form == ("delete" if op == "D" else "update")
    assert settle(sent, [0, 1, "x"], [vague(99)], rules).form is None
    assert settle(replace(sent, base=None), [0, 0, "x"], [vague(99)], rules).wanted


@pytest.mark.parametrize("hlc", [1, 99])
@pytest.mark.parametrize(
    ("policy", "kept", "outcome"),
    [("hub_wins", False, "hub"), ("replica_wins", True, "replica"), ("review", False, "open")],
)
def test_policies_that_name_the_winner(policy: str, kept: bool, outcome: str, hlc: int) -> None:
    decision = settle(update([0], [5], base=PAST), [7, 0, "x"], [rival(hlc, A)], Table(merge={"a": policy}))
    assert bool(decision.columns) is kept and decision.override
    assert [(note.outcome, note.policy) for note in decision.notes] == [(outcome, policy)]


@pytest.mark.parametrize("policy", PLAIN)
def test_who_sent_what_is_there_already_has_no_conflict(policy: str) -> None:
    decision = settle(update([0], [7]), [7, 0, "x"], [rival(99, A)], Table(merge={"a": policy}))
    assert not decision.notes and not decision.wanted and decision.override


@pytest.mark.parametrize("hlc", [9, 11])
@pytest.mark.parametrize("policy", PLAIN)
def test_what_is_written_over_what_the_edit_started_from_has_overruled_nobody(policy: str, hlc: int) -> None:
    """An earlier edit of the replica has won over the rival, and was answered; it has not pulled since."""
    start = {"max": 4, "min": 6}.get(policy, 7)
    sent = update([0], [5], base=Base({0: start}, {0: 5, 1: 0, 2: "x"}))
    decision = settle(sent, [start, 0, "x"], [rival(hlc, A)], Table(merge={"a": policy}))
    lost = not decision.columns
    assert lost is {"hub_wins": True, "review": True, "lww": hlc > 10}.get(policy, False)
    assert bool(decision.notes) is lost and decision.override


# A function


def merged(function: Callable[[Value, Value, Value], Value]) -> Decision:
    sent = update([0], [5], base=Base({0: 1}, None))
    return settle(sent, [7, 0, "x"], [rival(99, A)], Table(merge={"a": function}))


def test_a_function_is_given_base_ours_theirs_and_its_result_is_written() -> None:
    decision = merged(lambda base, ours, theirs: f"{base} {ours} {theirs}")
    assert decision.values == ["1 7 5"] and decision.override
    (note,) = decision.notes
    assert (note.outcome, note.policy, note.resolution) == ("merged", "function", "1 7 5")


def test_a_function_may_refuse_the_edit() -> None:
    def refuse(base: Value, ours: Value, theirs: Value) -> Value:
        raise Reject("not twice a day")

    decision = merged(refuse)
    assert decision.rejected is not None and decision.rejected.detail == "not twice a day"
    assert decision.rejected.code == "rejected_by_rule"
    assert decision.form is None and decision.override and not decision.notes


@pytest.mark.parametrize(
    "function", [lambda *_: 1 // 0, lambda *_: [1], lambda *_: True, lambda *_: 2**63, lambda: None]
)
def test_a_function_that_fails_or_returns_no_value_rejects_the_edit(function: Any) -> None:
    """L2: poison does not block; the edit is kept with the reason, the rest of the push goes on."""
    decision = merged(function)
    assert decision.rejected is not None and decision.rejected.code == "merge_function_failed"


# Rows that compete as a whole: inserts and replacements


@pytest.mark.parametrize("op", ["I", "R"])
@pytest.mark.parametrize("present", [None, [7, 7, "x"]])
@pytest.mark.parametrize(("hlc", "wins"), [(9, True), (11, False)])
def test_an_insert_competes_as_a_whole(op: str, present: list[Value] | None, hlc: int, wins: bool) -> None:
    decision = settle(whole(op, [5, 6], base=PAST), present, [rival(hlc)])
    assert decision.override is not wins
    if not wins:
        assert decision.form is None
        assert [note.outcome for note in decision.notes] == ["hub"]
        return
    assert (decision.form, decision.op) == (("insert", "I") if present is None else ("update", "R"))
    assert (decision.columns, decision.values, decision.entries) == ([0, 1], [5, 6], [(EVERYTHING, 10)])


def test_a_replacement_of_a_row_nobody_touched_but_that_is_gone_inserts_it() -> None:
    decision = settle(whole("R", [5, 6]), None)
    assert (decision.form, decision.op) == ("insert", "I") and not decision.override


def test_an_insert_over_an_existing_row_without_rivals_replaces_it() -> None:
    decision = settle(whole("I", [5, 6]), [0, 0, "x"])
    assert (decision.form, decision.op) == ("update", "R") and not decision.override


def test_two_who_inserted_the_same_row_have_no_conflict() -> None:
    decision = settle(whole("I", [5, 6]), [5, 6, "x"], [rival(99)])
    assert decision.form is None and decision.override and not decision.notes


def test_nothing_left_of_a_row_that_others_made_is_answered_with_their_row() -> None:
    assert settle(gone("-"), [1, 1, "x"]).override
    assert settle(gone("-"), None, [rival(1, op="D")]).override
    quiet = settle(gone("-"), None)
    assert quiet.form is None and not quiet.override


# Deletes


def test_a_delete_of_a_row_that_is_gone_is_answered() -> None:
    decision = settle(gone(), None, [rival(99, op="D")])
    assert decision.form is None and decision.override and not decision.notes


def test_a_delete_without_rivals_is_done() -> None:
    decision = settle(gone(), [1, 1, "x"])
    assert (decision.form, decision.op, decision.entries) == ("delete", "D", [(EVERYTHING, 10)])
    assert not decision.override


@pytest.mark.parametrize(
    ("deletes", "hlc", "deleted"),
    [
        ("newer_wins", 9, True),
        ("newer_wins", 11, False),
        ("delete_wins", 11, True),
        ("update_wins", 9, False),
    ],
)
def test_a_delete_against_an_update(deletes: str, hlc: int, deleted: bool) -> None:
    sent = gone(base=Base({0: 0, 1: 0, 2: "x"}, None))
    decision = settle(sent, [7, 0, "x"], [rival(hlc, A)], Table(deletes=deletes))
    assert decision.form == ("delete" if deleted else None)
    assert decision.override is not deleted
    (note,) = decision.notes
    assert note.policy == deletes
    assert (note.outcome, note.base, note.sent) == ("replica" if deleted else "hub", [0, 0, "x"], None)
    assert note.hub == [7, 0, "x"]


@pytest.mark.parametrize(
    ("deletes", "hlc", "back"),
    [
        ("newer_wins", 9, True),
        ("newer_wins", 11, False),
        ("delete_wins", 9, False),
        ("update_wins", 11, True),
    ],
)
def test_an_update_against_a_delete(deletes: str, hlc: int, back: bool) -> None:
    sent = update([0], [5], base=Base({0: 1}, {0: 5, 1: 4, 2: "x"}))
    decision = settle(sent, None, [rival(hlc, op="D")], Table(deletes=deletes))
    assert decision.override
    (note,) = decision.notes
    assert note.policy == deletes
    assert (note.base, note.sent, note.hub) == ([1, 4, "x"], [5, 4, "x"], None)
    if not back:
        assert decision.form is None and note.outcome == "hub"
        return
    assert note.outcome == "replica"
    assert (decision.form, decision.columns, decision.values) == ("insert", [0, 1], [5, 4])
    assert decision.entries == [(EVERYTHING, 10)]


def test_an_update_of_a_row_gone_without_a_trace_brings_it_back() -> None:
    decision = settle(update([0], [5], base=Base({0: 1}, {0: 5, 1: 4, 2: "x"})), None)
    assert decision.form == "insert" and decision.override and not decision.notes


def test_a_row_comes_back_with_the_newest_hlc_of_its_columns() -> None:
    sent = update([0, 1], [5, 6], hlc=12, stamps=[8, 12], base=Base({0: 0, 1: 0}, {0: 5, 1: 6, 2: "x"}))
    assert settle(sent, None, [rival(9, op="D")]).entries == [(EVERYTHING, 12)]


# Policies for whole rows


@pytest.mark.parametrize("hlc", [9, 11])
@pytest.mark.parametrize("policy", ["row", "hub_wins", "replica_wins", "review"])
@pytest.mark.parametrize("kind", ["update", "insert", "delete", "update of a deleted row"])
def test_a_row_policy_settles_every_kind_of_edit(policy: str, hlc: int, kind: str) -> None:
    base = Base({0: 0, 1: 0, 2: "x"}, {0: 5, 1: 0, 2: "x"})
    sent = {
        "update": update([0], [5], base=base),
        "insert": whole("I", [5, 0]),
        "delete": gone(base=Base(base.before, None)),
        "update of a deleted row": update([0], [5], base=base),
    }[kind]
    present: list[Value] | None = None if kind == "update of a deleted row" else [7, 7, "x"]
    op = "D" if present is None else "U"
    decision = settle(sent, present, [rival(hlc, B, op)], Table(merge=policy))
    wins = {"row": hlc < 10, "hub_wins": False, "replica_wins": True, "review": False}[policy]
    assert (decision.form is not None) is wins
    (note,) = decision.notes
    assert note.column is None
    assert note.outcome == ("replica" if wins else "open" if policy == "review" else "hub")
    if wins and kind == "update":
        assert (decision.op, decision.columns, decision.values) == ("R", [0, 1], [5, 0])


def test_without_rivals_a_row_policy_lets_the_update_through() -> None:
    decision = settle(update([0], [5]), [0, 7, "x"], [], Table(merge="row"))
    assert decision.columns == [0] and not decision.override


# Wanted: the hub cannot decide or record without the base


@pytest.mark.parametrize(
    ("sent", "present", "rules"),
    [
        (update([0], [5]), [7, 0, "x"], Table()),
        (update([0], [5]), [7, 0, "x"], Table(merge="row")),
        (update([0], [5]), None, Table()),
        (update([0], [5], base=Base({0: 0}, None)), None, Table()),
        (gone(), [7, 0, "x"], Table()),
        (whole("R", [5, 5]), [7, 0, "x"], Table()),
    ],
)
@pytest.mark.parametrize("hlc", [9, 11])
def test_a_conflict_without_its_base_is_asked_for_and_decides_nothing(
    sent: Sent, present: list[Value] | None, rules: Table, hlc: int
) -> None:
    """L2: what is overruled is kept with both values and the base."""
    decision = settle(sent, present, [rival(hlc)], rules)
    assert decision.wanted and decision.form is None and not decision.notes and not decision.entries


@pytest.mark.parametrize(
    ("sent", "present"), [(whole("I", [5, 5]), [7, 0, "x"]), (gone("-"), [1, 1, "x"]), (gone(), None)]
)
def test_what_needs_no_base_is_not_asked_for(sent: Sent, present: list[Value] | None) -> None:
    assert not settle(sent, present, [rival(99)]).wanted
