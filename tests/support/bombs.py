"""Bodies that unfold further than anybody lets them."""

from __future__ import annotations

import gzip

from syncline.protocol.compression import zstd


def bomb_of(body: bytes, coding: str) -> bytes:
    """The body in a coding, however far it unfolds; `compression.compress` makes none."""
    return bytes(zstd.compress(body)) if coding == "zstd" else gzip.compress(body)
