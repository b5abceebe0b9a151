"""The log: what a position had not seen and this instant does, table by table (step 10).

New entries are those of transactions that were running in the old snapshot, and of all that began since; both
are ranges of the index on (xid, seq). An entry that this transaction can read at all is committed and
visible; while a pull takes several pages, entries newer than its target are left for the next.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from syncline.databases.base import Ledger
from syncline.databases.base.codec import mend_floats
from syncline.databases.base.former import former_rows
from syncline.databases.base.log import BaseLog, unsettled
from syncline.databases.base.page import Page
from syncline.databases.postgresql.layout import Layout, Shape
from syncline.databases.postgresql.position import Mark, Proof, Snapshot, SnapshotPosition, snapshot_position
from syncline.databases.postgresql.prune import compact, ended, floor_and_compacted, newest, prune
from syncline.databases.postgresql.session import Rows, Session
from syncline.databases.postgresql.sql import array_of, queries
from syncline.hub.contract import Coverable, Floor, Former, Key, LogPage, Position, Removed, Standing

LEAVE = (
    "INSERT INTO syncline.marks VALUES (pg_current_xact_id(), $1, pg_current_snapshot())"
    " RETURNING xid, mark, seen"
)
"""Leaves the mark $1 in this transaction. It proves what the statement sees, once that is committed."""
_LEAVE = f"WITH made AS ({LEAVE}) SELECT xid::text::int8, mark, seen::text FROM made"

EVERYTHING = SnapshotPosition("", Snapshot(f"{2**62}:{2**62}:"))
"""Has seen whatever there is."""

STRAYS = -1
"""Stands for `syncline.strays` among the numbers of tables."""

BITS = 62
"""Of a random number that is stored as a bigint and never 0."""


@dataclass(frozen=True, slots=True)
class Instant:
    """What one statement sees: the position, behind the newest entry and without a mark, where the logs
    begin, and what it was asked about a position."""

    now: SnapshotPosition
    floor: int
    lost: int
    """The transaction until which capture was missing somewhere; 0 if it never was."""
    found: Mark | None
    """That position's mark, if it is there."""
    news: Sequence[int]
    """The numbers of the tables whose log may hold something that it has not seen; and STRAYS, if there are
    changes that are in no log yet: what else their transactions did is not to be told without them."""


