"""Compacting: which entries of the log a later one covers (`hub.contract.compaction`), and taking them out.

They are looked for in SQL, in a transaction that reads, so that nobody waits: of the next entries each is
compared with all of its row in the million that follow. One UPDATE of all rows, again and again, puts that
many between the two of a pair. What stands in temporary tables meanwhile SQLite keeps on disk (law L11).
Entries never change, so that what was found stays true until it is taken out, a bounded step a transaction.
"""

from __future__ import annotations

import sqlite3

from syncline.databases.sqlite.layout import Layout
from syncline.hub.contract import Coverable
from syncline.model.masks import mask_columns
from syncline.model.operations import PARTIAL
from syncline.sqlitekit.sql import commas, numbered

AHEAD = 50
"""Entries are compared with so many times the limit of later ones."""

STEPS = 4
"""The entries that follow are gone through for so many steps at once."""

OLD, LATER, DOUBT = "temp._sync_old", "temp._sync_later", "temp._sync_doubt"


def find(connection: sqlite3.Connection, layout: Layout, newest: int, limit: int, ahead: int) -> Coverable:
    """The covered ones of the next `limit` entries that were not looked through, below the newest, which is
    never looked at, compared with those of the next `ahead`. A row with an entry M (perhaps removed) is left
    alone: what an M means depends on what follows it."""
    run = connection.execute
    compacted, floor = run("SELECT compacted, floor FROM _sync_hub").fetchone()
    start = max(compacted, floor)
    upto, horizon = (_place(connection, start, newest, count) for count in (limit, ahead))
    if upto <= start:
        return Coverable([], start, False)
    keys = numbered("k", layout.keys)
    row = commas(["tbl", *keys])
    words = mask_columns(layout.words)
    same = " AND ".join(f"n.{key} IS o.{key}" for key in ("tbl", *keys))
    alike = " AND ".join(f"typeof(n.{key}) = typeof(o.{key})" for key in keys)  # 1 and 1.0 are two keys
    wide = " AND ".join(
        f"coalesce(n.{word}, 0) & coalesce(o.{word}, 0) = coalesce(o.{word}, 0)" for word in words
    )
    kinds = commas([row, *(f"typeof({key})" for key in keys), *words, f"op NOT IN {PARTIAL}", "origin"])
    for table in (OLD, LATER, DOUBT):
        run(f"DROP TABLE IF EXISTS {table}")
    run(
        f"CREATE TEMP TABLE _sync_old AS SELECT seq, nonce, hlc, origin, {row}, {commas(words)}"
        " FROM _sync_hub_log WHERE seq > ? AND seq <= ? AND op = 'U' AND old IS NULL",
        (start, upto),
    )
    run(f"CREATE INDEX temp._sync_old_row ON _sync_old ({row})")
    of_these = f"EXISTS (SELECT 1 FROM {OLD} AS o WHERE {same})"
    run(
        "CREATE TEMP TABLE _sync_later AS SELECT max(seq) AS seq, hlc, origin,"
        f" op NOT IN {PARTIAL} AS whole, {row}, {commas(words)} FROM _sync_hub_log AS n"
        f" WHERE seq > ? AND seq <= ? AND op <> 'M' AND {of_these} GROUP BY {kinds}",
        (start, horizon),
    )
    run(f"CREATE INDEX temp._sync_later_row ON _sync_later ({row})")
    run(
        f"CREATE TEMP TABLE _sync_doubt AS SELECT DISTINCT {row} FROM _sync_hub_log"
        " WHERE seq > ? AND seq <= ? AND op = 'M'",
        (start, horizon),
    )
    gone = run(
        f"SELECT o.seq, o.nonce FROM {OLD} AS o WHERE EXISTS (SELECT 1 FROM {LATER} AS n WHERE {same}"
        f" AND {alike} AND n.seq > o.seq AND (n.whole OR ({wide})) AND n.origin IN (o.origin, 'hub')"
        " AND (n.hlc, n.origin) >= (o.hlc, o.origin))"
        f" AND NOT EXISTS (SELECT 1 FROM {DOUBT} AS n WHERE {same}) ORDER BY o.seq"
    ).fetchall()
    for table in (OLD, LATER, DOUBT):
        run(f"DROP TABLE {table}")
    return Coverable(gone, upto, upto < newest - 1)


def _place(connection: sqlite3.Connection, start: int, newest: int, count: int) -> int:
    """The number by which `count` entries above `start` and below the newest have passed."""
    behind = "FROM _sync_hub_log WHERE seq > ? AND seq < ? ORDER BY seq"
    row = connection.execute(
        f"SELECT seq {behind} LIMIT 1 OFFSET ?", (start, newest, max(0, count - 1))
    ).fetchone()
    return row[0] if row else newest - 1


def take_out(connection: sqlite3.Connection, found: Coverable) -> None:
    """These entries go, but for what tells them apart. Up to `upto` all were looked through."""
    run = connection.executemany
    run(
        "INSERT INTO _sync_hub_mark SELECT seq, nonce FROM _sync_hub_log WHERE seq = ? AND nonce = ?",
        found.gone,
    )
    run("DELETE FROM _sync_hub_log WHERE seq = ? AND nonce = ?", found.gone)
    connection.execute("UPDATE _sync_hub SET compacted = max(compacted, ?)", (found.upto,))
