"""Tables that `init` was told by name and that take part no longer by themselves: they lost their key, or are
gone. One of that name takes part again as soon as it can.

Noted in the central database, so that all servers say the same.
"""

from __future__ import annotations

import json

from syncline.hub.contract import Ledger, Prepared, ReadLedger
from syncline.hub.contract.kept import kept_json
from syncline.hub.names import place_of

KEY = "tables_absent"


def read(ledger: ReadLedger) -> frozenset[str]:
    """Their names, with the schema where there is one."""
    return frozenset(kept_json("a setting", ledger.setting(KEY) or "[]"))


def note(ledger: Ledger, prepared: Prepared) -> None:
    """Note those that leave, and no longer those that are back: their name may come to mean another table."""
    assert prepared.before is not None and prepared.schema is not None, "it was prepared before"
    now = prepared.schema.by_number
    gone = {place_of(table) for table in prepared.before.tables if table.number not in now}
    _set(ledger, (read(ledger) | gone) - {place_of(table) for table in prepared.schema.tables})


def forget(ledger: Ledger) -> None:
    """Note that there are none: `init` has said what takes part."""
    _set(ledger, frozenset())


def _set(ledger: Ledger, names: frozenset[str]) -> None:
    if names != read(ledger):
        ledger.set(KEY, json.dumps(sorted(names)))
