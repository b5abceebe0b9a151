"""Triggers of the application that must not run while the hub's rows are written.

What a trigger writes into tracked tables was done in the centre, or on the device where the edit was made,
and comes from the hub as rows. Run again here it would be done twice. Such triggers, on whichever table or
view, are taken out and put back inside the transaction that applies, which nobody else sees. All others
run: an application's own search index follows what the hub sends, whatever tables it reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from syncline.model.naming import folded
from syncline.replica import capture
from syncline.replica.device import Device
from syncline.replica.redefine import drop_trigger, make_trigger
from syncline.replica.store import Store
from syncline.sqlitekit.triggers import Trigger, reaching, read_trigger


@contextmanager
def quiet_triggers(device: Device) -> Iterator[Sequence[Trigger]]:
    """Inside the block the triggers meant above are gone; given are those that run. Inside a transaction.

    One that would undo the whole transaction (RAISE (ROLLBACK)) undoes its statement meanwhile."""
    store, found = device.store, application_triggers(device.store)
    if not found:
        yield ()
        return
    away = reaching(found, [t.table.name for t in device.tables.values()])
    running = [one for one in found if one not in away]
    changed = [one for one in running if one.settling != one.sql]
    for one in (*away, *changed):
        drop_trigger(store, one)
    for one in changed:
        make_trigger(store, one, one.settling)
    yield running
    for one in changed:
        drop_trigger(store, one)
    for one in sorted((*away, *changed), key=found.index):
        make_trigger(store, one, one.sql)
    touched = {one.on for one in (*away, *changed)}
    for t in device.tables.values():
        if folded(t.table.name) in touched:
            capture.install(store, t)


def application_triggers(store: Store) -> list[Trigger]:
    """All triggers of the file that are not Syncline's, in the order of their making."""
    rows = store.described(
        "SELECT name, tbl_name, sql FROM sqlite_master"
        " WHERE type = 'trigger' AND name NOT GLOB '_sync_*' ORDER BY rowid"
    )
    return [read_trigger(*row) for row in rows]
