"""A small central database for the conformance suite, and short words for what its tests do to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

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

TABLES = (
    "CREATE TABLE customer (id text NOT NULL PRIMARY KEY, name text, city text UNIQUE, balance integer)",
    "CREATE TABLE invoice (id integer PRIMARY KEY, customer_id text NOT NULL REFERENCES customer (id),"
    " total integer CHECK (total >= 0), note text NOT NULL)",
    "CREATE TABLE line (invoice_id integer NOT NULL REFERENCES invoice (id) ON DELETE CASCADE,"
    " n integer NOT NULL, qty integer, PRIMARY KEY (invoice_id, n))",
    "CREATE TABLE employee (id integer PRIMARY KEY, name text, boss integer REFERENCES employee (id))",
    "CREATE TABLE tree (id integer PRIMARY KEY, parent integer REFERENCES tree (id) ON DELETE CASCADE)",
    "CREATE TABLE contact (id integer PRIMARY KEY, name text, shown text)",
    "CREATE TABLE audit (id integer PRIMARY KEY)",
)
"""Understood by every database. The adapter's own test class adds the cycle, the trigger and `numbers`."""

TRACKED = (
    "customer", "invoice", "line", "employee", "tree", "contact", "audit", "hen", "egg", "sample", "spot",
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

    @classmethod
    def prepared(cls, centre: Centre, statements: Iterable[str]) -> World:
        centre.run(*statements)
        database = centre.open()
        database.catalogue.prepare(database.catalogue.reflect(TRACKED))
        return cls(centre, database, database.catalogue.load())

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

    def read(self, look: Callable[[ReadTransaction], Any]) -> Any:
        with self.database.read(UNBOUNDED) as transaction:
            return look(transaction)
