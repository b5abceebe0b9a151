"""Looking through staged rows before they are loaded, column by column, in whatever database.

A value that the server would choke on is taken out, and its row refused; the others of the row stay, so that
what else there is to say of it can be said. Of values that have the one spelling which the database would
give them it is known that they come back as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from syncline.databases.base.codec import Codec
from syncline.hub.contract import Refusal, Stage, codes
from syncline.model.values import Value

Certain = Callable[[Sequence[Value]], bool]
"""Whether all values (or NULLs) of a column are certainly given back as they are."""


@dataclass(frozen=True, slots=True)
class StagedColumn:
    """A column of a stage. `length`: how many characters it holds, if it cuts off spaces beyond unsaid."""

    name: str
    codec: Codec
    key: bool
    length: int | None = None
    certain: Certain | None = None
    """Without it only NULL is certain, of a codec that spells."""

    def fits(self, values: Sequence[Value]) -> bool:
        """Whether no text is longer than the column."""
        return self.length is None or all(len(v) <= self.length for v in values if isinstance(v, str))

    def fault(self, value: Value) -> str | None:
        """Why this value cannot be loaded, None if it can be."""
        if self.key and value is None:
            return "NULL in a primary key"
        if self.key and not self.fits([value]):
            return "the text is longer than the column"
        return self.codec.fault(value, key=self.key)

    def is_certain(self, values: Sequence[Value]) -> bool:
        """Whether these values are certainly stored as they were sent."""
        if not self.fits(values):
            return False
        if not self.codec.spelled:
            return True
        return self.certain(values) if self.certain is not None else set(map(type, values)) == {type(None)}


@dataclass(slots=True, eq=False, repr=False)
class Screen:
    """What was found. `refused` by the number of the row; `certain`: the places of the columns whose values
    all are, of a value column."""

    columns: list[Sequence[Value]]
    """The rows by columns, without what cannot be loaded."""
    refused: dict[int, Refusal] = field(default_factory=dict)
    keyless: set[int] = field(default_factory=set)
    """Rows whose key cannot be."""
    respelled: set[int] = field(default_factory=set)
    """Rows with an integer in a float column: stored as a float, so not as it was sent."""
    certain: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, stage: Stage, columns: Sequence[StagedColumn]) -> Screen:
        """Look through all rows of a stage; `columns` are the key's, then the staged ones."""
        screen = cls(list(zip(*stage.rows, strict=True)) or [() for _ in columns])
        for place, column in enumerate(columns):
            screen._look(stage, place, column)
        return screen

    def _look(self, stage: Stage, place: int, column: StagedColumn) -> None:
        values = self.columns[place]
        sound = column.codec.flawless(values, key=column.key)
        if not sound or (column.key and not column.fits(values)):
            values = self.columns[place] = [self._sifted(stage, n, column, v) for n, v in enumerate(values)]
        if column.codec.is_float and int in set(map(type, values)):
            self.respelled |= {row for row, value in enumerate(values) if type(value) is int}
        if not column.key and column.is_certain(values):
            self.certain.add(place)

    def _sifted(self, stage: Stage, row: int, column: StagedColumn, value: Value) -> Value:
        fault = column.fault(value)
        if fault is None:
            return value
        detail = f"column {column.name}: {fault}"
        self.refused.setdefault(row, Refusal(stage, row, codes.INVALID, detail))
        if column.key:
            self.keyless.add(row)
        return None
