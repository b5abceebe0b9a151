"""Reading rows of typed columns: by key, in chunks of a hydrate, in canonical order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, ClassVar, Generic

from syncline.databases.base import respelling
from syncline.databases.base.bounds import between, bound_of
from syncline.databases.base.codec import Codec, is_uuid, mend_floats
from syncline.databases.base.shape import BaseLayout
from syncline.databases.base.staged import Verbs
from syncline.databases.base.statements import listed, over
from syncline.databases.base.typed import Present, T, TypedShape
from syncline.hub.contract import Key, Outdated, Take
from syncline.model.values import Value

Rows = list[list[Any]]

Fetch = Callable[[int], Rows]
"""Gives the next rows, as many as it is told."""


class TypedReader(ABC, Generic[T]):
    """The contract's `ReadRows`, but for the estimate. What comes from the server has NaN as a float."""

    unreadable: ClassVar[type[Exception]]
    """The error of a query that finds a text which is none of its column's type."""

    def __init__(self, session: Verbs, layout: BaseLayout[T]) -> None:
        self._asked, self._shapes, self.schema = session, layout.shapes, layout.schema
        self._used: set[int] = set()
        """The numbers of the tables whose rows were read or written by their names."""
        self._written: set[int] = set()
        """The numbers of the tables that were inserted into, or updated."""

    @abstractmethod
    def as_they_are(self, tables: Iterable[int], written: Iterable[int]) -> Mapping[int, Present]:
        """Tracked tables by number as they are now, with their facts those that are `written`; not in it:
        those that are gone."""

    @abstractmethod
    def stream(self, statement: str, values: Sequence[Any]) -> AbstractContextManager[Fetch]:
        """The rows of a query, by a cursor of the server's, so that memory stays bounded."""

    def _rows_of(self, shape: T, keys: Sequence[Key], columns: Sequence[int]) -> Rows:
        """Key and columns of the rows that exist; the keys are such as the table can have, one or more."""
        single = len(keys) == 1
        name = ("rows", single, *columns)
        statement = shape.statement(name, lambda: _rows(shape, columns, single=single))
        return _lists(self._asked.run(statement, *shape.arrays(keys)))

    def _rows_behind(self, shape: T, after: Key | None, limit: int, columns: Sequence[int]) -> Rows:
        """Key and columns of the next rows in the order of the primary key's index."""
        first = after is None
        bound = [codec.spell([v])[0] for codec, v in zip(shape.keys, after or (), strict=not first)]
        name = ("chunk", first, *columns)
        statement = shape.statement(name, lambda: _chunk(shape, columns, first=first))
        return _lists(self._asked.run(statement, *bound, limit))

    def still_known(self) -> None:
        """Raise Outdated if a table that was used, or a column of it, was not what it was taken for: others
        rename them, and use names again, at any time; or if one that was written has other triggers or types,
        or any has other foreign keys, by which is told what a delete takes along, or computed columns.
        To be asked last: none that was used can be altered until the transaction ends."""
        present = self.as_they_are(self._used, self._written) if self._used else {}
        for number in sorted(self._used):
            shape, found = self._shapes[number], present.get(number)
            if found is None or not found.is_named(shape.table):
                raise Outdated(f"{shape.table.name}: it, or a column of it, is named otherwise now")
            if found.refers != shape.facts.refers:
                raise Outdated(
                    f"table {shape.table.name}: its foreign keys or computed columns are others now"
                )
            if number in self._written and found.facts != shape.facts:
                raise Outdated(f"table {shape.table.name}: its triggers or types are not what they were")

    def shape(self, table: int) -> T:
        """The table, which is used from now on."""
        self._used.add(table)
        return self._shapes[table]

    def find(self, table: int, keys: Sequence[Key], columns: Sequence[int]) -> Rows:
        """Key + columns of those rows that exist. A key that cannot be one of the table's has no row."""
        shape = self.shape(table)
        good = self._possible(shape, keys) if keys else []
        return _mended(shape, columns, self._rows_of(shape, good, columns)) if good else []

    def spell(self, table: int, keys: Sequence[Key]) -> list[Key]:
        """Keys as this database has them."""
        shape, result = self.shape(table), list(keys)
        codecs: Sequence[Codec] = shape.keys
        places = [i for i, key in enumerate(keys) if None not in key and not _has_fault(codecs, key)]
        if not places or not shape.asked_keys:
            return result
        asked = [keys[place] for place in places]
        for number, *key in self._guarded(partial(respelling.spelled, shape), *shape.arrays(asked)):
            result[places[number - 1]] = tuple(_mended(shape, (), [key])[0])
        return result

    def respell(self, table: int, column: int, values: Sequence[str]) -> list[Value]:
        """Texts as a value column of this database would have them."""
        shape, result = self.shape(table), list[Value](values)
        codec: Codec = shape.values[column]
        places = [i for i, value in enumerate(values) if not codec.fault(value)]
        if not places or not codec.is_read_by_server:
            return result
        source, bound = shape.given_texts([values[place] for place in places])
        for number, value in self._guarded(partial(respelling.respelled, shape, column, source), bound):
            result[places[number - 1]] = value
        return result

    def chunk(self, table: int, after: Key | None, limit: int, columns: Sequence[int] | None = None) -> Rows:
        """Rows behind a key, in the order of the primary key's index."""
        shape = self.shape(table)
        columns = list(shape.values) if columns is None else columns
        return _mended(shape, columns, self._rows_behind(shape, after, limit, columns))

    @contextmanager
    def scan(self, table: int, after: Key | None, upto: Key | None) -> Iterator[Take]:
        """Whole rows in canonical order."""
        shape = self.shape(table)
        columns = list(shape.values)
        with self.stream(*_scan(shape, after, upto)) as fetch:
            yield lambda count: _mended(shape, columns, fetch(count))

    def _possible(self, shape: T, keys: Sequence[Key]) -> Sequence[Key]:
        """The keys that the table's types can hold."""
        codecs: Sequence[Codec] = shape.keys
        pairs = zip(codecs, zip(*keys, strict=True), strict=True)
        if not all(codec.flawless(column, key=True) for codec, column in pairs):
            keys = [key for key in keys if not _has_fault(codecs, key)]
        if not keys or not shape.asked_keys:
            return keys
        template = partial(respelling.misspelled, shape)
        wrong = {n for (n,) in self._guarded(template, *shape.arrays(keys), source=shape.given)}
        return [key for number, key in enumerate(keys, 1) if number not in wrong]

    def _guarded(self, build: Callable[..., str], *values: Any, source: str = "") -> Sequence[Sequence[Any]]:
        """What a query tells that only the server can answer."""
        return respelling.guarded(
            self._asked, self.unreadable, lambda guarded: over(build(guarded=guarded), source), *values
        )


