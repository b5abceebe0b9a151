"""Uuids in the canonical bytes: a place of a group's rows that holds only uuids goes as 16 bytes a row.

As text a random uuid is 36 characters that no compression brings under 18 bytes. So the cells of such a
place are null in the encoded rows, and a last field of the group, which is there only where something is
packed, holds them. What is packed follows from the content alone, so that whoever encodes the same groups
gets the same bytes. In memory rows are whole: only `protocol.body` and `protocol.jsonform` come here.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Raw, Struct, field

from syncline.errors import Malformed
from syncline.model.collector import resting
from syncline.model.values import INTEGER_MAX, INTEGER_MIN, Value
from syncline.protocol.messages import Group, HubOp, Place, PushGroup, PushOp, Record

BY_ROWS: Final = 0
BY_PLANES: Final = 1
"""How the bytes of a place are ordered. By rows, a uuid of several rows stands there as 16 bytes that a
compressor finds again. By planes (the first bytes of all rows, then all second bytes, and so on), it finds
what different uuids have in common: their order, their time, their version."""

UUID_BYTES = 16
FIX_ARRAY = 0x9F
"""The last byte that begins a list of fewer than sixteen items in MessagePack."""

_LENGTH = 36
_DASHES = (8, 13, 18, 23)
_DIGITS = tuple(place for place in range(_LENGTH) if place not in _DASHES)
_HEX = b"0123456789abcdef"
_HIGH = bytes(_HEX[byte >> 4] for byte in range(256))
_LOW = bytes(_HEX[byte & 15] for byte in range(256))

_STEP = 1_000
"""Rows copied at once: they stay in the processor's cache, and the whole is never there twice (law L11)."""

_ROWS = Group.__struct_fields__.index("rows")
assert PushGroup.__struct_fields__[_ROWS] == "rows"

_encoder = msgspec.msgpack.Encoder()


class Packed(Record, frozen=True):
    """The uuids of one place of all rows, 16 bytes each: by planes if no uuid stands twice, else by rows.

    `place` counts from the row's first value, which is the key's first.
    """

    place: Annotated[int, Meta(ge=0)]
    order: Literal[0, 1]
    uuids: bytes


class PackedGroup(Group, frozen=True):
    """A `Group` as it is encoded where a place is packed. Places ascend."""

    packed: list[Packed] = field(default_factory=list)


class PackedPushGroup(PushGroup, frozen=True):
    """A `PushGroup` as it is encoded where a place is packed. Places ascend."""

    packed: list[Packed] = field(default_factory=list)


class _Read(Struct, array_like=True, forbid_unknown_fields=True):
    """A `PackedGroup` whose rows are not taken apart."""

    table: Place
    op: HubOp
    columns: list[Place]
    rows: Raw
    packed: list[Packed] = field(default_factory=list)


class _ReadPush(Struct, array_like=True, forbid_unknown_fields=True):
    """A `PackedPushGroup` whose rows are not taken apart."""

    table: int
    op: PushOp
    columns: list[int]
    rows: Raw
    hlc: list[int]
    base: list[int] = []
    column_hlc: list[list[int]] | None = None
    column_base: list[list[int]] | None = None
    packed: list[Packed] = field(default_factory=list)


_groups = msgspec.msgpack.Decoder(list[_Read])
_push_groups = msgspec.msgpack.Decoder(list[_ReadPush])
_INTEGER = Annotated[int, Meta(ge=INTEGER_MIN, le=INTEGER_MAX)]
_CELLS = frozenset((type(None), int, float, str, bytes))
_items = msgspec.msgpack.Decoder(list[Raw])


@lru_cache(256)
def _rows_up_to(width: int, cell: Any) -> msgspec.msgpack.Decoder[list[list[Any]]]:
    """Reads rows of such cells, none wider than this: what is, is refused before it becomes objects."""
    return msgspec.msgpack.Decoder(list[Annotated[list[cell], Meta(max_length=width)]])


