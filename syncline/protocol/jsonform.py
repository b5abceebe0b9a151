"""The JSON form of the messages: the same records with names, for people and other languages.

Every record has a twin with keys, made from it once. Rows stay arrays. JSON has no bytes and no
infinities, so a value may be an object with one key:

    {"$blob": "AAH/"}      bytes, base64 (RFC 4648, section 4, padded)
    {"$float": "inf"}      inf, -inf or nan

Everything else is itself: 64-bit integers in full, a float always with a point or an exponent, -0.0 with
its sign. `groups` and `overrides` (MessagePack inside MessagePack) are shown as JSON. The digest stays that
of the MessagePack form; a push or a chunk may leave it out, and then none is checked.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
from collections.abc import Callable, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Raw, Struct

from syncline.errors import DigestMismatch, Malformed
from syncline.model.values import INTEGER_MAX, INTEGER_MIN, Value
from syncline.protocol.body import seal
from syncline.protocol.making import MAKING
from syncline.protocol.messages import (
    Group,
    Push,
    PushChunk,
    PushGroup,
    Record,
    Resolve,
    undressed,
)
from syncline.protocol.packing import read_groups, read_push_groups

M = TypeVar("M", bound=Record)
Turn = Callable[[Any], Any] | None
"""Turns a value from one form into the other; None: it is the same in both."""

_OPTIONAL: dict[tuple[type[Record], str], Any] = {
    (Push, "digest"): "",
    (PushChunk, "digest"): "",
    (Resolve, "id"): 0,
}
"""What JSON may leave out: the digest of groups, and a conflict's number, which stands in the path anyway."""

_NAMED_FLOATS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


