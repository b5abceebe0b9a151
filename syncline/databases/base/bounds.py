"""Bounds of a scan, where a key column holds one storage class.

A bound of another class, which no device sends, lies before or behind everything in the column; a bound is
therefore a prefix of values and whether the rows equal to it lie before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from syncline.databases.base.codec import Codec
from syncline.hub.contract import Key
from syncline.model.values import INTEGER_MAX, INTEGER_MIN, Value


@dataclass(frozen=True, slots=True)
class Bound:
    """A point between rows: behind (`behind_equals`) or before the rows that begin with `values`."""

    values: tuple[Value, ...]
    behind_equals: bool


Side = Callable[[int, Value, int], tuple[str, str, Any]]
"""Of a column of the key by its place, a value to compare it with, and the number that this value has among
those that are bound: the column as it is ordered, the place of the value in the statement, what is bound."""


def between(after: Bound | None, upto: Bound | None, side: Side) -> tuple[list[str], list[Any]]:
    """The conditions that a row lies behind one point and not behind another one, and what to bind."""
    tests, bound = list[str](), list[Any]()
    for point, beyond in ((after, True), (upto, False)):
        if point is None:
            continue
        if not point.values:
            tests.append("1 = 1" if beyond != point.behind_equals else "1 = 0")
            continue
        sides = [side(place, value, len(bound) + place + 1) for place, value in enumerate(point.values)]
        columns, marks, values = zip(*sides, strict=True)
        compare = (">" if point.behind_equals else ">=") if beyond else ("<=" if point.behind_equals else "<")
        tests.append(f"({', '.join(columns)}) {compare} ({', '.join(marks)})")
        bound += values
    return tests, bound


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
    number, storage = isinstance(value, (int, float)), codec.storage
    if value is None:
        return None, False
    if storage == "blob":
        return (value, None) if isinstance(value, bytes) else (None, False)
    if storage == "text":
        if number:
            return None, False
        return (None, True) if isinstance(value, bytes) else _nearest_text(value)
    if isinstance(value, bytes):
        return None, True
    if storage == "float":
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
