"""Loading staged rows into PostgreSQL: as one JSON parameter, or by COPY (see `base.placed`).

New rows of which nothing can be said against beforehand, the common case of a large push, need no temporary
table: nobody asks for them but the table they belong to, and the log. If the table does not take them all,
nothing has happened, and they go the other way.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import psycopg

from syncline.databases.base.placed import PlacedRows
from syncline.databases.postgresql import statements as sql
from syncline.databases.postgresql.layout import Shape
from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.types import Codec
from syncline.hub.contract import Stage
from syncline.model.values import Value

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, repr=False)
class Straight:
    """Rows for their own table, and what their log entries end with: HLC and key."""

    rows: bytes
    tails: list[str]

    def entries(self, *start: object) -> bytes:
        """The log entries; each begins with these columns."""
        head = "".join(f"{_escaped(str(value))}\t" for value in start)
        return "".join([head, f"\n{head}".join(self.tails), "\n"]).encode()


@dataclass(slots=True, eq=False, repr=False)
class Loaded(PlacedRows[Shape]):
    """A stage in the database, or on its way there."""

    unreadable: ClassVar[type[Exception]] = psycopg.DataError
    database: ClassVar[str] = "PostgreSQL"

    straight: Straight | None = None
    """The rows as they are copied into their own table, if they may go there without a temporary one."""
    indexed: bool = False

    def given_rows(self, most: int) -> str:
        return sql.json_source(self.codecs, self.shape.arity, most)

    def all_rows(self) -> tuple[str, str]:
        return sql.table_source(self.table), ""

    def rows_from(self, first: int, last: int) -> tuple[str, str]:
        return sql.range_source(self.table), f"{{{first},{last + 1}}}"

    def spell(self, columns: Sequence[Sequence[Value]]) -> bytes:
        return numbered(self.stage, cells_of(self.codecs, columns))

    def fill(self, session: Session, spelled: bytes) -> None:
        self.straight = None
        if self.read:
            try:
                with session.savepoint():
                    self._copy(session, spelled)
                return
            except psycopg.DataError:  # it looks like a date, but there is no such day
                self.read = frozenset(position for position in self.read if position < 0)
        self._copy(session, spelled)

    def _copy(self, session: Session, spelled: bytes) -> None:
        arity, self.table = self.shape.arity, f"pg_temp.syncline_stage_{next(_numbers)}"
        types = [c.central if i - arity in self.read else c.stage for i, c in enumerate(self.codecs)]
        session.script(sql.temporary_table(self.table, types, arity))
        session.copy(f"COPY {self.table} FROM STDIN", spelled)

    def remove(self, session: Session, rows: Sequence[int]) -> None:
        session.count(f"DELETE FROM {self.table} WHERE n = ANY ($1::int[])", rows)

    def index(self, session: Session) -> None:
        if self.table and not self.indexed:
            session.script(f"CREATE INDEX ON {self.table} (n)")
            self.indexed = True

    def keep_aside(self, columns: Sequence[Sequence[Value]]) -> bool:
        """Whether the rows may be written without a look at them in the database before or after."""
        stage, shape = self.stage, self.shape
        is_new = stage.form == "insert" and stage.entries is None
        is_theirs = not shape.facts.triggered and not shape.computed_mask and self.certain
        if is_new and is_theirs and not self.refused and not shape.asked_keys:
            self.straight = straight(stage, cells_of(self.codecs, columns), shape.arity)
        return self.is_aside

    @property
    def is_aside(self) -> bool:
        return self.straight is not None


def drop(session: Session, tables: Sequence[str]) -> None:
    """Free what temporary tables take. TRUNCATE gives the disk back at once, DROP only at the end."""
    if tables:
        names = ", ".join(tables)
        session.script(f"TRUNCATE {names}")
        session.script(f"DROP TABLE {names}")


# COPY's text format


def cells_of(codecs: Sequence[Codec], columns: Sequence[Sequence[Value]]) -> list[Sequence[str]]:
    """Columns as COPY reads them."""
    return [_cells(codec, column) for codec, column in zip(codecs, columns, strict=True)]


def numbered(stage: Stage, cells: Sequence[Sequence[str]]) -> bytes:
    """The rows for a temporary table: number, HLC, the cells."""
    return _lines(map(str, range(len(stage.rows))), map(str, stage.hlc), *cells)


def straight(stage: Stage, cells: Sequence[Sequence[str]], arity: int) -> Straight:
    """The rows for their own table."""
    return Straight(
        _lines(*cells), list(map("\t".join, zip(map(str, stage.hlc), *cells[:arity], strict=True)))
    )


def _lines(*columns: Iterable[str]) -> bytes:
    return "\n".join([*map("\t".join, zip(*columns, strict=True)), ""]).encode()


def _cells(codec: Codec, values: Sequence[Value]) -> Sequence[str]:
    """One column; NULL is \\N and a backslash escapes."""
    texts, full = codec.spell(values), None not in values
    if codec.storage == "blob":  # hexadecimal behind a backslash: nothing else is to be escaped
        texts = [None if text is None else f"\\{text}" for text in texts]
    joined = "".join(filter(None, texts)) if codec.storage == "text" else ""
    if any(character in joined for character in "\\\n\r\t"):
        texts = [None if text is None else _escaped(text) for text in texts]
    return texts if full else ["\\N" if text is None else text for text in texts]  # type: ignore[return-value]


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace("\r", "\\r").replace("\t", "\\t")
