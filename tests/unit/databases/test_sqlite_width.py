"""A central table that no device could have is refused by name and number; where no table was named it is
left out, and stands in nobody's way."""

from __future__ import annotations

import sqlite3

import pytest

from syncline.databases.sqlite.reflect import reflect
from syncline.errors import SchemaError
from syncline.model.schema import MOST_COLUMNS


def test_a_table_with_too_many_columns_is_refused_or_left_out() -> None:
    connection = sqlite3.connect(":memory:")
    for name, columns in (("wide", MOST_COLUMNS + 1), ("fits", MOST_COLUMNS)):
        listed = ", ".join(f"c{i}" for i in range(columns - 1))
        connection.execute(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, {listed})")
    with pytest.raises(SchemaError, match="wide: has 1,901 columns; a table with more than 1,900"):
        reflect(connection, ["wide", "fits"])
    found = reflect(connection, None)
    assert [len(table.columns) for table in found.schema.tables] == [MOST_COLUMNS]
    assert [note.partition(" columns")[0] for note in found.notes] == ["left out wide: has 1,901"]
