"""Loading staged rows into the database, as the rows `s` of the statements that lock, compare and apply.

Up to `SMALL` rows are one JSON parameter, sent with each statement; more are copied into a temporary table.
Values the server would choke on are found here, column by column: a row whose key cannot be is left out, a
row with a value that cannot be is loaded without it; both are refused when the stage is applied.
"""

from __future__ import annotations

import itertools
import json
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import psycopg

from syncline.databases.postgresql import statements as sql
from syncline.databases.postgresql.layout import Shape
from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.types import Codec
from syncline.hub import codes
from syncline.hub.database import Refusal, Stage
from syncline.model.values import Value

SMALL = 500
"""Rows up to which a JSON parameter is quicker than a temporary table (about 2 ms to make)."""

BLOCK = 5000
_numbers = itertools.count(1)


@dataclass(slots=True)
class Loaded:
    """A stage in the database. `live` are the numbers of the rows still in it, ascending."""

    stage: Stage
    shape: Shape
    codecs: list[Codec]
    """Of the key, then of the staged columns."""
    live: list[int]
    refused: dict[int, Refusal]
    texts: list[list[str | None]] | None
    """For each row what PostgreSQL reads as n, hlc, key, values; None if they are in a temporary table."""
    source: str = ""
    table: str = ""
    """The temporary table, if there is one."""
    whole: str | None = None
    respelled: set[int] = field(default_factory=set)
    """Rows with an integer in a float column: stored as a float, so not as it was sent."""

    def parameter(self, low: int = 0, high: int | None = None) -> str:
        """The `$1` of every statement over `s`: the rows from `low` up to, not including, `high`."""
        if self.texts is None:
            return f"{{{low},{len(self.stage.rows) if high is None else high}}}"
        if low == 0 and high is None and self.whole is not None:
            return self.whole
        rows = [self.texts[number] for number in self.rows_between(low, high)]
        text = json.dumps(rows, ensure_ascii=False)
        if low == 0 and high is None:
            self.whole = text
        return text

    def rows_between(self, low: int = 0, high: int | None = None) -> list[int]:
        """The live rows in a range."""
        end = len(self.live) if high is None else bisect_left(self.live, high)
        return self.live[bisect_left(self.live, low) : end]

    def statement(self, template: str) -> str:
        """A statement over these rows."""
        return sql.over(template, self.source)


def load(session: Session, shape: Shape, stage: Stage) -> Loaded:
    """Load a stage. Its rows can be discarded with `discard`."""
    codecs = [*shape.keys, *(shape.values[i] for i in stage.columns)]
    loaded = Loaded(stage, shape, codecs, list(range(len(stage.rows))), {}, None)
    columns = _columns(loaded)
    if len(stage.rows) <= SMALL:
        loaded.source = sql.json_source(codecs, shape.arity)
        loaded.texts = _rows_of_text(columns, stage)
    else:
        loaded.table = f"pg_temp.syncline_stage_{next(_numbers)}"
        loaded.source = sql.table_source(loaded.table)
        session.script(sql.temporary_table(loaded.table, codecs, shape.arity))
        session.copy(f"COPY {loaded.table} FROM STDIN", _blocks(loaded, columns))
    if any(codec.asks_server for codec in shape.keys):
        _refuse_foreign_keys(session, loaded)
    return loaded


def discard(session: Session, loaded: Loaded, rows: Sequence[int]) -> None:
    """Take rows out; the others keep their numbers."""
    gone = set(rows)
    for row in gone:
        loaded.refused.pop(row, None)
    _take_out(session, loaded, gone)


def _take_out(session: Session, loaded: Loaded, gone: set[int]) -> None:
    loaded.live = [row for row in loaded.live if row not in gone]
    loaded.whole = None
    if loaded.table and gone:
        session.count(f"DELETE FROM {loaded.table} WHERE n = ANY ($1::int[])", sorted(gone))


