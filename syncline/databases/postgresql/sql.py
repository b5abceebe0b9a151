"""SQL text for PostgreSQL: quoting, and the named queries of the `.sql` files.

Identifiers go into text through `quote` alone, values are bound (`$1`). Statements are built once per
table and shape and kept, so that their text is stable and the server can keep them prepared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from syncline.databases.base.text import pieced


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


def queries(file: str) -> dict[str, str]:
    """The statements of a `.sql` file beside this module, by the names in its `-- name:` lines, in order."""
    return pieced("syncline.databases.postgresql", file)
