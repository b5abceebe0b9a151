"""Writing the hub's rows in sets, and making room where a unique value is taken.

Inside one apply a unique value can be taken by a row whose own new state comes later (two rows swap their
numbers), or by a row with pending edits. The first gives way at once and gets its value when its turn
comes; beside the second the hub's row gives way (law L6: pending edits stay on top) and what it lacks is
held until the hub has decided.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import count

from syncline.errors import StoreConstraint, StoreError
from syncline.model.values import INTEGER_MIN, Value
from syncline.replica.cascades import children_kept
from syncline.replica.overlay import Key
from syncline.replica.statements import Statements
from syncline.replica.store import pack, quote
from syncline.replica.work import Work

SLICE = 1000
"""Rows that are written one by one when one of them finds no room."""


def write_rows(work: Work, t: Statements, columns: Sequence[int], rows: Sequence[list[Value]]) -> None:
    """Write rows of one column set: whole ones are inserted or updated, partial ones updated."""
    if t.folds and t.is_whole(columns):
        rows = _without_doubles(work, t, columns, rows)
    if not rows:
        return
    if not work.held.get(t.n):
        try:
            _write_set(work, t, columns, rows)
            return
        except StoreConstraint as error:
            _refuse_others(t, error)
    for start in range(0, len(rows), SLICE):
        _write_slice(work, t, columns, rows[start : start + SLICE])


def _write_slice(work: Work, t: Statements, columns: Sequence[int], rows: Sequence[list[Value]]) -> None:
    """Writing twice is harmless: the rows before the one that failed are simply written again."""
    plain = [row for row in rows if not work.is_held(t, tuple(row[: t.arity]))]
    try:
        _write_set(work, t, columns, plain)
    except StoreConstraint as error:
        _refuse_others(t, error)
        plain = []
    if len(plain) == len(rows):
        return
    for row in rows:
        key = tuple(row[: t.arity])
        if not plain or work.is_held(t, key):
            write_row(work, t, key, dict(zip(columns, row[t.arity :], strict=True)))


def _write_set(work: Work, t: Statements, columns: Sequence[int], rows: Sequence[list[Value]]) -> None:
    with children_kept(work, t, columns, rows):
        work.store.executemany(t.upsert(columns) if t.is_whole(columns) else t.update(columns), rows)


def write_row(work: Work, t: Statements, key: Key, state: dict[int, Value]) -> None:
    """Write one row with all that is held of it, making room; what cannot be shown now is held again."""
    if work.is_held(t, key):
        state = {**(work.release(t, key) or {}), **state}
    state = dict(state)
    if t.folds and work.overlay.doubles(t, [key]):
        work.hold(t, key, state)
        return
    for _ in range(2 * len(uniques(work, t)) + 2):
        if not state and t.values:
            return
        try:
            _write_set(work, t, tuple(state), [[*key, *state.values()]])
            return
        except StoreConstraint as error:
            _refuse_others(t, error, key)
            if not _make_room(work, t, key, state):
                break
    work.hold(t, key, state)


def _without_doubles(
    work: Work, t: Statements, columns: Sequence[int], rows: Sequence[list[Value]]
) -> Sequence[list[Value]]:
    """Hold the rows whose key the file takes for that of another row with pending edits ('a' and 'A')."""
    doubles = set(work.overlay.doubles(t, [tuple(row[: t.arity]) for row in rows]))
    for i in doubles:
        work.hold(t, tuple(rows[i][: t.arity]), dict(zip(columns, rows[i][t.arity :], strict=True)))
    return [row for i, row in enumerate(rows) if i not in doubles]


def show_row(work: Work, t: Statements, key: Key, image: Sequence[Value]) -> bool:
    """Put a hidden row with pending edits back, whole. False: another pending row stands in its way."""
    for _ in range(len(uniques(work, t)) + 1):
        try:
            _write_set(work, t, list(t.values), [[*key, *image]])
            return True
        except StoreConstraint as error:
            _refuse_others(t, error, key)
            found = _taken(work, t, key, t.state_of(image))
            if found is None or work.overlay.is_pending(t, found[0]) or not _displace(work, t, *found):
                return False
    return False


def uniques(work: Work, t: Statements) -> list[tuple[str, ...]]:
    """The unique indexes on plain columns that the table has in this file, as column names."""
    return work.device.uniques(t)


def _make_room(work: Work, t: Statements, key: Key, state: dict[int, Value]) -> bool:
    """Find who holds a unique value of this row and settle who gives way. False: the row must wait.

    Changes `state` to what of the row can be written.
    """
    present = work.store.row(t.select, key)
    merged = {} if present is None else t.state_of(present)
    found = _taken(work, t, key, merged | state)
    if found is None:
        return False
    holder, unique = found
    if not work.overlay.is_pending(t, holder) and _displace(work, t, holder, unique):
        return True
    return _give_way(work, t, key, state, unique, present is not None)


def _taken(
    work: Work, t: Statements, key: Key, state: dict[int, Value]
) -> tuple[Key, tuple[str, ...]] | None:
    """The row that holds a unique value of this one, and the columns that are unique."""
    known = dict(zip(t.table.key, key, strict=True))
    known |= {column.name: state[i] for i, column in t.table.values.items() if i in state}
    for unique in uniques(work, t):
        wanted = [known.get(name) for name in unique]
        if None in wanted:
            continue
        match = " AND ".join(f"{quote(name)} = ?{len(key) + i}" for i, name in enumerate(unique, 1))
        found = work.store.row(
            f"SELECT {', '.join(t.keys)} FROM {t.name} WHERE {match} AND NOT ({t.by_key})", (*key, *wanted)
        )
        if found is not None:
            return tuple(found), unique
    return None


def _displace(work: Work, t: Statements, holder: Key, unique: Sequence[str]) -> bool:
    """Take a unique value away from a row whose own state comes, or is put back, later."""
    column = _yielding(t, unique)
    if column is None:
        return False
    present = work.store.row(t.select, holder)
    assert present is not None, "the holder was found a moment ago"
    _write_set(work, t, (column,), [[*holder, placeholder(work, t, holder, column)]])
    if work.is_gone(t, holder):
        return True  # it leaves anyway: nothing of it is to be put back
    if not work.is_held(t, holder) or work.held[t.n][holder] is not None:
        kept = work.held.setdefault(t.n, {}).get(holder) or {}
        work.held[t.n][holder] = {column: present[t.table.places[column]], **kept}
    return True


def _give_way(
    work: Work, t: Statements, key: Key, state: dict[int, Value], unique: Sequence[str], exists: bool
) -> bool:
    """Beside pending edits the hub's row keeps what it has, or begins without the value."""
    names = {column.name: i for i, column in t.table.values.items()}
    own = [names[name] for name in unique if name in names and names[name] in state]
    if exists and own:
        work.hold(t, key, {column: state.pop(column) for column in own})
        return True
    column = _yielding(t, unique)
    if exists or column is None:
        return False
    work.hold(t, key, {column: state[column]})
    state[column] = placeholder(work, t, key, column)
    return True


