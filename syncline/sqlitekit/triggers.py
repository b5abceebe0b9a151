"""What a trigger writes, found in the text of its CREATE TRIGGER: not which words it contains."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from syncline.model.naming import folded
from syncline.sqlitekit.indexes import Token, plain, tokens

_VERBS = frozenset(["INSERT", "REPLACE", "UPDATE", "DELETE", "SELECT", "WITH"])
_ROLLBACK = re.compile(r"(\bRAISE\s*\(\s*)ROLLBACK\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger of the application on a table or view (`on`), and the tables and views that its own
    statements write, all in lower case; `sql` as SQLite keeps it."""

    name: str
    on: str
    sql: str
    writes: frozenset[str]

    @property
    def raises(self) -> bool:
        """Whether it can refuse a write, or ignore it."""
        return any(_word(token) == "RAISE" for token in tokens(self.sql))

    @property
    def settling(self) -> str:
        """The same trigger, which undoes a statement where this one would undo the whole transaction."""
        return _ROLLBACK.sub(r"\1ABORT", self.sql)


@lru_cache(maxsize=256)
def read_trigger(name: str, on: str, sql: str) -> Trigger:
    """Read the text of a CREATE TRIGGER."""
    written = (_target(statement) for statement in _statements(sql))
    return Trigger(name, folded(on), sql, frozenset(folded(target) for target in written if target))


def reaching(triggers: Sequence[Trigger], tables: Iterable[str]) -> list[Trigger]:
    """Those that write one of these tables, or a view that INSTEAD OF triggers write one of them for."""
    wanted, found = {folded(table) for table in tables}, list[Trigger]()
    while True:
        fresh = [trigger for trigger in triggers if trigger not in found and trigger.writes & wanted]
        if not fresh:
            return [trigger for trigger in triggers if trigger in found]
        found += fresh
        wanted |= {trigger.on for trigger in fresh if _is_instead(trigger)}


def _is_instead(trigger: Trigger) -> bool:
    head = tokens(trigger.sql)[: _begin(tokens(trigger.sql))]
    return any(_word(token) == "INSTEAD" for token in head)


def _statements(sql: str) -> list[list[Token]]:
    """The statements between BEGIN and END."""
    found = tokens(sql)
    statements: list[list[Token]] = [[]]
    for token in found[_begin(found) + 1 :]:
        if token == ("other", ";"):
            statements.append([])
        else:
            statements[-1].append(token)
    return statements


def _begin(found: Sequence[Token]) -> int:
    """The place of the BEGIN that opens the body: a column may have that name."""
    for place in range(1, len(found) - 1):
        if _word(found[place]) == "BEGIN" and found[place - 1] != ("other", "."):
            if _word(found[place + 1]) in _VERBS:
                return place
    return len(found)


def _target(statement: Sequence[Token]) -> str | None:
    """What a statement writes; None if it writes nothing."""
    words = [_word(token) for token in statement]
    start = _after_with(statement) if words[:1] == ["WITH"] else 0
    verb, rest = words[start : start + 1], start + 1
    if verb not in (["INSERT"], ["REPLACE"], ["UPDATE"], ["DELETE"]):
        return None
    if words[rest : rest + 1] == ["OR"]:
        rest += 2
    if words[rest : rest + 1] in (["INTO"], ["FROM"]):
        rest += 1
    name = statement[rest : rest + 1]
    if statement[rest + 1 : rest + 2] == [("other", ".")]:
        name = statement[rest + 2 : rest + 3]
    return plain(name[0]) if name else None


def _after_with(statement: Sequence[Token]) -> int:
    depth = 0
    for place, token in enumerate(statement):
        depth += {"(": 1, ")": -1}.get(token[1], 0) if token[0] == "other" else 0
        if place and not depth and _word(token) in _VERBS:
            return place
    return len(statement)


def _word(token: Token) -> str:
    return token[1].upper() if token[0] == "word" else ""
