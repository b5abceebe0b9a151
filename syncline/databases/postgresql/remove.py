"""The opposite of `init`: the schema `syncline` goes, with its functions the triggers."""

from __future__ import annotations

from syncline.databases.base import LAYOUT, Ledger
from syncline.databases.base.removal import removal
from syncline.databases.postgresql.dialect import PostgresLedgerSession
from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.sql import qualified, queries
from syncline.hub.contract import Prepared

DROP = "DROP SCHEMA syncline CASCADE"
"""The triggers depend on functions of the schema. What else depends on it was looked for before."""


def remove(session: Session) -> Prepared:
    """Do it. Does nothing where there is nothing of Syncline's."""
    removed = planned(session)
    for statement in removed.statements:
        session.script(statement)
    return removed


def planned(session: Session) -> Prepared:
    """What `remove` would do."""
    sql, prepared = queries("remove.sql"), queries("prepare.sql")
    if not session.value(prepared["prepared"]):
        return Prepared()
    is_ours = bool(session.value(prepared["versioned"])) and session.run(prepared["state"])[0][0] == LAYOUT
    dependents = [name for (name,) in session.run(sql["dependents"])]
    tables = [qualified(*place) for place in session.run(sql["tables"])]
    return removal([DROP], dependents, Ledger(PostgresLedgerSession(session)) if is_ours else None, tables)
