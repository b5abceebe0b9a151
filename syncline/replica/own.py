"""Columns that the application had made before the centre did: the hub's values come, its own are kept."""

from __future__ import annotations

from collections.abc import Sequence

from syncline.model.values import identical
from syncline.protocol.messages import ConflictNote, Group
from syncline.replica.conflicts import keep_own
from syncline.replica.overlay import Key
from syncline.replica.statements import Statements
from syncline.replica.work import Work


def note_own_values(work: Work, group: Group, adopted: Sequence[int]) -> None:
    """Keep as a conflict what rows of a group hold in such columns, where that is not what the hub has."""
    t = work.device.tables[group.table]
    places = [(i, t.arity + group.columns.index(i)) for i in adopted if i in group.columns]
    rows = work.overlay.pending(t, [tuple(row[: t.arity]) for row in group.rows])
    for mine, theirs in zip(rows, group.rows, strict=True):
        if mine.present is None:
            continue
        for column, place in places:
            here = mine.present[t.table.places[column]]
            if here is not None and not identical(here, theirs[place]):
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
        policy="track",
        table_number=t.n,
        columns=[column],
    )
