"""Coalescing: all pending edits of a row become one change (`Replica.freeze` of the model, law L6).

In sets: the rows with a single edit, nearly all of a large backlog, are joined with their table straight
into rows as they travel. Only rows with several edits pass through Python, see `replica.chains`.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter

from syncline.errors import ValueRefused
from syncline.model.masks import WORD_BITS, join_mask
from syncline.protocol.messages import PushOp
from syncline.replica.alike import BATCH, Alike, picked
from syncline.replica.altered import altered
from syncline.replica.chains import ENTRY, MASKS, Batch, Chains, Fit, Misspelled, Refused, Shape, increment
from syncline.replica.clocks import make_clock
from syncline.replica.runs import Runs, find_runs
from syncline.replica.statements import Statements
from syncline.replica.store import Store

_BODY, _HLC, _CHECKPOINT = itemgetter(slice(None, -2)), itemgetter(-2), itemgetter(-1)


class Coalescing:
    """The changes of one table as of its log entry `cut`. Inside a write transaction, after
    `pending.settle`: no entry M is left. `fit` says of rows as `Statements.fit` does whether they may go as
    they are spelled.

    While reading, ValueRefused: a text that is not UTF-8 (see `replica.refusal`); Misspelled.
    """

    def __init__(self, store: Store, t: Statements, cut: int, fit: Fit) -> None:
        self._store, self._t, self._cut, self._fit = store, t, cut, fit
        self._chains = Chains(store, t, cut, fit)
        self._refused: list[Refused] = []

    @property
    def refused(self) -> list[Refused]:
        """The rows that cannot travel, once `batches` has been read."""
        return self._refused + self._chains.refused

    def batches(self) -> Iterator[Batch]:
        """Every change once; rows with a single edit first, in the order of the edits."""
        runs = find_runs(self._store, self._t, self._cut)
        shapes, has_clocks = self._shapes() if runs is None else ({runs.shape}, False)
        self._check(shapes)
        self._chains.find(shapes)
        if len(shapes) == 1 and not self._chains.count and not has_clocks:
            yield from self._alike(shapes.pop(), runs)
        else:
            yield from self._mixed(shapes)
        yield from self._chains.batches()

    def _shapes(self) -> tuple[set[Shape], bool]:
        """Those that occur, and whether a former freeze left entries for later: such have their clock."""
        masks = ", ".join(self._t.masks)
        sql = f"SELECT DISTINCT op, typeof(at), {masks} FROM {self._t.log} WHERE seq <= ?"
        found = self._store.rows(sql, (self._cut,))
        shapes = {(op, join_mask([part or 0 for part in parts])) for op, _, *parts in found}
        return shapes, any(kind == "integer" for _, kind, *_ in found)

    def _check(self, shapes: set[Shape]) -> None:
        """Raise StoreDamaged if an entry is none that capture makes: it would be left out, or read twice."""
        for op, mask in shapes:
            if op not in ("I", "U", "D"):
                raise altered(self._store, self._t.log, f"an operation is {op!r}"[:80])
            if (mask <= 0) if op == "U" else mask:
                raise altered(self._store, self._t.log, f"the mask of an entry {op} is {mask}")

    def _alike(self, shape: Shape, runs: Runs | None) -> Iterator[Batch]:
        alike = Alike(self._store, self._t, self._cut, shape, runs)
        yield from map(self._differences, map(self._checked, alike.batches()))
        if alike.absent:
            make_clock(self._store, self._t, self._cut)
            self._chains.find_missing()

    # Edits of several shapes ---------------------------------------------------------------------------

    def _mixed(self, shapes: set[Shape]) -> Iterator[Batch]:
        """Inserts, then one statement for each set of changed columns, then deletes."""
        make_clock(self._store, self._t, self._cut)
        inserts: list[Shape] = [shape for shape in shapes if shape[0] == "I"]
        updates: list[Shape] = sorted(shape for shape in shapes if shape[0] == "U")
        joined = 0
        for op, mask in inserts + (updates if len(updates) <= MASKS else []):
            for batch in self._read(op, mask):
                joined += len(batch.rows)
                yield self._differences(self._checked(batch))
        if ("D", 0) in shapes:
            yield from map(self._checked, self._read("D", 0))
        if joined < self._count_singles():
            self._chains.find_missing()

    @property
    def _single(self) -> str:
        return f" AND l.seq NOT IN (SELECT seq FROM temp.{ENTRY})" if self._chains.count else ""

    def _count_singles(self) -> int:
        count: int = self._store.value(
            f"SELECT count(*) FROM {self._t.log} l WHERE l.op IN ('I', 'U') AND l.seq <= ?{self._single}",
            (self._cut,),
        )
        return count

    def _read(self, op: PushOp, mask: int) -> Iterator[Batch]:
        """The rows with a single edit of this shape, in log order."""
        t = self._t
        columns, names = picked(t, op, mask)
        row = "" if op == "D" else f" CROSS JOIN {t.name} t ON {t.row_key('t', 'l')}"
        same = "".join(
            f" AND l.{name} = {mask >> WORD_BITS * part & (1 << WORD_BITS) - 1}"
            for part, name in enumerate(t.masks if op == "U" else ())
        )
        sql = (
            f"SELECT {', '.join(names)}, c.hlc, c.checkpoint FROM temp._sync_clock c"
            f" CROSS JOIN {t.log} l ON l.seq = c.seq{row} WHERE l.op = '{op}'{same}{self._single}"
            " ORDER BY c.seq"
        )
        for rows in self._store.batches(sql, (), BATCH):
            clocks, checkpoints = list(map(_HLC, rows)), list(map(_CHECKPOINT, rows))
            yield Batch(op, columns, list(map(_BODY, rows)), clocks, checkpoints)

    def _checked(self, batch: Batch) -> Batch:
        if not self._fit(batch.columns, batch.rows):
            raise Misspelled
        return batch

    def _differences(self, batch: Batch) -> Batch:
        """Counters travel as increments: rows of an update end with their old values, where there are any."""
        arity = self._t.arity
        places = [arity + j for j, i in enumerate(batch.columns) if self._t.increments >> i & 1]
        if batch.op != "U" or not places:
            return batch
        olds = len(places)
        result = Batch(batch.op, batch.columns)
        for row, hlc, checkpoint in zip(batch.rows, batch.hlc, batch.checkpoint, strict=True):
            values = list(row[:-olds])
            try:
                for place, old in zip(places, row[-olds:], strict=True):
                    values[place] = increment(values[place], old)
            except ValueRefused as error:
                self._refused.append(Refused(tuple(values[:arity]), error.detail))
                continue
            result.rows.append(values)
            result.hlc.append(hlc)
            result.checkpoint.append(checkpoint)
        return result