def _yielding(t: Statements, unique: Sequence[str]) -> int | None:
    """The column of a unique index that can be without its value for a while: rather one that may be NULL."""
    columns = [i for i, column in t.table.values.items() if column.name in unique]
    columns.sort(key=lambda i: not t.table.values[i].nullable)
    return columns[0] if columns else None


def placeholder(work: Work, t: Statements, key: Key, column: int) -> Value:
    """A value that no row has: NULL, or where that is not allowed one made of the key."""
    if t.table.values[column].nullable:
        return None
    numeric = "INT" in t.table.values[column].declared.upper()
    for attempt in count():  # an application may have copied the first one to another row
        digest = hashlib.sha256(pack([t.n, column, attempt, *key])).hexdigest()
        value = INTEGER_MIN + int(digest[:15], 16) if numeric else f"syncline:{digest[:24]}"
        if work.store.row(f"SELECT 1 FROM {t.name} WHERE {t.values[column]} = ?", (value,)) is None:
            return value
    raise AssertionError("count() does not end")


def _refuse_others(t: Statements, error: StoreConstraint, key: Iterable[Value] | None = None) -> None:
    """Only a taken unique value can be settled here; anything else is a stricter table than the hub's."""
    if error.kind == "unique":
        return
    where = f"table {t.table.name}" + ("" if key is None else f", key {list(key)!r}")
    raise StoreError(
        f"{where}: this file's own constraint refuses a row that the hub has: {error.detail}",
        code="device_constraint",
        remedy="Remove the constraint that only this file has; nothing was lost, sync again.",
    ) from error