def _rows(shape: TypedShape[Any], columns: Sequence[int], *, single: bool) -> str:
    chosen = ", ".join(shape.read_keys("t") + shape.read_values(columns))
    source = shape.given_one if single else shape.given
    return f"SELECT {chosen} FROM {source} JOIN {shape.name} AS t ON {shape.matches()}"


def _chunk(shape: TypedShape[Any], columns: Sequence[int], *, first: bool) -> str:
    keys, codecs = shape.key_of("t"), enumerate(shape.keys, 1)
    bounds = ", ".join(codec.write(shape.bound(number, codec)) for number, codec in codecs)
    tests = [] if first else [f"({', '.join(keys)}) > ({bounds})"]
    chosen = shape.read_keys("t") + shape.read_values(columns)
    return listed(shape, chosen, tests, keys, shape.page(1 if first else shape.arity + 1))


def _scan(shape: TypedShape[Any], after: Key | None, upto: Key | None) -> tuple[str, list[Any]]:
    """Whole rows with a key above `after` up to and with `upto`, and what to bind; in canonical order,
    whatever collation the database has. What has that order by itself is served by the primary key's index;
    all else is ordered by the bytes of its text."""

    def side(place: int, value: Value, number: int) -> tuple[str, str, Any]:
        codec, name = shape.keys[place], f"t.{shape.key_names[place]}"
        native = codec.kind != "uuid" or is_uuid(str(value)) is not None
        column = _ordered(shape, codec, name) if native else _by_bytes(shape, codec, name)
        mark = shape.bound(number, codec, native=codec.kind == "uuid" and native)
        return column, mark, codec.spell([value])[0]

    points = [None if key is None else bound_of(shape.keys, key) for key in (after, upto)]
    tests, bound = between(points[0], points[1], side)
    chosen = shape.read_keys("t") + shape.read_values(shape.values)
    order = (_ordered(shape, codec, name) for codec, name in zip(shape.keys, shape.key_of("t"), strict=True))
    return listed(shape, chosen, tests, order), bound


def _ordered(shape: TypedShape[Any], codec: Codec, column: str) -> str:
    """What a key column is ordered by."""
    if codec.kind == "boolean":
        return codec.read(column)
    return column if codec.is_ordered else _by_bytes(shape, codec, column)


def _by_bytes(shape: TypedShape[Any], codec: Codec, column: str) -> str:
    return shape.bytewise(f"({codec.read(column)})")


def _lists(rows: Sequence[Sequence[Any]]) -> Rows:
    """Rows that can be changed in place."""
    return [row if isinstance(row, list) else list(row) for row in rows]


def _has_fault(codecs: Sequence[Codec], key: Key) -> bool:
    return any(codec.fault(value, key=True) for codec, value in zip(codecs, key, strict=True))


def _mended(shape: T, columns: Sequence[int], rows: Rows) -> Rows:
    codecs: Sequence[Codec] = [*shape.keys, *(shape.values[number] for number in columns)]
    mend_floats(rows, [place for place, codec in enumerate(codecs) if codec.is_float])
    return rows
