"""What a database spells for the ledger, and the verbs in which the ledger speaks to it.

A new database writes a `Dialect` (names, kinds of columns, a few fragments) and a `LedgerSession` (`run`,
`count`, `many`); `now`, `role`, `upsert`, `upsert_many`, `each` and `lock_row` come with them unless its SQL
needs other words, or a set is quicker there than its rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, ClassVar, Final, Literal

from syncline.databases.base.tables import LINES, TABLES, Column, Kind, Table
from syncline.databases.base.text import statements


class _Now(Enum):
    NOW = "now"


NOW: Final = _Now.NOW
"""In a row to be written: the database's time."""

Value = int | str | bytes | Literal[_Now.NOW] | None
"""What the ledger writes."""


ALIKE: Mapping[Kind, Kind] = {
    "key": "text",
    "packed": "bytes",
    "flag": "integer",
    "time": "integer",
    "random": "integer",
}
"""Kinds of columns that have the type of another one in most databases."""


_NAMED = ("state", "log", "mark", LINES.name, *(table.name for table in TABLES))
"""The tables that statements name. Those of `log` and `mark` only a log in one table has (see `logtable`)."""


class Dialect(ABC):
    """How one kind of database spells the ledger's tables and statements. It has no state but a cache."""

    types: ClassVar[Mapping[Kind, str]]
    """The types of `text`, `bytes` and `integer`; that of `serial` with all that makes it the key; and those
    of other kinds, where they are not as `ALIKE` says."""

    clauses: ClassVar[Mapping[Kind, str]] = {"text": " NOT NULL DEFAULT ''", "serial": "", "time": ""}
    """What stands behind the type of a column, where it is not NOT NULL."""

    now: ClassVar[str]
    """An expression: milliseconds since 1970 UTC, the same wherever it stands in one statement."""

    page: ClassVar[str] = "LIMIT ?"
    """The end of a statement that is ordered and gives at most so many rows."""

    texts: ClassVar[str]
    """A subquery that gives the texts of a JSON list, the value ?. None of them has the character NUL."""

    random: ClassVar[str]
    """An expression: a random integer of 63 bits that is not negative. Of a log in one table alone."""

    for_update: ClassVar[str] = " FOR UPDATE"
    """The end of a SELECT by key that locks its row until the end of the transaction."""

    volatile: ClassVar[str] = ""
    """What stands before TABLE for a table that need not survive a crash, where that makes it cheaper."""

    one_writer: ClassVar[bool] = False
    """Whether write transactions follow each other: then nobody waits for a row that everybody writes."""

    ddl_commits: ClassVar[bool] = False
    """Whether a statement that makes or alters a table is committed by itself. A `prepare` that was cut short
    then runs its statements again: tables are made with their indexes, unless they are there."""

    role: ClassVar[str] = "CURRENT_USER"
    """An expression: who is connected, where a database knows roles."""

    own: ClassVar[tuple[Table, ...]] = ()
    """Tables besides the ledger's that the adapter makes itself, and whose cells can be looked at."""

    def __init__(self) -> None:
        self._texts: dict[object, str] = {}

    @abstractmethod
    def table(self, name: str) -> str:
        """A table of Syncline's, as it is called in statements."""

    @abstractmethod
    def index(self, name: str) -> str:
        """An index of that name, as it is called in CREATE INDEX."""

    @abstractmethod
    def mark(self, number: int) -> str:
        """The place of the `number`th value in a statement, counted from 1."""

    def type_of(self, kind: Kind) -> str:
        """The type of a kind of column."""
        return self.types[kind] if kind in self.types else self.types[ALIKE[kind]]

    def statement(self, name: str, file: str = "ledger.sql") -> str:
        """A statement of a file beside this module in this database's words."""
        text = self._texts.get((file, name))
        if text is None:
            tables = {table: self.table(table) for table in _NAMED}
            template = statements("syncline.databases.base", file)[name]
            text = template.format(now=self.now, page=self.page, texts=self.texts, **tables)
            text = self._texts[file, name] = self.marked(text)
        return text

    def marked(self, text: str) -> str:
        """A statement with the places of its values, each of which is written as ?."""
        pieces = text.split("?")
        marks = [self.mark(number + 1) for number in range(len(pieces) - 1)]
        return "".join(map("".join, zip(pieces, [*marks, ""], strict=True)))

    def upsert(self, table: Table, values: tuple[str, ...]) -> str:
        """A statement that inserts a row of these expressions or puts it in place of the one with its key."""
        text = self._texts.get((table.name, values))
        if text is None:
            rows = f"VALUES ({', '.join(values)})"
            text = self._texts[table.name, values] = self.replacing(table, rows)
        return text

    def replacing(self, table: Table, rows: str) -> str:
        """A statement that inserts rows of all columns or puts them in place of those with their keys."""
        changes = [f"{name} = excluded.{name}" for name in table.names if name not in table.key]
        return (
            f"INSERT INTO {self.table(table.name)} ({', '.join(table.names)}) {rows}"
            f" ON CONFLICT ({', '.join(table.key)}) DO UPDATE SET {', '.join(changes)}"
        )

    def lock_row(self, table: Table) -> str:
        """A statement that gives every column of the row with a key, locked until the end."""
        tests = [f"{name} = {self.mark(number + 1)}" for number, name in enumerate(table.key)]
        return (
            f"SELECT {', '.join(table.names)} FROM {self.table(table.name)}"
            f" WHERE {' AND '.join(tests)}{self.for_update}"
        )

    def create(self, tables: Sequence[Table] = TABLES) -> list[str]:
        """The statements that make the ledger's tables, or others that are described so."""
        made = []
        for table in tables:
            name, volatile = self.table(table.name), self.volatile if table.volatile else ""
            parts = [f"    {one.name} {self.type_of(one.kind)}{self._clause(one)}" for one in table.columns]
            if table.key and not table.is_numbered:
                parts.append(f"    PRIMARY KEY ({', '.join(table.key)})")
            named = [
                (self.index("_".join([table.name, "by", *some])), ", ".join(some)) for some in table.indexes
            ]
            if self.ddl_commits:
                parts += [f"    INDEX {index} ({columns})" for index, columns in named]
            body, unless = ",\n".join(parts), "IF NOT EXISTS " if self.ddl_commits else ""
            made.append(f"CREATE {volatile}TABLE {unless}{name} (\n{body}\n)")
            if not self.ddl_commits:
                made += [f"CREATE INDEX {index} ON {name} ({columns})" for index, columns in named]
            made += self.extras(table)
        return made

    def _clause(self, column: Column) -> str:
        if column.kind == "random":
            return f" NOT NULL DEFAULT ({self.random})"
        return "" if column.optional else self.clauses.get(column.kind, " NOT NULL")

    def extras(self, table: Table) -> list[str]:
        """Statements that follow the creation of a table; none unless a dialect has some."""
        return []


