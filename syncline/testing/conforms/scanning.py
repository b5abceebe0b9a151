"""Tables in canonical order: the same rows in the same order from every database, between any bounds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest

from syncline.hub.contract import Key
from syncline.model.order import place
from syncline.model.scope import UNBOUNDED
from syncline.model.values import INTEGER_MAX, INTEGER_MIN, Value
from syncline.testing.conforms.centre import World

TEXTS = (
    "",
    " ",
    "!",
    "10",
    "9",
    "A",
    "B",
    "Z",
    "_",
    "a",
    "a!",
    "ab",
    "b",
    "z",
    "É",
    "é",
    "ß",
    "א",
    "€",
    "😀",
)
INTEGERS = (INTEGER_MIN, -(2**53) - 1, -10, -9, -1, 0, 1, 9, 10, 2**53 + 1, INTEGER_MAX)
BLOBS = (b"", b"\0", b"\0\0", b"\x7f", b"\x80", b"\xff", b"\xff\0")
FLOATS = (-math.inf, -1e300, -1.5, -5e-324, 0.0, 0.1, 1.0, 2.0**63, math.inf)
STRANGE: tuple[Value, ...] = (
    None, "", "a\0b", "NaN", "Na", "Nb", "0x", "10", "\U0010ffff", b"", b"a", b"\xff", 0, 1, -1, 10, 0.5,
    -0.5, -0.0, 9.5, 1e300, -1e300, math.inf, -math.inf, INTEGER_MIN, INTEGER_MAX, 2**53 + 1,
)  # fmt: skip
"""Bounds of every class, many of which no row of a column can have."""


class ScanConformance:
    """`scan`."""

    def test_a_scan_gives_whole_rows_in_canonical_order(self, world: World) -> None:
        rows: list[list[Value]] = [[*key, "note"] for key in _spots(world)]
        world.push(world.stage("insert", "spot", rows))
        assert scan(world, "spot") == sorted(rows, key=lambda row: place(row[:4]))

    @pytest.mark.parametrize("size", [1, 2, 3, 1000])
    def test_a_scan_is_taken_in_pieces(self, world: World, size: int) -> None:
        world.push(world.stage("insert", "customer", [[text, None, None, 1] for text in TEXTS]))
        with (
            world.database.read(UNBOUNDED) as transaction,
            transaction.rows.scan(world.number("customer"), None, None) as take,
        ):
            pieces = []
            while piece := take(size):
                pieces.append(len(piece))
        assert sum(pieces) == len(TEXTS)
        assert all(piece == size for piece in pieces[:-1])

    @pytest.mark.parametrize(("table", "keys"), [("customer", TEXTS), ("sample", INTEGERS[1:-1])])
    def test_the_bounds_may_be_any_values(self, world: World, table: str, keys: Sequence[Value]) -> None:
        width = len(world.schema.table(table).values)
        if table == "sample":
            keys = [key for key in keys if isinstance(key, int) and abs(key) < 2**31]
        world.push(world.stage("insert", table, [[key, *[None] * width] for key in keys]))
        for bound in STRANGE:
            above = [row[0] for row in scan(world, table, (bound,))]
            assert above == [key for key in _sorted(keys) if place((key,)) > place((bound,))], bound
            below = [row[0] for row in scan(world, table, None, (bound,))]
            assert below == [key for key in _sorted(keys) if place((key,)) <= place((bound,))], bound

    def test_the_bounds_of_a_composite_key_may_be_any_values(self, world: World) -> None:
        keys = _spots(world)
        world.push(world.stage("insert", "spot", [[*key, None] for key in keys]))
        first = ("a", 9, b"\xff", 1.0)
        for index, value in itertools.product(range(4), STRANGE):
            bound = (*first[:index], value, *first[index + 1 :])
            wanted = [key for key in keys if place(key) > place(bound)]
            assert {tuple(row[:4]) for row in scan(world, "spot", bound)} == set(wanted), bound
            wanted = [key for key in keys if place(key) <= place(bound)]
            assert {tuple(row[:4]) for row in scan(world, "spot", None, bound)} == set(wanted), bound

    def test_two_bounds_enclose_a_range(self, world: World) -> None:
        world.push(world.stage("insert", "customer", [[text, None, None, 1] for text in TEXTS]))
        found = [row[0] for row in scan(world, "customer", ("A",), ("b",))]
        assert found == ["B", "Z", "_", "a", "a!", "ab", "b"]

    def test_l5_a_scan_stays_at_its_instant(self, world: World) -> None:
        world.insert("customer (id)", "('a')", "('c')")
        with (
            world.database.read(UNBOUNDED) as transaction,
            transaction.rows.scan(world.number("customer"), None, None) as take,
        ):
            found = [row[0] for row in take(1)]
            world.run("INSERT INTO customer (id) VALUES ('b')", "DELETE FROM customer WHERE id = 'c'")
            found += [row[0] for row in take(10)]
        assert found == ["a", "c"]


def scan(world: World, table: str, after: Key | None = None, upto: Key | None = None) -> list[list[Value]]:
    """All rows of a scan."""
    with (
        world.database.read(UNBOUNDED) as transaction,
        transaction.rows.scan(world.number(table), after, upto) as take,
    ):
        return [list(row) for row in take(100_000)]


def _sorted(keys: Sequence[Value]) -> list[Value]:
    return sorted(keys, key=lambda key: place((key,)))


def _spots(world: World) -> list[tuple[str, int, bytes, float]]:
    """Keys that agree in their first columns and differ in later ones."""
    found = [(text, 9, b"\xff", 1.0) for text in TEXTS]
    found += [("a", number, b"\xff", 1.0) for number in INTEGERS]
    found += [("a", 9, blob, 1.0) for blob in BLOBS]
    floats = [one for one in FLOATS if world.words.infinite_floats or math.isfinite(one)]
    found += [("a", 9, b"\xff", one) for one in floats]
    return list(dict.fromkeys(found))
