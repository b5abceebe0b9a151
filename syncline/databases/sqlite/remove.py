"""The opposite of `init`: Syncline's triggers and tables go, everything of the user's stays as it is."""

from __future__ import annotations

import sqlite3

from syncline.databases.base.removal import removal
from syncline.databases.sqlite.capture import CAPTURING
from syncline.databases.sqlite.prepare import SqlitePreparation
from syncline.hub.contract import Prepared
from syncline.sqlitekit.sql import literal, quote

_OURS = f"(name LIKE '\\_sync\\_hub%' ESCAPE '\\' AND (type = 'table' OR instr(sql, {literal(CAPTURING)})))"


def remove(connection: sqlite3.Connection) -> Prepared:
    """Do it, inside the caller's transaction. Does nothing where there is nothing of Syncline's."""
    if SqlitePreparation(connection).is_ours() is None:
        return Prepared()
    ours = connection.execute(f"SELECT type, name, tbl_name FROM sqlite_master WHERE {_OURS}").fetchall()
    names = {kind: [name for found, name, _ in ours if found == kind] for kind in ("trigger", "table")}
    statements = [f"DROP {kind.upper()} {quote(name)}" for kind, found in names.items() for name in found]
    tables = sorted({table for kind, _, table in ours if kind == "trigger"})
    ledger = SqlitePreparation(connection).ledger_here()
    done = removal(statements, _dependents(connection), ledger, tables)
    for statement in statements:
        connection.execute(statement)
    if connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchone()[0]:
        done.notes.append("SQLite keeps its own table sqlite_sequence once any table has used AUTOINCREMENT.")
    done.notes.append("The file stays in WAL mode; PRAGMA journal_mode = DELETE would change it back.")
    return done


def _dependents(connection: sqlite3.Connection) -> list[str]:
    """A view or trigger of the user's that reads our tables would fail from then on. What it is called says
    nothing."""
    found = connection.execute(
        f"SELECT type || ' ' || name FROM sqlite_master WHERE NOT {_OURS}"
        " AND type IN ('view', 'trigger') AND replace(sql, name, '') LIKE '%\\_sync\\_hub%' ESCAPE '\\'"
        " ORDER BY 1"
    )
    return [name for (name,) in found]
