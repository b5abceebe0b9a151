"""Names and fragments of SQL text. Identifiers only through `quote`; values are bound elsewhere."""

from __future__ import annotations

from collections.abc import Iterable

WORD_BITS = 62
"""Columns in one integer of a mask: a 64-bit signed integer, with room to spare."""

WALL = "CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER)"
"""Milliseconds since 1970 UTC. `julianday` is the only source of time, so a caller's clock can stand in."""


def quote(name: str) -> str:
    """An identifier, whatever characters it is made of."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A text literal, for DDL where nothing can be bound."""
    return "'" + value.replace("'", "''") + "'"


def commas(parts: Iterable[str]) -> str:
    return ", ".join(parts)


def numbered(prefix: str, count: int) -> list[str]:
    """prefix0, prefix1, ..."""
    return [f"{prefix}{index}" for index in range(count)]


def mask_columns(words: int) -> list[str]:
    """The columns that hold a mask of so many words: mask, mask1, ..."""
    return ["mask", *(f"mask{index}" for index in range(1, words))]


def words_for(columns: int) -> int:
    """How many words a mask of so many columns takes; at least one."""
    return max(1, -(-columns // WORD_BITS))


def split_mask(mask: int, words: int) -> list[int]:
    """A mask as words, lowest first."""
    return [mask >> (WORD_BITS * word) & ((1 << WORD_BITS) - 1) for word in range(words)]


def join_mask(words: Iterable[int | None]) -> int:
    """The inverse of `split_mask`."""
    mask = 0
    for index, word in enumerate(words):
        mask |= (word or 0) << (WORD_BITS * index)
    return mask
