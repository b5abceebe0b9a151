"""Step 6 of the path: which rows of a push are contested, and what becomes of those.

The uncontested rows, nearly all, stay in their stages and are applied in sets. Contested rows are taken
out, decided one by one by `merge.decide`, and come back as stages of decided rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Literal

from syncline.errors import Conflict, SynclineError
from syncline.hub.accept import Part
from syncline.hub.bases import Bases, File, compared, not_own
from syncline.hub.clocks import keep_order, note_claims
from syncline.hub.contract import Form, Key, Rival, Stage, WriteTransaction, codes
from syncline.hub.dependents import Held, RowId, held_by, pointing_at, rest_of_keys, row_id
from syncline.hub.respelled import as_there
from syncline.hub.returned import ReturnedRows
from syncline.merge.again import decide_again
from syncline.merge.decide import Base, Decision, Entry, Image, Note, Sent, decide
from syncline.merge.policies import Reject
from syncline.merge.rules import TableRules
from syncline.model.operations import GONE, RETURNED
from syncline.model.schema import Schema
from syncline.model.values import Value, mask_of

FORMS: dict[str, Form] = {"I": "insert", "R": "update", "U": "update", "D": "delete", "-": "delete"}


@dataclass(slots=True)
class Settled:
    """What a push amounts to. `stages` are ready to apply (unordered).

    `overrides` are rows whose central state is not simply what was sent; `wanted` rows need details, and
    if there are any nothing else holds.
    """

    stages: list[Stage] = field(default_factory=list)
    overrides: dict[RowId, None] = field(default_factory=dict)
    wanted: dict[RowId, None] = field(default_factory=dict)
    notes: list[tuple[RowId, int, Note]] = field(default_factory=list)
    """(row, HLC of the pushed edit, note)"""
    rejected: dict[RowId, SynclineError] = field(default_factory=dict)
    parents: dict[RowId, RowId] = field(default_factory=dict)
    """Of rejected rows that point at a rejected one: which."""
    held: dict[RowId, Held] = field(default_factory=dict)
    """What rejected inserts hold, where foreign keys point at more than their keys."""
    fallen: dict[tuple[RowId, int | None], tuple[int, Note]] = field(default_factory=dict)
    """What the push took along of others: rows, and by column references. (HLC of the edit that did, note);
    whatever becomes of the push's own edits of these."""
    emptied: set[tuple[RowId, int | None]] = field(default_factory=set)
    """Those of these references that an update emptied: edits of them may have been decided afterwards."""
    former: dict[RowId, Image] = field(default_factory=dict)
    """What rows held that others had changed, and the push updates."""

    @property
    def taken(self) -> list[RowId]:
        """The rejected inserts whose key another row has: what points at them does not mean that row."""
        taken = [row for row, why in self.rejected.items() if why.code == codes.KEY_TAKEN]
        return [*taken, *self.parents]

    def every_note(self) -> Iterator[Note]:
        """Also those of rejected rows."""
        yield from (note for _, _, note in self.notes)
        yield from (note for _, note in self.fallen.values())


def stages_of(parts: Sequence[Part]) -> list[Stage]:
    """Every part as it is loaded into the database, untouched."""
    return [
        Stage(part.table, FORMS[part.op], part.op, part.columns, part.rows, part.hlc, _entries(part))
        for part in parts
    ]


def _entries(part: Part) -> list[tuple[int, int, int]] | None:
    """Columns that were edited at different times are logged apart, each with its own clock (law L7)."""
    if part.column_hlc is None:
        return None
    entries = []
    for row, stamps in enumerate(part.column_hlc):
        masks: dict[int, int] = {}
        for column, hlc in zip(part.columns, stamps, strict=True):
            masks[hlc] = masks.get(hlc, 0) | 1 << column
        entries += [(row, mask, hlc) for hlc, mask in sorted(masks.items())]
    return entries


def rivals_of(
    transaction: WriteTransaction,
    stages: Sequence[Stage],
    parts: Sequence[Part],
    bases: Bases,
    replica: str,
) -> list[dict[int, list[Rival]]]:
    """Per part: the log entries that each row's base had not seen, by row number. Of an insert that is
    offered again also those of the replica itself: they tell whose row it meets."""
    offered, result = bases.file is not None and bases.file.offered, []
    for stage, part in zip(stages, parts, strict=True):
        by_row: dict[int, list[Rival]] = {}
        if part.rows:
            without = "" if offered and part.op == "I" else replica
            for rival in transaction.rows.rivals(stage, bases.positions, part.base, without):
                by_row.setdefault(rival.row, []).append(rival)
        result.append(by_row)
    return result


