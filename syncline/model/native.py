"""From the types of Python that a program has values in to those that travel."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from syncline.errors import ValueRefused
from syncline.model.values import INTEGER_MAX, INTEGER_MIN

_CARRIED = "None, bool, int, float, str, bytes, Decimal, UUID, datetime, date, time"


def carried(value: Any) -> Any:
    """A value, or a list of values, as it travels: a bool as 1 or 0, a Decimal and a UUID as text, dates and
    times as ISO 8601. What is in JSON form (`{"$blob": ...}`) stays. ValueRefused for anything else."""
    if isinstance(value, (list, tuple)):
        return [carried(item) for item in value]
    if isinstance(value, Enum):
        return carried(value.value)
    if isinstance(value, dict) and set(value) <= {"$blob", "$float"}:
        return value
    return _one(value)


def _one(value: Any) -> Any:
    if isinstance(value, int):
        if not INTEGER_MIN <= value <= INTEGER_MAX:
            raise ValueRefused(f"{str(value)[:80]} does not fit into 64 bits; give it as text")
        return int(value)
    if isinstance(value, float):
        return float(value) if value == value else "NaN"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f") if value.is_finite() else str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if value is None or isinstance(value, UUID):
        return value and str(value)
    raise ValueRefused(
        f"a {type(value).__name__} is none of {_CARRIED}", remedy="Give the value as one of these."
    )


def _text(value: str) -> str:
    try:
        return value.encode().decode()
    except UnicodeEncodeError as error:
        raise ValueRefused(f"{value[:80]!r} is no Unicode: it has half of a pair of surrogates") from error
