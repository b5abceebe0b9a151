"""Who holds the rows, or the table, that a stage waits for."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from syncline.databases.postgresql import statements as sql
from syncline.databases.postgresql.holders import holders, of_table
from syncline.databases.postgresql.layout import Shape
from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.sql import queries
from syncline.databases.postgresql.stage import Loaded


def holders_of_rows(
    session: Session, loaded: Loaded, rows: Sequence[int] | None = None, *, but: Collection[int] = ()
) -> dict[int, list[str]]:
    """Of all or some of the rows those that exist, each with who holds it: nobody where that has ended."""
    found = session.run(*loaded.over(sql.held(loaded.shape), rows))
    left = [(n, xid) for n, xid in found if n not in but]
    known = holders(session, [xid for _, xid in left])
    return {n: [known[xid]] if xid in known else [] for n, xid in left}


def holders_of_table(session: Session, shape: Shape) -> list[str]:
    """Who has written to the table, or locked rows of it."""
    return of_table(session, session.value(queries("prepare.sql")["relids"], shape.n))
