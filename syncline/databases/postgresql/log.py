"""The log: what a position had not seen and this instant does, table by table (step 10).

New entries are those of transactions that were running in the old snapshot, and of all that began since; both
are ranges of the index on (xid, seq). An entry that this transaction can read at all is committed and
visible; while a pull takes several pages, entries newer than its target are left for the next.
"""

from __future__ import annotations

from collections.abc import Sequence

from syncline.databases.base import Ledger
from syncline.databases.base.codec import mend_floats
from syncline.databases.base.log import BaseLog
from syncline.databases.base.page import Page, Place
from syncline.databases.postgresql.former import read_former
from syncline.databases.postgresql.layout import Layout, Shape
from syncline.databases.postgresql.position import Snapshot, SnapshotPosition
from syncline.databases.postgresql.prune import compact, ended, floor_and_compacted, prune
from syncline.databases.postgresql.retention import Instant, newest, snapshot_position
from syncline.databases.postgresql.session import Rows, Session
from syncline.databases.postgresql.sql import array_of, queries
from syncline.hub.contract import Floor, Former, Key, LogPage, Position, Removed, Standing

START: Place = (0, 0, 0)


class PostgresLog(BaseLog[SnapshotPosition, Instant]):
    """The contract's `Log`."""

    def __init__(self, session: Session, layout: Layout, cluster: str, ledger: Ledger) -> None:
        super().__init__(ledger)
        self._session, self._layout, self._cluster = session, layout, cluster

    def own(self, position: Position) -> SnapshotPosition:
        return snapshot_position(position)

    def instant(self) -> Instant:
        """What is visible in this transaction (in this statement, when the transaction also writes)."""
        statement = self._layout.statement(("instant",), lambda: _instant(self._layout))
        ((text, xid, hlc, floor, lost),) = self._session.run(statement)
        snapshot = Snapshot(text)
        seen = snapshot.up_to(max(floor, 0 if xid is None else xid + 1))
        known = xid is not None and seen.xmax == xid + 1
        return Instant(SnapshotPosition(self._cluster, seen, mark=hlc if known else 0), floor, lost)

    def now(self) -> SnapshotPosition:
        return self.instant().now

    def worth(self, positions: Sequence[SnapshotPosition], present: Instant) -> list[Standing]:
        """Those at the newest entry, nearly all, need no look at the log."""
        found = {position: _standing(position, present) for position in set(positions)}
        newest = (present.now.seen.xmax - 1, present.now.mark)
        asked = {end for position, standing in found.items() if standing == "sound" for end in position.ends}
        unknown = self._unknown(sorted(asked - {newest}))
        for position in found:
            if found[position] == "sound" and unknown.intersection(position.ends):
                found[position] = "restored"
        return [found[position] for position in positions]

    def _unknown(self, ends: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
        """Those of these transactions and HLCs that the logs never had."""
        if not ends:
            return set()
        statement = self._layout.statement(("unknown",), lambda: _unknown(self._layout))
        xids, stamps = (array_of(column) for column in zip(*ends, strict=True))
        return {(xid, hlc) for xid, hlc in self._session.run(statement, xids, stamps)}

    def page(self, after: SnapshotPosition, present: Instant, without: str, limit: int) -> LogPage:
        return read_log(self._session, self._layout, after, present.now, without, limit)

    def former(self, after: Position, table: int, keys: Sequence[Key]) -> dict[Key, Former]:
        """What rows were like at a position; see `former`."""
        return read_former(self._session, self._layout.shapes[table], self.own(after).seen, keys)

    def floor(self) -> Floor:
        xid, hlc, mark = self._session.run(queries("retention.sql")["floor"])[0]
        return Floor(SnapshotPosition(self._cluster, Snapshot(f"{xid}:{xid}:"), mark=mark or 0), hlc)

    def behind(self, position: Position, at_most: int) -> int:
        seen = self.own(position).seen
        counts = [
            f"(SELECT count(*) FROM (SELECT FROM {shape.log} WHERE xid >= $1::xid8 LIMIT $3::bigint) AS a)"
            f" + (SELECT count(*) FROM {shape.log} WHERE xid = ANY ($2::xid8[]))"
            for shape in self._layout.by_number
        ]
        statement = f"SELECT {' + '.join(counts) or '0'}"
        return min(at_most, int(self._session.value(statement, str(seen.xmax), _running(seen), at_most)))

    def end(self) -> int:
        return ended(self._session)

    def begin(self) -> int:
        return floor_and_compacted(self._session)[0]

    def seen_below(self, position: SnapshotPosition) -> int:
        return position.seen.first_unseen

    def cut(self, target: int, limit: int) -> Removed:
        return prune(self._session, self._layout, target, limit)

    def compact(self, limit: int) -> Removed:
        return compact(self._session, self._layout, self.now().seen.xmax - 1, limit)


def _instant(layout: Layout) -> str:
    return (
        "SELECT pg_current_snapshot()::text, n.xid::text::int8, n.hlc,"
        " s.floor::text::int8, s.lost::text::int8"
        f" FROM syncline.state AS s LEFT JOIN LATERAL ({newest(layout, '')}) AS n ON true"
    )


def _standing(position: SnapshotPosition, present: Instant) -> Standing:
    """As far as the numbers tell."""
    ends = [position.seen.xmax, *([position.target.xmax] if position.target else [])]
    if position.cluster != present.now.cluster or max(ends) > present.now.seen.xmax:
        return "restored"
    if present.lost and not position.seen.sees(present.lost):
        return "lost"
    return "pruned" if position.seen.first_unseen < present.floor else "sound"


def _unknown(layout: Layout) -> str:
    last = "(SELECT hlc FROM {} WHERE xid = e.xid ORDER BY xid DESC, seq DESC LIMIT 1) = e.hlc"
    known = [last.format(shape.log) for shape in layout.by_number]
    known.append("EXISTS (SELECT FROM syncline.marks AS m WHERE m.xid = e.xid AND m.hlc = e.hlc)")
    return (
        "SELECT e.xid::text::int8, e.hlc FROM unnest($1::xid8[], $2::bigint[]) AS e(xid, hlc)"
        f" WHERE NOT ({' OR '.join(f'coalesce({one}, false)' for one in known)})"
    )


def read_log(
    session: Session, layout: Layout, after: SnapshotPosition, now: SnapshotPosition, without: str, limit: int
) -> LogPage:
    """One page of about `limit` entries, coalesced per row.

    A run of one page ends at `now`. A run of several ends at the instant of its first page; rows may have
    been read later than that, and what changed them is in the next run, so `more` stays true until a run of
    one page has covered everything: only then are the rows read a cut (law L5).
    """
    target, target_mark = (after.target, after.target_mark) if after.target else (now.seen, now.mark)
    places = _tables_with_news(session, layout, after, target)
    page = Page(layout.shapes, limit)
    for shape in layout.by_number:
        if shape.n not in places:
            continue
        if not page.add(shape, _entries(session, shape, after, target, without, page.room)):
            end = SnapshotPosition(
                now.cluster, after.seen, target, page.last or after.last, after.mark, target_mark
            )
            return LogPage(page.touched(), end, True, page.hlc)
    if after.target is None:
        return LogPage(page.touched(), now if places else after, False, page.hlc)
    end = SnapshotPosition(now.cluster, target, mark=target_mark)
    return LogPage(page.touched(), end, target != now.seen, page.hlc)


def _tables_with_news(
    session: Session, layout: Layout, after: SnapshotPosition, target: Snapshot
) -> set[int]:
    """The numbers of the tables whose log may hold something new, in one statement."""
    if after.seen == target or not layout.shapes:
        return set()
    statement = layout.statement(("news",), lambda: " UNION ALL ".join(map(_news, layout.by_number)))
    rows = session.run(statement, str(after.seen.xmax), _running(after.seen))
    return {n for (n,) in rows if n >= after.last[0]}


def newest_entry(shape: Shape) -> str:
    """The transaction of the newest entry, from the end of the index."""
    return f"SELECT xid FROM {shape.log} ORDER BY xid DESC, seq DESC LIMIT 1"


def _news(shape: Shape) -> str:
    """Looks at single ends of the index. EXISTS would say the same, but with values it does not know yet
    the planner expects many new entries and reads the whole log to find the first."""
    late = f"SELECT FROM {shape.log} WHERE xid = running.xid ORDER BY xid, seq LIMIT 1"
    return (
        f"SELECT {shape.n} WHERE ({newest_entry(shape)}) >= $1::xid8"
        f" OR EXISTS (SELECT FROM unnest($2::xid8[]) AS running(xid), LATERAL ({late}) AS found)"
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
