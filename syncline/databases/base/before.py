"""Which columns of a table keep their old values in the log: declared by name, kept by number.

Kept as JSON in the row that says what is prepared, beside the version of the schema, not within it: a device
has no part in it, and a change of it is no change of its schema.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from syncline.errors import SchemaError
from syncline.hub.contract import Declared
from syncline.model.schema import Schema, TableSchema

Numbers = Mapping[int, tuple[int, ...]]
"""Table number -> the numbers of the columns, ascending; tables without any are not in it."""


def numbers_of(schema: Schema, declared: Declared | None, kept: str) -> dict[int, tuple[int, ...]]:
    """What is declared, or with None what was `kept` of it, as far as it is still there.

    The key is in every entry anyway and is left out. SchemaError for names that there are not."""
    if declared is None:
        return present(schema, kept)
    found: dict[int, tuple[int, ...]] = {}
    for name, columns in declared.items():
        table = next((table for table in schema.tables if table.name == name), None)
        if table is None:
            raise SchemaError(f"{name}: there is no such table to keep old values of")
        if numbers := _columns(table, set(columns)):
            found[table.number] = numbers
    return found


def _columns(table: TableSchema, names: set[str]) -> tuple[int, ...]:
    missing = names - {column.name for column in table.columns}
    if missing:
        raise SchemaError(f"{table.name}: there is no column {min(missing)} to keep old values of")
    return tuple(number for number, column in table.values.items() if column.name in names)


def present(schema: Schema, kept: str) -> dict[int, tuple[int, ...]]:
    """What was kept, of the tables and columns that are there."""
    found = {}
    for text, columns in (json.loads(kept) if kept else {}).items():
        table = schema.by_number.get(int(text))
        numbers = () if table is None else tuple(n for n in table.values if n in columns)
        if numbers:
            found[int(text)] = numbers
    return found


def to_keep(numbers: Numbers) -> str:
    """The text to keep; empty if nothing is declared."""
    return json.dumps({str(table): numbers[table] for table in sorted(numbers)}) if numbers else ""
