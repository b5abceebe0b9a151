"""Which texts PostgreSQL certainly gives back as they were sent, told from the text alone.

After a push the hub answers every row that is not stored as it was sent. Reading all rows back to see that
costs a quarter of a large push; where each value already has the one spelling that PostgreSQL would give it,
nothing needs to be read. What is not certain is compared, so this may only ever err to that side.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from syncline.databases.base.codec import UUID
from syncline.databases.base.screen import Certain
from syncline.databases.postgresql.types import HEADER, scale_of
from syncline.model.values import Value

_DAY = r"(?!0000)\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{0,5}[1-9])?"
_NUMBER = r"(?!-0(?:\.0*)?\n)-?(?:0|[1-9]\d{0,999})"

_SPELLINGS = {
    "uuid": UUID,
    "date": _DAY,
    "timestamp": f"{_DAY}T{_TIME}",
    "timestamptz": f"{_DAY}T{_TIME}Z",
    "time": _TIME,
    "numeric": rf"{_NUMBER}(?:\.\d{{1,999}})?",
}
"""By name of a type without length or precision. A day that does not exist is refused by the server, and a
number with a digit too many too; neither is ever stored otherwise."""

SPELLED = frozenset(
    [
        "uuid",
        "date",
        "numeric",
        "time without time zone",
        "timestamp without time zone",
        "timestamp with time zone",
    ]
)
"""The same types as the schema names them. The server certainly reads text that is spelled so, but for days
that do not exist."""


def test_of(name: str, modifier: int) -> Certain | None:
    """The test for a column of this base type and modifier (`pg_attribute.atttypmod`, -1: none); None if
    there is none."""
    if name == "float8":
        return _are_floats
    if name == "numeric" and modifier >= HEADER:
        scale = scale_of(modifier)
        return None if scale < 0 else _matching(rf"{_NUMBER}\.\d{{{scale}}}" if scale else _NUMBER)
    return _matching(_SPELLINGS[name]) if modifier == -1 and name in _SPELLINGS else None


def _are_floats(values: Sequence[Value]) -> bool:
    return set(map(type, values)) <= {float, type(None)}


@cache
def _matching(pattern: str) -> Certain:
    matches = re.compile(rf"(?:{pattern}\n)*", re.ASCII).fullmatch

    def test(values: Sequence[Value]) -> bool:
        texts = [value for value in values if value is not None] if None in values else values
        return matches("\n".join([*texts, ""])) is not None  # type: ignore[list-item]

    return test
