"""Rows of the application's own tables that mean the row of a rejected insert.

Where another's row takes the place of one that was inserted here, they refer to that from then on. So those
that are there at that moment are noted with the edit: they were written for the row that is rejected, all
others perhaps not. Once that has another key they follow, if nobody has changed them since; the others are
told. It is done on request only, for these tables are not Syncline's.

So it is with the rows of tables that take part, or did, and cannot be looked at as such: those that are aside
(`replica.lost`) and those that are retired. Their foreign keys are the ones that the centre has, or had. Such
a row was made for what it refers to, also if it was changed since; when its table takes part again before it
has followed, it is refused with the row that it means (`replica.returned`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from syncline.errors import StoreConstraint, StoreObstacle, UsageError
from syncline.model.naming import folded
from syncline.model.order import as_bytes, is_sound
from syncline.model.schema import TableSchema
from syncline.model.values import Value
from syncline.replica.device import Device
from syncline.replica.indexes import columns_of
from syncline.replica.local import Reference, references
from syncline.replica.overlay import Key, Overlay
from syncline.replica.statements import Statements
from syncline.replica.store import Store, pack, quote, unpack

MOST = 10_000
"""Rows that are noted with one edit (law L11). Of more, none is: nobody could say which had followed."""

TOLD = 100
"""So many are told."""

DIGEST_BYTES = 12

NOTED = "SELECT id, n, key, edit FROM _sync_rejected WHERE instr(edit, CAST('local' AS BLOB)) > 0 ORDER BY id"
"""The rejected inserts that may have such notes."""

Row = tuple[str, Key]
"""Table, and what identifies the row in it."""


@dataclass(frozen=True, slots=True)
class Followed:
    """The rows that refer to the new key now, and those that refer to the former one."""

    moved: tuple[Row, ...]
    left: tuple[Row, ...]


def note_meant(
    device: Device, t: Statements, numbers: Mapping[Key, int], leaving: Collection[int] = ()
) -> None:
    """Note with rejected inserts which rows refer to theirs, as the tables are now. `numbers`: the ids of the
    edits by key; `leaving`: tables that are about to take part no more. Inside a transaction."""
    found: dict[int, list[Any]] = {}
    for one in _referring(device, t, leaving) if numbers else ():
        for number, rows in _meaning(device, t, one, numbers).items():
            found.setdefault(number, []).append(
                [one.child, list(one.foreign.columns), list(_theirs(t, one)), rows]
            )
    for number, local in found.items():
        if sum(len(rows) for *_, rows in local) > MOST:
            continue
        edit = device.store.value("SELECT edit FROM _sync_rejected WHERE id = ?", (number,))
        written = pack({**unpack(edit), "local": local})
        device.store.execute("UPDATE _sync_rejected SET edit = ? WHERE id = ?", (written, number))


def meant(edit: Mapping[str, Any]) -> tuple[Row, ...]:
    """The rows that are noted with an edit, the first of them."""
    rows = ((child, tuple(place)) for child, _, _, noted in edit.get("local", ()) for place, _ in noted)
    return tuple(dict.fromkeys(row for row, _ in zip(rows, range(TOLD), strict=False)))


def has_noted(store: Store, name: str) -> bool:
    """Whether rows of this table are noted with a rejected insert."""
    edits = (unpack(body) for *_, body in store.rows(NOTED))
    return any(folded(one[0]) == folded(name) for edit in edits for one in edit.get("local", ()))


def check_noted(device: Device, edit: Mapping[str, Any]) -> None:
    """UsageError (`retry_refused`) if rows are noted with a rejected insert whose table is aside: once that
    is discarded, nothing says that they do not mean the other's row."""
    noted = {folded(child) for child, _, _, rows in edit.get("local", ()) if rows}
    for t in device.aside.values():
        if folded(t.table.name) in noted:
            raise UsageError(
                f"the edit cannot be discarded yet: rows of {t.table.name} were written for its row, and"
                f" {t.table.name} cannot take part now",
                code="retry_refused",
                remedy="Make the table fit, see syncline status FILE; then sync, and discard the edit.",
            )


