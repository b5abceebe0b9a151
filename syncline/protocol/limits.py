"""Limits of a request, enforced while it is read: before its rows are turned into objects.

Bytes are counted by who reads the body (`compression.decompress`); here the counts inside a message are
checked from the headers of its MessagePack arrays, which cost nothing to look at.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from syncline.errors import Malformed, TooLarge
from syncline.model.values import INTEGER_MAX
from syncline.protocol.body import check_cells
from syncline.protocol.messages import (
    BeginPush,
    CommitPush,
    Detail,
    Limits,
    PreparePush,
    Push,
    PushChunk,
    Record,
    Resolve,
)
from syncline.protocol.packing import UUID_BYTES

NAME_LENGTH = 200
"""Characters of a replica id, a name or a schema fingerprint."""

WATERMARK_LENGTH = 32_768
COLUMNS = 32_767
"""As many as SQLite can be built for."""

_NAMES = ("replica", "schema", "name", "fingerprint", "previous", "digest", "push")
_WATERMARKS = ("after", "cursor", "watermark", "from_key", "to_key")
_NUMBERS = {
    "number": 1,
    "limit": 1,
    "after": 0,
    "id": 0,
    "chunk": 1,
    "chunks": 1,
    "rows": 0,
    "table": 0,
    "size": 0,
}
"""Integer fields and their least value; the version is checked apart."""


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


def check(message: Record, limits: Limits) -> None:
    """Raise TooLarge or Malformed unless a request keeps the limits and its fields have a usable size."""
    for name in message.__struct_fields__:
        _check_field(name, getattr(message, name))
    if isinstance(message, Push):
        _check_bases(message.bases, limits)
        _check_groups(message.groups, limits)
    elif isinstance(message, PushChunk):
        _check_groups(message.groups, limits)
    elif isinstance(message, BeginPush):
        check_begun(message, limits)
    if isinstance(message, (Push, PushChunk, PreparePush, CommitPush)):
        _check_details(message.details, limits)
    if isinstance(message, (Push, CommitPush)) and message.pull is not None:
        check(message.pull, limits)
    if isinstance(message, Resolve):
        _check_depth(message.value, limits.depth)
        check_cells([message.value] if isinstance(message.value, list) else [[message.value]])


def _check_field(name: str, value: Any) -> None:
    if name in _NUMBERS and isinstance(value, int):
        least = _NUMBERS[name]
        if not least <= value <= INTEGER_MAX:
            raise Malformed(f"{name} is {value}, not between {least} and {INTEGER_MAX}")
    elif isinstance(value, str) and name in _NAMES:
        if len(value) > NAME_LENGTH or any(character < " " or character == "\x7f" for character in value):
            raise Malformed(f"{name} is longer than {NAME_LENGTH} characters or holds control characters")
    elif isinstance(value, str) and name in _WATERMARKS and len(value) > WATERMARK_LENGTH:
        raise TooLarge(f"{name} is longer than {WATERMARK_LENGTH} characters")


def _check_bases(bases: list[str], limits: Limits) -> None:
    if len(bases) > limits.bases:
        raise TooLarge(f"the push names {len(bases)} bases; {limits.bases} may be sent at once")


def check_begun(begun: BeginPush, limits: Limits) -> None:
    """Raise TooLarge or Malformed unless a large push may be as large as announced."""
    _check_bases(begun.bases, limits)
    if not begun.bases or begun.chunks < 1 or begun.rows < 0:
        raise Malformed("a push has chunks, rows and bases")
    if begun.rows > limits.push_total_rows:
        raise TooLarge(
            f"{begun.rows} rows in one push; the limit is {limits.push_total_rows}", code="too_many_rows"
        )
    if begun.chunks > limits.push_chunks:
        raise TooLarge(
            f"{begun.chunks} chunks in one push; the limit is {limits.push_chunks}", code="too_many_chunks"
        )


def _check_groups(groups: Raw, limits: Limits) -> None:
    if _length(groups) > limits.push_rows:
        raise _too_many(limits)
    rows = 0
    try:
        outlines = _outlines.decode(groups)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Malformed(f"the groups of the push cannot be read: {error}") from error
    for group in outlines:
        rows += _length(group.rows)
        sizes = (group.hlc, group.base, group.column_hlc, group.column_base)
        if rows > limits.push_rows or any(_length(raw) > limits.push_rows for raw in sizes):
            raise _too_many(limits)
        if _length(group.columns) > COLUMNS:
            raise TooLarge(f"a group names more than {COLUMNS} columns")
        if _length(group.packed) * UUID_BYTES * max(_length(group.rows), 1) > len(memoryview(group.packed)):
            raise Malformed("a group packs less than a uuid for each row")


def _check_details(details: list[Detail], limits: Limits) -> None:
    if len(details) > limits.push_rows:
        raise _too_many(limits)
    for detail in details:
        check_cells((detail.key, detail.base, detail.image or []))


def _too_many(limits: Limits) -> TooLarge:
    return TooLarge(f"the push holds more than {limits.push_rows} rows")


def _length(raw: Raw) -> int:
    """How many items a MessagePack array announces; nil counts as none."""
    head = bytes(memoryview(raw)[:5])
    if head[:1] == b"\xdc":
        return int.from_bytes(head[1:3], "big")
    if head[:1] == b"\xdd":
        return int.from_bytes(head[1:5], "big")
    if head[:1] == b"\xc0":
        return 0
    if head and head[0] >> 4 == 9:
        return head[0] & 15
    raise Malformed("a group of the push holds something else where a list belongs")


def _check_depth(value: Any, depth: int) -> None:
    if depth < 0:
        raise TooLarge("the message is nested too deeply")
    if isinstance(value, (list, tuple)):
        for item in value:
            _check_depth(item, depth - 1)
    elif isinstance(value, dict):
        for item in value.values():
            _check_depth(item, depth - 1)
