"""An independent account of every edit that was made on devices: where each value is in the end (law L2).

Every value that a device writes is unlike any other, so that it is told apart wherever it turns up: in the
centre at any moment, in a kept conflict, or in a rejected edit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from syncline.model.schema import Schema
from syncline.testing.altered import CentreTable

Place = tuple[str, int, tuple[Any, ...]]
"""A device, the number of a table, and the key of a row."""

ColumnPlace = tuple[int, int]
"""A table and a column by the hub's numbers; -1 for the table itself."""


@dataclass
class Book:
    """What devices wrote and nobody has overwritten or deleted on the same device since; and what was seen in
    the centre."""

    written: dict[Place, dict[int, Any]] = field(default_factory=dict)
    deleted: set[Place] = field(default_factory=set)
    """Rows deleted by their device of which the centre has not been seen without them since."""
    shown: set[Any] = field(default_factory=set)
    """Every value that was ever in the centre."""
    rows: set[tuple[int, tuple[Any, ...]]] = field(default_factory=set)
    """Every row that was ever in the centre: the number of its table, and its key."""
    numbers: dict[int, int] = field(default_factory=dict)
    """The hub's numbers of tables and columns, by the centre's ids."""
    known: set[ColumnPlace] = field(default_factory=set)
    """All that ever took part."""
    dropped: set[ColumnPlace] = field(default_factory=set)
    """What takes part no longer."""
    added: dict[ColumnPlace, int] = field(default_factory=dict)
    """What devices have added to counters."""
    unseen: list[tuple[Place, int, int]] = field(default_factory=list)
    """What of it was added while nothing was captured, with the column's number: it may be found by
    comparing, or be kept as a conflict where nobody can tell who did what."""
    totals: dict[ColumnPlace, int] = field(default_factory=dict)
    """What counters held when they were last seen in the centre."""

    def write(self, place: Place, values: dict[int, Any]) -> None:
        """A device wrote these values, by the column's number; None: one that others may write too."""
        self.deleted.discard(place)
        row = self.written.setdefault(place, {}) | values
        self.written[place] = {number: value for number, value in row.items() if value is not None}

    def replace(self, place: Place) -> None:
        """The device makes the row: what it wrote there before is nobody's concern any more, nor that it
        deleted the row."""
        self.written.pop(place, None)
        self.deleted.discard(place)

    def delete(self, place: Place) -> None:
        """A device deleted the row."""
        self.replace(place)
        self.deleted.add(place)

    def count(self, place: Place, amounts: dict[int, int], *, captured: bool) -> None:
        """A device added these amounts to counters, by the column's number."""
        for number, amount in amounts.items():
            column = place[1], number
            self.added[column] = self.added.get(column, 0) + amount
            if not captured:
                self.unseen.append((place, number, amount))

    def unseen_sums(self, column: ColumnPlace, disputed: Collection[tuple[Place, int]]) -> set[int]:
        """All that may be missing from a counter, of what was added unseen to rows that a device keeps its
        own value of as a conflict: `disputed`, with the column's number."""
        sums = {0}
        for place, number, amount in self.unseen:
            if (place[1], number) == column and (place, number) in disputed:
                sums |= {one + amount for one in sums}
        return sums

    def put_back(self, numbers: dict[int, int], known: set[ColumnPlace]) -> None:
        """The centre is what it was when it had these: it may give other numbers out again."""
        self.numbers, self.known = dict(numbers), set(known)

    def identify(self, schema: Schema, tables: Iterable[CentreTable]) -> None:
        """The hub's schema of the tables as they are now. Numbers belong to the same tables and columns for
        ever."""
        present, here = {table.name: table for table in schema.tables}, set()
        for table in tables:
            found = present.pop(table.name)
            assert self.numbers.setdefault(table.id, found.number) == found.number, table.name
            here.add((found.number, -1))
            for column in table.columns:
                number = found.column(column.name).number
                assert self.numbers.setdefault(column.id, number) == number, (table.name, column.name)
                here.add((found.number, number))
        assert not present, f"not in the centre: {list(present)}"
        self.known |= here
        self.dropped = self.known - here

    def see(self, schema: Schema, rows: dict[int, list[tuple[Any, ...]]]) -> None:
        """The centre as it is now: whole rows, keys first, by the table's number."""
        present = {}
        for table in schema.tables:
            arity, found = len(table.key), rows[table.number]
            present[table.number] = {row[:arity] for row in found}
            self.rows.update((table.number, key) for key in present[table.number])
            self.shown.update(value for row in found for value in row)
            for number, column in table.values.items():
                if column.increment:
                    total = sum(row[arity + table.places[number]] for row in found)
                    self.totals[table.number, number] = total
        self.deleted = {
            (phone, n, key) for phone, n, key in self.deleted if n not in present or key in present[n]
        }

    def open(self, kept: set[Any]) -> Iterator[tuple[Place, int, Any]]:
        """The values that never were in the centre and are not kept in a conflict or rejected edit.

        What is a number when written is its digits where the column has become one of text."""
        found = {str(value) for value in self.shown | kept}
        for place, values in self.written.items():
            for number, value in values.items():
                if str(value) not in found:
                    yield place, number, value


def flat(value: Any) -> Iterator[Any]:
    """All plain values in lists of lists."""
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from flat(part)
    else:
        yield value
