"""One codec a portable type: how a central value is read, and how a staged value is written.

`read` turns a central expression into the portable form, `write` a staged expression into the central type
(without length or scale: those are the assignment's to check). A staged column has the type `stage`; text
that PostgreSQL does not take fails in the cast, and the row is isolated. See `docs/types.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from syncline.databases.base import wider
from syncline.databases.base.codec import Codec as PortableCodec
from syncline.databases.base.codec import Storage, kinds_of
from syncline.databases.base.spelling import SPELLINGS
from syncline.model.schema import ColumnSchema
from syncline.model.values import INTEGER_MAX, INTEGER_MIN, Value

HEADER = 4
"""What PostgreSQL adds to the length or precision in a type's modifier."""

_RANGES = {
    "smallint": (-(2**15), 2**15 - 1),
    "integer": (-(2**31), 2**31 - 1),
    "bigint": (INTEGER_MIN, INTEGER_MAX),
    "boolean": (0, 1),
}
STAGES: dict[Storage, str] = {"integer": "bigint", "float": "float8", "text": "text", "blob": "bytea"}
_NAMES_OF_OBJECTS = frozenset(
    f"reg{what}" for what in "class type proc procedure oper operator config dictionary collation".split()
)
"""Types whose spelling depends on the search path."""

_FREE_TEXT = frozenset(["text", "character varying", "json"])
"""Types in which every text is its own spelling."""


@dataclass(frozen=True, slots=True)
class Codec(PortableCodec):
    """How one column's values pass between the portable form and PostgreSQL."""

    @property
    def stage(self) -> str:
        """The type of a staged value."""
        return STAGES[self.storage]

    @property
    def asks_server(self) -> bool:
        return self.central == "real" or (self.spelled and self.is_text and self.kind != "uuid")

    @property
    def is_read_by_server(self) -> bool:
        return self.is_text and self.central not in _FREE_TEXT

    @property
    def is_spelled_once(self) -> bool:
        return self.kind in SPELLINGS and self.central != "money"

    @property
    def is_always_read(self) -> bool:
        return self.central == "uuid"

    def alike(self, left: str, right: str) -> str:
        """Of floats -0.0 and 0.0 are two."""
        if self.is_float:
            return f"float8send({left}) = float8send({right})"
        return f'({left}) = {right} COLLATE "C"'

    def spell(self, values: Sequence[Value]) -> list[str | None]:
        """The texts that PostgreSQL reads as these values."""
        if self.is_text:
            return list(values)  # type: ignore[arg-type]
        spell = _hex if self.storage == "blob" else str
        if None not in values:
            return list(map(spell, values))
        return [None if value is None else spell(value) for value in values]


def _hex(value: Any) -> str:
    return f"\\x{value.hex()}"


_TIMESTAMP = (
    "CASE WHEN ? < '0001-01-01' OR NOT isfinite(?) THEN (?)::text ELSE replace((?)::text, ' ', 'T') END"
)
_TIMESTAMPTZ = (
    "CASE WHEN ? < '0001-01-01Z' OR NOT isfinite(?) THEN (?)::text"
    " ELSE replace(left((?)::text, -3), ' ', 'T') || 'Z' END"
)
"""The adapter's sessions have TimeZone UTC and DateStyle ISO, so the text ends in +00. Years before 1 keep
PostgreSQL's own spelling ('0044-03-15 00:00:00 BC'), infinities are 'infinity' and '-infinity'."""


_MONEY = r"CASE WHEN (?) ~ '^\s*[-+]?[0-9]*\.?[0-9]*\s*$' THEN (?)::numeric::money ELSE (?)::money END"
"""As a number, whose point is one wherever the database stands; or as money, as that database writes it."""


_BY_KIND: dict[str, tuple[Storage, str, str, frozenset[type]]] = {
    "integer": ("integer", "?", "(?)::{}", kinds_of(int)),
    "boolean": ("integer", "(?)::int", "((?) <> 0)", kinds_of(int)),
    # an integer or the text NaN may have been sent; NaN is read as a float and mended after
    "float": ("float", "(?)::float8", "(?)::{}", kinds_of(int, float, str)),
    "blob": ("blob", "?", "?", kinds_of(bytes)),
    "timestamp": ("text", _TIMESTAMP, "(?)::{}", kinds_of(str)),
    "timestamptz": ("text", _TIMESTAMPTZ, "(?)::{}", kinds_of(str)),
}
"""How values of a portable type are staged, read and written, where they are not read as text; {} is the
central type."""

