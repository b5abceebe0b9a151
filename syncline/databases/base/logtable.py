"""The change log where all tables have one, in the order of its numbers: what is the same over any database.

The log is the table `log` of the dialect: `seq`, a number that the database gives and never gives again;
`tbl`, the number of the tracked table; `op`, `hlc`, `origin`; `old`, old values as the adapter keeps them;
`nonce`, a random number; the key in k0..., as many as any table needs, and the words of the mask. Where
columns have types, the key is what `into_log` of the shape makes of it, and read as `read_keys` says. Of
entries that are gone but at which a position may end the table `mark` keeps `seq` and the nonce, as `mark`.
The table `state` has `floor`, below which entries are gone, `floor_hlc`, above every HLC of theirs,
`compacted`, up to which the log was looked through, and `lost`, the entry until which capture was missing
somewhere.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic

from syncline.databases.base.bases import Bases
from syncline.databases.base.compacting import Compaction
from syncline.databases.base.dialect import Dialect, LedgerSession, Statements
from syncline.databases.base.ledger import Ledger
from syncline.databases.base.ordered import Bounds, OrderedLog, Upto, own
from syncline.databases.base.others import OtherWriters
from syncline.databases.base.shape import BaseShape, S
from syncline.databases.base.tables import Column, Table
from syncline.hub.contract import Coverable, Key, Position, Removed, present_columns
from syncline.model.masks import join_mask, mask_columns, words_for
from syncline.model.schema import Schema

LOG = Table(
    name="log",
    columns=(
        Column("seq", "serial"),
        Column("tbl", "integer"),
        Column("op", "text"),
        Column("hlc", "integer"),
        Column("origin", "key"),
    ),
    key=("seq",),
)
"""What an entry of no table has."""

AHEAD = 50
"""Entries are compared with so many times the limit of later ones."""

STEPS = 4
"""The entries that follow are gone through for so many steps at once."""


def statements_of(session: LedgerSession) -> Statements:
    """Those of such a log."""
    return Statements(session, "ordered.sql")


def newest(session: LedgerSession) -> Upto:
    """The position behind the newest entry."""
    rows = statements_of(session).run("newest", 1, 1, 1)
    return Upto(*rows[0]) if rows else Upto(0)


def lose(dialect: Dialect) -> list[str]:
    """Statements: what positions until now have not seen is not all in the log. A number is used up, which
    those given out from now on have seen. `clock` was moved on before."""
    names = "lost number", "lost", "keep mark of lost", "drop lost"
    return [dialect.statement(name, "ordered.sql") for name in names]


def columns_of(schema: Schema) -> list[str]:
    """The key and mask columns that the log needs for these tables: as many as the widest one has."""
    keys = max((len(table.key) for table in schema.tables), default=1)
    words = max((words_for(table.bits) for table in schema.tables), default=1)
    return [*(f"k{number}" for number in range(keys)), *mask_columns(words)]


def widths(columns: Iterable[str]) -> tuple[int, int]:
    """How many columns for keys, and for words of masks, a log of these columns has."""
    found = list(columns)
    keys = sum(1 for name in found if name[0] == "k" and name[1:].isdigit())
    return keys, sum(1 for name in found if name.startswith("mask"))


class LogTable(OrderedLog, Generic[S]):
    """The contract's `Log` over such a table, but for what rows were like before."""

    def __init__(
        self, ledger: Ledger, shapes: Mapping[int, S], widths: tuple[int, int], begun: Upto | None = None
    ) -> None:
        """`shapes` are the tracked tables by their numbers; the log has so many columns for keys and words of
        masks; `begun` is the newest entry when the transaction began, of one that writes."""
        super().__init__(ledger)
        self._session, self._log = ledger.session, statements_of(ledger.session)
        self.shapes, self._widths, self._begun = shapes, widths, begun

    @abstractmethod
    def compaction(self, keys: Sequence[str], words: Sequence[str]) -> Compaction:
        """What looks for covered entries; the columns of the log."""

    def now(self) -> Upto:
        return newest(self._session)

    def leave_mark(self) -> None:
        """Where nothing was logged, a number is used up of which the mark alone stays."""
        if self.now() != self._begun:
            return
        for seq in self._session.many(LOG, [[0, "U", 0, ""]]):
            self._log.count("keep mark", seq)
            self._log.count("drop entry", seq)

    def bounds(self) -> Bounds:
        return Bounds(*self._log.run("bounds")[0])

    def mark_at(self, seq: int) -> int:
        rows = self._log.run("mark", seq, seq)
        return int(rows[0][0]) if rows else 0

    def cut(self, target: int, limit: int) -> Removed:
        """Entries up to `target` may go, but for that at the new floor."""
        found = self._log.run("oldest", target, limit + 1)
        if len(found) < 2:
            return Removed(0, False)
        new = found[-1][0]
        ((highest,),) = self._log.run("highest", new)
        self._log.count("raise floor", new, highest, highest, new, new)
        self._log.count("drop entries", new)
        self._log.count("drop marks", new)
        return Removed(len(found) - 1, len(found) > limit)

    def behind(self, position: Position, at_most: int) -> int:
        ((count,),) = self._log.run("behind", self.own(position).seq, at_most)
        return int(count)

    def newer(self, after: int, without: str, limit: int) -> list[Sequence[Any]]:
        dialect, (keys, words) = self._session.dialect, self._columns()
        columns = ", ".join(["seq", "tbl", "hlc", "op", *keys, *words])
        where = f"seq > ? AND origin <> ? ORDER BY seq {dialect.page}"
        statement = dialect.marked(f"SELECT {columns} FROM {dialect.table('log')} WHERE {where}")
        found = list(self._session.run(statement, after, without, limit))
        for number in {entry[1] for entry in found} & self.shapes.keys():
            if not self.shapes[number].logs_portably:
                self._read_keys(self.shapes[number], found, without)
        return found

    def _read_keys(self, shape: S, found: list[Sequence[Any]], without: str) -> None:
        """Put the keys of one table's entries among those found into portable form."""
        places = {entry[0]: place for place, entry in enumerate(found) if entry[1] == shape.n}
        dialect, keys = self._session.dialect, shape.read_keys("l")
        where = "l.tbl = ? AND l.seq BETWEEN ? AND ? AND l.origin <> ?"
        statement = f"SELECT l.seq, {', '.join(keys)} FROM {dialect.table('log')} AS l WHERE {where}"
        given = shape.n, min(places), max(places), without
        for seq, *key in self._session.run(dialect.marked(statement), *given):
            entry = found[places[seq]]
            found[places[seq]] = [*entry[:4], *key, *entry[4 + len(key) :]]

    def coalesced(self, entries: Sequence[Any]) -> dict[int, list[tuple[Key, int]]]:
        shapes = self.shapes
        touched = {
            n: present_columns(masks, shapes[n].table) for n, masks in self.touched_by(entries).items()
        }
        return {n: kept for n, kept in touched.items() if kept}

    def touched_by(self, entries: Sequence[Any]) -> dict[int, dict[Key, int]]:
        """By table: the keys of all rows that entries touched, with their masks."""
        masks: dict[int, dict[Key, int]] = {}
        shapes, first = self.shapes, 4 + self._widths[0]
        for entry in entries:
            shape = shapes.get(entry[1])
            if shape is not None:
                key, group = tuple(entry[4 : 4 + shape.arity]), masks.setdefault(shape.n, {})
                mask = join_mask(entry[first:]) if entry[3] == "U" else shape.table.all_mask
                group[key] = group.get(key, 0) | mask
        return masks

    # Compacting

    def coverable(self, limit: int) -> Coverable | None:
        """Of a few steps at once: the entries that follow are gone through for all of them."""
        return self._find(limit * STEPS, limit * AHEAD)

    def compact(self, limit: int, found: Coverable | None = None) -> Removed:
        """These entries go, but for what tells them apart. Up to `upto` all were looked through."""
        found = found or self._find(limit, limit * AHEAD)
        self._log.each("keep mark of one", found.gone)
        self._log.each("drop one", found.gone)
        self._log.count("compacted", found.upto, found.upto)
        return Removed(len(found.gone), found.more)

    def _find(self, limit: int, ahead: int) -> Coverable:
        return self.compaction(*self._columns()).find(self.end(), limit, ahead)

    def _columns(self) -> tuple[list[str], list[str]]:
        """Those for keys, those for words of masks."""
        keys, words = self._widths
        return [f"k{number}" for number in range(keys)], mask_columns(words)


class Others(OtherWriters):
    """Who has written to such a log."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        self._log = statements_of(ledger.session)

    def end(self) -> int:
        return int(self._log.run("end")[0][0])

    def is_any(self, table: int, replica: str, floor: int) -> bool:
        return bool(self._log.run("others", floor, table, replica, 1))

    def last_by(self, above: int) -> Iterable[Sequence[Any]]:
        return self._log.run("last of each", above)


def floor_of(bases: Bases) -> int:
    """The entry up to which every row has seen everything."""
    return min(own(position).seq for position in bases.used)


def since(shape: BaseShape, log: str, source: str) -> str:
    """A query for the entries above a number, of a table with that number, of the rows `s` of a source, in
    the order of the log; as `Bases.rivals` takes them."""
    words = "".join(f", l.{name}" for name in shape.words)
    return (
        f"SELECT s.n, l.seq, l.op, l.hlc, l.origin{words} FROM {log} AS l {shape.JOIN} {source}"
        f" ON {shape.matches('l')} WHERE l.seq > ? AND l.tbl = ? ORDER BY l.seq"
    )
