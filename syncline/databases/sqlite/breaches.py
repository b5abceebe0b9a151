"""Foreign keys that nobody but COMMIT minds: what an action or a trigger has left pointing at nothing.

`foreign` asks of the staged rows, and of those that they leave behind. An action (SET DEFAULT, and CASCADE
into what others point at) and a trigger write rows that no stage names; SQLite counts what these break and
refuses the COMMIT, without a word on the row. So a transaction that was refused there is run again, and every
table is looked at then: those rows are at fault without which nothing is broken that was not before.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import suppress

from syncline.databases.sqlite.stage import keep
from syncline.sqlitekit.sql import literal
from syncline.sqlitekit.tables import Table

_BEFORE = "temp._sync_breaches"
_BROKEN = (
    "SELECT {name} AS tbl, rowid AS line, parent, fkid, count(*) AS many"
    " FROM pragma_foreign_key_check({name}) GROUP BY rowid, parent, fkid"
)


class Breaches:
    """What is broken besides what was when this was made. WITHOUT ROWID rows are counted."""

    def __init__(self, connection: sqlite3.Connection, tables: Iterable[Table]) -> None:
        self._connection = connection
        self._tables: list[str] = []
        keep(connection, _BEFORE, "SELECT '' AS tbl, 0 AS line, '' AS parent, 0 AS fkid, 0 AS many LIMIT 0")
        for table in tables:
            name = literal(table.name)
            with suppress(
                sqlite3.OperationalError
            ):  # what it points at has no such key: nothing can be written
                connection.execute(f"INSERT INTO {_BEFORE} {_BROKEN.format(name=name)}")
                self._tables.append(name)
        connection.execute("CREATE INDEX temp._sync_breaches_at ON _sync_breaches (tbl, line)")
        self._met: list[str] = []

    def found(self) -> bool:
        """Whether any is, in whatever table."""
        met = [name for name in self._tables if self._in(name) is not None]
        self._met += [name for name in met if name not in self._met]
        return bool(met)

    def again(self) -> str | None:
        """What is broken now, in the tables in which `found` has met something."""
        return next((said for name in self._met if (said := self._in(name)) is not None), None)

    def close(self) -> None:
        """Forget what was broken before."""
        self._connection.execute(f"DROP TABLE {_BEFORE}")

    def _in(self, name: str) -> str | None:
        row = self._connection.execute(
            f"SELECT parent, fkid FROM ({_BROKEN.format(name=name)}) AS a WHERE NOT EXISTS (SELECT 1 FROM"
            f" {_BEFORE} AS b WHERE b.tbl = a.tbl AND b.line IS a.line AND b.parent = a.parent"
            " AND b.fkid = a.fkid AND b.many >= a.many) LIMIT 1"
        ).fetchone()
        if row is None:
            return None
        keys = self._connection.execute(
            f'SELECT "from" FROM pragma_foreign_key_list({name}) WHERE id = ? ORDER BY seq', (row[1],)
        )
        columns, table = ", ".join(column for (column,) in keys), name[1:-1].replace("''", "'")
        return f"foreign key {columns} of {table}: a row of {table} would point at no row of {row[0]}"
