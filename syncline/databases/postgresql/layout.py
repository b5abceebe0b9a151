"""The tracked tables as the adapter works with them: codecs, quoted names, and the text they are built of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from syncline.databases.base.screen import StagedColumn
from syncline.databases.base.shape import BaseShape, built
from syncline.databases.postgresql.spelling import test_of
from syncline.databases.postgresql.sql import qualified
from syncline.databases.postgresql.types import HEADER, Codec, codec_of
from syncline.model.schema import Schema


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
    """Name, modifier and both as they are written of the columns' types (domains resolved), if they are base
    types; see `pg_attribute.atttypmod`."""
    loose: Sequence[str] = ()
    """The columns by whose collation different texts are equal."""
    counter: int = 0
    """The oid of the sequence that counts the key up one by one; 0: none does."""


@dataclass(eq=False, repr=False)
class Shape(BaseShape):
    """One tracked table; `keys` and `values` are codecs, those of value columns by number."""

    facts: Facts = Facts()
    keys: tuple[Codec, ...] = field(init=False)
    values: Mapping[int, Codec] = field(init=False)

    OVERRIDING = " OVERRIDING SYSTEM VALUE"

    def __post_init__(self) -> None:
        self.keys = tuple(codec_of(column) for column in self.table.keys)
        self.values = {number: codec_of(column) for number, column in self.table.values.items()}

    @cached_property
    def name(self) -> str:
        return qualified(self.table.central_schema, self.table.central_name)

    @property
    def log(self) -> str:
        return f"syncline.log_{self.n}"

    def staged_columns(self, columns: Iterable[int]) -> list[StagedColumn]:
        """The columns of a stage: the key's, then those of these numbers."""
        values = self.table.values
        keys = zip(self.table.keys, self.keys, strict=True)
        found = [StagedColumn(column.name, codec, True, self.length(column.name)) for column, codec in keys]
        for number in columns:
            name = values[number].name
            certain = test_of(*self._type(name)[:2])
            found.append(StagedColumn(name, self.values[number], False, self.length(name), certain))
        return found

    def length(self, column: str) -> int | None:
        """How many characters a column holds, if it is a varchar(n): spaces beyond are cut off unsaid."""
        name, modifier, _ = self._type(column)
        return modifier - HEADER if name == "varchar" and modifier >= HEADER else None

    def _type(self, column: str) -> Sequence[Any]:
        return self.facts.types.get(column, ("", -1, ""))

    @cached_property
    def asked_keys(self) -> Mapping[str, str]:
        """What of a staged key only the server can tell: for each such column the key as it would be stored
        and read again. A key that is rounded or cut off then is another one."""
        found = {}
        for number, (column, codec) in enumerate(zip(self.table.keys, self.keys, strict=True)):
            staged = f"s.k{number}"
            _, modifier, whole = self._type(column.name)
            if codec.asks_server or codec.central == "real":
                stored = codec.write(staged)
                found[staged] = codec.read(f"({stored})::{whole}" if modifier >= 0 else stored)
        return found

    def old_values(self, row: str) -> str:
        """What an entry keeps of a row as it was: JSON of texts, from which the types are read again."""
        pairs = (f"'{n}', {row}.{self.value_names[n]}::text" for n in self.before)
        return f"json_build_object({', '.join(pairs)})"

    def read_keys(self, alias: str) -> list[str]:
        """The key in portable form, from the table itself (`t`) or a log entry (`l`)."""
        names = self.key_names if alias == "t" else self.log_keys
        return [codec.read(f"{alias}.{name}") for codec, name in zip(self.keys, names, strict=True)]

    def read_values(self, columns: Iterable[int]) -> list[str]:
        return [self.values[n].read(f"t.{self.value_names[n]}") for n in columns]

    def staged_keys(self) -> list[str]:
        return [codec.write(f"s.k{number}") for number, codec in enumerate(self.keys)]

    def staged_values(self, columns: Sequence[int]) -> list[str]:
        return [self.values[number].write(f"s.c{position}") for position, number in enumerate(columns)]

    def matches(self, alias: str = "t") -> str:
        names = self.key_names if alias == "t" else self.log_keys
        staged_keys = self.staged_keys()
        pairs = zip(names, staged_keys, strict=True)
        conditions = [f"{alias}.{name} = {key}" for name, key in pairs]
        for number, (name, codec) in enumerate(zip(names, self.keys, strict=True)):
            conditions.append(codec.identical(f"{alias}.{name}", f"s.k{number}"))
            if alias == "t" and self.table.keys[number].name in self.facts.loose:
                conditions.append(f'{alias}.{name} COLLATE "C" = {staged_keys[number]} COLLATE "C"')
        return " AND ".join(filter(None, conditions))


class Layout:
    """All tracked tables: by number (`shapes`), and in the order of their numbers (`by_number`)."""

    def __init__(
        self,
        schema: Schema,
        facts: Mapping[int, Facts] = MappingProxyType({}),
        before: Mapping[int, tuple[int, ...]] = MappingProxyType({}),
    ) -> None:
        self.schema = schema
        self.shapes = {
            table.number: Shape(table, before.get(table.number, ()), facts.get(table.number, Facts()))
            for table in schema.tables
        }
        self.by_number = [self.shapes[number] for number in sorted(self.shapes)]
        self.triggered = any(shape.facts.triggered for shape in self.by_number)
        """Whether a write to one table may change rows of another."""
        self.statements: dict[tuple[object, ...], str] = {}

    def statement(self, name: tuple[object, ...], build: Callable[[], str]) -> str:
        """A statement over all tables, built the first time."""
        return built(self.statements, name, build)