class PostgresLog(BaseLog[SnapshotPosition, Instant]):
    """The contract's `Log`."""

    def __init__(
        self, session: Session, layout: Layout, cluster: str, ledger: Ledger, *, writes: bool = False
    ) -> None:
        super().__init__(ledger)
        self._session, self._layout, self._cluster = session, layout, cluster
        self._writes = writes
        self._newest: Proof | None = None
        self._left: Proof | None = None

    def own(self, position: Position) -> SnapshotPosition:
        return snapshot_position(position)

    def instant(self, position: SnapshotPosition | None = None) -> Instant:
        """What is visible in this transaction (in this statement, when the transaction also writes)."""
        statement = self._layout.statement(("instant",), lambda: _asking(self._layout))
        asked = position or EVERYTHING
        rows = self._session.run(statement, *asked.mark, str(asked.seen.xmax), _running(asked.seen))
        present, self._newest = self._read(rows, asked.mark)
        return present

    def _read(self, rows: Rows, mark: Mark = EVERYTHING.mark) -> tuple[Instant, Proof | None]:
        """What `_instant` tells."""
        ((text, xid, floor, lost, is_there, news, *last),) = rows
        seen = Snapshot(text).up_to(max(floor, lost + 1, 0 if xid is None else xid + 1))
        here = SnapshotPosition(self._cluster, seen)
        present = Instant(here, floor, lost, mark if is_there else None, news)
        return present, _proof(last) if last[0] else None

    def now(self) -> SnapshotPosition:
        """One that writes leaves a mark, so that who reads need not, in the statement that looks."""
        if not self._writes or self._left is not None:
            return self.proved(self.instant().now)
        statement = self._layout.statement(("leaving",), lambda: _instant(self._layout, LEAVE))
        present, self._left = self._read(self._session.run(statement, _chosen()))
        return self.proved(present.now)

    def leave_mark(self) -> None:
        """Nothing is to be done: what gives out a position in a transaction that writes, `now` or `proved`,
        leaves a mark. One here would be a statement more for every push."""

    def proved(self, position: Position) -> SnapshotPosition:
        """The position with a mark that was left after all it has seen: the last one, or a new one."""
        found, bare = self._left or (None if self._writes else self._newest), self.own(position)
        if found is None or not found.covers(bare.seen):
            found = self._left = _proof(self._session.run(_LEAVE, _chosen())[0])
        return replace(bare, mark=found.mark)

    def worth(self, positions: Sequence[SnapshotPosition], present: Instant) -> list[Standing]:
        """One of which the numbers tell nothing is sound if its marks are there."""
        found = [_standing(position, present) for position in positions]
        pairs = list(zip(positions, found, strict=True))
        known = {present.found, *(proof.mark for proof in (self._newest, self._left) if proof is not None)}
        asked = {mark for position, standing in pairs if standing != "restored" for mark in position.marks}
        unknown = _unknown(self._session, asked - known)
        return [
            _unproven(standing, position, present) if unknown.intersection(position.marks) else standing
            for position, standing in pairs
        ]

    def page(self, after: SnapshotPosition, present: Instant, without: str, limit: int) -> LogPage:
        """One page of about `limit` entries, coalesced per row.

        A run of one page ends at `present`. A run of several ends at the instant of its first page; rows may
        have been read later than that, and what changed them is in the next run, so `more` stays true until
        a run of one page has covered everything: only then are the rows read a cut (law L5)."""
        target = after.target or present.now.seen
        places = set() if after.seen == target else {n for n in present.news if n >= after.last[0]}
        if places and STRAYS in present.news:
            raise unsettled()
        now = self.proved(present.now) if places and after.target is None else present.now
        target, target_mark = (after.target, after.target_mark) if after.target else (now.seen, now.mark)
        page = Page(self._layout.shapes, limit)
        for shape in self._layout.by_number:
            if shape.n not in places:
                continue
            if not page.add(shape, _entries(self._session, shape, after, target, without, page.room)):
                end = SnapshotPosition(
                    now.cluster, after.seen, target, page.last or after.last, after.mark, target_mark
                )
                return LogPage(page.touched(), end, True, page.hlc)
        if after.target is None:
            return LogPage(page.touched(), now if places else after, False, page.hlc)
        end = SnapshotPosition(now.cluster, target, mark=target_mark)
        return LogPage(page.touched(), end, target != now.seen, page.hlc)

    def former(self, after: Position, table: int, keys: Sequence[Key]) -> dict[Key, Former]:
        """What rows were like at a position: the old values that the log has kept since."""
        shape, seen = self._layout.shapes[table], self.own(after).seen
        bound = _running(seen), str(seen.xmax)
        return former_rows(self._session, psycopg.DataError, shape, keys, _unseen(shape), *bound)

    def floor(self) -> Floor:
        xid, hlc = self._session.run(queries("retention.sql")["floor"])[0]
        return Floor(SnapshotPosition(self._cluster, Snapshot(f"{xid}:{xid}:")), hlc)

    def behind(self, position: Position, at_most: int) -> int:
        seen = self.own(position).seen
        if not self._layout.by_number:
            return 0
        counts = [
            f"(SELECT count(*) FROM (SELECT FROM {shape.log} WHERE xid >= $1::xid8 LIMIT $3::bigint) AS a)"
            f" + (SELECT count(*) FROM {shape.log} WHERE xid = ANY ($2::xid8[]))"
            for shape in self._layout.by_number
        ]
        statement = f"SELECT {' + '.join(counts)}"
        return min(at_most, int(self._session.value(statement, str(seen.xmax), _running(seen), at_most)))

    def end(self) -> int:
        return ended(self._session)

    def begin(self) -> int:
        return floor_and_compacted(self._session)[0]

    def seen_below(self, position: SnapshotPosition) -> int:
        return position.seen.first_unseen

    def cut(self, target: int, limit: int) -> Removed:
        return prune(self._session, self._layout, target, limit)

    def coverable(self, limit: int) -> Coverable | None:
        return None

    def compact(self, limit: int, found: Coverable | None = None) -> Removed:
        return compact(self._session, self._layout, self.instant().now.seen.xmax - 1, limit)


def _asking(layout: Layout) -> str:
    """With the mark that was left last. And whether the mark $1, $2 is there, and which logs may hold
    something that a position with the xmax $3 and the running transactions $4 has not seen."""
    stray = f"SELECT {STRAYS} WHERE EXISTS (SELECT FROM syncline.strays JOIN syncline.tables USING (n))"
    news = ["SELECT 0 WHERE $3::xid8 IS NULL AND $4::xid8[] IS NULL", stray, *map(_news, layout.by_number)]
    there = "SELECT FROM syncline.marks WHERE xid = $1::bigint::text::xid8 AND mark = $2::bigint"
    asked = f"EXISTS ({there}), ARRAY({' UNION ALL '.join(news)})"
    return _instant(layout, "SELECT * FROM syncline.marks ORDER BY xid DESC LIMIT 1", asked)


def _instant(layout: Layout, last: str, asked: str = "false, '{}'::int[]") -> str:
    """With the `last` mark, and what was `asked` about a position."""
    return (
        f"WITH last AS ({last}) SELECT pg_current_snapshot()::text, n.xid::text::int8, s.floor::text::int8,"
        f" s.lost::text::int8, {asked}, m.xid::text::int8, m.mark, m.seen::text"
        f" FROM syncline.state AS s LEFT JOIN LATERAL ({newest(layout, '')}) AS n ON true"
        " LEFT JOIN last AS m ON true"
    )


