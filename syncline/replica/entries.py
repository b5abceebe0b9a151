"""The change-log entries of one row, and what its columns held before and after each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from syncline.errors import ValueRefused
from syncline.model.masks import join_mask
from syncline.model.values import Value, indices_of, subtract
from syncline.replica.overlay import Key
from syncline.replica.statements import Statements
from syncline.replica.store import Store


class Entry(NamedTuple):
    """One of them. `is_meant`: it fulfils a condition; `mask`: the columns it changed; `old`: what all value
    columns held, as far as it says. `hlc` and `checkpoint` where they were asked for."""

    op: str
    is_meant: bool
    mask: int
    old: Sequence[Value]
    hlc: int = 0
    checkpoint: int = 0
    stamp: bytes = b""


def entries_of(
    store: Store, t: Statements, key: Key, condition: str, *, clocked: bool = False
) -> list[Entry]:
    """Those of a row in their order, after `pending.settle`. `clocked`: with the clocks that
    `clocks.make_clock` has computed."""
    same = " AND ".join(f"l.k{i} = ?{i + 1}" for i in range(t.arity))
    clock = "c.hlc, c.checkpoint" if clocked else "0, 0"
    joined = " CROSS JOIN temp._sync_clock c ON c.seq = l.seq" if clocked else ""
    names = ", ".join(["l.op", condition, clock, "l.stamp", *(f"l.{mask}" for mask in t.masks)])
    olds = "".join(f", l.o{i}" for i in t.values)
    rows = store.rows(
        f"SELECT {names}{olds} FROM {t.log} l{joined} WHERE {same} AND l.op <> 'M' ORDER BY l.seq", key
    )
    width = 5 + len(t.masks)
    return [
        Entry(row[0], bool(row[1]), _mask(t, row[0], row[5:width]), row[width:], *row[2:5]) for row in rows
    ]


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
