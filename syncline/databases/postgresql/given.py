"""Keys that are given to a statement, as rows `s` with their number `n`; and keys that cannot be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from syncline.databases.postgresql import statements as sql
from syncline.databases.postgresql.layout import Shape
from syncline.databases.postgresql.session import Rows, Session
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


def run_guarded(session: Session, plain: str, guarded: str, *values: Any) -> Rows:
    """Run a query that casts text; if some of it cannot be cast, the one that asks first."""
    try:
        with session.savepoint():
            return session.run(plain, *values)
    except psycopg.DataError:
        return session.run(guarded, *values)


def misspelled(session: Session, shape: Shape, over: Callable[[str], tuple[str, Sequence[str]]]) -> set[int]:
    """The numbers of keys that PostgreSQL would not write, or would write in another spelling; `over` puts
    the keys into a statement and says what to bind."""
    (plain, bound), (guarded, _) = (over(sql.misspelled(shape, guarded=guarded)) for guarded in (False, True))
    return {number for (number,) in run_guarded(session, plain, guarded, *bound)}