def _standing(position: SnapshotPosition, present: Instant) -> Standing:
    """As far as the numbers tell."""
    if position.cluster != present.now.cluster:
        return "restored"
    if present.lost and not position.seen.sees(present.lost):
        return "lost"
    return "pruned" if position.seen.first_unseen < present.floor else "sound"


def _unproven(standing: Standing, position: SnapshotPosition, present: Instant) -> Standing:
    """What a position is worth whose mark is not there. The marks of those below the floor are forgotten:
    such a one can be neither vouched for nor called lost, unless it is ahead of the log."""
    is_below = position.seen.first_unseen < present.floor
    return standing if is_below and position.end <= present.now.seen.xmax else "restored"


def _news(shape: Shape) -> str:
    """Looks at single ends of the index. EXISTS would say the same, but with values it does not know yet
    the planner expects many new entries and reads the whole log to find the first."""
    last = f"SELECT xid FROM {shape.log} ORDER BY xid DESC, seq DESC LIMIT 1"
    late = f"SELECT FROM {shape.log} WHERE xid = running.xid ORDER BY xid, seq LIMIT 1"
    return (
        f"SELECT {shape.n} WHERE ({last}) >= $3::xid8"
        f" OR EXISTS (SELECT FROM unnest($4::xid8[]) AS running(xid), LATERAL ({late}) AS found)"
    )


def _running(snapshot: Snapshot) -> str:
    return array_of(sorted(snapshot.running))


def _entries(
    session: Session, shape: Shape, after: SnapshotPosition, target: Snapshot, without: str, limit: int
) -> Rows:
    """Up to `limit` + 1 new entries: xid, seq, hlc, the mask's words, the key."""
    start = after.last[1:] if after.target is not None and after.last[0] == shape.n else (0, 0)
    late = max(start, (after.seen.xmax, 0))
    statement = shape.statement(("entries",), lambda: _statement(shape))
    entries = session.run(
        statement, _running(after.seen), str(start[0]), start[1], str(late[0]), late[1],
        target.text, without, limit + 1,
    )  # fmt: skip
    first = 3 + len(shape.words)
    mend_floats(entries, [first + i for i, codec in enumerate(shape.keys) if codec.is_float])
    return entries


def _statement(shape: Shape) -> str:
    """Two ranges of one index, each already in order, merged. The later one has a single lower bound: with
    two, the scan may start at the wrong one."""
    raw = ", ".join(["xid", "seq", "hlc", *shape.words, *shape.log_keys])
    given = ", ".join(["l.xid::text::int8", "l.seq", "l.hlc", *(f"l.{word}" for word in shape.words)])
    keys = ", ".join(shape.read_keys("l"))
    condition = (
        "AND pg_visible_in_snapshot(xid, $6::pg_snapshot) AND origin <> $7 ORDER BY xid, seq LIMIT $8::bigint"
    )
    running = "xid = ANY ($1::xid8[]) AND (xid, seq) > ($2::xid8, $3::bigint)"
    since = "(xid, seq) > ($4::xid8, $5::bigint)"
    return (
        f"SELECT {given}, {keys} FROM ("
        f"(SELECT {raw} FROM {shape.log} WHERE {running} {condition})"
        f" UNION ALL (SELECT {raw} FROM {shape.log} WHERE {since} {condition})"
        ") AS l ORDER BY l.xid, l.seq LIMIT $8::bigint"
    )


def _unseen(shape: Shape) -> str:
    """Entries that a position has not seen; its running transactions and its xmax are bound after a key."""
    raw = ", ".join(["seq", "op::text", "old", *shape.words, *shape.log_keys])
    running, since = f"${shape.arity + 1}::xid8[]", f"${shape.arity + 2}::xid8"
    return (
        f"SELECT {raw} FROM {shape.log} WHERE xid = ANY ({running})"
        f" UNION ALL SELECT {raw} FROM {shape.log} WHERE xid >= {since}"
    )


# Marks


def _chosen() -> int:
    """A number for a new mark."""
    return secrets.randbits(BITS) + 1


def _proof(row: Sequence[Any]) -> Proof:
    """A mark as it is read: the number of its transaction, the random one, the snapshot."""
    xid, number, seen = row
    return Proof((xid, number), Snapshot(seen))


def _unknown(session: Session, marks: Iterable[Mark]) -> set[Mark]:
    """Those that are not in the database."""
    if not (asked := sorted(marks)):
        return set()
    xids, numbers = (array_of(column) for column in zip(*asked, strict=True))
    found = session.run(queries("retention.sql")["unknown marks"], xids, numbers)
    return {(xid, number) for xid, number in found}