class LedgerSession(ABC):
    """The verbs of the ledger, within one open transaction of a database.

    Values go in as int, str, bytes or None and come back so: integers as int, also where the driver would
    give a decimal, texts as str, binary values as bytes. Errors are the driver's: the transaction
    makes Syncline's of them as they leave it.
    """

    dialect: Dialect

    @abstractmethod
    def run(self, statement: str, *values: Value) -> Sequence[Sequence[Any]]:
        """Execute a query of this dialect and fetch everything."""

    @abstractmethod
    def count(self, statement: str, *values: Value) -> int:
        """Execute a statement of this dialect; how many rows it wrote."""

    @abstractmethod
    def many(self, table: Table, rows: Sequence[Sequence[Value]]) -> list[int]:
        """Insert rows, one or more, of the columns `table.given`; the keys that the database gave them,
        growing in the order of the rows. The table has a serial key."""

    def now(self) -> int:
        """The database's wall clock, milliseconds since 1970 UTC. It goes on within a transaction."""
        return int(self.run(f"SELECT {self.dialect.now}")[0][0])

    def role(self) -> str:
        """Who is connected, as the database calls him."""
        return str(self.run(f"SELECT {self.dialect.role}")[0][0])

    def upsert(self, table: Table, row: Sequence[Value]) -> None:
        """Insert a row of all columns, or put it in the place of the one with its key."""
        bound = [value for value in row if value is not NOW]
        numbers = iter(range(1, len(bound) + 1))
        spelled = tuple(
            self.dialect.now if value is NOW else self.dialect.mark(next(numbers)) for value in row
        )
        self.count(self.dialect.upsert(table, spelled), *bound)

    def upsert_many(self, table: Table, rows: Sequence[Sequence[Value]]) -> None:
        """`upsert` rows with different keys, all with NOW in the same columns; a statement a row, unless the
        database knows better."""
        for row in rows:
            self.upsert(table, row)

    def each(self, statement: str, rows: Sequence[Sequence[Value]]) -> None:
        """Execute a statement with each of these rows of values; one by one, unless the driver knows
        better."""
        for row in rows:
            self.count(statement, *row)

    def lock_row(self, table: Table, *key: Value) -> Sequence[Any] | None:
        """Every column of the row with this key, locked until the end; None if there is none."""
        rows = self.run(self.dialect.lock_row(table), *key)
        return rows[0] if rows else None


class DbApiSession(LedgerSession):
    """The verbs over a connection of Python's DB-API (PEP 249), whose driver takes values as `mark` says and
    tells the key of a row that was inserted."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def run(self, statement: str, *values: Value) -> Sequence[Sequence[Any]]:
        found: Sequence[Sequence[Any]] = self._executed(statement, values).fetchall()
        return found

    def count(self, statement: str, *values: Value) -> int:
        return int(self._executed(statement, values).rowcount)

    def each(self, statement: str, rows: Sequence[Sequence[Value]]) -> None:
        self._connection.cursor().executemany(statement, rows)

    def many(self, table: Table, rows: Sequence[Sequence[Value]]) -> list[int]:
        """A statement a row."""
        names = [column.name for column in table.given]
        marks = ", ".join(self.dialect.mark(number) for number in range(1, len(names) + 1))
        insert = f"INSERT INTO {self.dialect.table(table.name)} ({', '.join(names)}) VALUES ({marks})"
        return [self._executed(insert, row).lastrowid or 0 for row in rows]

    def _executed(self, statement: str, values: Sequence[Value]) -> Any:
        cursor = self._connection.cursor()
        cursor.execute(statement, values)
        return cursor


class Statements:
    """The statements of one file, by their names, over a session."""

    def __init__(self, session: LedgerSession, file: str) -> None:
        self._session, self._file = session, file

    def run(self, name: str, *values: Value) -> Sequence[Sequence[Any]]:
        """Execute a query and fetch everything."""
        return self._session.run(self._session.dialect.statement(name, self._file), *values)

    def count(self, name: str, *values: Value) -> int:
        """Execute; how many rows were written."""
        return self._session.count(self._session.dialect.statement(name, self._file), *values)

    def each(self, name: str, rows: Sequence[Sequence[Value]]) -> None:
        """Execute with each of these rows of values."""
        self._session.each(self._session.dialect.statement(name, self._file), rows)