def encoded(group: Group | PushGroup) -> list[bytes]:
    """The canonical bytes of a group, in pieces. Leaves the group and its rows as they are."""
    with resting():
        packed = _packed(group.rows)
        if not packed:
            return [_encoder.encode(group)]
        fields = msgspec.structs.astuple(group)
        return [
            array_header(len(fields) + 1),
            *map(_encoder.encode, fields[:_ROWS]),
            array_header(len(group.rows)),
            *_without(group.rows, [one.place for one in packed]),
            *map(_encoder.encode, fields[_ROWS + 1 :]),
            _encoder.encode(packed),
        ]


def array_header(count: int) -> bytes:
    """What a MessagePack array of so many items begins with."""
    if count < 16:
        return bytes([0x90 | count])
    if count < 1 << 16:
        return b"\xdc" + count.to_bytes(2, "big")
    return b"\xdd" + count.to_bytes(4, "big")


def read_groups(body: Raw | bytes) -> list[Group]:
    """Groups of a hub, with whole rows. Malformed, or msgspec's and Python's errors of decoding."""
    with resting():
        read = _groups.decode(body)
        return [Group(group.table, group.op, group.columns, _whole(group)) for group in read]


def read_push_groups(body: Raw | bytes) -> list[PushGroup]:
    """Groups of a replica, with whole rows. Malformed, or msgspec's and Python's errors of decoding."""
    with resting():
        return [
            PushGroup(
                group.table,
                group.op,
                group.columns,
                _whole(group),
                group.hlc,
                group.base,
                group.column_hlc,
                group.column_base,
            )
            for group in _push_groups.decode(body)
        ]


def _packed(rows: Sequence[Sequence[Value]]) -> list[Packed]:
    """What can be packed. Only places that hold a uuid in the first row are looked at further."""
    found = (
        _packed_place(rows, place)
        for place, cell in enumerate(rows[0] if rows else ())
        if type(cell) is str and len(cell) == _LENGTH and cell[8] == "-"
    )
    return [one for one in found if one is not None]


def _packed_place(rows: Sequence[Sequence[Value]], place: int) -> Packed | None:
    try:
        column: list[Any] = [row[place] for row in rows]
        uuids = _bytes_of(column)
    except (IndexError, TypeError):  # a shorter row, a cell that is no text
        return None
    if uuids is None:
        return None
    if len(set(column)) < len(column):
        return Packed(place, BY_ROWS, uuids)
    return Packed(place, BY_PLANES, _planes(uuids))


def _bytes_of(column: Sequence[str]) -> bytes | None:
    """The uuids of a column, 16 bytes each; None unless every cell is one, written 8-4-4-4-12 with
    lower-case digits. TypeError for a cell that is no text. The whole column at once, no cell by itself."""
    rows = len(column)
    if set(map(len, column)) != {_LENGTH}:
        return None
    joined = "".join(column)
    if not joined.isascii():
        return None
    text = joined.encode("ascii")
    if any(text[place::_LENGTH].count(b"-") != rows for place in _DASHES):
        return None
    digits = text.translate(None, b"-")
    if len(digits) != 2 * UUID_BYTES * rows or digits.translate(None, _HEX):
        return None
    return binascii.unhexlify(digits)


def _without(rows: Sequence[Sequence[Value]], places: Sequence[int]) -> Iterator[bytes]:
    """The rows' bytes one after the other, null in some places."""
    for start in range(0, len(rows), _STEP):
        some: list[list[Value]] = list(map(list, rows[start : start + _STEP]))
        for place in places:
            for row in some:
                row[place] = None
        yield _encoder.encode(some)[len(array_header(len(some))) :]


def _rows(raw: Raw) -> list[list[Any]]:
    """The rows, each a list of values, none wider than the first. Whatever is nested in one is refused before
    it becomes an object; msgspec has no type for what may be text and may be bytes."""
    width = width_of(raw)
    try:
        return _rows_up_to(width, _INTEGER | float | str | None).decode(raw)
    except msgspec.ValidationError:
        pass  # there may be bytes among them
    try:
        return _rows_up_to(width, _INTEGER | float | bytes | None).decode(raw)
    except msgspec.ValidationError:
        pass  # and text, too
    for row in _items.decode(raw):
        if length_of(row) > width:
            raise Malformed("the rows of a group have different lengths")
        if any(is_nested(memoryview(cell)[0]) for cell in _items.decode(row)):
            raise Malformed("a row holds a list or a map; only null, integers, floats, text and bytes travel")
    rows = _rows_up_to(width, Any).decode(raw)
    check_cells(rows)
    return rows


