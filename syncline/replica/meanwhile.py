"""What was written meanwhile where a rejected edit belongs: a retry never puts itself silently over it.

A retry is a fresh edit, made on what the row holds now: the centre sees no conflict in it. So it is refused
here where the row is another's, or holds what the edit had not seen (law L2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from syncline.errors import UsageError
from syncline.merge.policies import KEY_TAKEN, KEY_TAKEN_REMEDY, PARENT_REJECTED
from syncline.model.naming import folded
from syncline.model.schema import TableSchema
from syncline.model.values import Value
from syncline.replica.above import Above, above_of
from syncline.replica.device import Device
from syncline.replica.edges import parent_columns
from syncline.replica.overlay import Key, Overlay
from syncline.replica.overruled import is_alike
from syncline.replica.retried import IS_RETRIED
from syncline.replica.statements import Statements
from syncline.replica.stayed import State, held_back
from syncline.replica.store import Store, pack, quote

ELSEWHERE = "Make the change again where it belongs, if it is still wanted, then discard this one."
SYNC_FIRST = "Sync first, so that the other edits of the row are sent by themselves, then retry this one."
TAKE_IN = (
    "The centre has values that this file does not take: see syncline status FILE, and let it take them."
)
DISCARD = "Write into the row yourself what it should hold, then discard the edit."


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A rejected edit as it is kept. `edit`: columns, values and base, as far as the table has them still."""

    t: Statements
    key: Key
    op: str
    edit: dict[str, Any]
    code: str
    push: int | None
    parent: Above | None = None
    """The rejected row that it was made for."""
    number: int = 0
    """Its id. What was kept before a row was rejected meant that row."""

    @property
    def is_below(self) -> bool:
        """Whether what it points at is why it was refused."""
        return self.code in (KEY_TAKEN, PARENT_REJECTED)


def check_row(kept: Kept, present: Sequence[Value] | None, held: State | None) -> None:
    """UsageError (`retry_refused`) if the row of this key is another's, or holds by now what the edit had not
    seen. `present`: the value columns as they are in the file; None: there is no such row. `held`: what is
    `held_back` of it, which the edit has not seen either."""
    if present is None and not (held and kept.t.is_whole(tuple(held))):
        return
    if kept.code == KEY_TAKEN:
        remedy = f"{KEY_TAKEN_REMEDY} Or discard it." if kept.op in "IR" else "Discard the edit."
        raise _refused(kept, "the key is another row's", remedy)
    remedy = f"{TAKE_IN} {DISCARD}" if held else DISCARD
    if kept.op == "I" and held is not None:
        raise _refused(kept, "there is a row with this key by now", remedy)
    row = {**({} if present is None else kept.t.state_of(present)), **(held or {})}
    names = ", ".join(_others(kept, row))
    if names:
        raise _refused(kept, f"the row was changed since, in {names}", remedy)


def check_parents(device: Device, kept: Kept) -> None:
    """UsageError (`retry_refused`) if the edit would point at a row that has the key of a rejected one it was
    made for: it would be given to somebody else."""
    for parent, key, shown in parents(device, kept):
        taken, is_gone = made_for(device, kept, parent, key)
        is_orphan = is_gone or kept.parent == Above(parent.n, key, is_gone=True)
        if (taken is None and not is_orphan) or not is_there(device, parent, shown):
            continue
        what = f"the row of {parent.table.name} {list(key)!r} that it would point at is another's"
        remedy = f"Bring in the row it was made for, this goes with it: retry edit {taken} with --new-key."
        if taken is None:
            what, remedy = f"{what}, and the one it was made for was discarded", ELSEWHERE
        raise _refused(kept, what, remedy)


