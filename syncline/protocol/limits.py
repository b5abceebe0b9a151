"""Limits of a request, enforced while it is read: before its rows are turned into objects.

What a field may hold is said by its type (`protocol.messages`) and enforced by msgspec; here is what depends
on the hub's `Limits`, and texts that are refused as too large rather than as malformed.

Bytes are counted by who reads the body (`compression.decompress`); here the counts inside a message are
checked from the headers of its MessagePack arrays, which cost nothing to look at.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Raw, Struct

from syncline.errors import Malformed, TooLarge
from syncline.protocol.body import check_cells
from syncline.protocol.messages import (
    BeginPush,
    CommitPush,
    Limits,
    PreparePush,
    Push,
    PushChunk,
    Record,
    Resolve,
    undressed,
)
from syncline.protocol.packing import UUID_BYTES

COLUMNS = 32_767
"""As many as SQLite can be built for."""


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
    """Raise TooLarge or Malformed unless a decoded request keeps the limits."""
    for field in _bounded(type(message)):
        field.check(getattr(message, field.name), limits)
    if isinstance(message, (Push, PushChunk)):
        _check_groups(message.groups, limits)
    elif isinstance(message, BeginPush):
        check_begun(message, limits)
    if isinstance(message, (Push, PushChunk, PreparePush, CommitPush)):
        for detail in message.details:
            check_cells((detail.key, detail.base, detail.image or []))
    if isinstance(message, (Push, CommitPush)) and message.pull is not None:
        check(message.pull, limits)
    if isinstance(message, Resolve):
        _check_depth(message.value, limits.depth)
        check_cells([message.value] if isinstance(message.value, list) else [[message.value]])


@dataclass(frozen=True, slots=True)
class _Bounded:
    """A field whose type has a `longest` (characters) or a `limit` (a field of `Limits`), or lists such."""

    name: str
    longest: int | None
    limit: str | None
    inner: _Bounded | None

    def check(self, value: Any, limits: Limits) -> None:
        """Raise TooLarge if there is more than may be; None is nothing."""
        if value is None:
            return
        if self.longest is not None and len(value) > self.longest:
            raise TooLarge(f"{self.name} is longer than {self.longest} characters")
        if self.limit is not None and len(value) > getattr(limits, self.limit):
            most = getattr(limits, self.limit)
            raise TooLarge(f"{len(value)} {self.name} in one request; the limit is {most} ({self.limit})")
        if self.inner is not None:
            for item in value:
                self.inner.check(item, limits)


@cache
def _bounded(kind: type[Record]) -> tuple[_Bounded, ...]:
    hints = get_type_hints(kind, include_extras=True)
    found = (_bound(name, hints[name]) for name in kind.__struct_fields__)
    return tuple(field for field in found if field is not None)


def _bound(name: str, hint: Any) -> _Bounded | None:
    bare, extra = undressed(hint)
    parts = get_args(bare)
    if NoneType in parts:
        (hint,) = [part for part in parts if part is not NoneType]
        return _bound(name, hint)
    inner = _bound(name, parts[0]) if get_origin(bare) is list else None
    if inner is None and not extra.keys() & {"longest", "limit"}:
        return None
    return _Bounded(name, extra.get("longest"), extra.get("limit"), inner)


def check_begun(begun: BeginPush, limits: Limits) -> None:
    """Raise TooLarge or Malformed unless a large push may be as large as announced."""
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
