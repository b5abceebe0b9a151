"""Rows of one column set that are kept in a temporary table until more of them are there."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

from syncline.model.values import Value
from syncline.replica.statements import Statements
from syncline.replica.store import Store

Values = Sequence[Value]


@dataclass(frozen=True, slots=True)
class Gathering:
    """What is gathered of one table in these columns stands, with the key, in a temporary table."""

    store: Store
    t: Statements
    columns: tuple[int, ...]

    @property
    def name(self) -> str:
        """The temporary table's name, which no other column set has."""
        return f"_sync_trade_{self.t.n}_{'_'.join(map(str, self.columns))}"

    def make(self) -> None:
        self.end()
        columns = "".join(f", c{i}" for i in self.columns)
        self.store.execute(
            f"CREATE TEMP TABLE {self.name} ({self.t.key_columns}{columns},"
            f" PRIMARY KEY ({self.t.key_columns})) WITHOUT ROWID"
        )

    def end(self) -> None:
        self.store.execute(f"DROP TABLE IF EXISTS temp.{self.name}")

    def add(self, rows: Sequence[Values]) -> None:
        """The newer of two states of a row counts."""
        marks = ", ".join("?" * (self.t.arity + len(self.columns)))
        self.store.executemany(f"INSERT OR REPLACE INTO temp.{self.name} VALUES ({marks})", rows)

    def empty(self, columns: Sequence[int]) -> None:
        """Those of the rows that are there have NULL in these columns, in one statement for all. The plus has
        SQLite look them up in their table: the other way round it would read all of that."""
        self._update(", ".join(f"{self.t.values[i]} = NULL" for i in columns))

    def update(self) -> None:
        """Write these columns of those of the rows that are there, in one statement too."""
        self._update(", ".join(f"{self.t.values[i]} = g.c{i}" for i in self.columns))

    def _update(self, changes: str) -> None:
        self.store.execute(
            f"UPDATE OR ABORT {self.t.name} AS t SET {changes} FROM temp.{self.name} AS g"
            f" WHERE {self.t.row_key('t', '+g')}"
        )

    def forget(self, keys: Sequence[Values]) -> None:
        self.store.executemany(f"DELETE FROM temp.{self.name} WHERE {self.t.key_given}", map(self._key, keys))

    def has_any(self, rows: Sequence[Values]) -> bool:
        """Whether something is gathered of one of these rows: their first values are the key."""
        one = f"SELECT 1 FROM temp.{self.name} WHERE {self.t.key_given}"
        return any(self.store.row(one, self._key(row)) is not None for row in rows)

    def count(self) -> int:
        count: int = self.store.value(f"SELECT count(*) FROM temp.{self.name}")
        return count

    def rows(self) -> Generator[tuple[Value, ...]]:
        """Key and columns of each row, in the order of the keys. To be closed."""
        with closing(self.store.batches(f"SELECT * FROM temp.{self.name}")) as batches:
            for batch in batches:
                yield from batch

    def _key(self, row: Values) -> Values:
        return tuple(row[: self.t.arity])
