"""Compacting a log in one table: which entries a later one covers (`hub.contract.compaction`).

They are looked for in SQL, in a transaction that reads, so that nobody waits: of the next entries each is
compared with all of its row in the million that follow. One UPDATE of all rows, again and again, puts that
many between the two of a pair. What is set aside meanwhile stands in the database (law L11). Entries never
change, so that what was found stays true until it is taken out, a bounded step a transaction.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from syncline.databases.base.dialect import LedgerSession, Statements, Value
from syncline.hub.contract import Coverable
from syncline.model.operations import PARTIAL

_WHOLE = f"CASE WHEN op IN {PARTIAL} THEN 0 ELSE 1 END"


class Compaction(ABC):
    """Looks for covered entries; what a log has for columns, and how its rows are compared."""

    last: ClassVar[str]
    """Of a group of entries: the highest `seq`, called so, and the `hlc` of that entry."""

    def __init__(self, session: LedgerSession, keys: Sequence[str], words: Sequence[str]) -> None:
        """The log has these columns for keys and words of masks."""
        self._session, self._log = session, Statements(session, "ordered.sql")
        self._keys, self._words = keys, words

    @abstractmethod
    def set_aside(self, name: str, query: str, row: Sequence[str], *values: Value) -> str:
        """Keep what a query gives in a temporary table with an index on `row`; what it is called."""

    @abstractmethod
    def free(self, tables: Sequence[str]) -> None:
        """These go."""

    @abstractmethod
    def is_same(self, left: str, right: str) -> str:
        """The condition that two values are equal, or both NULL."""

    def told_apart(self, key: str) -> Sequence[str]:
        """What else than its value tells a key: of equal ones it may differ. Nothing, in most databases."""
        return []

    def covers(self, wide: str, narrow: str) -> str:
        """The condition that a word of a mask has all bits of another one. Either may be NULL."""
        return f"coalesce({wide}, 0) & coalesce({narrow}, 0) = coalesce({narrow}, 0)"

    def find(self, newest: int, limit: int, ahead: int) -> Coverable:
        """The covered ones of the next `limit` entries that were not looked through, below the newest, which
        is never looked at, compared with those of the next `ahead`. A row with an entry M (perhaps removed)
        is left alone: what an M means depends on what follows it."""
        ((floor, compacted),) = self._log.run("progress")
        start = max(floor, compacted)
        upto, horizon = (self._place(start, newest, count) for count in (limit, ahead))
        if upto <= start:
            return Coverable([], start, False)
        row, log = ["tbl", *self._keys], self._session.dialect.table("log")
        named, words = ", ".join(row), ", ".join(self._words)
        given = f"FROM {log} AS n WHERE seq > ? AND seq <= ?"
        old = self.set_aside(
            "old",
            f"SELECT seq, nonce, hlc, origin, {named}, {words} {given} AND op = 'U' AND old IS NULL",
            row,
            start,
            upto,
        )
        kinds = ", ".join([named, *self._apart(""), words, _WHOLE, "origin"])
        later = self.set_aside(
            "later",
            f"SELECT {self.last}, origin, {_WHOLE} AS whole, {named}, {words} {given} AND op <> 'M'"
            f" AND EXISTS (SELECT 1 FROM {old} AS o WHERE {self._same()}) GROUP BY {kinds}",
            row,
            start,
            horizon,
        )
        doubt = self.set_aside("doubt", f"SELECT DISTINCT {named} {given} AND op = 'M'", row, start, horizon)
        gone = self._session.run(self._covered(old, later, doubt))
        self.free([old, later, doubt])
        return Coverable(gone, upto, upto < newest - 1)

    def _place(self, start: int, newest: int, count: int) -> int:
        """The number by which `count` entries above `start` and below the newest have passed."""
        ((passed, last),) = self._log.run("passed", start, newest, max(1, count))
        return int(last) if passed >= max(1, count) else newest - 1

    def _covered(self, old: str, later: str, doubt: str) -> str:
        pairs = zip(self._apart("n."), self._apart("o."), strict=True)
        alike = [f"{one} = {other}" for one, other in pairs]
        wide = " AND ".join(self.covers(f"n.{word}", f"o.{word}") for word in self._words)
        tests = [
            self._same(),
            *alike,
            "n.seq > o.seq",
            f"(n.whole = 1 OR ({wide}))",
            "n.origin IN (o.origin, 'hub')",
            "(n.hlc > o.hlc OR (n.hlc = o.hlc AND n.origin >= o.origin))",
        ]
        return (
            f"SELECT o.seq, o.nonce FROM {old} AS o"
            f" WHERE EXISTS (SELECT 1 FROM {later} AS n WHERE {' AND '.join(tests)})"
            f" AND NOT EXISTS (SELECT 1 FROM {doubt} AS n WHERE {self._same()}) ORDER BY o.seq"
        )

    def _same(self) -> str:
        """The condition that two entries are of one row."""
        return " AND ".join(self.is_same(f"n.{name}", f"o.{name}") for name in ("tbl", *self._keys))

    def _apart(self, alias: str) -> list[str]:
        return [test for key in self._keys for test in self.told_apart(f"{alias}{key}")]
