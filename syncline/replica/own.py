"""Columns that the application had made before the centre did: the hub's values come, its own are kept.

What stands in a row because of the column's default nobody wrote: it is none of these."""

from __future__ import annotations

from collections.abc import Sequence

from syncline.merge.policies import TRACKED
from syncline.protocol.messages import ConflictNote, Group
from syncline.replica.conflicts import keep_own
from syncline.replica.drained import Drained, defaults_here
from syncline.replica.edge import same_value
from syncline.replica.overlay import Key
from syncline.replica.statements import Statements
from syncline.replica.work import Work


def note_own_values(work: Work, group: Group, adopted: Sequence[int]) -> None:
    """Keep as a conflict what was written into such columns in rows of a group, where that is not what the
    hub has."""
    t = work.device.tables[group.table]
    places = [(i, t.arity + group.columns.index(i)) for i in adopted if i in group.columns]
    unwritten = Drained(defaults_here(work.store, t, [i for i, _ in places]))
    rows = work.overlay.pending(t, [tuple(row[: t.arity]) for row in group.rows])
    for mine, theirs in zip(rows, group.rows, strict=True):
        if mine.present is None:
            continue
        for column, place in places:
            here = mine.present[t.table.places[column]]
            is_written = here is not None and not unwritten.fills(column, here)
            if is_written and not same_value(t, column, here, theirs[place]):
                keep_own(work.store, [_note(work, t, mine.key, column, (here, theirs[place]))])


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