def follow(device: Device, t: Statements, edit: Mapping[str, Any], old: Key, new: Key) -> Followed:
    """Let the rows that are noted with an edit refer to the key that its row has now. UsageError if one of
    them cannot, for something of the application's refuses it."""
    there = {(one.child, one.foreign.columns): one for one in _referring(device, t)}
    former = {folded(table.name) for table in out_of_service(device)}
    changes: dict[Row, tuple[Reference, bytes, dict[str, Value]]] = {}
    for child, columns, theirs, noted in edit.get("local", ()):
        one = there.get((child, tuple(columns)))
        if one is None or list(_theirs(t, one)) != theirs:
            continue
        leads = _change(t, columns, _theirs(t, one), old)
        for place, digest in noted:
            if folded(child) in former:
                digest = _digest_of(device, one, tuple(place), leads)
            row = changes.setdefault((child, tuple(place)), (one, digest, {}))
            row[2].update(_change(t, columns, theirs, new))
    with device.store.undecoded():
        moved = [
            row
            for row, (one, digest, change) in changes.items()
            if _is_moved(device, t, one, (row[1], digest), change)
        ]
        _note_again(device, {row: changes[row] for row in moved})
        return Followed(tuple(moved), tuple(_left(device, t, list(there.values()), old)))


def _change(t: Statements, columns: Sequence[str], theirs: Sequence[str], key: Key) -> dict[str, Value]:
    """What the columns of a foreign key hold that lead to a key."""
    values = {folded(name): value for name, value in zip(t.table.key, key, strict=True)}
    pairs = zip(columns, theirs, strict=True)
    return {own: values[folded(name)] for own, name in pairs if folded(name) in values}


def _is_moved(
    device: Device, t: Statements, one: Reference, noted: tuple[Key, bytes], change: Mapping[str, Value]
) -> bool:
    """Let a row follow, if it is as it was noted."""
    (place, digest), store = noted, device.store
    where = " AND ".join(f"{name} IS ?" for name in _place(one))
    row = store.row(f"SELECT * FROM {quote(one.child)} WHERE {where}", place)
    if not change or row is None or _digest(row) != digest:
        return False
    changes = ", ".join(f"{quote(name)} = ?" for name in change)
    sql = f"UPDATE {quote(one.child)} SET {changes} WHERE {where}"
    try:
        return store.execute(sql, (*change.values(), *place)) > 0
    except (StoreConstraint, StoreObstacle) as error:
        raise UsageError(
            f"table {t.table.name}: the edit cannot be put back: the row of {one.child}, key {list(place)!r},"
            f" cannot follow it: {error.__cause__ or error.detail}",
            code="retry_refused",
            remedy="Let that row refer elsewhere, or delete it, then retry the edit.",
        ) from error


def _digest_of(device: Device, one: Reference, place: Key, leads: Mapping[str, Value]) -> bytes:
    """What a row is known by, as it is now; nothing if it does not refer to what it did."""
    where = " AND ".join(f"{name} IS ?" for name in [*_place(one), *map(quote, leads)])
    with device.store.undecoded():
        row = device.store.row(f"SELECT * FROM {quote(one.child)} WHERE {where}", (*place, *leads.values()))
    return b"" if row is None else _digest(row)


def _note_again(device: Device, moved: Mapping[Row, tuple[Reference, bytes, Mapping[str, Value]]]) -> None:
    """What rows hold that have followed one edit, and how they are found now, where they are noted with
    others too: nobody but Syncline has changed them."""
    now: dict[tuple[str, bytes, bytes], tuple[list[Value], bytes]] = {}
    for (child, place), (one, digest, change) in moved.items():
        written = {folded(name): value for name, value in change.items()}
        names = [folded(name) for name in one.key]
        new = [written.get(name, there) for name, there in zip(names, place, strict=True)] if names else place
        where = " AND ".join(f"{name} IS ?" for name in _place(one))
        row = device.store.row(f"SELECT * FROM {quote(child)} WHERE {where}", new)
        if row is not None:
            now[child, pack(list(place)), digest] = list(new), _digest(row)
    sql = "SELECT id, edit FROM _sync_rejected WHERE instr(edit, CAST('local' AS BLOB)) > 0"
    for number, packed in list(device.store.rows(sql)) if now else ():
        edit, is_changed = unpack(packed), False
        for child, _, _, noted in edit.get("local", ()):
            for at, (place, digest) in enumerate(noted):
                again = now.get((child, pack(place), digest))
                if again is not None:
                    noted[at], is_changed = list(again), True
        if is_changed:
            device.store.execute("UPDATE _sync_rejected SET edit = ? WHERE id = ?", (pack(edit), number))


