"""Rows that the file still shows though they are rejected, for another's row has the key.

While a file finds its place again no row changes until the whole is filled (law L5). So the application may
go on writing into a new row of which the hub has said meanwhile that its key is another's, and what points at
it. All of that is meant for the row that is rejected, and is refused with it before the other's is shown. The
log of the centre need not tell: it may begin after the other was inserted.
"""

from __future__ import annotations

from syncline.merge.policies import KEY_TAKEN, PARENT_REJECTED
from syncline.replica.above import above_of
from syncline.replica.device import Device
from syncline.replica.overlay import Key
from syncline.replica.refusal import refuse_later, refuse_taken
from syncline.replica.rejected import newest_before_recovery
from syncline.replica.store import unpack
from syncline.replica.work import Work


def refuse_lingering(work: Work) -> None:
    """Refuse what is pending of such rows and of what points at them."""
    for n, keys in _lingering(work.device).items():
        t = work.device.tables.get(n)
        if t is not None:
            with work.store.undecoded():  # nobody has looked yet whether all that was made since is text
                refuse_later(work, t, list(keys))
                refuse_taken(work, t, [key for key, is_taken in keys.items() if is_taken])


def _lingering(device: Device) -> dict[int, dict[Key, bool]]:
    """The keys of new rows that are rejected since the recovery began, by table: those whose keys are
    another's (True), and those that hang on them."""
    found: dict[int, dict[Key, bool]] = {}
    before = newest_before_recovery(device.store)
    if before is None:
        return found
    below: dict[tuple[int, Key], list[tuple[int, Key]]] = {}
    todo: list[tuple[int, Key]] = []
    sql = (
        "SELECT n, key, code, parent FROM _sync_rejected WHERE id > ? AND op IN ('I', 'R')"
        " AND code IN (?, ?) ORDER BY id"
    )
    for n, packed, code, parent in device.store.rows(sql, (before, KEY_TAKEN, PARENT_REJECTED)):
        key, above = tuple(unpack(packed)), above_of(device, parent)
        if code == KEY_TAKEN:
            found.setdefault(n, {})[key] = True
            todo.append((n, key))
        elif above is not None:
            below.setdefault((above.n, above.key), []).append((n, key))
    for place in todo:  # which grows meanwhile
        for n, key in below.pop(place, ()):
            found.setdefault(n, {}).setdefault(key, False)
            todo.append((n, key))
    return found
