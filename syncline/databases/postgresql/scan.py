"""A table in canonical order, whatever collation the database has.

Integers, floats, booleans, bytea and uuid have that order themselves, so that the primary key's index
serves; everything else travels as text and is ordered by that text's bytes (collation "C").

A key column of PostgreSQL holds one storage class. A bound of another class, which no device sends, lies
before or behind everything in the column; a bound is therefore a prefix of values and whether the rows
equal to it lie before it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from syncline.databases.postgresql.layout import Shape
from syncline.databases.postgresql.types import Codec, is_uuid
from syncline.hub.contract import Key
from syncline.model.values import INTEGER_MAX, INTEGER_MIN, Value


@dataclass(frozen=True, slots=True)
class Bound:
    """A point between rows: behind (`behind_equals`) or before the rows that begin with `values`."""

    values: tuple[Value, ...]
    behind_equals: bool


def scan_statement(shape: Shape, after: Key | None, upto: Key | None) -> tuple[str, list[str | None]]:
    """Whole rows with a key above `after` up to and with `upto`, and what to bind."""
    tests: list[str] = []
    bound: list[str | None] = []
    for limit, beyond in ((after, True), (upto, False)):
        if limit is not None:
            point = bound_of(shape.keys, limit)
            tests.append(_test(shape, point, beyond, len(bound)))
            bound += [codec.spell([value])[0] for codec, value in zip(shape.keys, point.values, strict=False)]
    chosen = ", ".join(shape.read_keys("t") + shape.read_values(shape.values))
    order = ", ".join(_ordered(codec, f"t.{name}") for codec, name in _keys(shape))
    where = f" WHERE {' AND '.join(tests)}" if tests else ""
    return f"SELECT {chosen} FROM {shape.name} AS t{where} ORDER BY {order}", bound


def bound_of(codecs: Sequence[Codec], key: Key) -> Bound:
    """The point behind all rows up to and with this key, in values that the columns can be compared with."""
    for index, (codec, value) in enumerate(zip(codecs, key, strict=True)):
        given, behind = _nearest(codec, value)
        if behind is not None:
            values = key[:index] if given is None else (*key[:index], given)
            return Bound(values, behind)
        key = (*key[:index], given, *key[index + 1 :])
    return Bound(key, True)


def _nearest(codec: Codec, value: Value) -> tuple[Value, bool | None]:
    """A value to compare the column with instead; then where the point lies beside the rows that equal it
    (all of them, with None), or None if it is the same value."""
    number, stage = isinstance(value, (int, float)), codec.stage
    if value is None:
        return None, False
    if stage == "bytea":
        return (value, None) if isinstance(value, bytes) else (None, False)
    if stage == "text":
        if number:
            return None, False
        return (None, True) if isinstance(value, bytes) else _nearest_text(value)
    if isinstance(value, bytes):
        return None, True
    if stage == "float8":
        return _nearest_float(value)
    return _nearest_integer(value) if isinstance(value, (int, float)) else (None, True)


def _nearest_text(value: Value) -> tuple[Value, bool | None]:
    """No text here holds U+0000: up to there it is below every text that goes on."""
    assert isinstance(value, str)
    head, zero, _ = value.partition("\0")
    return head, True if zero else None


def _nearest_integer(value: int | float) -> tuple[Value, bool | None]:
    whole = value if math.isinf(value) else math.floor(value)
    if whole > INTEGER_MAX:
        return None, True
    if whole < INTEGER_MIN:
        return None, False
    return int(whole), None if whole == value else True


def _nearest_float(value: Value) -> tuple[Value, bool | None]:
    """A NaN is the text 'NaN' here, behind all numbers."""
    if isinstance(value, str):
        if value == "NaN":
            return value, None
        return (math.inf, True) if value < "NaN" else (None, True)
    assert isinstance(value, (int, float))
    near = float(value)
    return near, None if near == value else near < value


def _test(shape: Shape, point: Bound, beyond: bool, given: int) -> str:
    if not point.values:
        return "true" if beyond != point.behind_equals else "false"
    sides, marks = [], []
    for number, ((codec, name), value) in enumerate(zip(_keys(shape), point.values, strict=False), given + 1):
        native = codec.kind != "uuid" or is_uuid(str(value)) is not None
        sides.append(_ordered(codec, f"t.{name}") if native else _bytewise(codec, f"t.{name}"))
        marks.append(f"${number}::{'uuid' if codec.kind == 'uuid' and native else codec.stage}")
    compare = (">" if point.behind_equals else ">=") if beyond else ("<=" if point.behind_equals else "<")
    return f"({', '.join(sides)}) {compare} ({', '.join(marks)})"


def _keys(shape: Shape) -> list[tuple[Codec, str]]:
    return list(zip(shape.keys, shape.key_names, strict=True))


def _ordered(codec: Codec, column: str) -> str:
    """What a key column is ordered by."""
    if codec.kind == "boolean":
        return codec.read(column)
    return column if codec.kind == "uuid" or codec.stage != "text" else _bytewise(codec, column)


def _bytewise(codec: Codec, column: str) -> str:
    return f'({codec.read(column)}) COLLATE "C"'
