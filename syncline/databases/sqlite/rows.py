"""Old values inside the log: one text made by SQL's built-in functions alone, exact for every value.

`number=value` for each column, between commas. Text and blobs are hexadecimal behind `t` and `b`, so that
zeros and invalid characters survive; integers, floats and NULL are what `quote()` gives, which restores a
float to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping

from syncline.model.values import Value


def encoded(columns: Mapping[int, str]) -> str:
    """The SQL expression for these columns, by their numbers."""
    return " || ',' || ".join(
        f"'{number}=' || CASE typeof({column}) WHEN 'text' THEN 't' || hex({column})"
        f" WHEN 'blob' THEN 'b' || hex({column}) ELSE quote({column}) END"
        for number, column in columns.items()
    )


def decoded(text: str) -> dict[int, Value]:
    """The values in such a text, by number."""
    pairs = (part.split("=", 1) for part in text.split(","))
    return {int(number): _value(value) for number, value in pairs}


def _value(text: str) -> Value:
    if text == "NULL":
        return None
    if text[0] in "tb":
        raw = bytes.fromhex(text[1:])
        return raw if text[0] == "b" else raw.decode("utf-8", "surrogateescape")
    try:
        return int(text)
    except ValueError:
        return float(text)
