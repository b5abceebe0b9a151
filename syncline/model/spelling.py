"""The one spelling of a value: whatever text, number or blob a portable type reads, told from it alone.

An ORM writes `2024-02-29 10:00:00` and `a0eebc999c0b4ef8bb6d6bb9bd380a11` where the centre has
`2024-02-29T10:00:00` and a uuid with hyphens. The spelling changes and never the value: what would have to be
rounded, and what is not read here (`now`, `29 February`), stays as it is and is for the centre to judge.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal

from syncline.model.values import INTEGER_MAX, INTEGER_MIN, Value

Speller = Callable[[Value], Value]
"""From any spelling of a value to the one spelling; what it does not read comes back as it is."""

_NUMBER = re.compile(r"\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?)\s*", re.ASCII)
_UUID = re.compile(r"(?:urn:uuid:)?(\{?)([0-9a-f]{4}(?:-?[0-9a-f]{4}){7})(\}?)", re.ASCII | re.IGNORECASE)
_DATE = r"(\d{4})-(\d\d?)-(\d\d?)"
_CLOCK = r"(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?"
_ZONE = r"\s*(Z|[+-]\d\d(?::?\d\d(?::\d\d)?)?)?"
_MOMENT = re.compile(rf"\s*{_DATE}(?:[T ]\s*{_CLOCK}{_ZONE})?\s*", re.ASCII | re.IGNORECASE)
_TIME = re.compile(rf"\s*{_CLOCK}\s*", re.ASCII)

_TRUTHS = {
    **dict.fromkeys(("t", "tr", "tru", "true", "y", "ye", "yes", "on", "1"), 1),
    **dict.fromkeys(("f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0"), 0),
}
"""The texts that PostgreSQL reads as booleans."""

_INFINITE = {"inf": "inf", "infinity": "inf", "+inf": "inf", "+infinity": "inf"} | {
    "-inf": "-inf",
    "-infinity": "-inf",
}
_DIGITS = 1_000
"""Decimals with more digits, before or after the point, are left to the centre."""


def speller(kind: str, scale: int | None = None) -> Speller | None:
    """How values of a portable type are spelled; None if every value is its own spelling, or only the centre
    can tell. `scale`: how many digits a decimal has after its point, None: as many as it has."""
    if kind == "decimal":
        return lambda value: decimal_text(value, scale)
    return _SPELLERS.get(kind)


def number_in(value: Value) -> Decimal | None:
    """The number that a value is: an integer, a finite float by its shortest spelling, a text that is nothing
    but a number. Otherwise None."""
    if isinstance(value, str):
        found = _NUMBER.fullmatch(value)
        return None if found is None else Decimal(found[1])
    if isinstance(value, float):
        value = repr(value)
        return None if value in ("inf", "-inf", "nan") else Decimal(value)
    return Decimal(value) if isinstance(value, int) else None


def _integer(value: Value) -> Value:
    if type(value) is int or value is None:
        return value
    number = number_in(value)
    if number is None or abs(number) > -INTEGER_MIN or number != number.to_integral_value():
        return value
    return int(number) if INTEGER_MIN <= number <= INTEGER_MAX else value


def _float(value: Value) -> Value:
    if type(value) is float or value is None:
        return value
    if isinstance(value, int):
        return float(value) if int(float(value)) == value else value
    if not isinstance(value, str):
        return value
    word = value.strip().lower()
    if word in _INFINITE:
        return float(_INFINITE[word])
    if word == "nan":
        return "NaN"
    found = _NUMBER.fullmatch(value)
    number = None if found is None else float(found[1])
    return value if number is None or number in (float("inf"), float("-inf")) else number


def _boolean(value: Value) -> Value:
    if isinstance(value, float) and value in (0.0, 1.0):
        return int(value)
    return _TRUTHS.get(value.strip().lower(), value) if isinstance(value, str) else value


def decimal_text(value: Value, scale: int | None) -> Value:
    """A decimal with `scale` digits after its point; as it is if it would have to be rounded. A float stands
    for the number with 15 digits, where those are enough: 0.30000000000000004 is 0.30."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # SQLite makes an integer of it, or leaves it, as the column says
    number = number_in(value)
    if number is None:
        word = value.strip().lower() if isinstance(value, str) else str(value)
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(_INFINITE.get(word, word), value)
    if scale is not None and scale < 0:
        return value if isinstance(value, str) else _plain(number, None)
    spelled = _plain(number, scale)
    if spelled is None and isinstance(value, float):
        spelled = _plain(rounded(value), scale) or _plain(number, None)
    return value if spelled is None else spelled


