"""The rows that the hub reads in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager

import psycopg

from syncline.databases.base.bounds import between, bound_of
from syncline.databases.base.codec import is_uuid
from syncline.databases.base.reading import Fetch, TypedReader
from syncline.databases.base.statements import listed
from syncline.databases.base.typed import Present
from syncline.databases.postgresql.layout import Layout, Shape, as_they_are
from syncline.databases.postgresql.session import Rows, Session
from syncline.databases.postgresql.sql import array, queries
from syncline.databases.postgresql.types import Codec
from syncline.hub.contract import Key
from syncline.model.values import Value


class RowReader(TypedReader[Shape]):
    """The contract's `ReadRows`."""

    unreadable = psycopg.DataError

    def __init__(self, session: Session, layout: Layout) -> None:
        super().__init__(session, layout)
        self._session = session
        self._layout = layout

    def as_they_are(self, tables: Iterable[int], written: Iterable[int]) -> dict[int, Present]:
        return as_they_are(self._session, tables, written)

    def rows_of(self, shape: Shape, keys: Sequence[Key], columns: Sequence[int]) -> Rows:
        count = len(keys)
        statement = shape.statement(("rows", count == 1, *columns), lambda: _rows(shape, columns, count))
        return self._session.run(statement, *shape.arrays(keys))

    def rows_behind(self, shape: Shape, after: Key | None, limit: int, columns: Sequence[int]) -> Rows:
        bound = [codec.spell([v])[0] for codec, v in zip(shape.keys, after or (), strict=after is not None)]
        name, first = ("chunk", after is None, *columns), after is None
        statement = shape.statement(name, lambda: _chunk(shape, columns, first=first))
        return self._session.run(statement, *bound, limit)

    def stream(self, shape: Shape, after: Key | None, upto: Key | None) -> AbstractContextManager[Fetch]:
        return self._session.stream(*scan_statement(shape, after, upto))

    def estimate(self) -> int:
        """About how many rows all tables have."""
        names: list[str | None] = [shape.name for shape in self._layout.by_number]
        found = self._session.run(queries("read.sql")["estimate"], array(names))
        large = sum(int(count) for _, count, is_small in found if not is_small)
        small = " UNION ALL ".join(f"SELECT count(*) FROM {name}" for name, _, is_small in found if is_small)
        return large + sum(count for (count,) in self._session.run(small)) if small else large


def _rows(shape: Shape, columns: Sequence[int], count: int) -> str:
    """For so many keys. Of a single one PostgreSQL keeps its plan, while it plans anew for every array."""
    chosen = ", ".join(shape.read_keys("t") + shape.read_values(columns))
    source = f"(SELECT * FROM {shape.given} LIMIT 1) AS s" if count == 1 else shape.given
    return f"SELECT {chosen} FROM {source} JOIN {shape.name} AS t ON {shape.matches()}"


def _chunk(shape: Shape, columns: Sequence[int], *, first: bool) -> str:
    keys, limit = shape.key_of("t"), 1 if first else shape.arity + 1
    bounds = ", ".join(codec.write(f"${i + 1}::{codec.stage}") for i, codec in enumerate(shape.keys))
    tests = [] if first else [f"({', '.join(keys)}) > ({bounds})"]
    chosen = shape.read_keys("t") + shape.read_values(columns)
    return listed(shape, chosen, tests, keys, f" LIMIT ${limit}::bigint")


def scan_statement(shape: Shape, after: Key | None, upto: Key | None) -> tuple[str, list[str | None]]:
    """Whole rows with a key above `after` up to and with `upto`, and what to bind; in canonical order,
    whatever collation the database has. Integers, floats, booleans, bytea and uuid have that order by
    themselves, so that the primary key's index serves; all else is ordered by the bytes of its text."""

    def side(place: int, value: Value, number: int) -> tuple[str, str, str | None]:
        codec, name = shape.keys[place], f"t.{shape.key_names[place]}"
        native = codec.kind != "uuid" or is_uuid(str(value)) is not None
        type_ = "uuid" if codec.kind == "uuid" and native else codec.stage
        column = _ordered(codec, name) if native else _bytewise(codec, name)
        return column, f"${number}::{type_}", codec.spell([value])[0]

    points = [None if key is None else bound_of(shape.keys, key) for key in (after, upto)]
    tests, bound = between(points[0], points[1], side)
    chosen = shape.read_keys("t") + shape.read_values(shape.values)
    order = (_ordered(codec, name) for codec, name in zip(shape.keys, shape.key_of("t"), strict=True))
    return listed(shape, chosen, tests, order), bound


def _ordered(codec: Codec, column: str) -> str:
    """What a key column is ordered by."""
    if codec.kind == "boolean":
        return codec.read(column)
    return column if codec.kind == "uuid" or not codec.is_text else _bytewise(codec, column)


def _bytewise(codec: Codec, column: str) -> str:
    return f'({codec.read(column)}) COLLATE "C"'
