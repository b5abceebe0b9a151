"""What is not offered again of a push that the centre has lost: edits of rows whose keys are another's by
now, as an earlier push was answered, and of what points at these.

They were made for the rows that are rejected, and are kept with them. The hub cannot tell: it has no more of
the past than what is offered, and would take them for edits of the other's rows (laws L2 and L3).
"""

from __future__ import annotations

from collections.abc import Sequence

from syncline.replica.above import Above
from syncline.replica.device import Device
from syncline.replica.edges import parent_columns
from syncline.replica.lingering import Place, lingering
from syncline.replica.meanwhile import said
from syncline.replica.reconciled import Change, changes, keep_change, leave_out, made_by, whose_rows
from syncline.replica.refusal import another_s, depends_on
from syncline.replica.rejected import Reason
from syncline.replica.sent import kept_stamps, read_part


def withhold(device: Device, parts: Sequence[tuple[int, int]]) -> None:
    """Keep those of the push with these parts as rejected edits; they are in it no longer. Inside a
    transaction."""
    taken = lingering(device)
    if not taken:
        return
    number, store = parts[0][0], device.store
    rows, stamps = whose_rows(device, number), kept_stamps(store, number)
    without, size = set[Place](), -1
    while len(without) > size:  # what points at what was found, too
        size = len(without)
        for place in parts:
            for change in changes(device, read_part(store, place)):
                where = change[0], tuple(change[1])
                reason = None if where in without else _reason(device, taken, change)
                if reason is not None:
                    without.add(where)
                    keep_change(device, change, reason, made_by(stamps, rows, change))
                    if change[2] in ("I", "R"):
                        taken.setdefault(_row(device, change), reason.parent)
    leave_out(device, number, rows, without)


def _row(device: Device, change: Change) -> Place:
    return change[0], tuple(change[4][: device.arity(change[0])])


def _reason(device: Device, taken: dict[Place, Above | None], change: Change) -> Reason | None:
    """Why a change is not offered; None if it is."""
    place = _row(device, change)
    t = device.tables.get(place[0])
    if t is None:
        return None
    if place in taken:
        above = taken[place]
        return another_s(t) if above is None else depends_on(device.tables[above.n], above.key)
    held = said(device.store, t, place[1], {"columns": change[3], "values": change[4][t.arity :]})
    for fk in t.table.foreign_keys:
        parent = device.named(fk.parent)
        if parent is None or not held.keys() >= set(fk.columns):
            continue
        named = dict(zip(parent_columns(fk, parent), (held[name] for name in fk.columns), strict=True))
        key = tuple(named.get(name) for name in parent.table.key)
        if (parent.n, key) in taken:
            return depends_on(parent, key)
    return None
