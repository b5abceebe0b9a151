"""The rows that the hub reads in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from syncline.databases.base.reading import Fetch, TypedReader
from syncline.databases.base.statements import over
from syncline.databases.postgresql import statements as sql
from syncline.databases.postgresql.layout import Layout, Shape
from syncline.databases.postgresql.sameness import as_they_are
from syncline.databases.postgresql.scan import scan_statement
from syncline.databases.postgresql.session import Rows, Session
from syncline.databases.postgresql.sql import array, queries
from syncline.hub.contract import Key, Outdated


class RowReader(TypedReader[Shape]):
    """The contract's `ReadRows`."""

    def __init__(self, session: Session, layout: Layout) -> None:
        super().__init__(layout)
        self._session = session
        self._layout = layout
        self._written: set[int] = set()
        """The numbers of the tables that were inserted into, or updated."""

    def still_known(self) -> None:
        """Raise Outdated if a table that was used, or a column of it, was not what it was taken for: others
        rename them, and use names again, at any time; or if one that was written has other triggers or types.
        To be asked last: none that was used can be altered until the transaction ends."""
        present = as_they_are(self._session, self._used, self._written) if self._used else {}
        for number in sorted(self._used):
            shape, found = self._layout.shapes[number], present.get(number)
            if found is None or not found.is_named(shape.table):
                raise Outdated(f"{shape.table.name}: it, or a column of it, is named otherwise now")
            if number in self._written and found.facts != shape.facts:
                raise Outdated(f"table {shape.table.name}: its triggers or types are not what they were")

    def rows_of(self, shape: Shape, keys: Sequence[Key], columns: Sequence[int]) -> Rows:
        statement = shape.statement(("rows", *columns), lambda: _rows(shape, columns))
        return self._session.run(statement, *shape.arrays(keys))

    def misspelled(self, shape: Shape, keys: Sequence[Key]) -> set[int]:
        def build(guarded: bool) -> str:
            return over(sql.misspelled(shape, guarded=guarded), shape.given)

        return {number - 1 for (number,) in self._session.guarded(build, *shape.arrays(keys))}

    def rows_behind(self, shape: Shape, after: Key | None, limit: int, columns: Sequence[int]) -> Rows:
        bound = [codec.spell([v])[0] for codec, v in zip(shape.keys, after or (), strict=after is not None)]
        name, first = ("chunk", after is None, *columns), after is None
        statement = shape.statement(name, lambda: _chunk(shape, columns, first=first))
        return self._session.run(statement, *bound, limit)

    def spelled(self, shape: Shape, keys: Sequence[Key]) -> Rows:
        return self._session.guarded(lambda guarded: sql.spelled(shape, guarded=guarded), *shape.arrays(keys))

    def stream(self, shape: Shape, after: Key | None, upto: Key | None) -> AbstractContextManager[Fetch]:
        return self._session.stream(*scan_statement(shape, after, upto))

    def estimate(self) -> int:
        """About how many rows all tables have."""
        names: list[str | None] = [shape.name for shape in self._layout.by_number]
        found = self._session.run(queries("read.sql")["estimate"], array(names))
        large = sum(int(count) for _, count, is_small in found if not is_small)
        small = " UNION ALL ".join(f"SELECT count(*) FROM {name}" for name, _, is_small in found if is_small)
        return large + sum(count for (count,) in self._session.run(small)) if small else large


def _rows(shape: Shape, columns: Sequence[int]) -> str:
    chosen = ", ".join(shape.read_keys("t") + shape.read_values(columns))
    return f"SELECT {chosen} FROM {shape.given} JOIN {shape.name} AS t ON {shape.matches()}"


def _chunk(shape: Shape, columns: Sequence[int], *, first: bool) -> str:
    chosen = ", ".join(shape.read_keys("t") + shape.read_values(columns))
    keys = ", ".join(shape.key_of("t"))
    bounds = ", ".join(codec.write(f"${i + 1}::{codec.stage}") for i, codec in enumerate(shape.keys))
    condition = "" if first else f" WHERE ({keys}) > ({bounds})"
    limit = 1 if first else shape.arity + 1
    return f"SELECT {chosen} FROM {shape.name} AS t{condition} ORDER BY {keys} LIMIT ${limit}::bigint"
