"""Coalescing: all pending edits of a row become one change (`Replica.freeze` of the model, law L6).

In sets: the rows with a single edit, nearly all of a large backlog, are joined with their table straight
into rows as they travel. Only rows with several edits pass through Python, see `replica.chains`.

What an edit's clock is, is decided here and not in the trigger: the entry `seq` of a log has the HLC
`seq + max over the entries up to it of (max(wall, floor + 1) - seq)`, which follows the wall clock, stays
above the floor known when the edit was made, and grows with every entry (Kulkarni et al. 2014). An entry
that a former freeze left for later has its clock already: an integer in `at`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

from syncline.errors import ValueRefused
from syncline.model.clock import COUNTER_BITS
from syncline.model.values import indices_of, subtract
from syncline.protocol.messages import PushOp
from syncline.replica.chains import Batch, Chains, Refused
from syncline.replica.statements import Statements, joined_mask
from syncline.replica.store import Store

BATCH = 20_000
"""Rows held in memory at once, and rows of a group (law L11)."""

_WALL = (
    "CASE typeof(l.at) WHEN 'integer' THEN l.at"
    f" ELSE CAST(round((l.at - 2440587.5) * 86400000.0) AS INTEGER) << {COUNTER_BITS} END"
)
_CLOCK = (
    f"l.seq + max(max({_WALL}, coalesce(f.hlc, 0) + 1) - l.seq)"
    " OVER (ORDER BY l.seq ROWS UNBOUNDED PRECEDING)"
)


def make_clock(store: Store, t: Statements, cut: int) -> int:
    """Compute the clock of every entry up to `cut` into `temp._sync_clock`; return the highest."""
    store.execute(
        "CREATE TEMP TABLE IF NOT EXISTS _sync_clock"
        " (seq INTEGER PRIMARY KEY, hlc INTEGER, checkpoint INTEGER)"
    )
    store.execute("DELETE FROM temp._sync_clock")
    store.execute(
        f"INSERT INTO temp._sync_clock SELECT l.seq,"
        f" CASE typeof(l.at) WHEN 'integer' THEN l.at ELSE {_CLOCK} END, l.checkpoint"
        f" FROM {t.log} l LEFT JOIN _sync_checkpoint f ON f.id = l.checkpoint WHERE l.seq <= ?",
        (cut,),
    )
    highest: int = store.value("SELECT max(hlc) FROM temp._sync_clock") or 0
    return highest


class Coalescing:
    """The changes of one table as of its log entry `cut`. Inside a write transaction, after
    `pending.settle` (no entry M is left) and `make_clock`.

    ValueRefused while reading: a text that is not UTF-8 (see `replica.refusal`).
    """

    def __init__(self, store: Store, t: Statements, cut: int) -> None:
        self._store, self._t, self._cut = store, t, cut
        self._chains = Chains(store, t, cut)
        self._refused: list[Refused] = []

    @property
    def refused(self) -> list[Refused]:
        """The rows that cannot travel, once `batches` has been read."""
        return self._refused + self._chains.refused

    def batches(self) -> Iterator[Batch]:
        """Every change once; rows with a single edit first, in the order of the edits."""
        self._chains.find()
        joined = 0
        for batch in chain(self._inserts(), self._updates()):
            joined += len(batch.rows)
            yield batch
        yield from self._deletes()
        if joined + len(self._refused) < self._count_singles():
            self._chains.find_missing()
        yield from self._chains.batches()

    @property
    def _single(self) -> str:
        return " AND l.seq NOT IN (SELECT seq FROM temp._sync_chain_entry)" if self._chains.count else ""

    def _count_singles(self) -> int:
        count: int = self._store.value(
            f"SELECT count(*) FROM {self._t.log} l WHERE l.op IN ('I', 'U') AND l.seq <= ?{self._single}",
            (self._cut,),
        )
        return count

    def _from(self, op: str, extra: str = "") -> str:
        """The rest of a query over single edits `l`, their clocks `c` and rows `t`, in log order."""
        t = self._t
        row = "" if op == "D" else f" CROSS JOIN {t.name} t ON {t.row_key('t', 'l')}"
        return (
            f", c.hlc, c.checkpoint FROM temp._sync_clock c CROSS JOIN {t.log} l ON l.seq = c.seq{row}"
            f" WHERE l.op = '{op}'{extra}{self._single} ORDER BY c.seq"
        )

    def _inserts(self) -> Iterator[Batch]:
        t = self._t
        columns = list(t.table.pushed)
        names = ", ".join([t.keys_of("t"), *(f"t.{t.values[i]}" for i in columns)])
        return self._read("I", columns, f"SELECT {names}{self._from('I')}")

    def _deletes(self) -> Iterator[Batch]:
        keys = ", ".join(f"l.k{i}" for i in range(self._t.arity))
        return self._read("D", [], f"SELECT {keys}{self._from('D')}")

    def _updates(self) -> Iterator[Batch]:
        """One statement for each set of changed columns."""
        t = self._t
        found = self._store.rows(
            f"SELECT DISTINCT {', '.join(t.masks)} FROM {t.log} l"
            f" WHERE l.op = 'U' AND l.seq <= ?{self._single}",
            (self._cut,),
        )
        for parts in sorted(found):
            columns = indices_of(joined_mask(parts))
            olds = [f"l.o{i}" for i in columns if t.increments >> i & 1]
            names = ", ".join([t.keys_of("t"), *(f"t.{t.values[i]}" for i in columns), *olds])
            same = "".join(f" AND l.{name} = ?" for name in t.masks)
            for batch in self._read("U", columns, f"SELECT {names}{self._from('U', same)}", parts):
                yield self._differences(batch, len(olds)) if olds else batch

    def _read(
        self, op: PushOp, columns: list[int], sql: str, parameters: Sequence[Any] = ()
    ) -> Iterator[Batch]:
        """Batches from rows that end with clock and checkpoint."""
        body, hlc, checkpoint = itemgetter(slice(None, -2)), itemgetter(-2), itemgetter(-1)
        for rows in self._store.batches(sql, parameters, BATCH):
            yield Batch(op, columns, list(map(body, rows)), list(map(hlc, rows)), list(map(checkpoint, rows)))

    def _differences(self, batch: Batch, olds: int) -> Batch:
        """Counters travel as increments. The rows given end with the old values."""
        arity = self._t.arity
        places = [arity + j for j, i in enumerate(batch.columns) if self._t.increments >> i & 1]
        result = Batch(batch.op, batch.columns)
        for row, hlc, checkpoint in zip(batch.rows, batch.hlc, batch.checkpoint, strict=True):
            values = list(row[:-olds])
            try:
                for place, old in zip(places, row[-olds:], strict=True):
                    values[place] = subtract(values[place], old)
            except ValueRefused as error:
                self._refused.append(Refused(tuple(values[:arity]), error.detail))
                continue
            result.rows.append(values)
            result.hlc.append(hlc)
            result.checkpoint.append(checkpoint)
        return result
