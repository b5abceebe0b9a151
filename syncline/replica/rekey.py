"""A rejected insert whose key another row has is brought in under a free number, with what points at it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from syncline.errors import UsageError
from syncline.merge.policies import KEY_TAKEN, PARENT_REJECTED
from syncline.model.schema import ForeignKey, TableSchema
from syncline.model.values import Value, identical
from syncline.replica.above import above_of, packed_above
from syncline.replica.awaited import awaited, is_counted, ready, refer_to_rest
from syncline.replica.device import Device
from syncline.replica.edges import parent_columns
from syncline.replica.meant import follow
from syncline.replica.meanwhile import Kept, said
from syncline.replica.overlay import Key
from syncline.replica.rejected import check_points, find, following, kept_edit, putting_back, retry_now
from syncline.replica.reports import RetriedEdit
from syncline.replica.statements import Statements
from syncline.replica.stayed import held_back
from syncline.replica.store import Store, pack, unpack

_MOVE = "UPDATE _sync_rejected SET first = coalesce(first, key), key = ?, edit = ?, parent = ? WHERE id = ?"


def retry_with_new_key(device: Device, number: int) -> tuple[RetriedEdit, ...]:
    """Put a rejected insert into its table under a number that is free here; what was put back, it first.

    The rejected edits that point at it go with it, each under a new number itself if its own was taken, or
    is by now, and so does what was rejected because of these, on all levels. UsageError, and nothing is
    changed, if it is no insert of a row with a single integer key, would point at somebody else's row, or
    cannot be put back.
    """
    done: dict[int, RetriedEdit] = {}
    with putting_back(device) as put_back:
        device.store.defer_foreign_keys()
        if number not in ready(device, [number], ()):
            check_points(device, number)
        packed = dict(device.store.rows("SELECT id, key FROM _sync_rejected"))
        _bring_in(device, number, done, put_back)
        _bring_below(device, packed, done)
    return tuple(_told(one, tuple(unpack(packed[one.id]))) for one in done.values())


def _bring_below(device: Device, packed: Mapping[int, bytes], done: dict[int, RetriedEdit]) -> None:
    """Put back, level by level, what was rejected because of rows that are there again under the keys that
    they had. What waits for another row, too, or would go over what was written since, stays rejected.
    `packed`: the keys under which edits were rejected, by id."""
    level, waiting = list(done.values()), dict[int, None]()
    while level:
        kept = [(one.table, one.key) for one in level if pack(list(one.key)) == packed[one.id]]
        level, below = [], _by_parent(device) if kept else {}
        for above in kept:
            waiting |= dict.fromkeys(below.get(above, ()))
        for number in list(waiting):
            edit = following(device, number) if awaited(device, number) == frozenset() else None
            if edit is not None:
                del waiting[number]
                retry_now(device, number)
                done[number] = RetriedEdit(number, edit.t.table.name, edit.key, edit.op)
                level.append(done[number])
    for number in waiting:
        refer_to_rest(device, number)


def _by_parent(device: Device) -> dict[tuple[str, Key], list[int]]:
    """The ids of what was rejected because of another rejected row, by the table and key of that."""
    found: dict[tuple[str, Key], list[int]] = {}
    sql = "SELECT id, parent FROM _sync_rejected WHERE code = ? AND parent IS NOT NULL ORDER BY id"
    for number, packed in device.store.rows(sql, (PARENT_REJECTED,)):
        above = above_of(device, packed)
        if above is not None and not above.is_gone and above.n in device.tables:
            name = device.tables[above.n].table.name
            found.setdefault((name, above.key), []).append(number)
    return found


def _told(one: RetriedEdit, former: tuple[Value, ...]) -> RetriedEdit:
    return one if one.key == former else replace(one, key=former, new_key=one.key)


def _bring_in(device: Device, number: int, done: dict[int, RetriedEdit], put_back: list[Kept]) -> None:
    """Put back an insert under a new number, and what refers to it, under a new one itself if its own was
    taken. What refers to another rejected row as well waits for that; it has the new number in it by then.
    `done`, `put_back`: what was put back is added to them, under the key that it has now."""
    root = _counted(device, number)
    going: dict[int, _Child] = {}
    found = {number: root}
    free = [number, *(one for one in ready(device, [number], ()) if one != number)]
    while free:
        for one in free:
            child = found.get(one) or _child(device, one)
            going[one] = child
            for other in _renumber(device, going, one) if child.is_taken else ():
                _add(going if other.number in going else found, other)
        free = ready(device, found.keys() - going.keys(), going)
    for child in [root, *sorted(going.values(), key=lambda child: device.schema.rank[child.t.n])]:
        if child.number not in done:
            put_back.append(kept_edit(device, child.number))
            done[child.number] = _put_back(device, going[child.number])
    for one in found.keys() - going.keys():
        refer_to_rest(device, one)


def _add(known: dict[int, _Child], child: _Child) -> None:
    """One that is known already had another key before."""
    former = known.get(child.number)
    is_taken = child.is_taken and (former is None or former.is_taken)
    before = child.before if former is None else former.before
    known[child.number] = replace(child, before=before, is_taken=is_taken)


def _counted(device: Device, number: int) -> _Child:
    """UsageError (`no_new_key`) if the edit cannot have another number."""
    if find(device.store, number).n not in device.tables:
        kept_edit(device, number)  # says why not
    child = _child(device, number)
    if not is_counted(child.op, child.before):
        raise UsageError(
            "only a rejected insert of a row with a single integer key can have a new one",
            code="no_new_key",
            remedy="Retry it without a new key, or discard it.",
        )
    return replace(child, is_taken=True)


def _child(device: Device, number: int) -> _Child:
    found = find(device.store, number)
    t, key, edit = device.tables[found.n], unpack(found.key), unpack(found.edit)
    is_taken = found.code == KEY_TAKEN and is_counted(found.op, key)
    return _Child(number, t, found.op, key, key, _named(t, edit), is_taken, found.push)


def _renumber(device: Device, going: dict[int, _Child], number: int) -> list[_Child]:
    """Give one that goes a number that is free; what refers to it, or to what has another key by that."""
    child, store = going[number], device.store
    new: list[Value] = [_free(store, child.t)]
    sql = "UPDATE _sync_rejected SET first = coalesce(first, key), key = ?, op = 'I' WHERE id = ?"
    store.execute(sql, (pack(new), number))
    going[number] = replace(child, after=new, op="I", is_taken=False)
    _rename_earlier(device, number, _Moved(child.t, child.after, new, child.held))
    return _following(device, _Moved(child.t, child.after, new, child.held), child.push)


def _put_back(device: Device, child: _Child) -> RetriedEdit:
    """In a row that has another key by that, the rows that refer to it follow."""
    edit = unpack(find(device.store, child.number).edit)
    retry_now(device, child.number)
    place = child.number, child.t.table.name, tuple(child.after), child.op
    if child.op not in "IR" or child.before == child.after:
        return RetriedEdit(*place)
    followed = follow(device, child.t, edit, tuple(child.before), tuple(child.after))
    return RetriedEdit(*place, None, followed.moved, followed.left)


@dataclass(frozen=True, slots=True)
class _Moved:
    """A row that has another key. `held`: what else it holds, by the names of columns."""

    t: Statements
    old: list[Value]
    new: list[Value]
    held: Mapping[str, Value]


def _named(t: Statements, edit: Mapping[str, Any]) -> dict[str, Value]:
    pairs = zip(edit["columns"], edit["values"], strict=False)
    return {t.table.values[i].name: value for i, value in pairs if i in t.table.values}


def _following(device: Device, first: _Moved, push: int | None) -> list[_Child]:
    """`_pointing`, and what points at the rows that have another key by that, parents first."""
    eligible = _eligible(device, first.t, first.old, push)
    found, moved = dict[int, _Child](), [first]
    for row in moved:  # which grows meanwhile
        for child in _pointing(device, row, eligible):
            former = found.pop(child.number, child)  # it has one more parent: it comes after that
            found[child.number] = replace(child, before=former.before)
            if child.op in "IR" and child.before != child.after:
                moved.append(_Moved(child.t, child.before, child.after, child.held))
    return sorted(found.values(), key=lambda child: device.schema.rank[child.t.n])


def _free(store: Store, t: Statements) -> int:
    """A number that no row of the table has, none that is parked and none that was rejected."""
    (name,) = t.keys
    used = [store.value(f"SELECT coalesce(max({name}), 0) FROM {t.name}")]
    for table in ("_sync_parked", "_sync_rejected"):
        used += [unpack(key)[0] for (key,) in store.rows(f"SELECT key FROM {table} WHERE n = ?", (t.n,))]
    return max(0, *(value for value in used if isinstance(value, int))) + 1


@dataclass(frozen=True, slots=True)
class _Child:
    """A rejected edit that points at the row: the key that it had and has, what else it holds, and whether
    another row has that key."""

    number: int
    t: Statements
    op: str
    before: list[Value]
    after: list[Value]
    held: Mapping[str, Value]
    is_taken: bool
    push: int | None


def _pointing(device: Device, row: _Moved, eligible: list[int]) -> Iterator[_Child]:
    """Let those of the rejected edits that point at the row point at its new key."""
    store = device.store
    sql = "SELECT n, key, op, edit, code, parent, push FROM _sync_rejected WHERE id = ?"
    old, new = [row.t.n, row.old], [row.t.n, row.new]
    for number in eligible:
        n, packed, op, kept, code, parent, push = store.row(sql, (number,)) or (
            None,
            b"",
            "",
            b"",
            "",
            None,
            0,
        )
        child = None if n is None else device.tables.get(n)
        if child is None:
            continue
        edit, before = unpack(kept), unpack(packed)
        after, written = list(before), list(edit["values"])
        rest = said(store, child, before, edit)
        moves = [_moved(child.table, fk, row, (after, edit, rest)) for fk in child.table.foreign_keys]
        if True in moves:
            stays = op in "IR" and after == before and _stays(store, child, before, edit, written)
            edit["moved"] = [*(one for one in edit.get("moved", ()) if one != old), new]
            if above_of(device, parent) == (row.t.n, tuple(row.old), False):
                parent = packed_above(row.t.n, row.new)
            changed = pack(after), pack(edit), parent, number
            store.execute(_MOVE, changed)
            is_taken = is_counted(op, after) and code == KEY_TAKEN
            is_taken = is_taken or (not stays and _is_taken_since(store, child, op, after))
            yield _Child(number, child, op, before, after, _named(child, edit), is_taken, push)


def _stays(store: Store, t: Statements, key: list[Value], edit: dict[str, Any], written: list[Value]) -> bool:
    """Whether the file keeps the row as a rejected insert has `written` it. It points at the old key still:
    nobody has changed that since, and the edit has seen it (`base`, also of what has moved before)."""
    present = store.row(t.select, key)
    if present is None or held_back(store, t, key) is not None:
        return False
    row, base, same = t.state_of(present), edit["base"], True
    for place, (i, value) in enumerate(zip(edit["columns"], written, strict=False)):
        there, seen = row.get(i), base[place : place + 1]
        if i in row and identical(there, value):
            base[place : place + 1] = [value] * len(seen)
        elif i in row and (there is None or not seen or not identical(there, *seen)):
            same = False
    return same


def _rename_earlier(device: Device, number: int, row: _Moved) -> None:
    """What was kept before for other reasons, be it that its table takes no part, meant the row as well: it
    names that by its new key, and stays kept."""
    sql = "SELECT id, n, key, edit, parent FROM _sync_rejected WHERE id < ? AND code NOT IN (?, ?)"
    for one, n, packed, body, parent in device.store.rows(sql, (number, KEY_TAKEN, PARENT_REJECTED)):
        table, key, edit = device.known(n), unpack(packed), unpack(body)
        if table is None:
            continue
        rest = said(device.store, device.tables[n], key, edit) if n in device.tables else {}
        if True in [_moved(table, fk, row, (key, edit, rest)) for fk in table.foreign_keys]:
            device.store.execute(_MOVE, (pack(key), pack(edit), parent, one))


def _moved(
    child: TableSchema,
    fk: ForeignKey,
    row: _Moved,
    told: tuple[list[Value], dict[str, Any], Mapping[str, Value]],
) -> bool:
    """Write the new key into key and values of an edit whose foreign key has the old one; whether it
    points at the row. By other columns it does so as before. `told`: key, edit, and what that says."""
    key, edit, rest = told
    t, target = row.t, parent_columns(fk, row.t)
    if fk.parent != t.table.name:
        return False
    own = {column.name: i for i, column in child.values.items()}
    places: list[tuple[list[Value], int]] = []
    for name in fk.columns:
        if name in child.key:
            places.append((key, child.key.index(name)))
        elif own[name] in edit["columns"][: len(edit["values"])]:
            places.append((edit["values"], edit["columns"].index(own[name])))
        else:
            places.append(([rest.get(name)], 0))
    known = {**row.held, **dict(zip(t.table.key, row.old, strict=True))}
    wanted = [known.get(name) for name in target]
    if None in wanted or [values[i] for values, i in places] != wanted:
        return False
    for (values, i), name in zip(places, target, strict=True):
        if name in t.table.key:
            values[i] = row.new[t.table.key.index(name)]
    return True


def _eligible(device: Device, t: Statements, key: list[Value], push: int | None) -> list[int]:
    """The rejected edits that may mean the row, or one below it: those of its push, those that were rejected
    because of it, and those that wait for another row since they refer to this one by its present key."""
    sql = (
        "SELECT id, n, key, code, parent, push,"
        " CASE WHEN instr(edit, CAST('moved' AS BLOB)) > 0 THEN edit END"
        " FROM _sync_rejected WHERE code IN (?, ?) ORDER BY id"
    )
    found: set[int] = set()
    above = [packed_above(t.n, key)]
    below: dict[bytes, list[tuple[int, int, bytes]]] = {}
    for number, n, packed, code, parent, made, edit in device.store.rows(sql, (PARENT_REJECTED, KEY_TAKEN)):
        if made == push and (code == KEY_TAKEN or push is not None):
            found.add(number)
        child = number, n, packed
        above_it = above_of(device, parent)
        if above_it is not None and not above_it.is_gone and (code == PARENT_REJECTED or made == push):
            below.setdefault(packed_above(above_it.n, above_it.key), []).append(child)
        for n_above, key_above in () if edit is None else unpack(edit).get("moved", ()):
            below.setdefault(packed_above(n_above, key_above), []).append(child)
    for parent in above:  # which grows meanwhile
        for number, n, packed in below.pop(parent, ()):
            found.add(number)
            if n in device.tables:
                above.append(packed_above(n, unpack(packed)))
    return sorted(found)


def _is_taken_since(store: Store, t: Statements, op: str, key: list[Value]) -> bool:
    """Whether a row has the key of an insert by now, which can have another."""
    return op == "I" and is_counted(op, key) and store.row(t.select, key) is not None
