"""Content codings: zstd and gzip, and how far a compressed body may unfold.

zstd is in the standard library from Python 3.14 and in `backports.zstd` before. A side without it speaks
gzip. Every body is one frame; it is unfolded with an upper bound, so that a bomb stops at the limit.
"""

from __future__ import annotations

import sys
import zlib
from typing import Any

from syncline.errors import Malformed, ProtocolError, TooLarge
from syncline.protocol.negotiation import qualities

zstd: Any
try:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
except ImportError:  # pragma: no cover - every declared install has it
    zstd = None

THRESHOLD = 512
"""Bodies of fewer bytes travel as they are."""

LEVEL = 3
WINDOW_LOG = 23
"""8 MiB, the largest window that RFC 9659 allows zstd over HTTP: a bound on the decoder's own memory."""

RATIO = 200
"""How many bytes a compressed one may stand for. Rows seldom reach a tenth of it, and what does travels as it
is. A bomb has thousands."""

FREE = 1024 * 1024
"""Bytes that any body may unfold to, whatever its ratio."""

PIECE = 256 * 1024
"""Bytes unfolded at once: all of them in one piece would stand in memory twice for a moment."""

CODINGS = ("zstd", "gzip") if zstd is not None else ("gzip",)
"""What this side reads and writes, best first."""

ACCEPT_ENCODING = ", ".join(CODINGS)


def choose(accept_encoding: str | None) -> str | None:
    """The coding for an answer, by the request's Accept-Encoding; None: as it is."""
    if not accept_encoding:
        return None
    wanted = qualities(accept_encoding)
    rest = wanted.get("*", 0.0)
    return next((coding for coding in CODINGS if wanted.get(coding, rest) > 0), None)


def compress(body: bytes, coding: str) -> bytes | None:
    """The body in a coding of CODINGS, as one frame; None if it would unfold further than anybody lets it."""
    compressed = _compressed(body, coding)
    return compressed if len(body) <= may_unfold_to(len(compressed)) else None


def may_unfold_to(size: int) -> int:
    """The bytes that so many compressed ones may stand for."""
    return max(FREE, RATIO * size)


def unfolded(begin: bytes, size: int, content_encoding: str | None, limit: int) -> int:
    """How many bytes a body of `size` bytes unfolds to, at most: what it says of itself in its first ones,
    held to `limit` and the ratio. `decompress` keeps that promise."""
    coding = (content_encoding or "identity").strip().lower()
    if coding == "identity":
        return size
    most = min(limit, may_unfold_to(size))
    said = _said_by_zstd(begin) if coding == "zstd" and zstd is not None else None
    if said is not None and said > most:
        raise too_large(limit) if said > limit else _unfolds_too_far()
    return most if said is None else said


def _said_by_zstd(begin: bytes) -> int | None:
    try:
        size: int | None = zstd.get_frame_info(begin).decompressed_size
    except zstd.ZstdError:
        return None  # it is no frame, as will be said when it is unfolded
    return size


def _unfolds_too_far() -> TooLarge:
    return TooLarge(
        f"the body unfolds to more than {RATIO} times its bytes, and to more than {FREE} bytes",
        code="unfolds_too_far",
        remedy="Send it as it is, not compressed.",
    )


def _compressed(body: bytes, coding: str) -> bytes:
    if coding == "zstd":
        compressed: bytes = zstd.compress(body, LEVEL)
        return compressed
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()


def decompress(body: bytes, content_encoding: str | None, limit: int) -> bytes | bytearray:
    """Unfold a body to at most `limit` bytes.

    TooLarge when it holds more; Malformed when it is damaged, cut off or more than one frame;
    ProtocolError (code coding_unsupported) for a coding that is not spoken here.
    """
    coding = (content_encoding or "identity").strip().lower()
    if coding == "identity":
        if len(body) > limit:
            raise too_large(limit)
        return body
    limit = unfolded(body[:64], len(body), coding, limit)
    try:
        if coding == "zstd" and zstd is not None:
            return _unfold_zstd(body, limit)
        if coding in ("gzip", "x-gzip"):
            return _unfold_gzip(body, limit)
    except (zlib.error, getattr(zstd, "ZstdError", zlib.error)) as error:
        raise Malformed(f"the body is not {coding}: {error}") from error
    raise ProtocolError(
        f"content-encoding {coding[:40]!r} is not spoken here",
        code="coding_unsupported",
        remedy=f"Send the body as it is, or as {' or '.join(CODINGS)}.",
    )


def too_large(limit: int) -> TooLarge:
    """The error for a body of more than `limit` bytes."""
    return TooLarge(f"the body is larger than {limit} bytes, counted after decompression")


def _unfold_zstd(body: bytes, limit: int) -> bytearray:
    options = {zstd.DecompressionParameter.window_log_max: WINDOW_LOG}
    unfolder = zstd.ZstdDecompressor(options=options)
    unfolded = bytearray(unfolder.decompress(body, max_length=min(PIECE, limit + 1)))
    while not unfolder.eof and not unfolder.needs_input and len(unfolded) <= limit:
        unfolded += unfolder.decompress(b"", max_length=min(PIECE, limit + 1 - len(unfolded)))
    if len(unfolded) > limit:
        raise _more_than(limit, body)
    _whole(unfolder.eof, unfolder.unused_data)
    return unfolded


def _unfold_gzip(body: bytes, limit: int) -> bytearray:
    unfolder = zlib.decompressobj(31)
    unfolded = bytearray(unfolder.decompress(body, min(PIECE, limit + 1)))
    while not unfolder.eof and unfolder.unconsumed_tail and len(unfolded) <= limit:
        rest = min(PIECE, limit + 1 - len(unfolded))
        unfolded += unfolder.decompress(unfolder.unconsumed_tail, rest)
    if len(unfolded) > limit:
        raise _more_than(limit, body)
    _whole(unfolder.eof, unfolder.unused_data)
    return unfolded


def _more_than(limit: int, body: bytes) -> TooLarge:
    return _unfolds_too_far() if limit == may_unfold_to(len(body)) else too_large(limit)


def _whole(ended: bool, rest: bytes) -> None:
    if not ended:
        raise Malformed("the compressed body is cut off")
    if rest:
        raise Malformed("something follows the compressed body; send it as one frame")
