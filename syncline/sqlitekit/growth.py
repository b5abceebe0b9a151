"""How much an expression of a definition may make of what it is given.

A CHECK, a default, a generated column or an index that came over a network is evaluated by every program that
writes the device's table. It must not take the memory of the machine: `zeroblob(999999999)`, a width of
`printf`, hex of hex of hex. Here expressions are weighed without being evaluated. A value of a column weighs
1, a literal 1 for each thousand characters, and each function what it can make of its arguments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf

MOST = 200.0
"""What an expression may weigh."""

UNIT = 1_000
"""Characters or bytes that weigh as much as a value of a column."""

_FACTORS = {
    "hex": 2.0,
    "quote": 3.0,
    "json_quote": 6.0,
    "strftime": 20.0,
    "unistr_quote": 6.0,
    "json_pretty": inf,
}
"""What these make of their longest argument, at most. Functions that join or quote make twice or three times
what all their arguments have; every other one makes no more than the longest of them."""

_SIZED = ("zeroblob", "randomblob")
_FORMATS = ("printf", "format")
_CONVERSION = re.compile(r"%([-+ #!,.*0-9l]*)(?:.|\Z)", re.DOTALL)
"""What a format puts in for one argument: flags, width and precision, then what ends it, be it another %."""

_WIDE = re.compile(r"[1-9]\d{3}|\*")
"""A width or precision of 1,000 or more, or one that is an argument."""


@dataclass(frozen=True, slots=True)
class Token:
    """`word` is in capitals, empty for what is no word; `name` is the bare name of a word or quoted name."""

    text: str
    word: str
    name: str


@dataclass(slots=True)
class _Group:
    """What stands between parentheses, by its commas, and the name of the function before it, if any."""

    function: str = ""
    parts: list[list[Token | _Group]] = field(default_factory=lambda: [[]])


def weigh(tokens: Sequence[Token], table: Sequence[Token] = ()) -> float:
    """What the heaviest expression of a definition weighs; infinity for one that cannot be told. `table`: the
    CREATE TABLE of the table that an index is of."""
    top = _grouped(tokens)
    columns = {
        name: part
        for definition in (_grouped(table), top)
        for group in _tables(definition)
        for name, part in _generated(group)
    }
    return _Weighing(columns).group(top)


def _grouped(tokens: Sequence[Token]) -> _Group:
    top = _Group()
    stack = [top]
    for token in tokens:
        into = stack[-1].parts
        if token.text == "(":
            inner = _Group(_function(into[-1]))
            into[-1].append(inner)
            stack.append(inner)
        elif token.text == ")":
            stack.pop()
        elif token.text == ",":
            into.append([])
        else:
            into[-1].append(token)
    return top


def _function(before: Sequence[Token | _Group]) -> str:
    """The name of the function that a parenthesis behind these opens the arguments of."""
    if not before or not isinstance(before[-1], Token):
        return ""
    ahead = before[-2] if len(before) > 1 else None
    is_table = isinstance(ahead, Token) and ahead.word in ("TABLE", "ON", "REFERENCES")
    return "" if is_table else before[-1].name.lower()


def _tables(top: _Group) -> Iterator[_Group]:
    """The columns of a CREATE TABLE."""
    words = [one.word for one in top.parts[0][:2] if isinstance(one, Token)]
    if words == ["CREATE", "TABLE"]:
        yield from (one for one in top.parts[0] if isinstance(one, _Group))


def _called(token: Token) -> bytes:
    """What a column is called: SQLite takes a text for a name where a name belongs, and folds ASCII alone."""
    name = token.name or _text_in(token)
    return name.encode("utf-8", "surrogatepass").lower()


def _generated(columns: _Group) -> Iterator[tuple[bytes, _Group]]:
    for part in columns.parts:
        first = part[0] if part else None
        for before, behind in pairwise(part):
            is_made = isinstance(before, Token) and before.word == "AS" and isinstance(behind, _Group)
            if is_made and isinstance(first, Token) and isinstance(behind, _Group):
                yield _called(first), behind


class _Weighing:
    """`columns` are the expressions of generated columns by their names: what they weigh, they weigh where
    they are named."""

    def __init__(self, columns: Mapping[bytes, _Group]) -> None:
        self._columns, self._known = columns, dict[bytes, float]()

    def group(self, group: _Group) -> float:
        parts = [self._part(part) for part in group.parts]
        if group.function in _SIZED:
            return _size(group)
        if group.function == "replace":
            return max(1.0, *parts) * _replaced(group)
        if group.function in _FORMATS:
            return 3 * sum(parts) + _format(group)
        if group.function == "concat_ws":
            return parts[0] * len(parts) + 2 * sum(parts)
        if group.function in _REPEATING:
            return max(parts) * len(parts)
        if group.function in _FACTORS:
            return max(1.0, *parts) * _FACTORS[group.function]
        return 2 * sum(parts) if group.function in _JOINING else max(parts)

    def _part(self, part: Sequence[Token | _Group]) -> float:
        """An operand of `||` adds to the others; beside any other operator the heaviest counts. A text behind
        a point is the name of a column."""
        heaviest = joined = 0.0
        bars, before = 0, ""
        for one in part:
            if isinstance(one, _Group):
                weight = self.group(one)
            else:
                weight = self._column(_called(one)) if one.name or before == "." else self._token(one)
            before = one.text if isinstance(one, Token) else ""
            bars += before == "|"
            joined += weight
            heaviest = max(heaviest, weight)
        return joined if bars else heaviest

    def _token(self, token: Token) -> float:
        return max(1.0, len(token.text) / UNIT) if "'" in token.text else float(token.text[0].isalnum())

    def _column(self, name: bytes) -> float:
        if name not in self._columns:
            return 1.0
        if name not in self._known:
            self._known[name] = inf  # one that is made of itself
            self._known[name] = self.group(self._columns[name])
        return self._known[name]


_JOINING = frozenset(
    "concat char json_array json_object json_insert json_replace json_set json_patch jsonb_array"
    " jsonb_object jsonb_insert jsonb_replace jsonb_set jsonb_patch".split()
)

_REPEATING = frozenset(["json_extract", "jsonb_extract"])
"""Functions that give as much of their first argument for each further one."""


def _size(group: _Group) -> float:
    """Of `zeroblob(N)`: N must be a number."""
    token = group.parts[0][0] if len(group.parts[0]) == 1 else None
    if not isinstance(token, Token) or not re.fullmatch(r"[0-9]{1,9}", token.text):
        return inf
    return max(1.0, int(token.text) / UNIT)


def _replaced(group: _Group) -> float:
    """Of `replace(X, 'what', 'by')`: how much longer X gets at most. Two texts, or '' for the second."""
    if len(group.parts) != 3:
        return inf
    what, by = (_literal(part) for part in group.parts[1:])
    if by == "":
        return 1.0
    return inf if not what or by is None else max(1.0, len(by.encode()) / len(what.encode()))


def _format(group: _Group) -> float:
    """Of `printf('format', ...)`: the format must be a text, without large widths."""
    text = _literal(group.parts[0])
    conversions = [] if text is None else _CONVERSION.findall(text)
    if text is None or any(map(_WIDE.search, conversions)):
        return inf
    return float(len(conversions))


def _literal(part: Sequence[Token | _Group]) -> str | None:
    """The text that is all of an argument, or None."""
    if len(part) != 1 or not isinstance(part[0], Token) or not part[0].text.startswith("'"):
        return None
    return _text_in(part[0])


def _text_in(token: Token) -> str:
    """What stands between single quotes."""
    return token.text[1:-1].replace("''", "'")
