"""How a column's values pass between the portable form and a database with types of its own.

`read` turns a central expression into the portable form, `write` a staged expression into the central type.
A value that cannot be one of the column's is found here as far as it shows without the server; what the
server alone can tell fails in the statement, and the row is isolated.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from syncline.model.values import Value

Storage = Literal["integer", "float", "text", "blob"]
"""What a staged value is, whatever its central type."""

NoneType = type(None)
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
"""The one spelling of a uuid, as a regular expression."""

is_uuid = re.compile(UUID).fullmatch

_COARSE = frozenset(["decimal", "interval", "timetz", "json", "text", "other"])
"""Kinds of which some types hold equal values of different spelling, such as 1.0 and 1.00."""


def kinds_of(*kinds: type) -> frozenset[type]:
    """The classes of a column's values, NULL among them."""
    return frozenset([*kinds, NoneType])


@dataclass(frozen=True, slots=True)
class Codec:
    """One column. In `_read` and `_write` a question mark stands for the expression."""

    kind: str
    central: str
    storage: Storage
    _read: str
    _write: str
    kinds: frozenset[type]
    bounds: tuple[int, int] | None = None
    spelled: bool = field(default=False)
    """Whether two texts may mean one central value, so that what was sent must be compared with what is."""

    def read(self, expression: str) -> str:
        return self._read.replace("?", expression)

    def write(self, expression: str) -> str:
        return self._write.replace("?", expression)

    @property
    def is_float(self) -> bool:
        return self.storage == "float"

    @property
    def is_text(self) -> bool:
        return self.storage == "text"

    @property
    def asks_server(self) -> bool:
        """Whether only the server can tell a good key value, in its one spelling, from another."""
        return self.spelled and self.is_text and self.kind != "uuid"

    @property
    def is_read_by_server(self) -> bool:
        """Whether several texts may be one value of the type, be the column a key or not."""
        return self.is_text

    @property
    def is_ordered(self) -> bool:
        """Whether the column itself, and so an index over it, has the canonical order; a text has that of its
        bytes."""
        return self.kind == "uuid" or not self.is_text

    @property
    def is_spelled_once(self) -> bool:
        """Whether a text is spelled in one way alone, so that the server certainly reads it, but for days
        that do not exist; then a temporary table has it in the column's own type."""
        return False

    @property
    def is_always_read(self) -> bool:
        """Whether the server reads every text that passes as a key."""
        return False

    def spell(self, values: Sequence[Value]) -> Sequence[Any]:
        """What to bind for these values; themselves, unless the driver takes something else."""
        return values

    def alike(self, left: str, right: str) -> str:
        """The condition that two values in portable form are the same to the letter, whatever more the
        database takes for equal."""
        return f"({left}) = {right}"

    def identical(self, central: str, staged: str) -> str:
        """The condition that a column holds exactly the staged value, where equality is not enough."""
        is_coarse = self.is_float or (self.spelled and self.kind in _COARSE)
        return self.alike(self.read(central), staged) if is_coarse else ""

    def fault(self, value: Value, *, key: bool = False) -> str | None:
        """Why this value cannot be written, as far as it shows without the server; None if it does not."""
        if type(value) not in self.kinds:
            return f"{_class_name(value)} where {self.kind} belongs"
        if self.bounds is not None and isinstance(value, int):
            low, high = self.bounds
            return None if low <= value <= high else f"{value} is outside {low} to {high}"
        if key and self.is_float and isinstance(value, int):
            return None if _is_float(value) else f"{value} is no float"
        if self.is_float and isinstance(value, str):
            return None if value == "NaN" else f"the text {value[:50]!r} where float belongs"
        if isinstance(value, str):
            if key and self.kind == "uuid" and not is_uuid(value):
                return f"{value[:50]!r} is not a uuid in lower-case hexadecimal with hyphens"
            return _text_fault(value)
        return None

    def flawless(self, values: Sequence[Value], *, key: bool = False) -> bool:
        """Whether certainly no value has a fault; quick, for whole columns."""
        kinds = set(map(type, values))
        if not kinds <= self.kinds or (self.is_float and str in kinds):
            return False
        if key and self.is_float and int in kinds:
            return all(_is_float(value) for value in values if isinstance(value, int))
        if self.bounds is not None:
            numbers: Any = values if NoneType not in kinds else [v for v in values if v is not None]
            return not numbers or (self.bounds[0] <= min(numbers) and max(numbers) <= self.bounds[1])
        if not self.is_text:
            return True
        if key and self.kind == "uuid":
            return all(map(is_uuid, values))  # type: ignore[arg-type]
        return _text_fault("".join(filter(None, values))) is None  # type: ignore[arg-type]


def _is_float(value: int) -> bool:
    """Whether a float is exactly this number; the server would round any other."""
    return float(value) == value


def _text_fault(value: str) -> str | None:
    if "\0" in value:
        return "the text holds U+0000, which the central database cannot store"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "the text holds half of a surrogate pair, which is no character"
    return None


def _class_name(value: Value) -> str:
    names = {int: "an integer", float: "a float", str: "a text", bytes: "a blob"}
    return names.get(type(value), "NULL")


def mend_floats(rows: Sequence[Any], columns: Sequence[int]) -> None:
    """Turn the NaNs of float columns into the text 'NaN', in place: rows are lists."""
    for column in columns:
        for row in rows:
            value = row[column]
            if value != value:
                row[column] = "NaN"
