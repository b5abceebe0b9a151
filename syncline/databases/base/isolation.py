"""Step 7, commit: finding the rows that a database refuses, so that the others are kept.

A statement over many rows says at most that one of them is at fault. So it is tried for all rows, and where
that fails for each half of them, down to single rows; what failed may have waited for another row, and is
tried again after the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from syncline.hub.contract import Stage


class Loaded(Protocol):
    """A stage that is in the database, as the adapter keeps it; `live` are the numbers of the rows still in
    it, ascending."""

    @property
    def stage(self) -> Stage: ...

    @property
    def live(self) -> Sequence[int]: ...


L = TypeVar("L", bound=Loaded)
F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class Part(Generic[L]):
    """Some rows, one or more, of the stage that is `index`th in the call; their numbers ascend."""

    index: int
    loaded: L
    rows: Sequence[int]

    @property
    def form(self) -> str:
        return self.loaded.stage.form

    @property
    def kind(self) -> tuple[int, str]:
        """Its table's number and its form: such rows go through the same statements."""
        return self.loaded.stage.table, self.form


Attempt = Callable[[Sequence[Part[L]]], F | None]
"""Does something for all rows of some parts and gives None; or undoes all of it and says why it failed."""

Failures = list[tuple[Part[L], F]]
"""Parts of a single row, each with the reason."""


Singly = Callable[[Sequence[Part[L]]], Failures[L, F]]
"""Does it for every row that lets it be done, row by row; the others."""

FEW = 250
"""So many rows are tried one by one, if there is a quick way, rather than in halves."""

MANY = 20
"""Where one row in so many was refused, what follows is tried one by one as well."""


def isolated(
    parts: Sequence[Part[L]], attempt: Attempt[L, F], singly: Singly[L, F] | None = None
) -> Failures[L, F]:
    """Do it for every row that lets it be done; the others, in order."""
    if not parts:
        return []
    failure = attempt(parts)
    if failure is None:
        return []
    rows = sum(len(part.rows) for part in parts)
    if rows == 1:
        return [(parts[0], failure)]
    if singly is not None and rows <= FEW:
        return singly(parts)
    first, second = _halves(parts)
    found = isolated(first, attempt, singly)
    if singly is not None and len(found) * MANY > rows // 2:
        return found + singly(second)
    return found + isolated(second, attempt, singly)


def retried(failures: Failures[L, F], singly: Singly[L, F]) -> Failures[L, F]:
    """Try the rows that failed again, as long as that helps any of them; those that still fail."""
    while failures:
        again = singly([part for part, _ in failures])
        if len(again) == len(failures):
            break
        failures = again
    return failures


def without(part: Part[L], out: set[tuple[int, int]]) -> Part[L] | None:
    """The part without some rows, by the index of their stage and their number; None if nothing is left."""
    rows = tuple(row for row in part.rows if (part.index, row) not in out)
    return replace(part, rows=rows) if rows else None


def _halves(parts: Sequence[Part[L]]) -> tuple[list[Part[L]], list[Part[L]]]:
    """Two halves by number of rows, in the same order."""
    half = sum(len(part.rows) for part in parts) // 2
    first: list[Part[L]] = []
    second: list[Part[L]] = []
    for part in parts:
        taken = min(half, len(part.rows))
        half -= taken
        if taken:
            first.append(replace(part, rows=part.rows[:taken]))
        if taken < len(part.rows):
            second.append(replace(part, rows=part.rows[taken:]))
    return first, second
