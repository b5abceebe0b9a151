"""Edits that cannot travel: kept as rejected with their reason, and taken back, so that the rest goes on.

The hub never sees them. Like an edit that the hub rejects, the row returns to what it was before, and
rows that were inserted under a row that goes are refused with it (law L2: kept, with the reason).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from syncline.model.masks import join_mask
from syncline.model.schema import ForeignKey
from syncline.model.values import Value, indices_of
from syncline.replica.behind import explain_behind
from syncline.replica.chains import Refused
from syncline.replica.device import Device
from syncline.replica.overlay import Key, Overlay, kind_of
from syncline.replica.parents import mend_parents
from syncline.replica.quiet import quiet_triggers
from syncline.replica.rejected import Reason, keep_rejected
from syncline.replica.removal import parents_key
from syncline.replica.rows import write_row
from syncline.replica.statements import Statements
from syncline.replica.store import Store, quote
from syncline.replica.trade import stand_in
from syncline.replica.work import Work, load_held, save_held

UNREADABLE = "a text of this row is not valid UTF-8"
UNKEYED = "a key column of this row is NULL"


@dataclass(frozen=True, slots=True)
class Edits:
    """The edits of one row: operations, and the first old value of each column they changed."""

    ops: tuple[str, ...]
    base: dict[int, Value]


def unreadable(device: Device, t: Statements, cut: int) -> list[Refused]:
    """The pending rows that hold text which is not UTF-8. Reads all of them."""
    keys = [f"l.k{i}" for i in range(t.arity)]
    row = " AND ".join(f"t.{name} IS {key}" for name, key in zip(t.keys, keys, strict=True))
    olds = [f"l.{name}" for name in t.old_columns(t.increments)]
    picked = ", ".join([*keys, *(f"t.{name}" for name in t.value_names), *olds])
    sql = f"SELECT {picked} FROM {t.log} l LEFT JOIN {t.name} t ON {row} WHERE l.seq <= ?"
    found: dict[Key, None] = {}
    with device.store.undecoded():
        for batch in device.store.batches(sql, (cut,)):
            for values in batch:
                if not _are_sound(values):
                    found[values[: t.arity]] = None
    return [Refused(key, UNREADABLE) for key in found]


def unkeyed(device: Device, t: Statements) -> list[Refused]:
    """The pending rows with a NULL in their key, which SQLite allows in some tables."""
    null = " OR ".join(f"k{i} IS NULL" for i in range(t.arity))
    with device.store.undecoded():
        keys = device.store.rows(f"SELECT DISTINCT {t.key_columns} FROM {t.log} WHERE {null}")
    return [Refused(key, UNKEYED) for key in keys]


def refuse(device: Device, t: Statements, refused: Sequence[Refused], code: str, remedy: str) -> None:
    """Keep the edits of these rows as rejected, take them back and clear them from the log.

    Inside a write transaction, while no push is in flight and after `pending.settle`.
    """
    store = device.store
    store.set_state(suppressed=1)
    store.execute("PRAGMA defer_foreign_keys = ON")
    work = Work(device, Overlay(store))
    load_held(work)
    with store.undecoded(), quiet_triggers(device):
        _refuse(work, t, {row.key: Reason(code, row.detail, remedy) for row in refused})
        mend_parents(work)
    explain_behind(work)
    save_held(work)
    store.set_state(suppressed=0)


def _refuse(work: Work, t: Statements, reasons: dict[Key, Reason]) -> None:
    store = work.store
    for key, edits in _edits(store, t, reasons).items():
        present = store.rows(
            f"SELECT {', '.join(t.value_names) or '1'} FROM {t.name} WHERE {_by_key(t, key)}", _bound(key)
        )
        image: Sequence[Value] | None = (
            work.overlay.parked(t, key) if not present and _are_sound(key) else None
        )
        kind = kind_of(edits.ops, not present and image is None) or "-"
        _clear(store, t, key)
        work.overlay.forget()
        rows = [*present] if present else [tuple(image or ())]
        for row in rows:
            if kind != "-":
                _keep(work.device, t, key, kind, edits, row, reasons[key])
        if image is not None:
            work.overlay.unpark(t, [key])
        if kind == "I":
            refuse_children(work, t, key)
            store.execute(f"DELETE FROM {t.name} WHERE {_by_key(t, key)}", _bound(key))
        elif kind in ("R", "D") or (kind == "U" and image is None):
            unreadable = _make_readable(work, t, key, present)
            write_row(work, t, key, edits.base)
            if unreadable and work.is_held(t, key):  # what stood in for it must not stay either
                work.put_aside(t, key, present[0])
                store.execute(t.delete, key)


def _edits(store: Store, t: Statements, keys: dict[Key, Reason]) -> dict[Key, Edits]:
    """The edits of those rows, found in one reading of the log."""
    names = [f"k{i}" for i in range(t.arity)] + ["op", *t.masks, *t.old_columns(t.table.all_mask)]
    found: dict[Key, Edits] = {}
    for batch in store.batches(f"SELECT {', '.join(names)} FROM {t.log} ORDER BY seq"):
        for row in batch:
            key, op = row[: t.arity], row[t.arity]
            if key not in keys:
                continue
            masks, old = row[t.arity + 1 :][: len(t.masks)], row[t.arity + 1 + len(t.masks) :]
            mask = {"I": 0, "U": join_mask([part or 0 for part in masks])}.get(op, t.table.all_mask)
            before = found.get(key, Edits((), {}))
            base = {i: old[t.table.places[i]] for i in indices_of(mask)} | before.base
            found[key] = Edits((*before.ops, op), base)
    return found


def _keep(
    device: Device, t: Statements, key: Key, kind: str, edits: Edits, row: Sequence[Value], reason: Reason
) -> None:
    columns = sorted(edits.base) if kind in "UD" else list(t.values)
    values = [_kept(row[t.table.places[i]]) for i in columns] if row and kind != "D" else []
    base = [_kept(edits.base.get(i)) for i in columns]
    keep_rejected(device, t.n, [_kept(value) for value in key], kind, (columns, values, base), reason, None)


def _clear(store: Store, t: Statements, key: Key) -> None:
    same = " AND ".join(f"k{i} IS {_mark(value)}" for i, value in enumerate(key))
    store.execute(f"DELETE FROM {t.log} WHERE {same}", _bound(key))


def _make_readable(work: Work, t: Statements, key: Key, present: Sequence[Sequence[Value]]) -> bool:
    """What cannot be read must not stay, even where a unique value keeps the old one from coming back.
    Whether there is such a value."""
    unreadable = {
        column for row in present for column, value in t.state_of(row).items() if not _is_sound(value)
    }
    for column in unreadable:
        work.store.execute(t.update((column,)), (*key, stand_in(work, t, key, column)))
    return bool(unreadable)


def refuse_children(work: Work, t: Statements, key: Key) -> None:
    """Refuse the pending rows that point at a row which is about to go, or to become another's."""
    for child in work.device.tables.values():
        for fk in child.table.foreign_keys:
            if fk.parent == t.table.name:
                keys = _children(work.store, t, key, child, fk)
                own = [_kept(value) for value in key]
                reason = Reason(
                    "parent_rejected",
                    f"the row of {t.table.name} that this row points at was rejected",
                    "Settle the row it points at first, then retry this one.",
                    (t.table.name, tuple(own)),
                )
                _refuse(work, child, {row: reason for row in keys if (child, row) != (t, key)})


