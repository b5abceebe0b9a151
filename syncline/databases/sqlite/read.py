"""Step 10, pull: log entries since a position, rows by key, chunks of a hydrate; all as of one instant."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from syncline.databases.sqlite import retention
from syncline.databases.sqlite.layout import Layout, Tracked
from syncline.databases.sqlite.position import Sequence as Seq
from syncline.databases.sqlite.rows import decoded
from syncline.databases.sqlite.scan import scan_statement
from syncline.hub.contract import (
    Floor,
    Former,
    Key,
    LogPage,
    Position,
    Standing,
    Take,
    Told,
    former_of,
    present_columns,
    refused_watermark,
)
from syncline.model.masks import join_mask, mask_columns
from syncline.model.values import Value
from syncline.sqlitekit.sql import commas, numbered, quote

_DIRECT = 200
"""Up to so many keys are bound straight into the statement; more go through a temporary table."""


def newest(connection: sqlite3.Connection) -> Seq:
    """The position behind the newest entry, be it pruned or compacted away."""
    row = connection.execute(
        "SELECT * FROM"
        " (SELECT * FROM (SELECT seq, coalesce(nonce, hlc) FROM _sync_hub_log ORDER BY seq DESC LIMIT 1)"
        " UNION ALL SELECT * FROM (SELECT seq, mark FROM _sync_hub_mark ORDER BY seq DESC LIMIT 1))"
        " ORDER BY seq DESC LIMIT 1"
    ).fetchone()
    return Seq(*row) if row else Seq(0)


class LogReader:
    """The contract's `ReadLog` over a connection inside a transaction."""

    def __init__(self, connection: sqlite3.Connection, layout: Layout) -> None:
        self.connection = connection
        self.layout = layout

    def now(self) -> Seq:
        return newest(self.connection)

    def former(self, after: Position, table: int, keys: Sequence[Key]) -> dict[Key, Former]:
        """Keys go through a temporary table, the entries since the position are gone through once."""
        tracked = self.layout.tracked[table]
        if not keys:
            return {}
        given = RowReader(self.connection, self.layout).load_keys(tracked, keys)
        masks = commas(f"l.{name}" for name in mask_columns(tracked.words))
        rows = self.connection.execute(
            f"SELECT s.rowid, l.op, l.old, {masks} FROM _sync_hub_log AS l JOIN {given} AS s"
            f" ON {tracked.logged('s')} WHERE l.seq > ? AND l.tbl = ? ORDER BY l.seq",
            (seq_of(after).seq, tracked.n),
        )
        found: dict[int, list[Told]] = {}
        for number, op, old, *words in rows:
            found.setdefault(number, []).append(_told(tracked, op, join_mask(words), old))
        return {keys[number - 1]: former_of(told, tracked.before) for number, told in found.items()}

    def floor(self) -> Floor:
        return retention.floor(self.connection)

    def standings(self, positions: Sequence[Position]) -> list[Standing]:
        return retention.standings(self.connection, [seq_of(position) for position in positions], self.now())

    def behind(self, position: Position, at_most: int) -> int:
        (count,) = self.connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM _sync_hub_log WHERE seq > ? LIMIT ?)",
            (seq_of(position).seq, at_most),
        ).fetchone()
        return int(count)

    def entries(self, after: Position, without: str, limit: int) -> LogPage:
        after = seq_of(after)
        now = self.now()
        (standing,) = retention.standings(self.connection, [after], now)
        if standing != "sound":
            raise refused_watermark(standing)
        columns = [
            "seq",
            "tbl",
            "op",
            "hlc",
            *numbered("k", self.layout.keys),
            *mask_columns(self.layout.words),
        ]
        found = self.connection.execute(
            f"SELECT {commas(columns)} FROM _sync_hub_log WHERE seq > ? AND origin <> ? ORDER BY seq LIMIT ?",
            (after.seq, without, limit + 1),
        ).fetchall()
        more = len(found) > limit
        if more:
            found.pop()
        end = retention.position_at(self.connection, found[-1][0]) if more else now
        return LogPage(self._coalesced(found), end, more, max((entry[3] for entry in found), default=0))

    def _coalesced(self, found: Sequence[tuple[Any, ...]]) -> dict[int, list[tuple[Key, int]]]:
        """One (key, mask) a row; a row of M entries alone counts only if it is really gone."""
        masks: dict[int, dict[Key, int]] = {}
        certain: dict[int, set[Key]] = {}
        first = 4 + self.layout.keys
        for entry in found:
            tracked = self.layout.tracked.get(entry[1])
            if tracked is None:
                continue
            key = entry[4 : 4 + tracked.arity]
            group = masks.setdefault(tracked.n, {})
            if entry[2] == "M":
                group.setdefault(key, 0)
                continue
            mask = join_mask(entry[first:]) if entry[2] == "U" else tracked.table.all_mask
            group[key] = group.get(key, 0) | mask
            certain.setdefault(tracked.n, set()).add(key)
        return {
            number: kept
            for number, group in masks.items()
            if (kept := self._really_touched(number, group, certain.get(number, set())))
        }

    def _really_touched(self, number: int, group: dict[Key, int], certain: set[Key]) -> list[tuple[Key, int]]:
        tracked = self.layout.tracked[number]
        if len(certain) == len(group):
            return present_columns(group, tracked.table)
        doubtful = [key for key in group if key not in certain]
        rows = RowReader(self.connection, self.layout)
        present = {tuple(row) for row in rows.find(number, doubtful, [])}
        whole = tracked.table.all_mask
        left = {
            key: mask if key in certain else whole
            for key, mask in group.items()
            if key in certain or key not in present
        }
        return present_columns(left, tracked.table)


