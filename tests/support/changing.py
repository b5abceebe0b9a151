"""A centre whose tables change, kept in memory, and a device that follows it: for tests of the replica."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from syncline.databases.sqlite.reflect import reflect
from syncline.model.numbering import Renamed, renumbered
from syncline.protocol.flows import run
from syncline.protocol.messages import Push
from syncline.replica import sync
from syncline.replica.device import Device
from syncline.replica.hydrate import fill
from syncline.replica.progress import silent
from syncline.replica.reports import SyncReport
from syncline.testing.faults import CrashingStore
from tests.support.device import schema_of
from tests.support.peer import Peer

DDL = """
CREATE TABLE owner (id TEXT PRIMARY KEY, name TEXT, score INTEGER);
CREATE TABLE thing (id INTEGER PRIMARY KEY, owner TEXT REFERENCES owner (id) DEFERRABLE INITIALLY DEFERRED,
    title TEXT NOT NULL, note TEXT);
INSERT INTO owner VALUES ('a', 'Ada', 10), ('b', 'Bob', 20);
INSERT INTO thing VALUES (1, 'a', 'one', 'n1'), (2, 'b', 'two', 'n2'), (3, NULL, 'three', 'n3');
"""


class Changing:
    """A centre whose tables change, and a device that was cloned before."""

    def __init__(self, path: Path) -> None:
        self.centre = sqlite3.connect(":memory:", isolation_level=None)
        self.centre.executescript(DDL)
        self.peer = Peer(schema_of(self.centre, ["score"]), {})
        self._read()
        self.store = CrashingStore.open_private(path)
        self.app = sqlite3.connect(path, isolation_level=None)
        self.app.execute("PRAGMA foreign_keys = ON")
        run(fill(self.store, None, silent), self.peer)

    def alter(
        self, script: str, columns: Mapping[str, Mapping[str, str]] | None = None, **tables: str
    ) -> None:
        """Change the centre. Renames are told apart by what is said of them: the former names of `columns` by
        table and present name, and of `tables` by present name."""
        self.centre.executescript(script)
        before = self.peer.schema
        found = reflect(self.centre, _tables(self.centre)).schema
        former = {table.name: table for table in before.tables}
        numbers, known = {}, {}
        for table in found.tables:
            was = former.get(tables.get(table.name, table.name))
            if was is not None:
                names = {column.name: column.number for column in was.columns}
                moved = (columns or {}).get(table.name, {})
                olds = {column.name: moved.get(column.name, column.name) for column in table.columns}
                numbers[table.central_schema, table.central_name] = was.number
                known[was.number] = {new: names[old] for new, old in olds.items() if old in names}
        self.peer.schema = renumbered(found, before, Renamed(numbers, known))
        self._read()

    def write(self, sql: str, table: str) -> None:
        """Change rows in the centre, and have every row of the table as news."""
        self.centre.execute(sql)
        self._read()
        self.peer.news.append([self.peer.group(self.peer.schema.table(table))])

    def _read(self) -> None:
        for name in _tables(self.centre):
            self.peer.rows[name] = _all(self.centre, name)

    @property
    def device(self) -> Device:
        return Device.load(self.store)

    def sync(self) -> SyncReport:
        return run(sync.sync(self.device, silent), self.peer)

    def pull(self) -> None:
        run(sync.pull(self.device, silent), self.peer)

    def all(self, table: str) -> list[dict[str, Any]]:
        return _all(self.app, table)

    def pushed(self) -> list[Push]:
        return [request for request in self.peer.asked if isinstance(request, Push)]

    def close(self) -> None:
        self.store.close()
        self.app.close()
        self.centre.close()


def _tables(app: sqlite3.Connection) -> list[str]:
    return [name for (name,) in app.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]


def _all(app: sqlite3.Connection, table: str) -> list[dict[str, Any]]:
    cursor = app.execute(f'SELECT * FROM "{table}" ORDER BY 1')
    names = [part[0] for part in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]
