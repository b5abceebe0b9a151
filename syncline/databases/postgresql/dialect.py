"""PostgreSQL's words for the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from syncline.databases.base import Dialect, Kind, LedgerSession, Table
from syncline.databases.base.dialect import Value
from syncline.databases.postgresql.session import Rows, Session

ARRAYS: Mapping[Kind, str] = {
    "key": "text[]",
    "text": "text[]",
    "bytes": "bytea[]",
    "packed": "bytea[]",
    "integer": "bigint[]",
    "flag": "smallint[]",
    "time": "bigint[]",
}


class PostgresDialect(Dialect):
    """A schema `syncline`; what a crash may lose is not logged."""

    kinds: ClassVar[Mapping[Kind, str]] = {
        "serial": "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        "key": "text NOT NULL",
        "text": "text NOT NULL DEFAULT ''",
        "bytes": "bytea NOT NULL",
        "packed": "bytea NOT NULL",
        "integer": "bigint NOT NULL",
        "flag": "smallint NOT NULL",
        "time": "bigint",
    }
    now: ClassVar[str] = "floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint"
    volatile: ClassVar[str] = "UNLOGGED "

    def table(self, name: str) -> str:
        return f"syncline.{name}"

    def index(self, name: str) -> str:
        return name

    def mark(self, number: int) -> str:
        return f"${number}"

    def extras(self, table: Table) -> list[str]:
        """What is compressed already is not compressed again."""
        packed = [column.name for column in table.columns if column.kind == "packed"]
        return [
            f"ALTER TABLE {self.table(table.name)} ALTER COLUMN {name} SET STORAGE EXTERNAL"
            for name in packed
        ]

    def insert(self, table: Table) -> str:
        """A statement that inserts the rows of one array a column and gives their keys."""
        names = ", ".join(column.name for column in table.given)
        arrays = ", ".join(f"${i + 1}::{ARRAYS[column.kind]}" for i, column in enumerate(table.given))
        return (
            f"INSERT INTO {self.table(table.name)} ({names}) SELECT {names}"
            f" FROM unnest({arrays}) WITH ORDINALITY AS given({names}, n) ORDER BY n RETURNING {table.key[0]}"
        )


DIALECT = PostgresDialect()


class PostgresLedgerSession(LedgerSession):
    """The ledger's verbs over a session."""

    dialect = DIALECT

    def __init__(self, session: Session) -> None:
        self._session = session

    def run(self, statement: str, *values: Value) -> Rows:
        return self._session.run(statement, *values)

    def count(self, statement: str, *values: Value) -> int:
        return self._session.count(statement, *values)

    def many(self, table: Table, rows: Sequence[Sequence[Value]]) -> list[int]:
        columns = map(list, zip(*rows, strict=True))
        return [key for (key,) in self._session.run(DIALECT.insert(table), *columns)]

    def now(self) -> int:
        return int(self._session.value("SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint"))
