"""Rows that the file still shows though they are rejected, for another's row has the key.

While a file finds its place again no row changes until the whole is filled (law L5). So the application may
go on writing into a new row of which the hub has said meanwhile that its key is another's, and what points at
it. All of that is meant for the row that is rejected, and is refused with it before the other's is shown. The
log of the centre need not tell: it may begin after the other was inserted.
"""

from __future__ import annotations

from syncline.merge.policies import KEY_TAKEN, PARENT_REJECTED
from syncline.replica.above import Above, above_of
from syncline.replica.device import Device
from syncline.replica.overlay import Key
from syncline.replica.refusal import depends_on, refuse_hanging, refuse_later, refuse_taken
from syncline.replica.rejected import newest_before_recovery
from syncline.replica.store import unpack
from syncline.replica.work import Work

Place = tuple[int, Key]
"""A table's number, and the key of a row."""


def refuse_lingering(work: Work) -> None:
    """Refuse what is pending of such rows and of what points at them."""
    work.shown_since = newest_before_recovery(work.store)
    tables, found = work.device.tables, dict[int, dict[Key, Above | None]]()
    for (n, key), above in lingering(work.device).items():
        found.setdefault(n, {})[key] = above
    for n, keys in found.items():
        t = tables.get(n)
        if t is None:
            continue
        hanging = {key: above for key, above in keys.items() if above is not None and above.n in tables}
        with work.store.undecoded():  # nobody has looked yet whether all that was made since is text
            refuse_later(work, t, list(keys))
            refuse_taken(work, t, [key for key, above in keys.items() if above is None])
            refuse_hanging(work, t, {key: depends_on(tables[a.n], a.key) for key, a in hanging.items()})


def lingering(device: Device) -> dict[Place, Above | None]:
    """The new rows that are rejected since the recovery began, for another's row has their key (None), or
    with the row that they hang on."""
    found: dict[Place, Above | None] = {}
    before = newest_before_recovery(device.store)
    if before is None:
        return found
    below: dict[Place, list[Place]] = {}
    sql = (
        "SELECT n, key, code, parent FROM _sync_rejected WHERE id > ? AND op IN ('I', 'R')"
        " AND code IN (?, ?) ORDER BY id"
    )
    for n, packed, code, parent in device.store.rows(sql, (before, KEY_TAKEN, PARENT_REJECTED)):
        key, above = tuple(unpack(packed)), above_of(device, parent)
        if code == KEY_TAKEN:
            found[n, key] = None
        elif above is not None:
            below.setdefault((above.n, above.key), []).append((n, key))
    for place in (todo := list(found)):  # which grows meanwhile
        for one in below.pop(place, ()):
            if one not in found:
                found[one] = Above(*place)
                todo.append(one)
    return found
