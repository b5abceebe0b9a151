"""CREATE TABLE and CREATE INDEX statements, read by tokens, and changed where SQLite allows it.

SQLite has no ALTER TABLE that takes a constraint away. Its documentation names the ones that say nothing
about what is stored, whose text may be changed in the schema table itself (sqlite.org/lang_altertable.html,
section 7): NOT NULL, CHECK and FOREIGN KEY, and defaults. A function here returns the changed text, or the
same if there is nothing to change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from syncline.model.naming import folded
from syncline.sqlitekit.sql import quote

_TOKEN = re.compile(
    r"""(?P<space>\s+ | --[^\n]* | /\*.*?\*/)
    | (?P<quoted>"(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\])
    | (?P<word>[^\W\d][\w$]*)
    | (?P<other>'(?:[^']|'')*' | \d[\w.]* | .)""",
    re.VERBOSE | re.DOTALL,
)
_CONSTRAINTS = frozenset({"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"})
_AFTER_TYPE = frozenset(
    {
        "CONSTRAINT",
        "PRIMARY",
        "NOT",
        "NULL",
        "UNIQUE",
        "CHECK",
        "DEFAULT",
        "COLLATE",
        "REFERENCES",
        "GENERATED",
        "AS",
    }
)

Leads = Callable[[str, tuple[str, ...]], bool]
"""Whether a foreign key to this parent, by these of its columns (none are named: its key), is meant."""


@dataclass(frozen=True, slots=True)
class _Token:
    """`name` is the bare name of a word or a quoted name; `word` its capitals if it may be a keyword; `depth`
    counts the parentheses around it."""

    start: int
    end: int
    text: str
    word: str
    name: str
    depth: int


def _tokens(sql: str) -> list[_Token]:
    found, depth = [], 0
    for match in _TOKEN.finditer(sql):
        kind, text = match.lastgroup, match[0]
        if kind == "space":
            continue
        depth -= text == ")"
        word = text.upper() if kind == "word" else ""
        name = text if kind == "word" else _bare(text) if kind == "quoted" else ""
        found.append(_Token(match.start(), match.end(), text, word, name, depth))
        depth += text == "("
    return found


def _bare(quoted: str) -> str:
    if quoted[0] == "[":
        return quoted[1:-1]
    return quoted[1:-1].replace(quoted[0] * 2, quoted[0])


def _items(sql: str) -> Iterator[list[_Token]]:
    """The columns and constraints between the outermost parentheses, each as its tokens."""
    item: list[_Token] = []
    opened = False
    for token in _tokens(sql):
        if not opened:
            opened = token.text == "("
        elif token.depth == 0 or (token.depth == 1 and token.text == ","):
            yield item
            item = []
            if token.depth == 0:
                return
        else:
            item.append(token)


def _column(sql: str, column: str) -> list[_Token]:
    """The tokens of a column's definition; none if the table has no such column."""
    for item in _items(sql):
        if item and item[0].word not in _CONSTRAINTS and folded(item[0].name) == folded(column):
            return item
    return []


def without_not_null(sql: str, column: str) -> str:
    """The CREATE TABLE without NOT NULL at this column."""
    item = _column(sql, column)
    for place, token in enumerate(item[:-1]):
        if token.depth == 1 and token.word == "NOT" and item[place + 1].word == "NULL":
            last = place + 1
            if [one.word for one in item[last + 1 : last + 3]] == ["ON", "CONFLICT"]:
                last += 3
            return _cut(sql, item, _named(item, place), last)
    return sql


def without_column(sql: str, column: str) -> str | None:
    """The CREATE TABLE without this column and the constraints of the table that name it; None where
    something else names it, or constraints stand behind it without a comma."""
    item = _column(sql, column)
    words = [token.word for token in item[1:] if token.depth == 1]
    following = any(one.text == "(" and item[place].word == "UNIQUE" for place, one in enumerate(item[1:]))
    if following or {"PRIMARY", "FOREIGN"}.intersection(words):
        return None
    while item:
        sql = _cut(sql, item, 0, len(item) - 1)
        found = (one for one in _items(sql) if one and one[0].word in _CONSTRAINTS)
        item = next((one for one in found if _name(one, column)), [])
    return None if any(_name(one, column) for one in _items(sql)) else sql


def names_column(sql: str, column: str) -> bool:
    """Whether a CREATE INDEX may name this column."""
    tokens = _tokens(sql)
    on = next(place for place, token in enumerate(tokens) if token.word == "ON")
    return _name(tokens[on + 2 :], column)


def _name(tokens: Sequence[_Token], column: str) -> bool:
    return any(folded(token.name) == folded(column) for token in tokens)


def with_unique(sql: str, columns: Sequence[str]) -> str:
    """The CREATE TABLE with one more constraint: these columns are unique."""
    return with_constraint(sql, f"UNIQUE ({', '.join(map(quote, columns))})")