def _plain(number: Decimal, scale: int | None) -> str | None:
    """Without an exponent; None if it has other digits, or very many."""
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int), "it is finite"
    if max(abs(exponent), abs(number.adjusted())) > _DIGITS:
        return None
    spelled = f"{number:.{max(0, -exponent) if scale is None else scale}f}"
    if Decimal(spelled) != number:
        return None
    return spelled[1:] if number == 0 and spelled.startswith("-") else spelled


def rounded(value: float) -> Decimal:
    """The number that a float stands for, to the 15 digits that a float certainly has."""
    return Context(prec=15).create_decimal_from_float(value)


def _uuid(value: Value) -> Value:
    if isinstance(value, bytes):
        digits = value.hex() if len(value) == 16 else ""
    else:
        found = _UUID.fullmatch(value.strip()) if isinstance(value, str) else None
        braced = found is not None and bool(found[1]) == bool(found[3])
        digits = found[2].replace("-", "").lower() if found is not None and braced else ""
    if not digits:
        return value
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


# Dates and times -----------------------------------------------------------------------------------------


def moment(text: str) -> tuple[datetime, str | None] | None:
    """The date and time that an ISO text says, and its zone as written; None if it says none of the years 1
    to 9999, or has more than six digits of a second."""
    found = _MOMENT.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    micro = _micro(fraction)
    if micro is None:
        return None
    try:
        at = datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), micro
        )
    except ValueError:
        return None
    return at, zone


def _micro(fraction: str | None) -> int | None:
    digits = (fraction or "").rstrip("0")
    return int(digits.ljust(6, "0")) if len(digits) <= 6 else None


def _fraction(micro: int) -> str:
    return f".{micro:06d}".rstrip("0") if micro else ""


def iso(at: datetime) -> str:
    """ISO 8601 without a zone, and without trailing zeros."""
    return f"{at.year:04d}-{at.month:02d}-{at.day:02d}T{at:%H:%M:%S}{_fraction(at.microsecond)}"


def _timestamp(value: Value) -> Value:
    """A zone is left out, as PostgreSQL does."""
    found = moment(value) if isinstance(value, str) else None
    return value if found is None else iso(found[0])


def _timestamptz(value: Value) -> Value:
    """In UTC, which is also what a text without a zone is in."""
    found = moment(value) if isinstance(value, str) else None
    if found is None:
        return value
    at, zone = found
    try:
        return iso(at - _offset(zone)) + "Z"
    except (OverflowError, ValueError):
        return value


def _offset(zone: str | None) -> timedelta:
    if zone is None or zone in "Zz":
        return timedelta(0)
    digits = zone[1:].replace(":", "").ljust(6, "0")
    hours, minutes, seconds = int(digits[:2]), int(digits[2:4]), int(digits[4:])
    if hours > 15 or minutes > 59 or seconds > 59:
        raise ValueError(zone)
    offset = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return -offset if zone[0] == "-" else offset


def _date(value: Value) -> Value:
    """A time besides midnight is for the centre to judge."""
    found = moment(value) if isinstance(value, str) else None
    if found is None or found[0].time() != time(0):
        return value
    day: date = found[0].date()
    return f"{day.year:04d}-{day.month:02d}-{day.day:02d}"


def _time(value: Value) -> Value:
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return value
    hour, minute, second, fraction = found.groups()
    micro = _micro(fraction)
    try:
        at = None if micro is None else time(int(hour), int(minute), int(second or 0), micro)
    except ValueError:
        return value
    return value if at is None else f"{at:%H:%M:%S}{_fraction(at.microsecond)}"


def utc(seconds: int, micro: int) -> datetime:
    """The date and time so long after 1970 began in UTC. OverflowError beyond the years 1 to 9999."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, microseconds=micro)).replace(
        tzinfo=None
    )


_SPELLERS: Mapping[str, Speller] = {
    "integer": _integer,
    "float": _float,
    "boolean": _boolean,
    "uuid": _uuid,
    "timestamp": _timestamp,
    "timestamptz": _timestamptz,
    "date": _date,
    "time": _time,
}
