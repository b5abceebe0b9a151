"""What ALTER TABLE ... RENAME did to the text of a trigger.

SQLite keeps no number of a column, but a rename writes the new name into every trigger that names the old one
(sqlite.org/lang_altertable.html). A trigger that names all columns, compared with how it was installed,
therefore says which column is called what now, however often it was renamed in between, and also where two
have traded their names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_TOKEN = re.compile(
    r"""\s+ | --[^\n]* | /\*.*?\*/
    | (?P<name>"(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\] | [^\W\d][\w$]*)
    | (?P<other>'(?:[^']|'')*' | \d[\w.]* | .)""",
    re.VERBOSE | re.DOTALL,
)

_ROWS = frozenset({"NEW", "OLD", "R", "T"})
"""What the triggers call a row of their table: what is named of one of these is a column of it. Nothing else
of theirs is, whatever it is called."""


def renamed_columns(expected: str, present: str) -> dict[str, str] | None:
    """What columns that the trigger named as it was installed (`expected`) are called in `present`.

    Only those whose name differs: {} if there is none. None if the texts differ in more than names of columns
    and of the trigger's table, so that nothing can be told from them.
    """
    old, new = _tokens(expected), _tokens(present)
    if len(old) != len(new):
        return None
    table = _table(old), _table(new)
    columns = {*_listed(old), *_named(old)}
    names: dict[str, str] = {}
    for place, (before, after) in enumerate(zip(old, new, strict=True)):
        if before[0] != after[0] or (before[0] == "other" and before != after):
            return None
        pair = before[1], after[1]
        if place not in columns:
            if before[0] == "name" and before != after and pair != table:
                return None
            continue
        if names.setdefault(*pair) != after[1]:
            return None
    return {before: after for before, after in names.items() if before != after}


def _tokens(sql: str) -> list[tuple[str, str]]:
    """Kind and text of what is not space, names without their quotes."""
    found = []
    for match in _TOKEN.finditer(sql):
        if match.lastgroup == "name":
            found.append(("name", _bare(match[0])))
        elif match.lastgroup == "other":
            found.append(("other", match[0]))
    return found


def _bare(name: str) -> str:
    if name[0] == "[":
        return name[1:-1]
    return name[1:-1].replace(name[0] * 2, name[0]) if name[0] in '"`' else name


def _table(tokens: Sequence[tuple[str, str]]) -> str:
    """The table in the head of the trigger: CREATE TRIGGER ... ON table."""
    place = _on(tokens)
    return tokens[place + 1][1] if place + 1 < len(tokens) else ""


def _listed(tokens: Sequence[tuple[str, str]]) -> range:
    """The places of the columns in UPDATE OF column, ..."""
    end = _on(tokens)
    words = [word.upper() for _, word in tokens[:end]]
    return range(words.index("OF") + 1 if "OF" in words else end, end)


def _named(tokens: Sequence[tuple[str, str]]) -> Iterator[int]:
    """The places of the columns in NEW.column and its like."""
    for place in range(2, len(tokens)):
        row, dot = tokens[place - 2 : place]
        if dot == ("other", ".") and row[0] == "name" and row[1].upper() in _ROWS:
            yield place


def _on(tokens: Sequence[tuple[str, str]]) -> int:
    words = (word.upper() for _, word in tokens)
    return next((place for place, word in enumerate(words) if word == "ON"), len(tokens))
