"""The opposite of `init`: Syncline's triggers and tables go, everything of the user's stays as it is."""

from __future__ import annotations

import sqlite3

from syncline.databases.base import LAYOUT, Ledger
from syncline.databases.sqlite.dialect import SqliteLedgerSession
from syncline.errors import DatabaseError
from syncline.hub.contract import Prepared
from syncline.sqlitekit.sql import quote

_OURS = "name LIKE '\\_sync\\_hub%' ESCAPE '\\'"


def remove(connection: sqlite3.Connection) -> Prepared:
    """Do it, inside the caller's transaction. Does nothing where there is nothing of Syncline's."""
    done = Prepared()
    ours = connection.execute(f"SELECT type, name FROM sqlite_master WHERE {_OURS}").fetchall()
    names = {kind: [name for found, name in ours if found == kind] for kind in ("trigger", "table")}
    if not names["table"]:
        return done
    _refuse_dependents(connection)
    _say_what_is_lost(connection, done)
    for kind in ("trigger", "table"):
        for name in names[kind]:
            statement = f"DROP {kind.upper()} {quote(name)}"
            connection.execute(statement)
            done.statements.append(statement)
    if connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchone()[0]:
        done.notes.append("SQLite keeps its own table sqlite_sequence once any table has used AUTOINCREMENT.")
    done.notes.append("The file stays in WAL mode; PRAGMA journal_mode = DELETE would change it back.")
    return done


def _refuse_dependents(connection: sqlite3.Connection) -> None:
    """A view or trigger of the user's that reads our tables would fail from then on."""
    found = connection.execute(
        f"SELECT type || ' ' || name FROM sqlite_master WHERE NOT {_OURS}"
        " AND type IN ('view', 'trigger') AND sql LIKE '%\\_sync\\_hub%' ESCAPE '\\' ORDER BY 1"
    ).fetchall()
    if found:
        raise DatabaseError(
            f"the tables of Syncline are used by: {', '.join(name for (name,) in found)}",
            code="depended_on",
            remedy="Drop these first, then remove again; nothing was changed.",
        )


def _say_what_is_lost(connection: sqlite3.Connection, done: Prepared) -> None:
    versioned = connection.execute("SELECT 1 FROM sqlite_master WHERE name = '_sync_hub_versions'").fetchone()
    if versioned and connection.execute("SELECT layout FROM _sync_hub").fetchone() == (LAYOUT,):
        done.notes += Ledger(SqliteLedgerSession(connection)).losses()
    for (table,) in connection.execute(
        f"SELECT DISTINCT tbl_name FROM sqlite_master WHERE type = 'trigger' AND {_OURS} ORDER BY 1"
    ):
        done.notes.append(f"Removed capture from {table}.")
