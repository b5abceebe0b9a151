"""What the logs of a PostgreSQL centre no longer hold: the floor, marks of removed entries, and what a
position is worth.

A position ends behind the transaction of the newest entry it saw, and carries that entry's HLC. Of an entry
that goes while a position may end at it, a mark stays: number of the transaction and HLC. The newest entry
below the floor always leaves one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from syncline.databases.postgresql.layout import Layout
from syncline.databases.postgresql.position import Snapshot, SnapshotPosition
from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.sql import array_of, queries
from syncline.errors import WatermarkRefused
from syncline.hub.contract import Floor, Position, Standing


@dataclass(frozen=True, slots=True)
class Instant:
    """What one statement sees: the position, behind the newest entry, and where the logs begin."""

    now: SnapshotPosition
    floor: int
    lost: int
    """The transaction until which capture was missing somewhere; 0 if it never was."""


def instant(session: Session, layout: Layout, cluster: str) -> Instant:
    """What is visible now."""
    name = ("instant",)
    statement = layout.statements.get(name)
    if statement is None:
        newest = _newest(layout, "")
        statement = layout.statements[name] = (
            "SELECT pg_current_snapshot()::text, n.xid::text::int8, n.hlc,"
            " s.floor::text::int8, s.lost::text::int8"
            f" FROM syncline.state AS s LEFT JOIN LATERAL ({newest}) AS n ON true"
        )
    ((text, xid, hlc, floor, lost),) = session.run(statement)
    snapshot = Snapshot(text)
    seen = snapshot.up_to(max(floor, 0 if xid is None else xid + 1))
    known = xid is not None and seen.xmax == xid + 1
    return Instant(SnapshotPosition(cluster, seen, mark=hlc if known else 0), floor, lost)


def _newest(layout: Layout, condition: str) -> str:
    """The newest entry, or mark of one, from the ends of the indexes."""
    ends = [
        f"(SELECT xid, seq, hlc FROM {shape.log} {condition} ORDER BY xid DESC, seq DESC LIMIT 1)"
        for shape in layout.by_number
    ]
    ends.append(f"(SELECT xid, 0, hlc FROM syncline.marks {condition} ORDER BY xid DESC LIMIT 1)")
    return f"SELECT xid, hlc FROM ({' UNION ALL '.join(ends)}) AS ends ORDER BY xid DESC, seq DESC LIMIT 1"


def newest_below(session: Session, layout: Layout, xid: int) -> tuple[int, int] | None:
    """The newest entry, or mark, of a transaction below `xid`: its transaction and HLC."""
    statement = layout.statements.get(("newest below",))
    if statement is None:
        text = _newest(layout, "WHERE xid < $1::xid8")
        statement = layout.statements[("newest below",)] = (
            f"SELECT n.xid::text::int8, n.hlc FROM ({text}) AS n"
        )
    rows = session.run(statement, str(xid))
    return (rows[0][0], rows[0][1]) if rows else None


def floor(session: Session, cluster: str) -> Floor:
    """Where the logs begin."""
    xid, hlc, mark = session.run(queries("retention.sql")["floor"])[0]
    return Floor(SnapshotPosition(cluster, Snapshot(f"{xid}:{xid}:"), mark=mark or 0), hlc)


def standings(
    session: Session, layout: Layout, positions: Sequence[SnapshotPosition], present: Instant
) -> list[Standing]:
    """What each position is worth. Those at the newest entry, nearly all, need no look at the log."""
    found = {position: _standing(position, present) for position in set(positions)}
    newest = (present.now.seen.xmax - 1, present.now.mark)
    asked = {end for position, standing in found.items() if standing == "sound" for end in position.ends}
    unknown = _unknown(session, layout, sorted(asked - {newest}))
    for position in found:
        if found[position] == "sound" and unknown.intersection(position.ends):
            found[position] = "restored"
    return [found[position] for position in positions]


def _standing(position: SnapshotPosition, present: Instant) -> Standing:
    """As far as the numbers tell."""
    ends = [position.seen.xmax, *([position.target.xmax] if position.target else [])]
    if position.cluster != present.now.cluster or max(ends) > present.now.seen.xmax:
        return "restored"
    if present.lost and not position.seen.sees(present.lost):
        return "lost"
    return "pruned" if position.seen.first_unseen < present.floor else "sound"


def _unknown(session: Session, layout: Layout, ends: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
    """Those of these transactions and HLCs that the logs never had."""
    if not ends:
        return set()
    statement = layout.statements.get(("unknown",))
    if statement is None:
        last = "(SELECT hlc FROM {} WHERE xid = e.xid ORDER BY xid DESC, seq DESC LIMIT 1) = e.hlc"
        known = [last.format(shape.log) for shape in layout.by_number]
        known.append("EXISTS (SELECT FROM syncline.marks AS m WHERE m.xid = e.xid AND m.hlc = e.hlc)")
        statement = layout.statements[("unknown",)] = (
            "SELECT e.xid::text::int8, e.hlc FROM unnest($1::xid8[], $2::bigint[]) AS e(xid, hlc)"
            f" WHERE NOT ({' OR '.join(f'coalesce({one}, false)' for one in known)})"
        )
    xids, stamps = (array_of(column) for column in zip(*ends, strict=True))
    return {(xid, hlc) for xid, hlc in session.run(statement, xids, stamps)}


def behind(session: Session, layout: Layout, position: SnapshotPosition, at_most: int) -> int:
    """How many entries a position has not seen, up to `at_most`."""
    running = array_of(sorted(position.seen.running))
    counts = [
        f"(SELECT count(*) FROM (SELECT FROM {shape.log} WHERE xid >= $1::xid8 LIMIT $3::bigint) AS a)"
        f" + (SELECT count(*) FROM {shape.log} WHERE xid = ANY ($2::xid8[]))"
        for shape in layout.by_number
    ]
    values = (str(position.seen.xmax), running, at_most)
    return min(at_most, int(session.value(f"SELECT {' + '.join(counts) or '0'}", *values)))


def snapshot_position(position: Position) -> SnapshotPosition:
    """A position that is one of this kind of database."""
    if not isinstance(position, SnapshotPosition):
        raise WatermarkRefused("the watermark is not one of a PostgreSQL database")
    return position
