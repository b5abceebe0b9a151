"""Who holds what a push or an `init` waits for, in words for a person who can end it: what is asked, and what
follows from it, where transactions write beside each other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import ClassVar, Generic, Literal, NamedTuple

from syncline.databases.base.findings import Holder
from syncline.databases.base.parents import places_of
from syncline.databases.base.shape import BaseShape
from syncline.databases.base.staged import R
from syncline.hub.contract import Locked
from syncline.model.finding import Finding
from syncline.model.schema import Schema

Hold = Literal["closed", "held", "written", "read"]
"""How somebody has a table: against all who read it, or against all who write to it; or he has written to it,
or locked rows of it; or he has read it, at the least."""

ANOTHER = "another transaction"
"""What is said where nobody can be named."""


class Bar(NamedTuple):
    """A foreign key between a table and another one that others hold, or wait for, so that it cannot be
    looked after: whether it points `outward`, the table's own columns, the other table and its name."""

    outward: bool
    columns: Sequence[str]
    other: int
    name: str


class Holding(NamedTuple):
    """A transaction that has been open for a while and has written to a table that takes part: who, the
    table's number and name, keys of rows that it holds."""

    who: Holder
    n: int
    name: str
    keys: Callable[[Sequence[str]], Sequence[str]]
    """Some of them, as JSON, by the names of the key's columns; none of a table that nobody can read now."""


class BaseHolders(ABC, Generic[R]):
    """Asked in a transaction. Tables are what the database knows them by."""

    remedy: ClassVar[str]
    """How a person makes one end who holds something."""

    @abstractmethod
    def known_as(self, names: Sequence[str]) -> Sequence[int]:
        """Tables by their names; those that there are."""

    @abstractmethod
    def parts(self, shape: BaseShape) -> Sequence[int]:
        """A tracked table, and what it consists of."""

    @abstractmethod
    def by(self, tables: Sequence[int], how: Hold) -> Iterable[Holder]:
        """Who has one of these tables so, or in a stronger way, those first that have had it for long. Where
        somebody waits to hold one, and everybody who comes behind waits with him: who keeps him waiting."""

    @abstractmethod
    def tables(self, how: Hold, *, everywhere: bool = False) -> Iterable[tuple[int, str, str]]:
        """Tables that take part, with `everywhere` all of the user's, that others have so or wait for: with
        their names, in full and alone."""

    @abstractmethod
    def of_rows(
        self, loaded: R, rows: Sequence[int] | None = None, *, but: Collection[int] = ()
    ) -> Mapping[int, Sequence[str]]:
        """Of all or some staged rows those that exist, each with who holds it, in words: nobody where that
        has ended."""

    @abstractmethod
    def bars(self, loaded: R) -> Iterable[Bar]:
        """The foreign keys of a table that cannot be looked after."""

    @abstractmethod
    def long(self, seconds: float) -> Iterable[Holding]:
        """Who has written to tables that take part and has been at it for longer than this."""

    def first(self, tables: Sequence[int], *hows: Hold) -> list[str]:
        """Who has one of these tables in the first of these ways in which anybody has, in words."""
        for how in hows:
            if found := list(dict.fromkeys(map(str, self.by(tables, how)))):
                return found
        return []

    def of_shape(self, shape: BaseShape) -> list[str]:
        """Who holds a tracked table against others, or else who has written to it, or locked rows of it, or
        reads it: whoever wants the table waits for that one, and everybody else behind."""
        return self.first(self.parts(shape), "held", "written", "read")

    def of_row(self, loaded: R, rows: Sequence[int]) -> Sequence[str]:
        """Whoever holds one of these rows, or else its table, or has written to it."""
        found = self.of_rows(loaded, rows)
        return next(filter(None, found.values()), None) or self.of_shape(loaded.shape)

    def clauses(self, how: Hold) -> list[str]:
        """For each table that takes part and that others have so, or wait for: by whom."""
        return [self._clause(table, name) for table, name, _ in self.tables(how)]

    def named_in(self, context: str) -> list[str]:
        """The same of those tables of the user's, whether they take part or not, that are held and are named
        where his code has failed."""
        found = self.tables("held", everywhere=True)
        return [self._clause(table, name) for table, name, alone in found if alone in context]

    def barred(self, loaded: R) -> dict[int, str]:
        """The rows that may point at a table which others hold, or that such a table may point at: why they
        wait. A database opens the table for every new row, also for one that points nowhere."""
        found = dict[int, str]()
        for bar in self.bars(loaded):
            rows = _pointing(loaded, bar.columns) if bar.outward else _pointed_at(loaded, bar.columns)
            if rows:
                what = "may point at" if bar.outward else "may be pointed at by"
                why = f"{what} table {bar.name}, which is held by {self._who(bar.other)}"
                found |= dict.fromkeys(rows, why)
        return found

    def examine(self, schema: Schema, seconds: float) -> list[Finding]:
        """What `doctor` says of transactions that hold rows for longer than a push waits."""
        found = []
        for who, n, name, keys_of in self.long(seconds):
            columns = schema.by_number[n].keys if n in schema.by_number else ()
            found.append(who.finding(name, keys_of([column.name for column in columns]), self.remedy))
        return found

    def _clause(self, table: int, name: str) -> str:
        return f"table {name} is held by {self._who(table)}"

    def _who(self, table: int) -> str:
        """Who holds a table, or keeps those waiting who want it."""
        return next(iter(self.first([table], "held", "read")), ANOTHER)


def _pointing(loaded: R, columns: Sequence[str]) -> Sequence[int]:
    """The rows that may point somewhere by these columns."""
    stage = loaded.stage
    if stage.form == "insert":
        return loaded.live
    if stage.form == "delete":
        return []
    places = places_of(loaded.shape.table, stage, columns) or ()
    return [n for n in loaded.live if any(stage.rows[n][i] is not None for i in places)]


def _pointed_at(loaded: R, columns: Sequence[str]) -> Sequence[int]:
    """The rows that others may point at by these columns, and that go or change in them."""
    stage, values = loaded.stage, loaded.shape.table.values
    alters = stage.form == "update" and any(values[i].name in columns for i in stage.columns)
    return loaded.live if stage.form == "delete" or alters else []


@contextmanager
def naming(asking: Callable[[], AbstractContextManager[BaseHolders[R]]], how: Hold) -> Iterator[None]:
    """Say which tables others have so, and who, where a wait was in vain. `asking`: in a transaction."""
    try:
        yield
    except Locked as error:
        with asking() as holders:
            held = holders.clauses(how)
        if not held:
            raise
        raise Locked("; ".join(held), remedy=f"{Locked.remedy} {holders.remedy}") from error
