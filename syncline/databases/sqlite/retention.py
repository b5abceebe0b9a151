"""What the log of a SQLite centre no longer holds: the floor, marks of removed entries, pruning."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from syncline.databases.sqlite.layout import Layout
from syncline.hub.contract import Removed
from syncline.hub.contract.compaction import LogEntry
from syncline.model.masks import join_mask, mask_columns
from syncline.sqlitekit.sql import commas, numbered


def newest(connection: sqlite3.Connection) -> tuple[int, int]:
    """The newest entry, be it pruned or compacted away: its number, and what tells it from any other."""
    row = connection.execute(
        "SELECT * FROM"
        " (SELECT * FROM (SELECT seq, nonce FROM _sync_hub_log ORDER BY seq DESC LIMIT 1)"
        " UNION ALL SELECT * FROM (SELECT seq, mark FROM _sync_hub_mark ORDER BY seq DESC LIMIT 1))"
        " ORDER BY seq DESC LIMIT 1"
    ).fetchone()
    return row or (0, 0)


def mark_at(connection: sqlite3.Connection, seq: int) -> int:
    """What tells this entry from one of the same number in another past; 0 if there is none."""
    row = connection.execute(
        "SELECT nonce FROM _sync_hub_log WHERE seq = ?1"
        " UNION ALL SELECT mark FROM _sync_hub_mark WHERE seq = ?1",
        (seq,),
    ).fetchone()
    return int(row[0]) if row else 0


def prune(connection: sqlite3.Connection, target: int, limit: int) -> Removed:
    """See the contract. Entries up to `target` may go, but for that at the new floor."""
    found = connection.execute(
        "SELECT seq FROM _sync_hub_log WHERE seq <= ? ORDER BY seq LIMIT ?", (target, limit + 1)
    ).fetchall()
    if len(found) < 2:
        return Removed(0, False)
    new = found[-1][0]
    (highest,) = connection.execute("SELECT max(hlc) FROM _sync_hub_log WHERE seq <= ?", (new,)).fetchone()
    connection.execute(
        "UPDATE _sync_hub SET floor = ?1, floor_hlc = max(floor_hlc, ?2), compacted = max(compacted, ?1)",
        (new, highest),
    )
    connection.execute("DELETE FROM _sync_hub_log WHERE seq < ?", (new,))
    connection.execute("DELETE FROM _sync_hub_mark WHERE seq < ?", (new,))
    return Removed(len(found) - 1, len(found) > limit)


def uncompacted(connection: sqlite3.Connection, layout: Layout, newest: int, limit: int) -> list[LogEntry]:
    """The next entries to look through."""
    start, lowest = connection.execute("SELECT compacted, floor FROM _sync_hub").fetchone()
    names = ["seq", "op", "hlc", "origin", "old IS NOT NULL", "tbl", *numbered("k", layout.keys)]
    first = len(names)
    rows = connection.execute(
        f"SELECT {commas([*names, *mask_columns(layout.words)])} FROM _sync_hub_log"
        " WHERE seq > ? AND seq < ? ORDER BY seq LIMIT ?",
        (max(start, lowest), newest, limit),
    )
    return [
        LogEntry(seq, _typed(more[: first - 5]), op, join_mask(more[first - 5 :]), hlc, origin, bool(keeps))
        for seq, op, hlc, origin, keeps, *more in rows
    ]


def take_out(connection: sqlite3.Connection, gone: Sequence[int], upto: int) -> None:
    """Compacted entries go, a mark of each stays."""
    numbers = [(seq,) for seq in gone]
    connection.executemany(
        "INSERT INTO _sync_hub_mark SELECT seq, nonce FROM _sync_hub_log WHERE seq = ?", numbers
    )
    connection.executemany("DELETE FROM _sync_hub_log WHERE seq = ?", numbers)
    connection.execute("UPDATE _sync_hub SET compacted = ?", (upto,))


def _typed(key: Sequence[object]) -> tuple[object, ...]:
    """A key that 1 and 1.0 do not share."""
    return tuple((type(value), value) for value in key)
