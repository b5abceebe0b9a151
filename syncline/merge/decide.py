"""The decision for one contested row: what is written, what is overruled, what the replica must hear.

A row is contested when others changed it after the replica's base, when it is not there (or there
unexpectedly), or when a column's result depends on the present value. All other rows are applied as
sent, in sets, and never come here.

Source of every rule: `Hub.push` in the project's model of the merge rules; policies beyond the model are
marked. Stamps are compared as (HLC, origin).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from syncline.errors import SynclineError, ValueRefused
from syncline.merge.rules import ColumnFunction, Reject, TableRules
from syncline.model.schema import TableSchema
from syncline.model.values import INTEGER_MAX, INTEGER_MIN, Value, add, identical, larger, smaller

Stamp = tuple[int, str]
NOBODY: Stamp = (-1, "")
Outcome = Literal["replica", "hub", "open", "merged"]
FUNCTION_REMEDY = "Correct the function in the hub's configuration, then retry the edit."


@dataclass(frozen=True, slots=True)
class Entry:
    """One log entry by another origin that the row's base had not seen.

    `unseen` is the mask of sent columns whose own base had not seen it either.
    """

    op: str
    mask: int
    stamp: Stamp
    unseen: int


@dataclass(frozen=True, slots=True)
class Base:
    """What the replica's edits started from (`before`, by column index) and its row as it sent it."""

    before: dict[int, Value]
    image: list[Value] | None


@dataclass(frozen=True, slots=True)
class Sent:
    """One change as a replica sent it. `values[j]` belongs to column `columns[j]`."""

    op: str
    columns: Sequence[int]
    values: Sequence[Value]
    hlc: int
    column_hlc: Sequence[int]
    replica: str
    base: Base | None

    @property
    def stamp(self) -> Stamp:
        return (self.hlc, self.replica)


@dataclass(frozen=True, slots=True)
class Note:
    """A conflict to keep. `column` None: the whole row. Values are the column's or whole rows."""

    column: int | None
    outcome: Outcome
    policy: str
    rival: Stamp
    base: Value | list[Value] | None
    sent: Value | list[Value] | None
    hub: Value | list[Value] | None
    resolution: Value | list[Value] | None = None


@dataclass(slots=True)
class Decision:
    """`form` None: write nothing. `entries`: log entries as (mask, HLC). `wanted`: the hub cannot decide
    or record without the replica's base; nothing else in the decision holds then."""

    form: Literal["insert", "update", "delete"] | None = None
    op: str = ""
    columns: list[int] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    entries: list[tuple[int, int]] = field(default_factory=list)
    override: bool = False
    notes: list[Note] = field(default_factory=list)
    wanted: bool = False
    rejected: SynclineError | None = None


def decide(
    table: TableSchema, rules: TableRules, sent: Sent, present: list[Value] | None, rivals: Sequence[Entry]
) -> Decision:
    """Settle one contested row. `present` is the centre's row (all value columns), or None."""
    if sent.op == "-":
        return Decision(override=bool(rivals) or present is not None)
    if sent.op == "D":
        return _delete(table, rules, sent, present, rivals)
    if sent.op in ("I", "R"):
        return _whole(table, rules, sent, present, rivals)
    if present is None:
        return _update_of_deleted(table, rules, sent, rivals)
    if rules.row is not None and rivals:
        return _row_update(table, rules, sent, present, rivals)
    return _update(table, rules, sent, present, rivals)


def _newest(rivals: Sequence[Entry]) -> Stamp:
    return max((entry.stamp for entry in rivals), default=NOBODY)


def _loses(rules: TableRules, stamp: Stamp, rivals: Sequence[Entry]) -> bool:
    """Whether a change that competes as a whole row loses (policies beyond `lww`: not in the model)."""
    if rules.row in ("hub_wins", "review"):
        return bool(rivals)
    return rules.row != "replica_wins" and _newest(rivals) > stamp


