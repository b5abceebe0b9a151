"""Keys and values that only the server can judge: what it would not write, and how it would write the others.

A cast that fails fails for all rows of a statement: then the statement is asked `guarded`, which looks first
what can be computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from syncline.databases.base import statements
from syncline.databases.base.staged import Verbs
from syncline.databases.base.statements import SOURCE
from syncline.databases.base.typed import TypedShape

ROUNDED = frozenset(["decimal", "float", "interval", "time", "timetz", "timestamp", "timestamptz"])
"""Kinds whose values an INSERT brings to the digits of their column."""


def guarded(
    session: Verbs, unreadable: type[Exception], build: Callable[[bool], str], *values: Any
) -> Sequence[Sequence[Any]]:
    """Run a query that casts text; if some of it cannot be cast, the one that asks first."""
    try:
        with session.savepoint():
            return session.run(build(False), *values)
    except unreadable:
        return session.run(build(True), *values)


def misspelled(shape: TypedShape[Any], *, guarded: bool) -> str:
    """The numbers of rows whose key is not spelled as the server spells it."""
    tests, computable = [], []
    for place, key in enumerate(shape.log_keys):
        stored = shape.asked_keys.get(f"s.{key}")
        if stored is not None:
            tests.append(shape.keys[place].alike(stored, f"s.{key}"))
            computable.append(shape.computable(stored, f"s.{key}"))
    condition = f"NOT ({' AND '.join(tests)})"
    if guarded:
        condition = f"CASE WHEN {' AND '.join(computable)} THEN {condition} ELSE true END"
    return f"SELECT s.n FROM {SOURCE} WHERE {condition}"


def spelled(shape: TypedShape[Any], *, guarded: bool) -> str:
    """The numbers of those `given` keys that can be, and how the table has them, or would.

    A cast to `char(4)` or `bit(4)` cuts off unsaid what an INSERT would refuse: such a key is left out."""
    computable, kept, shown, same = [], [], [], []
    for place, (codec, key) in enumerate(zip(shape.keys, shape.staged_keys(), strict=True)):
        asked, name = shape.assigned.get(place), f"t.{shape.key_names[place]}"
        if asked is not None:
            computable.append(shape.computable(asked, f"s.k{place}"))
            if codec.kind not in ROUNDED:
                kept.append(f"({asked}) = ({key})")
        shown.append(codec.read(f"coalesce({name}, {asked or key})"))
        same += [f"{name} = {key}", *shape.exactly(place, name, key)]
    source = shape.sifted(shape.given, computable) if guarded else shape.given
    where = f" WHERE {' AND '.join(kept)}" if kept else ""
    return (
        f"SELECT s.n, {', '.join(shown)} FROM {source} LEFT JOIN {shape.name} AS t"
        f" ON {' AND '.join(same)}{where}"
    )


def respelled(shape: TypedShape[Any], column: int, source: str, *, guarded: bool) -> str:
    """The numbers of those texts of a source that a value column can hold, and how it would have them."""
    codec = shape.values[column]
    stored = shape.brought(shape.table.values[column].name, codec.write("s.k0"))
    if guarded:
        source = shape.sifted(source, [shape.computable(stored, "s.k0")])
    return f"SELECT s.n, {codec.read(stored)} FROM {source}"


def differing(shape: TypedShape[Any], columns: Sequence[int], read: AbstractSet[int]) -> str:
    """The numbers of rows that are gone, or hold something else than what was staged. The columns at the
    positions in `read` are staged in their central type."""
    tests = []
    for position, number in enumerate(columns):
        codec = shape.values[number]
        stored = f"({codec.read(f't.{shape.value_names[number]}')})"
        staged = codec.read(f"s.c{position}") if position in read else f"s.c{position}"
        tests.append(shape.distinct(shape.bytewise(stored) if codec.is_text else stored, staged))
    return statements.differing(shape, tests)