def _left(device: Device, t: Statements, those: Sequence[Reference], key: Key) -> Iterator[Row]:
    left = TOLD
    for one in those:
        leads = _change(t, one.foreign.columns, _theirs(t, one), key)
        if len(leads) < len(one.foreign.columns) or not left:
            continue  # it refers by what else the row holds: whose that is shows there
        where = " AND ".join(f"{quote(name)} IS ?" for name in leads)
        sql = f"SELECT {', '.join(_place(one))} FROM {quote(one.child)} WHERE {where} LIMIT ?"
        for place in device.store.rows(sql, (*leads.values(), left)):
            left -= 1
            yield one.child, tuple(place)


def _meaning(
    device: Device, t: Statements, one: Reference, numbers: Mapping[Key, int]
) -> dict[int, list[tuple[list[Value], bytes]]]:
    """The rows that refer to each of the edits' rows: what identifies each, and the digest of the whole."""
    keys, store = list(numbers), device.store
    Overlay(store).load_keys(t, keys)
    pairs = zip(_theirs(t, one), one.foreign.columns, strict=True)
    points = " AND ".join(f"p.{quote(theirs)} = c.{quote(own)}" for theirs, own in pairs)
    picked = [f"c.{name}" for name in _place(one)]
    sql = (
        f"SELECT k.i, {', '.join(picked)}, c.* FROM temp._sync_keys_{t.n} k"
        f" CROSS JOIN {t.name} p ON {t.row_key('p', 'k')} CROSS JOIN {quote(one.child)} c ON {points}"
    )
    found: dict[int, list[tuple[list[Value], bytes]]] = {}
    with store.undecoded():
        for batch in store.batches(sql):
            for i, *row in batch:
                rows = found.setdefault(numbers[keys[i]], [])
                if len(rows) <= MOST and all(map(is_sound, row[: len(picked)])):
                    rows.append((row[: len(picked)], _digest(row[len(picked) :])))
    return found


def _referring(device: Device, t: Statements, leaving: Collection[int] = ()) -> list[Reference]:
    """The foreign keys to a table of those that are the application's alone, or out of service."""
    tracked = [one.table.name for one in device.tracked.values()]
    former, found = out_of_service(device, leaving), list[Reference]()
    for table in former:
        present = columns_of(device.store, table.name)
        found += [
            Reference(table.name, table.key, key)
            for key in table.foreign_keys
            if folded(key.parent) == folded(t.table.name) and present.keys() >= {*key.columns, *table.key}
        ]
    own = references(device.store, [*tracked, *(table.name for table in former)])
    return found + [one for one in own if folded(one.foreign.parent) == folded(t.table.name)]


def out_of_service(device: Device, leaving: Collection[int] = ()) -> list[TableSchema]:
    """The tables that are aside, retired, or `leaving`, as they are called here."""
    now = {folded(t.table.name) for t in device.tracked.values()}
    retired = {folded(table.name): table for table in device.retired.tables.values()}
    found = [t.table for t in device.aside.values()]
    found += [device.tables[n].table for n in leaving if n in device.tables]
    return found + [table for name, table in retired.items() if name not in now]


def _theirs(t: Statements, one: Reference) -> tuple[str, ...]:
    return one.foreign.parent_columns or t.table.key


def _place(one: Reference) -> list[str]:
    """The columns that identify a row."""
    return [quote(name) for name in one.key] or ["rowid"]


def _digest(row: Sequence[Value]) -> bytes:
    plain = [value if is_sound(value) else as_bytes(str(value)) for value in row]
    return hashlib.sha256(pack(plain)).digest()[:DIGEST_BYTES]
