"""Conflicts as the hub noted them: kept in the file with the base and both values."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from syncline.errors import ReplicaOfAnother, ReplicaRevoked, UnknownReplica, UsageError
from syncline.model.native import carried
from syncline.protocol.flows import Flow
from syncline.protocol.messages import ConflictNote, ConflictsAnswer, ConflictsQuery, Resolve
from syncline.replica.session import ask
from syncline.replica.store import Store

PAGE = 500
TAKES = ("hub", "sent", "base", "value")


def keep_conflicts(store: Store, notes: Iterable[ConflictNote]) -> None:
    """Enter the hub's notes, the newest state of each. A note of another conflict that has such a number (the
    centre was put back, and counts anew) becomes this replica's own (law L2). Inside a transaction."""
    told = list(notes)
    highest = (store.value("SELECT max(id) FROM _sync_conflict") or 0) if told else 0
    for note in told:
        former = _kept(store, note.id) if note.id <= highest else None
        if former is not None and _what(former) != _what(note):
            _make_own(store, former)
    _enter(store, told)


def _enter(store: Store, notes: Iterable[ConflictNote]) -> None:
    store.executemany(
        "INSERT INTO _sync_conflict (id, note) VALUES (?, ?)"
        " ON CONFLICT (id) DO UPDATE SET note = excluded.note",
        ((note.id, msgspec.msgpack.encode(note)) for note in notes),
    )


def _kept(store: Store, number: int) -> ConflictNote | None:
    row = store.row("SELECT note FROM _sync_conflict WHERE id = ?", (number,))
    return None if row is None else msgspec.msgpack.decode(row[0], type=ConflictNote)


def keep_own(store: Store, notes: Iterable[ConflictNote]) -> None:
    """Enter conflicts that the replica itself met (tracking a file with rows of its own): negative ids."""
    lowest = store.value("SELECT min(id) FROM _sync_conflict WHERE id < 0") or 0
    _enter(store, (msgspec.structs.replace(note, id=lowest - i) for i, note in enumerate(notes, 1)))


def conflicts(store: Store, *, open_only: bool) -> list[ConflictNote]:
    """The kept notes, oldest first."""
    notes = [
        msgspec.msgpack.decode(body, type=ConflictNote)
        for (body,) in store.rows("SELECT note FROM _sync_conflict ORDER BY abs(id)")
    ]
    return [note for note in notes if note.outcome == "open"] if open_only else notes


def resolve(store: Store, number: int, take: str, value: Any = None) -> Flow[ConflictNote]:
    """Have the hub decide a conflict, open or settled. The row itself comes with the next pull."""
    if take not in TAKES:
        raise UsageError(f"take is one of {', '.join(TAKES)}, not {take!r}")
    if number < 0:
        raise UsageError(
            f"conflict {number} was noted by this replica, the hub does not know it",
            remedy="Write the value you want into the table; the next sync sends it.",
        )
    request = Resolve(number, take, carried(value), _maker(store, number))  # type: ignore[arg-type]
    note = yield from ask(request, ConflictNote)
    with store.transaction():
        keep_conflicts(store, [note])
    return note


def refresh(store: Store) -> Flow[None]:
    """Ask the hub how the open conflicts of this replica stand (a person may have settled them there).
    Nothing is sent if there are none."""
    waiting = [(note.replica, note.id) for note in conflicts(store, open_only=True) if note.id > 0]
    found = yield from fetch(waiting)
    if found:
        with store.transaction():
            keep_conflicts(store, found)


def set_apart(store: Store) -> Flow[None]:
    """After the centre went back: notes that the hub has no more become this replica's own, so that new ones
    with their numbers do not take their place (law L2). Nothing waits for a decision in them."""
    kept = {note.id: note for note in conflicts(store, open_only=False) if note.id > 0}
    found = yield from fetch([(note.replica, number) for number, note in kept.items()])
    known = {note.id: note for note in found}
    with store.transaction():
        for number, note in kept.items():
            if number not in known or _what(known[number]) != _what(note):
                _make_own(store, note)


def _what(note: ConflictNote) -> tuple[Any, ...]:
    """What tells a conflict from another one with its number."""
    return note.table, note.key, note.column, note.replica, note.hlc, note.rival, note.rival_hlc


def fetch(wanted: Collection[tuple[str, int]]) -> Flow[list[ConflictNote]]:
    """The hub's notes of these, by the id that pushed the edit and the number, as far as it has them. A file
    may have had several ids, of which a former one may be locked out: other requests say so of its own.
    Nothing is sent for none."""
    found: list[ConflictNote] = []
    for replica in dict.fromkeys(name for name, _ in wanted):
        numbers = {number for name, number in wanted if name == replica}
        found += yield from _of_one(replica, numbers)
    return found


def _of_one(replica: str, numbers: Collection[int]) -> Flow[list[ConflictNote]]:
    after, found = min(numbers) - 1, list[ConflictNote]()
    while True:
        query = ConflictsQuery(replica, False, after, PAGE)
        try:
            answer = yield from ask(query, ConflictsAnswer)
        except (UnknownReplica, ReplicaOfAnother, ReplicaRevoked):  # it is lost, or not this one's any more
            break
        found += [note for note in answer.conflicts if note.id in numbers]
        if len(answer.conflicts) < PAGE or answer.conflicts[-1].id >= max(numbers):
            break
        after = answer.conflicts[-1].id
    return found


def _maker(store: Store, number: int) -> str | None:
    """The id under which the edit was pushed that a conflict is of: a file may have had several."""
    note = _kept(store, number)
    return store.state().replica if note is None else note.replica


def _make_own(store: Store, note: ConflictNote) -> None:
    store.execute("DELETE FROM _sync_conflict WHERE id = ?", (note.id,))
    outcome = "hub" if note.outcome == "open" else note.outcome
    keep_own(store, [msgspec.structs.replace(note, outcome=outcome)])
