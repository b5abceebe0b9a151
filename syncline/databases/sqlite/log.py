"""Step 10, pull: log entries since a position, what rows were like at one, and what goes from the log."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from syncline.databases.base import Ledger
from syncline.databases.base.log import formers
from syncline.databases.base.ordered import Bounds, OrderedLog, Upto
from syncline.databases.sqlite import compact
from syncline.databases.sqlite.layout import Shape
from syncline.databases.sqlite.read import RowReader
from syncline.databases.sqlite.replaced import PERHAPS, add_removed
from syncline.databases.sqlite.rows import decoded
from syncline.hub.contract import Coverable, Former, Key, Position, Removed, Told, present_columns
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


class SqliteLog(OrderedLog):
    """The contract's `Log`; it asks `rows` what is there now."""

    def __init__(self, rows: RowReader, ledger: Ledger, begun: tuple[int, int] | None = None) -> None:
        """`begun`: the newest entry when the transaction began, of one that writes."""
        super().__init__(ledger)
        self._rows, self._connection, self._layout = rows, rows.connection, rows.layout
        self._begun = begun

    def now(self) -> Upto:
        return Upto(*newest(self._connection))

    def leave_mark(self) -> None:
        """Where nothing was logged, a number is used up of which the mark alone stays."""
        if newest(self._connection) != self._begun:
            return
        run = self._connection.execute
        seq = run("INSERT INTO _sync_hub_log (tbl, op, hlc, origin) VALUES (0, 'U', 0, '')").lastrowid
        run("INSERT INTO _sync_hub_mark SELECT seq, nonce FROM _sync_hub_log WHERE seq = ?", (seq,))
        run("DELETE FROM _sync_hub_log WHERE seq = ?", (seq,))

    def bounds(self) -> Bounds:
        return Bounds(*self._connection.execute("SELECT floor, floor_hlc, lost FROM _sync_hub").fetchone())

    def mark_at(self, seq: int) -> int:
        row = self._connection.execute(
            "SELECT nonce FROM _sync_hub_log WHERE seq = ?1"
            " UNION ALL SELECT mark FROM _sync_hub_mark WHERE seq = ?1",
            (seq,),
        ).fetchone()
        return int(row[0]) if row else 0

    def cut(self, target: int, limit: int) -> Removed:
        """Entries up to `target` may go, but for that at the new floor."""
        run = self._connection.execute
        found = run(
            "SELECT seq FROM _sync_hub_log WHERE seq <= ? ORDER BY seq LIMIT ?", (target, limit + 1)
        ).fetchall()
        if len(found) < 2:
            return Removed(0, False)
        new = found[-1][0]
        (highest,) = run("SELECT max(hlc) FROM _sync_hub_log WHERE seq <= ?", (new,)).fetchone()
        run(
            "UPDATE _sync_hub SET floor = ?1, floor_hlc = max(floor_hlc, ?2), compacted = max(compacted, ?1)",
            (new, highest),
        )
        run("DELETE FROM _sync_hub_log WHERE seq < ?", (new,))
        run("DELETE FROM _sync_hub_mark WHERE seq < ?", (new,))
        return Removed(len(found) - 1, len(found) > limit)

    def coverable(self, limit: int) -> Coverable | None:
        """Of a few steps at once: the entries that follow are gone through for all of them."""
        return self._find(limit * compact.STEPS, limit * compact.AHEAD)

    def compact(self, limit: int, found: Coverable | None = None) -> Removed:
        found = found or self._find(limit, limit * compact.AHEAD)
        compact.take_out(self._connection, found)
        return Removed(len(found.gone), found.more)

    def _find(self, limit: int, ahead: int) -> Coverable:
        return compact.find(self._connection, self._layout, self.end(), limit, ahead)

    def behind(self, position: Position, at_most: int) -> int:
        ((count,),) = self._connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM _sync_hub_log WHERE seq > ? LIMIT ?)",
            (self.own(position).seq, at_most),
        )
        return int(count)

    def former(self, after: Position, table: int, keys: Sequence[Key]) -> dict[Key, Former]:
        """Keys go through a temporary table, the entries since the position are gone through once."""
        shape = self._layout.shapes[table]
        if not keys:
            return {}
        given = self._rows.load_keys(shape, keys)
        masks = commas(f"l.{name}" for name in shape.words)
        rows = self._connection.execute(
            f"SELECT s.rowid, l.op, l.old, {masks} FROM _sync_hub_log AS l JOIN {given} AS s"
            f" ON {shape.matches('l')} WHERE l.seq > ? AND l.tbl = ? ORDER BY l.seq",
            (self.own(after).seq, shape.n),
        )
        told = ((n, _told(shape, op, join_mask(words), old)) for n, op, old, *words in rows)
        return formers(keys, told, shape.before)

    def newer(self, after: int, without: str, limit: int) -> list[tuple[Any, ...]]:
        layout = self._layout
        columns = ["seq", "tbl", "hlc", "op", *numbered("k", layout.keys), *mask_columns(layout.words)]
        return self._connection.execute(
            f"SELECT {commas(columns)} FROM _sync_hub_log WHERE seq > ? AND origin <> ? ORDER BY seq LIMIT ?",
            (after, without, limit),
        ).fetchall()

    def coalesced(self, entries: Sequence[tuple[Any, ...]]) -> dict[int, list[tuple[Key, int]]]:
        masks: dict[int, dict[Key, int]] = {}
        perhaps: dict[int, set[Key]] = {}
        shapes, first = self._layout.shapes, 4 + self._layout.keys
        for entry in entries:
            shape = shapes.get(entry[1])
            if shape is None:
                continue
            key = entry[4 : 4 + shape.arity]
            group = masks.setdefault(shape.n, {})
            if entry[3] == PERHAPS:
                perhaps.setdefault(shape.n, set()).add(key)
            else:
                mask = join_mask(entry[first:]) if entry[3] == "U" else shape.table.all_mask
                group[key] = group.get(key, 0) | mask
        for number, keys in perhaps.items():
            add_removed(self._rows, shapes[number], masks[number], keys)
        touched = {n: present_columns(group, shapes[n].table) for n, group in masks.items()}
        return {n: kept for n, kept in touched.items() if kept}


def _told(shape: Shape, op: str, mask: int, old: str | None) -> Told:
    kept = {} if old is None else decoded(old)
    values = {n: kept[n] for n in shape.before if n in kept}
    return Told(op, mask, values if old is not None and len(values) == len(shape.before) else None)