@dataclass(frozen=True, slots=True)
class PushContext:
    """What a push is settled by: the transaction, the present schema and the rules by numbers of tables, what
    the push says of its bases and of its rows (`details`), and whose it is."""

    transaction: WriteTransaction
    schema: Schema
    rules: Mapping[int, TableRules]
    bases: Bases
    replica: str
    details: Mapping[RowId, Base]


def settle(context: PushContext, parts: Sequence[Part], stages: Sequence[Stage]) -> Settled:
    """Load the parts, as stages, lock, find the contested rows, decide them. Writes nothing to the user's
    tables."""
    transaction, schema, bases, replica = context.transaction, context.schema, context.bases, context.replica
    for stage in stages:
        transaction.rows.stage(stage)
    unexpected = transaction.rows.lock(stages, hopeful=transaction.attempt == 0)
    rivals = rivals_of(transaction, stages, parts, bases, replica)
    if bases.file is not None:
        _mark(stages, bases.file)
        rivals, bases = _of_others(transaction, rivals, bases, bases.file)
        context = replace(context, bases=bases)
    keep_order(transaction, parts, rivals)
    settled = Settled()
    decided = _Decided(settled, ReturnedRows(transaction))
    for part, stage, strange, others in zip(parts, stages, unexpected, rivals, strict=True):
        taken_out = _take_out(context, part, stage, strange, others, decided)
        if taken_out < len(part.rows):
            settled.stages.append(stage)
    if not settled.wanted:
        decided.returned.save()
        note_claims(transaction, parts, replica)
        for stage in decided.stages():
            transaction.rows.stage(stage)
            settled.stages.append(stage)
        if settled.taken:
            settled.held |= _held_by_taken(schema, settled, stages)
            reject_dependents(transaction, schema, settled, stages, settled)
    return settled


def _take_out(
    context: PushContext,
    part: Part,
    stage: Stage,
    strange: Sequence[int],
    rivals: dict[int, list[Rival]],
    decided: _Decided,
) -> int:
    """Decide the contested rows of a part, which its stage is without from then on; how many they are."""
    never, left = _unfit(context.transaction, part, stage)
    absent = sorted({*strange, *never})
    rules = context.rules[part.table]
    contested = never if stage.held else _contested(part, absent, rivals, rules, context.bases)
    contested = [row for row in contested if row not in left]
    if contested:
        _decide_rows(context, part, absent, contested, rivals, decided)
        context.transaction.rows.discard(stage, contested)
        stage.discarded.update(contested)
    return len(contested)


def _mark(stages: Sequence[Stage], file: File) -> None:
    """Let the log say what belongs to a past that the centre has lost, or may have."""
    for stage in stages:
        if stage.op == "I" and file.offered:
            stage.op = RETURNED
        elif stage.op == "D":
            stage.op = GONE


def _of_others(
    transaction: WriteTransaction, rivals: Sequence[dict[int, list[Rival]]], bases: Bases, file: File
) -> tuple[list[dict[int, list[Rival]]], Bases]:
    """The rivals without what the file itself certainly did under a former id; and the bases, with those of
    the other origins that are copies of it."""
    left: list[dict[int, list[Rival]]] = []
    for rows in rivals:
        found = {
            row: [one for one in some if not file.did(one.origin, one.place)] for row, some in rows.items()
        }
        left.append({row: some for row, some in found.items() if some})
    origins = {rival.origin for rows in left for some in rows.values() for rival in some}
    lineage = frozenset(name for name in origins if _root(transaction, name) in file.lineage)
    return left, replace(bases, file=replace(file, lineage=lineage))


def _root(transaction: WriteTransaction, name: str) -> str:
    """The first id that the file of this one had."""
    client = transaction.ledger.client(name)
    return name if client is None or not client.root else client.root


def reject_dependents(
    transaction: WriteTransaction,
    schema: Schema,
    settled: Settled,
    sent: Sequence[Stage],
    among: Settled,
) -> None:
    """Take the rows that point at those `taken` among what was settled, of these stages or before, out of the
    stages: nothing else would keep them from pointing at another's row. `sent`: the stages as they were
    sent."""
    below: set[RowId] = set()
    settled.held |= among.held
    stages = _completed(transaction, schema, settled.stages) if among.taken else []
    for stage, row, parent in pointing_at(schema, stages, among.taken, _met(sent), settled.held):
        name = schema.by_number[parent[0]].name
        detail = f"depends on the row of {name} with key {list(parent[1])!r}, which was rejected"
        why = Reject(detail, code=codes.PARENT_REJECTED, remedy=codes.remedy_of(codes.PARENT_REJECTED))
        place = row_id(schema, stage, row)
        before = settled.rejected.get(place)
        if before is None or before.code not in (codes.KEY_TAKEN, codes.PARENT_REJECTED):
            settled.rejected[place], settled.parents[place] = why, parent
            settled.held |= held_by(schema, stage, [row]) if stage.form == "insert" else {}
            settled.overrides[place] = None
            below.add(place)
    tables = {table for table, _ in below}
    for stage in (stage for stage in settled.stages if stage.table in tables):
        numbers = [
            row
            for row in range(len(stage.rows))
            if row not in stage.discarded and row_id(schema, stage, row) in below
        ]
        if numbers:
            stage.discarded.update(numbers)
            transaction.rows.discard(stage, numbers)


