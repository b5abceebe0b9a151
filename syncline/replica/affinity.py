"""How SQLite treats the values of a column, by its declared type (sqlite.org/datatype3.html, section 3.1)."""

from __future__ import annotations

from typing import Literal

Affinity = Literal["INTEGER", "TEXT", "BLOB", "REAL", "NUMERIC", "ANY"]

_RULES: tuple[tuple[Affinity, tuple[str, ...]], ...] = (
    ("INTEGER", ("INT",)),
    ("TEXT", ("CHAR", "CLOB", "TEXT")),
    ("BLOB", ("BLOB",)),
    ("REAL", ("REAL", "FLOA", "DOUB")),
)
_NEUTRAL: dict[Affinity, str] = {"TEXT": "''", "BLOB": "x''"}


def affinity(declared: str) -> Affinity:
    """The affinity of a column. ANY is what a STRICT table keeps as it is; elsewhere no such type is made."""
    words = declared.upper()
    if not words:
        return "BLOB"
    if words == "ANY":
        return "ANY"
    for found, parts in _RULES:
        if any(part in words for part in parts):
            return found
    return "NUMERIC"


def neutral(declared: str) -> str:
    """A constant that says nothing, as SQL, for a column that must have a value."""
    return _NEUTRAL.get(affinity(declared), "0")
