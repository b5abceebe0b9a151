"""An insert or a delete that is offered again, because the centre has lost it, and meets what others have
offered before.

What was accepted in one past was done there one after the other: by who knew the row, whatever clock it had.
So nothing of it is another thing of the same key, nor a rival in the sense of the policies, and clocks alone
decide (law L7). What the log has of a lost past says so by its operation (`model.operations`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import reduce
from operator import or_
from typing import Literal

from syncline.errors import ValueRefused
from syncline.merge.decide import (
    Decision,
    Entry,
    Image,
    Note,
    Sent,
    Stamp,
    decide,
    row_note,
    write_row,
)
from syncline.merge.policies import COLUMN_POLICIES, ROW_POLICIES, default
from syncline.merge.rules import TableRules
from syncline.model.operations import DELETES, GONE, RETURNED
from syncline.model.same import is_same
from syncline.model.schema import TableSchema
from syncline.model.values import Value, add, mask_of, subtract


def decide_again(
    table: TableSchema, rules: TableRules, sent: Sent, present: Image | None, rivals: Sequence[Entry]
) -> Decision:
    """Settle a contested row that is offered again. For an insert, `rivals` are also what its own replica
    has done to the row since it came back."""
    rules = _by_clocks(rules, sent, rivals)
    if sent.op == "I" and _is_same_thing(rivals):
        decided = _insert(table, rules, sent, present, rivals)
        return _counted(sent, present, decided) if present is not None and sent.returned else decided
    rivals = [entry for entry in rivals if entry.stamp[1] != sent.replica]
    if sent.op == "D" and present is not None:
        if any(_is_whole(table, entry) and entry.stamp > sent.stamp for entry in rivals):
            return Decision(override=True)  # the row was made anew after it
        rivals = [entry for entry in rivals if not _is_whole(table, entry)]
    decided = decide(table, rules, sent, present, rivals)
    if sent.op == "U" and sent.returned and present is not None:
        decided.notes += _perhaps_twice(rules, sent, present, rivals, decided)
    return decided


def _perhaps_twice(
    rules: TableRules, sent: Sent, present: Image, rivals: Sequence[Entry], decided: Decision
) -> list[Note]:
    """Of counters that are added to a row which another has brought back as it showed it: the increments may
    be in them already, and only who made the row could tell. Both values are kept (law L12)."""
    rival = max(entry.stamp for entry in rivals)
    written = dict(zip(decided.columns, decided.values, strict=True))
    return [
        Note(column, "replica", rules.columns[column].name, rival, None, written[column], present[column])
        for column in sent.columns
        if column in sent.returned and column in written
    ]


def _by_clocks(rules: TableRules, sent: Sent, rivals: Sequence[Entry]) -> TableRules:
    """The rules without policies by which the last to arrive wins, where another device has sent what is
    newer: it sent that later in the lost past, whoever offers first now, and won. What programs wrote in the
    centre loses to both."""
    newer = [entry for entry in rivals if entry.stamp[1] not in ("hub", sent.replica)]
    newer = [entry for entry in newer if entry.stamp > (sent.newest if sent.column_hlc else sent.stamp)]
    if not newer:
        return rules
    mask = reduce(or_, (entry.mask for entry in newer))
    columns = {
        i: default(COLUMN_POLICIES) if policy.arrival_wins and mask >> i & 1 else policy
        for i, policy in rules.columns.items()
    }
    row = default(ROW_POLICIES) if rules.row.arrival_wins else rules.row  # each had seen the one before
    return replace(rules, columns=columns, row=row)


def _is_same_thing(rivals: Sequence[Entry]) -> bool:
    """Whether the row that is there, or was there last, is of the lost past. Else, or if the log does not
    tell any more, the key may have been taken since by another."""
    same = False
    for entry in rivals:
        if entry.op in (RETURNED, GONE):
            same = True
        elif entry.op == "I":
            same = False
    return same


def _is_whole(table: TableSchema, entry: Entry) -> bool:
    """Whether it made the row, as an insert or an image."""
    return entry.op == RETURNED and entry.mask & table.all_mask == table.all_mask


def _insert(
    table: TableSchema, rules: TableRules, sent: Sent, present: Image | None, rivals: Sequence[Entry]
) -> Decision:
    """What is newer was done to the row that was inserted, by who knew it, as a rule, and what is older to
    one that had its key before. But the row that is there may have been made in another past, which the
    centre has lost too, by whoever did not know this one: nobody can tell, and what loses to others is kept
    (law L2)."""
    others = [entry for entry in rivals if entry.stamp[1] != sent.replica]
    if present is None:
        later = [entry for entry in rivals if entry.op in DELETES and entry.stamp > sent.stamp]
        if not later:
            return write_row(sent, None, [])
        kept = any(entry.stamp[1] != sent.replica for entry in later)
        notes = [row_note(table, rules.deletes, sent, None, others, "hub")] if kept else []
        return Decision(override=True, notes=notes)
    counted = _counts(sent, present)
    differing = [
        column
        for column, value in zip(sent.columns, sent.values, strict=True)
        if column not in counted and not is_same(table.values[column], present[column], value)
    ]
    newest = _newest_of_columns(table, sent, rivals)
    won = [j for j, stamp in enumerate(newest) if stamp <= sent.stamp]
    if len(won) == len(sent.columns):
        notes = [row_note(table, rules.row, sent, present, rivals, "replica")] if differing else []
        return replace(write_row(sent, present, notes), op=RETURNED)
    if rules.row.whole or not won:
        kept = bool(differing) and any(origin != sent.replica for _, origin in newest)
        notes = [row_note(table, rules.row, sent, present, others, "hub")] if kept else []
        return Decision(override=True, notes=notes)
    notes = [
        Note(column, outcome, rules.columns[column].name, newest[j], None, value, present[column])
        for j, (column, value) in enumerate(zip(sent.columns, sent.values, strict=True))
        if (outcome := _outcome(j in won, newest[j], sent)) is not None and column in differing
    ]
    columns, values = [sent.columns[j] for j in won], [sent.values[j] for j in won]
    return Decision(
        "update", "U", columns, values, [(mask_of(columns), sent.hlc)], override=True, notes=notes
    )


def _outcome(has_won: bool, newest: Stamp, sent: Sent) -> Literal["replica", "hub"] | None:
    """Whose value it is, where that is to be noted: not where the replica has edited it later itself."""
    if has_won:
        return "replica"
    return None if newest[1] == sent.replica else "hub"


def _counts(sent: Sent, present: Image) -> dict[int, Value]:
    """What the counters of a row that another has brought back are with what was inserted."""
    found: dict[int, Value] = {}
    for column, value in zip(sent.columns, sent.values, strict=True):
        if column in sent.returned:
            with suppress(ValueRefused):  # not a number: nothing was added to it
                found[column] = add(value, subtract(present[column], sent.returned[column]))
    return found


def _counted(sent: Sent, present: Image, decided: Decision) -> Decision:
    """With the counters of a row that another has brought back: they are what is inserted now, and what was
    offered since the row is back."""
    counted = _counts(sent, present)
    if not counted:
        return decided
    written = dict(zip(decided.columns, decided.values, strict=True)) | counted
    columns = sorted(written)
    op = decided.op or "U"
    return replace(
        decided,
        form="update",
        op=op,
        columns=columns,
        values=[written[column] for column in columns],
        entries=[(mask_of(columns), sent.hlc)] if op == "U" else decided.entries,
        override=True,
    )


def _newest_of_columns(table: TableSchema, sent: Sent, rivals: Sequence[Entry]) -> list[Stamp]:
    """The stamp of the newest edit of each column that was sent. An image is as new as the edits that it came
    with."""
    told: list[tuple[int, Stamp]] = []
    for place, entry in enumerate(rivals):
        stamp = entry.stamp
        if _is_whole(table, entry) and not stamp[0]:
            stamp = max([stamp, *_came_with(rivals[place + 1 :], stamp[1])])
        told.append((entry.mask, stamp))
    return [
        max([stamp for mask, stamp in told if mask >> column & 1], default=(0, "")) for column in sent.columns
    ]


def _came_with(rivals: Sequence[Entry], origin: str) -> list[Stamp]:
    found: list[Stamp] = []
    for entry in rivals:
        if entry.op != RETURNED or entry.stamp[1] != origin or not entry.stamp[0]:
            break
        found.append(entry.stamp)
    return found
