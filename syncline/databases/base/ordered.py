"""A log in one order: every entry has a number, and what commits later has a higher one.

So it is where writers follow each other, and where entries get their numbers as they are published. A
position is the number of the last entry seen. Of an entry that goes while a position may end at it, what
tells it apart stays, until the floor has passed it.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from syncline.databases.base.log import BaseLog
from syncline.errors import WatermarkRefused
from syncline.hub.contract import Floor, Key, LogPage, Position, Standing

_TOKEN = re.compile(r"s([0-9]{1,18})(?:\.([0-9]{1,19}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Upto:
    """Everything up to the log entry `seq` has been seen, and nothing after it.

    `mark` tells that entry from any other: in a database that was put back from a backup and written to
    again, another entry has its number. 0: not known."""

    seq: int
    mark: int = 0

    def sees(self, place: Any) -> bool:
        return bool(place <= self.seq)

    def token(self) -> str:
        return f"s{self.seq}.{self.mark}" if self.mark else f"s{self.seq}"


def own(position: Position) -> Upto:
    """A position in a log of this kind. WatermarkRefused for any other."""
    if not isinstance(position, Upto):
        raise WatermarkRefused("the watermark is not one of this kind of database")
    return position


def parse(token: str) -> Upto:
    """The position a token stands for; ValueError if it is none of this kind."""
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise ValueError(f"{token[:40]!r} is not a position in a log of this kind")
    return Upto(int(found[1]), int(found[2] or 0))


class Bounds(NamedTuple):
    """The entry at which a log begins, which every sound position has seen; the highest HLC before; and the
    entry until which capture was missing somewhere, 0 if it never was."""

    begin: int
    hlc: int
    lost: int


class OrderedLog(BaseLog[Upto, Upto]):
    """The contract's `Log` over such a log. The entry at the floor stays: there is always a newest one."""

    @abstractmethod
    def now(self) -> Upto:
        """The position behind the newest entry, be it pruned or compacted away."""

    @abstractmethod
    def bounds(self) -> Bounds:
        """What positions are held to."""

    @abstractmethod
    def mark_at(self, seq: int) -> int:
        """What tells this entry from one of the same number in another past; 0 if there is no such entry."""

    @abstractmethod
    def newer(self, after: int, without: str, limit: int) -> list[Any]:
        """Up to `limit` entries above the number `after`, in order, that are of other origins: the numbers of
        the entry and of its table, its HLC, and what `coalesced` needs."""

    @abstractmethod
    def coalesced(self, entries: Sequence[Any]) -> dict[int, list[tuple[Key, int]]]:
        """By table: the key of every row that these entries touched, and the mask of its columns."""

    def own(self, position: Position) -> Upto:
        return own(position)

    def instant(self, position: Upto | None = None) -> Upto:
        return self.now()

    def at(self, seq: int) -> Upto:
        """The position that has seen everything up to an entry."""
        return Upto(seq, self.mark_at(seq))

    def floor(self) -> Floor:
        bounds = self.bounds()
        return Floor(self.at(bounds.begin), bounds.hlc)

    def proved(self, position: Position) -> Upto:
        """What shows it is the entry itself."""
        return own(position)

    def end(self) -> int:
        return self.now().seq

    def begin(self) -> int:
        return self.bounds().begin

    def seen_below(self, position: Upto) -> int:
        return position.seq

    def worth(self, positions: Sequence[Upto], present: Upto) -> list[Standing]:
        """Those at the newest entry, nearly all, need no look at the log."""
        if all(position == present for position in positions):
            return ["sound"] * len(positions)
        bounds = self.bounds()
        known = {position: self._standing(position, present, bounds) for position in set(positions)}
        return [known[position] for position in positions]

    def _standing(self, position: Upto, present: Upto, bounds: Bounds) -> Standing:
        is_below = position.seq < bounds.begin
        if position.seq > present.seq:
            return "restored"
        if not is_below and position.mark and self.mark_at(position.seq) != position.mark:
            return "restored"
        if position.seq < bounds.lost:
            return "lost"
        return "pruned" if is_below else "sound"

    def page(self, after: Upto, present: Upto, without: str, limit: int) -> LogPage:
        """See the contract's `entries`."""
        found = self.newer(after.seq, without, limit + 1)
        more = len(found) > limit
        if more:
            found.pop()
        end = self.at(found[-1][0]) if more else present
        return LogPage(self.coalesced(found), end, more, max((entry[2] for entry in found), default=0))
