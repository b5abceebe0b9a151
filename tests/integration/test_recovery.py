"""A centre that went back in time, or whose log begins after what a replica has seen.

Nothing pending is lost; what was pushed and lost comes again, once (laws L2, L3, L5, L6, L7)."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

import syncline
from syncline.replica.replica import Replica

DDL = """
CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT, visits INTEGER DEFAULT 0);
CREATE TABLE invoice (
    id TEXT PRIMARY KEY,
    customer INTEGER NOT NULL REFERENCES customer (id) ON DELETE CASCADE,
    total REAL CHECK (total >= 0),
    number INTEGER UNIQUE
);
INSERT INTO customer VALUES (1, 'Ada', 'London', 0), (2, 'Bob', 'Rome', 5), (3, 'Cleo', 'Paris', 7);
INSERT INTO invoice VALUES ('i1', 1, 1.5, 101), ('i2', 2, 2.5, 102), ('i3', 3, 3.5, 103);
"""
RULES = {"customer": syncline.Table(merge={"visits": "sum"}), "invoice": syncline.Table()}


class World:
    """A centre that can be put back to what it was, and connections of the applications."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with sqlite3.connect(folder / "centre.db") as made:
            made.executescript(DDL)
        made.close()
        self._open()
        self.hub.init()

    def _open(self) -> None:
        self.hub = syncline.Hub(f"sqlite:///{self.folder}/centre.db", tables=RULES)
        self.centre = self.application("centre.db")

    def close(self) -> None:
        self.centre.close()
        self.hub.close()

    def keep(self) -> None:
        """A backup of the centre as it is now."""
        (self.folder / "backup.db").unlink(missing_ok=True)
        self.centre.execute("VACUUM INTO ?", (str(self.folder / "backup.db"),))

    def restore(self) -> None:
        """The centre goes back to the backup."""
        self.close()
        for side in ("-wal", "-shm"):
            (self.folder / f"centre.db{side}").unlink(missing_ok=True)
        shutil.copy(self.folder / "backup.db", self.folder / "centre.db")
        self._open()

    def application(self, name: str) -> sqlite3.Connection:
        connection = sqlite3.connect(self.folder / name, isolation_level=None)
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    def device(self, name: str) -> sqlite3.Connection:
        syncline.clone(self.hub, self.folder / name).close()
        return self.application(name)

    def open(self, name: str) -> Replica:
        return syncline.connect(self.folder / name, self.hub)

    def sync(self, name: str) -> syncline.SyncReport:
        with self.open(name) as replica:
            return replica.sync()

    def agree(self, *devices: sqlite3.Connection) -> None:
        for table in ("customer", "invoice"):
            wanted = content(self.centre, table)
            assert [content(device, table) for device in devices] == [wanted] * len(devices)


def content(connection: sqlite3.Connection, table: str) -> list[tuple[object, ...]]:
    return connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def test_what_the_centre_lost_comes_again_once_and_pending_edits_are_kept(world: World) -> None:
    a, b = world.device("a.db"), world.device("b.db")
    a.execute("UPDATE customer SET visits = visits + 1 WHERE id = 1")
    world.sync("a.db")
    world.sync("b.db")
    world.keep()
    a.execute("UPDATE customer SET visits = visits + 10, city = 'Bath' WHERE id = 1")
    world.sync("a.db")
    a.execute("INSERT INTO customer VALUES (9, 'Ida', NULL, 3)")
    a.execute("DELETE FROM invoice WHERE id = 'i3'")
    world.sync("a.db")
    world.sync("b.db")
    b.execute("UPDATE customer SET visits = visits + 100, name = 'Ada L.' WHERE id = 1")
    a.execute("UPDATE customer SET visits = visits + 1000 WHERE id = 1")
    a.execute("INSERT INTO invoice VALUES ('i9', 9, 1.0, 109)")
    world.restore()
    report = world.sync("a.db")
    assert report.recovered is not None
    assert (report.recovered.reason, report.recovered.offered, report.recovered.missing) == ("restored", 2, 0)
    assert (report.pending, report.push.rejected) == (0, ())
    world.sync("b.db")
    assert world.sync("a.db").recovered is None
    world.agree(a, b)
    assert content(world.centre, "customer")[0] == (1, "Ada L.", "Bath", 1111)
    assert not list(world.folder.glob("*.refilling*"))