class RowReader:
    """The contract's `ReadRows` over a connection inside a transaction."""

    def __init__(self, connection: sqlite3.Connection, layout: Layout) -> None:
        self.connection = connection
        self.layout = layout

    def find(self, table: int, keys: Sequence[Key], columns: Sequence[int]) -> list[list[Value]]:
        tracked = self.layout.tracked[table]
        chosen = commas(tracked.key_of("t") + tracked.values_of("t", columns))
        names = numbered("k", tracked.arity)
        body = f"SELECT {chosen} FROM s CROSS JOIN {tracked.name} AS t WHERE {tracked.join('t', 's')}"
        if len(keys) <= _DIRECT:
            if not keys:
                return []
            marks = commas([f"({commas('?' * tracked.arity)})"] * len(keys))
            sql = f"WITH s ({commas(names)}) AS (VALUES {marks}) {body}"
            found: Iterable[tuple[Value, ...]] = self.connection.execute(
                sql, [v for key in keys for v in key]
            )
        else:
            temporary = self.load_keys(tracked, keys)
            found = self.connection.execute(body.replace("FROM s ", f"FROM {temporary} AS s ", 1))
        return list(map(list, found))

    def load_keys(self, tracked: Tracked, keys: Sequence[Key]) -> str:
        name = f"temp._sync_keys{tracked.arity}"
        names = commas(numbered("k", tracked.arity))
        self.connection.execute(f"CREATE TEMP TABLE IF NOT EXISTS {name[5:]} ({names})")
        self.connection.execute(f"DELETE FROM {name}")
        self.connection.executemany(f"INSERT INTO {name} VALUES ({commas('?' * tracked.arity)})", keys)
        return name

    def chunk(
        self, table: int, after: Key | None, limit: int, columns: Sequence[int] | None = None
    ) -> list[list[Value]]:
        """Rows whose key is NULL have no identity and are left out."""
        tracked = self.layout.tracked[table]
        key = tracked.key_of("t")
        tests = [f"t.{quote(c.name)} IS NOT NULL" for c in tracked.table.keys if c.nullable]
        if after is not None:
            marks = commas("?" * tracked.arity)
            tests.append(f"({commas(key)}) > ({marks})" if tracked.arity > 1 else f"{key[0]} > ?")
        found = self.connection.execute(
            f"SELECT {commas(key + tracked.values_of('t', columns))} FROM {tracked.name} AS t"
            f" WHERE {' AND '.join(tests) or '1'} ORDER BY {commas(key)} LIMIT ?",
            (*(after or ()), limit),
        )
        return list(map(list, found))

    @contextmanager
    def scan(self, table: int, after: Key | None, upto: Key | None) -> Iterator[Take]:
        sql, bound = scan_statement(self.layout.tracked[table], after, upto)
        cursor = self.connection.execute(sql, bound)
        try:
            yield cursor.fetchmany
        finally:
            cursor.close()

    def estimate(self) -> int:
        total = 0
        for tracked in self.layout.tracked.values():
            total += self.connection.execute(f"SELECT count(*) FROM {tracked.name}").fetchone()[0]
        return total


def _told(tracked: Tracked, op: str, mask: int, old: str | None) -> Told:
    kept = {} if old is None else decoded(old)
    values = {n: kept[n] for n in tracked.before if n in kept}
    return Told(op, mask, values if old is not None and len(values) == len(tracked.before) else None)


def seq_of(position: Position) -> Seq:
    """A position that is one of this kind of database."""
    assert isinstance(position, Seq)
    return position
