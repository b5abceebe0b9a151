"""Keys of a table in a temporary table, numbered as they come: sets that need not fit in memory (law L11)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from syncline.model.values import Value
from syncline.replica.statements import Statements
from syncline.replica.store import Store

BATCH = 5_000
"""Keys, or rows, that are looked at in one go."""


class Keyset:
    """A set of keys of the table `t`. `name` tells it from other sets of that table on this connection."""

    def __init__(self, store: Store, t: Statements, name: str) -> None:
        """Makes it, empty."""
        self._store, self._t = store, t
        self.table = f"temp._sync_{name}_{t.n}"
        self.drop()
        columns = f"i INTEGER PRIMARY KEY, {t.key_columns}, UNIQUE ({t.key_columns})"
        store.execute(f"CREATE TEMP TABLE _sync_{name}_{t.n} ({columns})")

    def drop(self) -> None:
        self._store.execute(f"DROP TABLE IF EXISTS {self.table}")

    def add(self, query: str) -> int:
        """Take in the keys that a query gives; return how many are new."""
        return self._store.execute(f"INSERT OR IGNORE INTO {self.table} ({self._t.key_columns}) {query}")

    def put(self, keys: Iterable[Sequence[Value]]) -> None:
        """Take in some keys."""
        t = self._t
        sql = f"INSERT OR IGNORE INTO {self.table} ({t.key_columns}) VALUES ({t.key_marks})"
        self._store.executemany(sql, keys)

    def count(self) -> int:
        """How many keys there are."""
        number: int = self._store.value(f"SELECT count(*) FROM {self.table}")
        return number

    def remove(self, query: str) -> None:
        """Take out the keys that a query gives."""
        self._store.execute(f"DELETE FROM {self.table} WHERE ({self._t.key_columns}) IN ({query})")

    def take_out(self, keys: Iterable[Sequence[Value]]) -> None:
        """Take out some keys."""
        self._store.executemany(f"DELETE FROM {self.table} WHERE {self._t.key_given}", keys)

    def has(self, other: str) -> str:
        """A condition: the key of `other`, which has columns k0, k1, ..., is in the set."""
        return f"EXISTS (SELECT 1 FROM {self.table} x WHERE {self._t.same_key('x', other)})"

    def in_batches(self) -> Iterator[list[tuple[Value, ...]]]:
        """The keys, some at a time."""
        for first in self._starts():
            yield self._store.rows(
                f"SELECT {self._t.key_columns} FROM {self.table} WHERE i BETWEEN ? AND ? ORDER BY i",
                (first, first + BATCH - 1),
            )

    def rows(self, source: str, columns: Sequence[int]) -> Iterator[list[list[Value]]]:
        """Key and columns v0, v1, ... of the temporary table `source`, some at a time."""
        names = [*(f"s.k{i}" for i in range(self._t.arity)), *(f"s.v{number}" for number in columns)]
        for first in self._starts():
            found = self._store.rows(
                f"SELECT {', '.join(names)} FROM {self.table} x CROSS JOIN {source} s"
                f" WHERE x.i BETWEEN ? AND ? AND {self._t.same_key('s', 'x')} ORDER BY x.i",
                (first, first + BATCH - 1),
            )
            yield [list(row) for row in found]

    def _starts(self) -> range:
        return range(1, (self._store.value(f"SELECT max(i) FROM {self.table}") or 0) + 1, BATCH)
