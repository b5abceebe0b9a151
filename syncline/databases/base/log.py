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
    Outdated,
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
        self._judged: dict[str, Standing] = {}
        """What positions were worth that were asked about in this transaction."""

    @abstractmethod
    def leave_mark(self) -> None:
        """See the contract."""

    @abstractmethod
    def own(self, position: Position) -> P:
        """A position that is one of this kind of database. WatermarkRefused for any other."""

    @abstractmethod
    def instant(self, position: P | None = None) -> N:
        """What is visible now; with a `position`, and what there is to know of that one, as far as the same
        statement tells it."""

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
        seen = self.own(after)
        present = self.instant(seen)
        (standing,) = self.worth([seen], present)
        if standing != "sound":
            raise refused_watermark(standing)
        return self.page(seen, present, without, limit)

    def standings(self, positions: Sequence[Position]) -> list[Standing]:
        """What each position is worth. A transaction asks once about each."""
        tokens = [position.token() for position in positions]
        pairs = zip(tokens, positions, strict=True)
        asked = {token: self.own(position) for token, position in pairs if token not in self._judged}
        if asked:
            unknown = list(asked.values())
            worth = self.worth(unknown, self.instant(unknown[0]))
            self._judged.update(zip(asked, worth, strict=True))
        return [self._judged[token] for token in tokens]

    def note_moment(self) -> None:
        """Remember how long the log is by now."""
        self._ledger.note_place(self.end(), self.begin())

    def prune(self, held: Sequence[Position], keep: float, longest: float | None, limit: int) -> Removed:
        """One step of pruning."""
        self._judged.clear()
        kept = self._older_than(keep)
        target = min([kept, *(self.seen_below(self.own(position)) for position in held)])
        if longest is not None:
            target = max(target, min(kept, self._older_than(longest)))
        return self.cut(target, limit)

    def _older_than(self, seconds: float) -> int:
        """The place up to which everything is certainly so old; 0 if nothing is known to be."""
        return self.end() if seconds <= 0 else self._ledger.place_before(seconds)


def unsettled() -> Outdated:
    """Why a page is not told: to be answered once the tables were looked at, and prepared anew."""
    return Outdated("what was written to an altered table is not in its log yet")


def formers(
    keys: Sequence[Key], entries: Iterable[tuple[int, Told]], before: Sequence[int]
) -> dict[Key, Former]:
    """What rows were like: `entries` in the log's order, each with the number of its key, counted from 1."""
    found: dict[int, list[Told]] = {}
    for number, told in entries:
        found.setdefault(number, []).append(told)
    return {keys[number - 1]: former_of(told, before) for number, told in found.items()}
