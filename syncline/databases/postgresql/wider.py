"""Whether every value of a former type of a column is one of its present type, stored alike on a device.

Domains are resolved, the elements of arrays are part of the type's name.
"""

from __future__ import annotations

from collections.abc import Callable

from syncline.databases.base import wider
from syncline.databases.postgresql.types import HEADER, scale_of
from syncline.model.schema import ColumnSchema

_WIDER = {
    "smallint": {"integer", "bigint"},
    "integer": {"bigint"},
    "real": {"double precision"},
    "character": {"character varying", "text"},
    "character varying": {"text"},
    "text": {"character varying"},
    "name": {"text", "character varying"},
}
"""Besides the type itself. Where one is there both ways, the modifier decides."""

_TIMES = frozenset(
    ["timestamp without time zone", "timestamp with time zone", "time without time zone",
     "time with time zone"]
)  # fmt: skip


def is_wider(before: ColumnSchema, after: ColumnSchema) -> bool:
    """See the contract."""
    return wider.is_wider(before, after, _WIDER, _grows)


def _grows(central: str) -> Callable[[int, int], bool]:
    if central == "numeric":
        return _more_digits
    if central in ("character", "character varying") or central in _TIMES:
        return int.__le__
    return int.__eq__


def _more_digits(before: int, after: int) -> bool:
    """Both before and behind the point."""
    scales = scale_of(before), scale_of(after)
    whole = [_precision(modifier) - scale for modifier, scale in zip((before, after), scales, strict=True)]
    return scales[0] <= scales[1] and whole[0] <= whole[1]


def _precision(modifier: int) -> int:
    return modifier - HEADER >> 16 & 0xFFFF
