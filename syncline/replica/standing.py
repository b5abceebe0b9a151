"""How a replica stands, read from the file alone."""

from __future__ import annotations

from syncline.model.naming import folded
from syncline.model.schema import TableSchema
from syncline.replica.conflicts import conflicts
from syncline.replica.device import Device
from syncline.replica.lost import lost, unable
from syncline.replica.pending import pending_edits
from syncline.replica.plan import left_out, tables_in
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
            left=() if device is None else left_tables(device),
            hub_id=state.hub,
        )


def _uncaptured(device: Device) -> tuple[str, ...]:
    """The tables that are still to be compared: also those that were aside, and would fit by now."""
    told = {one.table for one in unable(device)}
    back = [t.table.name for t in device.aside.values() if t.table.name not in told]
    return tuple(device.tables[n].table.name for n in lost(device.store)) + tuple(back)


def changed_tables(device: Device) -> dict[str, str]:
    """The tables of the file that were changed in the centre in a way it cannot follow, or went with one that
    was, and how. One that the application drops or renames is none any more."""
    reasons = device.retired.changed
    return {table.name: reasons[n] for n, table in _retired(device).items() if n in reasons}


def left_tables(device: Device) -> tuple[str, ...]:
    """The other tables of the file that take no part in the centre any more."""
    listed = {table.name for table in left_out(device, device.hub)}
    found = {table.name for n, table in _retired(device).items() if n not in device.retired.changed}
    return tuple(sorted(found - listed))


def _retired(device: Device) -> dict[int, TableSchema]:
    """The tables that are still in the file and take part no longer, under no number."""
    retired = device.retired.tables
    if not retired:
        return {}
    here = tables_in(device.store) - {
        folded(table.name) for table in device.schema.tables if table.number in device.tracked
    }
    newest = {folded(table.name): n for n, table in sorted(retired.items())}
    return {n: retired[n] for name, n in newest.items() if name in here}
