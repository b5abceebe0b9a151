"""Columns and unique indexes of a device table, read from the file itself: they may have been changed.

Capture must know the unique indexes: which other row an insert would replace.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from syncline.model.schema import TableSchema
from syncline.replica.store import Store, quote

_ORDER = re.compile(r"\s+(ASC|DESC)\s*$", re.IGNORECASE)
_TOKEN = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`(?:[^`]|``)*`|\[[^\]]*\]|--[^\n]*|/\*.*?\*/|[(),]", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Term:
    """One term of an index: a column (`column`), or an expression (`expression`, as SQL)."""

    column: str | None
    expression: str | None
    collation: str


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the file's own table; `generated` ones are never captured."""

    name: str
    declared: str
    generated: bool


def columns_of(store: Store, table: str) -> dict[str, Column]:
    """The columns that the table has in this file, by name. Empty if there is no such table."""
    return {
        name: Column(name, declared or "", hidden in (2, 3))
        for _, name, declared, _, _, _, hidden in store.rows(f"PRAGMA table_xinfo({quote(table)})")
        if hidden != 1
    }


ROWIDS = ("rowid", "oid", "_rowid_")
"""Names by which SQLite knows a row's number, where no column takes them (sqlite.org/rowidtable.html)."""


def rowid_of(store: Store, table: str) -> str | None:
    """A name for the row's number, if the table has one besides its key; None if the key is that number, in a
    table without one, and where columns take all names."""
    indexes = store.rows(f"PRAGMA index_list({quote(table)})")
    key = next((name for _, name, _, origin, _ in indexes if origin == "pk"), None)
    if key is None or all(cid != -1 for _, cid, *_ in store.rows(f"PRAGMA index_xinfo({quote(key)})")):
        return None
    taken = {name.lower() for name in columns_of(store, table)}
    return next((name for name in ROWIDS if name not in taken), None)


def misfits(store: Store, table: TableSchema) -> list[str]:
    """Why the table of this file cannot take part as the hub's `table`, as sentences; empty if it can."""
    present = columns_of(store, table.name)
    if not present:
        return [f"{store.path} has no table {table.name}"]
    missing = [column.name for column in table.columns if column.name not in present]
    parts = store.rows(f"PRAGMA table_info({quote(table.name)})")
    key = tuple(name for _, name, *_, place in sorted(parts, key=lambda part: part[-1]) if place)
    wrong = [f"table {table.name}: this file lacks the hub's columns {', '.join(missing)}"] if missing else []
    if set(key) != set(table.key):
        wrong.append(
            f"table {table.name}: the key is {', '.join(table.key)} at the hub"
            f" and {', '.join(key) or 'none'} in this file"
        )
    return wrong


def unique_terms(store: Store, table: str) -> list[tuple[Term, ...]]:
    """The terms of every unique index besides that of the primary key.

    The condition of a partial index is left out: whoever asks gets rows that may be hit, not only those
    that are.
    """
    found = []
    for _, name, unique, origin, _ in store.rows(f"PRAGMA index_list({quote(table)})"):
        if not unique or origin == "pk":
            continue
        parts = store.rows(f"PRAGMA index_xinfo({quote(name)})")
        listed = [(column, collation) for _, cid, column, _, collation, key in parts if key]
        plain = all(column is not None for column, _ in listed)
        expressions = [""] * len(listed) if plain else _expressions(store, name)
        found.append(
            tuple(
                Term(column, None if column is not None else expressions[i], collation)
                for i, (column, collation) in enumerate(listed)
            )
        )
    return found


def _expressions(store: Store, index: str) -> Sequence[str]:
    sql: str = store.value("SELECT sql FROM sqlite_master WHERE type = 'index' AND name = ?", (index,))
    return split_terms(sql)


def split_terms(sql: str) -> list[str]:
    """The terms between the outermost parentheses of a CREATE INDEX, without ASC, DESC and comments."""
    sql = _TOKEN.sub(lambda token: " " if token[0][:2] in ("--", "/*") else token[0], sql)
    depth, start, terms = 0, 0, []
    for token in _TOKEN.finditer(sql):
        mark = token.group()
        if mark == "(":
            depth += 1
            start = token.end() if depth == 1 else start
        elif mark == ")":
            depth -= 1
        if (depth == 0 and mark == ")") or (depth == 1 and mark == ","):
            terms.append(_ORDER.sub("", sql[start : token.start()]).strip())
            start = token.end()
        if depth == 0 and mark == ")":
            break
    return terms
