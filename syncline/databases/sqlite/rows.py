"""Old rows inside the log: one text made by SQL's built-in functions alone, exact for every value.

Text and blobs are hexadecimal behind `t` and `b`, so that zeros and invalid characters survive; integers,
floats and NULL are what `quote()` gives, which restores a float to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence


def encoded(columns: Sequence[str]) -> str:
    """The SQL expression for these columns."""
    return " || ',' || ".join(
        f"CASE typeof({column}) WHEN 'text' THEN 't' || hex({column}) WHEN 'blob' THEN 'b' || hex({column})"
        f" ELSE quote({column}) END"
        for column in columns
    )
