"""SQL text for PostgreSQL: quoting, and the named queries of the `.sql` files.

Identifiers go into text through `quote` alone, values are bound (`$1`). Statements are built once per
table and shape and kept, so that their text is stable and the server can keep them prepared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from syncline.databases.base.text import statements


def quote(name: str) -> str:
    """An identifier, quoted."""
    return '"' + name.replace('"', '""') + '"'


def qualified(schema: str, name: str) -> str:
    """A name within a schema, quoted."""
    return f"{quote(schema)}.{quote(name)}"


def literal(text: str) -> str:
    """A string constant, whatever `standard_conforming_strings` says."""
    escaped = text.replace("'", "''")
    return "E'" + escaped.replace("\\", "\\\\") + "'" if "\\" in text else f"'{escaped}'"


def dollar(body: str) -> str:
    """A function body between dollar quotes that do not occur in it."""
    tag = "$syncline$"
    while tag in body:
        tag = tag[:-1] + "_$"
    return tag + body + tag


def array(items: list[str | None]) -> str:
    """An array literal of text spellings, to be bound and cast."""
    if None not in items:
        joined = "".join(items)  # type: ignore[arg-type]
        if '"' not in joined and "\\" not in joined:
            return '{"' + '","'.join(items) + '"}' if items else "{}"  # type: ignore[arg-type]
    return "{" + ",".join("NULL" if item is None else _element(item) for item in items) + "}"


def array_of(numbers: Iterable[int]) -> str:
    """An array literal of integers, to be bound and cast."""
    return "{" + ",".join(map(str, numbers)) + "}"


def _element(item: str) -> str:
    return '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'


def spelled(statement: str, *values: object) -> str:
    """A statement as a person can run it: with its values in it, as strings that are read as what they
    are."""

    def value(match: re.Match[str]) -> str:
        found = values[int(match.group(1)) - 1]
        return str(found) if isinstance(found, int) else literal(str(found))

    return re.sub(r"\$(\d+)", value, statement)


_PARTITIONS = """(WITH RECURSIVE tree (relid, level) AS (
    SELECT root.oid, 0 FROM pg_class root WHERE root.oid = {} AND root.relkind = 'p'
    UNION ALL
    SELECT i.inhrelid, t.level + 1 FROM tree t JOIN pg_inherits i ON i.inhparent = t.relid
     WHERE (to_jsonb(i) ->> 'inhdetachpending') IS DISTINCT FROM 'true')
    SELECT t.relid, t.level FROM tree t)"""
"""A partitioned table and all partitions below it. `pg_partition_tree` says the same, but it locks each
of them, and waits for whoever holds one. (Which are being detached is told since PostgreSQL 14.)"""


@cache
def queries(file: str) -> dict[str, str]:
    """The statements of a `.sql` file beside this module, by the names in its `-- name:` lines, in order. In
    them `{{partitions x}}` is a query of the columns relid and level, by the oid of a table."""

    def built(match: re.Match[str]) -> str:
        return _PARTITIONS.format(match.group(1))

    found = statements("syncline.databases.postgresql", file)
    return {name: re.sub(r"\{\{partitions ([^}]+)\}\}", built, text) for name, text in found.items()}
