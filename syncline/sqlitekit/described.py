"""CREATE TABLE and CREATE INDEX that others have written: read as data, and written anew.

What comes over a network is never run as it came. It is taken apart into names, literals, words and marks,
and a statement is made of those: one table or one index, with nothing selected, and nothing behind it. White
space stays as it is, so that an honest text comes out as it went in; comments go. What a statement made so
still may not do, the authorizer forbids (`replica.store.warden`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from syncline.model.naming import folded
from syncline.sqlitekit.growth import MOST, Token, weigh
from syncline.sqlitekit.undecoded import is_text

_TOKEN = re.compile(
    r"""(?P<space>[ \t\n\f\r]+)
    | (?P<comment>--[^\n]*(?:\n|\Z) | /\*.*?\*/)
    | (?P<quoted>"(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\])
    | (?P<literal>[xX]?'(?:[^']|'')*' | \d[\w.]* | \.\d[\w.]*)
    | (?P<word>[^\W\d][\w$]*)
    | (?P<mark>[(),.+\-*%<>=&|~!] | /(?!\*))""",
    re.VERBOSE | re.DOTALL,
)

_FORBIDDEN = frozenset({"SELECT", "VALUES"})
"""Words that begin what a definition has no place for. SQLite lets none of them be a name without quotes."""

_TYPE = re.compile(
    r"(?:[^\W\d][\w$]*(?:\s+[^\W\d][\w$]*)*)?(?:\s*\(\s*[+-]?\d+(?:\.\d+)?\s*(?:,\s*[+-]?\d+\s*)?\))?"
)
_NO_TYPE = frozenset(
    "CONSTRAINT PRIMARY NOT NULL UNIQUE CHECK DEFAULT COLLATE REFERENCES GENERATED AS SELECT".split()
)

LONGEST = 1_000_000
"""Characters of a definition, as many as SQLite takes of a statement by itself."""


class NoDefinition(ValueError):
    """The text is not what it should be, with the reason."""


def table_sql(sql: str, name: str) -> str:
    """The CREATE TABLE of the table with this name, made of the tokens of `sql`. NoDefinition."""
    pieces, tokens = _taken_apart(sql)
    if [token.word for token in tokens[:2]] != ["CREATE", "TABLE"] or len(tokens) < 5:
        raise NoDefinition("it is no CREATE TABLE")
    if folded(tokens[2].name) != folded(name) or tokens[3].text != "(":
        raise NoDefinition(f"it does not define the table {name}")
    end = _closing(tokens, 3)
    options = [token.word or token.text for token in tokens[end + 1 :]]
    if " ".join(options) not in (
        "",
        "STRICT",
        "WITHOUT ROWID",
        "STRICT , WITHOUT ROWID",
        "WITHOUT ROWID , STRICT",
    ):
        raise NoDefinition("something follows the columns")
    return "".join(pieces)


def index_sql(sql: str, table: str) -> str:
    """The CREATE INDEX of an index of this table, made of the tokens of `sql`. NoDefinition."""
    pieces, tokens = _taken_apart(sql)
    rest = tokens[3:] if [token.word for token in tokens[:3]] == ["CREATE", "UNIQUE", "INDEX"] else tokens[2:]
    begun = [token.word for token in tokens[:2]] == ["CREATE", "INDEX"] or len(rest) == len(tokens) - 3
    if not begun or len(rest) < 5 or not rest[0].name or rest[1].word != "ON":
        raise NoDefinition("it is no CREATE INDEX")
    if folded(rest[2].name) != folded(table) or rest[3].text != "(":
        raise NoDefinition(f"it is no index of the table {table}")
    end = _closing(rest, 3)
    if end + 1 < len(rest) and rest[end + 1].word != "WHERE":
        raise NoDefinition("something follows the columns of the index")
    return "".join(pieces)


def check_expression(sql: str) -> None:
    """NoDefinition unless the text can stand between parentheses as an expression."""
    _taken_apart(sql)


def check_growth(sql: str, table: str = "") -> None:
    """NoDefinition if evaluating the expressions in a definition, or the one that it is, may take much more
    memory than the row has. `table`: the CREATE TABLE of the table that an index is of."""
    try:
        weight = weigh(_taken_apart(sql)[1], _taken_apart(table)[1])
    except RecursionError:
        raise NoDefinition("its expressions are nested too deeply") from None
    if weight > MOST:
        raise NoDefinition(
            "an expression may make far more than it is given: a size, a width or a replacement that is no"
            " small constant, or functions within functions"
        )


def check_type(declared: str) -> None:
    """NoDefinition unless the text can stand behind a column's name as its type."""
    words = {word.upper() for word in re.findall(r"\w+", declared)}
    if not _TYPE.fullmatch(declared) or words & _NO_TYPE:
        raise NoDefinition("a type is words, and numbers in parentheses")


def _taken_apart(sql: str) -> tuple[list[str], list[Token]]:
    """The pieces of the text as they are written anew, and the tokens among them; parentheses match."""
    if not is_text(sql):
        raise NoDefinition("its text is not UTF-8")
    if len(sql) > LONGEST:
        raise NoDefinition(f"it is longer than {LONGEST} characters")
    pieces: list[str] = []
    tokens: list[Token] = []
    place = depth = 0
    while place < len(sql):
        found = _TOKEN.match(sql, place)
        if found is None or "\0" in found[0]:
            raise NoDefinition(f"{sql[place : place + 20]!r} has no place in it")
        place, text, kind = found.end(), found[0], found.lastgroup
        pieces.append(" " if kind == "comment" else text)
        if kind in ("space", "comment"):
            continue
        depth += (text == "(") - (text == ")")
        token = _token(text, kind)
        if depth < 0 or token.word in _FORBIDDEN:
            raise NoDefinition(f"{text!r} has no place in it")
        tokens.append(token)
    if depth:
        raise NoDefinition("a parenthesis is not closed")
    return pieces, tokens


def _token(text: str, kind: str | None) -> Token:
    if kind == "word":
        return Token(text, text.upper(), text)
    if kind != "quoted":
        return Token(text, "", "")
    bare = text[1:-1]
    return Token(text, "", bare if text[0] == "[" else bare.replace(text[0] * 2, text[0]))


def _closing(tokens: Sequence[Token], opening: int) -> int:
    """The place of the parenthesis that closes the one at `opening`."""
    depth = 0
    for place in range(opening, len(tokens)):
        depth += (tokens[place].text == "(") - (tokens[place].text == ")")
        if depth == 0:
            return place
    raise NoDefinition("a parenthesis is not closed")
