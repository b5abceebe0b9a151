"""A central table that no device could have is refused when the hub is prepared, by name and number."""

from __future__ import annotations

import sqlite3

import pytest

from syncline.databases.sqlite.reflect import reflect
from syncline.errors import SchemaError
from syncline.model.schema import MOST_COLUMNS


@pytest.mark.parametrize("named", [True, False])
def test_a_table_with_too_many_columns_is_refused(named: bool) -> None:
    connection = sqlite3.connect(":memory:")
    for name, columns in (("wide", MOST_COLUMNS + 1), ("fits", MOST_COLUMNS)):
        listed = ", ".join(f"c{i}" for i in range(columns - 1))
        connection.execute(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, {listed})")
    with pytest.raises(SchemaError, match="wide has 1,901 columns") as refused:
        reflect(connection, ["wide", "fits"] if named else None)
    assert "1,900" in refused.value.remedy
    assert len(reflect(connection, ["fits"]).tables[0].columns) == MOST_COLUMNS
