"""Step 10, pull: log entries since a position, what rows were like at one, and what goes from the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from syncline.databases.base import Ledger
from syncline.databases.base.log import formers
from syncline.databases.base.ordered import Upto
from syncline.databases.sqlite.layout import Shape
from syncline.databases.sqlite.read import RowReader
from syncline.databases.sqlite.replaced import PERHAPS, really_touched
from syncline.databases.sqlite.retention import KeptLog
from syncline.databases.sqlite.rows import decoded
from syncline.hub.contract import Former, Key, LogPage, Position, Told, present_columns
from syncline.model.masks import join_mask, mask_columns
from syncline.sqlitekit.sql import commas, numbered


class SqliteLog(KeptLog):
    """The contract's `Log`; it asks `rows` what is there now."""

    def __init__(self, rows: RowReader, ledger: Ledger, begun: tuple[int, int] | None = None) -> None:
        super().__init__(rows.connection, rows.layout, ledger, begun)
        self._rows = rows

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

    def page(self, after: Upto, present: Upto, without: str, limit: int) -> LogPage:
        layout = self._layout
        columns = ["seq", "tbl", "op", "hlc", *numbered("k", layout.keys), *mask_columns(layout.words)]
        found = self._connection.execute(
            f"SELECT {commas(columns)} FROM _sync_hub_log WHERE seq > ? AND origin <> ? ORDER BY seq LIMIT ?",
            (after.seq, without, limit + 1),
        ).fetchall()
        more = len(found) > limit
        if more:
            found.pop()
        end = self.at(found[-1][0]) if more else present
        return LogPage(self._coalesced(found), end, more, max((entry[3] for entry in found), default=0))

    def _coalesced(self, found: Sequence[tuple[Any, ...]]) -> dict[int, list[tuple[Key, int]]]:
        """One (key, mask) a row; a row of M entries alone counts only if it is really gone."""
        masks: dict[int, dict[Key, int]] = {}
        certain: dict[int, set[Key]] = {}
        first = 4 + self._layout.keys
        for entry in found:
            shape = self._layout.shapes.get(entry[1])
            if shape is None:
                continue
            key = entry[4 : 4 + shape.arity]
            group = masks.setdefault(shape.n, {})
            if entry[2] == PERHAPS:
                group.setdefault(key, 0)
                continue
            mask = join_mask(entry[first:]) if entry[2] == "U" else shape.table.all_mask
            group[key] = group.get(key, 0) | mask
            certain.setdefault(shape.n, set()).add(key)
        touched = {}
        for number, group in masks.items():
            shape, sure = self._layout.shapes[number], certain.get(number, set())
            left = really_touched(self._rows, shape, group, group.keys() - sure)
            if kept := present_columns(left, shape.table):
                touched[number] = kept
        return touched


def _told(shape: Shape, op: str, mask: int, old: str | None) -> Told:
    kept = {} if old is None else decoded(old)
    values = {n: kept[n] for n in shape.before if n in kept}
    return Told(op, mask, values if old is not None and len(values) == len(shape.before) else None)
