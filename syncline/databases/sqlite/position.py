"""The watermark of a SQLite centre: one writer at a time, so the log's sequence is commit order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from syncline.errors import WatermarkRefused
from syncline.hub.contract import Position

_TOKEN = re.compile(r"s([0-9]{1,18})(?:\.([0-9]{1,19}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Sequence:
    """Everything up to the log entry `seq` has been seen, and nothing after it.

    `mark` tells that entry from any other: in a file that was put back from a backup and written to again,
    another entry has its number. 0: not known."""

    seq: int
    mark: int = 0

    def sees(self, place: Any) -> bool:
        return bool(place <= self.seq)

    def token(self) -> str:
        return f"s{self.seq}.{self.mark}" if self.mark else f"s{self.seq}"


def own(position: Position) -> Sequence:
    """A position that is one of this kind of database. WatermarkRefused for any other."""
    if not isinstance(position, Sequence):
        raise WatermarkRefused("the watermark is not one of a SQLite database")
    return position


def parse(token: str) -> Sequence:
    """The position a token stands for; ValueError if it is no SQLite token."""
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise ValueError(f"{token[:40]!r} is not a position in a SQLite log")
    return Sequence(int(found[1]), int(found[2] or 0))
