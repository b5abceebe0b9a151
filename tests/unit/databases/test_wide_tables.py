"""A table with more columns than its staged rows could have is refused, by name and number."""

from __future__ import annotations

import pytest

from syncline.databases.base.reflection import MOST_COLUMNS, refuse_wide
from syncline.errors import SchemaError


def test_a_table_that_cannot_be_staged_is_refused() -> None:
    refuse_wide({"fits": MOST_COLUMNS}, MOST_COLUMNS)
    with pytest.raises(SchemaError, match="wide has 1,591 columns") as refused:
        refuse_wide({"fits": MOST_COLUMNS, "wide": MOST_COLUMNS + 1}, MOST_COLUMNS)
    assert "1,590" in refused.value.remedy
