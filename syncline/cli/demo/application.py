"""The demo's application: an ordinary program on an ordinary SQLite file. It has never heard of Syncline.

That is why it, alone outside the stores, imports `sqlite3`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

TABLES = """
CREATE TABLE site (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    phone TEXT,
    gate_code TEXT
);
CREATE TABLE part (
    code TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    stock INTEGER NOT NULL CHECK (stock >= 0),
    price REAL NOT NULL
);
CREATE TABLE visit (
    id TEXT PRIMARY KEY,
    site_id INTEGER NOT NULL REFERENCES site (id),
    engineer TEXT NOT NULL,
    day TEXT NOT NULL,
    hour INTEGER NOT NULL,
    report TEXT,
    UNIQUE (site_id, day, hour)
);
"""
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
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executescript(TABLES)
        connection.executemany("INSERT INTO site VALUES (?, ?, ?, ?)", SITES)
        connection.executemany("INSERT INTO part VALUES (?, ?, ?, ?)", PARTS)
        connection.executemany("INSERT INTO visit VALUES (?, ?, ?, ?, ?, ?)", VISITS)


def execute(file: Path, *statements: str) -> None:
    """Run statements, each in a transaction of its own, as any program would."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        for statement in statements:
            with connection:
                connection.execute(statement)


def ask(file: Path, query: str, values: Sequence[Any] = ()) -> Any:
    """The first column of the first row."""
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(query, values).fetchone()[0]


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
    with closing(sqlite3.connect(file)) as connection:
        return {
            table: [
                tuple(f"{type(cell).__name__} {cell!r}" for cell in row)
                for row in connection.execute(f"SELECT * FROM {table} ORDER BY {key}")
            ]
            for table, key in KEYS.items()
        }