def _completed(transaction: WriteTransaction, schema: Schema, stages: Sequence[Stage]) -> list[Stage]:
    """The stages, where updates write a part of a foreign key with the rest of it as the rows have it."""
    found = []
    for stage in stages:
        columns, arity = rest_of_keys(schema, stage), len(schema.by_number[stage.table].key)
        if columns and not stage.held:
            keys = [tuple(row[:arity]) for row in stage.rows]
            rows = {
                tuple(row[:arity]): row[arity:]
                for row in transaction.rows.find(stage.table, list(dict.fromkeys(keys)), columns)
            }
            nothing = [None] * len(columns)
            whole = [[*row, *rows.get(key, nothing)] for row, key in zip(stage.rows, keys, strict=True)]
            found.append(replace(stage, columns=[*stage.columns, *columns], rows=whole))
        else:
            found.append(stage)
    return found


def _held_by_taken(schema: Schema, settled: Settled, sent: Sequence[Stage]) -> dict[RowId, Held]:
    found: dict[RowId, Held] = {}
    for stage in sent:
        if stage.form == "insert" and stage.discarded:
            held = held_by(schema, stage, stage.discarded)
            found |= {row: values for row, values in held.items() if row in settled.rejected}
    return found


def _met(sent: Sequence[Stage]) -> list[Stage]:
    """The inserts that were contested, as they were sent."""
    return [
        replace(stage, rows=[stage.rows[row] for row in sorted(stage.discarded)], discarded=set())
        for stage in sent
        if stage.form == "insert" and stage.discarded
    ]


def _unfit(transaction: WriteTransaction, part: Part, stage: Stage) -> tuple[list[int], Set[int]]:
    """Of the rows with a key that no row has as it is spelled: those that are to be deleted, which are not
    there, and those that `apply` is to refuse."""
    cannot, misspelled = transaction.rows.unfit(stage)
    if part.op == "-":
        return sorted([*cannot, *misspelled]), frozenset()
    if part.op == "D":
        return cannot, frozenset(misspelled)
    return [], {*cannot, *misspelled}


def _contested(
    part: Part, unexpected: Sequence[int], rivals: dict[int, list[Rival]], rules: TableRules, bases: Bases
) -> list[int]:
    computed = part.op == "U" and mask_of(part.columns) & rules.computed_mask
    if part.op == "-" or computed:
        return list(range(len(part.rows)))
    return sorted({*unexpected, *rivals, *bases.lost_rows(part)})


@dataclass(frozen=True, slots=True)
class _Row:
    """A contested row of a part: what the push says of it, `base`, and what is there (None: no row)."""

    part: Part
    number: int
    base: Base | None
    present: Image | None
    is_lost: bool
    """Whether its base is of what the centre has lost or pruned."""

    @property
    def key(self) -> Key:
        return self.part.keys[self.number]


def _decide_rows(
    context: PushContext,
    part: Part,
    strange: Sequence[int],
    contested: Sequence[int],
    rivals: dict[int, list[Rival]],
    decided: _Decided,
) -> None:
    table, rules, bases = context.schema.by_number[part.table], context.rules[part.table], context.bases
    every, arity = list(table.values), len(table.key)
    found = context.transaction.rows.find(part.table, [part.keys[row] for row in contested], every)
    present = {tuple(row[:arity]): dict(zip(every, row[arity:], strict=True)) for row in found}
    _still(part, strange, contested, present.keys())
    lost = set(bases.lost_rows(part))
    values = as_there(context.transaction, table, part, contested, present)
    returning = bases.file is not None and part.op in "IU"
    for number in contested:
        key = part.keys[number]
        place = part.table, key
        row = _Row(part, number, context.details.get(place), present.get(key), number in lost)
        entries = _unseen(context, row, [_entry(one, part, number, bases) for one in rivals.get(number, ())])
        if entries is None:
            decided.want(place)
            continue
        sent = _sent(context, row, values[number], decided.returned.of(*place) if returning else {})
        if part.op == "U" and sent.returned and not _is_brought_by_another(entries, bases):
            sent = replace(sent, returned={})
        settle_row = decide_again if sent.past == "offered" else decide
        decision = settle_row(table, rules, sent, row.present, entries)
        if decision.returned or (part.op == "I" and sent.returned and not decision.wanted):
            decided.returned.note(part.table, key, decision.returned)
        decided.add(place, part.hlc[number], decision, row.present)


