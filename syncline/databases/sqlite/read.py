"""Reading rows: by key, in chunks of a hydrate, in canonical order; all as of one instant."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from syncline.databases.sqlite.layout import Layout, Shape
from syncline.databases.sqlite.scan import scan_statement
from syncline.hub.contract import Key, Take
from syncline.model.values import Value
from syncline.sqlitekit.sql import commas, quote

_DIRECT = 200
"""Up to so many keys are bound straight into the statement; more go through a temporary table."""


class RowReader:
    """The contract's `ReadRows` over a connection inside a transaction."""

    def __init__(self, connection: sqlite3.Connection, layout: Layout) -> None:
        self.connection = connection
        self.layout = layout

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
        key = shape.key_of("t")
        tests = [f"t.{quote(c.name)} IS NOT NULL" for c in shape.table.keys if c.nullable]
        if after is not None:
            marks = commas("?" * shape.arity)
            tests.append(f"({commas(key)}) > ({marks})" if shape.arity > 1 else f"{key[0]} > ?")
        found = self.connection.execute(
            f"SELECT {commas(key + shape.values_of('t', columns))} FROM {shape.name} AS t"
            f" WHERE {' AND '.join(tests) or '1'} ORDER BY {commas(key)} LIMIT ?",
            (*(after or ()), limit),
        )
        return list(map(list, found))

    def spell(self, table: int, keys: Sequence[Key]) -> list[Key]:
        """Values are carried as they are: a device has them as they are here."""
        return list(keys)

    @contextmanager
    def scan(self, table: int, after: Key | None, upto: Key | None) -> Iterator[Take]:
        sql, bound = scan_statement(self.layout.shapes[table], after, upto)
        cursor = self.connection.execute(sql, bound)
        try:
            yield cursor.fetchmany
        finally:
            cursor.close()

    def estimate(self) -> int:
        total = 0
        for shape in self.layout.shapes.values():
            total += self.connection.execute(f"SELECT count(*) FROM {shape.name}").fetchone()[0]
        return total
