"""A tracked table as statements name it, and the texts that are built of these names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Generic, TypeVar

from syncline.hub.contract import Stage
from syncline.model.masks import WORD_BITS, mask_columns, words_for
from syncline.model.schema import Schema, TableSchema
from syncline.model.values import EVERYTHING, mask_of


def built(kept: dict[tuple[object, ...], str], name: tuple[object, ...], build: Callable[[], str]) -> str:
    """The statement that is kept under a name; built, and kept, the first time."""
    text = kept.get(name)
    if text is None:
        text = kept[name] = build()
    return text


@dataclass(eq=False, repr=False)
class BaseShape(ABC):
    """One tracked table. In statements the table is `t`, a staged row `s` with columns n (its number), hlc,
    k0... (key) and c0... (the staged columns, in their order), a log entry `l` with a key k0... and masks."""

    table: TableSchema
    before: tuple[int, ...] = ()
    """Numbers of the value columns of which the log keeps old values, ascending."""
    statements: dict[tuple[object, ...], str] = field(default_factory=dict, kw_only=True)
    """Built statements, by what they do and for which columns."""

    INSERT: ClassVar[str] = "INSERT INTO"
    OVERRIDING: ClassVar[str] = ""
    """What stands behind the columns of an INSERT that gives values to identities."""
    UPDATE: ClassVar[str] = "UPDATE"
    JOIN: ClassVar[str] = "JOIN"
    """Joins few rows, named first, with a table."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The table's name, quoted."""

    @abstractmethod
    def matches(self, alias: str = "t") -> str:
        """The condition that a staged row has the key, to the letter, of the table's row that is called so,
        or of the log entry `l`."""

    @abstractmethod
    def staged_keys(self) -> Sequence[str]:
        """The staged key in the table's types."""

    @abstractmethod
    def staged_values(self, columns: Sequence[int]) -> Sequence[str]:
        """The staged columns in the table's types."""

    @abstractmethod
    def old_values(self, row: str) -> str:
        """What an entry keeps of a row as it was, as one expression."""

    def quote(self, name: str) -> str:
        """An identifier, quoted."""
        return '"' + name.replace('"', '""') + '"'

    def distinct(self, left: str, right: str) -> str:
        """The condition that two values differ, of which either may be NULL."""
        return f"{left} IS DISTINCT FROM {right}"

    def joined(self, source: str) -> str:
        """The rows `s` of a source with the rows `t` of the table that have their keys, behind FROM."""
        return f"{source} {self.JOIN} {self.name} AS t ON {self.matches()}"

    def assigning(self, sets: Sequence[str], source: str) -> str:
        """A statement that sets columns of the rows that have the keys of the rows `s` of a source. It ends
        in its WHERE clause: more conditions may follow."""
        return f"{self.UPDATE} {self.name} AS t SET {', '.join(sets)} FROM {source} WHERE {self.matches()}"

    def deleting(self, source: str) -> str:
        """A statement that deletes the rows that have the keys of the rows `s` of a source."""
        return f"DELETE FROM {self.name} AS t USING {source} WHERE {self.matches()}"

    def statement(self, name: tuple[object, ...], build: Callable[[], str]) -> str:
        """The statement called `name`, built the first time."""
        return built(self.statements, name, build)

    @property
    def n(self) -> int:
        """The table's number, which its log and triggers are called by."""
        return self.table.number

    @cached_property
    def arity(self) -> int:
        return len(self.table.key)

    @cached_property
    def words(self) -> list[str]:
        """The names of the mask columns in the log."""
        return mask_columns(words_for(self.table.bits))

    @cached_property
    def key_names(self) -> list[str]:
        return [self.quote(column.name) for column in self.table.keys]

    @cached_property
    def value_names(self) -> Mapping[int, str]:
        return {number: self.quote(column.name) for number, column in self.table.values.items()}

    @cached_property
    def log_keys(self) -> list[str]:
        return [f"k{number}" for number in range(self.arity)]

    @cached_property
    def computed_mask(self) -> int:
        return mask_of(number for number, column in self.table.values.items() if column.computed)

    @cached_property
    def before_mask(self) -> int:
        return mask_of(self.before)

    def key_of(self, alias: str) -> list[str]:
        """The key columns of the table, qualified."""
        return [f"{alias}.{name}" for name in self.key_names]

    def read_keys(self, alias: str) -> list[str]:
        """The key in portable form, from the table itself or from a log entry `l`."""
        return self.raw_keys() if alias == "l" else self.key_of(alias)

    def raw_keys(self) -> list[str]:
        """The key columns of a log entry `l` as they stand."""
        return [f"l.{name}" for name in self.log_keys]

    @cached_property
    def logs_portably(self) -> bool:
        """Whether the key stands in log entries in portable form."""
        return self.read_keys("l") == self.raw_keys()

    def logged_keys(self) -> Sequence[str]:
        """The staged key as a log entry has it."""
        return self.staged_keys()

    def values_of(self, alias: str, columns: Iterable[int] | None = None) -> list[str]:
        """Value columns (all, or those of these numbers), qualified."""
        return [f"{alias}.{self.value_names[n]}" for n in (self.table.values if columns is None else columns)]

    def covers(self, stage: Stage) -> int:
        """The mask of the columns that the log entries of a stage name, unless its rows say otherwise."""
        whole = stage.form != "update" or stage.op == "R"
        return EVERYTHING if whole else mask_of(stage.columns) | self.computed_mask

    def keeps_old(self, stage: Stage) -> bool:
        """Whether the log entries of a stage keep old values of its rows."""
        return stage.form != "insert" and bool(self.covers(stage) & self.before_mask)

    def mask_words(self, tests: Mapping[int, str], term: Callable[[str, int], str]) -> list[str]:
        """Expressions of a mask's words, of tests by the columns' numbers; `term` gives the bit of a test."""
        words = []
        for first in range(0, len(self.words) * WORD_BITS, WORD_BITS):
            bits = [term(test, n - first) for n, test in tests.items() if first <= n < first + WORD_BITS]
            words.append(" | ".join(bits) or "0")
        return words


S = TypeVar("S", bound=BaseShape)


class BaseLayout(Generic[S]):
    """All tracked tables: by number (`shapes`), in the order of the schema, and in that of their numbers."""

    def __init__(self, schema: Schema, shapes: Iterable[S], hub: str, revision: str) -> None:
        """What is kept of a prepared database; true as long as the `revision` of it is the same. `hub` is the
        hub's id."""
        self.schema, self.hub, self.revision = schema, hub, revision
        self.shapes = {shape.n: shape for shape in shapes}
        self.by_number = [self.shapes[number] for number in sorted(self.shapes)]
        self.statements: dict[tuple[object, ...], str] = {}

    def statement(self, name: tuple[object, ...], build: Callable[[], str]) -> str:
        """A statement over all tables, built the first time."""
        return built(self.statements, name, build)
