"""Tracked tables of a database with types of its own, and rows that are staged for them."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

from syncline.databases.base.bases import Bases
from syncline.databases.base.codec import Codec
from syncline.databases.base.loading import LoadedRows
from syncline.databases.base.screen import Certain, Screen, StagedColumn
from syncline.databases.base.shape import BaseLayout, BaseShape
from syncline.hub.contract import Key
from syncline.model.schema import ColumnSchema, Schema, TableSchema

C = TypeVar("C", bound=Codec)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the portable schema does not say of a table."""

    guarded: bool = False
    """Whether a trigger of the user's may change a row before it is inserted, even its key."""
    altering: bool = False
    """Whether a trigger of the user's may change more of a row that is updated."""
    triggered: bool = False
    """Whether there is any trigger, rule or function of the user's that a write runs."""
    nested: bool = False
    """Whether it runs functions of the user's outside of triggers: by defaults, checks, indexes, domains."""
    captured: bool = True
    """Whether all triggers of ours are there and fire."""
    types: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Of the columns' types (what is made from another resolved) that are the database's own: the name, a
    number of the adapter's that says how long or precise (-1: neither is said), both as they are written."""
    loose: Sequence[str] = ()
    """The columns by whose collation different texts are equal."""
    counter: int = 0
    """What the database knows the sequence by that counts the key up one by one; 0: none does."""
    refers: Sequence[int] = ()
    """What the database knows the foreign keys by that the table has, or that refer to it; and the columns
    that it computes, if it tells of them."""


@dataclass(frozen=True, slots=True)
class Present:
    """A tracked table as it is now: its name, the numbers that were recorded of its columns and their
    names, both by what the database knows them by; the foreign keys that it has or that refer to it, as the
    database knows them; what else there is to know of it, if it was asked."""

    place: tuple[str, str]
    numbers: str
    names: Mapping[str, str]
    refers: Sequence[int]
    facts: Facts | None

    @classmethod
    def of(cls, place: tuple[str, str], numbers: str, names: Mapping[str, str], *more: Any) -> Present:
        """What a query tells of one: besides these the foreign keys, and what `Facts` has in its order, but
        for these; nothing, or NULL at first, where that was not asked for."""
        refers, *found = more
        facts = replace(Facts(*found), refers=refers) if found and found[0] is not None else None
        return cls(place, numbers, names, refers, facts)

    def is_named(self, table: TableSchema) -> bool:
        """Whether the table and each of its columns is what this name was recorded for."""
        numbers, is_here = self.numbered(), self.place == (table.central_schema, table.central_name)
        return is_here and all(numbers.get(column.name) == column.number for column in table.columns)

    def numbered(self) -> Mapping[str, int]:
        """The recorded numbers of the columns by their present names."""
        numbers = json.loads(self.numbers)
        return {name: numbers[known] for known, name in self.names.items() if known in numbers}


