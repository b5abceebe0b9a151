"""What was pushed and taken, kept for a while: a centre that goes back in time is offered it again.

A kept push is the frozen one, byte for byte, without what of it was rejected. The limits of the hub say for
how long; besides, the oldest go when all of them together are large.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from syncline.protocol.body import imprint
from syncline.protocol.messages import Verdict
from syncline.replica.bodies import sweep_bodies
from syncline.replica.settled import sweep_settled
from syncline.replica.store import Store, pack, queries, unpack
from syncline.replica.whose import without

LARGEST = 64 * 1024 * 1024
"""Bytes of all kept pushes together."""

SWEEP_EVERY = 100
"""Old ones are looked for with every so many pushes, and with every large one."""

MOST = 10_000
"""Kept pushes that the hub is asked about; all but the newest are far in the past then."""

LARGE = 1024 * 1024
"""Bytes of a push that is large."""

FIRST = -(1 << 60)
"""Below the numbers of all pushes that wait to be offered again."""

_QUERIES = queries("syncline.replica", "sent.sql")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a kept push. `refused`: [table number, key] of what was rejected; `bases`: the watermarks
    that its edits stand on."""

    fingerprint: str | None
    refused: list[list[Any]]
    bases: list[str]
    digest: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """A kept push: a position that has seen it, and the imprint of its stamps. `number`: the pushes are kept
    in this order."""

    number: int
    horizon: str
    imprint: bytes
    made: int
    """When the hub decided it, by its own clock: milliseconds since 1970 UTC."""


@dataclass(frozen=True, slots=True)
class Marked:
    """All stamps that a push told, the marks beside them (`replica.whose`), and those of the stamps whose
    edits were `rejected`. Offered again, it must not tell these: the hub would take them for accepted."""

    stamps: bytes
    marks: bytes | None = None
    rejected: Collection[bytes] = ()


def keep_sent(store: Store, verdict: Verdict, told: Marked, seconds: int) -> None:
    """Keep the push in flight, which the hub has taken, for `seconds`. Inside the transaction that clears it.
    Where the verdict says no position, `place` will.

    The bodies of a large one stay where they are, that of a small one is copied inside the file: none is read
    into memory here (law L11).
    """
    refused = [[rejection.table, rejection.key] for rejection in verdict.rejected if not rejection.columns]
    keep_pushed(store, told, verdict.horizon or None, verdict.made, pack(refused) if refused else None)
    size = store.value(_QUERIES["size"])
    if verdict.number % SWEEP_EVERY == 0 or size > LARGE:
        sweep_sent(store, seconds)


def keep_pushed(
    store: Store, told: Marked, horizon: str | None, made: int, refused: bytes | None = None
) -> None:
    """Keep the push in flight, which the position `horizon` has seen. `made`: when the first of its edits
    were decided, as `Kept.made`. `refused`: packed, what of it was rejected. Inside the transaction that
    clears it."""
    stamps, marks = without(told.stamps, told.marks, told.rejected)
    values = {"refused": refused, "largest": LARGEST, "stamps": stamps or None, "marks": marks}
    more = {"horizon": horizon, "imprint": imprint(told.stamps), "made": made}
    store.execute(_QUERIES["keep"], values | more)


def sweep_sent(store: Store, seconds: int, largest: int = LARGEST) -> None:
    """Forget what is older than `seconds`, and the oldest beyond `largest` bytes."""
    store.execute(_QUERIES["drop_old"], (seconds,))
    store.execute(_QUERIES["drop_large"], (largest,))
    sweep_bodies(store)
    sweep_settled(store, seconds)


def place(store: Store, horizon: str) -> None:
    """The position that the pull has led to which came with the last push."""
    store.execute(_QUERIES["place"], (horizon,))


def kept_pushes(store: Store) -> list[Kept]:
    """The pushes that are kept, newest first."""
    return [Kept(*row) for row in store.rows(_QUERIES["kept"], (MOST,))]


def kept_stamps(store: Store, number: int) -> bytes:
    """The stamps of a kept push."""
    return b"".join(stamps for (stamps,) in store.rows(_QUERIES["stamps"], (number,)))


