"""The rows that the hub reads in one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from syncline.databases.base.codec import mend_floats
from syncline.databases.base.statements import over
from syncline.databases.postgresql.given import arrays, given, misspelled
from syncline.databases.postgresql.layout import Layout, Shape
from syncline.databases.postgresql.sameness import as_they_are
from syncline.databases.postgresql.scan import scan_statement
from syncline.databases.postgresql.session import Rows, Session
from syncline.databases.postgresql.sql import array, queries
from syncline.hub.contract import Key, Outdated, Take
from syncline.model.values import Value


class RowReader:
    """The contract's `ReadRows`."""

    def __init__(self, session: Session, layout: Layout) -> None:
        self._session = session
        self._layout = layout
        self._used: set[int] = set()
        """The numbers of the tables whose rows were read or written by their names."""
        self._written: set[int] = set()
        """And of those that were inserted into, or updated."""

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

    def _shape(self, table: int) -> Shape:
        self._used.add(table)
        return self._layout.shapes[table]

    def find(self, table: int, keys: Sequence[Key], columns: Sequence[int]) -> list[list[Value]]:
        """Key + columns of those rows that exist. A key that cannot be one of the table's has no row."""
        shape = self._shape(table)
        good = self._possible(shape, keys) if keys else []
        if not good:
            return []
        statement = shape.statement(("rows", *columns), lambda: _rows(shape, columns))
        found = self._session.run(statement, *arrays(shape, good))
        return self._mended(shape, columns, found)

    def chunk(
        self, table: int, after: Key | None, limit: int, columns: Sequence[int] | None = None
    ) -> list[list[Value]]:
        """Rows behind a key, in the order of the primary key's index."""
        shape = self._shape(table)
        columns = list(shape.values) if columns is None else columns
        bound = [codec.spell([v])[0] for codec, v in zip(shape.keys, after or (), strict=after is not None)]
        name, first = ("chunk", after is None, *columns), after is None
        statement = shape.statement(name, lambda: _chunk(shape, columns, first=first))
        rows = self._session.run(statement, *bound, limit)
        return self._mended(shape, columns, rows)

    @contextmanager
    def scan(self, table: int, after: Key | None, upto: Key | None) -> Iterator[Take]:
        """By a cursor of the server's, so that memory stays bounded."""
        shape = self._shape(table)
        statement, bound = scan_statement(shape, after, upto)
        columns = list(shape.values)
        with self._session.stream(statement, bound) as fetch:
            yield lambda count: self._mended(shape, columns, fetch(count))

    def estimate(self) -> int:
        """About how many rows all tables have."""
        names: list[str | None] = [shape.name for shape in self._layout.by_number]
        found = self._session.run(queries("read.sql")["estimate"], array(names))
        large = sum(int(count) for _, count, is_small in found if not is_small)
        small = " UNION ALL ".join(f"SELECT count(*) FROM {name}" for name, _, is_small in found if is_small)
        return large + sum(count for (count,) in self._session.run(small)) if small else large

    def _mended(self, shape: Shape, columns: Sequence[int], rows: Rows) -> Rows:
        codecs = [*shape.keys, *(shape.values[i] for i in columns)]
        mend_floats(rows, [i for i, codec in enumerate(codecs) if codec.is_float])
        return rows

    def _possible(self, shape: Shape, keys: Sequence[Key]) -> Sequence[Key]:
        """The keys that the table's types can hold."""
        pairs = zip(shape.keys, zip(*keys, strict=True), strict=True)
        if not all(codec.flawless(column, key=True) for codec, column in pairs):
            keys = [
                key
                for key in keys
                if not any(codec.fault(v, key=True) for codec, v in zip(shape.keys, key, strict=True))
            ]
        if not keys or not shape.asked_keys:
            return keys
        bound = arrays(shape, keys)
        wrong = misspelled(self._session, shape, lambda template: (over(template, given(shape)), bound))
        return [key for number, key in enumerate(keys, 1) if number not in wrong]


def _rows(shape: Shape, columns: Sequence[int]) -> str:
    chosen = ", ".join(shape.read_keys("t") + shape.read_values(columns))
    return f"SELECT {chosen} FROM {given(shape)} JOIN {shape.name} AS t ON {shape.matches()}"


def _chunk(shape: Shape, columns: Sequence[int], *, first: bool) -> str:
    chosen = ", ".join(shape.read_keys("t") + shape.read_values(columns))
    keys = ", ".join(shape.key_of("t"))
    bounds = ", ".join(codec.write(f"${i + 1}::{codec.stage}") for i, codec in enumerate(shape.keys))
    condition = "" if first else f" WHERE ({keys}) > ({bounds})"
    limit = 1 if first else shape.arity + 1
    return f"SELECT {chosen} FROM {shape.name} AS t{condition} ORDER BY {keys} LIMIT ${limit}::bigint"
