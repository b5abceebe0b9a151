"""The decision for one contested row: what is written, what is overruled, what the replica must hear.

A row is contested when others changed it after the replica's base, when it is not there (or there
unexpectedly), or when a column's result depends on the present value. All other rows are applied as
sent, in sets, and never come here. What a policy makes of a contest stands in `merge.policies`.

Source of every rule: `Hub.push` in the project's model of the merge rules; rows that compete as a whole are
beyond it. Stamps are compared as (HLC, origin).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from syncline.errors import SynclineError, ValueRefused
from syncline.merge.policies import (
    KEY_TAKEN,
    KEY_TAKEN_REMEDY,
    Contest,
    DeletePolicy,
    Outcome,
    Reject,
    RowPolicy,
    Settled,
)
from syncline.merge.rules import TableRules
from syncline.model.operations import DELETES, GONE, RETURNED
from syncline.model.same import is_same
from syncline.model.schema import ColumnSchema, TableSchema
from syncline.model.values import EVERYTHING, Value, identical, subtract

Stamp = tuple[int, str]
Image = Mapping[int, Value]
"""A row, or what is known of it: values by the number of their column."""
NOBODY: Stamp = (0, "")
THERE: Stamp = (0, "hub")
"""What was there already won: whoever wrote it was seen."""
WRITTEN = ("replica", "merged")
"""Outcomes that change the column; otherwise the hub's value stays."""


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

    before: Mapping[int, Value]
    image: Mapping[int, Value] | None


@dataclass(frozen=True, slots=True)
class Sent:
    """One change as a replica sent it. `values[j]` belongs to column `columns[j]`. `past`: whether it was
    made in a past that the centre has lost: not at all, perhaps, or certainly, as it is `offered` again.
    `returned`: what counters had of others when the row was brought back by one who did not make it; of an
    update only if that was another."""

    op: str
    columns: Sequence[int]
    values: Sequence[Value]
    hlc: int
    column_hlc: Sequence[int]
    replica: str
    base: Base | None
    past: Literal["no", "perhaps", "offered"] = "no"
    returned: Mapping[int, Value] = field(default_factory=dict)

    @property
    def stamp(self) -> Stamp:
        return (self.hlc, self.replica)

    @property
    def newest(self) -> Stamp:
        """The stamp of the newest edit among those of an update."""
        return (max(self.column_hlc), self.replica)


@dataclass(frozen=True, slots=True)
class Note:
    """A conflict to keep. `column` None: the whole row. Values are the column's or whole rows; `unknown` are
    the places of a row of which nobody knows what it held there, by the name of the field."""

    column: int | None
    outcome: Outcome
    policy: str
    rival: Stamp
    base: Value | list[Value] | None
    sent: Value | list[Value] | None
    hub: Value | list[Value] | None
    resolution: Value | list[Value] | None = None
    unknown: Mapping[str, list[int]] = field(default_factory=dict)


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
    returned: Mapping[int, Value] = field(default_factory=dict)
    """As `Sent.returned`, from now on."""


def decide(
    table: TableSchema, rules: TableRules, sent: Sent, present: Image | None, rivals: Sequence[Entry]
) -> Decision:
    """Settle one contested row. `present` is the centre's row, or None."""
    if sent.op == "-":
        return Decision(override=bool(rivals) or present is not None)
    if rules.key_taken and (taken := _key_taken(table, sent, present, rivals)) is not None:
        return taken
    if present is not None and (sent.op in ("D", "R") or rules.row.whole):
        if _are_vague(table, rivals) and sent.base is None:
            return Decision(wanted=True)
        rivals = _real(table, sent, present, rivals)
    if sent.op == "D":
        return _delete(table, rules, sent, present, rivals)
    if sent.op in ("I", "R"):
        return _whole(table, rules, sent, present, rivals)
    if present is None:
        return _update_of_deleted(table, rules, sent, rivals)
    if rules.row.whole and rivals:
        return _row_update(table, rules, sent, present, rivals)
    return _update(table, rules, sent, present, rivals)


def _key_taken(
    table: TableSchema, sent: Sent, present: Image | None, rivals: Sequence[Entry]
) -> Decision | None:
    """What becomes of a change whose row is another's by now, where one key means two things; None if it is
    not. What the replica did to a row of its own before it knew of the other is no edit of the other."""
    if sent.op == "I":
        if present is None:
            return write_row(sent, None, [])
        if is_there(table, sent, present):
            return None
    elif present is None or not rivals or rivals[0].op != "I":
        return None
    elif sent.op == "D":
        return Decision(override=True)
    detail = f"table {table.name}: another row was inserted under this key"
    return Decision(override=True, rejected=Reject(detail, code=KEY_TAKEN, remedy=KEY_TAKEN_REMEDY))


