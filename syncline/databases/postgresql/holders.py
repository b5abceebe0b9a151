"""Who holds what a push or an `init` waits for, as PostgreSQL tells it.

A row that is locked or changed by an open transaction has its number in `xmax`, and an open transaction
holds a lock on its number: that names the session, or the transaction that somebody prepared and forgot.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import psycopg
from psycopg.errors import LockNotAvailable

from syncline.databases.base import statements
from syncline.databases.base.findings import FEW, Holder
from syncline.databases.base.holders import Bar, BaseHolders, Hold, Holding
from syncline.databases.base.shape import BaseShape
from syncline.databases.postgresql.session import BRIEF, Session
from syncline.databases.postgresql.sql import array, qualified, queries, quote
from syncline.databases.postgresql.stage import Loaded

CLOSED = ("AccessExclusiveLock",)
HELD = ("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", *CLOSED)
WRITTEN = ("RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock", *HELD)
MODES: dict[Hold, Sequence[str]] = {
    "closed": CLOSED,
    "held": HELD,
    "written": WRITTEN,
    "read": ("AccessShareLock", *WRITTEN),
}
"""The locks of those who have a table so, or in a stronger way."""


class Holders(BaseHolders[Loaded]):
    """Asked over a session."""

    remedy = "Ask whose it is, or end it: SELECT pg_terminate_backend(session), or ROLLBACK PREPARED."

    def __init__(self, session: Session) -> None:
        self._session = session

    def known_as(self, names: Sequence[str]) -> list[int]:
        return [oid for oid in self._session.value(queries("holders.sql")["oids"], list(names)) if oid]

    def parts(self, shape: BaseShape) -> list[int]:
        found: list[int] = self._session.value(queries("prepare.sql")["relids"], shape.n)
        return found

    def by(self, tables: Sequence[int], how: Hold) -> list[Holder]:
        return [Holder(*who) for _, *who, _ in self._having(tables, how)]

    def _having(self, tables: Iterable[int], how: Hold, seconds: float = 0.0) -> list[list[Any]]:
        relations = queries("holders.sql")["of relations"]
        return self._session.run(relations, list(tables), seconds, list(MODES[how]))

    def tables(self, how: Hold, *, everywhere: bool = False) -> list[tuple[int, str, str]]:
        found = self._session.run(queries("holders.sql")["held"], list(MODES[how]), everywhere)
        return [(oid, name, alone) for oid, name, alone in found]

    def of_rows(
        self, loaded: Loaded, rows: Sequence[int] | None = None, *, but: Collection[int] = ()
    ) -> dict[int, list[str]]:
        asked = f"SELECT s.n, t.xmax::text FROM {statements.joined(loaded.shape)}"
        left = [(n, xid) for n, xid in self._session.run(*loaded.over(asked, rows)) if n not in but]
        known = self._by_number([xid for _, xid in left])
        return {n: [known[xid]] if xid in known else [] for n, xid in left}

    def _by_number(self, xids: Iterable[str]) -> dict[str, str]:
        """Who holds rows with these numbers in their `xmax`, by the number. Not in it: who has ended."""
        found: dict[str, str] = {}
        for xid in dict.fromkeys(xids):
            rows = self._open([xid]) or self._open(self._members(xid))
            if rows:
                found[xid] = str(Holder(*rows[0][1:]))
        return found

    def _open(self, xids: Sequence[str]) -> list[list[Any]]:
        asked = queries("holders.sql")["of transactions"]
        return self._session.run(asked, array(list(xids))) if xids else []

    def _members(self, xid: str) -> list[str]:
        """The transactions that hold a row together; none if this is the number of a single one."""
        try:
            with self._session.savepoint():
                return [member for (member,) in self._session.run(queries("holders.sql")["members"], xid)]
        except psycopg.Error:
            return []

    def bars(self, loaded: Loaded) -> list[Bar]:
        own = self._session.value(queries("holders.sql")["oids"], [loaded.shape.name])[0]
        return [Bar(*row) for row in self._session.run(queries("holders.sql")["barred"], own)]

    def long(self, seconds: float) -> Iterator[Holding]:
        tracked = self._session.run(queries("holders.sql")["tracked"])
        tables = {oid: (n, qualified(*place)) for oid, *place, n in tracked}
        for oid, *who, xids in self._having(tables, "written", seconds):
            yield Holding(Holder(*who), *tables[oid], partial(self._keys, tables[oid][1], xids))

    def _keys(self, name: str, xids: Sequence[str], columns: Sequence[str]) -> list[str]:
        """Some keys of rows that these transactions hold."""
        if not columns or not xids:
            return []
        row = f"json_build_array({', '.join(map(quote, columns))})::text"
        statement = f"SELECT {row} FROM ONLY {name} WHERE xmax::text = ANY ($1::text[]) LIMIT {FEW + 1}"
        try:
            with self._session.savepoint():
                self._session.wait_for_locks(BRIEF)
                return [key for (key,) in self._session.run(statement, array(list(xids)))]
        except LockNotAvailable:
            return []
