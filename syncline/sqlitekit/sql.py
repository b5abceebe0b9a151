"""Names and fragments of SQL text. Identifiers only through `quote`; values are bound elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from syncline.model.naming import folded as folded  # names in SQL are compared so


def quote(name: str) -> str:
    """An identifier, whatever characters it is made of. ValueError for a NUL, which none can hold."""
    if "\0" in name:
        raise ValueError("an identifier cannot hold a NUL character")
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text literal, for the few places that take no parameter (DDL, a trigger's body)."""
    return "'" + text.replace("'", "''") + "'"


def commas(parts: Iterable[str]) -> str:
    """The parts of a list in SQL."""
    return ", ".join(parts)


def numbered(prefix: str, count: int) -> list[str]:
    """prefix0, prefix1, ..."""
    return [f"{prefix}{index}" for index in range(count)]


TERMS = 100
"""So many terms stand side by side; SQLite reads a chain of more than 1,000 as an expression too deep."""


def chained(operator: str, terms: Sequence[str]) -> str:
    """The terms joined by `AND`, `OR`, `||`: any number of them, in brackets where there are many."""
    joint = f" {operator} "
    if len(terms) <= TERMS:
        return joint.join(terms)
    parts = [joint.join(terms[start : start + TERMS]) for start in range(0, len(terms), TERMS)]
    return chained(operator, [f"({part})" for part in parts])
