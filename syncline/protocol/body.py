"""Groups and their canonical bytes: what a digest is taken of.

The canonical form of `list[Group]` and `list[PushGroup]` is their positional MessagePack encoding as
msgspec writes it (shortest integer forms, 64-bit floats); `docs/protocol.md` has test vectors.
"""

from __future__ import annotations

import hashlib

import msgspec
from msgspec import Raw

from syncline.errors import DigestMismatch, Malformed, ValueRefused
from syncline.protocol.messages import Group, PushGroup

_encoder = msgspec.msgpack.Encoder()
_groups = msgspec.msgpack.Decoder(list[Group])
_push_groups = msgspec.msgpack.Decoder(list[PushGroup])


def seal(groups: list[Group] | list[PushGroup]) -> tuple[bytes, str]:
    """Return the canonical bytes of groups and their SHA-256 in hex."""
    try:
        body = _encoder.encode(groups)
    except (UnicodeEncodeError, OverflowError) as error:
        raise ValueRefused(f"a value cannot be encoded: {error}") from error
    return body, hashlib.sha256(body).hexdigest()


def open_groups(body: Raw | bytes, digest: str) -> list[Group]:
    """Check the digest and decode what a hub sent."""
    _check(bytes(body), digest)
    try:
        return _groups.decode(body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise Malformed(f"rows of the hub cannot be read: {error}") from error


def open_push(body: Raw | bytes, digest: str) -> list[PushGroup]:
    """Check the digest and decode what a replica sent."""
    _check(bytes(body), digest)
    try:
        return _push_groups.decode(body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise Malformed(f"rows of the push cannot be read: {error}") from error


def _check(body: bytes, digest: str) -> None:
    if hashlib.sha256(body).hexdigest() != digest:
        raise DigestMismatch("the SHA-256 of the rows is not the one announced")


def undelta(numbers: list[int]) -> list[int]:
    """Turn first-and-differences into absolute numbers."""
    total, result = 0, []
    for number in numbers:
        total += number
        result.append(total)
    return result


def delta(numbers: list[int]) -> list[int]:
    """The inverse of `undelta`."""
    last, result = 0, []
    for number in numbers:
        result.append(number - last)
        last = number
    return result
