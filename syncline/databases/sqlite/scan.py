"""A table in canonical order: SQLite's own under the collation BINARY, compared by storage class."""

from __future__ import annotations

from syncline.databases.sqlite.layout import Shape
from syncline.hub.contract import Key
from syncline.model.values import Value
from syncline.sqlitekit.sql import commas


def scan_statement(shape: Shape, after: Key | None, upto: Key | None) -> tuple[str, list[Value]]:
    """Whole rows with a key above `after` up to and with `upto`, and what to bind."""
    names = shape.key_of("t")
    tests = [f"{name} IS NOT NULL" for name, c in zip(names, shape.table.keys, strict=True) if c.nullable]
    bound: list[Value] = []
    for limit, compare, whole in ((after, ">", "1"), (upto, "<=", "0")):
        if limit is None:
            continue
        known = limit.index(None) if None in limit else len(limit)
        if known < len(limit):  # nothing in the table is as low as NULL
            compare = {">": ">=", "<=": "<"}[compare]
        sides = [_side(shape, index, value) for index, value in enumerate(limit[:known])]
        tests.append(f"({commas(sides)}) {compare} ({commas('?' * known)})" if known else whole)
        bound += limit[:known]
    order = commas(_ordered(shape, index) for index in range(shape.arity))
    where = " AND ".join(tests) or "1"
    chosen = commas(names + shape.values_of("t"))
    return f"SELECT {chosen} FROM {shape.name} AS t WHERE {where} ORDER BY {order}", bound


def _ordered(shape: Shape, index: int) -> str:
    """A key column in the order of its bytes."""
    name, (_, collation) = shape.key_of("t")[index], shape.facts.key[index]
    return name if collation.upper() == "BINARY" else f"{name} COLLATE BINARY"


def _side(shape: Shape, index: int, value: Value) -> str:
    """A key column to compare with this value, which its affinity must not turn into another class."""
    ordered, affinity = _ordered(shape, index), shape.affinity(shape.table.key[index])
    turned = isinstance(value, str) if affinity not in ("TEXT", "") else isinstance(value, (int, float))
    return f"+{ordered}" if affinity and turned else ordered
