"""Step 10, pull: log entries since a position, what rows were like at one, and what goes from the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from syncline.databases.base import Ledger
from syncline.databases.base.log import formers
from syncline.databases.base.logtable import LogTable
from syncline.databases.base.ordered import Upto
from syncline.databases.sqlite.compact import Compaction
from syncline.databases.sqlite.layout import Shape
from syncline.databases.sqlite.read import RowReader
from syncline.databases.sqlite.replaced import PERHAPS, add_removed
from syncline.databases.sqlite.rows import decoded
from syncline.hub.contract import Former, Key, Position, Told
from syncline.model.masks import join_mask
from syncline.sqlitekit.sql import commas


class SqliteLog(LogTable[Shape]):
    """The contract's `Log`; it asks `rows` what is there now."""

    def __init__(self, rows: RowReader, ledger: Ledger, begun: Upto | None = None) -> None:
        layout = rows.layout
        super().__init__(ledger, layout.shapes, (layout.keys, layout.words), begun)
        self._rows, self._connection = rows, rows.connection

    def former(self, after: Position, table: int, keys: Sequence[Key]) -> dict[Key, Former]:
        """Keys go through a temporary table, the entries since the position are gone through once."""
        shape = self.shapes[table]
        if not keys:
            return {}
        given, masks = self._rows.load_keys(shape, keys), commas(f"l.{name}" for name in shape.words)
        rows = self._connection.execute(
            f"SELECT s.rowid, l.op, l.old, {masks} FROM _sync_hub_log AS l JOIN {given} AS s"
            f" ON {shape.matches('l')} WHERE l.seq > ? AND l.tbl = ? ORDER BY l.seq",
            (self.own(after).seq, shape.n),
        )
        told = ((n, _told(shape, op, join_mask(words), old)) for n, op, old, *words in rows)
        return formers(keys, told, shape.before)

    def compaction(self, keys: Sequence[str], words: Sequence[str]) -> Compaction:
        return Compaction(self._connection, keys, words)

    def touched_by(self, entries: Sequence[Sequence[Any]]) -> dict[int, dict[Key, int]]:
        """With those of which there is an M alone, if they are gone."""
        doubtful = [entry for entry in entries if entry[3] == PERHAPS and entry[1] in self.shapes]
        if not doubtful:
            return super().touched_by(entries)
        masks = super().touched_by([entry for entry in entries if entry[3] != PERHAPS])
        perhaps: dict[int, set[Key]] = {}
        for entry in doubtful:
            perhaps.setdefault(entry[1], set()).add(tuple(entry[4 : 4 + self.shapes[entry[1]].arity]))
        for number, keys in perhaps.items():
            add_removed(self._rows, self.shapes[number], masks.setdefault(number, {}), keys)
        return masks


def _told(shape: Shape, op: str, mask: int, old: str | None) -> Told:
    kept = {} if old is None else decoded(old)
    values = {n: kept[n] for n in shape.before if n in kept}
    return Told(op, mask, values if old is not None and len(values) == len(shape.before) else None)