def kept_marks(store: Store, number: int) -> tuple[bytes, bytes | None]:
    """The stamps of a kept push, and the marks beside them."""
    row = store.row(_QUERIES["marks"], (number,))
    return (b"", None) if row is None else (row[0], row[1])


def tell_less(store: Store, number: int, gone: Collection[bytes]) -> None:
    """A kept push tells these stamps no more."""
    stamps, marks = without(*kept_marks(store, number), gone)
    store.execute(_QUERIES["tell"], (stamps or None, marks, number))


def split(store: Store, number: int) -> int:
    """A second kept push like this one; its number. Inside a transaction that says of both what of the rows
    is not in them."""
    store.execute(_QUERIES["split"], (number,))
    made: int = store.value(_QUERIES["newest"])
    return made


def waiting(store: Store) -> list[int]:
    """The numbers of the pushes that wait to be offered again."""
    return [number for (number,) in store.rows(_QUERIES["waiting"])]


def sent_schemas(store: Store) -> list[str]:
    """The fingerprints of the schemas that kept pushes were made with."""
    return [name for (name,) in store.rows(_QUERIES["schemas"])]


def sent_bases(store: Store, most: int) -> list[list[str]]:
    """What the newest kept pushes stand on, newest first."""
    return [json.loads(bases) for (bases,) in store.rows(_QUERIES["bases"], (most,))]


def made(store: Store, number: int) -> int:
    """When a kept push was decided, as `Kept.made`."""
    return int(store.value(_QUERIES["made"], (number,)))


def parts_of(store: Store, number: int) -> list[tuple[int, int]]:
    """The parts of a kept push, for `read_part`."""
    return store.rows(_QUERIES["parts"], (number,))


def lose(store: Store, numbers: Iterable[int]) -> None:
    """The centre has lost these pushes: they wait to be offered again, before what waits already."""
    newest_first = sorted(numbers, reverse=True)
    first = _first_lost(store)
    store.executemany(
        _QUERIES["lose"], ((place, taken) for place, taken in enumerate(newest_first, first + 1))
    )


def found_again(store: Store, number: int, horizon: str, made: int) -> None:
    """The centre has all edits of this push, by whatever pushes, as of the position `horizon`: it is kept on,
    and waits no longer if it did. `made`: when the first of these were decided."""
    told = {"horizon": horizon, "made": made, "imprint": imprint(kept_stamps(store, number))}
    store.execute(_QUERIES["found_again"], {"number": number} | told)


def note_refused(store: Store, place: tuple[int, int], refused: Sequence[Sequence[Any]]) -> None:
    """All that was rejected of one part of a kept push; as `Part.refused`."""
    store.execute(_QUERIES["refuse"], (pack(list(refused)), *place))


def put_back(store: Store) -> None:
    """The push in flight, which was offered again, waits once more, before all others."""
    store.execute(_QUERIES["put_back"], (_first_lost(store) + 1,))


def _first_lost(store: Store) -> int:
    first: int | None = store.value(_QUERIES["first_lost"])
    return FIRST if first is None else first


def next_lost(store: Store) -> list[tuple[int, int]]:
    """The parts, in order, of the push to offer next, by number and part; none if nothing waits."""
    parts: list[tuple[int, int]] = store.rows(_QUERIES["lost"])
    return [part for part in parts if part[0] == parts[0][0]]


def lost_bodies(store: Store) -> Iterator[tuple[str, bytes]]:
    """Digest and body of everything that waits, one at a time."""
    for place in store.rows(_QUERIES["lost"]):
        kept = read_part(store, place)
        yield kept.digest, kept.body


def read_part(store: Store, place: tuple[int, ...]) -> Part:
    """One part of a kept push, by number and part."""
    row = store.row(_QUERIES["one"], place)
    assert row is not None, "it was found a moment ago"
    fingerprint, refused, bases, digest, body = row
    return Part(fingerprint, unpack(refused) if refused else [], json.loads(bases), digest, body)


def forget_sent(store: Store, number: int) -> None:
    """Forget one push."""
    store.execute(_QUERIES["forget"], (number,))
    sweep_bodies(store)
