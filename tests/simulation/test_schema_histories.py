"""Random histories in which the centre's tables change; devices follow, lag behind, crash, lose messages.

In the end every device has what the centre has in the tables and columns that it follows (L5), nothing is
pending, no file breaks a foreign key, and every edit of a device is in the centre or kept as rejected (L2).
"""

from __future__ import annotations

import random
import sqlite3
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

import syncline
from syncline.errors import StoreError, UsageError
from syncline.protocol.flows import run
from syncline.replica import upgrade
from syncline.replica.device import Device
from syncline.replica.hydrate import fill
from syncline.replica.pending import pending_edits
from syncline.replica.progress import silent
from syncline.replica.rejected import rejected
from syncline.testing.faults import (
    CrashingStore,
    FaultyTransport,
    exchange_in_peace,
    exchange_under_faults,
)
from syncline.transports.local import LocalTransport

DDL = """
CREATE TABLE farm (id INTEGER PRIMARY KEY, a TEXT, b TEXT NOT NULL DEFAULT 'b', c INTEGER);
CREATE TABLE visit (id INTEGER PRIMARY KEY,
    farm INTEGER REFERENCES farm (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED, note TEXT);
"""
OWN = 100_000
"""A device inserts rows under numbers of its own: no two devices make the same one."""


class Phone:
    """A device, and what its application does with the tables as it finds them."""

    def __init__(self, world: World, place: int) -> None:
        self.rng, self.path = world.rng, world.folder / f"phone{place}.db"
        self.store = CrashingStore.open_private(self.path)
        run(fill(self.store, None, silent), LocalTransport(world.hub))
        self.app = sqlite3.connect(self.path, isolation_level=None)
        self.app.execute("PRAGMA foreign_keys = ON")
        self.line = FaultyTransport(LocalTransport(world.hub), world.rng, self.write)
        self.fresh = count(place * OWN)

    def write(self) -> None:
        """One random statement on a tracked table, with columns that are there."""
        table = self.rng.choice([row[0] for row in self.app.execute("SELECT name FROM _sync_table")])
        columns = [
            row[1]
            for row in self.app.execute(f'PRAGMA table_info("{table}")')
            if not row[5] and row[1] != "farm" and not row[1].startswith("_")
        ]
        rows = [row[0] for row in self.app.execute(f'SELECT id FROM "{table}" ORDER BY id')]
        where = f"id = {self.rng.choice(rows) if rows else 0}"
        kind = self.rng.choice("IUUUD")
        with suppress(sqlite3.OperationalError):  # locked for a moment
            if kind == "I":
                self.app.execute(f'INSERT INTO "{table}" (id) VALUES (?)', (next(self.fresh),))
            elif kind == "U" and columns:
                value = self.rng.choice([f"{self.path.stem} {next(self.fresh)}", "x"])
                self.app.execute(
                    f'UPDATE "{table}" SET "{self.rng.choice(columns)}" = ? WHERE {where}', (value,)
                )
            elif kind == "D" and self.rng.random() < 0.3:
                self.app.execute(f'DELETE FROM "{table}" WHERE {where}')

    def exchange(self) -> None:
        with suppress(StoreError):  # another program had the file, or the centre was altered meanwhile
            exchange_under_faults(self.rng, self.store, self.line, 150)

    def upgrade(self) -> None:
        with suppress(UsageError):
            upgrade.upgrade(Device.load(self.store))

    def close(self) -> None:
        self.app.close()
        self.store.close()


