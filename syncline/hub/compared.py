"""The stamps that a file asks for, compared with those that are remembered (see `hub.identity`).

There may be millions on either side, and comparing them takes seconds. So they are compared in a read
transaction first, while others write (law L13); in the transaction that then writes only those are that were
remembered since.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from syncline.hub.contract import ReadLedger, Remembered, Stamped
from syncline.hub.contract.kept import as_kept
from syncline.protocol.body import each_stamp, imprint
from syncline.protocol.messages import STAMP_BYTES, Reconcile, Rejection

Compared = frozenset[Remembered]
"""Pushes that have none of some stamps."""

PIECE = 65_536
"""Stamps that are compared in one step: no other thread of the process runs in the middle of one."""

_rejections = msgspec.msgpack.Decoder(list[Rejection])


@dataclass(frozen=True, slots=True)
class Found:
    """Which of the stamps asked for were decided, in their order; of each of their pushes of which something
    was rejected those of them that it brought, and what it was; and which pushes these were: id and
    number."""

    done: list[bytes]
    rejected: list[tuple[bytes, list[Rejection]]]
    pushes: set[tuple[str, int]] = field(default_factory=set)
    first: int = 0
    """When the first of them was decided, milliseconds since 1970 UTC; 0 if none was."""


class Sought:
    """What is remembered of the stamps that a file asks for, and of the imprints of the pushes it keeps."""

    def __init__(self, request: Reconcile) -> None:
        self._request = request
        self._asked, self._sent = frozenset(_numbers(request.stamps)), frozenset(each_stamp(request.sent))
        self._seen: set[Remembered] = set()
        self._done: set[int] = set()
        self._found = Found([], [])
        self._first = 0
        self.whole: set[bytes] = set()
        """The imprints of pushes that were taken as a whole."""
        self.own: set[int] = set()
        """The numbers of the pushes with one of the imprints that were made under the file's present id."""

    def compare(self, ledger: ReadLedger, lineages: Collection[str]) -> None:
        """Compare with all that is remembered of these lineages. It takes as long as it takes."""
        if self._asked or self._sent:
            for stamped in ledger.stamps_of(lineages):
                self._note(stamped)

    def up_to_now(self, ledger: ReadLedger, lineages: Collection[str]) -> Sought:
        """The same as of now. Only what was remembered since is compared, unless something is remembered no
        longer: then the centre may have gone back to before it."""
        there = list(ledger.pushes_of(lineages if self._asked or self._sent else ()))
        if not self._seen.issubset(there):
            anew = Sought(self._request)
            anew.compare(ledger, lineages)
            return anew
        for one in there:
            stamped = None if one in self._seen else ledger.stamps(one)
            if stamped is not None:
                self._note(stamped)
        return self

    def found(self) -> Found:
        """What is known of the stamps."""
        done = {_stamp(number) for number in self._done}
        ordered = [stamp for stamp in dict.fromkeys(each_stamp(self._request.stamps)) if stamp in done]
        return Found(ordered, self._found.rejected, self._found.pushes, self._first)

    def _note(self, stamped: Stamped) -> None:
        self._seen.add(place_of(stamped))
        hits = list(_common(self._asked, stamped.tails))
        if hits:
            self._done.update(hits)
            self._found.pushes.add((stamped.replica, stamped.push))
            self._first = min(self._first or stamped.made, stamped.made)
        if hits and stamped.rejected:
            with as_kept("what was rejected"):
                told = b"".join(map(_stamp, hits)), _rejections.decode(stamped.rejected)
            self._found.rejected.append(told)
        mark = imprint(stamped.tails) if self._sent else b""
        if mark in self._sent:
            if not stamped.rejected:
                self.whole.add(mark)
            if stamped.lineage == stamped.replica == self._request.previous:
                self.own.add(stamped.push)


def compared_with(ledger: ReadLedger, lineages: Sequence[str], stamps: bytes) -> Compared:
    """Which of the pushes that are remembered by now of these lineages have none of the stamps."""
    asked = frozenset(_numbers(stamps))
    return frozenset(
        place_of(stamped)
        for stamped in ledger.stamps_of(lineages)
        if next(_common(asked, stamped.tails), None) is None
    )


def is_known(ledger: ReadLedger, lineages: Sequence[str], stamps: bytes, compared: Compared) -> bool:
    """Whether one of the stamps is remembered of these lineages. Of pushes in `compared` none is."""
    asked: frozenset[int] = frozenset()
    for one in ledger.pushes_of(lineages if stamps else ()):
        stamped = None if one in compared else ledger.stamps(one)
        if stamped is not None:
            asked = asked or frozenset(_numbers(stamps))
            if next(_common(asked, stamped.tails), None) is not None:
                return True
    return False


def place_of(stamped: Stamped) -> Remembered:
    """Of which push these are."""
    return Remembered(stamped.lineage, stamped.replica, stamped.push, stamped.made)


def _common(asked: frozenset[int], tails: bytes) -> Iterator[int]:
    """Those of a push's stamps that are asked for."""
    numbers = _numbers(tails)
    for start in range(0, len(numbers) if asked else 0, PIECE):
        yield from asked.intersection(numbers[start : start + PIECE])


def _numbers(stamps: bytes) -> memoryview:
    """Each whole stamp as a number: millions are compared as such."""
    return memoryview(stamps)[: len(stamps) // STAMP_BYTES * STAMP_BYTES].cast("Q")


def _stamp(number: int) -> bytes:
    return number.to_bytes(STAMP_BYTES, sys.byteorder)
