"""Tracked tables of a database with types of its own, and rows that are staged for them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

from syncline.databases.base.codec import Codec
from syncline.databases.base.screen import Certain, Screen, StagedColumn
from syncline.databases.base.shape import BaseShape
from syncline.hub.contract import Refusal, Stage, codes
from syncline.model.schema import ColumnSchema

C = TypeVar("C", bound=Codec)


@dataclass(eq=False, repr=False)
class TypedShape(BaseShape, Generic[C]):
    """`keys` and `values` are codecs, those of value columns by number."""

    keys: tuple[C, ...] = field(init=False)
    values: Mapping[int, C] = field(init=False)

    def __post_init__(self) -> None:
        self.keys = tuple(self.codec(column) for column in self.table.keys)
        self.values = {number: self.codec(column) for number, column in self.table.values.items()}

    @abstractmethod
    def codec(self, column: ColumnSchema) -> C:
        """The codec of a column."""

    @abstractmethod
    def length(self, column: str) -> int | None:
        """How many characters a column holds, if spaces beyond are cut off unsaid."""

    @abstractmethod
    def certain(self, column: str) -> Certain | None:
        """Which values of a column certainly come back as they were sent; None if that is not known."""

    @abstractmethod
    def identical(self, number: int, stored: str, staged: str, *, in_log: bool) -> Sequence[str]:
        """What makes equal values of a key column the same to the letter, where equality is not enough."""

    @cached_property
    @abstractmethod
    def asked_keys(self) -> Mapping[str, str]:
        """What of a staged key only the server can tell: for each such column the key as it would be stored
        and read again. A key that is rounded or cut off then is another one."""

    def staged_columns(self, columns: Iterable[int]) -> list[StagedColumn]:
        """The columns of a stage: the key's, then those of these numbers."""
        found = []
        for column, key in zip(self.table.keys, self.keys, strict=True):
            found.append(StagedColumn(column.name, key, True, self.length(column.name)))
        for number in columns:
            name = self.table.values[number].name
            codec = self.values[number]
            found.append(StagedColumn(name, codec, False, self.length(name), self.certain(name)))
        return found

    def read_keys(self, alias: str) -> list[str]:
        """The key in portable form, from the table itself (`t`) or a log entry (`l`)."""
        names = self.log_keys if alias == "l" else self.key_names
        return [codec.read(f"{alias}.{name}") for codec, name in zip(self.keys, names, strict=True)]

    def read_values(self, columns: Iterable[int]) -> list[str]:
        """Columns of the table in portable form."""
        return [self.values[n].read(f"t.{self.value_names[n]}") for n in columns]

    def staged_keys(self) -> list[str]:
        return [codec.write(f"s.k{number}") for number, codec in enumerate(self.keys)]

    def staged_values(self, columns: Sequence[int]) -> list[str]:
        return [self.values[number].write(f"s.c{position}") for position, number in enumerate(columns)]

    def matches(self, alias: str = "t") -> str:
        in_log = alias == "l"
        stored = [f"{alias}.{name}" for name in (self.log_keys if in_log else self.key_names)]
        conditions = [f"{one} = {key}" for one, key in zip(stored, self.staged_keys(), strict=True)]
        for number, one in enumerate(stored):
            conditions += self.identical(number, one, f"s.k{number}", in_log=in_log)
        return " AND ".join(conditions)


T = TypeVar("T", bound=TypedShape[Any])


@dataclass(slots=True, eq=False, repr=False)
class TypedRows(Generic[T]):
    """A stage on its way into the database: what is known of its rows without it, and which are left."""

    stage: Stage
    shape: T
    live: list[int] = field(init=False)
    """The numbers of the rows still in it, ascending."""
    refused: dict[int, Refusal] = field(default_factory=dict)
    unlooked: bool = False
    """Whether nobody has looked if the rows, which are to be inserted, exist."""
    keyless: set[int] = field(default_factory=set)
    """Refused rows whose key cannot be."""
    respelled: set[int] = field(default_factory=set)
    """Rows with an integer in a float column: stored as a float, so not as it was sent."""
    certain: bool = True
    """Whether every other row is certainly stored as it was sent, unless a trigger changes it."""

    def __post_init__(self) -> None:
        self.live = list(range(len(self.stage.rows)))

    def screened(self) -> Screen:
        """Look the rows through: what is wrong with them, and what is certain."""
        screen = Screen.of(self.stage, self.shape.staged_columns(self.stage.columns))
        self.refused, self.keyless, self.respelled = screen.refused, screen.keyless, screen.respelled
        self.certain = len(screen.certain) == len(self.stage.columns)
        return screen

    def refuse_keys(self, rows: Collection[int], database: str) -> None:
        """Refuse keys that the database would not write, or would write in another spelling."""
        for row in sorted(rows):
            key = self.stage.rows[row][: self.shape.arity]
            detail = f"the key {key!r} is not as {database} writes its types"
            self.refused[row] = Refusal(self.stage, row, codes.INVALID, detail)
