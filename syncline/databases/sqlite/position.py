"""The watermark of a SQLite centre: one writer at a time, so the log's sequence is commit order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Sequence:
    """Everything up to the log entry `seq` has been seen, and nothing after it."""

    seq: int

    def sees(self, place: Any) -> bool:
        return bool(place <= self.seq)

    def token(self) -> str:
        return f"s{self.seq}"


def parse(token: str) -> Sequence:
    """The position a token stands for; ValueError if it is no SQLite token."""
    digits = token[1:]
    if token[:1] != "s" or not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
        raise ValueError(f"{token[:40]!r} is not a position in a SQLite log")
    return Sequence(int(digits))
