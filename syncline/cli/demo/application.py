"""The demo's application: plain SQL on an ordinary SQLite file. It calls nothing of Syncline's engine.

Its statements go through the store's plain connection, because the driver is imported in the stores
alone: a process must not have two copies of SQLite on one file.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from syncline.replica.store import Store

TABLES = [
    """
CREATE TABLE site (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    phone TEXT,
    gate_code TEXT
)""",
    """
CREATE TABLE part (
    code TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    stock INTEGER NOT NULL CHECK (stock >= 0),
    price REAL NOT NULL
)""",
    """
CREATE TABLE visit (
    id TEXT PRIMARY KEY,
    site_id INTEGER NOT NULL REFERENCES site (id),
    engineer TEXT NOT NULL,
    day TEXT NOT NULL,
    hour INTEGER NOT NULL,
    report TEXT,
    UNIQUE (site_id, day, hour)
)""",
]
KEYS = {"site": "id", "part": "code", "visit": "id"}
COUNTED_PART, STOCK = "SEAL-40", 40

SITES = [
    (1, "Mill Lane waterworks", "555-0100", "1203"),
    (2, "Harbour pumping station", "555-0110", None),
    (3, "Café Zoë, cellar", "555-0120", "7788"),
    (4, "Östra sjukhuset", "555-0130", "0042"),
    (5, "حديقة النخيل", None, "9001"),
]
PARTS = [
    (COUNTED_PART, "Shaft seal, 40 mm", STOCK, 12.5),
    ("BEAR-6204", "Bearing 6204", 16, 7.95),
    ("IMP-3", "Impeller, size 3", 4, 189.0),
    ("GASK-A4", "Gasket sheet", 25, 0.1),
]
VISITS = [
    ("v-001", 1, "Ana", "2026-03-02", 9, None),
    ("v-002", 2, "Bo", "2026-03-02", 9, "Bearing is noisy"),
    ("v-003", 3, "Cy", "2026-03-02", 14, None),
    ("v-004", 4, "Ana", "2026-03-03", 9, ""),
    ("v-005", 5, "Cy", "2026-03-03", 9, None),
]


def create(file: Path) -> None:
    """Make the company's database, before anybody thought of devices."""
    with closing(Store.open_private(file)) as store, store.transaction():
        for statement in TABLES:
            store.execute(statement)
        store.executemany("INSERT INTO site VALUES (?, ?, ?, ?)", SITES)
        store.executemany("INSERT INTO part VALUES (?, ?, ?, ?)", PARTS)
        store.executemany("INSERT INTO visit VALUES (?, ?, ?, ?, ?, ?)", VISITS)


def execute(file: Path, statement: str) -> None:
    """Run one statement in a transaction of its own, as any program would."""
    with closing(Store.open_file(file)) as store:
        store.execute(statement)


def ask(file: Path, query: str, values: Sequence[Any] = ()) -> Any:
    """The first column of the first row."""
    with closing(Store.open_file(file)) as store:
        return store.value(query, values)


def stock(file: Path) -> int:
    """How many of the counted part there are, as this file has it."""
    return int(ask(file, "SELECT stock FROM part WHERE code = ?", [COUNTED_PART]))


def gate_code(file: Path) -> str:
    """The gate code of the site that two people edit."""
    return str(ask(file, "SELECT gate_code FROM site WHERE id = 1"))


def site_name(file: Path) -> str:
    """The name of the site that the office renames."""
    return str(ask(file, "SELECT name FROM site WHERE id = 2"))


def sound(file: Path) -> bool:
    """SQLite's own opinion of the file."""
    return bool(ask(file, "PRAGMA integrity_check") == "ok")


def rows(file: Path) -> dict[str, list[tuple[str, ...]]]:
    """Every row of every table in key order, each cell with its type: 1, 1.0 and '1' are not equal."""
    with closing(Store.open_file(file)) as store:
        return {
            table: [
                tuple(f"{type(cell).__name__} {cell!r}" for cell in row)
                for row in store.rows(f"SELECT * FROM {table} ORDER BY {key}")
            ]
            for table, key in KEYS.items()
        }
