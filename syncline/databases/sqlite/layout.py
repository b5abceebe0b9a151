"""The tracked tables as the adapter sees them: the portable schema joined with SQLite's own facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from syncline.databases.sqlite.rows import encoded
from syncline.model.masks import words_for
from syncline.model.schema import ForeignKey, Schema, TableSchema
from syncline.sqlitekit.sql import quote
from syncline.sqlitekit.tables import Table

ACTIONS = {"CASCADE", "SET NULL", "SET DEFAULT"}


@dataclass(frozen=True, slots=True)
class Tracked:
    """One table and SQLite's facts of it."""

    table: TableSchema
    facts: Table
    before: tuple[int, ...] = ()
    """Numbers of the value columns of which the log keeps old values, ascending."""

    @property
    def n(self) -> int:
        """The table's number."""
        return self.table.number

    @property
    def name(self) -> str:
        """The quoted name."""
        return quote(self.table.central_name)

    @property
    def arity(self) -> int:
        return len(self.table.key)

    @property
    def words(self) -> int:
        """Words in a mask of this table."""
        return words_for(self.table.bits)

    def key_of(self, alias: str) -> list[str]:
        """The key columns, qualified."""
        return [f"{alias}.{quote(name)}" for name in self.table.key]

    def values_of(self, alias: str, columns: Iterable[int] | None = None) -> list[str]:
        """Value columns (all, or those of these numbers), qualified."""
        values = self.table.values
        return [f"{alias}.{quote(values[n].name)}" for n in (values if columns is None else columns)]

    def old_values(self, row: str) -> str:
        """What an entry keeps of a row as it was, as SQL; NULL if nothing is declared."""
        return encoded(dict(zip(self.before, self.values_of(row, self.before), strict=True))) or "NULL"

    def affinity(self, column: str) -> str:
        return self.facts.column(column).affinity

    def join(self, row: str, other: str) -> str:
        """Condition: the table's row `row` has exactly the key other.k0, other.k1, ...

        Exactly: a key under COLLATE NOCASE is still told from its other spellings, and 1 from 1.0.
        """
        parts = []
        for index, (name, collation) in enumerate(self.facts.key):
            column = f"{row}.{quote(name)}"
            parts.append(f"{column} = {other}.k{index}")
            if collation.upper() != "BINARY":
                parts.append(f"{column} = {other}.k{index} COLLATE BINARY")
            if not self.affinity(name):
                parts.append(f"typeof({column}) = typeof({other}.k{index})")
        return " AND ".join(parts)

    def logged(self, other: str) -> str:
        """Condition: the log entry `l` has exactly the key other.k0, other.k1, ..."""
        parts = []
        for number, name in enumerate(self.table.key):
            parts.append(f"l.k{number} = {other}.k{number}")
            if not self.affinity(name):
                parts.append(f"typeof(l.k{number}) = typeof({other}.k{number})")
        return " AND ".join(parts)

    def differs(self, column: str, left: str, right: str) -> str:
        """Condition: two values of one column are not identical as SQLite stores them."""
        test = f"{left} IS NOT {right} COLLATE BINARY"
        return test if self.affinity(column) else f"({test} OR typeof({left}) <> typeof({right}))"


@dataclass(frozen=True, slots=True)
class Layout:
    """What one prepared database looks like. Made by `prepare.load_layout`; renewed when its DDL changes.

    `everything` holds the facts of all of the user's tables, tracked or not, by name in lower case.
    """

    hub: str
    schema: Schema
    tracked: Mapping[int, Tracked]
    """The tables that take part by number, in the order of the schema."""
    everything: dict[str, Table]
    keys: int
    words: int
    version: int

    def children(self, parent: str) -> list[tuple[Table, ForeignKey]]:
        """Every foreign key, of any table, that points at `parent`; parent columns resolved."""
        found = []
        for table in self.everything.values():
            for key in table.foreign_keys:
                if key.parent.lower() == parent.lower():
                    found.append((table, self._resolved(key)))
        return found

    def _resolved(self, key: ForeignKey) -> ForeignKey:
        if key.parent_columns:
            return key
        parent = self.everything[key.parent.lower()]
        targets = tuple(name for name, _ in parent.key)
        return ForeignKey(key.columns, key.parent, targets, key.on_delete, key.on_update)

    def reaches_itself(self, tracked: Tracked, *, actions: bool) -> bool:
        """Whether writing this table can have side effects on this very table.

        Through its triggers, or (`actions`) through foreign-key actions that lead back here or to any
        table with a trigger: what a trigger writes is anybody's guess.
        """
        if tracked.facts.triggers:
            return True
        seen: set[str] = set()
        frontier = [tracked.facts.name.lower()] if actions else []
        while frontier:
            for child, key in self.children(frontier.pop()):
                if not {key.on_delete.upper(), key.on_update.upper()} & ACTIONS:
                    continue
                name = child.name.lower()
                if name == tracked.facts.name.lower() or child.triggers:
                    return True
                if name not in seen:
                    seen.add(name)
                    frontier.append(name)
        return False