def _children(store: Store, t: Statements, key: Key, child: Statements, fk: ForeignKey) -> list[Key]:
    points = " AND ".join(
        f"c.{quote(own)} = p.{quote(name)}" for own, name in zip(fk.columns, parents_key(fk, t), strict=True)
    )
    keys: list[Key] = store.rows(
        f"SELECT {child.keys_of('c')} FROM {t.name} p CROSS JOIN {child.name} c ON {points}"
        f" WHERE {_by_key(t, key, 'p.')}",
        _bound(key),
    )
    return keys


# Text that is not UTF-8 is a str with escaped bytes here, and bound as its bytes ------------------------


def _is_sound(value: Value) -> bool:
    if not isinstance(value, str):
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _are_sound(values: Sequence[Value]) -> bool:
    return all(map(_is_sound, values))


def _kept(value: Value) -> Value:
    """As it can be kept: the bytes of a text that is not UTF-8."""
    return (
        value
        if isinstance(value, bytes) or _is_sound(value)
        else str(value).encode("utf-8", "surrogateescape")
    )


def _mark(value: Value) -> str:
    return "?" if _is_sound(value) else "CAST(? AS TEXT)"


def _bound(values: Sequence[Value]) -> list[Value]:
    return [_kept(value) for value in values]


def _by_key(t: Statements, key: Key, row: str = "") -> str:
    return " AND ".join(f"{row}{name} IS {_mark(value)}" for name, value in zip(t.keys, key, strict=True))
