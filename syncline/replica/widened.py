"""What a change of the centre's columns would take from tables that were not captured for a while (law L2).

A column that has a wider type is filled with the centre's values, and one that the centre has dropped is
synced no longer, while what the application wrote there unseen has not been compared yet (`replica.regain`).
So a value that is not the centre's is left where it stands, for that comparison to find; of a column that is
gone nobody can compare it any more, and it is kept as a conflict.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import msgspec

from syncline.merge.policies import COMPARED
from syncline.model.evolution import TableChange
from syncline.model.same import is_same
from syncline.model.values import Value
from syncline.protocol.messages import ConflictNote, Group
from syncline.replica import join
from syncline.replica.conflicts import keep_own
from syncline.replica.edge import same_value
from syncline.replica.lost import lost
from syncline.replica.overlay import Pending
from syncline.replica.statements import Statements
from syncline.replica.work import Work

BATCH = 5_000
"""Rows that are looked at at a time (law L11)."""


def without_unseen(work: Work, group: Group, change: TableChange | None) -> list[Group]:
    """The part of a group that was fetched for a changed table that may be written: all of it, unless the
    table was not captured for a while. Then not the cells of wider columns that hold another value here."""
    if change is None or group.table not in lost(work.store):
        return [group]
    t = work.device.tables[group.table]
    places = {i: t.arity + group.columns.index(i) for i in change.retyped if i in group.columns}
    former = {column.number: column for column in change.before.columns}
    found: dict[frozenset[int], list[list[Value]]] = {}
    rows = work.overlay.pending(t, [tuple(row[: t.arity]) for row in group.rows])
    for own, row in zip(rows, group.rows, strict=True):
        unlike = frozenset(
            i
            for i, place in places.items()
            if own.present is not None
            and not own.touched >> i & 1
            and not same_value(t, i, mine := own.present[t.table.places[i]], row[place])
            and not is_same(former[i], mine, row[place])
        )
        found.setdefault(unlike, []).append(row)
    return list(_narrowed(t, group, found))


def _narrowed(t: Statements, group: Group, rows: dict[frozenset[int], list[list[Value]]]) -> Iterator[Group]:
    """The rows without the columns that their sets name."""
    for unlike, some in rows.items():
        columns = [i for i in group.columns if i not in unlike]
        places = [*range(t.arity), *(t.arity + group.columns.index(i) for i in columns)]
        if columns:
            yield Group(group.table, group.op, columns, [[row[place] for place in places] for row in some])


def keep_unseen_of(work: Work, t: Statements, gone: Collection[int]) -> None:
    """Keep what stands in columns that the centre has dropped, if the table was not captured for a while:
    some of it may have been written then, and nobody can tell which. What is pending is kept by itself, see
    `dropped`. `t` has the columns still. Inside the transaction that migrates, before the edits go."""
    columns = [i for i in t.values if i in gone and not t.table.values[i].computed]
    if t.n not in lost(work.store) or not columns:
        return
    blank = join.own_note(work, t, COMPARED)
    known = " AND ".join(f"{name} IS NOT NULL" for name in t.keys)
    some = " OR ".join(f"{t.values[i]} IS NOT NULL" for i in columns)
    keys = f"SELECT {', '.join(t.keys)} FROM main.{t.name} WHERE {known} AND ({some})"
    for batch in work.store.batches(keys, size=BATCH):
        rows = work.overlay.pending(t, batch)
        keep_own(work.store, (note for own in rows for note in _notes(t, blank, own, columns)))


def _notes(
    t: Statements, blank: ConflictNote, own: Pending, columns: Sequence[int]
) -> Iterator[ConflictNote]:
    if own.present is None or any(entry.op != "U" for entry in own.entries):
        return
    for i in columns:
        value = own.present[t.table.places[i]]
        if value is not None and not own.touched >> i & 1:
            name = t.table.values[i].name
            yield msgspec.structs.replace(blank, key=list(own.key), column=name, columns=[i], sent=value)
