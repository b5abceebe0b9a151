"""Which texts a database certainly gives back as they were sent, told from the text alone.

After a push the hub answers every row that is not stored as it was sent. Reading all rows back to see that
costs a quarter of a large push; where each value already has the one spelling that the portable form has for
it, nothing needs to be read. What is not certain is compared, so this may only ever err to that side.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from syncline.databases.base.codec import UUID
from syncline.databases.base.screen import Certain
from syncline.model.values import Value

DAY = r"(?!0000)\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
"""A day that does not exist is refused by the server, and never stored otherwise."""

TIME = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{0,5}[1-9])?"
WHOLE = r"(?!-0(?:\.0*)?\n)-?(?:0|[1-9]\d{0,999})"
DECIMAL = rf"{WHOLE}(?:\.\d{{1,999}})?"

SPELLINGS = {
    "uuid": UUID,
    "date": DAY,
    "timestamp": f"{DAY}T{TIME}",
    "timestamptz": f"{DAY}T{TIME}Z",
    "time": TIME,
    "decimal": DECIMAL,
}
"""By portable type, of columns without length or precision."""


def are_floats(values: Sequence[Value]) -> bool:
    """Whether all are floats or NULL."""
    return set(map(type, values)) <= {float, type(None)}


def decimals(scale: int) -> Certain | None:
    """The test for numbers with so many digits behind the point; None if there is none."""
    return None if scale < 0 else matching(rf"{WHOLE}\.\d{{{scale}}}" if scale else WHOLE)


@cache
def matching(pattern: str) -> Certain:
    """The test whether all texts of a column are spelled so."""
    matches = re.compile(rf"(?:{pattern}\n)*", re.ASCII).fullmatch

    def test(values: Sequence[Value]) -> bool:
        texts = [value for value in values if value is not None] if None in values else values
        return matches("\n".join([*texts, ""])) is not None  # type: ignore[list-item]

    return test
