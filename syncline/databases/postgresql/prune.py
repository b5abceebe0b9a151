"""Pruning and compacting the logs, a bounded step a transaction; and a centre that moved to another cluster.

No step waits for anybody who reads or writes the user's tables, nor makes them wait: log entries are never
changed once written. What an open transaction may still hide is above the oldest running one, and stays. A
step can end inside a transaction's entries, and nothing of them comes here (law L11): the floor passes a
transaction as a whole, and what is left of it below the floor goes with the next steps.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from syncline.databases.postgresql.layout import Layout, Shape
from syncline.databases.postgresql.position import same_place
from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.sql import queries
from syncline.hub.contract import Removed
from syncline.model.operations import PARTIAL

logger = logging.getLogger("syncline.databases.postgresql")

LATER = 50
"""Entries are compared with so many times the limit of later ones: a step reads no more of the log."""

Place = tuple[int, int]
"""A transaction's number, and a `seq` in it."""


def prune(session: Session, layout: Layout, target: int, limit: int) -> Removed:
    """See the contract. Transactions below `target` may go."""
    sql = queries("retention.sql")
    session.value(sql["lock"])
    forgotten = session.count(sql["forget marks"], limit)
    gone = _delete_below(session, layout, floor_and_compacted(session)[0], limit)
    if gone < limit:
        upto = _raise_floor(session, layout, target, limit - gone)
        if upto:
            gone += _delete_below(session, layout, upto, limit - gone)
            forgotten = max(forgotten, session.count(sql["forget marks"], limit))
    return Removed(gone, max(gone, forgotten) >= limit or 0 < upto < target)


def _raise_floor(session: Session, layout: Layout, target: int, limit: int) -> int:
    """Raise the floor so that about `limit` entries are below it, or more of one transaction; the number up
    to which that was looked for, 0 if there is nothing to raise it to."""
    sql = queries("retention.sql")
    cut = _cut(session, layout, (0, 0), limit)
    upto = target if cut is None else min(target, cut[0] + 1)
    last = _newest_below(session, layout, upto)
    if last is None or last[0] < floor_and_compacted(session)[0]:
        return 0
    floor = str(last[0] + 1)
    highest = "SELECT max(hlc) AS hlc FROM {} WHERE xid < $1::xid8"
    all_of = " UNION ALL ".join(highest.format(shape.log) for shape in layout.by_number)
    hlc = session.value(f"SELECT max(hlc) FROM ({all_of}) AS a", floor)
    session.count(sql["raise floor"], floor, max(hlc or 0, last[1]))
    return upto


def newest(layout: Layout, condition: str) -> str:
    """The newest entry, from the ends of the indexes."""
    ends = [
        f"(SELECT xid, seq, hlc FROM {shape.log} {condition} ORDER BY xid DESC, seq DESC LIMIT 1)"
        for shape in layout.by_number
    ]
    nothing = "SELECT NULL::xid8 AS xid, 0::bigint AS seq, 0::bigint AS hlc WHERE false"
    together = " UNION ALL ".join([nothing, *ends])
    return f"SELECT xid, hlc FROM ({together}) AS ends ORDER BY xid DESC, seq DESC LIMIT 1"


def _newest_below(session: Session, layout: Layout, xid: int) -> Sequence[int] | None:
    """The newest entry of a transaction below `xid`: its transaction and HLC."""
    if not layout.by_number:  # PostgreSQL knows no type for a value that nothing uses
        return None
    text = newest(layout, "WHERE xid < $1::xid8")
    rows = session.run(f"SELECT n.xid::text::int8, n.hlc FROM ({text}) AS n", str(xid))
    return rows[0] if rows else None


def ended(session: Session) -> int:
    """Every transaction below this number has ended."""
    return int(session.value(queries("retention.sql")["ended"]))


def floor_and_compacted(session: Session) -> tuple[int, Place]:
    """Where the logs begin, and up to where they were looked through for covered entries."""
    ((floor, xid, seq),) = session.run(queries("retention.sql")["progress"])
    return floor, (xid, seq)


