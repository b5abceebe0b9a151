"""Pruning and compacting the logs, a bounded step a transaction; and a centre that moved to another cluster.

No step waits for anybody who reads or writes the user's tables, nor makes them wait: log entries are never
changed once written. What an open transaction may still hide is above the oldest running one, and stays.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from syncline.databases.postgresql.layout import Layout, Shape
from syncline.databases.postgresql.position import SnapshotPosition, same_place
from syncline.databases.postgresql.retention import newest_below
from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.sql import array_of, queries
from syncline.hub.contract import Removed
from syncline.hub.contract.compaction import LogEntry, covered
from syncline.model.masks import join_mask

logger = logging.getLogger("syncline.databases.postgresql")


def prune(
    session: Session,
    layout: Layout,
    held: Sequence[SnapshotPosition],
    kept: int,
    forced: int | None,
    limit: int,
) -> Removed:
    """See the contract. Transactions below `kept` ended long enough ago to go once everybody has seen them,
    those below `forced` go whoever needs them."""
    sql = queries("retention.sql")
    session.value(sql["lock"])
    target = min([kept, *(position.seen.first_unseen for position in held)])
    if forced is not None:
        target = max(target, min(kept, forced))
    cut = _cut(session, layout, 0, limit)
    upto = target if cut is None else min(target, cut + 1)
    newest = newest_below(session, layout, upto)
    present, _ = progress(session)
    if newest is None or newest[0] < present:
        return Removed(0, False)
    floor, gone, highest = newest[0] + 1, 0, 0
    for shape in layout.by_number:
        count, hlc = session.run(_delete(shape), str(floor))[0]
        gone, highest = gone + count, max(highest, hlc or 0)
    session.count(sql["forget marks"], str(floor))
    session.count(sql["mark floor"], str(newest[0]), newest[1])
    session.count(sql["raise floor"], str(floor), max(highest, newest[1]))
    return Removed(gone, upto < target)


def ended(session: Session) -> int:
    """Every transaction below this number has ended."""
    return int(session.value(queries("retention.sql")["ended"]))


def progress(session: Session) -> tuple[int, int]:
    """Where the logs begin, and up to where they were looked through for covered entries."""
    ((floor, compacted),) = session.run(queries("retention.sql")["progress"])
    return floor, compacted


def _cut(session: Session, layout: Layout, start: int, limit: int) -> int | None:
    """The transaction by which `limit` entries of some log have passed, counted from `start`."""
    found = [
        session.value(
            f"SELECT xid::text::int8 FROM {shape.log} WHERE xid >= $1::xid8"
            " ORDER BY xid, seq OFFSET $2::bigint LIMIT 1",
            str(start),
            limit,
        )
        for shape in layout.by_number
    ]
    return min((xid for xid in found if xid is not None), default=None)


def _delete(shape: Shape) -> str:
    return (
        f"WITH gone AS (DELETE FROM {shape.log} WHERE xid < $1::xid8 RETURNING hlc)"
        " SELECT count(*), max(hlc) FROM gone"
    )


def compact(session: Session, layout: Layout, newest: int, limit: int) -> Removed:
    """See the contract. Entries of the transaction `newest` and later are not looked at."""
    sql = queries("retention.sql")
    session.value(sql["lock"])
    start = max(progress(session))
    end = min(newest, ended(session))
    cut = _cut(session, layout, start, limit)
    upto = end if cut is None else min(end, cut + 1)
    if upto <= start:
        return Removed(0, False)
    gone = sum(_compact(session, shape, start, upto) for shape in layout.by_number)
    session.count(sql["compacted"], str(upto))
    return Removed(gone, upto < end)


def _compact(session: Session, shape: Shape, start: int, upto: int) -> int:
    """By seq: that is the order of the changes of one row, whatever the numbers of the transactions."""
    rows = session.run(
        f"SELECT xid::text::int8, seq, ROW({', '.join(shape.log_keys)})::text, op::text, hlc, origin,"
        f" old IS NOT NULL, {', '.join(shape.words)} FROM {shape.log}"
        " WHERE xid >= $1::xid8 AND xid < $2::xid8 ORDER BY seq",
        str(start),
        str(upto),
    )
    places = covered(
        LogEntry((xid, seq), key, op, join_mask(words), hlc, origin, keeps)
        for xid, seq, key, op, hlc, origin, keeps, *words in rows
    )
    if places:
        xids, seqs = (array_of(column) for column in zip(*places, strict=True))
        session.count(
            f"WITH gone AS (DELETE FROM {shape.log} AS l"
            " USING unnest($1::xid8[], $2::bigint[]) AS g(xid, seq)"
            " WHERE l.xid = g.xid AND l.seq = g.seq RETURNING l.xid, l.seq, l.hlc)"
            " INSERT INTO syncline.marks SELECT DISTINCT ON (xid) xid, hlc FROM gone ORDER BY xid, seq DESC",
            xids,
            seqs,
        )
    return len(places)


def settle_in(session: Session, layout: Layout, cluster: str) -> None:
    """Record where the database is. If it was in another cluster, numbers of transactions mean nothing any
    more: the logs begin anew, above every HLC known."""
    sql = queries("retention.sql")
    session.script(queries("prepare.sql")["lock"])
    recorded = session.value(sql["cluster"])
    if recorded and not same_place(recorded, cluster):
        stamps = [session.value(f"SELECT max(hlc) FROM {shape.log}") for shape in layout.by_number]
        for shape in layout.by_number:
            session.script(f"TRUNCATE {shape.log}")
        session.script("TRUNCATE syncline.marks, syncline.moments, syncline.strays")
        session.count(sql["begin anew"], max((hlc for hlc in stamps if hlc), default=0))
        logger.warning(
            "the central database was moved to another cluster: its change log began anew, every replica will"
            " fill itself again",
            extra={"action": "begin_anew"},
        )
    if recorded != cluster:
        session.count(sql["record cluster"], cluster)