def check_pending(device: Device, kept: Kept) -> None:
    """UsageError (`retry_refused`) if the row has pending edits that are no retries, be it hidden for them. A
    push has one change a row: if the centre refused it again, it would refuse those, too."""
    store, present = device.store, device.store.row(kept.t.select, kept.key)
    check_row(kept, present, held_back(store, kept.t, kept.key))
    if present is None and Overlay(store).parked(kept.t, kept.key) is None:
        return
    same = " AND ".join(f"k{i} IS ?" for i in range(kept.t.arity))
    sql = f"SELECT 1 FROM {kept.t.log} WHERE {same} AND NOT {IS_RETRIED} LIMIT 1"
    if store.row(sql, kept.key) is not None:
        raise _refused(kept, "the row has other edits that are pending", SYNC_FIRST)


def made_for(device: Device, kept: Kept, parent: Statements, key: Key) -> tuple[int | None, bool]:
    """The rejected insert that is why a row of this key is another's, found by way of the rejected inserts
    between; None if there is none. And whether it was discarded."""
    store, seen = device.store, set[bytes]()
    packed, n = pack(list(key)), parent.n
    is_sure = kept.code == PARENT_REJECTED or has_moved(kept.edit, n, key)
    while True:
        taken = store.value(
            "SELECT min(id) FROM _sync_rejected WHERE n = ? AND key = ? AND code = ? AND op IN ('I', 'R')"
            " AND ((push IS ? AND ?) OR ? OR id > ?)",
            (n, packed, KEY_TAKEN, kept.push, kept.is_below, is_sure, kept.number),
        )
        if taken is not None:
            return taken, False
        sql = (
            "SELECT parent FROM _sync_rejected WHERE n = ? AND key = ? AND code = ? AND op = 'I'"
            " AND (? OR id > ?)"
        )
        found = store.value(sql, (n, packed, PARENT_REJECTED, kept.is_below, kept.number))
        above = above_of(device, found)
        if above is None or found in seen:
            return None, False
        seen.add(found)
        if above.is_gone:
            return None, True
        if above.n not in device.tables:
            return None, False
        packed, n = pack(list(above.key)), above.n


def has_moved(edit: Mapping[str, Any], n: int, key: Sequence[Value]) -> bool:
    """Whether an edit refers to a row that was given this key after it was rejected."""
    return [n, list(key)] in edit.get("moved", ())


def is_meant(device: Device, kept: Kept, number: int) -> bool:
    """Whether an edit means a rejected row, not one that is there with the same values."""
    push = device.store.value("SELECT push FROM _sync_rejected WHERE id = ?", (number,))
    return kept.code == PARENT_REJECTED or (kept.code == KEY_TAKEN and push == kept.push)


def _others(kept: Kept, row: State) -> Iterator[str]:
    """The names of columns that hold neither what the edit had seen nor what it wants. An increment goes onto
    whatever there is; so does an edit of which nobody knows what it had seen."""
    t, edit = kept.t, kept.edit
    for place, i in enumerate(edit["columns"]):
        column, there = t.table.values[i], row.get(i)
        known = edit["base"][place : place + 1] + edit["values"][place : place + 1]
        is_unknown = place >= len(edit["base"])
        if is_unknown or column.computed or (kept.op == "U" and t.increments >> i & 1):
            continue
        if not any(is_alike(column, seen, there) for seen in known):
            yield column.name


def parents(device: Device, kept: Kept) -> Iterator[tuple[Statements, Key, Mapping[str, Value]]]:
    """The rows that the edit points at: table and key, and the columns by which it does. Of another way than
    by the key only the one that it was rejected because of is known."""
    values = said(device.store, kept.t, kept.key, kept.edit)
    for fk in kept.t.table.foreign_keys:
        parent = device.named(fk.parent)
        if parent is None or not values.keys() >= set(fk.columns):
            continue
        named = dict(zip(parent_columns(fk, parent), (values[name] for name in fk.columns), strict=True))
        if named.keys() == set(parent.table.key):
            yield parent, tuple(named[name] for name in parent.table.key), named
        elif kept.parent is not None and kept.parent.n == parent.n and None not in named.values():
            yield parent, kept.parent.key, named


