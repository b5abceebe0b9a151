"""Rows of one push that trade unique values, or places in an exclusion constraint.

PostgreSQL looks at a unique index row by row, so that in no order two rows can trade values. What is legal
before and after is done by way of a third value: the rows put it in first, then take their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


def parked(loaded: Loaded, uniques: Sequence[Unique], first: int, round_: int) -> dict[int, str]:
    """Which staged columns are to hold what meanwhile, as SQL, by their numbers. Rows get different values,
    numbered from `first`. Each index needs one column; `round_` says which of the possibilities is tried."""
    numbers = {loaded.shape.table.values[n].name: n for n in loaded.stage.columns}
    chosen: dict[int, str] = {}
    for index in dict.fromkeys(column.index for column in uniques):
        columns = [column for column in uniques if column.index == index and column.name in numbers]
        columns.sort(key=lambda column: (column.foreign, not column.nullable))
        ways = [(column, way) for column in columns for way in _ways(loaded, column, first)]
        if ways:
            column, way = ways[min(round_, len(ways) - 1)]
            chosen.setdefault(numbers[column.name], way)
    return chosen


def _ways(loaded: Loaded, column: Unique, first: int) -> list[str]:
    """Values that rows can hold for a while, the likeliest first."""
    found = ["NULL"] if column.nullable else []
    name, table, n = quote(column.name), loaded.shape.name, f"({first} + s.n)"
    lowest, highest = f"(SELECT min({name}) FROM {table})", f"(SELECT max({name}) FROM {table})"
    random = "md5(random()::text || s.n)"
    if column.foreign:
        return found
    if column.type_ in _NUMBERS:
        found += [f"least({lowest}, 0::{column.type_}) - {n}::{column.type_}"]
        found += [f"greatest({highest}, 0::{column.type_}) + {n}::{column.type_}"]
    elif column.type_ in _TIMES:
        found += [f"({lowest} - {n} * interval '1 day')::{column.type_}"]
        found += [f"({highest} + {n} * interval '1 day')::{column.type_}"]
    elif column.type_ in _TEXTS:
        length = column.modifier - HEADER if column.modifier >= HEADER else 32
        found += [f"left({random}, {length})", f"upper(left({random}, {length}))"]
    elif column.type_ == "time":
        found += [f"time '00:00' + {n} * interval '1 microsecond'"]
    elif column.type_ == "uuid":
        found += [f"{random}::uuid"]
    elif column.type_ == "bytea":
        found += [f"decode({random}, 'hex')"]
    elif column.type_ == "bool":
        found += ["false", "true"]
    elif column.kind == "r":
        found += ["'empty'"]
    elif column.kind == "m":
        found += ["'{}'"]
    return found
