"""The opposite of `init`: what is said, and what stands in the way, whatever the database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from syncline.databases.base.ledger import Ledger
from syncline.errors import DatabaseError
from syncline.hub.contract import Prepared


def removal(
    statements: Sequence[str], dependents: Sequence[str], ledger: Ledger | None, tables: Iterable[str]
) -> Prepared:
    """What goes, and what is lost with it. `dependents`: objects of the user's that are built on Syncline's
    own; with one of them `depended_on` is raised. `ledger` is None if its tables are of another layout;
    `tables` are those that take part."""
    if dependents:
        raise DatabaseError(
            f"the tables of Syncline are used by: {', '.join(dependents)}",
            code="depended_on",
            remedy="Drop these first, then remove again; nothing was changed.",
        )
    notes = [] if ledger is None else ledger.losses()
    return Prepared(list(statements), [*notes, *(f"stopped tracking {table}" for table in tables)])
