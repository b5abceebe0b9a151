"""The canonical bytes of rows, and the digest of a range of them.

A row is the MessagePack array of its key values, in key order, and all its value columns, in schema
order, as `protocol.body` defines it. A range's digest is the SHA-256 of its rows' bytes one after the
other, in the order of `model.order`; `docs/verify.md` has test vectors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw

from syncline.model.order import as_bytes
from syncline.model.values import Value

NOT_TEXT = 1
"""The extension type that stands for text which is not UTF-8: only a damaged device file has it, and no
row of a hub is equal to it."""

_encoder = msgspec.msgpack.Encoder()


SLICE_BYTES, FIRST_SLICE, LARGEST_SLICE = 1 << 20, 64, 4_000


class Pace:
    """How many rows to take next, so that a slice of them stays small however large the rows are."""

    def __init__(self, largest: int = LARGEST_SLICE) -> None:
        self.step, self._largest = FIRST_SLICE, largest

    def note(self, rows: int, size: int) -> None:
        """So many rows were so many bytes."""
        if rows:
            self.step = max(1, min(self._largest, self.step * 4, SLICE_BYTES * rows // max(size, 1)))


class RowsDigest:
    """Takes rows in canonical order, as many at a time as are at hand."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.rows = 0

    def add(self, rows: Sequence[Sequence[Value]]) -> int:
        """Take the next rows; return how many bytes they are."""
        try:
            body = _encoder.encode(rows)
        except UnicodeEncodeError:
            body = _encoder.encode([canonical_row(row) for row in rows])
        header = 1 if len(rows) < 16 else 3 if len(rows) < 1 << 16 else 5
        self._hash.update(memoryview(body)[header:])
        self.rows += len(rows)
        return len(body) - header

    @property
    def hex(self) -> str:
        return self._hash.hexdigest()


def canonical_row(row: Sequence[Value]) -> Raw:
    """One row's bytes."""
    try:
        return Raw(_encoder.encode(row))
    except UnicodeEncodeError:
        return Raw(_encoder.encode([_marked(value) for value in row]))


def _marked(value: Value) -> Any:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return msgspec.msgpack.Ext(NOT_TEXT, as_bytes(value))
    return value
