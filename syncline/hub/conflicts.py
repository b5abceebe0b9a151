"""Conflicts as the hub keeps them: both values, the base, who and when; and their resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from syncline.errors import Conflict, ConflictGone, Malformed, ResolutionRefused, UnknownConflict
from syncline.hub.contract import ConflictRow, Form, Key, Stage, WriteTransaction
from syncline.hub.contract.kept import as_kept
from syncline.hub.dependents import RowId
from syncline.merge.decide import Note, is_default
from syncline.model.clock import clamp, tick
from syncline.model.forms import spelling_of
from syncline.model.plain import from_plain, to_plain
from syncline.model.schema import Schema, TableSchema
from syncline.model.values import Value, identical
from syncline.protocol.messages import ConflictNote, Resolve
from syncline.protocol.packing import check_cells

Take = Literal["hub", "sent", "base", "value"]

AHEAD = 3_600_000
"""Milliseconds that the hub's clock may be ahead of the database's wall clock; further, it was wrong once."""


VALUE_FIELDS = ("key", "base", "sent", "hub", "resolution")


def conflict_row(
    schema: Schema, row: RowId, hlc: int, note: Note, replica: str, push: int, now_milliseconds: int
) -> ConflictRow:
    """The record of one note of a decision."""
    table = schema.by_number[row[0]]
    at = datetime.fromtimestamp(now_milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
    data: dict[str, Any] = {
        "table": table.name,
        "key": list(row[1]),
        "column": None if note.column is None else table.values[note.column].name,
        "outcome": note.outcome,
        "replica": replica,
        "hlc": hlc,
        "rival": note.rival[1],
        "rival_hlc": note.rival[0],
        "base": note.base,
        "sent": note.sent,
        "hub": note.hub,
        "at": at.replace("+00:00", "Z"),
        "policy": note.policy,
        "resolution": note.resolution,
        "table_number": row[0],
        "columns": list(table.values) if note.column is None else [note.column],
        "unknown": note.unknown,
    }
    for name in VALUE_FIELDS:
        data[name] = to_plain(data[name])
    return ConflictRow(0, replica, push, note.outcome == "open", data)


@as_kept("a conflict")
def note_of(row: ConflictRow) -> ConflictNote:
    """The message form of a kept conflict."""
    data = dict(row.data)
    for name in VALUE_FIELDS:
        data[name] = from_plain(data[name])
    return ConflictNote(id=row.id, **data)


def resolve(transaction: WriteTransaction, schema: Schema, request: Resolve) -> ConflictNote:
    """Write what a person chose, as a change of the hub, and close the conflict.

    A replica decides about its own edits; another one's conflict is as unknown to it as none at all (law
    L10). What was settled or decided before can be decided anew. Raises UnknownConflict, ConflictGone
    (table, column or row gone) or ResolutionRefused.
    """
    row = transaction.ledger.resolve_conflict(request.id)
    if row is None or request.replica not in (None, row.replica):
        raise UnknownConflict(f"there is no conflict {request.id}")
    note = note_of(row)
    table = schema.by_number.get(note.table_number)
    if table is None:
        raise ConflictGone(f"table {note.table} takes no part any more")
    chosen = _chosen(request, note)
    if request.take == "hub" and _stays_gone(transaction, table, note):
        chosen = None
    else:
        if request.take == "value":
            chosen = _spelled(table, note, chosen)
        unknown = _unknown(table, note, request.take, chosen)
        if request.take != "hub" or not _is_held(transaction, table, note, chosen, unknown):
            _write(transaction, table, note, chosen, unknown)
        chosen = _completed(transaction, table, note, chosen, unknown)
    transaction.ledger.save_resolution(request.id, "resolved", to_plain(chosen))
    return msgspec.structs.replace(note, outcome="resolved", resolution=chosen)


def _chosen(request: Resolve, note: ConflictNote) -> Any:
    if request.take == "value":
        value = from_plain(request.value)
        check_cells([value] if isinstance(value, list) else [[value]])
        return value
    return {"hub": note.hub, "sent": note.sent, "base": note.base}[request.take]


def _spelled(table: TableSchema, note: ConflictNote, chosen: Any) -> Any:
    """What a person wrote, as the types of the columns say."""
    if isinstance(chosen, list):
        return [_value(table, *one) for one in zip(note.columns, chosen, strict=False)] + chosen[
            len(note.columns) :
        ]
    return chosen if note.column is None else _value(table, note.columns[0], chosen)


def _value(table: TableSchema, number: int, value: Value) -> Value:
    column = table.values.get(number)
    spelling = None if column is None else spelling_of(replace(column, form=""))  # devices have the forms
    return value if spelling is None else spelling.outward(value)


def _stays_gone(transaction: WriteTransaction, table: TableSchema, note: ConflictNote) -> bool:
    """Whether an open conflict is about a column or row that the centre has no more: to let it stay so is a
    decision, too."""
    if note.outcome != "open" or note.column is None:
        return False
    is_there = bool(transaction.rows.find(table.number, [tuple(note.key)], []))
    return not is_there or note.columns[0] not in table.values


def _is_held(
    transaction: WriteTransaction, table: TableSchema, note: ConflictNote, chosen: Any, unknown: Sequence[int]
) -> bool:
    """Whether the centre has now what was chosen, so that nothing need be written."""
    places = [
        place
        for place, number in enumerate(note.columns)
        if place not in unknown and number in table.values and number in table.pushed
    ]
    found = transaction.rows.find(table.number, [tuple(note.key)], [note.columns[place] for place in places])
    rows = [row[len(table.key) :] for row in found]
    if note.column is None and chosen is None:
        return not rows
    wanted = [chosen] if note.column is not None else [chosen[place] for place in places]
    return bool(rows and places) and all(map(identical, rows[0], wanted))


def _unknown(table: TableSchema, note: ConflictNote, take: Take, chosen: Any) -> list[int]:
    """The places of a row which are not written: nobody knows what it held there, or a device could not make
    the default for it. A person who writes a row says all of it."""
    if take == "value" or note.column is not None or not isinstance(chosen, list):
        return []
    return [
        place
        for place, (number, value) in enumerate(zip(note.columns, chosen, strict=False))
        if place in note.unknown.get(take, ())
        or (number in table.values and is_default(table.values[number], value))
    ]


def _completed(
    transaction: WriteTransaction, table: TableSchema, note: ConflictNote, chosen: Any, unknown: Sequence[int]
) -> Any:
    """What was chosen, with what the row holds now in the places that were not written."""
    places = [place for place in unknown if note.columns[place] in table.values]
    if not places:
        return chosen
    columns, held = [note.columns[place] for place in places], dict[int, Value]()
    for row in transaction.rows.find(table.number, [tuple(note.key)], columns):
        held = dict(zip(places, row[len(table.key) :], strict=True))
    return [held.get(place, value) for place, value in enumerate(chosen)]


def _write(
    transaction: WriteTransaction, table: TableSchema, note: ConflictNote, chosen: Any, unknown: Sequence[int]
) -> None:
    """Write what was chosen, but for the places of it that are unknown."""
    key: Key = tuple(note.key)
    exists = bool(transaction.rows.find(table.number, [key], []))
    now = transaction.ledger.milliseconds()
    hlc = tick(clamp(transaction.ledger.clock(), now, AHEAD), now)
    if note.column is None and chosen is not None:
        chosen = _image(note, chosen, unknown)
    stage = _stage(table, note, key, chosen, exists, hlc)
    if stage is None:
        return
    transaction.rows.stage(stage)
    if transaction.rows.lock([stage])[0]:
        raise Conflict(f"table {table.name}, key {list(key)!r} came or went meanwhile")
    refusals = transaction.rows.apply([stage], "hub")
    if refusals:
        raise ResolutionRefused(f"table {table.name}, key {list(key)!r}: {refusals[0].detail}")
    transaction.ledger.raise_clock(hlc, AHEAD)


def _image(note: ConflictNote, chosen: Any, unknown: Sequence[int]) -> dict[int, Value]:
    """A row that was chosen, by the numbers of its columns, as far as it is written."""
    if not isinstance(chosen, list) or len(chosen) != len(note.columns):
        raise Malformed(f"a whole row of {len(note.columns)} values belongs here")
    pairs = enumerate(zip(note.columns, chosen, strict=True))
    return {number: value for place, (number, value) in pairs if place not in unknown}


def _stage(
    table: TableSchema, note: ConflictNote, key: Key, chosen: Any, exists: bool, hlc: int
) -> Stage | None:
    if note.column is not None:
        if not exists:
            raise ConflictGone(f"the row {list(key)!r} of {table.name} is not there any more")
        if isinstance(chosen, list):
            raise Malformed("one value belongs here, not a list")
        if note.columns[0] not in table.values:
            raise ConflictGone(f"{table.name} has no column {note.column} any more")
        return Stage(table.number, "update", "U", note.columns, [[*key, chosen]], [hlc])
    if chosen is None:
        return Stage(table.number, "delete", "D", [], [list(key)], [hlc]) if exists else None
    columns = [column for column in table.pushed if column in chosen]
    values = [chosen[column] for column in columns]
    form: Form = "update" if exists else "insert"
    return Stage(table.number, form, "R" if exists else "I", columns, [[*key, *values]], [hlc])
