"""Rows that stay in the file as a rejected edit has left them: the file does not take what the centre has
instead (`Work.held`), since a table, a trigger or an index of the application keeps them so.

To write once more what is there changes nothing, and so is no edit (law L2). What a retry of such an edit
means is put into the change log itself, as the triggers would have done it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from syncline.merge.policies import KEY_TAKEN
from syncline.model.masks import split_mask
from syncline.model.values import Value, add, identical, mask_of
from syncline.replica.overlay import Key
from syncline.replica.statements import Statements
from syncline.replica.store import Store, pack, unpack

State = Mapping[int, Value]


def held_back(store: Store, t: Statements, key: Sequence[Value]) -> State | None:
    """What the centre has of a row, by column, that the file does not take; nothing if it takes all. None:
    the centre has no such row, and the file keeps it."""
    state = store.value("SELECT state FROM _sync_held WHERE n = ? AND key = ?", (t.n, pack(list(key))))
    plain = [(), ()] if state is None else unpack(state)
    return None if plain is None else dict(zip(*plain, strict=True))


def is_kept_out(store: Store, t: Statements, key: Sequence[Value]) -> bool:
    """Whether the centre has a row, whole, that is not in the file."""
    held = held_back(store, t, key)
    sql = "SELECT 1 FROM _sync_held WHERE n = ? AND key = ?"
    is_held = store.row(sql, (t.n, pack(list(key)))) is not None
    return is_held and held is not None and t.is_whole(tuple(held)) and store.row(t.select, key) is None


def absence(store: Store, t: Statements, key: Sequence[Value]) -> str:
    """Why a row that the file keeps is not in the centre, as far as the file knows."""
    sql = "SELECT 1 FROM _sync_rejected WHERE n = ? AND key = ? AND op IN ('I', 'R') AND code <> ? LIMIT 1"
    if store.row(sql, (t.n, pack(list(key)), KEY_TAKEN)) is None:
        return "the centre does not have the row"
    return "the centre has refused the row (see syncline rejected FILE)"


def put_in_log(store: Store, t: Statements, op: str, key: Key, olds: State) -> None:
    """An entry as the triggers would have made it. `olds`: the former values, of an update those of the
    columns that it has changed."""
    masks = split_mask(mask_of(olds), len(t.masks)) if op == "U" else [None] * len(t.masks)
    entry = [op, *masks, *key, *(olds.get(i) for i in t.values)]
    names = ", ".join([*t.masks, t.key_columns, *(f"o{i}" for i in t.values)])
    marks = ", ".join("?" * (len(entry) - 1))
    sql = (
        f"INSERT INTO {t.log} (op, at, checkpoint, {names})"
        f" SELECT ?, julianday('now'), s.checkpoint, {marks} FROM _sync_state s"
    )
    store.execute(sql, entry)


def insert_again(store: Store, t: Statements, key: Key) -> None:
    """The row that is there is pending again, as one that was inserted: it does not wait to leave."""
    put_in_log(store, t, "I", key, {})
    store.execute("DELETE FROM _sync_held WHERE n = ? AND key = ?", (t.n, pack(list(key))))


def update_again(
    store: Store, t: Statements, key: Key, edit: Mapping[str, Any], seen: tuple[State, State | None]
) -> State:
    """Put into the log which columns of an update are in the row already; what each of them stands on.
    `seen`: the row as it is, and what is `held_back` of it."""
    present, held = seen
    olds: dict[int, Value] = {}
    former = dict(zip(edit["columns"], edit["base"], strict=False)) if held is None else held
    for i, value in zip(edit["columns"], edit["values"], strict=True):
        if i not in former:
            continue
        counts = t.increments >> i & 1 and value is not None and former[i] is not None
        if counts and held is not None:
            olds[i] = former[i]  # its increment goes onto what the centre has
        elif identical(present[i], add(former[i], value) if counts else value):
            olds[i] = former[i]
    if olds:
        put_in_log(store, t, "U", key, olds)
    return olds
