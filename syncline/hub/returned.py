"""What counters had of others when a row came back, after the centre was put back, from a device that did not
make it.

The device brings the row as it shows it: with what it had seen of others, who offer their increments too. As
long as nobody offers the insert of the row nobody knows better. Then the counters are what was inserted, and
what has been offered since: what the row was brought back with is taken off again (law L3).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import msgspec

from syncline.hub.contract import Key, WriteTransaction
from syncline.hub.contract.kept import as_kept
from syncline.model.values import Value

SETTING = "returned"
"""The setting that it is kept under."""

MOST = 10_000
"""Rows of which it is kept, the newest. Of others counters may count twice."""

_Kept = list[tuple[int, list[Any], dict[int, Any]]]
_decoder = msgspec.msgpack.Decoder(_Kept)


class ReturnedRows:
    """Of which rows it is known. Inside a transaction."""

    def __init__(self, transaction: WriteTransaction) -> None:
        self._ledger = transaction.ledger
        self._changed: dict[tuple[int, Key], Mapping[int, Value]] = {}
        self._known: dict[tuple[int, Key], Mapping[int, Value]] | None = None

    def of(self, table: int, key: Key) -> Mapping[int, Value]:
        """By the number of a counter: what it had of others. Nothing, if that is not known."""
        if self._known is None:
            self._known = _read(self._ledger.setting(SETTING))
        return self._changed.get((table, key), self._known.get((table, key), {}))

    def note(self, table: int, key: Key, amounts: Mapping[int, Value]) -> None:
        """So much it has now; nothing, once the insert has been offered."""
        if amounts or self.of(table, key):
            self._changed[table, key] = amounts

    def save(self) -> None:
        """Keep what was noted."""
        if not self._changed:
            return
        rows = _read(self._ledger.lock_new_setting(SETTING))
        for place, amounts in self._changed.items():
            rows.pop(place, None)
            if amounts:
                rows[place] = amounts
        newest = list(rows.items())[-MOST:]
        kept = [(table, list(key), dict(amounts)) for (table, key), amounts in newest]
        self._ledger.set(SETTING, base64.b64encode(msgspec.msgpack.encode(kept)).decode())


def _read(content: str | None) -> dict[tuple[int, Key], Mapping[int, Value]]:
    with as_kept("a setting"):
        kept = _decoder.decode(base64.b64decode(content)) if content else []
    return {(table, tuple(key)): amounts for table, key, amounts in kept}
