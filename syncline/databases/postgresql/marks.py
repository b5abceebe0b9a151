"""What proves that a position is of this past and no other: random numbers in the database itself (law L4).

A centre that is put back from a backup goes on from there, and may give out the same numbers of transactions
and, where a clock was wrong, the same stamps again. So a position carries a *mark*: a random number that was
committed after everything that the position has seen. Where the mark is, all of that is, in whatever order
transactions were begun and committed: a backup, a dump or a standby that has the mark has what was committed
before it. Where it is not, the centre has gone back to before it.

A push leaves one in its own transaction. A pull finds the newest one, and leaves another in its own
transaction only if that had not seen all of what the pull has: other programs have written since.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from syncline.databases.postgresql.position import Mark, Snapshot
from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.sql import array_of, queries

LEAVE = (
    "INSERT INTO syncline.marks VALUES (pg_current_xact_id(), $1, pg_current_snapshot())"
    " RETURNING xid, mark, seen"
)
"""Leaves the mark $1 in this transaction. It proves what the statement sees, once that is committed."""
_LEAVE = f"WITH made AS ({LEAVE}) SELECT xid::text::int8, mark, seen::text FROM made"

BITS = 62
"""Of a random number that is stored as a bigint and never 0."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A mark, and what was committed when it was: all that `seen` sees, and the mark's own transaction."""

    mark: Mark
    seen: Snapshot

    def covers(self, position: Snapshot) -> bool:
        """Whether all that a position has seen was there before the mark."""
        own, known = self.mark[0], self.seen
        if any(xid != own and position.sees(xid) for xid in known.running):
            return False
        # of the numbers that the mark's snapshot had not come to, the position has seen none but the mark's
        beyond = max(0, position.xmax - known.xmax)
        unseen = sum(1 for xid in position.running if known.xmax <= xid < position.xmax)
        return beyond - unseen == (known.xmax <= own < position.xmax and own not in position.running)


def leave(session: Session) -> Proof:
    """Leave a mark in this transaction."""
    return proof(session.run(_LEAVE, chosen())[0])


def chosen() -> int:
    """A number for a new mark."""
    return secrets.randbits(BITS) + 1


def proof(row: Sequence[Any]) -> Proof:
    """A mark as it is read: the number of its transaction, the random one, the snapshot."""
    xid, number, seen = row
    return Proof((xid, number), Snapshot(seen))


def unknown(session: Session, marks: Iterable[Mark]) -> set[Mark]:
    """Those that are not in the database."""
    asked = sorted(set(marks))
    if not asked:
        return set()
    xids, numbers = (array_of(column) for column in zip(*asked, strict=True))
    found = session.run(queries("retention.sql")["unknown marks"], xids, numbers)
    return {(xid, number) for xid, number in found}
