"""What was written into a new row that is rejected is kept with it, as one edit.

A new row whose key another's is in the centre, or that hangs on such a row, may be written to until the file
hears of it: while its push is on its way, while the answer is lost, by later pushes that the centre has lost.
All of that is one row: whoever brings it in under a new key means the row as it was last (laws L2 and L3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from syncline.errors import ValueRefused
from syncline.merge.policies import KEY_TAKEN, PARENT_REJECTED
from syncline.model.order import is_sound, shown
from syncline.model.values import Value, add
from syncline.replica.above import packed_above
from syncline.replica.device import Device
from syncline.replica.rejected import Made, Reason, find, keep_rejected, written_edit
from syncline.replica.settled import COLUMNS, MOST
from syncline.replica.statements import Statements
from syncline.replica.store import pack, unpack

Edit = tuple[Sequence[int], Sequence[Value], Sequence[Value]]
"""Value columns, what was sent, what they held before."""

_BELOW = f"code IN ('{KEY_TAKEN}', '{PARENT_REJECTED}')"


def keep_with_row(
    device: Device,
    where: tuple[int, Sequence[Value]],
    op: str,
    edit: Edit,
    why: tuple[Reason, Made],
    since: int | None,
) -> int:
    """`keep_rejected`, but `joined` with the insert of the row if that is rejected, too. Returns the id of
    the edit that has it. Inside a transaction."""
    number = joined(device, where, op, edit, why, since)
    return keep_rejected(device, *where, op, edit, *why) if number is None else number


def joined(
    device: Device,
    where: tuple[int, Sequence[Value]],
    op: str,
    edit: Edit,
    why: tuple[Reason, Made],
    since: int | None,
) -> int | None:
    """Let a refused edit be a part of the rejected insert of its row; returns the id of that, None if there
    is none. It has an id above `since`, from when on the file had nothing but that row under this key; None:
    it cannot be told. `where`: table number and key. Inside a transaction."""
    n, key = where
    t, (reason, made) = device.tables.get(n), why
    if since is None or t is None or reason.code not in (KEY_TAKEN, PARENT_REJECTED):
        return None
    number = _insert(device, where, since)
    if number is None or not _can_join(device, number, op, edit, (key, made)):
        return None
    _join(device, t, number, op, edit, why)
    return number


def _insert(device: Device, where: tuple[int, Sequence[Value]], since: int) -> int | None:
    n, key = where
    sql = (
        "SELECT max(id) FROM _sync_rejected WHERE n = ? AND key = ? AND op IN ('I', 'R') AND id > ?"
        f" AND {_BELOW}"
    )
    number: int | None = device.store.value(sql, (n, pack(list(map(shown, key))), since))
    return number


def _can_join(device: Device, number: int, op: str, edit: Edit, whose: tuple[Sequence[Value], Made]) -> bool:
    """Whether an edit is of the row of a rejected insert. One that inserts is of another, unless this device
    has deleted that in between."""
    (columns, values, _), (key, made) = edit, whose
    found = find(device.store, number)
    stamps = len(found.stamps or b"") + len(made.stamps)
    is_plain = len(values) == len(columns) and all(map(is_sound, [*key, *values]))
    if not is_plain or "undecoded" in unpack(found.edit) or made.part == COLUMNS or stamps > MOST:
        return False
    return op in "UR" or (op == "I" and bool(_deletes(device, number)))


def _deletes(device: Device, number: int) -> list[int]:
    """The rejected deletes of the row that a rejected insert made."""
    found = find(device.store, number)
    sql = f"SELECT id FROM _sync_rejected WHERE n = ? AND key = ? AND op = 'D' AND id > ? AND {_BELOW}"
    return [one for (one,) in device.store.rows(sql, (found.n, found.key, number))]


def _join(device: Device, t: Statements, number: int, op: str, edit: Edit, why: tuple[Reason, Made]) -> None:
    """Let a rejected insert be of the row as it is with an edit."""
    store, (reason, made) = device.store, why
    found = find(store, number)
    kept, stamps, part = unpack(found.edit), found.stamps or b"", found.part
    if op != "U":
        made = replace(made, own={**kept.get("own", {}), **made.own})
        for one in _deletes(device, number):
            deleted = find(store, one)
            stamps, part = stamps + (deleted.stamps or b""), part or deleted.part
            store.execute("DELETE FROM _sync_rejected WHERE id = ?", (one,))
    image = _laid_over(t, dict(zip(kept["columns"], kept["values"], strict=False)), op, edit)
    own = made.own or kept.get("own", {})
    written = unpack(written_edit(device, t.n, list(image), list(image.values()), kept["base"], own=own))
    body = pack({**kept, **written})
    sql = "UPDATE _sync_rejected SET edit = ?, stamps = ?, part = ? WHERE id = ?"
    store.execute(sql, (body, stamps + made.stamps or None, part or made.part, number))
    _say(device, number, found.code, reason)


def _say(device: Device, number: int, code: str, reason: Reason) -> None:
    """Why the row is refused now: its own key counts more than what it hangs on, and the last of these."""
    sql = "UPDATE _sync_rejected SET code = ?, detail = ?, remedy = ? WHERE id = ?"
    if reason.code == KEY_TAKEN and code != KEY_TAKEN:
        device.store.execute(sql, (reason.code, reason.detail, reason.remedy, number))
    if reason.parent is not None and code != KEY_TAKEN:
        parent = packed_above(*reason.parent[:2], is_gone=reason.parent.is_gone)
        device.store.execute("UPDATE _sync_rejected SET parent = ? WHERE id = ?", (parent, number))


def _laid_over(t: Statements, image: dict[int, Value], op: str, edit: Edit) -> dict[int, Value]:
    """The columns of a row with what an edit sends: increments go onto what there is."""
    for i, value in zip(edit[0], edit[1], strict=True):
        if op == "U" and t.increments >> i & 1:
            value = _sum(image.get(i), value)
        image[i] = value
    return image


def _sum(present: Value, increment: Value) -> Value:
    try:
        return add(present, increment)
    except ValueRefused:  # the sum is no number that a column holds: the row has it as it is
        return increment
