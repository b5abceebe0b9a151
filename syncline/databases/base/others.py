"""Whether anybody but one replica has written to a table since a place in a log that is in one order.

A push asks that first. Of a replica that pushes and never pulls nearly all entries since are its own, more
with every push. So what the log was found to end with is noted with the ledger's settings, by table: whoever
asks next goes through the entries that came since.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from syncline.databases.base.ledger import Ledger

FEW = 1_000
"""So many entries are gone through rather than noted."""

NAME = "newest entries"
"""Under which setting it is kept."""

Last = list[tuple[str, int]]
"""The newest entry of a table, and the newest one that is not of the same origin: origins and numbers."""


@dataclass(slots=True)
class Newest:
    """What the log up to the entry `upto` ends with, by table."""

    upto: int = 0
    tables: dict[int, Last] = field(default_factory=dict)

    def add(self, found: Iterable[Sequence[Any]]) -> None:
        """Table, origin and number of newer entries, the newest of each table and origin."""
        for table, origin, seq in found:
            last = dict(self.tables.get(table, ()))
            last[origin] = max(seq, last.get(origin, 0))
            self.tables[table] = sorted(last.items(), key=lambda one: one[1], reverse=True)[:2]
            self.upto = max(self.upto, seq)

    def of_others(self, table: int, replica: str) -> int:
        """The newest entry of a table that is not the replica's own; 0 if there is none."""
        return max((seq for origin, seq in self.tables.get(table, ()) if origin != replica), default=0)


class OtherWriters(ABC):
    """Asked in a transaction that writes."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @abstractmethod
    def end(self) -> int:
        """The number of the newest entry; 0 if there is none."""

    @abstractmethod
    def is_any(self, table: int, replica: str, floor: int) -> bool:
        """Whether one of the entries above `floor`, which are few, is of the table and not the replica's."""

    @abstractmethod
    def last_by(self, above: int) -> Iterable[Sequence[Any]]:
        """Of all entries above: each table and origin, and the number of their newest one."""

    def has_others(self, table: int, replica: str, floor: int) -> bool:
        """Whether the log has entries of the table above `floor` that are not the replica's own. True, too,
        if those are gone that there were."""
        if self.end() - floor <= FEW:
            return self.is_any(table, replica, floor)
        newest = _read(self._ledger.setting(NAME))
        before = newest.upto
        newest.add(self.last_by(before))
        if newest.upto - before > FEW:
            self._ledger.set(NAME, json.dumps([newest.upto, list(newest.tables.items())]))
        return newest.of_others(table, replica) > floor


def _read(kept: str | None) -> Newest:
    if kept is None:
        return Newest()
    upto, tables = json.loads(kept)
    return Newest(upto, {table: [(origin, seq) for origin, seq in last] for table, last in tables})
