"""Whether anybody but one replica has written to a table since a place in the log.

A push asks that first, while it holds the write lock. Of a replica that pushes and never pulls nearly all
entries since are its own, more with every push. So what the log was found to end with is noted with the
ledger's settings, by table: whoever asks next goes through the entries that came since.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field

from syncline.databases.base import Ledger
from syncline.databases.sqlite.dialect import SqliteLedgerSession

FEW = 1_000
"""So many entries are gone through rather than noted."""

NAME = "newest entries"
"""Under which setting it is kept."""

Last = list[tuple[str, int]]
"""The newest entry of a table, and the newest one that is not of the same origin: origins and numbers."""


@dataclass(slots=True)
class Newest:
    """What the log up to the entry `upto` ends with, by table."""

    upto: int = 0
    tables: dict[int, Last] = field(default_factory=dict)

    def add(self, found: Iterable[tuple[int, str, int]]) -> None:
        """Table, origin and number of newer entries, the newest of each table and origin."""
        for table, origin, seq in found:
            last = dict(self.tables.get(table, ()))
            last[origin] = max(seq, last.get(origin, 0))
            self.tables[table] = sorted(last.items(), key=lambda one: one[1], reverse=True)[:2]
            self.upto = max(self.upto, seq)

    def of_others(self, table: int, replica: str) -> int:
        """The newest entry of a table that is not the replica's own; 0 if there is none."""
        return max((seq for origin, seq in self.tables.get(table, ()) if origin != replica), default=0)


def has_others(connection: sqlite3.Connection, table: int, replica: str, floor: int) -> bool:
    """Whether the log has entries above `floor` that are not the replica's own. In a transaction that
    writes. True, too, if those are gone that there were."""
    (end,) = connection.execute("SELECT coalesce(max(seq), 0) FROM _sync_hub_log").fetchone()
    if end - floor <= FEW:
        sql = "SELECT 1 FROM _sync_hub_log WHERE seq > ? AND tbl = ? AND origin <> ? LIMIT 1"
        return connection.execute(sql, (floor, table, replica)).fetchone() is not None
    ledger = Ledger(SqliteLedgerSession(connection))
    newest = _read(ledger.setting(NAME))
    before = newest.upto
    newest.add(
        connection.execute(
            "SELECT tbl, origin, max(seq) FROM _sync_hub_log WHERE seq > ? GROUP BY tbl, origin", (before,)
        )
    )
    if newest.upto - before > FEW:
        ledger.set(NAME, json.dumps([newest.upto, list(newest.tables.items())]))
    return newest.of_others(table, replica) > floor


def _read(kept: str | None) -> Newest:
    if kept is None:
        return Newest()
    upto, tables = json.loads(kept)
    return Newest(upto, {table: [(origin, seq) for origin, seq in last] for table, last in tables})
