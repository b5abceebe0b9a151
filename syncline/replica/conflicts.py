"""Conflicts as the hub noted them: kept in the file with the base and both values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from syncline.errors import ProtocolError, UsageError
from syncline.protocol.flows import Flow
from syncline.protocol.messages import ConflictNote, ConflictsAnswer, ConflictsQuery, Resolve
from syncline.replica.store import Store

PAGE = 500
TAKES = ("hub", "sent", "base", "value")


def keep_conflicts(store: Store, notes: Iterable[ConflictNote]) -> None:
    """Enter the hub's notes, the newest state of each. Inside a transaction."""
    store.executemany(
        "INSERT INTO _sync_conflict (id, note) VALUES (?, ?)"
        " ON CONFLICT (id) DO UPDATE SET note = excluded.note",
        ((note.id, msgspec.msgpack.encode(note)) for note in notes),
    )


def keep_own(store: Store, note: ConflictNote) -> None:
    """Enter a conflict that the replica itself met (tracking a file with rows of its own): a negative id."""
    lowest = store.value("SELECT min(id) FROM _sync_conflict WHERE id < 0") or 0
    keep_conflicts(store, [msgspec.structs.replace(note, id=lowest - 1)])


def conflicts(store: Store, *, open_only: bool) -> list[ConflictNote]:
    """The kept notes, oldest first."""
    notes = [
        msgspec.msgpack.decode(body, type=ConflictNote)
        for (body,) in store.rows("SELECT note FROM _sync_conflict ORDER BY abs(id)")
    ]
    return [note for note in notes if note.outcome == "open"] if open_only else notes


def resolve(store: Store, number: int, take: str, value: Any = None) -> Flow[ConflictNote]:
    """Have the hub settle an open conflict. The row itself comes with the next pull."""
    if take not in TAKES:
        raise UsageError(f"take is one of {', '.join(TAKES)}, not {take!r}")
    if number < 0:
        raise UsageError(
            f"conflict {number} was noted by this replica, the hub does not know it",
            remedy="Write the value you want into the table; the next sync sends it.",
        )
    note = yield Resolve(number, take, value)  # type: ignore[arg-type]
    if not isinstance(note, ConflictNote):
        raise ProtocolError(f"the hub answered {type(note).__name__} where a conflict belongs")
    with store.transaction():
        keep_conflicts(store, [note])
    return note


def refresh(store: Store) -> Flow[None]:
    """Ask the hub how the open conflicts of this replica stand (a person may have settled them there).
    Nothing is sent if there are none."""
    replica = store.state().replica
    waiting = {note.id for note in conflicts(store, open_only=True) if note.id > 0}
    after = min(waiting, default=0) - 1
    found: list[ConflictNote] = []
    while waiting:
        answer = yield ConflictsQuery(replica, False, after, PAGE)
        if not isinstance(answer, ConflictsAnswer):
            raise ProtocolError(f"the hub answered {type(answer).__name__} where conflicts belong")
        found += [note for note in answer.conflicts if note.id in waiting]
        if len(answer.conflicts) < PAGE or (found and found[-1].id >= max(waiting)):
            break
        after = answer.conflicts[-1].id
    if found:
        with store.transaction():
            keep_conflicts(store, found)
