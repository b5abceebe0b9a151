"""The opposite of `init`: the schema `syncline` goes, with its functions the triggers."""

from __future__ import annotations

from syncline.databases.base import LAYOUT, Ledger
from syncline.databases.postgresql.dialect import PostgresLedgerSession
from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.sql import qualified, queries
from syncline.errors import DatabaseError
from syncline.hub.contract import Prepared

DROP = "DROP SCHEMA syncline CASCADE"
"""The triggers depend on functions of the schema. What else depends on it was looked for before."""


def remove(session: Session) -> Prepared:
    """Do it. Does nothing where there is nothing of Syncline's."""
    removed = removal(session)
    for statement in removed.statements:
        session.script(statement)
    return removed


def removal(session: Session) -> Prepared:
    """What `remove` would do."""
    if not session.value(queries("prepare.sql")["prepared"]):
        return Prepared()
    _refuse_dependents(session)
    removed = Prepared([DROP])
    if _is_of_this_layout(session):
        removed.notes += Ledger(PostgresLedgerSession(session)).losses()
    for schema, name in session.run(queries("remove.sql")["tables"]):
        removed.notes.append(f"stopped tracking {qualified(schema, name)}")
    return removed


def _is_of_this_layout(session: Session) -> bool:
    sql = queries("prepare.sql")
    return bool(session.value(sql["versioned"])) and session.run(sql["state"])[0][0] == LAYOUT


def _refuse_dependents(session: Session) -> None:
    found = session.run(queries("remove.sql")["dependents"])
    if found:
        raise DatabaseError(
            f"the schema syncline is used by: {', '.join(name for (name,) in found)}",
            code="depended_on",
            remedy="Drop these first, then remove again; nothing was changed.",
        )
