"""Who a retry of a rejected edit is: the same in every copy of the file.

A retry is a new edit. But a file that is put back to before it may make it once more, and so may a copy. So
the log entries that it makes have stamps that are derived from those of the rejected edit, one of each, and
from the row that is retried; they count as captured before the file took its present id: the hub looks
whether it has them (`replica.identity`). A copy may have refused, and retried, a part of the edit alone: the
two have a stamp in common.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from syncline.protocol.body import each_stamp
from syncline.protocol.messages import STAMP_BYTES
from syncline.replica.device import Device
from syncline.replica.pending import of_logs
from syncline.replica.store import Store, pack

IS_RETRIED = "stamp IN (SELECT stamp FROM _sync_retried)"
"""Whether an entry of a change log is of a retry, as SQL."""

TOLD = (
    "CASE WHEN (SELECT 1 FROM _sync_retried LIMIT 1) IS NULL THEN l.stamp"
    " ELSE coalesce((SELECT r.told FROM _sync_retried r WHERE r.stamp = l.stamp), l.stamp) END"
)
"""The stamps that an entry `l` of a change log is told by, as SQL."""

MOST_PARTS = 1_000
"""Stamps of a rejected edit of which each has its own in the retry; of more, all have one."""


def derived(stamps: bytes, what: Sequence[object]) -> bytes:
    """The stamps of a retry. `what` tells it from others: table, key, which of its entries."""
    parts = each_stamp(stamps) if len(stamps) <= MOST_PARTS * STAMP_BYTES else [stamps]
    told = pack(list(what))
    return b"".join(hashlib.sha256(stamp + told).digest()[:STAMP_BYTES] for stamp in parts)


def of_row(stamps: bytes, what: Sequence[object]) -> bytes:
    """Those of the entry of the row itself; `what` as for `Retry.mark`."""
    return derived(stamps, [*what, what[0], 0])


class Retry:
    """One retry: made before its first statement. `stamps`: of the rejected edit; `made`: when it was
    rejected, as in `_sync_retried`. Inside a transaction."""

    def __init__(self, device: Device, stamps: bytes, made: int | None) -> None:
        self._device, self._stamps, self._made = device, stamps, made
        self._ends = self._look(device)

    @staticmethod
    def _look(device: Device) -> dict[int, int | None]:
        return of_logs(device.store, device.tables.values(), "SELECT max(seq) FROM {log}")

    def mark(self, what: Sequence[object]) -> bytes:
        """After its last statement; the stamps that it is told by. `what`: table, key, and the columns if
        they are not all that were edited."""
        store, told = self._device.store, list[bytes]()
        for n, end in self._look(self._device).items():
            t, before = self._device.tables[n], self._ends[n] or 0
            if end is None or end <= before:
                continue
            made = store.rows(f"SELECT seq FROM {t.log} WHERE seq > ? ORDER BY seq", (before,))
            for ordinal, (seq,) in enumerate(made):
                told.append(derived(self._stamps, [*what, n, ordinal]))
                stamp = told[-1][:STAMP_BYTES]
                store.execute(f"UPDATE {t.log} SET stamp = ? WHERE seq = ?", (stamp, seq))
                row = stamp, told[-1], self._made
                store.execute("INSERT OR IGNORE INTO _sync_retried VALUES (?, ?, ?)", row)
        return b"".join(told)


def forget_retried(store: Store, stamps: Iterable[bytes]) -> None:
    """The entries with these stamps have left the logs."""
    if any_retried(store):
        store.executemany("DELETE FROM _sync_retried WHERE stamp = ?", ((stamp,) for stamp in stamps))


def any_retried(store: Store) -> bool:
    """Whether a log may have entries of a retry."""
    return store.row("SELECT 1 FROM _sync_retried LIMIT 1") is not None


def told_by(store: Store, stamps: Iterable[bytes]) -> bytes:
    """What the log entries with these stamps are told by, in their order."""
    known: dict[bytes, bytes] = {}
    if any_retried(store):
        known = dict(store.rows("SELECT stamp, told FROM _sync_retried"))
    return b"".join(known.get(stamp, stamp) for stamp in stamps)


@dataclass(frozen=True, slots=True)
class Again:
    """The stamps of retries, besides those that the hub has said are done: those that are done as well, and
    those of which the hub has a part, or may have."""

    done: frozenset[bytes]
    in_part: frozenset[bytes]


def retried_of(store: Store, taken: Iterable[bytes]) -> Again:
    """What was rejected here, and retried, and which the centre has `taken` by a push of a copy."""
    those, done, in_part = set(taken), set[bytes](), set[bytes]()
    for stamps, again in store.rows("SELECT stamps, again FROM _sync_settled WHERE again <> '' ORDER BY id"):
        edits = set(each_stamp(stamps))
        if those.isdisjoint(edits):
            continue
        made = set(each_stamp(again))
        done |= made
        if not edits <= those:
            in_part |= made
        those |= made
    return Again(frozenset(done), frozenset(in_part))