class World:
    """A centre that is altered, and devices."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.rng = folder, random.Random(seed)
        self.centre = sqlite3.connect(folder / "centre.db", isolation_level=None, timeout=20)
        self.centre.executescript(DDL)
        self.centre.executemany("INSERT INTO farm (id, a) VALUES (?, 'start')", ((i,) for i in range(8)))
        self.centre.executemany("INSERT INTO visit (id, farm) VALUES (?, ?)", ((i, i % 8) for i in range(8)))
        self.hub = syncline.Hub(f"sqlite:///{folder}/centre.db")
        self.hub.init()
        self.names = count(1)
        self.phones = [Phone(self, place) for place in (1, 2, 3)]

    def tables(self) -> list[str]:
        found = self.centre.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
        return [name for name, _ in found if not name.startswith(("_sync", "sqlite"))]

    def alter(self) -> None:
        """One random change that devices can follow."""
        table, fresh = self.rng.choice(self.tables()), f"n{next(self.names)}"
        columns = [row[1] for row in self.centre.execute(f"PRAGMA table_info({table})")]
        free = [name for name in columns if name not in ("id", "farm")]
        kinds = ["add", "default", "table", "index"] + ["rename", "drop"] * bool(free) + ["name"]
        match self.rng.choice(kinds):
            case "add":
                script = (
                    f"ALTER TABLE {table} ADD COLUMN {fresh} TEXT; UPDATE {table} SET {fresh} = 'v' || id"
                )
            case "default":
                script = f"ALTER TABLE {table} ADD COLUMN {fresh} TEXT NOT NULL DEFAULT 'd'"
            case "table":
                script = f"CREATE TABLE {fresh} (id INTEGER PRIMARY KEY, x TEXT);"
                script += f"INSERT INTO {fresh} VALUES (1, 'x')"
            case "index":
                script = f"CREATE INDEX {fresh} ON {table} ({', '.join(columns)})"
            case "rename":
                script = f"ALTER TABLE {table} RENAME COLUMN {self.rng.choice(free)} TO {fresh}"
            case "name":
                script = f"ALTER TABLE {table} RENAME TO {fresh}"
            case _:
                script = self._drop(table, self.rng.choice(free))
        self.centre.executescript(script)
        self.hub.init()

    def _drop(self, table: str, column: str) -> str:
        """SQLite drops no column that a trigger names: as with other tools, a new table takes its place."""
        facts = self.centre.execute(f"PRAGMA table_info({table})").fetchall()
        kept = [row for row in facts if row[1] != column]
        parts = [
            f"{name} {declared}{' PRIMARY KEY' if key else ''}{' NOT NULL' * required}"
            + (f" DEFAULT {default}" if default else "")
            for _, name, declared, required, default, key in kept
        ]
        for _, _, parent, own, theirs, *_ in self.centre.execute(f"PRAGMA foreign_key_list({table})"):
            parts.append(
                f"FOREIGN KEY ({own}) REFERENCES {parent} ({theirs}) ON DELETE CASCADE"
                " DEFERRABLE INITIALLY DEFERRED"
            )
        names = ", ".join(row[1] for row in kept)
        return (
            f"PRAGMA foreign_keys = OFF; CREATE TABLE fresh ({', '.join(parts)});"
            f"INSERT INTO fresh ({names}) SELECT {names} FROM {table}; DROP TABLE {table};"
            f"ALTER TABLE fresh RENAME TO {table}"
        )

    def write(self) -> None:
        table = self.rng.choice(self.tables())
        columns = [
            row[1]
            for row in self.centre.execute(f"PRAGMA table_info({table})")
            if row[1] not in ("id", "farm")
        ]
        if columns:
            sql = f"UPDATE {table} SET {self.rng.choice(columns)} = 'centre' WHERE id % 5 = ?"
            self.centre.execute(sql, (self.rng.randint(0, 4),))

    def step(self) -> None:
        phone = self.rng.choice(self.phones)
        match self.rng.choice(["write"] * 6 + ["exchange"] * 4 + ["centre"] * 2 + ["alter", "upgrade"]):
            case "write":
                phone.write()
            case "exchange":
                phone.exchange()
            case "centre":
                self.write()
            case "alter":
                self.alter()
            case _:
                phone.upgrade()

    def agree(self) -> None:
        for _ in range(2):
            for phone in self.phones:
                exchange_in_peace(phone.store, phone.line)
        for phone in self.phones:
            device = Device.load(phone.store)
            assert device.hub == self.hub.schema
            assert pending_edits(device) == {} and len(device.tables) == len(self.tables())
            assert phone.app.execute("PRAGMA foreign_key_check").fetchall() == []
            assert phone.app.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            for n, t in device.tables.items():
                theirs = device.hub.by_number[n]
                ours = ", ".join(f'"{column.name}"' for column in t.table.columns)
                here = phone.app.execute(f'SELECT {ours} FROM "{t.table.name}" ORDER BY id').fetchall()
                names = ", ".join(f'"{column.name}"' for column in theirs.columns)
                there = self.centre.execute(f'SELECT {names} FROM "{theirs.name}" ORDER BY id').fetchall()
                assert here == there, (phone.path.stem, theirs.name)
            assert {edit.code for edit in rejected(device)} <= {
                "column_dropped",
                "table_dropped",
                "foreign_key_violation",
            }

    def close(self) -> None:
        for phone in self.phones:
            phone.close()
        self.hub.close()
        self.centre.close()


@pytest.mark.parametrize("seed", range(12))
def test_devices_follow_a_centre_whose_tables_change(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, seed)
    for _ in range(60):
        world.step()
    world.agree()
    world.close()
