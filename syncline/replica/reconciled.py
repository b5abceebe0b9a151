"""Entering what the hub has said of a file's edits (`replica.identity`): what is decided is pending no
longer.

One transaction. The rows stay as they are shown: the tables change once, when the file is filled again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from syncline.errors import ValueRefused
from syncline.model.masks import join_mask
from syncline.model.values import Value, indices_of, subtract
from syncline.protocol.body import chained, open_push
from syncline.replica.device import Device
from syncline.replica.edge import inward_rows
from syncline.replica.freeze import in_flight
from syncline.replica.identity import MILLISECONDS, Learned, answered, each, provenance
from syncline.replica.meanwhile import TAKEN
from syncline.replica.offer import is_offered, take_apart
from syncline.replica.overlay import Key, Overlay
from syncline.replica.refusal import are_sound, as_kept, children, depends_on
from syncline.replica.refused import as_here, reason_of
from syncline.replica.rejected import Reason, keep_rejected
from syncline.replica.sent import forget_sent, kept_stamps, lose, made, parts_of, read_part, waiting
from syncline.replica.statements import Statements
from syncline.replica.store import unpack

UNTOLD = Reason(
    "edit_untold",
    "the file was copied or put back, and whether the centre has this edit is forgotten there",
    "Compare the row with the centre; then retry the edit, or discard it.",
)
"""Why an edit is set aside that may count twice, or not at all."""

_DONE = "temp._sync_done"


def enter(device: Device, learned: Learned) -> int:
    """Take in what was learned; returns how many pushes the centre has lost that are to be offered again.
    Inside a transaction.

    A push in flight that the hub has taken waits for its verdict. Any other is taken apart if something of it
    is decided, if the file takes a new id, or if the hub has lost the schema it was made with: its edits are
    pending again.
    """
    store, state = device.store, device.store.state()
    store.set_state(horizon="")  # what the file holds is about to be learned anew
    is_same, flying = learned.replica == state.replica, in_flight(store)
    unreadable = flying is not None and flying.fingerprint in learned.unknown
    if is_same and learned.taken and not unreadable:
        return 0
    number, chain, done = answered(state, store), state.chain or "", set(learned.done)
    if flying is not None and learned.taken:
        done.update(each(provenance(device).stamps))
        number, chain = number + 1, chained(chain, flying.digest)
    left = _Left(device, done, learned, state.carried if is_same else None)
    if flying is not None and (not is_same or unreadable or left.concerns_any()):
        take_apart(store)
        store.set_state(push=number, chain=chain)
    left.remove()
    if not is_same:
        former = json.dumps([*json.loads(state.former), state.replica])
        store.set_state(replica=learned.replica, former=former, carried=state.checkpoint)
        store.set_state(push=number, chain=chain)
    return _lose(device, learned, done)


@dataclass(frozen=True, slots=True)
class _Left:
    """The captured edits that are pending no longer: those that are done, and those of which the hub cannot
    tell. `carried`: of a file that keeps its id, these are only among those up to that checkpoint."""

    device: Device
    done: set[bytes]
    learned: Learned
    carried: int | None

    @property
    def _untold(self) -> str:
        old = f"{MILLISECONDS} <= {int(self.learned.since)}"
        return old if self.carried is None else f"{old} AND checkpoint <= {int(self.carried)}"

    @property
    def _any(self) -> str:
        return f"stamp IN (SELECT stamp FROM {_DONE}) OR {self._untold}"

    def concerns_any(self) -> bool:
        """Whether there are any, or a push that waits or is in flight has some."""
        store = self.device.store
        self._fill()
        if any(store.row(f"SELECT 1 FROM {log} WHERE {self._any} LIMIT 1") for log in store.logs()):
            return True
        return is_offered(store) and not self.done.isdisjoint(each(provenance(self.device).stamps))

    def _fill(self) -> None:
        store = self.device.store
        store.execute(f"DROP TABLE IF EXISTS {_DONE}")
        store.execute(f"CREATE TEMP TABLE {_DONE.removeprefix('temp.')} (stamp PRIMARY KEY) WITHOUT ROWID")
        store.executemany(f"INSERT INTO {_DONE} VALUES (?)", ((stamp,) for stamp in self.done))

    def remove(self) -> None:
        """They leave the change logs. What was rejected, or cannot be told, is kept with its reason."""
        store = self.device.store
        self._fill()
        taken = [(t, keys) for t in self.device.tables.values() if (keys := self._keep(t))]
        for log in store.logs():
            store.execute(f"DELETE FROM {log} WHERE {self._any}")
        with store.undecoded():  # nobody has looked yet whether all that was made since is text
            for t, keys in taken:
                _keep_children(self.device, t, keys)
        store.execute(f"DROP TABLE {_DONE}")
        _uncover(self.device)

    def _keep(self, t: Statements) -> list[Key]:
        """Keep what is decided of one table; returns the keys of this file's rows that are another's."""
        is_done, taken = f"stamp IN (SELECT stamp FROM {_DONE})", list[Key]()
        for told in self.learned.rejected:
            if told.table == t.n:
                rejection = as_here(self.device, told)
                key, reason = tuple(rejection.key), reason_of(self.device, rejection)
                is_kept = _keep_edit(self.device, t, key, is_done, reason, rejection.columns)
                if is_kept and rejection.code == TAKEN:
                    taken.append(key)
        untold = f"NOT {is_done} AND {self._untold}"
        for key in self.device.store.rows(f"SELECT DISTINCT {t.key_columns} FROM {t.log} WHERE {untold}"):
            _keep_edit(self.device, t, key, untold, UNTOLD)
        return taken


def _keep_children(device: Device, t: Statements, keys: Sequence[Key]) -> None:
    """What was made since and points at rows whose keys are another's is refused too, as when a verdict says
    it: it would point at the other's rows from now on."""
    parents = set(keys)
    for child in device.tables.values():
        same = " AND ".join(f"k{i} = ?{i + 1}" for i in range(child.arity))
        for fk in child.table.foreign_keys:
            if fk.parent != t.table.name:
                continue
            made: list[Key] = []
            for place, row in children(device.store, t, keys, child, fk):
                if not are_sound(row):
                    continue  # it cannot travel: the next push says so
                is_made = f"SELECT 1 FROM {child.log} WHERE {same} AND op IN ('I', 'R')"
                made += [row] if device.store.row(is_made, row) else []
                if child is not t or row not in parents:
                    _keep_edit(device, child, row, "1", depends_on(t, keys[place]))
                    device.store.execute(f"DELETE FROM {child.log} WHERE {same}", row)
            made = [row for row in made if child is not t or row not in parents]
            if made:
                _keep_children(device, child, made)


