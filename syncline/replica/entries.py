"""The change-log entries of some rows, and what their columns held before and after each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from syncline.errors import ValueRefused
from syncline.model.masks import join_mask
from syncline.model.values import Value, indices_of, subtract
from syncline.replica.overlay import Key, Overlay
from syncline.replica.statements import Statements

BATCH = 5_000
"""Rows whose entries are read in one go (law L11)."""


class Entry(NamedTuple):
    """One of them, with its number in the log. `is_meant`: it fulfils a condition; `mask`: the columns it
    changed; `old`: what all value columns held, as far as it says. `hlc` and `checkpoint` where they were
    asked for."""

    seq: int
    op: str
    is_meant: bool
    mask: int
    old: Sequence[Value]
    hlc: int = 0
    checkpoint: int = 0
    stamp: bytes = b""


def entries_of(
    overlay: Overlay, t: Statements, keys: Sequence[Key], condition: str, *, clocked: bool = False
) -> Iterator[tuple[Key, list[Entry]]]:
    """Each of these rows with those of it in their order, after `pending.settle`. `clocked`: with the clocks
    that `clocks.make_clock` has computed.

    The log has no index by the key: `overlay` reads it once, for all the rows that it is ever asked about.
    Entries may leave the log between two rows."""
    if not keys or not overlay.any(t):
        yield from ((key, []) for key in keys)
        return
    clock = "c.hlc, c.checkpoint" if clocked else "0, 0"
    joined = " CROSS JOIN temp._sync_clock c ON c.seq = l.seq" if clocked else ""
    names = ", ".join(["l.seq", "l.op", condition, clock, "l.stamp", *(f"l.{mask}" for mask in t.masks)])
    olds = "".join(f", l.o{i}" for i in t.values)
    sql = (
        f"SELECT k.i, {names}{olds} FROM temp._sync_keys_{t.n} k CROSS JOIN temp._sync_pending_{t.n} p"
        f" CROSS JOIN {t.log} l ON l.seq = p.seq{joined} WHERE {t.same_key('p', 'k')} AND l.op <> 'M'"
        " ORDER BY k.i, l.seq"
    )
    for start in range(0, len(keys), BATCH):
        some = keys[start : start + BATCH]
        overlay.load_keys(t, some)
        rows = {number: list(mine) for number, mine in groupby(overlay.store.rows(sql), itemgetter(0))}
        for number, key in enumerate(some):
            yield key, [_entry(t, row[1:]) for row in rows.get(number, ())]


def _entry(t: Statements, row: Sequence[Any]) -> Entry:
    seq, op, is_meant, hlc, checkpoint, stamp, *rest = row
    width = len(t.masks)
    return Entry(seq, op, bool(is_meant), _mask(t, op, rest[:width]), rest[width:], hlc, checkpoint, stamp)


def _mask(t: Statements, op: str, words: Sequence[int | None]) -> int:
    return join_mask([word or 0 for word in words]) if op == "U" else t.table.all_mask


def touched(t: Statements, entries: Iterable[Entry]) -> list[int]:
    """The value columns that any of them changed."""
    mask = 0
    for entry in entries:
        mask |= entry.mask
    return [column for column in indices_of(mask) if column in t.values]


def first_value(t: Statements, entries: Iterable[Entry], column: int, otherwise: Value) -> Value:
    """What the column held before the first of the entries that changed it."""
    for entry in entries:
        if entry.op != "I" and entry.mask >> column & 1:
            return entry.old[t.table.places[column]]
    return otherwise


def as_sent(t: Statements, column: int, value: Value, base: Value) -> Value:
    """A counter's change travels, not its value."""
    if not t.increments >> column & 1:
        return value
    try:
        return subtract(value, base)
    except ValueRefused:  # not a number
        return value
