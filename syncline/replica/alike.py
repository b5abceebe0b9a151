"""A backlog of single edits that are all alike, as after a bulk insert: read in the order of the log.

No clock table is needed, for clocks follow from that order; and nothing is looked for twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import compress
from operator import itemgetter
from typing import Any

from syncline.model.values import indices_of
from syncline.replica.chains import Batch, Shape
from syncline.replica.clocks import Stamps
from syncline.replica.indexes import rowid_of
from syncline.replica.runs import Clocks, Runs
from syncline.replica.statements import Statements
from syncline.replica.store import Store

FEW = 1_000
"""Entries that are not worth a look at what the table is like."""

BATCH = 20_000
"""Rows held in memory at once, and rows of a group (law L11)."""

Row = tuple[Any, ...]

_KEY, _AT, _SEQ, _CHECKPOINT = itemgetter(0), itemgetter(-3), itemgetter(-2), itemgetter(-1)
_BODY = itemgetter(slice(None, -3))


def picked(t: Statements, op: str, mask: int) -> tuple[list[int], list[str]]:
    """The columns that a single edit sends, and what is read for it: key, columns, and of an update the old
    values of counters. `l` is the log, `t` the table."""
    if op == "D":
        return [], [f"l.k{i}" for i in range(t.arity)]
    columns = list(t.table.pushed) if op == "I" else indices_of(mask)
    olds = [f"l.o{i}" for i in columns if op == "U" and t.increments >> i & 1]
    return columns, [t.keys_of("t"), *(f"t.{t.values[i]}" for i in columns), *olds]


class Alike:
    """The edits of one table up to log entry `cut`: one a row, all of this shape, none with a clock of its
    own. `runs`: those of the log, where they have been found. `absent` counts the edits whose row is not in
    the table, once `batches` has been read."""

    def __init__(self, store: Store, t: Statements, cut: int, shape: Shape, runs: Runs | None) -> None:
        self._store, self._t, self._cut, self._op = store, t, cut, shape[0]
        self._columns, self._names = picked(t, *shape)
        self._stamps = Stamps(store)
        self._clocks = None if runs is None else Clocks(store, runs.all, cut)
        self._next = 0 if runs is None else runs.all[0].first
        self._rowid: str | None = None
        self.absent = 0

    def batches(self) -> Iterator[Batch]:
        """Rows as `picked` names them, in the order of the log."""
        yield from map(self._batch, self._numbered())
        span = {"first": self._next, "last": self._cut}
        for rows in self._store.batches(self._by_key(), span, BATCH):
            batch = self._batch(rows)
            yield self._present(batch) if None in map(_KEY, rows) else batch

    def _batch(self, rows: list[Row]) -> Batch:
        """Rows of the entries from the next one on."""
        if self._clocks is not None:
            self._next += len(rows)
            return Batch(self._op, self._columns, list(rows), *self._clocks.of(len(rows)))
        seqs, checkpoints = list(map(_SEQ, rows)), list(map(_CHECKPOINT, rows))
        clocks = self._stamps.of(seqs, list(map(_AT, rows)), checkpoints)
        self._next = seqs[-1] + 1
        return Batch(self._op, self._columns, list(map(_BODY, rows)), clocks, checkpoints)

    def _numbered(self) -> Iterator[list[Row]]:
        """The entries whose rows are found by their numbers: all, or the first ones.

        The rows of a bulk insert have numbers (SQLite's rowid) in the order of the log, and stand in that
        order: they are read by the number that follows from the first one's, if the key agrees. From a batch
        on in which one does not agree (other rows came between; VACUUM) they are to be read by key.
        """
        distance = self._distance()
        if distance is None:
            return
        values = {"first": self._next, "last": self._cut, "distance": distance}
        for rows in self._store.batches(self._by_number(), values, BATCH):
            if None in map(_KEY, rows):
                return
            yield rows

    def _distance(self) -> int | None:
        """From the number of the first entry to that of its row. None if there is no such row, rows have no
        number besides their key, or there are few."""
        t = self._t
        self._rowid = rowid_of(self._store, t.table.name) if self._op == "I" and self._cut >= FEW else None
        if self._rowid is None:
            return None
        found: int | None = self._store.value(
            f"SELECT t.{self._rowid} - l.seq FROM {t.log} l JOIN {t.name} t ON {t.row_key('t', 'l')}"
            f" WHERE l.seq = (SELECT min(seq) FROM {t.log})"
        )
        return found

    def _by_key(self) -> str:
        row = "" if self._op == "D" else f" LEFT JOIN {self._t.name} t ON {self._t.row_key('t', 'l')}"
        return self._select(row)

    def _by_number(self) -> str:
        """NOT INDEXED: by no index but the numbers themselves."""
        same = f"t.{self._rowid} = l.seq + :distance AND {self._t.row_key('t', 'l')}"
        return self._select(f" LEFT JOIN {self._t.name} t NOT INDEXED ON {same}")

    def _select(self, row: str) -> str:
        """Every entry, without values where its row is not in the table."""
        each = "" if self._clocks is not None else ", l.at, l.seq, l.checkpoint"
        return (
            f"SELECT {', '.join(self._names)}{each} FROM {self._t.log} l{row}"
            " WHERE l.seq BETWEEN :first AND :last ORDER BY l.seq"
        )

    def _present(self, batch: Batch) -> Batch:
        there = [row[0] is not None for row in batch.rows]
        self.absent += there.count(False)
        return replace(
            batch,
            rows=list(compress(batch.rows, there)),
            hlc=list(compress(batch.hlc, there)),
            checkpoint=list(compress(batch.checkpoint, there)),
        )
