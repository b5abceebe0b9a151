"""Columns that the application had made before the centre did, or so that a table fits again: the hub's
values come, its own are kept.

What stands in a row because of the column's default nobody wrote: it is none of these."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence

from syncline.merge.policies import TRACKED
from syncline.protocol.messages import ConflictNote, Group
from syncline.replica.conflicts import keep_own
from syncline.replica.device import Device
from syncline.replica.drained import Drained, defaults_here
from syncline.replica.edge import same_value
from syncline.replica.join import IsNone
from syncline.replica.names import latest
from syncline.replica.overlay import Key
from syncline.replica.statements import Statements
from syncline.replica.store import Store
from syncline.replica.work import Work


def note_adopted(
    store: Store, adopted: Mapping[int, Collection[int]], gone: Mapping[int, Collection[int]]
) -> None:
    """Note such columns, by their table's number, in a file that is about to be filled again: the hub's
    values come with that. `gone` are none any more. Inside the transaction that alters the tables."""
    begun, noted = store.state().recovery, adopted_before(store)
    if begun is None:
        return
    found = {n: noted.get(n, set()) - {*gone.get(n, ())} | {*adopted.get(n, ())} for n in {*noted, *adopted}}
    kept = {n: sorted(columns) for n, columns in found.items() if columns}
    store.set_state(recovery=json.dumps(json.loads(begun) | {"adopted": kept}))


def adopted_before(store: Store) -> dict[int, set[int]]:
    """The columns that were noted, by their table's number."""
    noted = json.loads(store.state().recovery or "{}").get("adopted", {})
    return {int(n): {*columns} for n, columns in noted.items()}


def note_own_values(work: Work, group: Group, adopted: Collection[int]) -> None:
    """Keep as a conflict what was written into such columns in rows of a group, where that is not what the
    hub has. What is pending by now stays, and is sent."""
    t = work.device.tables[group.table]
    places = [(i, t.arity + group.columns.index(i)) for i in adopted if i in group.columns]
    is_none = _unwritten(work.device, t, [i for i, _ in places])
    rows = work.overlay.pending(t, [tuple(row[: t.arity]) for row in group.rows])
    for mine, theirs in zip(rows, group.rows, strict=True):
        if mine.present is None or any(entry.op != "U" for entry in mine.entries):
            continue
        for column, place in places:
            if mine.touched >> column & 1:
                continue
            here = mine.present[t.table.places[column]]
            if not (is_none(column, here) or same_value(t, column, here, theirs[place])):
                keep_own(work.store, [_note(work, t, mine.key, column, (here, theirs[place]))])


def unwritten_anew(device: Device, t: Statements) -> IsNone:
    """Whether nobody wrote a value, of a table that takes part again: it is what ADD COLUMN gives every row,
    in a column that the former table had not."""
    former = latest({n: one for n, one in device.retired.tables.items() if n != t.n}, t.table.name)
    if former is None:
        return lambda column, value: False
    known = {column.name for column in former.columns}
    return _unwritten(device, t, [i for i, column in t.table.values.items() if column.name not in known])


def _unwritten(device: Device, t: Statements, columns: Sequence[int]) -> IsNone:
    """Whether a value of one of these columns is its default, or none."""
    defaults = Drained(defaults_here(device.store, t, columns))
    return lambda column, value: column in columns and (value is None or defaults.fills(column, value))


def _note(work: Work, t: Statements, key: Key, column: int, values: tuple[object, object]) -> ConflictNote:
    return ConflictNote(
        id=0,
        table=t.table.name,
        key=list(key),
        column=t.table.values[column].name,
        outcome="hub",
        replica=work.store.state().replica,
        hlc=0,
        rival="hub",
        rival_hlc=0,
        base=None,
        sent=values[0],
        hub=values[1],
        at=work.store.utc(),
        policy=TRACKED,
        table_number=t.n,
        columns=[column],
    )
