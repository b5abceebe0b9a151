"""Entries that no trigger can write: rows whose key could not be told, and tables nobody watched.

Both are made good by the next `prepare`, in its own transaction, so that they are new to every position.
"""

from __future__ import annotations

from collections.abc import Iterable

from syncline.databases.postgresql.layout import Shape
from syncline.databases.postgresql.sql import literal
from syncline.model.masks import split_mask
from syncline.model.values import EVERYTHING


def move(shape: Shape) -> list[str]:
    """Statements: the strays of a table go into its log, under the key as it is called now. If there is one
    whose key is lost, any row may be meant."""
    n, keys = shape.n, range(shape.arity)
    same = " AND ".join(f"(s.former ->> s.keys[{i + 1}]) = (s.now ->> s.keys[{i + 1}])" for i in keys)
    sides = (
        "SELECT s.seq, s.hlc, s.keys, e.op, e.side, e.place FROM syncline.strays AS s"
        f" CROSS JOIN LATERAL (VALUES (0, 'D', CASE WHEN ({same}) IS NOT TRUE THEN s.former END),"
        f" (1, CASE WHEN {same} THEN 'U' ELSE 'I' END, s.now)) AS e(place, op, side)"
        f" WHERE s.n = {n} AND e.side IS NOT NULL"
    )
    texts = [f"(e.side ->> e.keys[{i + 1}])" for i in keys]
    casts = [literal(f"$1::{codec.central}") for codec in shape.keys]
    told = " AND ".join(
        f"{text} IS NOT NULL AND syncline.castable({text}, {cast})"
        for text, cast in zip(texts, casts, strict=True)
    )
    values = [f"{text}::{codec.central}" for text, codec in zip(texts, shape.keys, strict=True)]
    into, masks = _into(shape)
    return [
        f"{touch(shape, shape.name)} WHERE EXISTS (SELECT FROM ({sides}) AS e WHERE NOT ({told}))",
        f"{into} SELECT e.op::\"char\", {masks}, e.hlc, 'hub', {', '.join(values)}"
        f" FROM (SELECT * FROM ({sides}) AS e WHERE {told} OFFSET 0) AS e ORDER BY e.seq, e.place",
        f"DELETE FROM syncline.strays WHERE n = {n}",
    ]


def touch(shape: Shape, source: str) -> str:
    """A statement: every row of `source` (the table or a part of it) may have changed in every column."""
    into, masks = _into(shape)
    keys = ", ".join(f"t.{name}" for name in shape.key_names)
    return f"{into} SELECT 'U', {masks}, (SELECT syncline.direct_hlc()), 'hub', {keys} FROM {source} AS t"


def touch_since(shape: Shape, relid: int, columns: Iterable[int]) -> str:
    """A statement: `touch` for rows that were written since one of these columns was made or renamed. That
    was done under a lock which nobody else could write beside; whoever had begun before and has written
    to this table only after it is missed."""
    numbers = ",".join(map(str, columns))
    since = (
        "SELECT max(age(a.xmin)) FROM pg_attribute a"
        f" WHERE a.attrelid = {relid} AND a.attnum = ANY ('{{{numbers}}}')"
    )
    return f"{touch(shape, shape.name)} WHERE age(t.xmin) <= ({since})"


def _into(shape: Shape) -> tuple[str, str]:
    masks = ", ".join(str(word) for word in split_mask(EVERYTHING, len(shape.words)))
    columns = ", ".join(["op", *shape.words, "hlc", "origin", *shape.log_keys])
    return f"INSERT INTO {shape.log} ({columns})", masks
