"""Which texts PostgreSQL certainly gives back as they were sent, by the type of their column."""

from __future__ import annotations

from syncline.databases.base.screen import Certain
from syncline.databases.base.spelling import SPELLINGS, are_floats, decimals, matching
from syncline.databases.postgresql.types import HEADER, scale_of

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
"""The types whose text is spelled in one way alone, as the schema names them. The server certainly reads text
that is spelled so, but for days that do not exist."""


def test_of(name: str, modifier: int) -> Certain | None:
    """The test for a column of this base type and modifier (`pg_attribute.atttypmod`, -1: none); None if
    there is none."""
    if name == "float8":
        return are_floats
    if name == "numeric" and modifier >= HEADER:
        return decimals(scale_of(modifier))
    pattern = SPELLINGS.get("decimal" if name == "numeric" else name)
    return matching(pattern) if modifier == -1 and pattern is not None else None