def _cut(session: Session, layout: Layout, start: Place, limit: int) -> Place | None:
    """The place by which `limit` entries of some log have passed, counted from `start`."""
    behind = "WHERE (xid, seq) > ($1::xid8, $2::bigint) ORDER BY xid, seq OFFSET $3::bigint LIMIT 1"
    given, found = (str(start[0]), start[1], max(0, limit - 1)), list[Place]()
    for shape in layout.by_number:
        rows = session.run(f"SELECT xid::text::int8, seq FROM {shape.log} {behind}", *given)
        found += [(xid, seq) for xid, seq in rows]
    return min(found, default=None)


def _delete_below(session: Session, layout: Layout, floor: int, limit: int) -> int:
    """Delete at most `limit` entries of transactions below the floor; how many."""
    gone, below = 0, "WHERE xid < $1::xid8 ORDER BY xid, seq LIMIT $2::bigint"
    for shape in layout.by_number:
        if gone < limit:
            chosen = f"ctid = ANY (ARRAY(SELECT ctid FROM {shape.log} {below}))"
            gone += session.count(f"DELETE FROM {shape.log} WHERE {chosen}", str(floor), limit - gone)
    return gone


def compact(session: Session, layout: Layout, newest: int, limit: int) -> Removed:
    """See the contract. Entries of the transaction `newest` and later are not looked at."""
    sql = queries("retention.sql")
    session.value(sql["lock"])
    floor, compacted = floor_and_compacted(session)
    start, end = max(compacted, (floor, 0)), (min(newest, ended(session)), 0)
    cut = _cut(session, layout, start, limit)
    upto = end if cut is None else min(end, cut)
    if upto <= start:
        return Removed(0, False)
    horizon = _cut(session, layout, start, limit * LATER) or end
    places = [value for xid, seq in (start, upto, min(end, horizon)) for value in (str(xid), seq)]
    gone = sum(session.count(_compact(shape), *places) for shape in layout.by_number)
    session.count(sql["compacted"], str(upto[0]), upto[1])
    return Removed(gone, upto < end)


def _compact(shape: Shape) -> str:
    """Remove what is covered (`hub.contract.compaction`) among the entries up to $3, $4 behind $1, $2,
    compared with those up to $5, $6: of each row with the last by each origin of each set of columns. Later
    is what has the higher seq: that is the order of the changes of one row, whatever the numbers of the
    transactions."""
    keys, words = ", ".join(shape.log_keys), ", ".join(shape.words)
    where = "(xid, seq) > ($1::xid8, $2::bigint) AND (xid, seq) <= (${}::xid8, ${}::bigint)"
    same = " AND ".join(f"n.{key} = o.{key}" for key in shape.log_keys)
    wide = " AND ".join(f"n.{word} & o.{word} = o.{word}" for word in shape.words)
    return f"""
        WITH old AS MATERIALIZED (
            SELECT xid, seq, hlc, origin COLLATE "C" AS origin, {keys}, {words} FROM {shape.log}
             WHERE {where.format(3, 4)} AND op = 'U' AND old IS NULL
        ), later AS (
            SELECT {keys}, {words}, op NOT IN {PARTIAL} AS whole, origin COLLATE "C" AS origin,
                   max(ARRAY[seq, hlc]) AS last
              FROM {shape.log} JOIN (SELECT DISTINCT {keys} FROM old) AS o USING ({keys})
             WHERE {where.format(5, 6)} GROUP BY {keys}, {words}, op NOT IN {PARTIAL}, origin
        ), covered AS (
            SELECT DISTINCT o.xid, o.seq FROM old AS o JOIN later AS n ON {same}
             WHERE n.last[1] > o.seq AND (n.whole OR {wide}) AND n.origin IN (o.origin, 'hub')
               AND (n.last[2], n.origin) >= (o.hlc, o.origin)
        ), gone AS (
            DELETE FROM {shape.log} AS l USING covered AS c WHERE l.xid = c.xid AND l.seq = c.seq
            RETURNING l.xid
        )
        SELECT FROM gone"""


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
            "the central database was moved, from %s to %s (cluster/timeline/database): its change log began"
            " anew, every replica will fill itself again",
            recorded,
            cluster,
            extra={"action": "begin_anew"},
        )
    if recorded != cluster:
        session.count(sql["record cluster"], cluster)