def with_constraint(sql: str, constraint: str) -> str:
    """The CREATE TABLE with one more constraint of the table."""
    tokens = _tokens(sql)
    opening = next(place for place, token in enumerate(tokens) if token.text == "(")
    closing = next(token for token in tokens[opening + 1 :] if token.depth == 0 and token.text == ")")
    last = max(token.end for token in tokens if token.end <= closing.start)
    return f"{sql[:last]}, {constraint}{sql[last:]}"


def collates(sql: str, column: str) -> bool:
    """Whether a column has a collation of its own by the CREATE TABLE."""
    return any(token.word == "COLLATE" for token in _column(sql, column))


def collation_of(sql: str, column: str) -> str:
    """The collation that a column has by the CREATE TABLE, in capitals."""
    item = _column(sql, column)
    named = [
        item[place + 1] for place, one in enumerate(item[:-1]) if one.word == "COLLATE" and one.depth == 1
    ]
    return (named[-1].name or named[-1].text.strip("'")).upper() if named else "BINARY"


def with_type(sql: str, column: str, declared: str) -> str:
    """The CREATE TABLE with another type of this column."""
    item = _column(sql, column)
    if not item:
        return sql
    end, space = _end_of_type(item)
    return f"{sql[: item[0].end]} {declared}{space}{sql[end:]}"


def with_default(sql: str, column: str, default: str) -> str:
    """The CREATE TABLE with a default, an expression, of this column, which has none."""
    item = _column(sql, column)
    if not item:
        return sql
    end, space = _end_of_type(item)
    return f"{sql[:end].rstrip()} DEFAULT ({default}){space}{sql[end:]}"


def _end_of_type(item: Sequence[_Token]) -> tuple[int, str]:
    """Where what follows the name and the type of a column begins, and what separates it from them."""
    rest = next((one for one in item[1:] if one.depth == 1 and one.word in _AFTER_TYPE), None)
    return (item[-1].end, "") if rest is None else (rest.start, " ")


def without_foreign_key(sql: str, columns: Sequence[str], leads: Leads | None = None) -> str:
    """The CREATE TABLE without any foreign key of exactly these columns, in this order; of those, where
    `leads` is given, without the ones of which it is true."""
    wanted = [folded(name) for name in columns]
    for item in _items(sql):
        for place, token in enumerate(item):
            if token.depth != 1:
                continue
            own = [folded(item[0].name)] if item[0].word not in _CONSTRAINTS else None
            first = place
            if token.word == "FOREIGN":
                closing = next(i for i in range(place, len(item)) if item[i].text == ")")
                own = [folded(one.name) for one in item[place + 3 : closing] if one.name]
                first = closing + 1
            elif token.word != "REFERENCES" or _in_table_constraint(item, place):
                continue
            if own == wanted and (leads is None or leads(*_led_to(item, first))):
                end = _end_of_reference(item, first)
                return without_foreign_key(_cut(sql, item, _named(item, place), end), columns, leads)
    return sql


@dataclass(frozen=True, slots=True)
class Called:
    """What a table is called somewhere else, and its columns there by their names here in lower case."""

    name: str
    columns: Mapping[str, str]


def renamed_table(sql: str, name: str, parents: Mapping[str, Called]) -> str | None:
    """The CREATE TABLE of a table under another name, and with foreign keys to these parents, by their names
    in it in lower case, as they are called elsewhere. None where a name is written as a string."""
    tokens = _tokens(sql)
    own, changes = folded(tokens[2].name), {2: quote(name)}
    for place, token in enumerate(tokens[3:-1], 3):
        if token.name and folded(token.name) == own and tokens[place + 1].text == ".":
            changes[place] = quote(name)
        if token.word != "REFERENCES":
            continue
        if not tokens[place + 1].name:
            return None
        parent = parents.get(folded(tokens[place + 1].name))
        if parent is not None:
            changes[place + 1] = quote(parent.name)
            for one in _named_columns(tokens, place + 2):
                if not tokens[one].name:
                    return None
                changes[one] = quote(parent.columns.get(folded(tokens[one].name), tokens[one].name))
    return _replaced(sql, tokens, changes)


def _named_columns(tokens: Sequence[_Token], opening: int) -> list[int]:
    """The places of the names between the parentheses that open here; none if none do."""
    if tokens[opening].text != "(":
        return []
    closing = next(place for place in range(opening, len(tokens)) if tokens[place].text == ")")
    return [place for place in range(opening + 1, closing) if tokens[place].text != ","]


def to_table(name: str) -> Leads:
    """Those to this table, by whatever columns."""
    return lambda parent, columns: folded(parent) == folded(name)


