"""Runs of a change log: entries that follow one another and differ in nothing but their rows.

What one statement has written is one run, and so is what many have within a millisecond. Where a large log
has few of them, as after a bulk insert, the clocks of its entries are told by the run: a few thousand values,
instead of several for each entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from syncline.model.masks import join_mask
from syncline.replica.chains import Shape
from syncline.replica.clocks import Stamps
from syncline.replica.statements import Statements
from syncline.replica.store import Store

FEW = 1_000
"""Entries that are not worth a look at how they follow one another."""

LENGTH = 8
"""Entries that a run has on average, at least: shorter ones are not worth being told apart."""

MOST = 20_000
"""Runs held in memory (law L11)."""

SOME = 200
"""Runs after which it is looked whether there is any use in going on."""


class Run(NamedTuple):
    """`first` is the number of its first entry; the last is the one before the next run."""

    first: int
    at: float
    checkpoint: int


class Runs(NamedTuple):
    """Those of entries that are all of one shape, in order."""

    shape: Shape
    all: list[Run]


def find_runs(store: Store, t: Statements, cut: int) -> Runs | None:
    """The runs of a log up to its entry `cut`. None if it is short, if they are many, if numbers are missing
    between its entries, or if these are of several shapes or have clocks of their own: whatever tells that
    soon is looked at first."""
    if cut < FEW:
        return None
    told = (f"(SELECT {what} FROM {t.log})" for what in ("count(*)", "min(seq)", "max(seq)"))
    ((count, first, last),) = store.rows(f"SELECT {', '.join(told)}")
    kind = ", ".join(["op", "typeof(at)", *t.masks])
    ends = store.rows(f"SELECT DISTINCT {kind} FROM {t.log} WHERE seq IN (?, ?)", (first, cut))
    if last - first + 1 != count or len(ends) > 1 or ends[0][1] == "integer":
        return None
    return _read(store, t, cut, min(count // LENGTH, MOST))


def _read(store: Store, t: Statements, cut: int, most: int) -> Runs | None:
    names = ["at", "checkpoint", "op", *t.masks]
    own, before = (", ".join(f"{row}.{name}" for name in names) for row in "lb")
    sql = (
        f"SELECT l.seq, {own} FROM {t.log} l LEFT JOIN {t.log} b ON b.seq = l.seq - 1"
        f" WHERE l.seq <= ? AND ({own}) IS NOT ({before}) ORDER BY l.seq LIMIT ?"
    )
    found: list[Run] = []
    kinds: set[tuple[Any, ...]] = set()
    for batch in store.batches(sql, (cut, most + 1), SOME):
        kinds.update((*row[3:], type(row[1])) for row in batch)
        if len(kinds) > 1:
            return None
        found += [Run(*row[:3]) for row in batch]
    op, *parts, _ = kinds.pop()
    return None if len(found) > most else Runs((op, join_mask([part or 0 for part in parts])), found)


class Clocks:
    """The clocks and the checkpoints of entries up to `cut`, which are told by their runs."""

    def __init__(self, store: Store, runs: Sequence[Run], cut: int) -> None:
        self._stamps = Stamps(store)
        self._runs = zip(runs, [*(run.first for run in runs[1:]), cut + 1], strict=True)
        self._left, self._checkpoint = range(0), 0

    def of(self, count: int) -> tuple[list[int], list[int]]:
        """Those of so many entries, which follow the ones before."""
        clocks: list[int] = []
        checkpoints: list[int] = []
        while len(clocks) < count:
            if not self._left:
                run, end = next(self._runs)
                ahead = self._stamps.ahead(run.first, run.at, run.checkpoint)
                self._left, self._checkpoint = range(run.first + ahead, end + ahead), run.checkpoint
            some = self._left[: count - len(clocks)]
            clocks += some
            checkpoints += [self._checkpoint] * len(some)
            self._left = self._left[len(some) :]
        return clocks, checkpoints
