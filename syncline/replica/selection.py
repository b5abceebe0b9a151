"""Which rows the next push covers, when there are more than one push may have.

Whole chains only, so that every change is as of the freeze. Rows that are written go first, in schema
order, deletes when nothing else is left, children first (law L9). A push covers a prefix of each log:
entries of rows that must wait are moved behind it, their clocks fixed before.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from syncline.replica.clocks import make_clock
from syncline.replica.device import Device
from syncline.replica.pending import of_logs
from syncline.replica.statements import Statements
from syncline.replica.store import Store

Cut = tuple[Statements, int]
"""A table, and the last log entry that is covered."""


class Part(Enum):
    """Chains by their last operation."""

    WRITTEN = "<> 'D'"
    DELETED = "= 'D'"


def select(device: Device, rows: int) -> list[Cut]:
    """How far each table is covered by a push of at most `rows` rows, in schema order; tables of which
    nothing is covered are left out. Inside a write transaction, after `pending.settle`."""
    counts = of_logs(device.store, device.tables.values(), "SELECT count(*) FROM {log}")
    full = [t for t in device.tables.values() if counts[t.n]]
    lasts = of_logs(device.store, full, "SELECT max(seq) FROM {log}")
    ends = [(t, counts[t.n], lasts[t.n]) for t in full]
    if sum(count for _, count, _ in ends) <= rows:
        return [(t, last) for t, _, last in ends]
    written = _take(device.store, full, rows, Part.WRITTEN)
    return written or _take(device.store, reversed(full), rows, Part.DELETED)


def _take(store: Store, tables: Iterable[Statements], rows: int, part: Part) -> list[Cut]:
    chosen = []
    for t in tables:
        if not rows:
            break
        cut, count = _prefix(store, t, rows) if part is Part.WRITTEN else (0, 0)
        if not count:
            cut, count = _gather(store, t, rows, part)
        if count:
            chosen.append((t, cut))
            rows -= count
    return chosen


def _prefix(store: Store, t: Statements, rows: int) -> tuple[int, int]:
    """The common case: nothing but inserts, so that a row is an entry. (0, 0) if it is another."""
    if store.row(f"SELECT 1 FROM {t.log} WHERE op <> 'I' LIMIT 1") is not None:
        return 0, 0
    row = store.row(f"SELECT max(seq), count(*) FROM (SELECT seq FROM {t.log} ORDER BY seq LIMIT ?)", (rows,))
    assert row is not None, "a query of totals always has a row"
    return row[0], row[1]


def _gather(store: Store, t: Statements, rows: int, part: Part) -> tuple[int, int]:
    """Choose chains by their first entry; move entries of others that are in between. (0, 0) if none."""
    keys = t.key_columns
    store.execute("DROP TABLE IF EXISTS temp._sync_taken")
    store.execute(f"CREATE TEMP TABLE _sync_taken (i INTEGER PRIMARY KEY, first, last, chosen, {keys})")
    store.execute(
        f"INSERT INTO temp._sync_taken (first, last, chosen, {keys})"
        f" SELECT min(seq), max(seq), 0, {keys} FROM {t.log} GROUP BY {keys}"
    )
    store.execute(
        f"UPDATE temp._sync_taken SET chosen = 1 WHERE i IN (SELECT n.i FROM temp._sync_taken n"
        f" JOIN {t.log} l ON l.seq = n.last WHERE l.op {part.value} ORDER BY n.first LIMIT ?)",
        (rows,),
    )
    row = store.row("SELECT coalesce(max(last), 0), count(*) FROM temp._sync_taken WHERE chosen")
    assert row is not None, "a query of totals always has a row"
    if row[1]:
        _move_others(store, t, row[0])
    return row[0], row[1]


def _move_others(store: Store, t: Statements, cut: int) -> None:
    """Move the chains that are not chosen and begin before the cut behind everything, in their order."""
    last: int = store.value(f"SELECT max(seq) FROM {t.log}")
    make_clock(store, t, last)
    store.execute("DELETE FROM temp._sync_taken WHERE chosen OR first > ?", (cut,))
    if store.row("SELECT 1 FROM temp._sync_taken LIMIT 1") is None:
        return
    store.execute(f"CREATE INDEX temp._sync_taken_key ON _sync_taken ({t.key_columns})")
    store.execute(
        f"UPDATE {t.log} SET seq = seq + ?,"
        f" at = (SELECT c.hlc FROM temp._sync_clock c WHERE c.seq = {t.log}.seq)"
        f" WHERE seq IN (SELECT l.seq FROM {t.log} l"
        f" CROSS JOIN temp._sync_taken n ON {t.same_key('n', 'l')})",
        (last,),
    )
