"""Coalescing: all pending edits of a row become one change (`Replica.freeze` of the model, law L6).

In sets: the rows with a single edit, nearly all of a large backlog, are joined with their table straight
into rows as they travel. Only rows with several edits pass through Python, see `replica.chains`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from operator import itemgetter

from syncline.errors import ValueRefused
from syncline.model.values import indices_of, subtract
from syncline.protocol.messages import PushOp
from syncline.replica.capture import MASK_BITS
from syncline.replica.chains import MASKS, Batch, Chains, Refused, Shape
from syncline.replica.clocks import Stamps, make_clock
from syncline.replica.statements import Statements, joined_mask
from syncline.replica.store import Store

BATCH = 20_000
"""Rows held in memory at once, and rows of a group (law L11)."""


class Coalescing:
    """The changes of one table as of its log entry `cut`. Inside a write transaction, after
    `pending.settle`: no entry M is left.

    ValueRefused while reading: a text that is not UTF-8 (see `replica.refusal`).
    """

    def __init__(self, store: Store, t: Statements, cut: int) -> None:
        self._store, self._t, self._cut = store, t, cut
        self._chains = Chains(store, t, cut)
        self._refused: list[Refused] = []
        self._uniform = False

    @property
    def refused(self) -> list[Refused]:
        """The rows that cannot travel, once `batches` has been read."""
        return self._refused + self._chains.refused

    def batches(self) -> Iterator[Batch]:
        """Every change once; rows with a single edit first, in the order of the edits."""
        shapes = self._shapes()
        self._chains.find(shapes)
        self._uniform = len(shapes) == 1 and not self._chains.count and not self._has_clocks()
        if not self._uniform:
            make_clock(self._store, self._t, self._cut)
        joined = 0
        for batch in chain(self._inserts(shapes), self._updates(shapes)):
            joined += len(batch.rows)
            yield batch
        yield from self._deletes(shapes)
        if joined + len(self._refused) < self._count_singles():
            if self._uniform:
                make_clock(self._store, self._t, self._cut)
            self._chains.find_missing()
        yield from self._chains.batches()

    def _shapes(self) -> set[Shape]:
        masks = ", ".join(self._t.masks)
        sql = f"SELECT DISTINCT op, {masks} FROM {self._t.log} WHERE seq <= ?"
        return {
            (op, joined_mask([part or 0 for part in parts]))
            for op, *parts in self._store.rows(sql, (self._cut,))
        }

    def _has_clocks(self) -> bool:
        """Whether a former freeze left entries for later."""
        sql = f"SELECT 1 FROM {self._t.log} WHERE seq <= ? AND typeof(at) = 'integer' LIMIT 1"
        return self._store.row(sql, (self._cut,)) is not None

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
        """The rest of a query over single edits `l` and rows `t`, in log order, that ends with what `_read`
        expects."""
        t = self._t
        row = "" if op == "D" else f" CROSS JOIN {t.name} t ON {t.row_key('t', 'l')}"
        if self._uniform:
            return f", l.at, l.seq, l.checkpoint FROM {t.log} l{row} WHERE l.seq <= :cut ORDER BY l.seq"
        return (
            f", c.hlc, c.checkpoint FROM temp._sync_clock c CROSS JOIN {t.log} l ON l.seq = c.seq{row}"
            f" WHERE l.op = '{op}'{extra}{self._single} ORDER BY c.seq"
        )

    def _inserts(self, shapes: set[Shape]) -> Iterator[Batch]:
        t = self._t
        if ("I", 0) in shapes:
            columns = list(t.table.pushed)
            names = ", ".join([t.keys_of("t"), *(f"t.{t.values[i]}" for i in columns)])
            yield from self._read("I", columns, f"SELECT {names}{self._from('I')}")

    def _deletes(self, shapes: set[Shape]) -> Iterator[Batch]:
        if ("D", 0) in shapes:
            names = ", ".join(f"l.k{i}" for i in range(self._t.arity))
            yield from self._read("D", [], f"SELECT {names}{self._from('D')}")

    def _updates(self, shapes: set[Shape]) -> Iterator[Batch]:
        """One statement for each set of changed columns."""
        t = self._t
        masks = sorted(mask for op, mask in shapes if op == "U")
        for mask in masks if len(masks) <= MASKS else []:
            columns = indices_of(mask)
            olds = [f"o{i}" for i in columns if t.increments >> i & 1]
            names = [t.keys_of("t"), *(f"t.{t.values[i]}" for i in columns), *(f"l.{old}" for old in olds)]
            same = "".join(
                f" AND l.{name} = {mask >> MASK_BITS * part & (1 << MASK_BITS) - 1}"
                for part, name in enumerate(t.masks)
            )
            rest = self._from("U", same)
            for batch in self._read("U", columns, f"SELECT {', '.join(names)}{rest}"):
                yield self._differences(batch, len(olds)) if olds else batch

    def _read(self, op: PushOp, columns: list[int], sql: str) -> Iterator[Batch]:
        """Batches from rows that end with clock and checkpoint; if all entries are alike with wall time,
        number and checkpoint."""
        stamps = Stamps(self._store) if self._uniform else None
        parameters = {"cut": self._cut} if self._uniform else ()
        body, checkpoint = itemgetter(slice(None, -2 if stamps is None else -3)), itemgetter(-1)
        for rows in self._store.batches(sql, parameters, BATCH):
            checkpoints, clocks = list(map(checkpoint, rows)), list(map(itemgetter(-2), rows))
            if stamps is not None:
                clocks = stamps.of(clocks, list(map(itemgetter(-3), rows)), checkpoints)
            yield Batch(op, columns, list(map(body, rows)), clocks, checkpoints)

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
