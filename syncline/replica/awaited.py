"""Which rejected edits wait for others: those of the rows that they refer to, by whichever foreign key."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress

from syncline.errors import UsageError
from syncline.merge.policies import KEY_TAKEN, PARENT_REJECTED
from syncline.model.values import Value
from syncline.replica.above import Above, above_of, packed_above
from syncline.replica.device import Device
from syncline.replica.edges import parent_columns
from syncline.replica.meanwhile import Kept, is_meant, is_there, made_for, said
from syncline.replica.overlay import Key
from syncline.replica.refusal import depends_on
from syncline.replica.rejected import find, kept_edit
from syncline.replica.settled import BROUGHT
from syncline.replica.statements import Statements
from syncline.replica.store import pack, unpack


def ready(device: Device, found: Collection[int], going: Collection[int]) -> list[int]:
    """Those of the rejected edits `found` that wait for nothing but what goes, or for each other; with them
    what they wait for, if that depends on what goes."""
    waits: dict[int, frozenset[int] | None] = {}
    todo = list(found)
    for one in todo:  # which grows meanwhile
        if one not in waits and one not in going:
            waits[one] = awaited(device, one)
            todo += sorted(waits[one] or ())
    depending, size = {*found, *going}, 0
    while len(depending) > size:
        size = len(depending)
        depending |= {one for one, above in waits.items() if above and above & depending}
    free, size = depending & waits.keys(), -1
    while len(free) != size:
        size, known = len(free), free | set(going)
        free = {one for one in free if (above := waits[one]) is not None and above <= known}
    return [one for one in waits if one in free]


def awaited(device: Device, number: int) -> frozenset[int] | None:
    """The rejected edits of other rows, or of its own, that are to be settled before one; None if it cannot
    be put back, whatever becomes of others."""
    with suppress(UsageError):
        kept, found = kept_edit(device, number), set[int]()
        is_absent = device.store.row(kept.t.select, kept.key) is None
        if kept.code == KEY_TAKEN and not (is_absent or is_counted(kept.op, kept.key)):
            return None
        if kept.op in "UD" and is_absent:
            found.update(_inserts(device, kept.t, kept.key)[-1:])
        for parent, named in _pointed(device, kept):
            above = _of_parent(device, kept, parent, named)
            if above is None:
                return None
            found.update(above)
        return frozenset(found - {number})
    return None


def is_counted(op: str, key: Sequence[Value]) -> bool:
    """Whether an edit is an insert of a row with a single integer key, which can have another."""
    return op in "IR" and len(key) == 1 and isinstance(key[0], int)


def refer_to_rest(device: Device, number: int) -> None:
    """Let an edit that stays rejected name one of those that it waits for still."""
    found, waits = find(device.store, number), awaited(device, number)
    above = above_of(device, found.parent)
    rows = [find(device.store, one) for one in sorted(waits or ())]
    keys = [(row.n, tuple(unpack(row.key))) for row in rows]
    if above is None or not keys or above.is_gone or (above.n, above.key) in keys:
        return
    (n, key), *_ = keys
    why = depends_on(device.tables[n], key)
    sql = "UPDATE _sync_rejected SET parent = ? WHERE id = ?"
    device.store.execute(sql, (packed_above(n, key), number))
    if found.code == PARENT_REJECTED:
        sql = "UPDATE _sync_rejected SET detail = ?, remedy = ? WHERE id = ?"
        device.store.execute(sql, (why.detail, why.remedy, number))


def _pointed(device: Device, kept: Kept) -> Iterator[tuple[Statements, Mapping[str, Value]]]:
    """The tables that an edit refers to, and what it says of the row there."""
    values = said(device.store, kept.t, kept.key, kept.edit)
    for fk in kept.t.table.foreign_keys:
        parent = device.named(fk.parent)
        written = [values.get(name) for name in fk.columns]
        if parent is not None and None not in written:
            yield parent, dict(zip(parent_columns(fk, parent), written, strict=True))


def _of_parent(
    device: Device, kept: Kept, parent: Statements, named: Mapping[str, Value]
) -> list[int] | None:
    """The rejected insert that one foreign key means; None if it was discarded and another's row is there."""
    there = is_there(device, parent, named)
    if named.keys() != set(parent.table.key):
        return [one for one in _by_values(device, parent, named) if not there or is_meant(device, kept, one)]
    key = tuple(named[name] for name in parent.table.key)
    inserts = _inserts(device, parent, key)
    if not there:
        return inserts[-1:]
    taken, is_gone = made_for(device, kept, parent, key)
    if taken is not None:
        return inserts[:1] or [taken]
    is_orphan = kept.parent == Above(parent.n, key, is_gone=True)
    return None if is_gone or is_orphan else []


def _inserts(device: Device, t: Statements, key: Key) -> list[int]:
    sql = (
        "SELECT id FROM _sync_rejected WHERE n = ? AND key = ? AND op IN ('I', 'R') AND code <> ? ORDER BY id"
    )
    return [number for (number,) in device.store.rows(sql, (t.n, pack(list(key)), BROUGHT))]


def _by_values(device: Device, t: Statements, named: Mapping[str, Value]) -> Iterator[int]:
    """The rejected inserts of rows that hold these values."""
    sql = "SELECT id, key, edit FROM _sync_rejected WHERE n = ? AND op IN ('I', 'R') AND code IN (?, ?)"
    for number, key, packed in device.store.rows(sql, (t.n, KEY_TAKEN, PARENT_REJECTED)):
        edit = unpack(packed)
        held = dict(zip(t.table.key, unpack(key), strict=True))
        pairs = zip(edit["columns"], edit["values"], strict=False)
        held |= {t.table.values[i].name: value for i, value in pairs if i in t.table.values}
        if all(held.get(name) == value for name, value in named.items()):
            yield number
