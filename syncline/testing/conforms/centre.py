"""A small central database for the conformance suite, and short words for what its tests do to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest

from syncline.hub.contract import (
    Database,
    Declared,
    Form,
    Key,
    Position,
    Prepared,
    ReadTransaction,
    Refusal,
    Stage,
)
from syncline.model.schema import Schema
from syncline.model.scope import UNBOUNDED
from syncline.model.values import Value, indices_of


class Words:
    """What the suite's statements say otherwise in other databases, and what these cannot do. Derive from it
    where yours differs."""

    captures_renamed_keys = True
    """Whether capture knows the key when others have renamed its columns and the hub has not noticed yet.
    Where it does not, positions of before are `lost` then, so that everything is compared."""
    knows_columns = True
    """Whether columns that trade names are told from columns that trade places. Where they are not, they keep
    their numbers by name, and positions of before are `lost`."""
    infinite_floats = True
    """Whether a column of floats holds the infinite ones."""
    captures_cascades = True
    """Whether rows that go with another one are captured. Where they are not, a table with such a foreign key
    is refused by `reflect`."""

    text = "text"
    key_text = "text"
    """The type of a text in a key, an index or a foreign key. It is compared by its characters alone."""
    integer = "integer"
    bigint = "bigint"
    """Integers of 64 bits."""
    double = "double precision"
    blob = "blob"
    key_blob = "blob"
    """The type of a binary value in a key."""

    def insert(self, into: str, *rows: str) -> str:
        """One statement that inserts rows; `into` is a table, with its columns in brackets or without."""
        return f"INSERT INTO {into} VALUES {', '.join(rows)}"

    def upsert(self, into: str, key: str, column: str, *rows: str) -> str:
        """The same, but where a row has the key already it gets this column of the one that was to be
        inserted."""
        return f"{self.insert(into, *rows)} ON CONFLICT ({key}) DO UPDATE SET {column} = excluded.{column}"

    def insert_missing(self, into: str, row: str) -> str:
        """A statement that inserts a row and does nothing where there is one with its key."""
        return f"{self.insert(into, row)} ON CONFLICT DO NOTHING"

    def add_column(self, table: str, column: str) -> str:
        """A statement; `column` is its name, its type and what follows."""
        return f"ALTER TABLE {table} ADD COLUMN {column}"

    def rename_column(self, table: str, column: str, name: str) -> str:
        """A statement."""
        return f"ALTER TABLE {table} RENAME COLUMN {column} TO {name}"

    def rename_table(self, table: str, name: str) -> str:
        """A statement."""
        return f"ALTER TABLE {table} RENAME TO {name}"

    @property
    def tables(self) -> tuple[str, ...]:
        """Statements that make the tables that many tests have."""
        text, key, integer = self.text, self.key_text, self.integer
        cascade = " ON DELETE CASCADE" if self.captures_cascades else ""
        return (
            f"CREATE TABLE customer (id {key} NOT NULL PRIMARY KEY, name {text}, city {key} UNIQUE,"
            f" balance {integer})",
            f"CREATE TABLE invoice (id {integer} PRIMARY KEY, customer_id {key} NOT NULL,"
            f" total {integer} CHECK (total >= 0), note {text} NOT NULL,"
            " FOREIGN KEY (customer_id) REFERENCES customer (id))",
            f"CREATE TABLE line (invoice_id {integer} NOT NULL, n {integer} NOT NULL, qty {integer},"
            " PRIMARY KEY (invoice_id, n),"
            f" FOREIGN KEY (invoice_id) REFERENCES invoice (id){cascade})",
            f"CREATE TABLE employee (id {integer} PRIMARY KEY, name {text}, boss {integer},"
            " FOREIGN KEY (boss) REFERENCES employee (id))",
            f"CREATE TABLE tree (id {integer} PRIMARY KEY, parent {integer},"
            f" FOREIGN KEY (parent) REFERENCES tree (id){cascade})",
            f"CREATE TABLE contact (id {integer} PRIMARY KEY, name {key}, shown {text})",
            f"CREATE TABLE noted (id {integer} PRIMARY KEY)",
        )

    @property
    def values(self) -> tuple[str, ...]:
        """Statements that make tables with a column of every kind, in the key, too."""
        return (
            f"CREATE TABLE sample (id {self.integer} PRIMARY KEY, big {self.bigint}, ratio {self.double},"
            f" body {self.text}, octets {self.blob})",
            f"CREATE TABLE spot (a {self.key_text} NOT NULL, b {self.bigint} NOT NULL,"
            f" c {self.key_blob} NOT NULL, d {self.double} NOT NULL, note {self.text},"
            " PRIMARY KEY (a, b, c, d))",
        )


TRACKED = (
    "customer", "invoice", "line", "employee", "tree", "contact", "noted", "hen", "egg", "sample", "spot",
)  # fmt: skip


class Centre(Protocol):
    """What the adapter under test hands in, one for each test."""

    def open(self) -> Database:
        """Another `Database` on the same central database."""

    def run(self, *statements: str) -> None:
        """Statements of another program, in one transaction."""


@dataclass
class World:
    """A prepared central database. Stages are given as rows; keys first, then the columns named."""

    centre: Centre
    database: Database
    schema: Schema
    clock: int = 1 << 16
    words: Words = field(default_factory=Words)

    @classmethod
    def prepared(cls, centre: Centre, words: Words, statements: Iterable[str]) -> World:
        """The suite's tables and what these statements make, prepared."""
        centre.run(*words.tables, *words.values, *statements)
        database = centre.open()
        database.catalogue.prepare(database.catalogue.reflect(TRACKED))
        return cls(centre, database, database.catalogue.load(), words=words)

    def run(self, *statements: str) -> None:
        self.centre.run(*statements)

    def renew(
        self, *, new: Sequence[str] = (), gone: Sequence[str] = (), before: Declared | None = None
    ) -> Prepared:
        """Prepare the database as it is now, with these tables besides and without those."""
        names = [table.name for table in self.schema.tables if table.name not in gone]
        done = self.database.catalogue.prepare(self.database.catalogue.reflect([*names, *new]), before=before)
        self.schema = self.database.catalogue.load()
        return done

    def number(self, table: str) -> int:
        return self.schema.number_of(table)

    def now(self) -> Position:
        with self.database.read(UNBOUNDED) as transaction:
            return transaction.log.now()

    def since(self, after: Position, without: str = "") -> dict[str, dict[Key, set[str]]]:
        """Everything new, over all pages: table, key, names of the columns touched."""
        found: dict[str, dict[Key, set[str]]] = {}
        more = True
        while more:
            with self.database.read(UNBOUNDED) as transaction:
                page = transaction.log.entries(after, without, 1000)
            after, more = page.end, page.more
            self._collect(found, page.touched)
        return found

    def _collect(
        self, found: dict[str, dict[Key, set[str]]], touched: dict[int, list[tuple[Key, int]]]
    ) -> None:
        for number, rows in touched.items():
            table = self.schema.by_number[number]
            for key, mask in rows:
                names = {table.values[index].name for index in indices_of(mask)}
                found.setdefault(table.name, {}).setdefault(tuple(key), set()).update(names)

    def stage(
        self,
        form: Form,
        table: str,
        rows: Sequence[Sequence[Value]],
        columns: Sequence[str] | None = None,
        op: str | None = None,
    ) -> Stage:
        """A stage not loaded yet; each row gets the next HLC. `columns` None: all (a delete has none)."""
        numbers = {column.name: number for number, column in self.schema.table(table).values.items()}
        chosen = [numbers[name] for name in columns] if columns is not None else list(numbers.values())
        self.clock += len(rows)
        return Stage(
            self.number(table),
            form,
            op or {"insert": "I", "update": "U", "delete": "D"}[form],
            [] if form == "delete" else chosen,
            [list(row) for row in rows],
            list(range(self.clock - len(rows), self.clock)),
        )

    def push(self, *stages: Stage, origin: str = "r1") -> list[Refusal]:
        """Stage, lock and apply in one transaction; committed whatever is refused."""
        with self.database.write(UNBOUNDED) as transaction:
            for stage in stages:
                transaction.rows.stage(stage)
            transaction.rows.lock(stages)
            return transaction.rows.apply(stages, origin)

    def push_what_fits(self, *stages: Stage, origin: str = "r1") -> set[tuple[str, Key]]:
        """As the engine does: discard what is refused and apply again. Returns the refused rows."""
        refused: set[tuple[str, Key]] = set()
        with self.database.write(UNBOUNDED) as transaction:
            for stage in stages:
                transaction.rows.stage(stage)
            transaction.rows.lock(stages)
            while found := transaction.rows.apply(stages, origin):
                for refusal in found:
                    transaction.rows.discard(refusal.stage, [refusal.row])
                    refused.add(self.row_of(refusal))
        return refused

    def row_of(self, refusal: Refusal) -> tuple[str, Key]:
        table = self.schema.by_number[refusal.stage.table]
        return table.name, tuple(refusal.stage.rows[refusal.row][: len(table.key)])

    def rows(self, table: str) -> list[list[Value]]:
        """The whole table, read by chunks of three."""
        found: list[list[Value]] = []
        arity = len(self.schema.table(table).key)
        with self.database.read(UNBOUNDED) as transaction:
            while True:
                after = tuple(found[-1][:arity]) if found else None
                chunk = transaction.rows.chunk(self.number(table), after, 3)
                found += chunk
                if len(chunk) < 3:
                    return found

    def needs_cascades(self) -> None:
        """Skip a test that is about rows that go with others, where these are not captured."""
        if not self.words.captures_cascades:
            pytest.skip("rows that go with others are not captured: such tables take no part")

    def opened(self) -> World:
        """The same through another opening of the database. It is to be closed."""
        return World(self.centre, self.centre.open(), self.schema, words=self.words)

    def insert(self, into: str, *rows: str) -> None:
        """Rows of another program, in one statement; `into` and `rows` as in `Words.insert`."""
        self.run(self.words.insert(into, *rows))

    def read(self, look: Callable[[ReadTransaction], Any]) -> Any:
        with self.database.read(UNBOUNDED) as transaction:
            return look(transaction)