def _sent(context: PushContext, row: _Row, values: Sequence[Value], returned: Mapping[int, Value]) -> Sent:
    """The edit of a row as `merge` takes it."""
    part, number = row.part, row.number
    return Sent(
        part.op,
        part.columns,
        values,
        part.hlc[number],
        part.column_hlc_of(number),
        context.replica,
        row.base,
        _past(context.bases, row.is_lost),
        returned,
    )


def _unseen(context: PushContext, row: _Row, entries: list[Entry]) -> list[Entry] | None:
    """What others have done to the row that its base had not seen, with what the log does not tell any more
    and without what the file itself did. None: that takes details, which the replica has to tell first."""
    part, base, bases = row.part, row.base, context.bases
    if row.is_lost:
        if base is None:
            return None
        columns = bases.lost_columns(part, row.number)
        table = context.schema.by_number[part.table]
        entries = compared(entries, base, row.present, columns, bases.floor_hlc, table)
    if bases.file is not None and any(entry.stamp[1] in bases.file.lineage for entry in entries):
        if base is None and part.op != "I":
            return None
        if base is not None and not bases.file.offered:
            entries = not_own(entries, base, row.present, bases.file.lineage)
    return entries


def _is_brought_by_another(entries: Sequence[Entry], bases: Bases) -> bool:
    """Whether the row came back by the image of another file: its entry has no clock."""
    lineage = frozenset[str]() if bases.file is None else bases.file.lineage
    return any(
        entry.op == RETURNED and not entry.stamp[0] and entry.stamp[1] not in lineage for entry in entries
    )


def _still(part: Part, strange: Sequence[int], contested: Sequence[int], present: Set[Key]) -> None:
    """Raise Conflict unless each row is there if and only if it was when the rows were locked.

    A row that came since is not locked: what others do to it next would be overwritten unseen."""
    unexpected = set(strange)
    for row in contested:
        if (part.keys[row] in present) != ((row in unexpected) == (FORMS[part.op] == "insert")):
            raise Conflict(f"the row with key {list(part.keys[row])!r} came or went meanwhile")


def _entry(rival: Rival, part: Part, row: int, bases: Bases) -> Entry:
    unseen = 0
    for position, column in enumerate(part.columns):
        if not part.column_base or not bases.positions[part.column_base_of(row, position)].sees(rival.place):
            unseen |= 1 << column
    op, file = rival.op, bases.file
    if op == "I" and file is not None and rival.origin in file.lineage:
        op = RETURNED  # the file's own: no other thing of this key
    elif op == "I" and file is not None and file.offered and part.op != "I":
        op = "R"  # what it had seen in a past that is gone
    return Entry(op, rival.mask, (rival.hlc, rival.origin), unseen)


def _past(bases: Bases, lost: bool) -> Literal["no", "perhaps", "offered"]:
    """Whether an edit was made in a past that the centre has lost; `lost`: its base is."""
    if bases.file is not None and bases.file.offered:
        return "offered"
    return "perhaps" if lost or bases.file is not None else "no"


class _Decided:
    """Collects decisions and turns them into stages, one per table, form, operation and column set."""

    def __init__(self, settled: Settled, returned: ReturnedRows) -> None:
        self._settled, self.returned = settled, returned
        self._groups: dict[tuple[int, Form, str, tuple[int, ...]], list[tuple[Key, Decision]]] = {}

    def want(self, row: RowId) -> None:
        """Ask for the replica's details of this row."""
        self._settled.wanted[row] = None

    def add(self, row: RowId, hlc: int, decision: Decision, present: Image | None) -> None:
        settled = self._settled
        if decision.wanted:
            self.want(row)
            return
        if decision.rejected is not None:
            settled.rejected[row] = decision.rejected
        if decision.override or decision.rejected is not None:
            settled.overrides[row] = None
        settled.notes.extend((row, hlc, note) for note in decision.notes)
        if decision.form == "update" and present is not None:
            settled.former[row] = present
        if decision.form is not None:
            group = (row[0], decision.form, decision.op, tuple(decision.columns))
            self._groups.setdefault(group, []).append((row[1], decision))

    def stages(self) -> list[Stage]:
        result = []
        for (table, form, op, columns), members in self._groups.items():
            rows: list[list[Value]] = [[*key, *decision.values] for key, decision in members]
            entries = [
                (number, mask, hlc)
                for number, (_, decision) in enumerate(members)
                for mask, hlc in decision.entries
            ]
            newest = [max(hlc for _, hlc in decision.entries) for _, decision in members]
            result.append(Stage(table, form, op, list(columns), rows, newest, entries))
        return result


def reason(rejected: SynclineError) -> tuple[str, str, str]:
    """(code, detail, remedy) of a refusal by rule."""
    return rejected.code, rejected.detail, rejected.remedy
