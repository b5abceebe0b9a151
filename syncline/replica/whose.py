"""Which stamps of a push are of which of its rows: what is told and kept of a push are its stamps, one after
the other.

When it is offered again, its entries have left the change logs. Then a row of it may be rejected, or may have
been brought by a copy of the file, and the others not. Where every row has one stamp nothing is noted: the
clocks of a table's entries grow with them, so that the order of its rows by their clocks is that of the
stamps. Otherwise a mark of its row stands beside each stamp.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence

from syncline.protocol.body import count_rows, each_stamp, open_push, undelta
from syncline.protocol.messages import STAMP_BYTES, STAMPS_TOLD, PushGroup
from syncline.replica.edge import outward_key
from syncline.replica.freeze import Frozen
from syncline.replica.overlay import Key
from syncline.replica.retried import TOLD, any_retried
from syncline.replica.statements import Statements
from syncline.replica.store import Store, pack

Place = tuple[int, Key]
"""Number of a table, and a key as it is sent."""

Bodies = Callable[[], Iterable[tuple[str, bytes]]]
"""Digest and body of every part of a push."""


def mark_of(n: int, key: Sequence[object]) -> bytes:
    """What stands beside the stamps of a row; as long as one of them."""
    return _mark((n, *key))


def _mark(place: Sequence[object]) -> bytes:
    return hashlib.blake2b(pack(place), digest_size=STAMP_BYTES).digest()


def needs_marks(stamps: bytes, rows: int) -> bool:
    """Whether it is not known already which stamps of a push with so many rows are whose."""
    return rows > 1 and rows * STAMP_BYTES != len(stamps) and len(stamps) < STAMPS_TOLD * STAMP_BYTES


def marks_of_log(store: Store, t: Statements, condition: str) -> Iterator[bytes]:
    """The marks beside the stamps of the entries `l` of a change log that fulfil the condition, in order,
    those of many entries at a time."""
    place = ", ".join([str(int(t.n)), *(f"l.k{i}" for i in range(t.arity))])
    entries = f"FROM {t.log} l WHERE {condition} ORDER BY seq"
    if t.converts or any_retried(store):
        for batch in store.batches(f"SELECT length({TOLD}), {place} {entries}"):
            for size, n, *key in batch:
                yield mark_of(n, outward_key(t, key)) * (size // STAMP_BYTES)
    else:
        for batch in store.batches(f"SELECT {place} {entries}"):
            yield b"".join(map(_mark, batch))


def marks_in_flight(
    store: Store, frozen: Frozen, stamps: bytes, covered: Iterable[tuple[Statements, int]]
) -> bytes | None:
    """The marks of the push in flight, of the edits up to the entries `covered`; None if there need be
    none."""
    if len(stamps) <= STAMP_BYTES or not needs_marks(stamps, frozen.rows or count_rows(frozen.body)):
        return None
    found = bytearray()
    for t, cut in covered:
        for mark in marks_of_log(store, t, f"l.seq <= {int(cut)}"):
            found += mark
    return bytes(found) if len(found) == len(stamps) else None


def whose(
    stamps: bytes,
    marks: bytes | None,
    bodies: Bodies,
    refused: Container[Place],
    wanted: Container[Place] | None,
) -> dict[Place, bytes] | None:
    """The stamps of the rows of a push, or of those that are `wanted`, without those that were `refused`;
    None if that is not known."""
    if len(stamps) >= STAMPS_TOLD * STAMP_BYTES:
        return None
    if marks is not None:
        return _by_marks(stamps, marks, bodies, refused, wanted)
    clocks: dict[int, array[int]] = {}
    found: dict[Place, int] = {}
    for n, key, hlc in _rows(bodies, refused):
        clocks.setdefault(n, array("q")).append(hlc)
        if wanted is None or (n, key) in wanted:
            found[n, key] = hlc
    rows = sum(map(len, clocks.values()))
    if rows == 1:
        return dict.fromkeys(found, stamps)
    if rows * STAMP_BYTES != len(stamps):
        return None
    first, starts, ordered = 0, dict[int, int](), dict[int, list[int]]()
    for n in sorted(clocks):
        ordered[n] = sorted(clocks[n])
        if any(one == two for one, two in zip(ordered[n], ordered[n][1:], strict=False)):
            return None
        starts[n], first = first, first + len(ordered[n])
    places = {place: starts[place[0]] + bisect_left(ordered[place[0]], hlc) for place, hlc in found.items()}
    return {place: stamps[at * STAMP_BYTES :][:STAMP_BYTES] for place, at in places.items()}


def _by_marks(
    stamps: bytes, marks: bytes, bodies: Bodies, refused: Container[Place], wanted: Container[Place] | None
) -> dict[Place, bytes] | None:
    if len(marks) != len(stamps):
        return None
    by_mark: dict[bytes, Place] = {}
    for n, key, _ in _rows(bodies, refused):
        if wanted is None or (n, key) in wanted:
            by_mark[mark_of(n, key)] = n, key
    found: dict[Place, bytearray] = {}
    for stamp, mark in zip(each_stamp(stamps), each_stamp(marks), strict=True):
        if mark in by_mark:
            found.setdefault(by_mark[mark], bytearray()).extend(stamp)
    if len(found) < len(by_mark):
        return None  # it was made with another schema
    return {place: bytes(own) for place, own in found.items()}


def _rows(bodies: Bodies, refused: Container[Place]) -> Iterator[tuple[int, Key, int]]:
    for digest, body in bodies():
        for group in open_push(body, digest):
            yield from _of_group(group, refused)


def _of_group(group: PushGroup, refused: Container[Place]) -> Iterator[tuple[int, Key, int]]:
    arity = len(group.rows[0]) - len(group.columns) if group.rows else 0
    for row, hlc in zip(group.rows, undelta(group.hlc), strict=True):
        key = tuple(row[:arity])
        if (group.table, key) not in refused:
            yield group.table, key, hlc


def without(stamps: bytes, marks: bytes | None, gone: Collection[bytes]) -> tuple[bytes, bytes | None]:
    """The stamps, and the marks beside them, without those that are gone."""
    if not gone:
        return stamps, marks
    if marks is None:
        return b"".join(stamp for stamp in each_stamp(stamps) if stamp not in gone), None
    pairs = [pair for pair in zip(each_stamp(stamps), each_stamp(marks), strict=True) if pair[0] not in gone]
    return b"".join(stamp for stamp, _ in pairs), b"".join(mark for _, mark in pairs)
