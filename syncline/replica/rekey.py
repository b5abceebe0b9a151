"""A rejected insert whose key another row has is brought in under a free number, with what points at it."""

from __future__ import annotations

from collections.abc import Iterator

from syncline.errors import UsageError
from syncline.merge.policies import KEY_TAKEN, PARENT_REJECTED
from syncline.model.values import Value
from syncline.replica.device import Device
from syncline.replica.rejected import find, putting_back, retry_now
from syncline.replica.statements import Statements
from syncline.replica.store import Store, pack, unpack


def retry_with_new_key(device: Device, number: int) -> int:
    """Put a rejected insert into its table under a number that is free here; that number.

    The rejected edits that point at it go with it, each under a new number itself if its own was taken, or is
    by now. UsageError, and nothing is changed, if it is no insert of a row with a single integer key, or
    cannot be put back.
    """
    with putting_back(device):
        return _bring_in(device, number)


def _bring_in(device: Device, number: int) -> int:
    store = device.store
    found = find(store, number)
    t, key = device.tables.get(found.n), unpack(found.key)
    if t is None or found.op not in "IR" or len(key) != 1 or not isinstance(key[0], int):
        raise UsageError(
            "only a rejected insert of a row with a single integer key can have a new one",
            code="no_new_key",
            remedy="Retry it without a new key, or discard it.",
        )
    new = _free(store, t)
    store.execute("UPDATE _sync_rejected SET key = ?, op = 'I' WHERE id = ?", (pack([new]), number))
    waiting = list(_pointing(device, t, key[0], new, found.push))
    retry_now(device, number)
    for child, is_taken in waiting:
        if is_taken:
            _bring_in(device, child)
        else:
            retry_now(device, child)
    return new


def _free(store: Store, t: Statements) -> int:
    """A number that no row of the table has, none that is parked and none that was rejected."""
    (name,) = t.keys
    used = [store.value(f"SELECT coalesce(max({name}), 0) FROM {t.name}")]
    for table in ("_sync_parked", "_sync_rejected"):
        used += [unpack(key)[0] for (key,) in store.rows(f"SELECT key FROM {table} WHERE n = ?", (t.n,))]
    return max(0, *(value for value in used if isinstance(value, int))) + 1


def _pointing(
    device: Device, t: Statements, old: Value, new: int, push: int | None
) -> Iterator[tuple[int, bool]]:
    """Let the rejected edits that point at the row point at its new key: their ids, and whether their own key
    is taken."""
    store = device.store
    sql = (
        "SELECT id, n, key, op, edit, code FROM _sync_rejected"
        " WHERE (code = ? AND push IS ?) OR (code = ? AND parent = ?) ORDER BY id"
    )
    above = pack([t.table.name, [old]])
    for number, n, packed, op, kept, code in store.rows(sql, (KEY_TAKEN, push, PARENT_REJECTED, above)):
        child, edit, key = device.tables.get(n), unpack(kept), unpack(packed)
        if child is None:
            continue
        own = {column.name: i for i, column in child.table.values.items()}
        found = False
        for fk in child.table.foreign_keys:
            if fk.parent != t.table.name or len(fk.columns) != 1:
                continue
            place = own.get(fk.columns[0])
            if dict(zip(edit["columns"], edit["values"], strict=False)).get(place) == old:
                edit["values"][edit["columns"].index(place)] = new
                found = True
            elif fk.columns[0] in child.table.key and key[child.table.key.index(fk.columns[0])] == old:
                key[child.table.key.index(fk.columns[0])] = new
                found = True
        if found:
            changed = pack(key), pack(edit), number
            store.execute("UPDATE _sync_rejected SET key = ?, edit = ? WHERE id = ?", changed)
            yield number, code == KEY_TAKEN or _is_taken_since(store, child, op, key)


def _is_taken_since(store: Store, t: Statements, op: str, key: list[Value]) -> bool:
    """Whether a row has the key of an insert by now, which can have another."""
    counted = op == "I" and len(key) == 1 and isinstance(key[0], int)
    return counted and store.row(t.select, key) is not None
