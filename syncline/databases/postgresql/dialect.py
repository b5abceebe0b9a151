"""PostgreSQL's words for the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from syncline.databases.base import Column, Dialect, Kind, Ledger, LedgerSession, Table
from syncline.databases.base.dialect import NOW, Value
from syncline.databases.base.tables import LINES
from syncline.databases.postgresql.session import Session


class PostgresDialect(Dialect):
    """A schema `syncline`; what a crash may lose is not logged."""

    types: ClassVar[Mapping[Kind, str]] = {
        "serial": "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        "text": "text",
        "bytes": "bytea",
        "integer": "bigint",
        "flag": "smallint",
    }
    now: ClassVar[str] = "floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint"
    texts: ClassVar[str] = "(SELECT json_array_elements_text(?::json))"
    volatile: ClassVar[str] = "UNLOGGED "
    own = (LINES,)

    def table(self, name: str) -> str:
        return f"syncline.{name}"

    def index(self, name: str) -> str:
        return name

    def mark(self, number: int) -> str:
        return f"${number}"

    def extras(self, table: Table) -> list[str]:
        """What is compressed already is not compressed again."""
        packed = [column.name for column in table.columns if column.kind == "packed"]
        alter = f"ALTER TABLE {self.table(table.name)} ALTER COLUMN"
        return [f"{alter} {name} SET STORAGE EXTERNAL" for name in packed]

    def insert(self, table: Table) -> str:
        """A statement that inserts the rows of one array a column and gives their keys."""
        names = ", ".join(column.name for column in table.given)
        return (
            f"INSERT INTO {self.table(table.name)} ({names}) SELECT {names}"
            f" FROM {self._given(table.given)} ORDER BY n RETURNING {table.key[0]}"
        )

    def upsert_set(self, table: Table, given: Sequence[Column]) -> str:
        """A statement that inserts the rows of one array for each given column, with the time in the others,
        or puts them in place of those with their keys."""
        picked = ", ".join(column.name if column in given else self.now for column in table.columns)
        return self.replacing(table, f"SELECT {picked} FROM {self._given(given)}")

    def _given(self, columns: Sequence[Column]) -> str:
        """An item of FROM: the rows of one array a column, and their numbers `n`."""
        types = [self.type_of(column.kind) for column in columns]
        arrays = ", ".join(f"${i + 1}::{type_}[]" for i, type_ in enumerate(types))
        names = ", ".join(column.name for column in columns)
        return f"unnest({arrays}) WITH ORDINALITY AS given({names}, n)"


DIALECT = PostgresDialect()


class PostgresLedgerSession(Session, LedgerSession):
    """The ledger's verbs over a session."""

    dialect = DIALECT

    def many(self, table: Table, rows: Sequence[Sequence[Value]]) -> list[int]:
        columns = map(list, zip(*rows, strict=True))
        return [key for (key,) in self.run(DIALECT.insert(table), *columns)]

    def upsert_many(self, table: Table, rows: Sequence[Sequence[Value]]) -> None:
        if rows:
            pairs = list(zip(table.columns, zip(*rows, strict=True), strict=True))
            given = [(column, list(values)) for column, values in pairs if NOW not in values]
            statement = DIALECT.upsert_set(table, [column for column, _ in given])
            self.count(statement, *(values for _, values in given))


def ledger_of(session: Session) -> Ledger:
    """The ledger over a session in a transaction."""
    return Ledger(PostgresLedgerSession(session.connection))
