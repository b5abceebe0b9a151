"""Rows with several edits, or with a parked image: coalesced one by one, a bounded number at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from math import isfinite
from operator import itemgetter
from typing import NamedTuple, cast

from syncline.errors import ValueRefused
from syncline.model.masks import join_mask
from syncline.model.order import is_sound
from syncline.model.values import Value, indices_of, subtract
from syncline.protocol.messages import PushOp
from syncline.replica.keyset import Keyset
from syncline.replica.overlay import Key, kind_of, read_image
from syncline.replica.statements import Statements
from syncline.replica.store import Store, pack, unpack

NOTHING: Mapping[int, Value] = {}

RANGE = 5_000
"""Rows coalesced at once (law L11)."""

ENTRY = "_sync_chain_entry"
"""The temporary table of the entries that belong to chains. It stays, as does the one of the rows: making a
temporary table has SQLite prepare every statement of the connection anew."""

_OF_ENTRY = "seq INTEGER PRIMARY KEY, i INTEGER"

MASKS = 64
"""More sets of changed columns than this are not worth a statement each: such rows come here too."""


Shape = tuple[PushOp, int]
"""Operation and column mask of a log entry."""


@dataclass(slots=True)
class Batch:
    """Changes of one table, operation and column set, as in `messages.PushGroup` but with absolute clocks
    and with checkpoints: `hlc` of the row's last edit, `checkpoint` of its first."""

    op: PushOp
    columns: list[int]
    rows: list[Sequence[Value]] = field(default_factory=list)
    hlc: list[int] = field(default_factory=list)
    checkpoint: list[int] = field(default_factory=list)
    column_hlc: list[list[int]] = field(default_factory=list)
    column_checkpoint: list[list[int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Refused:
    """A row whose change cannot travel, and why."""

    key: Key
    detail: str


class Misspelled(Exception):
    """A value is not in the file's form: leaves the draft, which is made again when it is respelled."""


Fit = Callable[[Sequence[int], Sequence[Sequence[Value]]], bool]
"""Whether rows, the key and these columns, may go as they are spelled."""


def increment(value: Value, old: Value) -> Value:
    """What was added to a column that adds up. ValueRefused also where it was beyond all bounds before, which
    no increment leads away from."""
    found = subtract(value, old)
    if isinstance(old, float) and not isfinite(old):
        raise ValueRefused(f"the value before was {old!r}, from which nothing can be added up")
    return found


class Edit(NamedTuple):
    """`old`: the former values of the table's increment columns."""

    op: str
    mask: int
    hlc: int
    checkpoint: int
    old: Mapping[int, Value]


class Chain(NamedTuple):
    """All edits of one row, in order, and the row as it is, all value columns (None: it is not there)."""

    key: Key
    edits: list[Edit]
    image: Sequence[Value] | None

    @property
    def kind(self) -> PushOp:
        kind = kind_of([edit.op for edit in self.edits], self.image is None) or "-"
        if self.image is None and kind in "IRU":
            return "-" if kind == "I" else "D"  # it left its table past the triggers
        return cast(PushOp, kind)


class Chains:
    """The chains among the log entries up to `cut`. Inside a write transaction that has filled
    `temp._sync_clock`. `refused` fills while `batches` is read."""

    def __init__(self, store: Store, t: Statements, cut: int, fit: Fit) -> None:
        self._store, self._t, self._cut, self._fit = store, t, cut, fit
        self.count = 0
        self.refused: list[Refused] = []
        self._masks: dict[int, tuple[int, ...]] = {}
        self._pushed, self._places = t.table.pushed, t.table.places
        self._name = f"_sync_chain_{t.arity}"

    def find(self, shapes: set[Shape]) -> None:
        """Number the rows that come here, and their entries. `shapes` are those that occur."""
        store, t = self._store, self._t
        for name, columns in ((self._name, f"i INTEGER PRIMARY KEY, {t.key_columns}"), (ENTRY, _OF_ENTRY)):
            store.execute(f"CREATE TEMP TABLE IF NOT EXISTS {name} ({columns})")
            store.execute(f"DELETE FROM temp.{name}")
        # No row is inserted twice without a delete between. But one may be deleted twice: shown again for
        # the sake of a child that the hub sent, and deleted again.
        if shapes != {("I", 0)}:
            updates = [op for op, _ in shapes if op == "U"]
            also = " OR max(op = 'U')" if len(updates) > MASKS else ""
            store.execute(
                f"INSERT INTO temp.{self._name} ({t.key_columns}) SELECT {t.key_columns} FROM {t.log}"
                f" WHERE seq <= ? GROUP BY {t.key_columns} HAVING count(*) > 1{also}",
                (self._cut,),
            )
        self._find_parked()
        self._number()

    def _find_parked(self) -> None:
        """Add the hidden rows that have entries. The log and the rows that are here have no index by the key,
        and so are read once, however many are hidden."""
        t = self._t
        keys = self._store.rows("SELECT key FROM _sync_parked WHERE n = ?", (t.n,))
        if not keys:
            return
        hidden = Keyset(self._store, t, "hidden")
        hidden.put(unpack(key) for (key,) in keys)
        hidden.remove(f"SELECT {t.key_columns} FROM temp.{self._name}")
        self._store.execute(
            f"INSERT INTO temp.{self._name} ({t.key_columns}) SELECT DISTINCT {t.key_columns} FROM {t.log} l"
            f" WHERE seq <= ? AND {hidden.has('l')}",
            (self._cut,),
        )
        hidden.drop()

    def find_missing(self) -> None:
        """Add the rows with one edit, I or U, that are not in their table."""
        t = self._t
        keys = ", ".join(f"l.k{i}" for i in range(t.arity))
        self._store.execute(
            f"INSERT INTO temp.{self._name} ({t.key_columns}) SELECT {keys} FROM {t.log} l"
            f" WHERE l.op IN ('I', 'U') AND l.seq <= ?"
            f" AND l.seq NOT IN (SELECT seq FROM temp.{ENTRY})"
            f" AND NOT EXISTS (SELECT 1 FROM {t.name} t WHERE {t.row_key('t', 'l')})",
            (self._cut,),
        )
        self._number()

    def _number(self) -> None:
        store, t = self._store, self._t
        self.count = store.value(f"SELECT count(*) FROM temp.{self._name}")
        if not self.count:
            return
        store.execute("DROP INDEX IF EXISTS temp._sync_chain_of")
        store.execute(f"CREATE INDEX temp._sync_chain_key ON {self._name} ({t.key_columns})")
        store.execute(
            f"INSERT OR IGNORE INTO temp.{ENTRY} SELECT l.seq, n.i FROM {t.log} l"
            f" CROSS JOIN temp.{self._name} n ON {t.same_key('n', 'l')} WHERE l.seq <= ?",
            (self._cut,),
        )
        store.execute(f"CREATE INDEX temp._sync_chain_of ON {ENTRY} (i, seq)")
        store.execute("DROP INDEX temp._sync_chain_key")

    def batches(self) -> Iterator[Batch]:
        """Every chain as one change. Misspelled if a value must be respelled before."""
        for first in range(1, self.count + 1, RANGE):
            groups: dict[tuple[PushOp, tuple[int, ...], bool], Batch] = {}
            for chain in self._read(first, first + RANGE - 1):
                try:
                    self._add(groups, chain)
                except ValueRefused as error:
                    self.refused.append(Refused(chain.key, error.detail))
            if not all(self._fit(*self._values(batch)) for batch in groups.values()):
                raise Misspelled
            yield from groups.values()

    def _values(self, batch: Batch) -> tuple[Sequence[int], Sequence[Sequence[Value]]]:
        """The columns that travel as values, and the rows with those."""
        counted = self._t.increments if batch.op == "U" else 0
        kept = [place for place, column in enumerate(batch.columns) if not counted >> column & 1]
        if len(kept) == len(batch.columns):
            return batch.columns, batch.rows
        arity = self._t.arity
        rows = [[*row[:arity], *(row[arity + place] for place in kept)] for row in batch.rows]
        return [batch.columns[place] for place in kept], rows

    def _read(self, first: int, last: int) -> Iterator[Chain]:
        t = self._t
        images = self._images(first, last)
        columns = indices_of(t.increments)
        picked = [*t.masks, *(f"k{i}" for i in range(t.arity)), *(f"o{i}" for i in columns)]
        rows = self._store.rows(
            f"SELECT e.i, l.op, c.hlc, c.checkpoint, {', '.join(f'l.{name}' for name in picked)}"
            f" FROM temp.{ENTRY} e CROSS JOIN {t.log} l ON l.seq = e.seq"
            f" CROSS JOIN temp._sync_clock c ON c.seq = e.seq WHERE e.i BETWEEN ? AND ? ORDER BY e.i, e.seq",
            (first, last),
        )
        keys, olds = 4 + len(t.masks), 4 + len(t.masks) + t.arity
        for number, entries in groupby(rows, itemgetter(0)):
            edits: list[Edit] = []
            for entry in entries:
                mask = entry[4] or 0 if keys == 5 else join_mask([part or 0 for part in entry[4:keys]])
                old = dict(zip(columns, entry[olds:], strict=True)) if columns else NOTHING
                edits.append(Edit(entry[1], mask, entry[2], entry[3], old))
            key = entry[keys:olds]
            yield Chain(key, edits, images.get(number) or self._parked(key))

    def _images(self, first: int, last: int) -> dict[int, Sequence[Value]]:
        t = self._t
        values = "".join(f", t.{name}" for name in t.value_names)
        rows = self._store.rows(
            f"SELECT n.i{values}, 1 FROM temp.{self._name} n CROSS JOIN {t.name} t ON {t.row_key('t', 'n')}"
            f" WHERE n.i BETWEEN ? AND ?",
            (first, last),
        )
        return {row[0]: row[1:] for row in rows}

    def _parked(self, key: Key) -> Sequence[Value] | None:
        body = self._store.value(
            "SELECT image FROM _sync_parked WHERE n = ? AND key = ?", (self._t.n, pack(list(key)))
        )
        image = None if body is None else read_image(self._t, body)
        if image is not None and not all(map(is_sound, image)):
            raise ValueRefused(f"table {self._t.table.name}: a text of a row is not valid UTF-8")
        return image

    def _add(self, groups: dict[tuple[PushOp, tuple[int, ...], bool], Batch], chain: Chain) -> None:
        kind, edits = chain.kind, chain.edits
        row_clock = edits[-1].hlc, edits[0].checkpoint
        clocks: list[tuple[int, int]] = []
        if kind == "U":
            columns, values, clocks = self._changed(chain)
        else:
            columns = self._pushed if kind in "IR" else ()
            values = [chain.image[self._places[i]] for i in columns] if chain.image is not None else []
        apart = any(clock != row_clock for clock in clocks)
        batch = groups.setdefault((kind, columns, apart), Batch(kind, list(columns)))
        batch.rows.append((*chain.key, *values))
        batch.hlc.append(row_clock[0])
        batch.checkpoint.append(row_clock[1])
        if apart:
            batch.column_hlc.append([hlc for hlc, _ in clocks])
            batch.column_checkpoint.append([checkpoint for _, checkpoint in clocks])

    def _changed(self, chain: Chain) -> tuple[tuple[int, ...], list[Value], list[tuple[int, int]]]:
        """Columns, values and clocks of an update: each column has its own last clock and first base."""
        assert chain.image is not None, "a row without an image is no update"
        touched, alike = 0, True
        for edit in chain.edits:
            alike = alike and edit.mask == chain.edits[0].mask
            touched |= edit.mask
        columns = self._columns(touched)
        if alike and not touched & self._t.increments:
            return columns, [chain.image[self._places[i]] for i in columns], []
        values, clocks = [], []
        for column in columns:
            touching = [edit for edit in chain.edits if edit.mask >> column & 1]
            value = chain.image[self._places[column]]
            if self._t.increments >> column & 1:
                spelling = self._t.spellings.get(column)
                if (
                    spelling is not None
                    and not spelling.fits([value])
                    and not self._fit([column], [(*chain.key, value)])
                ):
                    raise Misspelled
                value = increment(value, touching[0].old[column])
            values.append(value)
            clocks.append((touching[-1].hlc, touching[0].checkpoint))
        return columns, values, clocks

    def _columns(self, mask: int) -> tuple[int, ...]:
        if mask not in self._masks:
            self._masks[mask] = tuple(indices_of(mask))
        return self._masks[mask]
