"""Which type of a PostgreSQL column is wider than which."""

from __future__ import annotations

import pytest

from syncline.databases.postgresql.types import HEADER, is_wider, portable
from syncline.model.schema import ColumnSchema

NAMES = {
    "smallint": "int2", "integer": "int4", "bigint": "int8", "real": "float4", "double precision": "float8",
    "numeric": "numeric", "text": "text", "character varying": "varchar", "bpchar": "bpchar",
    '"char"': "char", '"bit"': "bit",
    "timestamp without time zone": "timestamp", "timestamp with time zone": "timestamptz",
    "time without time zone": "time", "uuid": "uuid", "bytea": "bytea", "jsonb": "jsonb", "json": "json",
    "bit varying": "varbit",
}  # fmt: skip
"""`pg_type.typname` by `format_type` without a modifier, as the hub reads it: `bpchar` is `character`."""


def column(spelled: str) -> ColumnSchema:
    """varchar(5), numeric(8,2), timestamp without time zone(3)."""
    central, _, rest = spelled.partition("(")
    numbers = [int(number) for number in rest.rstrip(")").split(",")] if rest else []
    modifier = -1
    if central == "numeric" and numbers:
        modifier = (numbers[0] << 16 | numbers[1] & 0x7FF) + HEADER
    elif numbers:
        modifier = numbers[0] + (HEADER if "char" in central else 0)
    type_, declared = portable(NAMES[central], "b", None, modifier)
    return ColumnSchema("c", type_, declared, central, modifier=modifier)


WIDER = [
    ("smallint", "integer"),
    ("smallint", "bigint"),
    ("integer", "bigint"),
    ("real", "double precision"),
    ("character varying(5)", "character varying(9)"),
    ("character varying(5)", "character varying"),
    ("character varying(5)", "text"),
    ("character varying", "text"),
    ("text", "character varying"),
    ("bpchar(5)", "text"),
    ("bpchar(5)", "bpchar(9)"),
    ("bpchar(5)", "character varying(5)"),
    ("bpchar(5)", "character varying"),
    ("bit varying(3)", "bit varying(6)"),
    ("bit varying(3)", "bit varying"),
    ('"bit"(3)', "bit varying(3)"),
    ('"bit"(3)', "bit varying"),
    ("numeric(8,2)", "numeric(10,2)"),
    ("numeric(8,2)", "numeric(10,4)"),
    ("numeric(8,2)", "numeric"),
    ("numeric(8,-2)", "numeric(10,0)"),
    ("timestamp without time zone(0)", "timestamp without time zone(3)"),
    ("timestamp with time zone(3)", "timestamp with time zone"),
    ("time without time zone(0)", "time without time zone"),
]


@pytest.mark.parametrize(("before", "after"), WIDER)
def test_the_wider_type_is_wider(before: str, after: str) -> None:
    assert is_wider(column(before), column(after))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        *((after, before) for before, after in WIDER if {before, after} != {"character varying", "text"}),
        ("integer", "numeric"),
        ("integer", "text"),
        ("integer", "real"),
        ("numeric(8,2)", "numeric(9,4)"),
        ("numeric(8,2)", "numeric(8,3)"),
        ("numeric", "text"),
        ("uuid", "text"),
        ("text", "bytea"),
        ("json", "jsonb"),
        ("text", "character varying(1000)"),
        ("character varying(5)", "bpchar(9)"),
        ("bpchar(5)", "character varying(4)"),
        ('"bit"(3)', '"bit"(6)'),  # bits are filled up: other values
        ('"bit"(3)', "bit varying(2)"),
        ("bpchar(5)", '"char"'),
        ("timestamp without time zone", "timestamp with time zone"),
    ],
)
def test_any_other_is_not(before: str, after: str) -> None:
    assert not is_wider(column(before), column(after))
