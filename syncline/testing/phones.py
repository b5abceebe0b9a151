"""A device of a world whose tables change, and what its application does: it writes, and alters tables."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from syncline.model.actor import Actor
from syncline.model.schema import ColumnSchema, TableSchema
from syncline.protocol.messages import Request, Response
from syncline.replica.device import Device
from syncline.replica.lost import due_of
from syncline.replica.replica import Replica
from syncline.testing.faults import CrashingStore, FaultyTransport

Key = tuple[Any, ...]
OWN = ("crop", "soil")
"""Names of an application's own columns; the centre may come to have columns that are called so."""


@dataclass(kw_only=True)
class Phone:
    """A device, and the connection to the hub that its `replica` has as long as it lives."""

    name: str
    actor: Actor
    store: CrashingStore
    skew: int
    lazy: bool
    """Whether it is offline most of the time."""
    line: FaultyTransport | None = None
    replica: Replica | None = None
    filled: bool = False
    moved: dict[int, TableSchema] = field(default_factory=dict)
    """Tables by the hub's number, with names that the application changed since the device synced last."""
    has_own: bool = False
    """Whether the application has altered a table."""
    spoiled: dict[str, list[str]] = field(default_factory=dict)
    """Tables that have no key, with the columns of the key that they had."""
    unseen: list[str] = field(default_factory=list)
    """What takes back the new names that the application gave where nobody could see it, last first."""

    def send(self, request: Request) -> Response:
        """Over the line of this exchange."""
        assert self.line is not None
        return self.line.send(request)

    def close(self) -> None:
        """The hub stays open."""

    def parents(self, table: str) -> set[str]:
        """The tables that one points at."""
        return {row[2] for row in self.store.rows(f"PRAGMA foreign_key_list({table})")}

    def spoil(self, table: str) -> None:
        """Make a table anew as `pandas` does, with its rows and without anything else."""
        declared = ", ".join(
            f"{name} {kind}" for _, name, kind, *_ in self.store.rows(f"PRAGMA table_info({table})")
        )
        with self.store.transaction() as store:
            store.execute(f"CREATE TABLE spoiling ({declared})")
            store.execute(f"INSERT INTO spoiling SELECT * FROM {table}")
            store.execute(f"DROP TABLE {table}")
            store.execute(f"ALTER TABLE spoiling RENAME TO {table}")

    def is_captured(self, table: TableSchema) -> bool:
        """Whether what is written to a table is captured: its triggers have not gone with its former self."""
        sql = "SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND name = ? AND lower(tbl_name) = ?"
        return self.store.row(sql, (f"_sync_{table.number}_insert", table.name.lower())) is not None

    def name_again(self) -> None:
        """Give tables and columns back the names that they had when they were captured last."""
        for sql in self.unseen:
            self.store.execute(sql)
        self.unseen.clear()
        self.moved.clear()

    def in_the_way(self) -> list[str]:
        """Tables that took part before, under the name of one that the centre has now and that is another."""
        device = Device.load(self.store)
        wanted = {table.name: table for table in device.hub.tables}
        found = []
        for name in self.opened.status().left_out:
            columns = {(column.name, column.declared) for column in wanted[name].columns}
            present = {(own, kind) for _, own, kind, *_ in self.store.rows(f"PRAGMA table_info({name})")}
            if present and present != columns:
                found.append(name)
        return found

    @property
    def opened(self) -> Replica:
        """The file as the application has it open."""
        if self.replica is None:
            self.replica = Replica(self.store, lambda: self)
        return self.replica

    def tables(self) -> list[TableSchema]:
        """The tables and columns that take part, with the names that they have in the file."""
        device = Device.load(self.store)
        return [_still(self.moved.get(n, t.table), t.table) for n, t in device.tables.items()]

    def keys(self, tables: Sequence[TableSchema]) -> dict[int, set[Key]]:
        """The keys of all rows that the application sees, by the table's number."""
        return {t.number: set(self.store.rows(f"SELECT {', '.join(t.key)} FROM {t.name}")) for t in tables}