def _is_vague(table: TableSchema, entry: Entry) -> bool:
    """Whether the entry says that something of the row was written in the centre, and not what.

    Where capture cannot tell, it names every column."""
    every = table.all_mask
    return (
        entry.op == "U"
        and entry.stamp[1] == "hub"
        and every & (every - 1) != 0
        and entry.mask & every == every
    )


def _are_vague(table: TableSchema, rivals: Sequence[Entry]) -> bool:
    return any(_is_vague(table, entry) for entry in rivals)


def _real(table: TableSchema, sent: Sent, present: Image, rivals: Sequence[Entry]) -> Sequence[Entry]:
    """The rivals of a change that competes as a whole row: without the vague ones where the centre's row is
    what the change started from."""
    base = sent.base
    if base is None:
        return rivals
    before = dict(base.image or {}) | dict(base.before)
    if not before or not all(identical(present[column], value) for column, value in before.items()):
        return rivals
    return [entry for entry in rivals if not _is_vague(table, entry)]


def _of_column(
    table: TableSchema, sent: Sent, column: int, present: Value, rivals: Sequence[Entry]
) -> list[Entry]:
    """The rivals of the edit of one column.

    A vague one is none if the centre's value is what the edit started from; where a later entry names the
    column, that one says what became of it."""
    bit, found = 1 << column, []
    untouched = sent.base is not None and column in sent.base.before
    untouched = untouched and identical(present, sent.base.before[column])  # type: ignore[union-attr]
    named = False
    for entry in reversed(rivals):
        if not entry.mask & entry.unseen & bit:
            continue
        if not _is_vague(table, entry):
            named = True
            found.append(entry)
        elif not named and not untouched:
            found.append(entry)
    return found


def _newest(rivals: Sequence[Entry]) -> Stamp:
    return max([entry.stamp for entry in rivals]) if rivals else NOBODY


def _is_newest(stamp: Stamp, rivals: Sequence[Entry]) -> bool:
    """Whether no rival is newer."""
    return _newest(rivals) <= stamp


def _row_outcome(rules: TableRules, stamp: Stamp, rivals: Sequence[Entry]) -> Outcome:
    """Who wins where a change competes as a whole row; nobody was there to lose to without rivals."""
    return rules.row.settle(_is_newest(stamp, rivals)) if rivals else "replica"


def row_note(
    table: TableSchema,
    policy: RowPolicy | DeletePolicy,
    sent: Sent,
    present: Image | None,
    rivals: Sequence[Entry],
    outcome: Outcome,
) -> Note:
    """The note of a change that competed as a whole row."""
    base = sent.base
    before: Image | None = None
    if base is not None and sent.op != "I":
        before = dict(base.image or {}) | dict(base.before)
    image: Image | None = None
    if sent.op in ("I", "R"):
        image = dict(zip(sent.columns, sent.values, strict=True))
    elif sent.op == "U" and base is not None and base.image is not None:
        image = base.image
    told = {"base": before, "sent": image}  # what is there is known whole
    unknown = {name: places for name, one in told.items() if (places := _unknown(table, one))}
    base_row, sent_row, hub_row = (_row(table, one) for one in (before, image, present))
    rival = _newest(rivals)
    return Note(None, outcome, policy.name, rival, base_row, sent_row, hub_row, unknown=unknown)


def _notes_of_row(
    table: TableSchema,
    policy: RowPolicy | DeletePolicy,
    sent: Sent,
    present: Image | None,
    rivals: Sequence[Entry],
    outcome: Outcome,
) -> list[Note]:
    """The note of a change that competed as a whole row: none, if it won over no row. One over the very row
    that it started from is noted: others may have written into columns of it that are not known here yet."""
    if outcome == "replica" and present is None:
        return []
    return [row_note(table, policy, sent, present, rivals, outcome)]


def _row(table: TableSchema, image: Image | None) -> list[Value] | None:
    """A row for a note: the values of all columns, in their order; NULL where it is not known."""
    return None if image is None else [image.get(column) for column in table.values]


def _unknown(table: TableSchema, image: Image | None) -> list[int]:
    """The places of a row of which the image says nothing: a device of an older schema lacks columns."""
    return [] if image is None else [place for column, place in table.places.items() if column not in image]


