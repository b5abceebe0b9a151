"""The clock of each pending edit, decided when a push is made of it and not in the trigger.

The entry `seq` of a log has the HLC `seq + max over the entries up to it of (max(wall, floor + 1) - seq)`,
which follows the wall clock, stays above the floor known when the edit was made, and grows with every entry
(Kulkarni et al. 2014). An entry that a former freeze left for later has its clock already: an integer in
`at`.

`make_clock` computes it in SQL for any log, `Stamps` for entries that are read in order anyway: quicker than
SQLite's window functions, to the same result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, compress
from operator import ne, or_

from syncline.model.clock import COUNTER_BITS
from syncline.model.values import INTEGER_MIN
from syncline.replica.statements import Statements
from syncline.replica.store import Store

EPOCH = 2440587.5
"""1970 as a Julian day, which is what triggers note."""
DAY = 86400000.0
"""Milliseconds."""


def milliseconds(day: str) -> str:
    """A Julian day, as SQL, in milliseconds since 1970 UTC."""
    return f"CAST(round(({day} - {EPOCH}) * {DAY}) AS INTEGER)"


NOW = milliseconds("julianday('now')")
"""The clock of this device."""

_WALL = f"CASE typeof(l.at) WHEN 'integer' THEN l.at ELSE {milliseconds('l.at')} << {COUNTER_BITS} END"
_CLOCK = (
    "CASE typeof(l.at) WHEN 'integer' THEN l.at ELSE"
    f" l.seq + max(max({_WALL}, coalesce(f.hlc, 0) + 1) - l.seq)"
    " OVER (ORDER BY l.seq ROWS UNBOUNDED PRECEDING) END"
)


def make_clock(store: Store, t: Statements, cut: int) -> None:
    """Compute the clock of every entry up to `cut` into `temp._sync_clock`."""
    store.execute(
        "CREATE TEMP TABLE IF NOT EXISTS _sync_clock"
        " (seq INTEGER PRIMARY KEY, hlc INTEGER, checkpoint INTEGER)"
    )
    store.execute("DELETE FROM temp._sync_clock")
    store.execute(
        f"INSERT INTO temp._sync_clock SELECT l.seq, {_CLOCK}, l.checkpoint FROM {t.log} l"
        " LEFT JOIN _sync_checkpoint f ON f.id = l.checkpoint WHERE l.seq <= :cut",
        {"cut": cut},
    )


class Stamps:
    """The clocks of a log's entries, given in order, a batch at a time. None of them may have one already."""

    def __init__(self, store: Store) -> None:
        self._floors: dict[int, int] = dict(store.rows("SELECT id, hlc FROM _sync_checkpoint"))
        self._ahead = -(1 << 63)

    def of(self, seqs: Sequence[int], at: Sequence[float], checkpoints: Sequence[int]) -> list[int]:
        """One HLC an entry. `at` are Julian days.

        Entries with the same wall clock and checkpoint go on from the first of them.
        """
        found: list[int] = []
        first = 0
        for last in _ends(at, checkpoints):
            ahead = self.ahead(seqs[first], at[first], checkpoints[first])
            found += [ahead + seq for seq in seqs[first:last]]
            first = last
        return found

    def ahead(self, seq: int, at: float, checkpoint: int) -> int:
        """How far the clocks of entries that have the same wall clock and checkpoint are ahead of their
        numbers: `seq` is that of the first."""
        start = max(_wall((at - EPOCH) * DAY), (self._floors.get(checkpoint) or 0) + 1)
        self._ahead = max(self._ahead, start - seq)
        return self._ahead


def _ends(at: Sequence[float], checkpoints: Sequence[int]) -> Iterator[int]:
    """Where entries differ from the one before; and the end."""
    new = map(or_, map(ne, at[1:], at), map(ne, checkpoints[1:], checkpoints))
    return chain(compress(range(1, len(at)), new), (len(at),))


def _wall(milliseconds: float) -> int:
    """The clock's value as SQLite computes it, also of a clock that is thousands of years off."""
    rounded = int(milliseconds + 0.5) if milliseconds >= 0 else int(milliseconds - 0.5)
    return ((rounded << COUNTER_BITS) - INTEGER_MIN) % (1 << 64) + INTEGER_MIN
