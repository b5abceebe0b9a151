"""Loading staged rows into the database, as the rows `s` of the statements that lock, compare and apply.

Up to `SMALL` rows are one JSON parameter, sent with each statement; more are copied into a temporary table.
Values the server would choke on are found here, column by column: a row whose key cannot be is left out, a
row with a value that cannot be is loaded without it; both are refused when the stage is applied.

New rows of which nothing can be said against beforehand, the common case of a large push, need no temporary
table: nobody asks for them but the table they belong to, and the log. If the table does not take them all,
nothing has happened, and they go the other way.

Text of which it is certain how PostgreSQL reads it is read once, when it is copied; other text is text until
a statement reads it, so that what cannot be read is some row's fault and not the whole stage's.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import psycopg

from syncline.databases.base.loading import LoadedRows
from syncline.databases.base.respelling import guarded, misspelled
from syncline.databases.base.statements import over
from syncline.databases.base.typed import TypedRows
from syncline.databases.postgresql import statements as sql
from syncline.databases.postgresql.layout import Shape
from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.types import Codec
from syncline.hub.contract import Stage
from syncline.model.values import Value

SMALL = 500
"""Rows up to which a JSON parameter is quicker than a temporary table (about 2 ms to make)."""

FEW = 10
"""Rows up to which a statement is planned for a few."""

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
class Loaded(TypedRows[Shape]):
    """A stage in the database, or on its way there."""

    codecs: list[Codec] = field(init=False)
    """Of the key, then of the staged columns."""
    texts: list[list[str | None]] | None = None
    """For each row what PostgreSQL reads as n, hlc, key, values; None if they are in a temporary table."""
    copied: bytes = b""
    """The rows as they are copied into the temporary table, until they are."""
    straight: Straight | None = None
    """The rows as they are copied into their own table, if they may go there without a temporary one."""
    read: frozenset[int] = frozenset()
    """The staged columns that the temporary table has in their central type; the key's are below 0."""
    table: str = ""
    """The temporary table, if there is one."""
    indexed: bool = False
    whole: str | None = None
    """The parameter of all rows, once it was made."""

    def __post_init__(self) -> None:
        LoadedRows.__post_init__(self)
        self.codecs = [*self.shape.keys, *(self.shape.values[i] for i in self.stage.columns)]

    def over(self, template: str, rows: Sequence[int] | None = None) -> tuple[str, str]:
        """A statement over all of these rows, or over some that follow each other; and its `$1`."""
        is_whole = rows is None or len(rows) == len(self.live)
        source, parameter = self.source() if is_whole or rows is None else self._some(rows)
        return over(template, source), parameter

    def source(self) -> tuple[str, str]:
        """All rows as an item of FROM, and its parameter."""
        if self.texts is None:
            assert self.table, "the rows are not in the database"
            return sql.table_source(self.table), ""
        if self.whole is None:
            self.whole = self._json(self.live)
        return self._json_source(self.live), self.whole

    @property
    def types(self) -> list[str]:
        """Of the columns of the temporary table."""
        arity = self.shape.arity
        return [
            codec.central if index - arity in self.read else codec.stage
            for index, codec in enumerate(self.codecs)
        ]

    def index(self, session: Session) -> None:
        """Make ranges of rows quick to find."""
        if self.table and not self.indexed:
            session.script(f"CREATE INDEX ON {self.table} (n)")
            self.indexed = True

    def _some(self, rows: Sequence[int]) -> tuple[str, str]:
        if self.texts is None:
            return sql.range_source(self.table), f"{{{rows[0]},{rows[-1] + 1}}}"
        return self._json_source(rows), self._json(rows)

    def _json_source(self, rows: Sequence[int]) -> str:
        return sql.json_source(self.codecs, self.shape.arity, FEW if len(rows) <= FEW else SMALL)

    def _json(self, rows: Sequence[int]) -> str:
        assert self.texts is not None
        return json.dumps([self.texts[row] for row in rows], ensure_ascii=False)


def ready(shape: Shape, stage: Stage) -> Loaded:
    """All of `load` that needs no database."""
    loaded = Loaded(stage, shape)
    columns = _screened(loaded)
    if len(stage.rows) <= SMALL:
        loaded.texts = _rows_of_text(loaded, columns)
    else:
        cells = cells_of(loaded.codecs, columns)
        if _is_straight(loaded):
            loaded.straight = straight(stage, cells, shape.arity)
        else:
            loaded.copied = numbered(stage, cells)
    return loaded


