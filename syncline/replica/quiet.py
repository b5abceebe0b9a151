"""Triggers of the application that must not run while the hub's rows are written.

What a trigger on a tracked table does to tracked tables was done in the centre, or on the device where
the edit was made, and comes from the hub as rows. Run again here it would be done twice. Such triggers
are taken out and put back inside the transaction that applies, which nobody else sees. All others run:
an application's own search index follows what the hub sends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from syncline.replica import capture
from syncline.replica.device import Device
from syncline.replica.store import quote

_BODY = re.compile(r"\bBEGIN\b", re.IGNORECASE)


@contextmanager
def quiet_triggers(device: Device) -> Iterator[None]:
    """Inside the block the triggers meant above are gone. Inside a transaction."""
    found = meddling(device)
    for name, _, _ in found:
        device.store.execute(f"DROP TRIGGER {quote(name)}")
    yield
    for _, _, sql in found:
        device.store.execute(sql)
    for table in {table.lower() for _, table, _ in found}:
        for t in device.tables.values():
            if t.table.name.lower() == table:
                capture.install(device.store, t)


def meddling(device: Device) -> list[tuple[str, str, str]]:
    """Name, table and text of the application's triggers on tracked tables that name tracked tables."""
    tracked = [t.table.name.lower() for t in device.tables.values()]
    return [
        (name, table, sql)
        for name, table, sql in device.store.rows(
            "SELECT name, tbl_name, sql FROM sqlite_master"
            " WHERE type = 'trigger' AND name NOT GLOB '_sync_*' ORDER BY rowid"
        )
        if table.lower() in tracked and _names_one(sql, tracked)
    ]


def _names_one(sql: str, tables: Iterable[str]) -> bool:
    """Whether the trigger's body has the name of one of the tables as a word. Rather once too often."""
    parts = _BODY.split(sql.lower(), maxsplit=1)
    body = parts[-1].replace('""', '"')
    return any(re.search(rf"(?<!\w){re.escape(table)}(?!\w)", body) for table in tables)
