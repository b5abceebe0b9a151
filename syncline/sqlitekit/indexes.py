"""The terms of a unique index, said about a stored row and about the old and new row of a trigger.

A plain column is easy. For an index on an expression the text of CREATE INDEX is cut into tokens, and each
one that names a column is qualified; strings, functions, collations and type names stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from syncline.model.naming import folded
from syncline.sqlitekit.sql import quote
from syncline.sqlitekit.tables import Unique
from syncline.sqlitekit.undecoded import is_text, sayable

_TOKEN = re.compile(
    r"""(?P<blank>\s+|--[^\n]*|/\*.*?\*/)|(?P<string>'(?:[^']|'')*')|(?P<quoted>"(?:[^"]|"")*"|\[[^\]]*\]|`(?:[^`]|``)*`)"""
    r"""|(?P<number>\d[\w.]*)|(?P<word>[^\W\d][\w$]*)|(?P<other>\|\||<<|>>|[<>=!]=|<>|->>?|.)""",
    re.DOTALL,
)
Token = tuple[str, str]
"""Its kind (string, quoted, number, word, other) and its text."""


@dataclass(frozen=True, slots=True)
class Term:
    """One indexed thing: of the stored row, of OLD and of NEW, as SQL."""

    row: str
    old: str
    new: str
    collation: str

    @classmethod
    def of_column(cls, name: str, collation: str, row: str = "t") -> Term:
        column = quote(name)
        return cls(f"{row}.{column}", f"OLD.{column}", f"NEW.{column}", collation)


def index_terms(columns: Iterable[str], unique: Unique, row: str = "t") -> list[Term]:
    """The terms of a unique index of a table with these columns; `row` is what the stored row is called."""
    named = all(name is not None for name, _ in unique.columns)
    expressions = [] if named or unique.sql is None else _indexed(unique.sql)
    names = {folded(name): name for name in columns}
    terms = []
    for place, (name, collation) in enumerate(unique.columns):
        if name is not None:
            terms.append(Term.of_column(name, collation, row))
        else:
            stored, old, new = (
                f"({_qualified(names, expressions[place], it)})" for it in (row, "OLD", "NEW")
            )
            terms.append(Term(stored, old, new, collation))
    return terms


def same(terms: Iterable[Term]) -> str:
    """Condition: the stored row has the unique value that the new row is about to take."""
    return " AND ".join(f"{term.row} = {term.new} COLLATE {quote(term.collation)}" for term in terms)


def moved(terms: Iterable[Term]) -> str:
    """Condition: an update changes this unique value."""
    return " OR ".join(f"{term.old} IS NOT {term.new} COLLATE BINARY" for term in terms)


def taken(columns: Iterable[str], unique: Unique, row: str = "t") -> str:
    """Condition: the stored row has the unique value that the new row is about to take, and both are among
    the rows that the index has."""
    columns = list(columns)
    parts = [same(index_terms(columns, unique, row))]
    parts += [f"({within})" for within in (covers(columns, unique, it) for it in (row, "NEW")) if within]
    return " AND ".join(parts)


def shifted(columns: Iterable[str], unique: Unique) -> str:
    """Condition: an update changes the unique value, or whether the index has the row."""
    columns = list(columns)
    old, new = (covers(columns, unique, it) for it in ("OLD", "NEW"))
    changed = moved(index_terms(columns, unique))
    return f"{changed} OR ({old}) IS NOT ({new})" if old else changed


def covers(columns: Iterable[str], unique: Unique, row: str) -> str:
    """Condition: a partial index has this row; empty if it has all of them."""
    if not unique.partial or unique.sql is None:
        return ""
    condition = tokens(unique.sql)[_closing(unique.sql) + 2 :]
    return _qualified({folded(name): name for name in columns}, condition, row)


def tokens(sql: str) -> list[Token]:
    """The text in tokens, without blanks and comments."""
    return [(m.lastgroup or "", m.group()) for m in _TOKEN.finditer(sql) if m.lastgroup != "blank"]


def plain(token: Token) -> str:
    """A name without its quotes."""
    kind, spelling = token
    if kind == "quoted":
        mark = spelling[-1]
        return spelling[1:-1].replace(mark * 2, mark)
    return spelling


def _closing(sql: str) -> int:
    """The place of the bracket, among the tokens, that ends the list of what is indexed."""
    depth = 0
    for place, token in enumerate(tokens(sql)):
        depth += {"(": 1, ")": -1}.get(token[1], 0) if token[0] == "other" else 0
        if token == ("other", ")") and not depth:
            return place
    raise ValueError(f"no CREATE INDEX: {sql}")


def _indexed(sql: str) -> list[list[Token]]:
    """The tokens of each indexed expression: what stands between the first brackets, without ASC and DESC."""
    found = tokens(sql)
    start = next(i for i, token in enumerate(found) if token == ("other", "("))
    groups: list[list[Token]] = [[]]
    depth = 1
    for token in found[start + 1 :]:
        depth += {"(": 1, ")": -1}.get(token[1], 0) if token[0] == "other" else 0
        if depth == 0:
            break
        if depth == 1 and token == ("other", ","):
            groups.append([])
        else:
            groups[-1].append(token)
    return [g[:-1] if g and g[-1][1].upper() in ("ASC", "DESC") else g for g in groups]


def _qualified(columns: Mapping[str, str], terms: list[Token], alias: str) -> str:
    parts = []
    for index, token in enumerate(terms):
        before = terms[index - 1][1].upper() if index else ""
        after = terms[index + 1][1] if index + 1 < len(terms) else ""
        name = columns.get(folded(plain(token))) if token[0] in ("word", "quoted") else None
        if name is None or after == "(" or before in ("COLLATE", "AS"):
            parts.append(token[1] if is_text(token[1]) else _in_bytes(token))
        else:
            parts.append(f"{alias}.{quote(name)}")
    return " ".join(parts)


def _in_bytes(token: Token) -> str:
    """A string that is not UTF-8, by its bytes; anything else as it is."""
    kind, spelling = token
    return spelling if kind != "string" else sayable(spelling[1:-1].replace("''", "'"))
