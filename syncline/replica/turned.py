"""Log entries that a trigger of the application has turned around: what it did stands before what fired it.

SQLite fires the youngest trigger first. One that was made after those of capture, and writes the table that
it is on, is captured before its own cause: deleted, then inserted again, comes out as inserted, then
deleted. It is noticed when a file is opened next, capture is made the youngest again, and what was logged
meanwhile is put in the one order in which it can have happened: a row is inserted where there is none, and
updated or deleted where there is one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest

from syncline.model.masks import join_mask
from syncline.replica.statements import Statements
from syncline.replica.store import Store, pack

Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    seq: int
    op: str
    at: object
    mask: int


def put_in_order(store: Store, t: Statements) -> int:
    """Give the entries of each row the numbers in which they can have happened; how many rows were turned
    around. Inside a transaction. What a push in flight covers stays as it is."""
    turned = 0
    for key, entries in _rows(store, t):
        present = _is_present(store, t, key)
        ordered = in_order(entries, present)
        if ordered != entries:
            numbers = [entry.seq for entry in entries]
            moves = [(-new, entry.seq) for new, entry in zip(numbers, ordered, strict=True)]
            store.executemany(f"UPDATE {t.log} SET seq = ? WHERE seq = ?", moves)
            store.execute(f"UPDATE {t.log} SET seq = -seq WHERE seq < 0")
            turned += 1
    return turned


def in_order(entries: Sequence[_Entry], present: bool) -> list[_Entry]:
    """The entries of one row in the order in which they can have happened; as they are if there is none.

    `present`: whether the row is there now, after all of them. M (perhaps deleted) says nothing of it."""
    inserts, deletes = ([entry for entry in entries if entry.op == op] for op in "ID")
    there = int(present) - len(inserts) + len(deletes)
    if there not in (0, 1):
        return list(entries)  # written past the triggers
    ends = [deletes, inserts] if there else [inserts, deletes]
    comings = [entry for pair in zip_longest(*ends) for entry in pair if entry is not None]
    slots: list[list[_Entry]] = [[] for _ in range(len(comings) + 1)]
    passed = 0
    for entry in entries:
        if entry.op in "ID":
            passed += 1
        else:
            slots[_slot(entry, passed, len(comings), there)].append(entry)
    found = slots[0]
    for entry, others in zip(comings, slots[1:], strict=True):
        found = [*found, entry, *others]
    return [entry for pair in _pairs(found) for entry in pair]


def _slot(entry: _Entry, passed: int, most: int, there: int) -> int:
    """After how many inserts and deletes an update comes: as it stands, but where there is a row."""
    if entry.op != "U" or (there + passed) % 2:
        return passed
    return passed - 1 if passed else min(1, most)


def _pairs(entries: Sequence[_Entry]) -> Iterator[list[_Entry]]:
    """Two updates of the same columns at the same instant are one statement and what its trigger did: the
    outer one first. julianday('now') is the same all through a statement."""
    for _, some in groupby(entries, key=lambda entry: (entry.op == "U", entry.at)):
        run = list(some)
        two = len(run) == 2 and run[0].op == "U" and run[0].mask & run[1].mask
        yield run[::-1] if two else run


def _rows(store: Store, t: Statements) -> Iterator[tuple[Key, list[_Entry]]]:
    """The rows with several entries that no push in flight covers."""
    cut = store.value("SELECT seq FROM _sync_outbox_cut WHERE n = ?", (t.n,)) or 0
    keys = [f"l.k{i}" for i in range(t.arity)]
    masks = ", ".join(f"l.{mask}" for mask in t.masks)
    same = " AND ".join(f"n.k{i} IS l.k{i}" for i in range(t.arity))
    several = (
        f"SELECT {t.key_columns} FROM {t.log} WHERE seq > {cut} GROUP BY {t.key_columns} HAVING count(*) > 1"
    )
    rows = store.rows(
        f"SELECT {', '.join(keys)}, l.seq, l.op, l.at, {masks} FROM ({several}) n JOIN {t.log} l ON {same}"
        f" WHERE l.seq > {cut} ORDER BY {', '.join(keys)}, l.seq"
    )
    for key, some in groupby(rows, key=lambda row: row[: t.arity]):
        entries = [
            _Entry(seq, op, at, join_mask(parts)) for seq, op, at, *parts in (row[t.arity :] for row in some)
        ]
        yield key, entries


def _is_present(store: Store, t: Statements, key: Key) -> bool:
    if store.row(f"SELECT 1 FROM {t.name} WHERE {t.by_key}", key) is not None:
        return True
    parked = "SELECT 1 FROM _sync_parked WHERE n = ? AND key = ?"
    return store.row(parked, (t.n, pack(list(key)))) is not None
