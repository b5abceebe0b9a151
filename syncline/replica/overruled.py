"""Which rows of a verdict are not what was sent, in more than their spelling.

The hub answers every row that is not stored exactly as it was sent: one that lost a conflict, one that a
trigger changed, and one whose text the centre writes otherwise (`{"a":1}` in a `jsonb`, 1.5 in a
`numeric(10, 2)`). The last kind is nobody's loss and is not counted; nor are columns that were not sent.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from syncline.model.forms import is_read, spelling_of
from syncline.model.schema import ColumnSchema, TableSchema
from syncline.model.spelling import number_in, speller
from syncline.model.values import Value, identical
from syncline.protocol.body import open_push
from syncline.protocol.messages import Group, PushGroup, Verdict
from syncline.replica.answers import groups_of
from syncline.replica.device import Device

RowId = tuple[int, tuple[Value, ...]]

Body = tuple[int, str, bytes]
"""Number, digest and bytes of one part of a push."""

_CENTRAL = frozenset(["interval", "timetz", "other"])
"""Types whose spellings only the centre can compare: what it answers is taken for what was sent."""

_ELEMENTS: Sequence[Callable[[Any], object]] = [
    number_in,
    *filter(None, map(speller, ("boolean", "float", "uuid", "timestamp", "timestamptz", "date", "time"))),
]
"""How elements of an array may be read."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A row as the hub has it, by value columns; None: it is gone."""

    table: TableSchema
    key: tuple[Value, ...]
    values: dict[int, Value] | None


def overruled(device: Device, verdict: Verdict, bodies: Iterable[Body]) -> list[Answered]:
    """The rows of a push that came back in another state, without those that were rejected. `bodies` are the
    parts of the push; they are read only if there is a row to compare."""
    rejected = {(found.table, tuple(found.key)) for found in verdict.rejected}
    answered = {
        row: found for row, found in _answered(device, verdict) if row not in rejected and found is not None
    }
    if not answered:
        return []
    lost = {
        (note.table_number, tuple(note.key)) for note in verdict.conflicts if note.outcome != "replica"
    } & answered.keys()
    found = {row: answered[row] for row in answered if row in lost}
    for _, digest, body in bodies:
        for group in open_push(body, digest):
            table = device.known(group.table)
            if table is not None:
                found |= {row: answered[row] for row in _other(table, group, answered)}
    return list(found.values())


def _answered(device: Device, verdict: Verdict) -> Iterator[tuple[RowId, Answered | None]]:
    groups: list[Group] = groups_of(verdict.overrides, verdict.digest, None) if verdict.digest else []
    for group in groups:
        table = device.known(group.table)
        for row in group.rows:
            arity = len(row) - len(group.columns) if group.op == "U" else len(row)
            key = tuple(row[:arity])
            values = dict(zip(group.columns, row[arity:], strict=True)) if group.op == "U" else None
            yield (group.table, key), None if table is None else Answered(table, key, values)


def _other(table: TableSchema, group: PushGroup, answered: dict[RowId, Answered]) -> Iterator[RowId]:
    arity, columns = len(table.key), [table.values.get(column) for column in group.columns]
    for row in group.rows:
        place = group.table, tuple(row[:arity])
        found = answered.get(place)
        if found is not None and _is_other(group.op, columns, row[arity:], found.values):
            yield place


def _is_other(
    op: str, columns: Sequence[ColumnSchema | None], sent: Sequence[Value], values: dict[int, Value] | None
) -> bool:
    if op in ("D", "-") or values is None:
        return (op == "D") == (values is not None)
    return any(
        not is_alike(column, value, values.get(column.number))
        for column, value in zip(columns, sent, strict=True)
        if column is not None and not (column.increment and op == "U")
    )


def is_alike(column: ColumnSchema, sent: Value, stored: Value) -> bool:
    """Whether two values of a column are one, as far as can be told here, however they are spelled."""
    if identical(sent, stored) or (column.type in _CENTRAL and None not in (sent, stored)):
        return True
    if sent is None or stored is None:
        return False
    spelling = spelling_of(column)
    if spelling is not None:
        one, other = spelling.outward(sent), spelling.outward(stored)
        is_same = identical(one, other) or (column.type == "float" and _single(one) == other)
        is_same = is_same or (column.type == "decimal" and number_in(one) == number_in(other))
        return is_same or not is_read(column, sent)
    if column.type == "json":
        return _are_documents_alike(sent, stored)
    return column.type == "text" and str(sent).rstrip(" ") == str(stored).rstrip(" ")


def _single(value: Value) -> Value:
    """A float with the digits of a `real`."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0]) if isinstance(value, float) else value
    except OverflowError:
        return value


def _are_documents_alike(sent: Value, stored: Value) -> bool:
    try:
        return _are_alike(json.loads(str(sent)), json.loads(str(stored)))
    except (ValueError, RecursionError):
        return False


def _are_alike(one: Any, other: Any) -> bool:
    """Whether two documents are one. What an array holds is read by the type of its elements, which a device
    does not know: the text `"2"` may be the number 2, and `"t"` be true."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_are_alike, one, other))
    if one == other or None in (one, other) or dict in map(type, (one, other)):
        return bool(one == other)
    if isinstance(one, str) and isinstance(other, str) and one.rstrip(" ") == other.rstrip(" "):
        return True
    return any(spell(one) == spell(other) is not None for spell in _ELEMENTS)
