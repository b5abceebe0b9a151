"""What the logs of a PostgreSQL centre no longer hold: the floor, and what the logs are at an instant."""

from __future__ import annotations

from dataclasses import dataclass

from syncline.databases.postgresql.layout import Layout
from syncline.databases.postgresql.position import SnapshotPosition
from syncline.databases.postgresql.session import Session
from syncline.errors import WatermarkRefused
from syncline.hub.contract import Position


@dataclass(frozen=True, slots=True)
class Instant:
    """What one statement sees: the position, behind the newest entry and without a mark, and where the logs
    begin."""

    now: SnapshotPosition
    floor: int
    lost: int
    """The transaction until which capture was missing somewhere; 0 if it never was."""


def newest(layout: Layout, condition: str) -> str:
    """The newest entry, from the ends of the indexes."""
    ends = [
        f"(SELECT xid, seq, hlc FROM {shape.log} {condition} ORDER BY xid DESC, seq DESC LIMIT 1)"
        for shape in layout.by_number
    ]
    nothing = "SELECT NULL::xid8 AS xid, 0::bigint AS seq, 0::bigint AS hlc WHERE false"
    together = " UNION ALL ".join([nothing, *ends])
    return f"SELECT xid, hlc FROM ({together}) AS ends ORDER BY xid DESC, seq DESC LIMIT 1"


def newest_below(session: Session, layout: Layout, xid: int) -> tuple[int, int] | None:
    """The newest entry of a transaction below `xid`: its transaction and HLC."""
    if (
        not layout.by_number
    ):  # no table takes part, and PostgreSQL knows no type for a value that nothing uses
        return None
    text = newest(layout, "WHERE xid < $1::xid8")
    name, wanted = ("newest below",), f"SELECT n.xid::text::int8, n.hlc FROM ({text}) AS n"
    statement = layout.statement(name, lambda: wanted)
    rows = session.run(statement, str(xid))
    return (rows[0][0], rows[0][1]) if rows else None


def snapshot_position(position: Position) -> SnapshotPosition:
    """A position that is one of this kind of database."""
    if not isinstance(position, SnapshotPosition):
        raise WatermarkRefused("the watermark is not one of a PostgreSQL database")
    return position
