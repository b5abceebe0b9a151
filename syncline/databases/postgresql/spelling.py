"""Which texts PostgreSQL certainly gives back as they were sent, told from the text alone.

After a push the hub answers every row that is not stored as it was sent. Reading all rows back to see that
costs a quarter of a large push; where each value already has the one spelling that PostgreSQL would give it,
nothing needs to be read. What is not certain is compared, so this may only ever err to that side.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache

from syncline.model.schema import ColumnSchema

_DAY = r"(?!0000)\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{0,5}[1-9])?"
_NUMBER = r"(?!-0(?:\.0*)?\n)-?(?:0|[1-9]\d{0,999})"
_DECLARED = re.compile(r"DECIMAL_TEXT\(\d+,(\d+)\)")

_SPELLINGS = {
    "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "date": _DAY,
    "timestamp without time zone": f"{_DAY}T{_TIME}",
    "timestamp with time zone": f"{_DAY}T{_TIME}Z",
    "time without time zone": _TIME,
    "numeric": rf"{_NUMBER}(?:\.\d{{1,999}})?",
}
"""By type without length or precision. A day that does not exist is refused by the server, and a number
with a digit too many too; neither is ever stored otherwise."""

SPELLED = frozenset(_SPELLINGS)
"""Types whose text the server certainly reads, once it is spelled so, but for days that do not exist."""


Certain = Callable[[Sequence[object]], bool]
"""Whether all values (or NULLs) of a column are certainly given back as they are."""


def test_of(column: ColumnSchema, *, unlimited: bool) -> Certain | None:
    """The test for a column; None if there is none.

    `unlimited`: its type has neither length nor precision."""
    declared = _DECLARED.fullmatch(column.declared)
    if declared is not None:
        return _matching(rf"{_NUMBER}\.\d{{{declared[1]}}}" if int(declared[1]) else _NUMBER)
    if column.central == "double precision":
        return _are_floats
    pattern = _SPELLINGS.get(column.central)
    return _matching(pattern) if unlimited and pattern is not None else None


def _are_floats(values: Sequence[object]) -> bool:
    return set(map(type, values)) <= {float, type(None)}


@cache
def _matching(pattern: str) -> Certain:
    matches = re.compile(rf"(?:{pattern}\n)*", re.ASCII).fullmatch

    def test(values: Sequence[object]) -> bool:
        texts = [value for value in values if value is not None] if None in values else values
        return matches("\n".join([*texts, ""])) is not None  # type: ignore[list-item]

    return test
