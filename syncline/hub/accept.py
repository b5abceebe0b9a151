"""Step 5 of the path: is this push of a form that can be merged at all?

Turns the groups of a push into parts with absolute stamps, or raises. Looks at nothing but the message
and the schema.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from syncline.errors import Malformed, TooLarge
from syncline.hub.contract import Key
from syncline.merge.decide import Base
from syncline.model.schema import Schema, TableSchema
from syncline.model.values import Value
from syncline.protocol.body import undelta
from syncline.protocol.messages import Detail, Limits, PushGroup
from syncline.protocol.packing import check_cells

HIGHEST_HLC = 2**63 - 1


@dataclass(slots=True)
class Part:
    """One accepted group. `hlc` is absolute and clamped; an empty `base` means the first base for all."""

    table: int
    op: str
    columns: list[int]
    rows: list[list[Value]]
    hlc: list[int]
    base: list[int]
    column_hlc: list[list[int]] | None
    column_base: list[list[int]] | None
    keys: list[Key] = field(default_factory=list)
    claims: dict[Key, list[int]] | None = None
    """Of rows whose stamps were cut: what they were, of the row and of its columns (see `hub.clocks`)."""

    def base_of(self, row: int) -> int:
        return self.base[row] if self.base else 0

    def column_base_of(self, row: int, position: int) -> int:
        return self.column_base[row][position] if self.column_base else self.base_of(row)

    def column_hlc_of(self, row: int) -> list[int]:
        return self.column_hlc[row] if self.column_hlc else [self.hlc[row]] * len(self.columns)


def accept(groups: Sequence[PushGroup], schema: Schema, bases: int, limits: Limits) -> list[Part]:
    """Check groups against the schema and the limits.

    Raises Malformed or TooLarge; nothing has been written then.
    """
    total = sum(len(group.rows) for group in groups)
    if total > limits.push_rows:
        raise TooLarge(f"{total} rows in one push; the limit is {limits.push_rows}", code="too_many_rows")
    if bases > limits.bases or (groups and not bases):
        raise Malformed(f"{bases} bases; there must be 1 to {limits.bases}")
    seen: dict[int, set[Key]] = {}
    parts = []
    for group in groups:
        part = _part(group, schema, bases)
        keys = seen.setdefault(part.table, set())
        before = len(keys)
        keys.update(part.keys)
        if len(keys) - before != len(part.keys):
            raise Malformed(f"table {schema.by_number[part.table].name}: a row stands twice in the push")
        parts.append(part)
    return parts


def _part(group: PushGroup, schema: Schema, bases: int) -> Part:
    table = schema.by_number.get(group.table)
    if table is None:
        raise Malformed(f"there is no table number {group.table}", code="unknown_table")
    _check_columns(group, table)
    if not group.rows:
        raise Malformed(f"table {table.name}: a group without rows")
    width = len(table.key) + len(group.columns)
    for row in group.rows:
        if len(row) != width:
            raise Malformed(f"table {table.name}: a row of {len(row)} values where {width} belong")
    arity = len(table.key)
    keys = [tuple(row[:arity]) for row in group.rows]
    if any(value is None for key in keys for value in key):
        raise Malformed(f"table {table.name}: a key with NULL", code="null_key")
    _check_stamps(group, table, bases)
    hlc = undelta(group.hlc)
    if any(not 0 <= value <= HIGHEST_HLC for value in hlc):
        raise Malformed(f"table {table.name}: an HLC out of range")
    return Part(
        group.table,
        group.op,
        group.columns,
        group.rows,
        hlc,
        group.base,
        group.column_hlc,
        group.column_base,
        keys,
    )


def _check_columns(group: PushGroup, table: TableSchema) -> None:
    columns = group.columns
    if group.op in ("D", "-"):
        expected: list[int] = []
    elif group.op in ("I", "R"):
        expected = list(table.pushed)
    else:
        expected = sorted(set(columns) & table.values.keys())  # it may compute some no longer
        if not columns:
            raise Malformed(f"table {table.name}: an update that names no column")
    if columns != expected:
        raise Malformed(
            f"table {table.name}: operation {group.op} with columns {columns}, expected {expected}",
            code="unknown_column",
        )


def _check_stamps(group: PushGroup, table: TableSchema, bases: int) -> None:
    rows, columns = len(group.rows), len(group.columns)
    good = len(group.hlc) == rows and len(group.base) in (0, rows)
    good = good and all(0 <= index < bases for index in group.base)
    for stamps in (group.column_hlc, group.column_base):
        good = good and (stamps is None or [len(row) for row in stamps] == [columns] * rows)
    for row in group.column_base or []:
        good = good and all(0 <= index < bases for index in row)
    for row in group.column_hlc or []:
        good = good and all(0 <= value <= HIGHEST_HLC for value in row)
    if not good:
        raise Malformed(f"table {table.name}: stamps or bases do not fit the rows")


def details_by_row(details: Sequence[Detail], schema: Schema) -> dict[tuple[int, Key], Base]:
    """Index the details of a push by (table, key). Raises Malformed.

    `schema` is the one that the push was made with. Details are made when they are asked for: those of a
    device that has another schema by now name the columns of their images, and may have columns that
    `schema` has not. See `versions.brought_details`.
    """
    found: dict[tuple[int, Key], Base] = {}
    for detail in details:
        table = schema.by_number.get(detail.table)
        if table is None:
            raise Malformed(f"details of an unknown table {detail.table}", code="unknown_table")
        if len(detail.columns) != len(detail.base) or len(detail.key) != len(table.key):
            raise Malformed(f"table {table.name}: details that do not fit")
        columns = list(table.values) if detail.image_columns is None else detail.image_columns
        if len(set(columns)) < len(columns):
            raise Malformed(f"table {table.name}: an image with a column twice", code="unknown_column")
        if detail.image is not None and len(detail.image) != len(columns):
            raise Malformed(
                f"table {table.name}: an image of {len(detail.image)} values, {len(columns)} belong"
            )
        check_cells((detail.key, detail.base, detail.image or []))
        if detail.image_columns is None and not table.values.keys() >= set(detail.columns):
            raise Malformed(f"table {table.name}: details of a column there is not", code="unknown_column")
        before = dict(zip(detail.columns, detail.base, strict=True))
        image = None if detail.image is None else dict(zip(columns, detail.image, strict=True))
        found[detail.table, tuple(detail.key)] = Base(before, image)
    return found