def _is_straight(loaded: Loaded) -> bool:
    """Whether the rows may be written without a look at them in the database before or after."""
    stage, shape = loaded.stage, loaded.shape
    is_new = stage.form == "insert" and stage.entries is None
    is_theirs = not shape.facts.triggered and not shape.computed_mask and loaded.certain
    return is_new and is_theirs and not loaded.refused and not shape.asked_keys


def place(session: Session, loaded: Loaded) -> None:
    """Bring the rows where statements find them, if they are not there."""
    if loaded.texts is not None or loaded.table:
        return
    if not loaded.copied:
        loaded.copied = numbered(loaded.stage, cells_of(loaded.codecs, _screened(loaded)))
    _copy(session, loaded)
    loaded.copied, loaded.straight = b"", None


def settle_down(session: Session, loaded: Loaded) -> None:
    """Bring the rows into a temporary table with an index on their numbers, however few they are."""
    if loaded.texts is not None:
        loaded.texts, loaded.whole, refused = None, None, loaded.refused
        place(session, loaded)
        loaded.refused = refused
        _take_out(session, loaded, set(range(len(loaded.stage.rows))).difference(loaded.live))
    place(session, loaded)
    loaded.index(session)


def load(session: Session, loaded: Loaded) -> None:
    """Load a stage that is ready. Its rows can be discarded with `discard`. Those that may go straight into
    their table wait for what comes: that, or `place`."""
    if loaded.straight is not None:
        return
    place(session, loaded)
    if loaded.keyless:
        _take_out(session, loaded, loaded.keyless)
    if loaded.shape.asked_keys:
        _refuse_foreign_keys(session, loaded)


def _copy(session: Session, loaded: Loaded) -> None:
    if loaded.read:
        try:
            with session.savepoint():
                _copy_as(session, loaded)
            return
        except psycopg.DataError:  # it looks like a date, but there is no such day
            loaded.read = frozenset(position for position in loaded.read if position < 0)
    _copy_as(session, loaded)


def _copy_as(session: Session, loaded: Loaded) -> None:
    loaded.table = f"pg_temp.syncline_stage_{next(_numbers)}"
    session.script(sql.temporary_table(loaded.table, loaded.types, loaded.shape.arity))
    session.copy(f"COPY {loaded.table} FROM STDIN", loaded.copied)


def discard(session: Session, loaded: Loaded, rows: Sequence[int]) -> None:
    """Take rows out; the others keep their numbers."""
    gone = set(rows)
    if gone:
        place(session, loaded)
    loaded.forget(gone)
    _take_out(session, loaded, gone)


def drop(session: Session, tables: Sequence[str]) -> None:
    """Free what temporary tables take. TRUNCATE gives the disk back at once, DROP only at the end."""
    if tables:
        names = ", ".join(tables)
        session.script(f"TRUNCATE {names}")
        session.script(f"DROP TABLE {names}")


def _take_out(session: Session, loaded: Loaded, gone: set[int]) -> None:
    loaded.leave_out(gone)
    loaded.whole = None
    if loaded.table and gone:
        session.count(f"DELETE FROM {loaded.table} WHERE n = ANY ($1::int[])", sorted(gone))


def _screened(loaded: Loaded) -> list[Sequence[Value]]:
    """The rows by columns, without what cannot be loaded."""
    screen, arity = loaded.screened(), loaded.shape.arity
    read = {i for i in screen.certain if loaded.codecs[i].is_spelled_once}
    read |= {i for i, codec in enumerate(loaded.shape.keys) if codec.central == "uuid"}
    loaded.read = frozenset(i - arity for i in read)
    return screen.columns


def _refuse_foreign_keys(session: Session, loaded: Loaded) -> None:
    """Refuse keys that PostgreSQL would not write, or would write in another spelling."""

    def build(guarded: bool) -> str:
        return loaded.over(misspelled(loaded.shape, guarded=guarded))[0]

    found = guarded(session, psycopg.DataError, build, loaded.source()[1])
    wrong = {number for (number,) in found}
    loaded.refuse_keys(wrong, "PostgreSQL")
    _take_out(session, loaded, wrong)


def _rows_of_text(loaded: Loaded, columns: Sequence[Sequence[Value]]) -> list[list[str | None]]:
    spelled = [codec.spell(column) for codec, column in zip(loaded.codecs, columns, strict=True)]
    numbers = map(str, range(len(loaded.stage.rows)))
    return [list(row) for row in zip(numbers, map(str, loaded.stage.hlc), *spelled, strict=True)]


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
