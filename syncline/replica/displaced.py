"""Edits of a hidden row whose key the application has given to another: kept, for they travel no more.

A row with pending edits is hidden while the centre has it no more, or not what it points at. The application
sees that the key is free, and may take it. What travels then is the row that is there, as one that replaces
the other (law L6); what was written into the hidden one would be nowhere (law L2).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

from syncline.merge.policies import KEY_TAKEN, KEY_TAKEN_REMEDY
from syncline.replica.device import Device
from syncline.replica.entries import Entry, as_sent, entries_of, first_value, touched
from syncline.replica.keyset import Keyset
from syncline.replica.lost import lost
from syncline.replica.overlay import Key, Overlay, kind_of
from syncline.replica.rejected import Made, Reason, keep_rejected
from syncline.replica.retried import told_by
from syncline.replica.settled import PUSH
from syncline.replica.statements import Statements
from syncline.replica.store import Store, unpack

_DETAIL = (
    "the row was hidden, for the centre has it no more, or not what it points at, and the application has"
    " given its key to another"
)
_REMEDY = "Write into the row yourself what it should hold, then discard the edit."


def keep_displaced(device: Device, t: Statements) -> None:
    """Keep those of a table that no push in flight covers. Inside a transaction, before it is settled what a
    REPLACE has deleted."""
    store, unseen, overlay = device.store, lost(device.store).get(t.n), Overlay(device.store)
    cut = store.value("SELECT seq FROM _sync_outbox_cut WHERE n = ?", (t.n,)) or 0
    hidden = store.rows("SELECT key FROM _sync_parked WHERE n = ?", (t.n,))
    keys = [tuple(unpack(packed)) for (packed,) in hidden]
    inserted = _inserted(store, t, keys)
    there = set[Key]() if unseen is None else {keys[i] for i in overlay.present(t, keys)}
    taken = list[Key]()
    with store.undecoded():  # nobody has looked yet whether all of it is text
        some = [key for key in keys if key in there or key in inserted]
        for key, chain in entries_of(overlay, t, some, f"l.seq > {cut}"):
            if not all(entry.is_meant for entry in chain):
                continue  # its verdict comes first
            if unseen is not None and key in there and _displacing(chain) is None:
                # The key was taken while the table was not captured: the row that is there is found when it
                # is compared, as one that was never edited.
                _keep_edits(device, t, key, [entry for entry in chain if entry.seq <= unseen])
                taken.append(key)
            else:
                _keep(device, t, key, chain)
    overlay.clear(t, taken)


def keep_uncovered(device: Device, t: Statements, keys: Collection[Key], cut: int) -> None:
    """The same of some rows, whose edits have their verdict up to entry `cut`."""
    inserted, overlay = _inserted(device.store, t, keys), Overlay(device.store)
    with device.store.undecoded():
        for key, chain in entries_of(overlay, t, list(inserted), f"l.seq > {cut}"):
            _keep(device, t, key, chain)


def _inserted(store: Store, t: Statements, keys: Collection[Key]) -> set[Key]:
    """Those of the rows of which an insert was captured behind another entry: no others can be displaced. The
    log has no index by the key, and so is read once for all of them."""
    among = Keyset(store, t, "hidden")
    among.put(keys)
    found = store.rows(
        f"SELECT {t.key_columns} FROM {t.log} l WHERE op <> 'M' AND {among.has('l')}"
        f" GROUP BY {t.key_columns} HAVING max(CASE op WHEN 'I' THEN seq END) > min(seq)"
    )
    among.drop()
    return set(found)


def _displacing(chain: Sequence[Entry]) -> int | None:
    """The place of the insert by which the application took the key of the hidden row: where one was."""
    return next(
        (i for i, (one, two) in enumerate(pairwise(chain), 1) if two.op == "I" and one.op != "D"), None
    )


def _keep(device: Device, t: Statements, key: Key, chain: Sequence[Entry]) -> None:
    place = _displacing(chain)
    if place is not None:
        _keep_edits(device, t, key, [entry for entry in chain[:place] if entry.is_meant])


def _keep_edits(device: Device, t: Statements, key: Key, edits: Sequence[Entry]) -> None:
    overlay = Overlay(device.store)
    image = overlay.parked(t, key)
    if image is not None and edits:
        op = kind_of([entry.op for entry in edits], absent=False) or "U"
        columns, now = touched(t, edits) if op == "U" else list(t.table.pushed), t.state_of(image)
        base = [] if op == "I" else [first_value(t, edits, column, None) for column in columns]
        values = [now.get(column) for column in columns]
        if op == "U":
            values = [as_sent(t, *one) for one in zip(columns, values, base, strict=True)]
        edit = columns, values, base
        reason = Reason(KEY_TAKEN, _DETAIL, _REMEDY if op == "U" else f"{KEY_TAKEN_REMEDY} Or discard it.")
        stamps = told_by(device.store, [entry.stamp for entry in edits])
        keep_rejected(device, t.n, key, op, edit, reason, Made(None, stamps, PUSH))  # they are sent as well
    overlay.unpark(t, [key])
