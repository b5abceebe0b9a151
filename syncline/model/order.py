"""The canonical order of keys: the same on a device, in the hub, and in every central database.

NULL, then integers and floats by their numeric value, then text by its UTF-8 bytes, then blobs by their
bytes; keys of several columns column by column. It is SQLite's own order with the collation BINARY.
"""

from __future__ import annotations

from collections.abc import Sequence

from syncline.model.values import Value

Place = tuple[tuple[int, int | float | bytes], ...]


def place(key: Sequence[Value]) -> Place:
    """What to compare instead of a key. Python compares integers with floats exactly, as SQLite does.

    Text that is not UTF-8, read with the error handler `surrogateescape`, is taken by its bytes.
    """
    return tuple(map(_rank, key))


def _rank(value: Value) -> tuple[int, int | float | bytes]:
    if isinstance(value, str):
        return 2, as_bytes(value)
    if isinstance(value, (int, float)):
        return 1, value
    return (0, 0) if value is None else (3, value)


def as_bytes(text: str) -> bytes:
    """The bytes of a text: UTF-8, and those that are none as they were read."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")


def shown(value: Value) -> Value:
    """A value that can be written down; text that is not UTF-8 as its bytes."""
    return value if is_sound(value) else as_bytes(str(value))


def is_sound(value: Value) -> bool:
    """Whether this is no text, or text that is UTF-8."""
    if not isinstance(value, str) or value.isascii():  # which Python knows without a look at the text
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
