"""COPY's text format: rows on their way into a temporary table, or straight into their own.

New rows of which nothing can be said against beforehand, the common case of a large push, need no temporary
table: nobody asks for them but the table they belong to, and the log. If the table does not take them all,
nothing has happened, and they go the other way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from syncline.databases.postgresql.types import Codec
from syncline.hub.contract import Stage
from syncline.model.values import Value


@dataclass(frozen=True, slots=True, repr=False)
class Straight:
    """Rows for their own table, and what their log entries end with: HLC and key."""

    rows: bytes
    tails: list[str]

    def entries(self, *start: object) -> bytes:
        """The log entries; each begins with these columns."""
        head = "".join(f"{_escaped(str(value))}\t" for value in start)
        return "".join([head, f"\n{head}".join(self.tails), "\n"]).encode()


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
    full = None not in values
    if codec.is_text:
        joined = "".join(values if full else filter(None, values))  # type: ignore[arg-type]
        if any(character in joined for character in "\\\n\r\t"):
            return ["\\N" if value is None else _escaped(str(value)) for value in values]
        return values if full else ["\\N" if value is None else value for value in values]  # type: ignore
    spell = _hex if codec.storage == "blob" else str
    return list(map(spell, values)) if full else ["\\N" if v is None else spell(v) for v in values]


def _hex(value: Value) -> str:
    return f"\\\\x{value.hex()}"  # type: ignore[union-attr]


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace("\r", "\\r").replace("\t", "\\t")