_BY_TYPE = {
    "money": ("(?)::numeric::text", _MONEY),
    "inet": ("abbrev(?)", "(?)::{}"),
    **dict.fromkeys(_NAMES_OF_OBJECTS, ("syncline.spelled(?)", "(?)::{}")),
}
"""How some central types are read and written."""


def codec_of(column: ColumnSchema) -> Codec:
    """The codec of a column, by its portable and its central type."""
    central, kind = column.central, column.type
    storage, read, write, kinds = _BY_KIND.get(kind, ("text", "(?)::text", "(?)::{}", kinds_of(str)))
    if kind == "json" and central.endswith("[]"):
        read, write = "to_json(?)::text", "syncline.array_literal((?)::json)::{}"
    read, write = _BY_TYPE.get(central, (read, write))
    spelled = kind == "float" or (storage == "text" and central not in _FREE_TEXT)
    return Codec(
        kind, central, storage, read, write.replace("{}", central), kinds, _RANGES.get(central), spelled
    )


_PORTABLE = {
    ("integer", "INTEGER"): "int2 int4 int8",
    ("boolean", "BOOLEAN"): "bool",
    ("float", "FLOAT$BLOB"): "float4 float8",
    ("decimal", "DECIMAL_TEXT"): "numeric money",
    ("text", "TEXT"): "text varchar bpchar name char citext",
    ("blob", "BLOB"): "bytea",
    ("json", "TEXT"): "json jsonb",
    **{(name, "TEXT"): name for name in "timestamp timestamptz date time timetz interval uuid".split()},
}
"""Portable and declared type of the base types that have one of their own, by name."""

_BY_NAME = {name: types for types, names in _PORTABLE.items() for name in names.split()}
_NESTED = frozenset(["json", "jsonb"])
"""Element types whose arrays cannot be told from nested arrays once they are JSON."""


def portable(name: str, kind: str, element: tuple[str, str] | None, typmod: int) -> tuple[str, str]:
    """(portable type, declared type) of a central base type: name, `typtype`, array element, typmod."""
    if kind == "e":
        return "enum", "TEXT"
    if element is not None:
        element_name, element_kind = element
        return ("other" if element_kind in "cp" or element_name in _NESTED else "json"), "TEXT"
    if kind != "b" or name not in _BY_NAME:
        return "other", "TEXT"
    if name == "numeric" and typmod >= HEADER:
        precision, scale = digits_of(typmod)
        return "decimal", f"DECIMAL_TEXT$({precision},{scale})"
    return _BY_NAME[name]


def digits_of(modifier: int) -> tuple[int, int]:
    """Precision and scale in the modifier of a numeric that has them; the scale may be negative."""
    return modifier - HEADER >> 16 & 0xFFFF, ((modifier - HEADER & 0x7FF) ^ 0x400) - 0x400


_WIDER = {
    "smallint": {"integer", "bigint"},
    "integer": {"bigint"},
    "real": {"double precision"},
    "bpchar": {"character varying", "text"},
    "character varying": {"text"},
    "text": {"character varying"},
    "name": {"text", "character varying"},
    '"bit"': {"bit varying"},
}
"""To which each may change besides itself. Where one is there both ways, the modifier decides. `character(n)`
and `bit(n)` are called so where their length stands beside their name."""

_GROWING = ("character varying", "bpchar", "bit varying", "time")
"""What these types begin with grows with its length or precision."""


def is_wider(before: ColumnSchema, after: ColumnSchema) -> bool:
    """See the contract. Domains are resolved, the elements of arrays are part of the type's name."""
    return wider.is_wider(before, after, _WIDER, _grows)


def _grows(central: str) -> Callable[[int, int], bool]:
    if central == "numeric":
        return _more_digits
    return int.__le__ if central.startswith(_GROWING) else int.__eq__


def _more_digits(before: int, after: int) -> bool:
    """Both before and behind the point."""
    (former, scale), (precision, new_scale) = digits_of(before), digits_of(after)
    return scale <= new_scale and former - scale <= precision - new_scale