class Special(Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """A value that JSON has no form for: exactly one of `$blob` (base64) and `$float` (inf, -inf, nan)."""

    blob: str | None = msgspec.field(default=None, name="$blob")
    float: str | None = msgspec.field(default=None, name="$float")


JsonValue = Union[None, int, float, str, Special]  # noqa: UP007 - msgspec reads it at run time
_keys = msgspec.json.Decoder(list[JsonValue])


def to_json(message: Record) -> bytes:
    """The JSON form of a message."""
    return msgspec.json.encode(_to_twin(type(message))(message))


def from_json(body: bytes | bytearray, kind: type[M]) -> M:
    """The message of a JSON body; msgspec.MsgspecError when it is not one of this kind."""
    return cast(M, _to_record(kind)(_decoder(kind).decode(body)))


def from_strings(fields: dict[str, str], kind: type[M]) -> M:
    """The message whose fields are given as text, as in a query string."""
    with MAKING:
        named = msgspec.convert(fields, twin(kind), strict=False)
    return cast(M, _to_record(kind)(named))


def key_text(key: Sequence[Value]) -> str:
    """A key as a query string has it: the JSON array of its values."""
    return msgspec.json.encode([_mark(value) for value in key]).decode()


def key_of(text: str) -> tuple[Value, ...]:
    """The inverse of `key_text`. Malformed (`bad_range`) if it is not one."""
    try:
        key = tuple(_unmark(value) for value in _keys.decode(text))
        text.encode()
    except (msgspec.MsgspecError, Malformed, ValueError, RecursionError) as error:
        why = error.detail if isinstance(error, Malformed) else error
        raise Malformed(f"a key is a JSON array of values: {why}", code="bad_range") from error
    for value in key:
        if value != value or (isinstance(value, int) and not INTEGER_MIN <= value <= INTEGER_MAX):
            raise Malformed("a key holds a number that is no value", code="bad_range")
    return key


@cache
def twin(record: type[Record]) -> type[Struct]:
    """The struct with keys that stands for a positional record."""
    hints = get_type_hints(record, include_extras=True)
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for field in msgspec.structs.fields(record):
        kind = _twin_type(hints[field.name], record)
        default = _OPTIONAL.get((record, field.name), _default(field, hints[field.name]))
        fields.append((field.name, kind) if default is msgspec.NODEFAULT else (field.name, kind, default))
    return msgspec.defstruct(
        record.__name__,
        fields,
        module=__name__,
        namespace={"__doc__": record.__doc__},
        kw_only=True,
        frozen=True,
        forbid_unknown_fields=True,
    )


def _default(field: msgspec.structs.FieldInfo, hint: Any) -> Any:
    if hint is Raw and field.default is not msgspec.NODEFAULT:
        return msgspec.field(default_factory=list)
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.field(default_factory=field.default_factory)
    return field.default


def _is_cell(hint: Any) -> bool:
    return bool(undressed(hint)[1].get("cell"))


def _bare(hint: Any) -> Any:
    """The type without what says how much it may hold; a cell stays one."""
    return hint if _is_cell(hint) else undressed(hint)[0]


def _is_record(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Record)


def _group_type(record: type[Record]) -> type[Record]:
    return PushGroup if record in (Push, PushChunk) else Group


def _twin_type(hint: Any, record: type[Record]) -> Any:
    if hint is Raw:
        return list[twin(_group_type(record))]  # type: ignore[misc]
    if _is_cell(hint):
        return JsonValue
    if get_origin(hint) is Annotated:
        return Annotated[(_twin_type(hint.__origin__, record), *hint.__metadata__)]
    if _is_record(hint):
        return twin(hint)
    if get_origin(hint) is list:
        return list[_twin_type(get_args(hint)[0], record)]  # type: ignore[misc]
    if get_origin(hint) in (Union, UnionType):
        return Union[tuple(_twin_type(part, record) for part in get_args(hint))]  # noqa: UP007
    return hint


@cache
def _decoder(record: type[Record]) -> msgspec.json.Decoder[Any]:
    with MAKING:
        return msgspec.json.Decoder(twin(record))


# From a record to its twin.


@cache
def _to_twin(record: type[Record]) -> Callable[[Any], Struct]:
    made, turns = twin(record), _turns(record, _outward)

    def turn(message: Any) -> Struct:
        values = {name: getattr(message, name) for name in record.__struct_fields__}
        for name, each in turns:
            values[name] = each(values[name])
        return made(**values)

    return turn


def _outward(hint: Any, record: type[Record]) -> Turn:
    hint = _bare(hint)
    if hint is Raw:
        kind = _group_type(record)
        read, each = read_push_groups if kind is PushGroup else read_groups, _to_twin(kind)
        return lambda raw: [each(group) for group in read(raw)]
    if _is_cell(hint):
        return _mark
    if hint is Any:
        return _mark_deep
    return _to_twin(hint) if _is_record(hint) else _inner(hint, record, _outward)


def _mark(value: Any) -> Any:
    if isinstance(value, bytes):
        return Special(blob=base64.b64encode(value).decode())
    if isinstance(value, float) and not math.isfinite(value):
        return Special(float="nan" if math.isnan(value) else "inf" if value > 0 else "-inf")
    return value


def _mark_deep(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_mark_deep(item) for item in value]
    if isinstance(value, dict):
        return {key: _mark_deep(item) for key, item in value.items()}
    return _mark(value)


# From a twin to its record.


@cache
def _to_record(record: type[Record]) -> Callable[[Any], Record]:
    turns = _turns(record, _inward)
    names = record.__struct_fields__

    def turn(named: Any) -> Record:
        values = {name: getattr(named, name) for name in names}
        for name, each in turns:
            values[name] = each(values[name])
        return record(**values)

    if record in (Push, PushChunk):
        return lambda named: _with_digest(cast(Push | PushChunk, turn(named)))
    return turn


def _with_digest(push: Push | PushChunk) -> Push | PushChunk:
    computed = hashlib.sha256(bytes(push.groups)).hexdigest()
    if push.digest and push.digest != computed:
        raise DigestMismatch(f"the SHA-256 of the groups is {computed}, not the one announced")
    return msgspec.structs.replace(push, digest=computed)


def _inward(hint: Any, record: type[Record]) -> Turn:
    hint = _bare(hint)
    if hint is Raw:
        each = _to_record(_group_type(record))
        return lambda groups: Raw(seal([each(group) for group in groups])[0])  # type: ignore[arg-type]
    if _is_cell(hint):
        return _unmark
    if hint is Any:
        return _unmark_deep
    return _to_record(hint) if _is_record(hint) else _inner(hint, record, _inward)


def _unmark(value: Any) -> Any:
    if not isinstance(value, Special):
        return value
    if (value.blob is None) == (value.float is None):
        raise Malformed("a special value has exactly one of $blob and $float")
    if value.float is not None:
        if value.float not in _NAMED_FLOATS:
            raise Malformed(f"$float is inf, -inf or nan, not {value.float[:20]!r}")
        return _NAMED_FLOATS[value.float]
    try:
        return base64.b64decode(cast(str, value.blob), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed(f"$blob is not base64: {error}") from error


def _unmark_deep(value: Any) -> Any:
    if isinstance(value, list):
        return [_unmark_deep(item) for item in value]
    if isinstance(value, dict):
        if value.keys() & {"$blob", "$float"}:
            return _unmark(msgspec.convert(value, Special))
        return {key: _unmark_deep(item) for key, item in value.items()}
    return value


# Both ways.


def _turns(record: type[Record], way: Callable[[Any, type[Record]], Turn]) -> list[tuple[str, Any]]:
    hints = get_type_hints(record, include_extras=True)
    found = ((name, way(hints[name], record)) for name in record.__struct_fields__)
    return [(name, turn) for name, turn in found if turn is not None]


def _inner(hint: Any, record: type[Record], way: Callable[[Any, type[Record]], Turn]) -> Turn:
    """The turn of a list or an optional, by what is inside."""
    parts = [part for part in get_args(hint) if part is not NoneType]
    if get_origin(hint) is list:
        each = way(parts[0], record)
        return None if each is None else lambda items: [each(item) for item in items]
    if get_origin(hint) in (Union, UnionType) and len(parts) == 1:
        one = way(parts[0], record)
        return None if one is None else lambda value: None if value is None else one(value)
    return None
