"""A mask of columns, which may be many, as integers of a database: one for each 62 columns."""

from __future__ import annotations

from collections.abc import Iterable

WORD_BITS = 62
"""Columns in one integer of a mask: a signed integer of 64 bits, with room to spare."""


def words_for(columns: int) -> int:
    """How many integers a mask of so many columns takes; at least one."""
    return max(1, -(-columns // WORD_BITS))


def mask_columns(words: int) -> list[str]:
    """The columns of a log that hold a mask of so many integers: mask, mask1, ..."""
    return ["mask", *(f"mask{index}" for index in range(1, words))]


def split_mask(mask: int, words: int) -> list[int]:
    """A mask as integers, lowest first."""
    return [mask >> (WORD_BITS * word) & ((1 << WORD_BITS) - 1) for word in range(words)]


def join_mask(words: Iterable[int | None]) -> int:
    """The inverse of `split_mask`; None, in an entry that has no mask, is 0."""
    mask = 0
    for index, word in enumerate(words):
        mask |= (word or 0) << (WORD_BITS * index)
    return mask
