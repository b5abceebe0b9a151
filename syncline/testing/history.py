"""What every simulated world has in common: a history is a list of steps, of which some can be left out.

The randomness of a step is noted before it is played (its *mark*), and is set again where the step is played
without those before it: it then does what it did, as far as it still can. So a history that fails can be made
short (`testing.shrink`), whatever its world.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

Mark = Any
"""All that is random in one step."""


class History:
    """One history. `run` plays it and raises where something is not as it must be."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.marks: list[Mark] = []
        """Of the steps that were played."""
        self.trace: list[str] = []
        """What was done, for people."""
        self._only: Sequence[Mark] | None = None

    def only(self, marks: Sequence[Mark]) -> None:
        """Play these steps and no others, instead of as many as the seed says."""
        self._only = list(marks)

    def steps(self, count: int) -> Iterator[None]:
        """Once for every step to play: `count` of them, or those that were chosen."""
        for mark in self._only if self._only is not None else [None] * count:
            if mark is not None:
                self.go_to(mark)
            self.marks.append(self.mark())
            yield

    def mark(self) -> Mark:
        """The randomness of the step that comes next."""
        return self.rng.getstate()

    def go_to(self, mark: Mark) -> None:
        """The next step is random in this way."""
        self.rng.setstate(mark)

    def run(self) -> None:
        """Play the history; then everybody syncs until quiet; then everything must hold."""
        raise NotImplementedError

    def close(self) -> None:
        """Give back every database."""
        raise NotImplementedError