def check_cells(rows: Iterable[Sequence[Value]]) -> None:
    """Raise Malformed unless every cell is a value of `model.values`: no bool, list, map, 2^63 or more."""
    kinds = set(map(type, chain.from_iterable(rows)))
    if not kinds <= _CELLS:
        names = ", ".join(sorted(kind.__name__ for kind in kinds - _CELLS))
        raise Malformed(f"a row holds a {names}; only null, integers, floats, text and bytes travel")
    if int in kinds and max([v for v in chain.from_iterable(rows) if type(v) is int]) > INTEGER_MAX:
        raise Malformed(f"a row holds an integer above {INTEGER_MAX}, the largest that can travel")


def width_of(rows: Raw) -> int:
    """How many values the first of these rows has; 0 if there is none."""
    begin = memoryview(rows)[:10]
    header = {0xDC: 3, 0xDD: 5}.get(begin[0], 1)
    return length_of(begin[header:]) if length_of(begin) else 0


def length_of(raw: Raw | bytes | bytearray | memoryview) -> int:
    """How many items a MessagePack array announces; nil counts as none. Malformed if it is no array."""
    head = bytes(memoryview(raw)[:5])
    if head[:1] == b"\xdc":
        return int.from_bytes(head[1:3], "big")
    if head[:1] == b"\xdd":
        return int.from_bytes(head[1:5], "big")
    if head[:1] == b"\xc0":
        return 0
    if head and head[0] >> 4 == 9:
        return head[0] & 15
    raise Malformed("the message holds something else where a list belongs")


def is_nested(first: int) -> bool:
    """Whether what begins with this byte is a list or a map."""
    return 0x80 <= first <= FIX_ARRAY or 0xDC <= first <= 0xDF


def _whole(group: _Read | _ReadPush) -> list[list[Value]]:
    """The rows of a group that was just decoded, with the cells that were packed. They are its own."""
    rows, before = _rows(group.rows), -1
    for one in group.packed:
        if one.place <= before:
            raise Malformed(f"table {group.table}: packed places do not ascend")
        before = one.place
        if not rows or len(one.uuids) != UUID_BYTES * len(rows):
            raise Malformed(
                f"table {group.table}: {len(one.uuids)} bytes of uuids packed for {len(rows)} rows,"
                f" which takes {UUID_BYTES} for each"
            )
        _fill(group.table, rows, one)
    return rows


def _fill(table: int, rows: Sequence[list[Value]], one: Packed) -> None:
    place = one.place
    try:
        empty = [row[place] for row in rows].count(None)
    except IndexError as error:
        raise Malformed(f"table {table}: a row has no place {place}, which is packed") from error
    if empty != len(rows):
        raise Malformed(f"table {table}: a row has a value in place {place}, which is packed")
    planes = one.uuids if one.order == BY_PLANES else _planes(one.uuids)
    for row, uuid in zip(rows, _texts(planes), strict=True):
        row[place] = uuid


def _planes(uuids: bytes) -> bytes:
    return b"".join([uuids[byte::UUID_BYTES] for byte in range(UUID_BYTES)])


def _texts(planes: bytes) -> list[str]:
    """The inverse of `_bytes_of` and `_planes`: 32 digits are spread over all rows, one digit at a time."""
    rows = len(planes) // UUID_BYTES
    high, low = planes.translate(_HIGH), planes.translate(_LOW)
    out = bytearray(b"-") * (_LENGTH * rows)
    for byte in range(UUID_BYTES):
        start, end = byte * rows, (byte + 1) * rows
        out[_DIGITS[2 * byte] :: _LENGTH] = high[start:end]
        out[_DIGITS[2 * byte + 1] :: _LENGTH] = low[start:end]
    text = out.decode("ascii")
    return [text[start : start + _LENGTH] for start in range(0, len(text), _LENGTH)]
