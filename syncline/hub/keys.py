"""The hub's secret: what its tokens are sealed with (`hub.watermark`).

It is made once, at random, and kept in the ledger: all servers of a hub share it, and it goes with the
database into a backup and back. It stands in no message, log or error.
"""

from __future__ import annotations

import json
import secrets

from syncline.hub.contract import Ledger, ReadLedger
from syncline.hub.contract.kept import kept_json
from syncline.hub.watermark import KEY_BYTES

NAME = "secret"
"""Under which setting it is kept."""


def read(ledger: ReadLedger) -> bytes | None:
    """The secret; None if none was made yet."""
    return _secret(ledger.setting(NAME))


def read_or_make(ledger: Ledger) -> bytes:
    """The secret. Of two servers that would make it at the same time the second waits and finds it."""
    found = read(ledger)
    if found is None:
        found = _secret(ledger.lock_new_setting(NAME))
    if found is None:
        found = secrets.token_bytes(KEY_BYTES)
        ledger.set(NAME, json.dumps(found.hex()))
    return found


def _secret(kept: str | None) -> bytes | None:
    return None if kept is None else bytes.fromhex(kept_json("a setting", kept))