def _columns(loaded: Loaded) -> list[tuple[Value, ...]]:
    """The stage by columns, without what cannot be loaded."""
    stage, shape = loaded.stage, loaded.shape
    columns: list[tuple[Value, ...]] = list(zip(*stage.rows, strict=True))
    bad_keys: set[int] = set()
    for index, codec in enumerate(loaded.codecs if stage.rows else ()):
        is_key = index < shape.arity
        if not codec.flawless(columns[index], key=is_key):
            faulty = _refuse(loaded, index, columns[index])
            columns[index] = tuple(None if n in faulty else v for n, v in enumerate(columns[index]))
            bad_keys |= faulty if is_key else set()
        if codec.is_float and int in set(map(type, columns[index])):
            loaded.respelled |= {n for n, v in enumerate(columns[index]) if type(v) is int}
    if bad_keys:
        loaded.live = [row for row in loaded.live if row not in bad_keys]
    return columns


def _refuse(loaded: Loaded, index: int, values: Sequence[Value]) -> set[int]:
    """Refuse the rows with a faulty value in this column; return their numbers."""
    shape, codec = loaded.shape, loaded.codecs[index]
    is_key = index < shape.arity
    faulty = set()
    for number, value in enumerate(values):
        fault = codec.fault(value, key=is_key)
        if fault is None and is_key and value is None:
            fault = "NULL in a primary key"
        if fault is not None:
            faulty.add(number)
            detail = f"column {sql.column_name(shape, loaded.stage, index)}: {fault}"
            loaded.refused.setdefault(number, Refusal(loaded.stage, number, codes.INVALID, detail))
    return faulty


def _refuse_foreign_keys(session: Session, loaded: Loaded) -> None:
    """Refuse keys that PostgreSQL would not write, or would write in another spelling."""
    shape = loaded.shape
    try:
        with session.savepoint():
            found = session.run(loaded.statement(sql.misspelled(shape, guarded=False)), loaded.parameter())
    except psycopg.DataError:
        found = session.run(loaded.statement(sql.misspelled(shape, guarded=True)), loaded.parameter())
    for (number,) in found:
        detail = f"the key {loaded.stage.rows[number][: shape.arity]!r} is not as PostgreSQL writes its types"
        loaded.refused[number] = Refusal(loaded.stage, number, codes.INVALID, detail)
    _take_out(session, loaded, {number for (number,) in found})


def _rows_of_text(columns: list[tuple[Value, ...]], stage: Stage) -> list[list[str | None]]:
    spelled = [_spelled(column) for column in columns]
    numbers = [str(number) for number in range(len(stage.rows))]
    return [list(row) for row in zip(numbers, map(str, stage.hlc), *spelled, strict=True)]


def _spelled(column: Sequence[Value]) -> list[str | None]:
    return [None if value is None else _text_of(value) for value in column]


def _text_of(value: Value) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    return repr(value)


def _blocks(loaded: Loaded, columns: list[tuple[Value, ...]]) -> Iterator[str]:
    """The rows in COPY's text format, some thousands at a time."""
    stage, alive = loaded.stage, set(loaded.live)
    some_dead = len(alive) < len(stage.rows)
    for start in range(0, len(stage.rows), BLOCK):
        end = start + BLOCK
        cells = [
            _cells(codec, column[start:end]) for codec, column in zip(loaded.codecs, columns, strict=True)
        ]
        numbers = range(start, min(end, len(stage.rows)))
        lines = map("\t".join, zip(map(str, numbers), map(str, stage.hlc[start:end]), *cells, strict=True))
        if some_dead:
            lines = (line for number, line in zip(numbers, lines, strict=True) if number in alive)  # type: ignore[assignment]
        yield "".join(f"{line}\n" for line in lines)


def _cells(codec: Codec, values: Sequence[Value]) -> list[str]:
    """One column in COPY's text format, where NULL is \\N and a backslash escapes."""
    if codec.stage == "text":
        joined = "".join(filter(None, values))  # type: ignore[arg-type]
        if not any(character in joined for character in "\\\n\r\t"):
            return ["\\N" if value is None else value for value in values]  # type: ignore[misc]
        return ["\\N" if value is None else _escaped(str(value)) for value in values]
    if codec.stage == "bytea":
        return ["\\N" if value is None else f"\\\\x{value.hex()}" for value in values]  # type: ignore[union-attr]
    return ["\\N" if value is None else str(value) for value in values]


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace("\r", "\\r").replace("\t", "\\t")
