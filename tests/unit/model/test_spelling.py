"""Whatever spelling a type reads is one value; what would be another value is left alone (law L8)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.model.spelling import speller
from syncline.model.values import Value, identical

UUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
SAME: list[tuple[str, int | None, Value, list[Value]]] = [
    (
        "uuid",
        None,
        UUID,
        [
            UUID.upper(),
            UUID.replace("-", ""),
            f"{{{UUID}}}",
            f"urn:uuid:{UUID}",
            bytes.fromhex(UUID.replace("-", "")),
            f" {UUID} ",
        ],
    ),
    (
        "timestamp",
        None,
        "2024-02-29T10:00:00",
        [
            "2024-02-29 10:00:00",
            "2024-02-29 10:00",
            "2024-2-29T10:00:00.000",
            "2024-02-29T10:00:00Z",
            "2024-02-29 10:00:00.000000+05:45",
        ],
    ),
    ("timestamp", None, "2024-02-29T00:00:00", ["2024-02-29"]),
    (
        "timestamptz",
        None,
        "2024-02-29T10:00:00.5Z",
        [
            "2024-02-29 10:00:00.500000",
            "2024-02-29T15:45:00.5+05:45",
            "2024-02-29T05:00:00.50-0500",
            "2024-02-29 10:00:00.5 z",
        ],
    ),
    ("date", None, "2024-02-29", ["2024-02-29 00:00:00", "2024-2-29"]),
    ("time", None, "12:34:56.789", ["12:34:56.789000"]),
    ("time", None, "12:34:00", ["12:34", "12:34:00.000000"]),
    ("decimal", 2, "5.00", [5, "5", "5.0", 5.0, "5.000", " +5 ", "0.5e1"]),
    ("decimal", 2, "0.30", [0.1 + 0.2, ".3"]),
    ("decimal", 2, "0.00", ["-0", -0.0]),
    ("decimal", None, "1.10", ["1.10", "+01.10"]),
    ("decimal", None, "1000", ["1e3", 1000]),
    ("decimal", None, "NaN", ["nan"]),
    ("float", None, 1.5, ["1.5", " 15e-1"]),
    ("float", None, 2.0, [2, "2"]),
    ("float", None, float("-inf"), ["-Infinity", "-inf"]),
    ("integer", None, 5, ["5", "5.0", 5.0, " 5 "]),
    ("integer", None, -(2**63), [str(-(2**63))]),
    ("boolean", None, 1, ["true", "T", "yes", "on", "1", 1.0]),
    ("boolean", None, 0, ["false", "f", "No", "off"]),
]
OTHER: list[tuple[str, int | None, Value]] = [
    ("uuid", None, UUID[:-1]),
    ("uuid", None, "{" + UUID),
    ("uuid", None, b"short"),
    ("timestamp", None, "2024-02-30T10:00:00"),
    ("timestamp", None, "infinity"),
    ("timestamp", None, 1709200800),
    ("timestamp", None, "2024-02-29T10:00:00.1234567"),
    ("timestamp", None, "0044-03-15 00:00:00 BC"),
    ("timestamptz", None, "0001-01-01T00:00:00+05:00"),
    ("timestamptz", None, "now"),
    ("date", None, "2024-02-29 10:00:00"),
    ("time", None, "24:00:00"),
    ("decimal", 2, "0.005"),
    ("decimal", 2, "five"),
    ("decimal", 2, "1_000"),
    ("decimal", -2, "12345"),
    ("float", None, "1.5 m"),
    ("float", None, 2**60 + 1),
    ("float", None, "1e999"),
    ("float", None, "0x10"),
    ("integer", None, "5.5"),
    ("integer", None, str(2**63)),
    ("integer", None, "five"),
    ("integer", None, 1e300),
    ("boolean", None, "maybe"),
    ("boolean", None, 2),
]


@pytest.mark.parametrize(("kind", "scale", "one", "others"), SAME)
def test_all_spellings_of_a_value_are_one(
    kind: str, scale: int | None, one: Value, others: list[Value]
) -> None:
    spell = speller(kind, scale)
    assert spell is not None
    for value in [one, *others]:
        assert identical(spell(value), one), value


@pytest.mark.parametrize(("kind", "scale", "value"), OTHER)
def test_what_is_not_read_or_would_be_another_value_stays(kind: str, scale: int | None, value: Value) -> None:
    spell = speller(kind, scale)
    assert spell is not None
    assert identical(spell(value), value)


@pytest.mark.parametrize("kind", ["text", "blob", "json", "enum", "interval", "timetz", "other", "any"])
def test_what_only_the_centre_can_tell_is_not_respelled(kind: str) -> None:
    assert speller(kind) is None


values = st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text() | st.binary()


@given(
    st.sampled_from(
        ["integer", "float", "boolean", "decimal", "uuid", "timestamp", "timestamptz", "date", "time"]
    ),
    st.none() | st.integers(-2, 6),
    values,
)
def test_a_spelling_is_final(kind: str, scale: int | None, value: Value) -> None:
    spell = speller(kind, scale)
    assert spell is not None
    assert identical(spell(spell(value)), spell(value))
