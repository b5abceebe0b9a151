"""The rows of the centre that this file does not take, as they are told (`device_constraint`)."""

from __future__ import annotations

from syncline.replica.device import Device
from syncline.replica.reports import WaitingRow
from syncline.replica.store import Store, unpack

TOLD = 100
"""So many are told in the report of a verb."""


def waiting(device: Device, most: int | None = None) -> list[WaitingRow]:
    """The rows, or the first of them, by table and key."""
    rows = device.store.rows(
        "SELECT n, key, reason FROM _sync_held WHERE reason IS NOT NULL ORDER BY n, key LIMIT ?",
        (-1 if most is None else most,),
    )
    found = []
    for n, key, reason in rows:
        table, (named, detail) = device.known(n), unpack(reason)
        name = str(n) if table is None else table.name
        found.append(WaitingRow(table=name, key=tuple(unpack(key)), object=named, detail=detail))
    return found


def count_waiting(store: Store) -> int:
    """How many there are."""
    count: int = store.value("SELECT count(*) FROM _sync_held WHERE reason IS NOT NULL")
    return count
