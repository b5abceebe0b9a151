"""The change log where all tables have one, and columns have types of their own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic

from syncline.databases.base.former import former_rows
from syncline.databases.base.logtable import LogTable
from syncline.databases.base.staged import Verbs
from syncline.databases.base.typed import T
from syncline.hub.contract import Former, Key, Position


class TypedLogTable(LogTable[T], Generic[T]):
    """A `LogTable` whose tables have types."""

    unreadable: ClassVar[type[Exception]]
    """The error of a query that finds a text which is none of its column's type."""

    @property
    @abstractmethod
    def verbs(self) -> Verbs:
        """The session of the transaction."""

    def former(self, after: Position, table: int, keys: Sequence[Key]) -> dict[Key, Former]:
        """What rows were like at a position."""
        shape, dialect = self.shapes[table], self._session.dialect
        bound = len(shape.arrays(keys[:1])) if keys else 0
        tests = f"tbl = {dialect.mark(bound + 1)} AND seq > {dialect.mark(bound + 2)}"
        columns = ", ".join(["seq", "op", "old", *shape.words, *shape.log_keys])
        entries = f"SELECT {columns} FROM {dialect.table('log')} WHERE {tests}"
        return former_rows(self.verbs, self.unreadable, shape, keys, entries, shape.n, self.own(after).seq)