@dataclass(eq=False, repr=False)
class TypedShape(BaseShape, Generic[C]):
    """`keys` and `values` are codecs, those of value columns by number."""

    keys: tuple[C, ...] = field(init=False)
    values: Mapping[int, C] = field(init=False)
    facts: Facts = Facts()

    def __post_init__(self) -> None:
        self.keys = tuple(self.codec(column) for column in self.table.keys)
        self.values = {number: self.codec(column) for number, column in self.table.values.items()}

    @property
    @abstractmethod
    def log(self) -> str:
        """The log with the table's entries."""

    @abstractmethod
    def is_own(self, entry: str) -> str:
        """The condition that an entry of the log was written in this very transaction and, where several
        tables have one log, that it is of this one."""

    def into_log(self, place: int, value: str) -> str:
        """The value of a key column, by its place in the key, as log entries have it: as it is, where the
        log is the table's own. Where all tables have one log, of one type for all keys, a text as the value's
        own; it must be the same whoever is connected, since it is compared by its characters."""
        return value

    def from_log(self, place: int, logged: str) -> str:
        """The opposite: a value of the column's type."""
        return logged

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
    def brought(self, column: str, stored: str) -> str:
        """A value of a column's type as the length or precision of the column lets it be."""

    @abstractmethod
    def bytewise(self, text: str) -> str:
        """A text to be compared by its characters alone."""

    @abstractmethod
    def bound(self, number: int, codec: Codec, *, native: bool = False) -> str:
        """The place of the `number`th value in a statement, counted from 1, as a staged value of this codec;
        `native`: as one of its central type."""

    @abstractmethod
    def page(self, number: int) -> str:
        """The end of a query that is ordered: no more rows than the `number`th value says."""

    @property
    @abstractmethod
    def given(self) -> str:
        """An item of FROM: keys that are bound, as rows `s` with their number `n`, counted from 1."""

    @abstractmethod
    def arrays(self, keys: Sequence[Key]) -> Sequence[Any]:
        """What to bind for `given`."""

    @property
    def given_one(self) -> str:
        """The same for a single key, where that is to be planned otherwise."""
        return self.given

    @abstractmethod
    def given_texts(self, texts: Sequence[str]) -> tuple[str, Any]:
        """An item of FROM likewise, of texts `k0`; and the one value to bind for it."""

    @abstractmethod
    def old_value(self, number: int) -> tuple[str, str, str]:
        """What an entry `l` keeps of a column: the condition that it does, its text, and its value in the
        column's type. See `old_values`."""

    @abstractmethod
    def computable(self, expression: str, text: str) -> str:
        """The condition that an expression over a text can be computed, without an error if it cannot."""

    @abstractmethod
    def sifted(self, source: str, tests: Sequence[str]) -> str:
        """An item of FROM: the rows `s` of another one for which the tests hold. Nothing else is computed
        for rows of which they do not."""

    @cached_property
    def assigned(self) -> Mapping[int, str]:
        """The key columns that `asked_keys` is about, by their place in the key, as they would be stored."""
        pairs = enumerate(zip(self.table.keys, self.keys, strict=True))
        return {
            place: self.brought(column.name, codec.write(f"s.k{place}"))
            for place, (column, codec) in pairs
            if codec.asks_server
        }

    @cached_property
    def asked_keys(self) -> Mapping[str, str]:
        """What of a staged key only the server can tell: for each such column the key as it would be stored
        and read again. A key that is rounded or cut off then is another one."""
        return {f"s.k{place}": self.keys[place].read(stored) for place, stored in self.assigned.items()}

    def identical(self, number: int, stored: str, staged: str, *, in_log: bool) -> list[str]:
        """What makes equal values of a key column the same to the letter, where equality is not enough."""
        codec = self.keys[number]
        conditions = [condition] if (condition := codec.identical(stored, staged)) else []
        if not in_log:
            conditions += self.exactly(number, stored, codec.write(staged))
        return conditions

    def exactly(self, number: int, stored: str, key: str) -> list[str]:
        """The same of a column by whose collation different texts are equal."""
        is_loose = self.table.keys[number].name in self.facts.loose
        return [f"{self.bytewise(stored)} = {self.bytewise(key)}"] if is_loose else []

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
        return [codec.read(one) for codec, one in zip(self.keys, self._stored(alias), strict=True)]

    def _stored(self, alias: str) -> list[str]:
        """The key in the table's types, from the table itself or a log entry `l`."""
        if alias != "l":
            return [f"{alias}.{name}" for name in self.key_names]
        return [self.from_log(place, one) for place, one in enumerate(self.raw_keys())]

    def read_values(self, columns: Iterable[int]) -> list[str]:
        """Columns of the table in portable form."""
        return [self.values[n].read(f"t.{self.value_names[n]}") for n in columns]

    def staged_keys(self) -> list[str]:
        return [codec.write(f"s.k{number}") for number, codec in enumerate(self.keys)]

    def logged_keys(self) -> list[str]:
        return [self.into_log(place, key) for place, key in enumerate(self.staged_keys())]

    def staged_values(self, columns: Sequence[int]) -> list[str]:
        return [self.values[number].write(f"s.c{position}") for position, number in enumerate(columns)]

    def matches(self, alias: str = "t") -> str:
        in_log = alias == "l"
        raw, given = (
            (self.raw_keys(), self.logged_keys()) if in_log else (self._stored(alias), self.staged_keys())
        )
        conditions = [f"{one} = {key}" for one, key in zip(raw, given, strict=True)]
        for number, one in enumerate(self._stored(alias)):
            conditions += self.identical(number, one, f"s.k{number}", in_log=in_log)
        return " AND ".join(conditions)


T = TypeVar("T", bound=TypedShape[Any])


class TypedLayout(BaseLayout[T], Generic[T]):
    """All tracked tables, with what the database says of them. `table` makes one of them."""

    table: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        schema: Schema,
        present: Mapping[int, Present],
        before: Mapping[int, tuple[int, ...]],
        hub: str,
        revision: str,
    ) -> None:
        facts = {n: found.facts or Facts() for n, found in present.items()}
        tables = ((table, before.get(n, ()), facts.get(n, Facts())) for n, table in schema.by_number.items())
        super().__init__(schema, (type(self).table(*table) for table in tables), hub, revision)
        self.triggered = any(shape.facts.triggered for shape in self.by_number)
        """Whether a write to one table may change rows of another."""


@dataclass(slots=True, eq=False, repr=False)
class TypedRows(LoadedRows[T], Generic[T]):
    """What is known of the rows without the database."""

    unlooked: bool = False
    """Whether nobody has looked if the rows, which are to be inserted, exist."""
    keyless: set[int] = field(default_factory=set)
    """Refused rows whose key cannot be."""
    respelled: set[int] = field(default_factory=set)
    """Rows with an integer in a float column: stored as a float, so not as it was sent."""
    certain: bool = True
    """Whether every other row is certainly stored as it was sent, unless a trigger changes it."""
    asked: Bases | None = None
    """What rivals of the rows were asked for, if they were."""

    def screened(self) -> Screen:
        """Look the rows through: what is wrong with them, and what is certain."""
        screen = Screen.of(self.stage, self.shape.staged_columns(self.stage.columns))
        self.refused, self.keyless, self.respelled = screen.refused, screen.keyless, screen.respelled
        self.certain = len(screen.certain) == len(self.stage.columns)
        return screen
