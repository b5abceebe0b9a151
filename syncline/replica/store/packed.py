"""Keys, images and edits as blobs in Syncline's own tables: MessagePack, canonical for equal values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from syncline.errors import StoreDamaged

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder()


def pack(values: Sequence[Any] | dict[str, Any]) -> bytes:
    """The bytes of plain values. Equal values of equal storage classes give equal bytes."""
    return _encoder.encode(values)


def unpack(body: bytes) -> Any:
    """The inverse of `pack`; sequences come back as lists. StoreDamaged for what it has not made."""
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, TypeError) as error:
        raise StoreDamaged(f"a key or row that Syncline keeps in the file cannot be read: {error}") from error
