"""Which declared types keep the values of the hub's as they travel."""

from __future__ import annotations

import sqlite3

import pytest

from syncline.model.values import identical
from syncline.replica.affinity import carries

SAMPLES = {
    "integer": (5, -(2**63), 2**63 - 1),
    "boolean": (0, 1),
    "float": (1.0, 1.5, 1e300),
    "decimal": ("1.10", "0.30", "12345678901234567890.12"),
    "text": ("007", "1e5", "", "é"),
    "enum": ("1", "low"),
    "blob": (b"", b"1", b"\x00\xff"),
    "timestamp": ("2026-01-01T00:00:00", "2026-01-01 10:20:30.5"),
    "timestamptz": ("2026-01-01T00:00:00Z",),
    "date": ("2026-01-01",),
    "time": ("10:20:30",),
    "interval": ("P1D",),
    "uuid": ("01234567-0123-0123-0123-012345678901",),
    "json": ('{"a": 1}', "[1]"),
}
DECLARED = (
    "", "INTEGER", "INT", "BIGINT", "TEXT", "VARCHAR(20)", "CHAR(32)", "BLOB", "REAL", "DOUBLE PRECISION",
    "NUMERIC", "DECIMAL(10,2)", "DATETIME", "DATE", "BOOLEAN", "UUID", "JSON",
)  # fmt: skip


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("declared", DECLARED)
def test_l8_a_type_that_is_let_in_changes_no_value(kind: str, declared: str) -> None:
    with sqlite3.connect(":memory:") as connection:
        connection.execute(f"CREATE TABLE t (v {declared})")
        connection.executemany("INSERT INTO t VALUES (?)", [(value,) for value in SAMPLES[kind]])
        found = [value for (value,) in connection.execute("SELECT v FROM t ORDER BY rowid")]
    theirs = {"integer": "INTEGER", "boolean": "INTEGER", "float": "REAL", "blob": "BLOB"}.get(kind, "TEXT")
    if carries(kind, theirs, declared):
        assert all(map(identical, found, SAMPLES[kind]))


@pytest.mark.parametrize(
    ("kind", "theirs", "here", "fits"),
    [
        ("decimal", "TEXT", "DECIMAL(10,2)", False),
        ("decimal", "TEXT", "VARCHAR(20)", True),
        ("integer", "INTEGER", "TEXT", False),
        ("integer", "INTEGER", "NUMERIC", True),
        ("integer", "INTEGER", "REAL", False),
        ("float", "REAL", "NUMERIC", False),
        ("float", "REAL", "FLOAT", True),
        ("timestamp", "TEXT", "DATETIME", True),
        ("timestamp", "TEXT", "INTEGER", False),
        ("text", "TEXT", "DATETIME", False),
        ("boolean", "INTEGER", "BOOLEAN", True),
        ("any", "DECIMAL(10,2)", "NUMERIC", True),
        ("any", "TEXT", "NUMERIC", False),
        ("any", "INTEGER", "NUMERIC", True),
        ("any", "", "TEXT", False),
    ],
)
def test_what_fits_and_what_does_not(kind: str, theirs: str, here: str, fits: bool) -> None:
    assert carries(kind, theirs, here) is fits
