"""The tracked tables as the adapter works with them: codecs, quoted names, and the text they are built of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from syncline.databases.base.screen import StagedColumn
from syncline.databases.postgresql.spelling import test_of
from syncline.databases.postgresql.sql import qualified, quote
from syncline.databases.postgresql.types import HEADER, Codec, codec_of
from syncline.model.masks import mask_columns, words_for
from syncline.model.schema import Schema, TableSchema
from syncline.model.values import mask_of


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
    types: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Name and modifier of the columns' types (domains resolved), if they are base types; see
    `pg_attribute.atttypmod`."""


@dataclass(eq=False, repr=False)
class Shape:
    """One tracked table; `keys` and `values` are codecs, those of value columns by number.

    In statements the table is `t`, a staged row `s` with columns n, hlc, k0..., c0..., a log entry `l`.
    """

    table: TableSchema
    keys: tuple[Codec, ...] = field(init=False)
    values: Mapping[int, Codec] = field(init=False)
    facts: Facts = Facts()
    before: tuple[int, ...] = ()
    """Numbers of the value columns of which the log keeps old values, ascending."""
    statements: dict[tuple[object, ...], str] = field(default_factory=dict)
    """Built statements, by what they do and for which columns."""

    def __post_init__(self) -> None:
        self.keys = tuple(codec_of(column) for column in self.table.keys)
        self.values = {number: codec_of(column) for number, column in self.table.values.items()}

    def statement(self, name: tuple[object, ...], build: Callable[[], str]) -> str:
        """The statement called `name`, built the first time."""
        text = self.statements.get(name)
        if text is None:
            text = self.statements[name] = build()
        return text

    @property
    def n(self) -> int:
        """The table's number, which its log and functions are called by."""
        return self.table.number

    @cached_property
    def name(self) -> str:
        return qualified(self.table.central_schema, self.table.central_name)

    @property
    def log(self) -> str:
        return f"syncline.log_{self.n}"

    @cached_property
    def words(self) -> list[str]:
        """The names of the mask columns in the log."""
        return mask_columns(words_for(self.table.bits))

    @cached_property
    def arity(self) -> int:
        return len(self.keys)

    @cached_property
    def key_names(self) -> list[str]:
        return [quote(column.name) for column in self.table.keys]

    @cached_property
    def value_names(self) -> Mapping[int, str]:
        return {number: quote(column.name) for number, column in self.table.values.items()}

    @cached_property
    def log_keys(self) -> list[str]:
        return [f"k{number}" for number in range(self.arity)]

    def staged_columns(self, columns: Iterable[int]) -> list[StagedColumn]:
        """The columns of a stage: the key's, then those of these numbers."""
        values = self.table.values
        keys = zip(self.table.keys, self.keys, strict=True)
        found = [StagedColumn(column.name, codec, True, self.length(column.name)) for column, codec in keys]
        for number in columns:
            name = values[number].name
            certain = test_of(*self.facts.types.get(name, ("", -1)))
            found.append(StagedColumn(name, self.values[number], False, self.length(name), certain))
        return found

    def length(self, column: str) -> int | None:
        """How many characters a column holds, if it is a varchar(n): spaces beyond are cut off unsaid."""
        name, modifier = self.facts.types.get(column, ("", -1))
        return modifier - HEADER if name == "varchar" and modifier >= HEADER else None

    @cached_property
    def computed_mask(self) -> int:
        return mask_of(number for number, column in self.table.values.items() if column.computed)

    @cached_property
    def before_mask(self) -> int:
        return mask_of(self.before)

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
        """The staged key in central types."""
        return [codec.write(f"s.k{number}") for number, codec in enumerate(self.keys)]

    def matches(self, alias: str = "t") -> str:
        """The condition that a staged row and the table's row (or a log entry) have one key."""
        names = self.key_names if alias == "t" else self.log_keys
        pairs = zip(names, self.staged_keys(), strict=True)
        conditions = [f"{alias}.{name} = {staged}" for name, staged in pairs]
        for number, (name, codec) in enumerate(zip(names, self.keys, strict=True)):
            conditions.append(codec.identical(f"{alias}.{name}", f"s.k{number}"))
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
            table.number: Shape(table, facts.get(table.number, Facts()), before.get(table.number, ()))
            for table in schema.tables
        }
        self.by_number = [self.shapes[number] for number in sorted(self.shapes)]
        self.triggered = any(shape.facts.triggered for shape in self.by_number)
        """Whether a write to one table may change rows of another."""
        self.statements: dict[tuple[object, ...], str] = {}
