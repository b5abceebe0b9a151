"""Who a retry of a rejected edit is: the same in every copy of the file.

A retry is a new edit. But a file that is put back to before it may make it once more, and so may a copy. So
the log entries that it makes get stamps that are derived from those of the rejected edit and from what is
retried, and count as captured before the file took its present id: the hub looks whether it has them
(`replica.identity`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from syncline.protocol.messages import STAMP_BYTES
from syncline.replica.device import Device
from syncline.replica.pending import of_logs
from syncline.replica.store import Store, pack

IS_RETRIED = "stamp IN (SELECT stamp FROM _sync_retried)"
"""Whether an entry of a change log is of a retry, as SQL."""


class Retry:
    """One retry: made before its first statement. `stamps`: of the rejected edit. Inside a transaction."""

    def __init__(self, device: Device, stamps: bytes) -> None:
        self._device, self._stamps, self._ends = device, stamps, self._look(device)

    @staticmethod
    def _look(device: Device) -> dict[int, int | None]:
        return of_logs(device.store, device.tables.values(), "SELECT max(seq) FROM {log}")

    def mark(self, what: Sequence[object]) -> None:
        """After its last statement. `what`: table, key, operation, columns."""
        store = self._device.store
        for n, end in self._look(self._device).items():
            t, before = self._device.tables[n], self._ends[n] or 0
            if end is None or end <= before:
                continue
            made = store.rows(f"SELECT seq FROM {t.log} WHERE seq > ? ORDER BY seq", (before,))
            for ordinal, (seq,) in enumerate(made):
                told = self._stamps + pack([*what, n, ordinal])
                stamp = hashlib.sha256(told).digest()[:STAMP_BYTES]
                store.execute(f"UPDATE {t.log} SET stamp = ? WHERE seq = ?", (stamp, seq))
                store.execute("INSERT OR IGNORE INTO _sync_retried VALUES (?)", (stamp,))


def forget_retried(store: Store, stamps: Iterable[bytes]) -> None:
    """The entries with these stamps have left the logs."""
    if any_retried(store):
        store.executemany("DELETE FROM _sync_retried WHERE stamp = ?", ((stamp,) for stamp in stamps))


def any_retried(store: Store) -> bool:
    """Whether a log may have entries of a retry."""
    return store.row("SELECT 1 FROM _sync_retried LIMIT 1") is not None
