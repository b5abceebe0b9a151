"""The contract's `Log` over what an adapter says of its own log: positions, pages, what goes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from syncline.databases.base.ledger import Ledger
from syncline.hub.contract import (
    Former,
    Key,
    LogPage,
    Position,
    Removed,
    Standing,
    Told,
    former_of,
    refused_watermark,
)

P = TypeVar("P")
N = TypeVar("N")


class BaseLog(ABC, Generic[P, N]):
    """`P` are the adapter's positions, `N` what it knows of the instant of a statement.

    Places are numbers that grow with the log, by which the ledger notes how long the log was when."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @abstractmethod
    def leave_mark(self) -> None:
        """See the contract."""

    @abstractmethod
    def own(self, position: Position) -> P:
        """A position that is one of this kind of database. WatermarkRefused for any other."""

    @abstractmethod
    def instant(self) -> N:
        """What is visible now."""

    @abstractmethod
    def worth(self, positions: Sequence[P], present: N) -> list[Standing]:
        """What each position is worth."""

    @abstractmethod
    def page(self, after: P, present: N, without: str, limit: int) -> LogPage:
        """The entries since a sound position; see the contract's `entries`."""

    @abstractmethod
    def end(self) -> int:
        """The place up to which the log is complete."""

    @abstractmethod
    def begin(self) -> int:
        """The place where the log begins."""

    @abstractmethod
    def seen_below(self, position: P) -> int:
        """The place below which a position has seen everything."""

    @abstractmethod
    def cut(self, target: int, limit: int) -> Removed:
        """One step of pruning: what is below the place `target` goes."""

    def entries(self, after: Position, without: str, limit: int) -> LogPage:
        """New log entries since `after`."""
        seen, present = self.own(after), self.instant()
        (standing,) = self.worth([seen], present)
        if standing != "sound":
            raise refused_watermark(standing)
        return self.page(seen, present, without, limit)

    def standings(self, positions: Sequence[Position]) -> list[Standing]:
        """What each position is worth."""
        return self.worth([self.own(position) for position in positions], self.instant())

    def note_moment(self) -> None:
        """Remember how long the log is by now."""
        self._ledger.note_place(self.end(), self.begin())

    def prune(self, held: Sequence[Position], keep: float, longest: float | None, limit: int) -> Removed:
        """One step of pruning."""
        kept = self._older_than(keep)
        target = min([kept, *(self.seen_below(self.own(position)) for position in held)])
        if longest is not None:
            target = max(target, min(kept, self._older_than(longest)))
        return self.cut(target, limit)

    def _older_than(self, seconds: float) -> int:
        """The place up to which everything is certainly so old; 0 if nothing is known to be."""
        return self.end() if seconds <= 0 else self._ledger.place_before(seconds)


def formers(
    keys: Sequence[Key], entries: Iterable[tuple[int, Told]], before: Sequence[int]
) -> dict[Key, Former]:
    """What rows were like: `entries` in the log's order, each with the number of its key, counted from 1."""
    found: dict[int, list[Told]] = {}
    for number, told in entries:
        found.setdefault(number, []).append(told)
    return {keys[number - 1]: former_of(told, before) for number, told in found.items()}