def _row_note(
    table: TableSchema,
    rules: TableRules,
    sent: Sent,
    present: list[Value] | None,
    rivals: Sequence[Entry],
    won: bool,
) -> Note:
    base = sent.base
    before: list[Value] | None = None
    if base is not None and sent.op != "I":
        before = list(base.image) if base.image is not None else [None] * len(table.values)
        for column, value in base.before.items():
            before[column] = value
    image: list[Value] | None = None
    if sent.op in ("I", "R"):
        image = _spread(table, sent.columns, sent.values)
    elif sent.op == "U" and base is not None and base.image is not None:
        image = list(base.image)
    outcome: Outcome = "replica" if won else "open" if rules.row == "review" else "hub"
    return Note(None, outcome, rules.row or "lww", _newest(rivals), before, image, present)


def _spread(table: TableSchema, columns: Sequence[int], values: Sequence[Value]) -> list[Value]:
    row: list[Value] = [None] * len(table.values)
    for column, value in zip(columns, values, strict=True):
        row[column] = value
    return row


def _delete(
    table: TableSchema, rules: TableRules, sent: Sent, present: list[Value] | None, rivals: Sequence[Entry]
) -> Decision:
    if present is None:
        return Decision(override=True)
    loses = _loses(rules, sent.stamp, rivals)
    if rules.row is None and rules.deletes == "delete_wins":
        loses = False
    elif rules.row is None and rules.deletes == "update_wins":
        loses = any(entry.op != "D" for entry in rivals)
    if rivals and sent.base is None:
        return Decision(wanted=True)
    notes = [_row_note(table, rules, sent, present, rivals, not loses)] if rivals else []
    if loses:
        return Decision(override=True, notes=notes)
    return Decision("delete", "D", entries=[(table.all_mask, sent.hlc)], notes=notes)


def _whole(
    table: TableSchema, rules: TableRules, sent: Sent, present: list[Value] | None, rivals: Sequence[Entry]
) -> Decision:
    """An insert, or removed and created again: the row competes as a whole."""
    loses = _loses(rules, sent.stamp, rivals)
    same = present is not None and all(
        identical(present[c], v) for c, v in zip(sent.columns, sent.values, strict=True)
    )
    if rivals and not same and sent.op == "R" and sent.base is None:
        return Decision(wanted=True)
    notes = []
    if rivals and not same and (loses or present is not None):
        notes = [_row_note(table, rules, sent, present, rivals, not loses)]
    if loses:
        return Decision(override=True, notes=notes)
    return _write_row(table, sent.columns, sent.values, sent.hlc, present, notes)


def _write_row(
    table: TableSchema,
    columns: Sequence[int],
    values: Sequence[Value],
    hlc: int,
    present: list[Value] | None,
    notes: list[Note],
) -> Decision:
    form: Literal["insert", "update"] = "insert" if present is None else "update"
    op = "I" if present is None else "R"
    return Decision(form, op, list(columns), list(values), [(table.all_mask, hlc)], notes=notes)


def _pushed(table: TableSchema, image: list[Value]) -> tuple[list[int], list[Value]]:
    columns = list(table.pushed)
    return columns, [image[column] for column in columns]


def _update_of_deleted(
    table: TableSchema, rules: TableRules, sent: Sent, rivals: Sequence[Entry]
) -> Decision:
    """The row comes back, from the image the replica kept, if the update wins over the delete."""
    if sent.base is None or sent.base.image is None:
        return Decision(wanted=True)
    last = max(sent.column_hlc, default=sent.hlc)
    loses = _loses(rules, (last, sent.replica), rivals)
    if rules.row is None and rules.deletes == "delete_wins":
        loses = True
    elif rules.row is None and rules.deletes == "update_wins":
        loses = False
    notes = [_row_note(table, rules, sent, None, rivals, not loses)] if rivals else []
    if loses:
        return Decision(override=True, notes=notes)
    columns, values = _pushed(table, sent.base.image)
    return Decision("insert", "I", columns, values, [(table.all_mask, last)], override=True, notes=notes)


