"""The tracked tables as the adapter sees them: the portable schema joined with SQLite's own facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from syncline.databases.base.shape import BaseShape
from syncline.databases.sqlite.rows import encoded
from syncline.model.schema import Schema
from syncline.sqlitekit.sql import commas, quote
from syncline.sqlitekit.tables import Table


@dataclass(eq=False, repr=False)
class Shape(BaseShape):
    """One table and SQLite's facts of it.

    OR ABORT overrules a conflict clause of the table's own: REPLACE or IGNORE there would lose rows."""

    facts: Table = field(kw_only=True)

    INSERT = "INSERT OR ABORT INTO"
    UPDATE = "UPDATE OR ABORT"
    JOIN = "CROSS JOIN"

    @cached_property
    def name(self) -> str:
        return quote(self.table.central_name)

    def staged_keys(self) -> list[str]:
        return [f"s.{name}" for name in self.log_keys]

    def staged_values(self, columns: Sequence[int]) -> list[str]:
        return [f"s.c{position}" for position in range(len(columns))]

    def old_values(self, row: str) -> str:
        """What an entry keeps of a row as it was, as SQL; NULL if nothing is declared."""
        return encoded(dict(zip(self.before, self.values_of(row, self.before), strict=True))) or "NULL"

    def deleting(self, source: str) -> str:
        """SQLite has no DELETE over two tables."""
        keys = f"SELECT {commas(self.key_of('t'))} FROM {self.joined(source)}"
        return f"DELETE FROM {self.name} WHERE ({commas(self.key_names)}) IN ({keys})"

    def affinity(self, column: str) -> str:
        return self.facts.column(column).affinity

    def matches(self, alias: str = "t") -> str:
        """Exactly: a key under COLLATE NOCASE is still told from its other spellings, and 1 from 1.0."""
        parts = []
        names = self.log_keys if alias == "l" else self.key_names
        for index, (name, (column, collation)) in enumerate(zip(names, self.facts.key, strict=True)):
            parts.append(f"{alias}.{name} = s.k{index}")
            if alias != "l" and collation.upper() != "BINARY":
                parts.append(f"{alias}.{name} = s.k{index} COLLATE BINARY")
            if not self.affinity(column):
                parts.append(f"typeof({alias}.{name}) = typeof(s.k{index})")
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
    shapes: Mapping[int, Shape]
    """The tables that take part by number, in the order of the schema."""
    everything: dict[str, Table]
    keys: int
    words: int
    version: int
    refers: bool
    """Whether any foreign key is looked at before the commit, unless it is asked not to be."""
    outrun: Sequence[Mapping[str, str]]
    """Triggers of capture, name and SQL, of each table on which a newer one of the user's is."""

    @property
    def revision(self) -> str:
        """What a hub that prepares anew changes."""
        return self.schema.fingerprint
