"""Old rows inside the log: one text made by SQL's built-in functions alone, exact for every value.

Text and blobs are hexadecimal behind `t` and `b`, so that zeros and invalid characters survive; integers,
floats and NULL are what `quote()` gives, which restores a float to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence

from syncline.model.values import Value


def encoded(columns: Sequence[str]) -> str:
    """The SQL expression for these columns."""
    return " || ',' || ".join(
        f"CASE typeof({column}) WHEN 'text' THEN 't' || hex({column}) WHEN 'blob' THEN 'b' || hex({column})"
        f" ELSE quote({column}) END"
        for column in columns
    )


def decoded(text: str) -> list[Value]:
    """The values, in the order in which they were encoded."""
    return [_value(part) for part in text.split(",")]


def _value(part: str) -> Value:
    if part == "NULL":
        return None
    if part[0] == "t":
        return bytes.fromhex(part[1:]).decode()
    if part[0] == "b":
        return bytes.fromhex(part[1:])
    try:
        return int(part)
    except ValueError:
        return float(part)
