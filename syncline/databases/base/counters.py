"""Counters behind keys: devices give their rows integer keys themselves, and what counts them up has to
follow, or the next insert of another program would be given a key that is in use (law L13)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Generic

from syncline.databases.base.staged import R

NEAR = 10_000
"""How far ahead of the counter a key is followed. What lies beyond is a range of a device's own, or a key at
the end of its type: a counter that followed there would be of no use to others."""


class Counting(ABC, Generic[R]):
    """Numbers are taken as any program takes them: whoever does so meanwhile, no counter goes back. They stay
    taken if the transaction is rolled back."""

    @abstractmethod
    def last_number(self, counter: int) -> int | None:
        """The last number that a counter gave; None if it is gone, or the hub may not use it."""

    @abstractmethod
    def take_numbers(self, counter: int, count: int) -> None:
        """Take so many numbers."""

    def follow(self, inserted: Iterable[R]) -> None:
        """Take numbers from the counter of each table up to the keys that were inserted."""
        for item in inserted:
            counter = item.shape.facts.counter
            last = self.last_number(counter) if counter and item.live else None
            if last is not None:
                far = reach(last, (item.stage.rows[row][0] for row in item.live))
                if far > last:
                    self.take_numbers(counter, far - last)


def reach(last: int, keys: Iterable[object]) -> int:
    """How far a counter that has given `last` is to follow keys."""
    for key in sorted(key for key in keys if isinstance(key, int) and key > last):
        if key - last > NEAR:
            break
        last = key
    return last