def _led_to(item: Sequence[_Token], place: int) -> tuple[str, tuple[str, ...]]:
    """The parent, and its columns if they are named, of a REFERENCES that begins at `place`."""
    columns: list[str] = []
    if place + 2 < len(item) and item[place + 2].text == "(":
        closing = next(i for i in range(place + 2, len(item)) if item[i].text == ")")
        columns = [one.name for one in item[place + 3 : closing] if one.name]
    return item[place + 1].name, tuple(columns)


def waits_for_commit(sql: str) -> bool:
    """Whether every foreign key of a CREATE TABLE waits for the commit by itself, as it does with `PRAGMA
    defer_foreign_keys`, which also has RESTRICT wait. In case of doubt it does not."""
    words = [token.word for token in _tokens(sql)]
    places = [place for place, word in enumerate(words) if word == "REFERENCES"]
    return all(_is_deferred(words[first:end]) for first, end in pairwise([*places, len(words)]))


def _is_deferred(reference: Sequence[str]) -> bool:
    pairs = set(pairwise(reference))
    at_once = "RESTRICT" in reference or "IMMEDIATE" in reference or ("NOT", "DEFERRABLE") in pairs
    return not at_once and ("INITIALLY", "DEFERRED") in pairs


def _in_table_constraint(item: Sequence[_Token], place: int) -> bool:
    """Constraints of the table may follow each other, and the last column, without a comma."""
    return any(token.word == "FOREIGN" and token.depth == 1 for token in item[:place])


def _named(item: Sequence[_Token], place: int) -> int:
    """Where a constraint begins: with its CONSTRAINT name, if it has one."""
    return place - 2 if place >= 2 and item[place - 2].word == "CONSTRAINT" else place


def _end_of_reference(item: Sequence[_Token], place: int) -> int:
    """The last token of REFERENCES parent (columns) ON DELETE ... DEFERRABLE ..., which begins at `place`."""
    end = place + 1
    if end + 1 < len(item) and item[end + 1].text == "(":
        end = next(i for i in range(end + 1, len(item)) if item[i].text == ")")
    while end + 1 < len(item):
        words = [one.word for one in item[end + 1 : end + 4]]
        if words[:1] == ["ON"]:
            end += 4 if words[2:3] in (["SET"], ["NO"]) else 3
        elif words[:1] == ["MATCH"] or words[:2] == ["NOT", "DEFERRABLE"]:
            end += 2
        elif words[:1] == ["DEFERRABLE"]:
            end += 1
        elif words[:1] == ["INITIALLY"]:
            end += 2
        else:
            break
    return end


def _cut(sql: str, item: Sequence[_Token], first: int, last: int) -> str:
    """The text without these tokens of an item, and without the comma before it if nothing of it is left."""
    start, end = item[first].start, item[last].end
    before = sql[:start].rstrip()
    if first == 0 and last == len(item) - 1:
        if before.endswith("("):
            return before + sql[end:].lstrip().removeprefix(",").lstrip()
        return before.removesuffix(",") + sql[end:]
    if first == 0:
        return sql[:start] + sql[end:].lstrip()
    return before + sql[end:]


# Indexes -------------------------------------------------------------------------------------------------


def index_name(sql: str) -> str:
    """The name in a CREATE INDEX."""
    tokens = _tokens(sql)
    on = next(place for place, token in enumerate(tokens) if token.word == "ON")
    return tokens[on - 1].name


def is_unique_index(sql: str) -> bool:
    """Whether a CREATE INDEX makes a unique one."""
    return _tokens(sql)[1].word == "UNIQUE"


def is_same_index(sql: str, other: str) -> bool:
    """Whether two CREATE INDEX say the same, but for how names are quoted and words are spaced."""
    ours, theirs = ([folded(token.name) or token.text for token in _tokens(one)] for one in (sql, other))
    return ours == theirs


def renamed_index(sql: str, name: str, table: str, columns: Mapping[str, str]) -> str:
    """The CREATE INDEX under another name, on another table, whose columns are called otherwise. Names are
    given as SQL; `columns` by their former bare names in lower case."""
    tokens = _tokens(sql)
    on = next(place for place, token in enumerate(tokens) if token.word == "ON")
    changes = {on - 1: name, on + 1: table}
    for place in range(on + 2, len(tokens)):
        token = tokens[place]
        called = place + 1 < len(tokens) and tokens[place + 1].text == "("
        collation = tokens[place - 1].word == "COLLATE"
        if folded(token.name) in columns and token.name and not called and not collation:
            changes[place] = columns[folded(token.name)]
    return _replaced(sql, tokens, changes)


def _replaced(sql: str, tokens: Sequence[_Token], changes: Mapping[int, str]) -> str:
    parts, end = [], 0
    for place in sorted(changes):
        parts += [sql[end : tokens[place].start], changes[place]]
        end = tokens[place].end
    return "".join([*parts, sql[end:]])
