"""Canonical order on PostgreSQL, whatever the key's type and collation: as Python and SQLite order."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing

import pytest

from syncline.model.order import place
from syncline.model.scope import UNBOUNDED
from syncline.model.values import Value
from syncline.testing.conforms.centre import World
from syncline.testing.conforms.scanning import BLOBS, FLOATS, INTEGERS, STRANGE, TEXTS, scan
from tests.support.postgres import prepared

SETUP = (
    "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy', 'Ok')",
    "CREATE DOMAIN age AS integer CHECK (VALUE >= 0)",
    "CREATE COLLATION folding (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
)
TYPES: dict[str, list[Value]] = {
    "smallint": [-32768, -1, 0, 5, 32767],
    "integer": [-(2**31), -10, -9, 0, 9, 10, 2**31 - 1],
    "bigint": list(INTEGERS),
    "age": [0, 1, 10, 9, 100],
    "boolean": [0, 1],
    "real": [float("-inf"), -1.5, 0.0, 0.5, 2.0**100, float("inf"), "NaN"],
    "double precision": [*FLOATS, "NaN"],
    "bytea": list(BLOBS),
    "uuid": [
        f"{head:08x}-0000-4000-8000-{tail:012x}" for head in (0, 9, 10, 2**31) for tail in (0, 1, 2**47)
    ],
    "text": list(TEXTS),
    'text COLLATE "en-x-icu"': list(TEXTS),
    "text COLLATE folding": ["", "a", "B", "c", "ß", "é", "😀", "א"],
    "varchar(9)": list(TEXTS),
    "char(3)": ["", "a", "B", "ab", "éa"],
    "numeric": ["-10", "-9", "0.10", "1", "10", "9", "1e3".replace("1e3", "1000"), "NaN"],
    "date": ["2024-02-29", "0044-03-15 BC", "infinity", "-infinity", "10000-01-01", "1999-12-31"],
    "timestamptz": [
        "2024-02-29T23:59:59.5Z",
        "2024-02-29T23:59:59Z",
        "0044-03-15 12:00:00+00 BC",
        "infinity",
    ],
    "timestamp": ["2024-01-01T00:00:00", "2024-01-01T00:00:00.5", "294276-12-31T23:59:59.999999"],
    "interval": ["P1D", "PT24H", "P1M", "PT1S"][1:],
    "mood": ["sad", "ok", "happy", "Ok"],
    "inet": ["10.0.0.1", "9.0.0.1", "::1", "10.0.0.0/8"],
    "int4range": ["[1,5)", "[10,11)", "empty", "(,)"],
    "jsonb": ['"a"', "1", "[]", '{"a": 1}'],
}


def filled(url: str, central: str) -> tuple[World, list[Value]]:
    """A table with such a key, and the keys as they travel, in no order."""
    world = prepared(url, *SETUP, f"CREATE TABLE thing (k {central} NOT NULL PRIMARY KEY, v text)")
    keys = random.Random(central).sample(TYPES[central], len(TYPES[central]))
    world.push(world.stage("insert", "thing", [[key, "v"] for key in keys]))
    with world.database.read(UNBOUNDED) as transaction:
        stored = [row[0] for row in transaction.rows.chunk(0, None, 1000)]
    assert len(stored) == len(keys)
    return world, stored


def order(keys: list[Value]) -> list[Value]:
    """As Python orders them, which is as SQLite does."""
    ordered = sorted(keys, key=lambda key: place((key,)))
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE k (k)")
        connection.executemany("INSERT INTO k VALUES (?)", [(key,) for key in keys])
        assert ordered == [key for (key,) in connection.execute("SELECT k FROM k ORDER BY k")]
    return ordered


@pytest.mark.parametrize("central", TYPES)
def test_a_key_of_any_type_is_scanned_in_canonical_order_between_any_bounds(
    postgres_url: str, central: str
) -> None:
    world, stored = filled(postgres_url, central)
    wanted = order(stored)
    assert [row[0] for row in scan(world, "thing")] == wanted
    for bound in (*stored, *STRANGE, *TEXTS, "0000000a", "2024-02-29T23:59:59.7Z", "A0000000-"):
        above, below = scan(world, "thing", (bound,)), scan(world, "thing", None, (bound,))
        split = sum(place((key,)) <= place((bound,)) for key in wanted)
        assert [row[0] for row in below] == wanted[:split], bound
        assert [row[0] for row in above] == wanted[split:], bound
    world.database.close()


def test_keys_of_several_columns_and_collations(postgres_url: str) -> None:
    world = prepared(
        postgres_url,
        'CREATE TABLE thing (a text COLLATE "en-x-icu", b real, c uuid, d numeric, PRIMARY KEY (b, a, d, c))',
    )
    dice = random.Random(7)
    uuids, numbers = TYPES["uuid"], ["10", "9", "-1"]
    keys = {
        (dice.choice([0.5, -1.0, "NaN"]), dice.choice(TEXTS), dice.choice(numbers), dice.choice(uuids))
        for _ in range(400)
    }
    rows: list[list[Value]] = [list(key) for key in keys]
    world.push(world.stage("insert", "thing", rows))
    wanted = sorted(rows, key=place)
    assert scan(world, "thing") == wanted
    for _ in range(60):
        bound = list(dice.choice(wanted))
        bound[dice.randrange(4)] = dice.choice([*STRANGE, *TEXTS])
        split = sum(place(row) <= place(bound) for row in wanted)
        assert scan(world, "thing", tuple(bound)) == wanted[split:], bound
        assert scan(world, "thing", None, tuple(bound)) == wanted[:split], bound
    world.database.close()
