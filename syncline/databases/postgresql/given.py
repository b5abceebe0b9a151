"""Keys that are given to a statement, as rows `s` with their number `n`."""

from __future__ import annotations

from collections.abc import Sequence

from syncline.databases.postgresql.layout import Shape
from syncline.databases.postgresql.sql import array
from syncline.hub.contract import Key


def arrays(shape: Shape, keys: Sequence[Key]) -> list[str]:
    """What to bind: one array literal a key column."""
    pairs = zip(shape.keys, zip(*keys, strict=True), strict=True)
    return [array(codec.spell(column)) for codec, column in pairs]


def given(shape: Shape) -> str:
    """An item of FROM over the first parameters."""
    columns = ", ".join(f"${i + 1}::{codec.stage}[]" for i, codec in enumerate(shape.keys))
    return f"unnest({columns}) WITH ORDINALITY AS s({', '.join(shape.log_keys)}, n)"
