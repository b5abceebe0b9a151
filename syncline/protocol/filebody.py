"""Hydrate by file: where the ready file is, how it travels, how it is checked.

The file is one zstd frame of a complete replica. What is digested, tagged and counted in ranges are the
bytes as they travel (RFC 9110: the representation after its content coding).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator

from syncline.errors import Malformed
from syncline.protocol.compression import LEVEL, WINDOW_LOG, zstd

PATH = "/sync/snapshot.sqlite"
MEDIA_TYPE = "application/vnd.sqlite3"
CODING = "zstd"
DIGEST_HEADER = "Repr-Digest"
"""RFC 9530."""

PIECE = 1024 * 1024
_DIGEST = re.compile(r"(?:^|[,\s])sha-256=:([A-Za-z0-9+/=]+):")


def digest_text(digest: str) -> str:
    """A SHA-256 in hex as the header carries it."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(digest)).decode()}:"


def digest_in(header: str | None) -> str:
    """The SHA-256 in hex from the header. Malformed if it has none."""
    found = _DIGEST.search(header or "")
    try:
        digest = base64.b64decode(found.group(1), validate=True) if found else b""
    except binascii.Error:
        digest = b""
    if len(digest) != 32:
        raise Malformed(f"{DIGEST_HEADER} of the file has no SHA-256")
    return digest.hex()


def packed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces as one zstd frame that carries its own checksum, as they come."""
    parameter = zstd.CompressionParameter
    packer = zstd.ZstdCompressor(options={parameter.compression_level: LEVEL, parameter.checksum_flag: 1})
    for piece in pieces:
        if done := packer.compress(piece):
            yield done
    yield packer.flush()


def unpacked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The inverse of `packed`, at most PIECE bytes at once. Malformed if it is damaged or cut off."""
    options = {zstd.DecompressionParameter.window_log_max: WINDOW_LOG}
    unpacker = zstd.ZstdDecompressor(options=options)
    try:
        for piece in pieces:
            if unpacker.eof:
                raise Malformed("something follows the file")
            yield unpacker.decompress(piece, PIECE)
            while not unpacker.needs_input and not unpacker.eof:
                yield unpacker.decompress(b"", PIECE)
    except zstd.ZstdError as error:
        raise Malformed(f"the file is not {CODING}: {error}") from error
    if not unpacker.eof or unpacker.unused_data:
        raise Malformed("the file is cut off, or something follows it")
