"""A table with more columns than its staged rows could have is refused, by name and number."""

from __future__ import annotations

import pytest

from syncline.databases.base.reflection import MOST_COLUMNS, FoundTable, refuse_wide
from syncline.errors import SchemaError
from syncline.model.schema import ColumnSchema


def _table(name: str, columns: int) -> FoundTable:
    found = FoundTable(1, "public", name, None, 0)
    found.columns = {i: ColumnSchema(f"c{i}", "integer", "INTEGER") for i in range(columns)}
    return found


def test_a_table_that_cannot_be_staged_is_refused() -> None:
    refuse_wide([_table("fits", MOST_COLUMNS)])
    with pytest.raises(SchemaError, match="wide has 1,591 columns") as refused:
        refuse_wide([_table("fits", MOST_COLUMNS), _table("wide", MOST_COLUMNS + 1)])
    assert "1,590" in refused.value.remedy