def names_key(
    table: TableSchema, key: Sequence[Value], edit: Mapping[str, Any], t: Statements, above: Sequence[Value]
) -> bool:
    """Whether an edit of a table, which may take no part, refers to a row by its key."""
    held = dict(zip(table.key, key, strict=True))
    pairs = zip(edit["columns"], edit["values"], strict=False)
    held |= {table.values[i].name: value for i, value in pairs if i in table.values}
    wanted = dict(zip(t.table.key, above, strict=True))
    for fk in table.foreign_keys:
        if folded(fk.parent) == folded(t.table.name) and held.keys() >= set(fk.columns):
            named = zip(parent_columns(fk, t), (held[name] for name in fk.columns), strict=True)
            if dict(named) == wanted:
                return True
    return False


def said(store: Store, t: Statements, key: Sequence[Value], edit: Mapping[str, Any]) -> dict[str, Value]:
    """What an edit says of its row, by the names of columns. Where it writes a part of a foreign key, the
    rest of that is as the row has it."""
    pairs = zip(edit["columns"], edit["values"], strict=False)
    written = {t.table.values[i].name: value for i, value in pairs if i in t.table.values}
    values = {**dict(zip(t.table.key, key, strict=True)), **written}
    parts = [fk.columns for fk in t.table.foreign_keys if not written.keys().isdisjoint(fk.columns)]
    if any(not values.keys() >= set(columns) for columns in parts):
        row = store.row(t.select, list(key))
        state = {} if row is None else t.state_of(row)
        here = {t.table.values[i].name: value for i, value in state.items()}
        for name in {name for columns in parts for name in columns} & here.keys():
            values.setdefault(name, here[name])
    return values


def has_parents(device: Device, kept: Kept) -> bool:
    """Whether all rows are there that the edit points at."""
    pointed = [(parent, named) for parent, _, named in parents(device, kept) if None not in named.values()]
    return all(is_there(device, parent, named) for parent, named in pointed)


def is_there(device: Device, t: Statements, named: Mapping[str, Value]) -> bool:
    """Whether the table has a row with these values of some columns."""
    same = " AND ".join(f"{quote(name)} = ?" for name in named)
    return device.store.row(f"SELECT 1 FROM {t.name} WHERE {same}", list(named.values())) is not None


def broken(device: Device, kept: Kept) -> str | None:
    """Which foreign key of the file does not hold for an edit that is put back, as a part of a sentence; None
    if none is found. In the transaction that has put it back, or could not."""
    own = [edge for edge in device.edges if edge.child.n == kept.t.n] if kept.op != "D" else []
    values = said(device.store, kept.t, kept.key, kept.edit)
    for edge in own:
        theirs = parent_columns(edge.key, edge.parent)
        named = {name: values.get(column) for column, name in zip(edge.key.columns, theirs, strict=True)}
        if None not in named.values() and not is_there(device, edge.parent, named):
            return f"the row of {edge.parent.table.name} that it points at, {_called(named)}, is not here"
    held = dict(zip(kept.t.table.key, kept.key, strict=True))
    for edge in device.edges if kept.op == "D" else ():
        theirs = parent_columns(edge.key, edge.parent)
        if edge.parent.n == kept.t.n and held.keys() >= {*theirs}:
            named = {column: held[name] for column, name in zip(edge.key.columns, theirs, strict=True)}
            if is_there(device, edge.child, named):
                return f"rows of {edge.child.table.name} point at it, by {', '.join(named)}"
    return None


def _called(named: Mapping[str, Value]) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in named.items())


def _refused(kept: Kept, what: str, remedy: str) -> UsageError:
    return UsageError(
        f"table {kept.t.table.name}: the edit of {list(kept.key)!r} cannot be put back: {what}",
        code="retry_refused",
        remedy=remedy,
    )
