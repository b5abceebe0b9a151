"""What a message amounts to, before any of it becomes an object (law L11).

MessagePack says in front of a list how many items follow, and a decoder can step over what it need not know:
so lists are counted, and rows are seen to hold values and nothing nested, at the price of reading the bytes
once. A few kilobytes can announce millions of values, and a value takes twenty times the room in memory.

JSON announces nothing; there the marks between values are counted, those inside texts too.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Raw, Struct

from syncline.errors import Malformed, TooLarge
from syncline.protocol.messages import STAMP_BYTES, Limits, Record
from syncline.protocol.packing import UUID_BYTES, is_nested, length_of, width_of

COLUMNS = 32_767
"""As many as SQLite can be built for."""

SLIGHT = 64 * 1024
"""Bytes of rows that are not counted: whatever they hold, it is little."""

JSON_SHARE = 4
"""A value takes so many times more room while it is turned from JSON into what MessagePack carries."""


class _Outline(Struct, array_like=True):
    """A group of a push, not taken apart."""

    table: Raw
    op: Raw
    columns: Raw
    rows: Raw
    hlc: Raw
    base: Raw = Raw(b"\x90")
    column_hlc: Raw = Raw(b"\xc0")
    column_base: Raw = Raw(b"\xc0")
    packed: Raw = Raw(b"\x90")


_outlines = msgspec.msgpack.Decoder(list[_Outline])
_items = msgspec.msgpack.Decoder(list[Raw])


def weigh(body: bytes | bytearray, kind: type[Record], limits: Limits) -> int:
    """How many values the MessagePack of a request holds, about; those of slight ones are not counted.
    A stamp takes as much room as a value, and is bounded by a number of its own.

    TooLarge or Malformed if that is more than may be, or if a list of values holds anything else.
    """
    if length_of(body) > len(kind.__struct_fields__):
        raise Malformed(f"a {kind.__name__} has {len(kind.__struct_fields__)} fields")
    fields = dict(zip(kind.__struct_fields__, _taken_apart(body), strict=False))
    cells = 0
    if "bases" in fields:
        cells += _bounded("bases", length_of(fields["bases"]), limits.bases)
    if "details" in fields:
        cells += _weigh_details(fields["details"], limits)
    if "keys" in fields:
        cells += _weigh_keys(fields["keys"], limits)
    if "groups" in fields:
        cells += weigh_groups(fields["groups"], limits)
    if "value" in fields and not _is_scalar(fields["value"]):
        cells += _weigh_values(fields["value"])
    stamps = len(memoryview(fields["stamps"])) // STAMP_BYTES if "stamps" in fields else 0
    return _within(cells, limits) + stamps


def weigh_json(body: bytes | bytearray, limits: Limits) -> int:
    """How many values JSON holds, at most, times what they cost. TooLarge if that is more than may be."""
    if len(body) <= SLIGHT:
        return 0
    marks = body.count(b",") + body.count(b"[") + body.count(b"{")
    return _within(JSON_SHARE * marks, limits)


def weigh_groups(groups: Raw, limits: Limits) -> int:
    """How many values the groups of a push hold. TooLarge or Malformed, as for `weigh`."""
    if length_of(groups) > limits.push_rows:
        raise _too_many(limits)
    try:
        outlines = _outlines.decode(groups)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Malformed(f"the groups of the push cannot be read: {error}") from error
    rows = cells = 0
    for group in outlines:
        count = length_of(group.rows)
        rows += count
        sizes = (group.hlc, group.base, group.column_hlc, group.column_base)
        if rows > limits.push_rows or any(length_of(raw) > limits.push_rows for raw in sizes):
            raise _too_many(limits)
        if length_of(group.columns) > COLUMNS:
            raise TooLarge(f"a group names more than {COLUMNS} columns")
        if length_of(group.packed) * UUID_BYTES * max(count, 1) > len(memoryview(group.packed)):
            raise Malformed("a group packs less than a uuid for each row")
        cells += count * width_of(group.rows)  # none is wider, or it is refused when it is read
        for raw in (group.column_hlc, group.column_base):
            cells += _weigh_rows(raw)
    return _within(cells, limits)


def _weigh_rows(rows: Raw) -> int:
    """How many values these rows have; 0 for few. They are as wide as each other."""
    if len(memoryview(rows)) <= SLIGHT:
        return 0
    taken = _taken_apart(rows)
    widths = {length_of(row) for row in _distinct(taken)}
    if len(widths) > 1:
        raise Malformed("the rows of a group have different lengths")
    return len(taken) * max(widths, default=0)


def _distinct(rows: Iterable[Raw]) -> Iterable[bytes]:
    """What the rows begin with: as much as says how long they are."""
    heads = (memoryview(row) for row in rows)
    return {bytes(head[: _HEADS.get(head[0], 1)]) for head in heads}


_HEADS = {0xDC: 3, 0xDD: 5}
"""How many bytes say that a list follows and how long it is, by the first; 1 where it is short."""


def _weigh_keys(keys: Raw, limits: Limits) -> int:
    count = _bounded("keys", length_of(keys), limits.push_rows)
    return count if len(memoryview(keys)) <= SLIGHT else sum(map(_weigh_values, _taken_apart(keys)))


def _weigh_details(details: Raw, limits: Limits) -> int:
    count = _bounded("details", length_of(details), limits.push_rows)
    if len(memoryview(details)) <= SLIGHT:
        return count
    cells = count
    for detail in _taken_apart(details):
        for part in _taken_apart(detail)[1:6]:
            cells += 1 if _is_scalar(part) else _weigh_values(part)
        _within(cells, limits)
    return cells


def _weigh_values(values: Raw) -> int:
    """How many values a list holds, which holds nothing but values."""
    count = _bounded("values of a row", length_of(values), COLUMNS)
    if not all(map(_is_scalar, _taken_apart(values))):
        raise Malformed("a row holds a list or a map; only null, integers, floats, text and bytes travel")
    return count


def _taken_apart(raw: Raw | bytes | bytearray) -> list[Raw]:
    """The items of a list whose length was looked at."""
    try:
        return _items.decode(raw)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Malformed(f"the message cannot be read: {error}") from error


def _is_scalar(raw: Raw) -> bool:
    return not is_nested(memoryview(raw)[0])


def _bounded(name: str, count: int, most: int) -> int:
    if count > most:
        raise TooLarge(f"{count} {name} in one request; the limit is {most}")
    return count


def _within(cells: int, limits: Limits) -> int:
    if cells > limits.cells:
        raise TooLarge(
            f"the message holds {cells} values or more; the limit is {limits.cells}", code="too_many_values"
        )
    return cells


def _too_many(limits: Limits) -> TooLarge:
    return TooLarge(f"the push holds more than {limits.push_rows} rows")
