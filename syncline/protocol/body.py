"""Groups and their canonical bytes: what a digest is taken of.

The canonical form of `list[Group]` and `list[PushGroup]` is their positional MessagePack encoding as
msgspec writes it (shortest integer forms, 64-bit floats), with columns of uuids packed (`protocol.packing`);
`docs/protocol.md` has test vectors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import msgspec
from msgspec import Raw

from syncline.errors import DigestMismatch, Malformed, ValueRefused
from syncline.protocol.messages import STAMP_BYTES, Detail, Group, PushGroup
from syncline.protocol.packing import array_header, encoded, read_groups, read_push_groups

_encoder = msgspec.msgpack.Encoder()
_details = msgspec.msgpack.Decoder(list[Detail])


class _Head(msgspec.Struct, array_like=True, frozen=True):
    """The first fields of a group."""

    table: int
    op: str


class _Counted(_Head, frozen=True):
    """As much of a `PushGroup` as its rows can be counted by, without taking them apart."""

    columns: list[int]
    rows: list[Raw]


_heads = msgspec.msgpack.Decoder(list[_Head])
_counted = msgspec.msgpack.Decoder(list[_Counted])


def seal(groups: list[Group] | list[PushGroup]) -> tuple[bytes, str]:
    """Return the canonical bytes of groups and their SHA-256 in hex."""
    return _sealed(len(groups), chain.from_iterable(map(_encoded, groups)))


def encode_group(group: Group | PushGroup) -> bytes:
    """One group's part of the canonical bytes, for bodies made piece by piece (see `seal_encoded`)."""
    return b"".join(_encoded(group))


def seal_encoded(groups: Sequence[bytes]) -> tuple[bytes, str]:
    """What `seal` returns, from groups that `encode_group` has encoded."""
    return _sealed(len(groups), groups)


def _encoded(group: Group | PushGroup) -> list[bytes]:
    try:
        return encoded(group)
    except (UnicodeEncodeError, OverflowError) as error:
        raise ValueRefused(f"a value cannot be encoded: {error}") from error


def _sealed(count: int, pieces: Iterable[bytes]) -> tuple[bytes, str]:
    body = b"".join([array_header(count), *pieces])
    return body, hashlib.sha256(body).hexdigest()


def whole_digest(digests: Iterable[str]) -> str:
    """The digest of a push in chunks: SHA-256 over the chunks' digests, 32 bytes each, in order. That of a
    single chunk is the chunk's own, so that a push has one digest however it is sent."""
    found = list(digests)
    return found[0] if len(found) == 1 else hashlib.sha256(b"".join(map(bytes.fromhex, found))).hexdigest()


def chained(before: str, digest: str) -> str:
    """The chain's value after a push with this digest, given that before it ('' before the first), until it
    is decided. Two files that have the same value have made the same pushes."""
    return hashlib.sha256(f"{before}|{digest}".encode()).hexdigest()[:32]


def sealed(link: str, seal: str) -> str:
    """The chain's value after a push, `chained`, that the hub has decided with this `seal`, something random:
    in a past that the centre has gone back from the same push may have been decided otherwise."""
    return f"{link}.{seal}" if seal else link


def link_of(chain: str) -> str:
    """What a value of the chain was before it was `sealed`."""
    return chain.partition(".")[0]


def seal_of(chain: str) -> str:
    """What it was `sealed` with; nothing if it was not."""
    return chain.partition(".")[2]


def count_rows(body: bytes) -> int:
    """How many rows the groups of a push have."""
    return sum(len(group.rows) for group in _counted.decode(body))


def each_stamp(stamps: bytes) -> Iterator[bytes]:
    """The stamps one by one. Half of one at the end is none: requests are held to whole ones
    (`protocol.limits`), and what was kept of an earlier one stands in nobody's way."""
    starts = range(0, len(stamps) - STAMP_BYTES + 1, STAMP_BYTES)
    return (stamps[start : start + STAMP_BYTES] for start in starts)


def imprint(stamps: bytes) -> bytes:
    """8 bytes that stand for all stamps of a push, in their order."""
    return hashlib.sha256(stamps).digest()[:STAMP_BYTES]


def check_digest(body: Raw | bytes, digest: str) -> None:
    """Raise DigestMismatch unless it is the SHA-256 of these groups."""
    _check(bytes(body), digest)


def pack_details(details: list[Detail]) -> bytes:
    """Details as the hub keeps them with a chunk; nothing for none."""
    return _encoder.encode(details) if details else b""


def open_details(packed: bytes) -> list[Detail]:
    """The inverse of `pack_details`."""
    return _details.decode(packed) if packed else []


def open_groups(body: Raw | bytes, digest: str) -> list[Group]:
    """Check the digest and decode what a hub sent."""
    _check(bytes(body), digest)
    try:
        return read_groups(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Malformed(f"rows of the hub cannot be read: {error}") from error


def open_push(body: Raw | bytes, digest: str) -> list[PushGroup]:
    """Check the digest and decode what a replica sent."""
    _check(bytes(body), digest)
    try:
        return read_push_groups(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Malformed(f"rows of the push cannot be read: {error}") from error


def ops_of(body: bytes) -> set[str]:
    """The operations of a push, without its rows being read: nothing else of it is looked at."""
    try:
        return {head.op for head in _heads.decode(body)}
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
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
