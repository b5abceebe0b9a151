"""Limits of a request, enforced while it is read: before its rows are turned into objects.

What a field may hold is said by its type (`protocol.messages`) and enforced by msgspec; here is what depends
on the hub's `Limits`, and texts that are refused as too large rather than as malformed.

Bytes are counted by who reads the body (`compression.decompress`), values before they become objects
(`protocol.outline`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from syncline.errors import Malformed, TooLarge
from syncline.protocol.messages import (
    BeginPush,
    CommitPush,
    Limits,
    PreparePush,
    Push,
    PushChunk,
    Reconcile,
    Record,
    Resolve,
    Spell,
    undressed,
)
from syncline.protocol.outline import weigh_groups
from syncline.protocol.packing import check_cells


def check(message: Record, limits: Limits) -> None:
    """Raise TooLarge or Malformed unless a decoded request keeps the limits."""
    check_fields(message, limits)
    if isinstance(message, (Push, PushChunk)):
        weigh_groups(message.groups, limits)


def check_answer(message: Record) -> None:
    """Raise TooLarge or Malformed unless the texts of an answer are as long as they may be."""
    for field in _bounded(type(message)):
        if field.limit is None:
            field.check(getattr(message, field.name), _NONE)


_NONE = Limits()


def check_fields(message: Record, limits: Limits) -> None:
    """`check` of everything but the groups, where `outline.weigh` has looked at the bytes."""
    for field in _bounded(type(message)):
        field.check(getattr(message, field.name), limits)
    if isinstance(message, BeginPush):
        check_begun(message, limits)
    if isinstance(message, (Push, PushChunk, PreparePush, CommitPush)):
        for detail in message.details:
            check_cells((detail.key, detail.base, detail.image or []))
    if isinstance(message, (Push, CommitPush)) and message.pull is not None:
        check(message.pull, limits)
    if isinstance(message, Reconcile):
        for refusal in message.refused:
            check_fields(refusal, limits)
        check_cells([refusal.key for refusal in message.refused])
    if isinstance(message, Spell):
        check_cells(message.keys)
    if isinstance(message, Resolve):
        _check_depth(message.value, limits.depth)
        check_cells([message.value] if isinstance(message.value, list) else [[message.value]])


@dataclass(frozen=True, slots=True)
class _Bounded:
    """A field whose type has a `longest` (characters, or bytes), a `limit` (a field of `Limits`) or `pieces`
    (of so many bytes), or lists such."""

    name: str
    longest: int | None
    limit: str | None
    pieces: int | None
    inner: _Bounded | None

    def check(self, value: Any, limits: Limits) -> None:
        """Raise TooLarge if there is more than may be, Malformed if there is half a piece."""
        if value is None:
            return
        if self.longest is not None and len(value) > self.longest:
            unit = "bytes" if isinstance(value, bytes) else "characters"
            raise TooLarge(f"{self.name} is longer than {self.longest} {unit}")
        if self.pieces is not None and len(value) % self.pieces:
            raise Malformed(f"{self.name} has {len(value)} bytes, which are {self.pieces} each")
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
    if inner is None and not extra.keys() & {"longest", "limit", "pieces"}:
        return None
    return _Bounded(name, extra.get("longest"), extra.get("limit"), extra.get("pieces"), inner)


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


def _check_depth(value: Any, depth: int) -> None:
    if depth < 0:
        raise TooLarge("the message is nested too deeply")
    if isinstance(value, (list, tuple)):
        for item in value:
            _check_depth(item, depth - 1)
    elif isinstance(value, dict):
        for item in value.values():
            _check_depth(item, depth - 1)
