"""The table that is measured with, and its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

COLUMNS = ("id", "customer", "title", "note", "amount", "quantity", "active", "weight", "changed")

POSTGRESQL = """
CREATE TABLE {name} (
    id uuid PRIMARY KEY, customer bigint NOT NULL, title text, note text, amount numeric(12, 2),
    quantity integer NOT NULL, active boolean, weight double precision, changed timestamptz
)"""

SQLITE = """
CREATE TABLE {name} (
    id TEXT PRIMARY KEY NOT NULL, customer INTEGER NOT NULL, title TEXT, note TEXT, amount TEXT,
    quantity INTEGER NOT NULL, active INTEGER, weight REAL, changed TEXT
)"""

PLACES = ", ".join("?" * len(COLUMNS))
ITEM_INSERT = f"INSERT INTO item ({', '.join(COLUMNS)}) VALUES ({PLACES})"
BARE_UPSERT = (
    f"INSERT INTO bare_item ({', '.join(COLUMNS)}) VALUES ({PLACES}) ON CONFLICT (id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[1:])
)

Item = tuple[str, int, str, str, str, int, int, float, str]


def key(number: int) -> str:
    """A uuid as good as random, the same every time."""
    text = hashlib.md5(number.to_bytes(8, "big"), usedforsecurity=False).hexdigest()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def items(count: int, start: int = 0) -> list[Item]:
    """`count` rows in the portable form of values."""
    return [item(number) for number in range(start, start + count)]


def item(number: int) -> Item:
    return (
        key(number),
        number % 5_000,
        f"Delivery {number} to warehouse {number % 37}",
        f"left at the gate by driver {number % 211}, signed for",
        f"{number % 100_000}.{number % 100:02}",
        number % 1_000,
        number & 1,
        number / 7,
        f"2026-0{1 + number % 9}-1{number % 10}T0{number % 10}:00:{number % 60:02}.{number % 99_991:05}1Z",
    )


def chunks(count: int, size: int, start: int = 0) -> Iterator[list[Item]]:
    """Rows by the chunk, so that a million of them need no memory."""
    for first in range(start, start + count, size):
        yield items(min(size, start + count - first), first)
