"""Whether the central database certainly stores two values of a column alike, however they are spelled.

What is not certain (`$5.00` and `5`, `12:00+02` and `12:00:00+02:00`) counts as two values.
"""

from __future__ import annotations

import json
import struct
from decimal import Decimal

from syncline.model.schema import ColumnSchema
from syncline.model.spelling import number_in
from syncline.model.values import Value, identical

_DIGITS = 1_000
"""Numbers with more digits, before or after the point, are compared as they are written."""


def is_same(column: ColumnSchema, one: Value, other: Value) -> bool:
    """Whether both are stored alike: to the letter one value, or two spellings of one."""
    if identical(one, other):
        return True
    if one is None or other is None or not (column.spelled or column.modifier >= 0):
        return False
    if column.type == "json" and isinstance(one, str) and isinstance(other, str):
        return column.spelled and _is_same_document(one, other)
    if column.type == "text" and isinstance(one, str) and isinstance(other, str):
        return column.spelled and column.modifier >= 0 and one.rstrip(" ") == other.rstrip(" ")
    if column.type == "float":
        single = _single(one)
        return single is not None and single == _single(other)
    if column.type == "decimal" and column.modifier >= 0:
        number = number_in(one)
        return number is not None and number == number_in(other)
    return False


def _single(value: Value) -> bytes | None:
    """A number as a float of four bytes, which is all that a column asks for whose spelling is another."""
    number = float(value) if isinstance(value, int) else value
    try:
        return struct.pack("<f", number) if isinstance(number, float) else None
    except OverflowError:
        return None


def _is_same_document(one: str, other: str) -> bool:
    try:
        return bool(_document(one) == _document(other))
    except (ValueError, RecursionError):
        return False


def _document(text: str) -> object:
    """JSON whose spaces and order of keys mean nothing, but the digits of whose numbers do."""
    return json.loads(text, parse_float=_digits, parse_int=_digits)


def _digits(text: str) -> tuple[str]:
    """What is written of a number, in a tuple, which nothing else in a document is."""
    number = Decimal(text)
    if len(text) > _DIGITS or abs(number.adjusted()) > _DIGITS:
        return (text,)
    written = f"{number:f}"
    return (written.removeprefix("-") if not number else written,)
