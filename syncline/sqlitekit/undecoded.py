"""Text of a file that is not UTF-8, read all the same: other programs write what SQLite does not look at.

Such text is a str with escaped bytes (`surrogateescape`). It can be looked at and compared; it cannot be
bound or run, which `is_text` tells beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from syncline.sqlitekit.sql import literal


class Reads(Protocol):
    """A connection of sqlite3."""

    text_factory: Any


@contextmanager
def undecoded(connection: Reads) -> Iterator[None]:
    """Inside, text comes as str where it is UTF-8 and with escaped bytes where it is not. Slower. May be
    nested."""
    before = connection.text_factory
    connection.text_factory = lambda body: body.decode("utf-8", "surrogateescape")
    try:
        yield
    finally:
        connection.text_factory = before


def sayable(text: str) -> str:
    """A text as an expression of SQL, also one with escaped bytes."""
    if is_text(text):
        return literal(text)
    return f"CAST(x'{text.encode('utf-8', 'surrogateescape').hex()}' AS TEXT)"


def is_text(text: str) -> bool:
    """Whether it has no escaped bytes, and can be bound and run."""
    return text.isascii() or not any("\udc80" <= one <= "\udcff" for one in text)
