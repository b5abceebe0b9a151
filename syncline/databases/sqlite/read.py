"""Reading rows: by key, in chunks of a hydrate, in canonical order; all as of one instant."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from syncline.databases.base.bounds import Bound, between
from syncline.databases.base.statements import listed
from syncline.databases.sqlite.layout import Layout, Shape
from syncline.hub.contract import Key, Take
from syncline.model.values import Value
from syncline.sqlitekit.sql import commas

_DIRECT = 200
"""Up to so many keys are bound straight into the statement; more go through a temporary table."""


class RowReader:
    """The contract's `ReadRows` over a connection inside a transaction."""

    def __init__(self, connection: sqlite3.Connection, layout: Layout) -> None:
        self.connection = connection
        self.layout, self.schema = layout, layout.schema

    def find(self, table: int, keys: Sequence[Key], columns: Sequence[int]) -> list[list[Value]]:
        shape = self.layout.shapes[table]
        chosen = commas(shape.key_of("t") + shape.values_of("t", columns))
        names = shape.log_keys
        body = f"SELECT {chosen} FROM s CROSS JOIN {shape.name} AS t WHERE {shape.matches()}"
        if len(keys) <= _DIRECT:
            if not keys:
                return []
            marks = commas([f"({commas('?' * shape.arity)})"] * len(keys))
            sql = f"WITH s ({commas(names)}) AS (VALUES {marks}) {body}"
            found: Iterable[tuple[Value, ...]] = self.connection.execute(
                sql, [v for key in keys for v in key]
            )
        else:
            temporary = self.load_keys(shape, keys)
            found = self.connection.execute(body.replace("FROM s ", f"FROM {temporary} AS s ", 1))
        return list(map(list, found))

    def load_keys(self, shape: Shape, keys: Sequence[Key]) -> str:
        name = f"temp._sync_keys{shape.arity}"
        names = commas(shape.log_keys)
        self.connection.execute(f"CREATE TEMP TABLE IF NOT EXISTS {name[5:]} ({names})")
        self.connection.execute(f"DELETE FROM {name}")
        self.connection.executemany(f"INSERT INTO {name} VALUES ({commas('?' * shape.arity)})", keys)
        return name

    def chunk(
        self, table: int, after: Key | None, limit: int, columns: Sequence[int] | None = None
    ) -> list[list[Value]]:
        """Rows whose key is NULL have no identity and are left out."""
        shape = self.layout.shapes[table]
        key, tests = shape.key_of("t"), _whole(shape)
        if after is not None:
            tests.append(f"({commas(key)}) > ({commas('?' * shape.arity)})")
        statement = listed(shape, key + shape.values_of("t", columns), tests, key, " LIMIT ?")
        return list(map(list, self.connection.execute(statement, (*(after or ()), limit))))

    def spell(self, table: int, keys: Sequence[Key]) -> list[Key]:
        """Values are carried as they are: a device has them as they are here."""
        return list(keys)

    def respell(self, table: int, column: int, values: Sequence[str]) -> list[Value]:
        """As `spell`."""
        return list(values)

    @contextmanager
    def scan(self, table: int, after: Key | None, upto: Key | None) -> Iterator[Take]:
        sql, bound = scan_statement(self.layout.shapes[table], after, upto)
        cursor = self.connection.execute(sql, bound)
        try:
            yield cursor.fetchmany
        finally:
            cursor.close()

    def estimate(self) -> int:
        run, shapes = self.connection.execute, self.layout.shapes.values()
        return sum(run(f"SELECT count(*) FROM {shape.name}").fetchone()[0] for shape in shapes)


def scan_statement(shape: Shape, after: Key | None, upto: Key | None) -> tuple[str, list[Value]]:
    """Whole rows with a key above `after` up to and with `upto`, and what to bind. Canonical order is that
    of SQLite under the collation BINARY, compared by storage class."""

    def side(place: int, value: Value, _: int) -> tuple[str, str, Value]:
        return _side(shape, place, value), "?", value

    tests, bound = between(_point(after), _point(upto), side)
    chosen = shape.key_of("t") + shape.values_of("t")
    order = (_ordered(shape, place) for place in range(shape.arity))
    return listed(shape, chosen, [*_whole(shape), *tests], order), bound


def _whole(shape: Shape) -> list[str]:
    """Conditions: the key of a row has no NULL."""
    pairs = zip(shape.key_of("t"), shape.table.keys, strict=True)
    return [f"{name} IS NOT NULL" for name, column in pairs if column.nullable]


def _point(key: Key | None) -> Bound | None:
    """The point behind the rows up to and with a key. Nothing in the table is as low as NULL."""
    if key is None or None not in key:
        return None if key is None else Bound(key, behind_equals=True)
    return Bound(key[: key.index(None)], behind_equals=False)


def _ordered(shape: Shape, index: int) -> str:
    """A key column in the order of its bytes."""
    name, (_, collation) = shape.key_of("t")[index], shape.facts.key[index]
    return name if collation.upper() == "BINARY" else f"{name} COLLATE BINARY"


def _side(shape: Shape, index: int, value: Value) -> str:
    """A key column to compare with this value, which its affinity must not turn into another class."""
    ordered, affinity = _ordered(shape, index), shape.affinity(shape.table.key[index])
    turned = isinstance(value, str) if affinity not in ("TEXT", "") else isinstance(value, (int, float))
    return f"+{ordered}" if affinity and turned else ordered