def _still(moved: TableSchema, present: TableSchema) -> TableSchema:
    """A table with the application's names, of what takes part in it by now. A sync may have followed a
    change of the centre and failed after that: a column that was dropped stays in the file, but what is
    written there is captured no longer, and so no edit that law L2 is about."""
    numbers = {column.number for column in present.columns}
    columns = tuple(column for column in moved.columns if column.number in numbers)
    names = {column.name for column in columns}
    keys = tuple(key for key in moved.foreign_keys if names.issuperset(key.columns))
    return moved if columns == moved.columns else replace(moved, columns=columns, foreign_keys=keys)


@dataclass(frozen=True, slots=True)
class Writing:
    """One statement. `written` are the values to account for by the column's number (None: one that others
    write too); of a counter, what is added."""

    table: TableSchema
    sql: str
    parameters: Key
    key: Key
    written: dict[int, Any] = field(default_factory=dict)

    @property
    def is_counting(self) -> bool:
        return " + ?" in self.sql


class Application:
    """Makes statements for one device. `fixed` are the numbers of tables whose rows stay. Every `serial`
    makes values that no other does."""

    def __init__(self, phone: Phone, rng: random.Random, serial: int, fixed: Collection[int]) -> None:
        self._phone, self._rng, self._serial, self._fixed = phone, rng, serial, fixed

    def writing(self, table: TableSchema) -> Writing | None:
        """A statement on this table; None where there is nothing to change."""
        rng, is_fixed = self._rng, table.number in self._fixed
        verb = rng.choice(["insert", "insert", "replace", "update", "update", "update", "update", "delete"])
        if verb in ("insert", "replace") and not is_fixed:
            return self._insert(table, "INSERT OR REPLACE" if verb == "replace" else "INSERT")
        keys = self._phone.store.rows(f"SELECT {', '.join(table.key)} FROM {table.name}")
        if not keys or (verb == "delete" and is_fixed):
            return None
        key = rng.choice(keys)
        where = " AND ".join(f"{name} = ?" for name in table.key)
        if verb == "delete":
            return Writing(table, f"DELETE FROM {table.name} WHERE {where}", key, key)
        counters = [column for column in table.values.values() if column.increment]
        if counters and rng.random() < 0.6:
            column, amount = rng.choice(counters), rng.randint(1, 9)
            sql = f"UPDATE {table.name} SET {column.name} = {column.name} + ? WHERE {where}"
            return Writing(table, sql, (amount, *key), key, {column.number: amount})
        return self._update(table, key, where)

    def _update(self, table: TableSchema, key: Key, where: str) -> Writing | None:
        rest = [column for column in table.values.values() if not column.increment]
        if not rest:
            return None
        columns = self._rng.sample(rest, min(len(rest), self._rng.choice([1, 1, 2, 3])))
        values, written = self._values(table, columns)
        sets = ", ".join(f"{column.name} = ?" for column in columns)
        return Writing(table, f"UPDATE {table.name} SET {sets} WHERE {where}", (*values, *key), key, written)

    def _insert(self, table: TableSchema, verb: str) -> Writing:
        key = tuple(self._key(table, column) for column in table.keys)
        rest = [column for column in table.values.values() if not column.increment]
        columns = [c for c in rest if self._rng.random() < 0.6 or not (c.nullable or c.defaulted)]
        values, written = self._values(table, columns)
        names = ", ".join([*table.key, *(column.name for column in columns)])
        marks = ", ".join("?" * (len(key) + len(columns)))
        sql = f"{verb} INTO {table.name} ({names}) VALUES ({marks})"
        return Writing(table, sql, (*key, *values), key, written)

    def _key(self, table: TableSchema, column: ColumnSchema) -> Any:
        parent = self._parent(table, column)
        number = self._rng.randint(1, 12) if self._rng.random() < 0.5 else 1000 + self._serial
        return parent or (number if "INT" in column.declared else f"{self._phone.name}.k{self._serial}")

    def _parent(self, table: TableSchema, column: ColumnSchema) -> Any:
        for key in table.foreign_keys:
            if key.columns == (column.name,):
                rows = self._phone.store.rows(f"SELECT {key.parent_columns[0]} FROM {key.parent}")
                return self._rng.choice(rows)[0] if rows else None
        return None

    def _values(self, table: TableSchema, columns: list[ColumnSchema]) -> tuple[list[Any], dict[int, Any]]:
        values: list[Any] = []
        written: dict[int, Any] = {}
        points = {name for key in table.foreign_keys for name in key.columns}
        for place, column in enumerate(columns):
            dice, is_number = self._rng.random(), "INT" in column.declared
            written[column.number] = None
            if column.name in points:
                values.append(self._parent(table, column) if dice < 0.8 else None)
            elif dice < 0.2 and not is_number:
                values.append(self._rng.choice(["x1", "x2", "x3"]))
            else:
                own = f"{self._phone.name}.{self._serial}.{place}"
                values.append(1_000_000 + self._serial * 10 + place if is_number else own)
                written[column.number] = values[-1]
        return values, written

    # Altering

    def alter(self, table: TableSchema) -> str:
        """Add a column of its own, or rename a column or the table; empty if the name is taken."""
        rng, phone, dice = self._rng, self._phone, self._rng.random()
        present = {name for _, name, *_ in phone.store.rows(f"PRAGMA table_info({table.name})")}
        name = rng.choice([*OWN, f"own{self._serial}"])
        if name in present:
            return ""
        phone.has_own = True
        if dice < 0.4:
            sql = f"ALTER TABLE {table.name} ADD COLUMN {name} TEXT"
            phone.store.execute(sql)
            return sql
        if dice < 0.8:
            column = rng.choice(table.columns).name
            sql = f"ALTER TABLE {table.name} RENAME COLUMN {column} TO {name}"
            back = f"ALTER TABLE {table.name} RENAME COLUMN {name} TO {column}"
            moved = table.name, {column: name}
        else:
            sql = f"ALTER TABLE {table.name} RENAME TO mine{self._serial}"
            back = f"ALTER TABLE mine{self._serial} RENAME TO {table.name}"
            moved = f"mine{self._serial}", dict[str, str]()
        if not phone.is_captured(table):
            phone.unseen.insert(0, back)
        phone.store.execute(sql)
        self._move(table, *moved)
        return sql

    def give_way(self) -> None:
        """Rename the application's own columns that new ones of the centre might clash with."""
        device, store = Device.load(self._phone.store), self._phone.store
        for n, t in device.tracked.items():
            due = due_of(store, n)
            ours = {c.name for c in t.table.columns if c.number not in due}
            ours |= {one.name for one in device.retired.columns.get(n, ())}
            for _, name, *_ in store.rows(f"PRAGMA table_info({t.table.name})"):
                if name not in ours and name in OWN:
                    store.execute(f"ALTER TABLE {t.table.name} RENAME COLUMN {name} TO {name}_{self._serial}")

    def _move(self, table: TableSchema, name: str, moved: dict[str, str]) -> None:
        """The names of now, in the table and in those that point at it."""

        def called(names: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(moved.get(one, one) for one in names)

        for other in self._phone.tables():
            is_this = other.number == table.number
            keys = []
            for key in other.foreign_keys:
                if is_this:
                    key = replace(key, columns=called(key.columns))
                if key.parent == table.name:
                    key = replace(key, parent=name, parent_columns=called(key.parent_columns))
                keys.append(key)
            if is_this:
                columns = tuple(replace(c, name=moved.get(c.name, c.name)) for c in other.columns)
                other = replace(other, name=name, columns=columns, key=called(other.key))
            self._phone.moved[other.number] = replace(other, foreign_keys=tuple(keys))