def _keep_edit(
    device: Device, t: Statements, key: Key, condition: str, reason: Reason, only: Collection[int] = ()
) -> bool:
    """Keep the edits of a row that fulfil the condition as one rejected edit, as they would have been
    sent; whether there are any. `only`: of these columns alone, the others were accepted."""
    store = device.store
    same = " AND ".join(f"k{i} = ?{i + 1}" for i in range(t.arity))
    names = ", ".join(["op", condition, *t.masks, *(f"o{i}" for i in t.values)])
    entries = store.rows(f"SELECT {names} FROM {t.log} WHERE {same} AND op <> 'M' ORDER BY seq", key)
    mine = [entry for entry in entries if entry[1]]
    if not mine:
        return False
    image = store.row(t.select, key) or Overlay(store).parked(t, key)
    now = {} if image is None else t.state_of(image)
    if mine[-1][0] == "D":
        op, touched = "D", list(t.values)
    elif mine[0][0] in "IR":
        op, touched = "I", list(t.table.pushed)
    else:
        op, touched = "U", _touched(t, mine)
    if only:
        op, touched = "U", [column for column in touched if column in only]
    base = [_first(t, mine, column, None) for column in touched] if op != "I" else []
    later = entries[max(place for place, entry in enumerate(entries) if entry[1]) + 1 :]
    is_known = image is not None or any(entry[0] == "D" for entry in later)
    values = [_first(t, later, column, now.get(column)) for column in touched] if is_known else []
    values = [] if op == "D" else values
    if op == "U" and is_known:
        values = [_sent(t, *one) for one in zip(touched, values, base, strict=True)]
    edit = touched, list(map(as_kept, values)), list(map(as_kept, base))
    keep_rejected(device, t.n, key, op, edit, reason, None)
    return True


