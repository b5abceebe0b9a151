"""What one actor may have: which rows and columns, as a value (law L10).

A scope is given to a transaction of the central database, and everything read through it is within it; see
`hub.contract`. `UNBOUNDED`, every row and column, is the only one that can be made good so far.

What it is made of is what row rules are made of: a table's rules, of which one must hold; sets of values
("anchors": the organisations of which somebody is a member) and what the rules read of the actor. The latter
two change without anybody's changing a rule, so that they are part of the value: two pulls at one place in
the log with different anchors are two different things.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from syncline.model.plain import to_plain
from syncline.model.values import Value


@dataclass(frozen=True, slots=True)
class Hop:
    """From a row to the rows it hangs on: those that the foreign key over `columns` of `table` points at, or,
    `backwards`, those rows of `table` whose foreign key points at it. Table and columns are numbers."""

    table: int
    columns: tuple[int, ...]
    backwards: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One way for a row to be within: `condition` holds of it, and a row that `via` leads to is within.

    `condition` is a parsed predicate in its canonical spelling, empty if there is none; it may name sets of
    anchors and what the scope `reads`."""

    condition: str = ""
    via: Hop | None = None


@dataclass(frozen=True, slots=True)
class TableScope:
    """What is within of one table: rows of which a rule holds, without the columns that are `hidden`."""

    table: int
    rules: tuple[Rule, ...]
    hidden: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Scope:
    """The rows and columns that one actor may have. Hashable; equal if and only if they say the same.

    `tables` are those of which anything is within, by ascending number; None: all of every table. `anchors`
    are the sets that the rules name, `reads` what they read of the actor besides, both by name, ascending.
    """

    tables: tuple[TableScope, ...] | None = None
    anchors: tuple[tuple[str, frozenset[Value]], ...] = ()
    reads: tuple[tuple[str, Value], ...] = ()

    @property
    def is_unbounded(self) -> bool:
        """Whether every row and column is within."""
        return self.tables is None

    @property
    def canonical(self) -> str:
        """The same text for equal scopes in every process, another for others: JSON of plain values."""
        tables = None if self.tables is None else [_plain_table(table) for table in self.tables]
        anchors = [[name, sorted(map(_spelled, values))] for name, values in self.anchors]
        reads = [[name, _spelled(value)] for name, value in self.reads]
        return json.dumps([tables, anchors, reads], separators=(",", ":"))

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that tell this scope from any other."""
        return hashlib.sha256(self.canonical.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _plain_table(table: TableScope) -> list[object]:
    rules = [
        [rule.condition, rule.via and [rule.via.table, rule.via.columns, rule.via.backwards]]
        for rule in table.rules
    ]
    return [table.table, rules, table.hidden]


def _spelled(value: Value) -> str:
    """Text that tells 1 from 1.0 and from '1'."""
    return json.dumps(to_plain(value))


UNBOUNDED = Scope()
"""Every row and every column of every table."""
