"""Whether what the centre answers is what was sent, in another spelling (L8)."""

from __future__ import annotations

import pytest

from syncline.model.schema import ColumnSchema
from syncline.model.values import Value
from syncline.replica.overruled import is_alike


@pytest.mark.parametrize(
    "kind, sent, stored",
    [
        ("json", '{"b":1,"a":[1.0]}', '{"a": [1.00], "b": 1}'),
        ("json", '["1", 2]', "[1,2]"),
        ("json", '["t", "off"]', "[true,false]"),
        ("json", '["2024-02-29 10:00", null]', '["2024-02-29T10:00:00+00:00",null]'),
        ("json", '[["A0EEBC999C0B4EF8BB6D6BB9BD380A11"]]', '[["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]]'),
        ("json", '["nan", "Infinity"]', '["NaN","infinity"]'),
        ("json", '["a"]', '["a  "]'),
        ("text", "ab", "ab   "),
        ("timestamp", "2024-02-29T10:00:60", "2024-02-29T10:01:00"),
        ("timestamp", "2024-02-29T24:00:00", "2024-03-01T00:00:00"),
        ("time", "12:34:60", "12:35:00"),
        ("time", "24:00", "24:00:00"),
        ("decimal", "1.5", "1.50"),
    ],
)
def test_another_spelling_is_no_other_value(kind: str, sent: Value, stored: Value) -> None:
    assert is_alike(ColumnSchema("x", kind, "TEXT"), sent, stored)


@pytest.mark.parametrize(
    "kind, sent, stored",
    [
        ("json", '["a", "b"]', '["a","c"]'),
        ("json", '["a", "b"]', '["a"]'),
        ("json", '["a", null]', '["a","null"]'),
        ("json", '["t"]', "[false]"),
        ("json", '[{"a":1}]', '[{"a": 2}]'),
        ("json", '["2024-02-29 10:00"]', '["2024-02-29T11:00:00+00:00"]'),
        ("json", "[1]", "1"),
        ("json", "[" * 100_000, "[]"),
        ("text", "ab", "AB"),
        ("timestamp", "2024-02-29T10:00:00", "2024-02-29T10:00:01"),
        ("time", "24:00:00", "00:00:00"),
        ("decimal", "1.5", "1.51"),
    ],
)
def test_another_value_is_told(kind: str, sent: Value, stored: Value) -> None:
    assert not is_alike(ColumnSchema("x", kind, "TEXT"), sent, stored)