Entry = tuple[Any, ...]
"""Operation, whether it is meant, the mask's words, the old values."""


def _mask(t: Statements, entry: Entry) -> int:
    if entry[0] != "U":
        return t.table.all_mask
    return join_mask([part or 0 for part in entry[2 : 2 + len(t.masks)]])


def _touched(t: Statements, entries: Iterable[Entry]) -> list[int]:
    mask = 0
    for entry in entries:
        mask |= _mask(t, entry)
    return [column for column in indices_of(mask) if column in t.values]


def _first(t: Statements, entries: Iterable[Entry], column: int, otherwise: Value) -> Value:
    """What the column held before the first of the entries that changed it."""
    place = 2 + len(t.masks) + list(t.values).index(column)
    for entry in entries:
        if entry[0] != "I" and _mask(t, entry) >> column & 1:
            found: Value = entry[place]
            return found
    return otherwise


def _sent(t: Statements, column: int, value: Value, base: Value) -> Value:
    """A counter's change travels, not its value."""
    if not t.increments >> column & 1:
        return value
    try:
        return subtract(value, base)
    except ValueRefused:  # not a number
        return value


def _uncover(device: Device) -> None:
    """A row that is hidden with nothing pending any more is no longer the device's."""
    store = device.store
    for n, packed in store.rows("SELECT n, key FROM _sync_parked"):
        t = device.tables.get(n)
        if t is None:
            continue
        same = " AND ".join(f"k{i} = ?{i + 1}" for i in range(t.arity))
        if store.row(f"SELECT 1 FROM {t.log} WHERE {same} LIMIT 1", tuple(unpack(packed))) is None:
            store.execute("DELETE FROM _sync_parked WHERE n = ? AND key = ?", (n, packed))


# Kept pushes -------------------------------------------------------------------------------------------


def _lose(device: Device, learned: Learned, done: set[bytes]) -> int:
    """What the centre has lost waits to be offered again, but for what has come there otherwise, or may have:
    of a push of which that holds in part, each change is kept for a person."""
    store, again = device.store, []
    lost = [push.number for push in learned.lost]
    for number in [*lost, *waiting(store)]:
        stamps = list(each(kept_stamps(store, number)))
        known = done.intersection(stamps)
        if stamps and len(known) == len(set(stamps)):
            forget_sent(store, number)
        elif known or made(store, number) <= learned.since:
            _set_aside(device, number)
        elif number in lost:
            again.append(number)
    lose(store, again)
    return len(again)


def _set_aside(device: Device, number: int) -> None:
    for place in parts_of(device.store, number):
        part = read_part(device.store, place)
        refused = {(n, tuple(key)) for n, key in part.refused}
        for group in open_push(part.body, part.digest):
            arity = device.arity(group.table)
            here = inward_rows(device.tables.get(group.table), group.columns, group.rows)
            for sent, row in zip(group.rows, here, strict=True):
                key, values = tuple(row[:arity]), row[arity:]
                if (group.table, tuple(sent[:arity])) not in refused and group.op != "-":
                    op = "I" if group.op == "R" else group.op
                    keep_rejected(device, group.table, key, op, (group.columns, values, []), UNTOLD, None)
    forget_sent(device.store, number)
