"""How a replica stands, read from the file alone."""

from __future__ import annotations

from syncline.replica.conflicts import conflicts
from syncline.replica.device import Device
from syncline.replica.lost import lost, unable
from syncline.replica.pending import pending_edits
from syncline.replica.plan import left_out
from syncline.replica.reports import Status
from syncline.replica.store import Store
from syncline.replica.waiting import count_waiting


def status(store: Store) -> Status:
    """The whole of it, as of one instant; of a file that is no replica yet, that it is none."""
    if not store.is_replica:
        return Status(None, store.path, None, None, (), {}, None, None, None, None, 0, 0, 0, 0)
    with store.read():
        state = store.state()
        notes = conflicts(store, open_only=False)
        device = Device.load(store) if store.is_filled else None
        return Status(
            id=state.replica,
            file=store.path,
            hub=state.hub,
            hub_url=state.hub_url,
            tables=tuple(store.numbers()),
            pending={} if device is None else pending_edits(device),
            in_flight=store.value("SELECT number FROM _sync_outbox"),
            watermark=state.watermark,
            schema=state.fingerprint,
            last_sync=state.last_sync,
            conflicts=len(notes),
            open_conflicts=sum(note.outcome == "open" for note in notes),
            rejected=store.value("SELECT count(*) FROM _sync_rejected"),
            hidden=store.value(
                "SELECT (SELECT count(*) FROM _sync_parked)"
                " + (SELECT count(*) FROM _sync_held WHERE reason IS NULL)"
            ),
            left_out=() if device is None else tuple(t.name for t in left_out(device, device.hub)),
            uncaptured=() if device is None else _uncaptured(device),
            waiting_count=count_waiting(store),
            unable=() if device is None else tuple(unable(device)),
            changed={} if device is None else changed_tables(device),
            hub_id=state.hub,
        )


def _uncaptured(device: Device) -> tuple[str, ...]:
    """The tables that are still to be compared: also those that were aside, and would fit by now."""
    told = {one.table for one in unable(device)}
    back = [t.table.name for t in device.aside.values() if t.table.name not in told]
    return tuple(device.tables[n].table.name for n in lost(device.store)) + tuple(back)


def changed_tables(device: Device) -> dict[str, str]:
    """The tables of the file that were changed in the centre in a way it cannot follow, and how."""
    ours = {t.table.name for t in device.tables.values()}
    tables, reasons = device.retired.tables, device.retired.changed
    return {tables[n].name: why for n, why in reasons.items() if n in tables and tables[n].name not in ours}
