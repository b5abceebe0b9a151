"""A table with more columns than its staged rows could have is refused, by number."""

from __future__ import annotations

from syncline.databases.base.reflection import MOST_COLUMNS, refused_by_devices
from syncline.model.schema import ColumnSchema, TableSchema


def test_a_table_that_cannot_be_staged_is_refused() -> None:
    table = TableSchema("t", (ColumnSchema("id", "integer", "INTEGER"),), ("id",))
    assert refused_by_devices(table, MOST_COLUMNS, MOST_COLUMNS) is None
    refused = refused_by_devices(table, MOST_COLUMNS + 1, MOST_COLUMNS)
    assert refused is not None and "1,591 columns" in refused and "1,590" in refused
