"""A table in canonical order, whatever collation the database has.

Integers, floats, booleans, bytea and uuid have that order themselves, so that the primary key's index
serves; everything else travels as text and is ordered by that text's bytes (collation "C").
"""

from __future__ import annotations

from syncline.databases.base.bounds import Bound, bound_of
from syncline.databases.base.codec import is_uuid
from syncline.databases.postgresql.layout import Shape
from syncline.databases.postgresql.types import Codec
from syncline.hub.contract import Key


def scan_statement(shape: Shape, after: Key | None, upto: Key | None) -> tuple[str, list[str | None]]:
    """Whole rows with a key above `after` up to and with `upto`, and what to bind."""
    tests: list[str] = []
    bound: list[str | None] = []
    for limit, beyond in ((after, True), (upto, False)):
        if limit is not None:
            point = bound_of(shape.keys, limit)
            tests.append(_test(shape, point, beyond, len(bound)))
            bound += [codec.spell([value])[0] for codec, value in zip(shape.keys, point.values, strict=False)]
    chosen = ", ".join(shape.read_keys("t") + shape.read_values(shape.values))
    order = ", ".join(_ordered(codec, f"t.{name}") for codec, name in _keys(shape))
    where = f" WHERE {' AND '.join(tests)}" if tests else ""
    return f"SELECT {chosen} FROM {shape.name} AS t{where} ORDER BY {order}", bound


def _test(shape: Shape, point: Bound, beyond: bool, given: int) -> str:
    if not point.values:
        return "true" if beyond != point.behind_equals else "false"
    sides, marks = [], []
    for number, ((codec, name), value) in enumerate(zip(_keys(shape), point.values, strict=False), given + 1):
        native = codec.kind != "uuid" or is_uuid(str(value)) is not None
        sides.append(_ordered(codec, f"t.{name}") if native else _bytewise(codec, f"t.{name}"))
        marks.append(f"${number}::{'uuid' if codec.kind == 'uuid' and native else codec.stage}")
    compare = (">" if point.behind_equals else ">=") if beyond else ("<=" if point.behind_equals else "<")
    return f"({', '.join(sides)}) {compare} ({', '.join(marks)})"


def _keys(shape: Shape) -> list[tuple[Codec, str]]:
    return list(zip(shape.keys, shape.key_names, strict=True))


def _ordered(codec: Codec, column: str) -> str:
    """What a key column is ordered by."""
    if codec.kind == "boolean":
        return codec.read(column)
    return column if codec.kind == "uuid" or not codec.is_text else _bytewise(codec, column)


def _bytewise(codec: Codec, column: str) -> str:
    return f'({codec.read(column)}) COLLATE "C"'