def _delete(
    table: TableSchema, rules: TableRules, sent: Sent, present: Image | None, rivals: Sequence[Entry]
) -> Decision:
    if present is None:
        if sent.past == "no":
            return Decision(override=True)
        return Decision("delete", GONE, entries=[(EVERYTHING, sent.hlc)], override=True)
    policy = rules.row if rules.row.whole else rules.deletes
    if rules.row.whole:
        outcome = _row_outcome(rules, sent.stamp, rivals)
    else:
        updated = any(entry.op not in DELETES for entry in rivals)
        stands = rules.deletes.delete_stands(_is_newest(sent.stamp, rivals), updated)
        outcome = "replica" if stands else "hub"
    if rivals and sent.base is None:
        return Decision(wanted=True)
    notes = _notes_of_row(table, policy, sent, present, rivals, outcome) if rivals else []
    if outcome != "replica":
        return Decision(override=True, notes=notes)
    op = "D" if sent.past == "no" else GONE
    return Decision("delete", op, entries=[(EVERYTHING, sent.hlc)], notes=notes)


def _whole(
    table: TableSchema, rules: TableRules, sent: Sent, present: Image | None, rivals: Sequence[Entry]
) -> Decision:
    """An insert, or removed and created again: the row competes as a whole."""
    outcome = _row_outcome(rules, sent.stamp, rivals)
    same = present is not None and is_there(table, sent, present)
    if rivals and not same and sent.op == "R" and sent.base is None:
        return Decision(wanted=True)
    noted = rivals and not same
    notes = _notes_of_row(table, rules.row, sent, present, rivals, outcome) if noted else []
    if outcome != "replica":
        return Decision(override=True, notes=notes)
    return write_row(sent, present, notes)


def is_there(table: TableSchema, sent: Sent, present: Image) -> bool:
    """Whether the row that is there is the one that was sent, however its values are spelled."""
    pairs = zip(sent.columns, sent.values, strict=True)
    return all(is_same(table.values[column], present[column], value) for column, value in pairs)


def write_row(sent: Sent, present: Image | None, notes: list[Note]) -> Decision:
    """What was sent is the row."""
    columns, values = list(sent.columns), list(sent.values)
    if present is not None:
        return Decision("update", "R", columns, values, [(EVERYTHING, sent.hlc)], notes=notes)
    return Decision("insert", _made_by(sent), columns, values, [(EVERYTHING, sent.hlc)], notes=notes)


def _made_by(sent: Sent) -> str:
    """The operation of the log of a row that was not there. What the centre may have lost was there once."""
    is_anew = sent.past == "no" or (sent.past == "perhaps" and sent.op == "I")
    return "I" if is_anew else RETURNED


def _pushed(table: TableSchema, sent: Sent, image: Image) -> tuple[list[int], list[Value]]:
    """What a device has of a row: a device of an older schema lacks columns, which get their defaults. So
    does what it could not make a default for; a NULL that was written is one."""
    columns = [
        column
        for column in table.pushed
        if column in image and (column in sent.columns or not is_default(table.values[column], image[column]))
    ]
    return columns, [image[column] for column in columns]


def is_default(column: ColumnSchema, value: Value) -> bool:
    """Whether a new row that holds this means the default of the database: a NULL where it takes none. A
    device whose table was altered after it was made may not be able to make a default."""
    return value is None and column.defaulted and not column.nullable


def _update_of_deleted(
    table: TableSchema, rules: TableRules, sent: Sent, rivals: Sequence[Entry]
) -> Decision:
    """The row comes back, from the image the replica kept, if the update wins over the delete."""
    if sent.base is None or sent.base.image is None:
        return Decision(wanted=True)
    outcome: Outcome
    policy = rules.row if rules.row.whole else rules.deletes
    if rules.row.whole:
        outcome = _row_outcome(rules, sent.newest, rivals)
    else:
        stands = rules.deletes.update_stands(_is_newest(sent.newest, rivals))
        outcome = "replica" if stands else "hub"
    lost = outcome != "replica"  # without a rival too: the insert before it may have been rejected (law L2)
    notes = [row_note(table, policy, sent, None, rivals, outcome)] if rivals or lost else []
    if lost:
        return Decision(override=True, notes=notes)
    columns, values = _pushed(table, sent, sent.base.image)
    found = Decision("insert", _made_by(sent), columns, values, override=True, notes=notes)
    if sent.past == "no" or rules.row.whole:
        found.entries = [(EVERYTHING, sent.newest[0])]
    else:  # others may be offered whose clocks are older than this one
        found.entries = [(EVERYTHING, 0), *_edited(sent)]
        found.returned = _of_others(rules, sent, dict(zip(columns, values, strict=True)))
    return found