def _row_update(
    table: TableSchema, rules: TableRules, sent: Sent, present: list[Value], rivals: Sequence[Entry]
) -> Decision:
    """Policy for whole rows: the update stands for its row (not in the model)."""
    if sent.base is None or sent.base.image is None:
        return Decision(wanted=True)
    last = max(sent.column_hlc, default=sent.hlc)
    loses = _loses(rules, (last, sent.replica), rivals)
    notes = [_row_note(table, rules, sent, present, rivals, not loses)]
    if loses:
        return Decision(override=True, notes=notes)
    columns, values = _pushed(table, sent.base.image)
    decision = _write_row(table, columns, values, last, present, notes)
    decision.override = True
    return decision


@dataclass(frozen=True, slots=True)
class _Settled:
    """`kept`: `result` becomes the column's value; otherwise the present value stays."""

    result: Value
    kept: bool
    note: Note | None = None


def _update(
    table: TableSchema, rules: TableRules, sent: Sent, present: list[Value], rivals: Sequence[Entry]
) -> Decision:
    decision = Decision("update", "U", override=bool(rivals))
    by_hlc: dict[int, int] = {}
    for column, value, hlc in zip(sent.columns, sent.values, sent.column_hlc, strict=True):
        bit = 1 << column
        newest = _newest([entry for entry in rivals if entry.mask & entry.unseen & bit])
        try:
            settled = _column(rules, sent, column, value, (hlc, sent.replica), present[column], newest)
        except (Reject, ValueRefused) as reason:
            return Decision(override=True, rejected=reason)
        if settled is None:
            return Decision(wanted=True)
        if settled.note is not None:
            decision.notes.append(settled.note)
        if not settled.kept:
            decision.override = True
            continue
        by_hlc[hlc] = by_hlc.get(hlc, 0) | bit
        decision.columns.append(column)
        decision.values.append(settled.result)
        if rules.columns[column] != "sum" and not identical(settled.result, value):
            decision.override = True
    decision.entries = [(by_hlc[hlc], hlc) for hlc in sorted(by_hlc)]
    if not decision.columns:
        decision.form = None
    return decision


def _column(
    rules: TableRules, sent: Sent, column: int, value: Value, stamp: Stamp, present: Value, newest: Stamp
) -> _Settled | None:
    """Settle one column; None when the base is needed and was not sent."""
    policy = rules.columns[column]
    if policy == "sum":
        return _Settled(add(present, value), True)
    extreme = value
    if policy in ("max", "min"):
        pick = larger if policy == "max" else smaller
        extreme = pick(present, value, rules.numeric[column])
    if newest == NOBODY:
        unchanged = policy in ("max", "min") and identical(extreme, present)
        return _Settled(extreme, not unchanged)
    if not callable(policy) and identical(present, value):
        return _Settled(value, policy == "replica_wins" or (policy == "lww" and newest <= stamp))
    if sent.base is None:
        return None
    before, outcome, result = sent.base.before.get(column), "replica", extreme
    if callable(policy):
        result, outcome = _called(policy, before, present, value), "merged"
    elif policy in ("max", "min"):
        outcome = "hub" if identical(extreme, present) else "replica"
    elif policy == "hub_wins" or (policy == "lww" and newest > stamp):
        outcome = "hub"
    elif policy == "review":
        outcome = "open"
    note = Note(
        column,
        outcome,  # type: ignore[arg-type]
        "function" if callable(policy) else policy,
        newest,
        before,
        value,
        present,
        result if outcome == "merged" else None,
    )
    return _Settled(result, outcome in ("replica", "merged"), note)


def _called(function: ColumnFunction, base: Value, ours: Value, theirs: Value) -> Value:
    """What the user's function makes of a conflict. Whatever goes wrong in it rejects this edit alone."""
    name = getattr(function, "__name__", "?")
    try:
        result = function(base, ours, theirs)
    except Reject:
        raise
    except Exception as error:
        detail = f"the merge function {name} failed: {type(error).__name__}: {error}"
        raise Reject(detail, code="merge_function_failed", remedy=FUNCTION_REMEDY) from error
    good = type(result) in (type(None), int, float, str, bytes)
    if not good or (isinstance(result, int) and not INTEGER_MIN <= result <= INTEGER_MAX):
        detail = f"the merge function {name} returned {type(result).__name__}, which cannot be carried"
        raise Reject(detail, code="merge_function_failed", remedy=FUNCTION_REMEDY)
    return "NaN" if result != result else result
