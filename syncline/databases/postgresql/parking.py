"""Rows of one push that trade unique values, or places in an exclusion constraint.

PostgreSQL looks at a unique index row by row, so that in no order two rows can trade values. What is legal
before and after is done by way of a third value: the rows put it in first, then take their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from syncline.databases.base.parking import UniqueColumn, third_values, ways
from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.sql import queries, quote
from syncline.databases.postgresql.stage import Loaded
from syncline.databases.postgresql.types import HEADER

_NUMBERS = frozenset(["int2", "int4", "int8", "numeric", "float4", "float8", "money"])
_TIMES = frozenset(["date", "timestamp", "timestamptz"])
_TEXTS = frozenset(["text", "varchar", "bpchar", "citext"])


@dataclass(frozen=True, slots=True)
class Unique:
    """One column of a unique index or exclusion constraint."""

    index: int
    name: str
    type_: str
    kind: str
    modifier: int
    nullable: bool
    foreign: bool


def unique_columns(session: Session, table: str) -> list[Unique]:
    """Those of a table, by its quoted name."""
    return [Unique(*row) for row in session.run(queries("write.sql")["unique columns"], table)]


def parked(loaded: Loaded, uniques: Sequence[Unique], first: int, round_: int) -> Mapping[int, str]:
    """Which staged columns are to hold what meanwhile, as SQL, by their numbers. Rows get different values,
    numbered from `first`."""
    numbers = {loaded.shape.table.values[n].name: n for n in loaded.stage.columns}
    columns = [
        UniqueColumn(
            one.index, numbers[one.name], one.nullable, one.foreign, _values(loaded.shape.name, one, first)
        )
        for one in uniques
        if one.name in numbers
    ]
    return third_values(ways(columns), round_)


def _values(table: str, column: Unique, first: int) -> list[str]:
    """Values that rows can hold for a while, the likeliest first."""
    name, n = quote(column.name), f"({first} + s.n)"
    lowest, highest = f"(SELECT min({name}) FROM {table})", f"(SELECT max({name}) FROM {table})"
    random = "md5(random()::text || s.n)"
    if column.type_ in _NUMBERS:
        below = f"least({lowest}, 0::{column.type_}) - {n}::{column.type_}"
        return [below, f"greatest({highest}, 0::{column.type_}) + {n}::{column.type_}"]
    if column.type_ in _TIMES:
        days = f"{n} * interval '1 day'"
        return [f"({lowest} - {days})::{column.type_}", f"({highest} + {days})::{column.type_}"]
    if column.type_ in _TEXTS:
        length = column.modifier - HEADER if column.modifier >= HEADER else 32
        return [f"left({random}, {length})", f"upper(left({random}, {length}))"]
    if column.type_ == "time":
        return [f"time '00:00' + {n} * interval '1 microsecond'"]
    if column.type_ == "uuid":
        return [f"{random}::uuid"]
    if column.type_ == "bytea":
        return [f"decode({random}, 'hex')"]
    if column.type_ == "bool":
        return ["false", "true"]
    if column.kind == "r":
        return ["'empty'"]
    if column.kind == "m":
        return ["'{}'"]
    return []
