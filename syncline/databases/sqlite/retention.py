"""What the log of a SQLite centre no longer holds: the floor, marks of removed entries, pruning, compaction.

The entry at the floor stays, so that the log always has a newest entry. Of every other entry that is
compacted away a mark stays, its number and what tells it apart, until the floor has passed it: a position
may end there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from syncline.databases.sqlite.layout import Layout
from syncline.databases.sqlite.position import Sequence as Seq
from syncline.hub.contract import Floor, Removed, Standing
from syncline.hub.contract.compaction import LogEntry, covered
from syncline.model.masks import join_mask, mask_columns
from syncline.sqlitekit.sql import commas, numbered


def newest(connection: sqlite3.Connection) -> Seq:
    """The position behind the newest entry, be it pruned or compacted away."""
    row = connection.execute(
        "SELECT * FROM"
        " (SELECT * FROM (SELECT seq, nonce FROM _sync_hub_log ORDER BY seq DESC LIMIT 1)"
        " UNION ALL SELECT * FROM (SELECT seq, mark FROM _sync_hub_mark ORDER BY seq DESC LIMIT 1))"
        " ORDER BY seq DESC LIMIT 1"
    ).fetchone()
    return Seq(*row) if row else Seq(0)


def floor_seq(connection: sqlite3.Connection) -> int:
    """The entry at which the log begins; it has been seen by every sound position."""
    return int(connection.execute("SELECT floor FROM _sync_hub").fetchone()[0])


def floor(connection: sqlite3.Connection) -> Floor:
    """Where the log begins."""
    seq, hlc = connection.execute("SELECT floor, floor_hlc FROM _sync_hub").fetchone()
    return Floor(position_at(connection, seq), hlc)


def position_at(connection: sqlite3.Connection, seq: int) -> Seq:
    """The position that has seen everything up to an entry."""
    return Seq(seq, _mark_at(connection, seq))


def _mark_at(connection: sqlite3.Connection, seq: int) -> int:
    """What tells this entry from one of the same number in another past; 0 if there is none."""
    row = connection.execute(
        "SELECT nonce FROM _sync_hub_log WHERE seq = ?1"
        " UNION ALL SELECT mark FROM _sync_hub_mark WHERE seq = ?1",
        (seq,),
    ).fetchone()
    return int(row[0]) if row else 0


def standings(connection: sqlite3.Connection, positions: Sequence[Seq], now: Seq) -> list[Standing]:
    """What each position is worth. Those at the newest entry, nearly all, need no look at the log."""
    if all(position == now for position in positions):
        return ["sound"] * len(positions)
    lowest = floor_seq(connection)
    known: dict[Seq, Standing] = {}
    for position in positions:
        if position not in known:
            known[position] = _standing(connection, position, now, lowest)
    return [known[position] for position in positions]


def _standing(connection: sqlite3.Connection, position: Seq, now: Seq, lowest: int) -> Standing:
    if position.seq > now.seq:
        return "restored"
    if position.seq < lowest:
        return "pruned"
    if position.mark and _mark_at(connection, position.seq) != position.mark:
        return "restored"
    return "sound"


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


def compact(connection: sqlite3.Connection, layout: Layout, now: Seq, limit: int) -> Removed:
    """See the contract. The newest entry, and the one at the floor, are never looked at."""
    start, lowest = connection.execute("SELECT compacted, floor FROM _sync_hub").fetchone()
    names = [
        "seq",
        "tbl",
        *numbered("k", layout.keys),
        "op",
        "hlc",
        "origin",
        "old IS NOT NULL",
        *mask_columns(layout.words),
    ]
    rows = connection.execute(
        f"SELECT {commas(names)} FROM _sync_hub_log WHERE seq > ? AND seq < ? ORDER BY seq LIMIT ?",
        (max(start, lowest), now.seq, limit),
    ).fetchall()
    if not rows:
        return Removed(0, False)
    width = 2 + layout.keys
    entries = [
        LogEntry(
            row[0], _typed(row[1:width]), row[width], join_mask(row[width + 4 :]), *row[width + 1 : width + 4]
        )
        for row in rows
    ]
    gone = [(seq,) for seq in covered(entries)]
    connection.executemany(
        "INSERT INTO _sync_hub_mark SELECT seq, nonce FROM _sync_hub_log WHERE seq = ?", gone
    )
    connection.executemany("DELETE FROM _sync_hub_log WHERE seq = ?", gone)
    connection.execute("UPDATE _sync_hub SET compacted = ?", (rows[-1][0],))
    return Removed(len(gone), len(rows) == limit)


def _typed(key: Sequence[object]) -> tuple[object, ...]:
    """A key that 1 and 1.0 do not share."""
    return tuple((type(value), value) for value in key)