def _of_others(rules: TableRules, sent: Sent, image: Image) -> dict[int, Value]:
    """What the counters of an image have besides what is sent."""
    added, found = dict(zip(sent.columns, sent.values, strict=True)), dict[int, Value]()
    for column, value in image.items():
        if rules.columns[column].travels == "difference":
            with suppress(ValueRefused):  # not a number: nothing was added to it
                found[column] = subtract(value, added.get(column))
    return found


def _edited(sent: Sent) -> list[tuple[int, int]]:
    """The log entries of an update: the masks of columns that were edited at the same time."""
    masks: dict[int, int] = {}
    for column, hlc in zip(sent.columns, sent.column_hlc, strict=True):
        masks[hlc] = masks.get(hlc, 0) | 1 << column
    return [(mask, hlc) for hlc, mask in sorted(masks.items())]


def _row_update(
    table: TableSchema, rules: TableRules, sent: Sent, present: Image, rivals: Sequence[Entry]
) -> Decision:
    """A policy for whole rows: the update stands for its row (not in the model)."""
    if sent.base is None or sent.base.image is None:
        return Decision(wanted=True)
    outcome = _row_outcome(rules, sent.newest, rivals)
    notes = _notes_of_row(table, rules.row, sent, present, rivals, outcome)
    if outcome != "replica":
        return Decision(override=True, notes=notes)
    columns, values = _pushed(table, sent, sent.base.image)
    entries = [(EVERYTHING, sent.newest[0])]
    return Decision("update", "R", columns, values, entries, override=True, notes=notes)


def _update(
    table: TableSchema, rules: TableRules, sent: Sent, present: Image, rivals: Sequence[Entry]
) -> Decision:
    decision = Decision("update", "U", override=bool(rivals))
    if sent.base is None and _are_vague(table, rivals):
        return Decision(wanted=True)
    by_hlc: dict[int, int] = {}
    for j, column in enumerate(sent.columns):
        bit = 1 << column
        newest = _newest(_of_column(table, sent, column, present[column], rivals))
        try:
            found = _column(table, rules, sent, j, present[column], newest)
        except (Reject, ValueRefused) as reason:
            return Decision(override=True, rejected=reason)
        if found is None:
            return Decision(wanted=True)
        (value, outcome), note = found
        if note is not None:
            decision.notes.append(note)
        if outcome not in WRITTEN:
            decision.override = True
            continue
        hlc = sent.column_hlc[j]
        by_hlc[hlc] = by_hlc.get(hlc, 0) | bit
        decision.columns.append(column)
        decision.values.append(value)
        if rules.columns[column].travels == "value":
            decision.override = decision.override or not identical(value, sent.values[j])
        elif not isinstance(value, int):
            # The device shows what its own arithmetic made: another last bit, or 5 where it is 5.00 here.
            decision.override = True
    decision.entries = [(by_hlc[hlc], hlc) for hlc in sorted(by_hlc)]
    if not decision.columns:
        decision.form = None
    return decision


def _column(
    table: TableSchema, rules: TableRules, sent: Sent, j: int, present: Value, newest: Stamp
) -> tuple[Settled, Note | None] | None:
    """Settle column j of those sent; None when the base is needed and was not sent.

    `newest` is the stamp of the newest edit of others that the column's base had not seen. What takes the
    place of the very value that it started from has overruled nobody: whatever others did was overwritten
    before, most often by an earlier edit of the same replica, and was kept then.
    """
    column, value = sent.columns[j], sent.values[j]
    policy = rules.columns[column]
    contested = newest != NOBODY
    if not contested and not policy.uses_present:
        return Settled(value, "replica"), None
    differs = policy.travels == "value" and not is_same(table.values[column], present, value)
    newer = newest <= (sent.column_hlc[j], sent.replica)

    def settle(before: Value) -> Settled:
        return policy.settle(Contest(before, present, value, newer, rules.numeric[column]))

    noted = contested and (policy.reads_base or differs)
    if not contested and differs:  # nobody else edited it, and it does not exceed what is there
        noted = settle(None).outcome not in WRITTEN
    if noted and sent.base is None:
        return None
    known: Mapping[int, Value] = sent.base.before if noted and sent.base is not None else {}
    before = known.get(column)
    settled = settle(before)
    if not noted or (settled.outcome == "replica" and column in known and identical(before, present)):
        return settled, None
    made = settled.value if settled.outcome == "merged" else None
    rival = newest if contested else THERE
    return settled, Note(column, settled.outcome, policy.name, rival, before, value, present, made)
