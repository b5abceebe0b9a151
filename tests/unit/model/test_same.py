"""Two spellings that a central database certainly stores alike, and values that only seem to be one (L8)."""

from __future__ import annotations

import pytest

from syncline.model.same import is_same
from syncline.model.schema import ColumnSchema
from syncline.model.values import Value

SPELLED = {
    "jsonb": ColumnSchema("x", "json", "TEXT", "jsonb", spelled=True),
    "json": ColumnSchema("x", "json", "TEXT", "json"),
    "char(5)": ColumnSchema("x", "text", "TEXT", "character", modifier=9, spelled=True),
    "citext": ColumnSchema("x", "text", "TEXT", "citext", spelled=True),
    "varchar(5)": ColumnSchema("x", "text", "TEXT", "character varying", modifier=9),
    "text": ColumnSchema("x", "text", "TEXT", "text"),
    "real": ColumnSchema("x", "float", "FLOAT$BLOB", "real", spelled=True),
    "float8": ColumnSchema("x", "float", "FLOAT$BLOB", "double precision"),
    "numeric(10,2)": ColumnSchema("x", "decimal", "DECIMAL_TEXT$(10,2)", "numeric", modifier=655366),
    "numeric": ColumnSchema("x", "decimal", "DECIMAL_TEXT", "numeric", spelled=True),
    "interval": ColumnSchema("x", "interval", "TEXT", "interval", spelled=True),
    "any": ColumnSchema("x", "any", "ANY"),
}


@pytest.mark.parametrize(
    "kind, one, other",
    [
        ("jsonb", '{"b":[1, 2.50],"a":null}', '{"a": null, "b": [1, 2.50]}'),
        ("jsonb", "1e2", "100"),
        ("jsonb", "-0.0", "0.0"),
        ("jsonb", '{"a":1,"a":2}', '{"a": 2}'),
        ("jsonb", '"\\u0041"', '"A"'),
        ("char(5)", "ab", "ab   "),
        ("real", 0.1, 0.10000000149011612),
        ("real", 2, 2.0),
        ("numeric(10,2)", "1.5", "1.50"),
        ("numeric(10,2)", 1.5, "1.50"),
        ("text", "a", "a"),
        ("any", None, None),
    ],
)
def test_spellings_of_one_value_are_the_same(kind: str, one: Value, other: Value) -> None:
    assert is_same(SPELLED[kind], one, other)
    assert is_same(SPELLED[kind], other, one)


@pytest.mark.parametrize(
    "kind, one, other",
    [
        ("jsonb", "[1.0]", "[1.00]"),
        ("jsonb", "[1]", '["1"]'),
        ("jsonb", "[1]", "[true]"),
        ("jsonb", "[1]", '[["1"]]'),
        ("jsonb", "1e2000", "1" + "0" * 2000),
        ("jsonb", "[" * 100_000, "[" * 100_001),
        ("jsonb", "{", "{ "),
        ("json", '{"a":1}', '{"a": 1}'),
        ("citext", "a", "a "),
        ("citext", "Anna", "anna"),
        ("varchar(5)", "a", "a "),
        ("text", "a", "a "),
        ("float8", 0.1, 0.10000000149011612),
        ("real", 1e300, 1e301),
        ("numeric", "1.5", "1.50"),
        ("numeric(10,2)", "NaN", "nan"),
        ("numeric(10,2)", "1.5", "1.51"),
        ("interval", "1 day", "P1D"),
        ("any", 1, 1.0),
        ("char(5)", "a", None),
    ],
)
def test_what_is_not_certain_counts_as_two(kind: str, one: Value, other: Value) -> None:
    assert not is_same(SPELLED[kind], one, other)
    assert not is_same(SPELLED[kind], other, one)
