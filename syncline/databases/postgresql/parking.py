"""Rows of one push that trade unique values, or places in an exclusion constraint.

PostgreSQL looks at a unique index row by row, so that in no order two rows can trade values. What is legal
before and after is done by way of a third value: the rows put it in first, then take their own.
"""

from __future__ import annotations

from syncline.databases.postgresql.types import HEADER

_NUMBERS = frozenset(["int2", "int4", "int8", "numeric", "float4", "float8", "money"])
_TIMES = frozenset(["date", "timestamp", "timestamptz"])
_TEXTS = frozenset(["text", "varchar", "bpchar", "citext"])
_RANDOM = "md5(random()::text || s.n)"
_OTHERS = {
    "time": ["time '00:00' + ? * interval '1 microsecond'"],
    "uuid": [f"{_RANDOM}::uuid"],
    "bytea": [f"decode({_RANDOM}, 'hex')"],
    "bool": ["false", "true"],
    "range": ["'empty'"],
    "multirange": ["'{}'"],
}
"""What rows can hold for a while in columns of other types; a question mark is the row's number."""


def other_values(table: str, name: str, n: str, type_: str, modifier: int) -> list[str]:
    """Values that rows, each of another `n`, can hold in a column for a while, the likeliest first."""
    lowest, highest = f"(SELECT min({name}) FROM {table})", f"(SELECT max({name}) FROM {table})"
    if type_ in _NUMBERS:
        below = f"least({lowest}, 0::{type_}) - {n}::{type_}"
        return [below, f"greatest({highest}, 0::{type_}) + {n}::{type_}"]
    if type_ in _TIMES:
        days = f"{n} * interval '1 day'"
        return [f"({lowest} - {days})::{type_}", f"({highest} + {days})::{type_}"]
    if type_ in _TEXTS:
        length = modifier - HEADER if modifier >= HEADER else 32
        return [f"left({_RANDOM}, {length})", f"upper(left({_RANDOM}, {length}))"]
    return [value.replace("?", n) for value in _OTHERS.get(type_, ())]
