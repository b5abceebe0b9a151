"""Edits of new rows that are rejected with others, and that something of the file's keeps there.

A row that hangs on one whose key another's is shows under the other's, as long as a table that takes no part
refers to it. What is written into it is meant for the row that is rejected: it is kept with that, and never
sent, for the centre would take the row for one that belongs to the other's (laws L2 and L3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from syncline.merge.policies import PARENT_REJECTED
from syncline.model.values import Value, identical
from syncline.protocol.body import each_stamp
from syncline.replica.device import Device
from syncline.replica.entries import Entry, as_sent, entries_of, first_value, touched
from syncline.replica.overlay import Key, Overlay, kind_of
from syncline.replica.rejected import Made, Reason, find, is_below_taken
from syncline.replica.retried import forget_retried, told_by
from syncline.replica.statements import Statements
from syncline.replica.store import unpack
from syncline.replica.together import Edit, joined
from syncline.replica.work import pack_state

_NEWEST = (
    "SELECT h.key, max(r.id) FROM _sync_held h JOIN _sync_rejected r ON r.n = h.n AND r.key = h.key"
    f" WHERE h.n = ? AND h.state = ? AND r.op IN ('I', 'R') AND r.code = '{PARENT_REJECTED}' GROUP BY h.key"
)


def keep_with_staying(device: Device, t: Statements) -> None:
    """Let what is pending of such rows of a table, and no push in flight covers, be a part of their rejected
    inserts; the rows stay as they are. Inside a transaction, before it is settled what a REPLACE has
    deleted."""
    store, overlay = device.store, Overlay(device.store)
    found = store.rows(_NEWEST, (t.n, pack_state(None)))
    staying = {
        tuple(unpack(key)): number
        for key, number in found
        if is_below_taken(device, number, find(store, number))
    }
    cut = store.value("SELECT seq FROM _sync_outbox_cut WHERE n = ?", (t.n,)) or 0
    kept = list[Key]()
    with store.undecoded():  # nobody has looked yet whether all of it is text
        for key, chain in entries_of(overlay, t, list(staying), f"l.seq > {cut}"):
            if chain and all(entry.is_meant for entry in chain) and _keep(device, t, staying[key], chain):
                kept.append(key)
    overlay.clear(t, kept)


def _keep(device: Device, t: Statements, number: int, chain: Sequence[Entry]) -> bool:
    """Whether the edits of a row are a part of its rejected insert now."""
    store, found = device.store, find(device.store, number)
    key = tuple(unpack(found.key))
    row = store.row(t.select, key)
    if row is None or not all(_is_of(t, unpack(found.edit), chain, t.state_of(row))):
        return False
    op = "U" if kind_of([entry.op for entry in chain], absent=False) == "U" else "R"
    columns, now = touched(t, chain) if op == "U" else list(t.table.pushed), t.state_of(row)
    base = [first_value(t, chain, column, None) for column in columns]
    values = [now.get(column) for column in columns]
    if op == "U":
        values = [as_sent(t, *one) for one in zip(columns, values, base, strict=True)]
    edit: Edit = columns, values, base
    stamps = told_by(store, [entry.stamp for entry in chain])
    why = Reason(found.code, "", ""), Made(None, stamps)
    is_joined = joined(device, (t.n, key), op, edit, why, number - 1) is not None
    if is_joined:
        forget_retried(store, each_stamp(stamps))
    return is_joined


def _is_of(
    t: Statements, edit: dict[str, Any], chain: Sequence[Entry], now: dict[int, Value]
) -> Iterator[bool]:
    """Whether the row, before these edits, pointed at what the rejected one points at: by each column."""
    pointing = {name for fk in t.table.foreign_keys for name in fk.columns}
    for column, value in zip(edit["columns"], edit["values"], strict=False):
        if column in now and t.table.values[column].name in pointing:
            yield identical(first_value(t, chain, column, now[column]), value)
