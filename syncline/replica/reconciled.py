"""Entering what the hub has said of a file's edits (`replica.identity`): what is decided is pending no
longer.

One transaction. The rows stay as they are shown: the tables change once, when the file is filled again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import groupby
from operator import itemgetter

from syncline.merge.policies import KEY_TAKEN
from syncline.model.schema import ForeignKey
from syncline.model.values import Value
from syncline.protocol.body import chained, each_stamp, open_push, sealed
from syncline.protocol.messages import PushOp, Rejection
from syncline.replica.brought import Brought
from syncline.replica.device import Device
from syncline.replica.edge import inward_rows
from syncline.replica.entries import Entry, as_sent, entries_of, first_value, touched
from syncline.replica.freeze import in_flight
from syncline.replica.identity import MILLISECONDS, Learned, answered, provenance
from syncline.replica.keyset import Keyset
from syncline.replica.offer import is_offered, offered_made, take_apart
from syncline.replica.overlay import Key, Overlay
from syncline.replica.pending import settle
from syncline.replica.refusal import are_sound, children, depends_on
from syncline.replica.refused import as_here, reason_of
from syncline.replica.rejected import Made, Reason, keep_rejected, newest_before_recovery
from syncline.replica.retried import Again, forget_retried, retried_of, told_by
from syncline.replica.sent import (
    Part,
    forget_sent,
    found_again,
    kept_marks,
    kept_stamps,
    lose,
    made,
    note_refused,
    parts_of,
    read_part,
    split,
    tell_less,
    waiting,
)
from syncline.replica.settled import COLUMNS, PUSH
from syncline.replica.shown import look_at_hidden
from syncline.replica.statements import Statements
from syncline.replica.store import Store, unpack
from syncline.replica.taken import note_taken
from syncline.replica.together import Edit, joined, keep_with_row
from syncline.replica.whose import Place, whose

UNTOLD = Reason(
    "edit_untold",
    "this edit is older than the centre remembers edits, and the file was copied, or it or the centre put"
    " back: whether the centre has the edit already, by a copy of the file, is not known",
    "Compare the row with the centre; then retry the edit, or discard it.",
)
"""Why an edit is set aside that may count twice, or not at all."""

IN_PART = replace(
    UNTOLD,
    detail="the centre has lost the push that this edit was in, and a copy of the file has brought a part of"
    " it again: whether this edit is in that part is not known",
)
"""Why one is set aside of which the centre remembers enough, but not which edits of the push it has."""

BEHIND = 60_000
"""Milliseconds that a clock may be behind without being the reason."""

_DONE = "temp._sync_done"
_IN_PART = "temp._sync_in_part"
_REFUSED = "temp._sync_refused_of"
_IS_REFUSED = f"stamp IN (SELECT stamp FROM {_REFUSED})"


def enter(device: Device, learned: Learned) -> bool:
    """Take in what was learned; whether the centre has lost pushes that are to be offered again. Inside a
    transaction.

    A push in flight that the hub has taken waits for its verdict. Any other is taken apart if something of it
    is decided, if the file takes a new id, or if the hub has lost the schema it was made with: its edits are
    pending again.
    """
    store, state = device.store, device.store.state()
    store.set_state(horizon=learned.horizon)  # what the file holds is about to be learned anew
    is_same, flying = learned.replica == state.replica, in_flight(store)
    unreadable = flying is not None and flying.fingerprint in learned.unknown
    if is_same and learned.taken and not unreadable:
        return False
    number, chain, done = answered(state, store), state.chain or "", set(learned.done)
    if flying is not None and learned.taken:
        done.update(each_stamp(provenance(device).stamps))
        number, chain = number + 1, sealed(chained(chain, flying.digest), learned.seal)
    again = retried_of(store, learned.brought)
    done |= again.done
    left = _Left(device, done, learned, state.carried if is_same else None, again)
    if flying is not None and (not is_same or unreadable or left.concerns_any()):
        take_apart(store)
        store.set_state(push=number, chain=chain)
    lost = _lose(device, learned, done, again)
    left.remove()
    note_taken(store, learned.brought, None if is_same else learned.since + learned.ahead)
    if not is_same:
        former = json.dumps([*json.loads(state.former), state.replica])
        store.set_state(replica=learned.replica, former=former, carried=state.checkpoint)
        store.set_state(push=number, chain=chain)
    return lost


@dataclass(frozen=True, slots=True)
class _Left:
    """The captured edits that are pending no longer: those that are done, and those of which the hub cannot
    tell. `carried`: of a file that keeps its id, these are only among those up to that checkpoint. `again`:
    what is known of retries."""

    device: Device
    done: set[bytes]
    learned: Learned
    carried: int | None
    again: Again

    @property
    def _untold(self) -> str:
        since = int(self.learned.since + self.learned.ahead)
        old = f"{MILLISECONDS} <= {since}"
        if self.carried is not None:
            old = f"{old} AND checkpoint <= {int(self.carried)}"
        if self.carried is None or json.loads(self.device.store.state().former):
            old = f"({old} OR stamp IN (SELECT stamp FROM _sync_retried WHERE made <= {since}))"
        return f"({old} OR stamp IN (SELECT stamp FROM {_IN_PART}))"

    @property
    def _any(self) -> str:
        return f"stamp IN (SELECT stamp FROM {_DONE}) OR {self._untold}"

    def concerns_any(self) -> bool:
        """Whether there are any, or the push in flight is offered again and has some, or is too old to be."""
        store = self.device.store
        self._fill()
        if any(store.row(f"SELECT 1 FROM {log} WHERE {self._any} LIMIT 1") for log in self._logs()):
            return True
        return is_offered(store) and (
            offered_made(store) <= self.learned.since
            or not self.done.isdisjoint(each_stamp(provenance(self.device).stamps))
        )

    def _logs(self) -> list[str]:
        """Edits of a table that is aside stay in its log: what they are cannot be read there. They are asked
        for again when it takes part again (`lost.notice`)."""
        return [t.log for t in self.device.tables.values()]

    def _fill(self) -> None:
        in_part = self._in_part()
        _fill(self.device.store, _DONE, self.done - in_part)
        _fill(self.device.store, _IN_PART, in_part)

    def _in_part(self) -> set[bytes]:
        """The entries of retries of which the hub has a part, or has refused one."""
        found = set[bytes]()
        for stamp, told in self.device.store.rows("SELECT stamp, told FROM _sync_retried"):
            parts = set(each_stamp(told))
            some = [self.done, self.again.in_part, *(stamps for stamps, _ in self.learned.rejected)]
            if not parts.isdisjoint(self.again.in_part) or any(
                0 < len(parts & one) < len(parts) for one in some
            ):
                found.add(stamp)
        return found

    def remove(self) -> None:
        """They leave the change logs. What was rejected, or cannot be told, is kept with its reason, and what
        was taken as a push: the centre may lose it."""
        store = self.device.store
        if not self.concerns_any():
            self._drop()
            return
        look_at_hidden(self.device)
        settle(store, self.device.tables.values())
        with store.undecoded():  # nobody has looked yet whether all that was made since is text
            self._take_out()
        self._drop()

    def _drop(self) -> None:
        for table in (_DONE, _IN_PART):
            self.device.store.execute(f"DROP TABLE {table}")
        _uncover(self.device)

    def _take_out(self) -> None:
        store = self.device.store
        taken = [(t, keys) for t in self.device.tables.values() if (keys := self._keep(t))]
        made = self.learned.decided if self.done <= self.learned.done else 0  # of the others it is forgotten
        Brought(self.device, f"stamp IN (SELECT stamp FROM {_DONE})").keep(self.learned.horizon, made)
        for log in self._logs():
            store.execute(f"DELETE FROM {log} WHERE {self._any}")
        forget_retried(store, self.done)
        for t, keys in taken:
            _keep_children(self.device, t, keys)

    def _keep(self, t: Statements) -> list[Key]:
        """Keep what is decided of one table; returns the keys of this file's rows that are another's."""
        is_done, taken = f"stamp IN (SELECT stamp FROM {_DONE})", list[Key]()
        overlay = Overlay(self.device.store)
        for stamps, rejected in self.learned.rejected:
            mine = [as_here(self.device, told) for told in rejected if told.table == t.n]
            if mine:
                _fill(self.device.store, _REFUSED, stamps)
                taken += self._keep_refused(overlay, t, mine)
        untold = f"NOT {is_done} AND {self._untold}"
        keys = self.device.store.rows(f"SELECT DISTINCT {t.key_columns} FROM {t.log} WHERE {untold}")
        for key, entries in entries_of(overlay, t, keys, untold):
            _keep_edit(self.device, t, key, entries, _untold(self.learned))
        return taken

    def _keep_refused(self, overlay: Overlay, t: Statements, told: Sequence[Rejection]) -> list[Key]:
        """Keep what the hub has rejected of one push; returns the keys that are another's."""
        device, taken, gone = self.device, list[Key](), set[int]()
        found = entries_of(overlay, t, [tuple(rejection.key) for rejection in told], _IS_REFUSED)
        for rejection, (key, entries) in zip(told, found, strict=True):
            left = [entry for entry in entries if entry.seq not in gone]
            is_kept = _keep_edit(device, t, key, left, reason_of(rejection), rejection.columns)
            if is_kept and rejection.code == KEY_TAKEN:
                taken.append(key)
            if is_kept and not rejection.columns:
                gone.update(entry.seq for entry in left if entry.is_meant)
        device.store.executemany(f"DELETE FROM {t.log} WHERE seq = ?", ((seq,) for seq in gone))
        return taken


def _untold(learned: Learned) -> Reason:
    """Why an edit is set aside that is too old by this device's clock, which may be what is wrong: whether it
    was so when the edit was made, nobody knows."""
    if learned.behind <= BEHIND:
        return UNTOLD
    behind = timedelta(seconds=learned.behind // 1000)
    return replace(
        UNTOLD,
        detail=f"{UNTOLD.detail}; it is that old by this device's clock, which is {behind} behind the hub's",
        remedy="Set the device's clock right. Retry the edit if it is younger than it says and no copy of"
        f" this file has synced since it was made. Else: {UNTOLD.remedy}",
    )


def _fill(store: Store, table: str, stamps: Iterable[bytes]) -> None:
    store.execute(f"DROP TABLE IF EXISTS {table}")
    store.execute(f"CREATE TEMP TABLE {table.removeprefix('temp.')} (stamp PRIMARY KEY) WITHOUT ROWID")
    store.executemany(f"INSERT INTO {table} VALUES (?)", ((stamp,) for stamp in stamps))


def _keep_children(device: Device, t: Statements, keys: Sequence[Key]) -> None:
    """What was made since and points at rows whose keys are another's is refused too, as when a verdict says
    it: it would point at the other's rows from now on."""
    overlay, taken = Overlay(device.store), [(t, keys)]
    for parent, some in taken:  # which grows meanwhile
        for child in device.tables.values():
            for fk in child.table.foreign_keys:
                if fk.parent == parent.table.name:
                    made = _keep_pointing(overlay, device, (parent, some), (child, fk))
                    taken += [(child, made)] if made else []


def _keep_pointing(
    overlay: Overlay,
    device: Device,
    taken: tuple[Statements, Sequence[Key]],
    pointing: tuple[Statements, ForeignKey],
) -> list[Key]:
    """Keep what was written of rows that point at those `taken` by this foreign key; returns the keys of
    those that were made since themselves."""
    (t, keys), (child, fk), made = taken, pointing, list[Key]()
    parents = set(keys) if child is t else set()
    found = {
        row: place
        for place, row in children(device.store, t, keys, child, fk)
        if are_sound(row) and row not in parents  # what is not sound cannot travel: the next push says so
    }
    for row, entries in entries_of(overlay, child, list(found), "1"):
        made += [row] if any(entry.op in ("I", "R") for entry in entries) else []
        _keep_edit(device, child, row, entries, depends_on(t, keys[found[row]]))
    overlay.clear(child, list(found))
    return made


def _keep_edit(
    device: Device,
    t: Statements,
    key: Key,
    entries: Sequence[Entry],
    reason: Reason,
    only: Collection[int] = (),
) -> bool:
    """Keep those of the entries of a row that are meant as one rejected edit, as they would have been sent;
    whether there are any. `only`: of these columns alone, the others were accepted."""
    store = device.store
    mine = [entry for entry in entries if entry.is_meant]
    if not mine:
        return False
    image = store.row(t.select, key) or Overlay(store).parked(t, key)
    now = {} if image is None else t.state_of(image)
    if mine[-1].op == "D":
        op, columns = "D", list(t.values)
    elif mine[0].op in "IR":
        op, columns = "I", list(t.table.pushed)
    else:
        op, columns = "U", touched(t, mine)
    if only:
        op, columns = "U", [column for column in columns if column in only]
    base = [first_value(t, mine, column, None) for column in columns] if op != "I" else []
    later = entries[max(place for place, entry in enumerate(entries) if entry.is_meant) + 1 :]
    is_known = image is not None or any(entry.op == "D" for entry in later)
    values = [first_value(t, later, column, now.get(column)) for column in columns] if is_known else []
    values = [] if op == "D" else values
    if op == "U" and is_known:
        values = [as_sent(t, *one) for one in zip(columns, values, base, strict=True)]
    edit = columns, values, base
    stamps = told_by(store, [entry.stamp for entry in mine])
    why = reason, Made(None, stamps, COLUMNS if only else None)
    keep_with_row(device, (t.n, key), op, edit, why, newest_before_recovery(store))
    return True


def _uncover(device: Device) -> None:
    """A row that is hidden with nothing pending any more is no longer the device's."""
    for n, rows in groupby(device.store.rows("SELECT n, key FROM _sync_parked ORDER BY n"), itemgetter(0)):
        t = device.tables.get(n)
        if t is None:
            continue
        done = Keyset(device.store, t, "hidden")
        done.put(unpack(packed) for _, packed in rows)
        done.remove(f"SELECT {t.key_columns} FROM {t.log}")
        for keys in done.in_batches():
            Overlay(device.store).unpark(t, keys)
        done.drop()


# Kept pushes -------------------------------------------------------------------------------------------


def _lose(device: Device, learned: Learned, done: set[bytes], retries: Again) -> bool:
    """What the centre has lost waits to be offered again, but for what has come there otherwise, or may have:
    of a push of which that holds in part, each change is kept for a person. Returns whether any is to be
    offered."""
    store, again = device.store, []
    lost = [push.number for push in learned.lost]
    for number in [*lost, *waiting(store)]:
        stamps = set(each_stamp(kept_stamps(store, number)))
        if done.isdisjoint(stamps) and retries.in_part.isdisjoint(stamps):
            left = bool(stamps)
        else:
            left = _take_apart(device, number, learned, _Come(done, retries.in_part))
        if left and made(store, number) <= learned.since:
            _set_aside(device, number, UNTOLD)
        elif left and number in lost:
            again.append(number)
    lose(store, again)
    return bool(again)


@dataclass(frozen=True, slots=True)
class _Come:
    """What has come to the centre by pushes of others, and of which retries it has a part, or may have."""

    done: set[bytes]
    in_part: frozenset[bytes]

    def has(self, stamps: bytes) -> bool | None:
        """Whether it has the edits with these stamps; None: a part of them."""
        own = set(each_stamp(stamps))
        if self.done.isdisjoint(own) and self.in_part.isdisjoint(own):
            return False
        return True if own <= self.done and self.in_part.isdisjoint(own) else None


def _take_apart(device: Device, number: int, learned: Learned, come: _Come) -> bool:
    """Of a kept push that the centre has lost, some has come otherwise: that is kept as a push of its own,
    as of now. Of a row of which a part has come, the change is kept for a person; of all of them, if nobody
    knows which stamps are whose. Returns whether anything is left that is to be offered."""
    store, stamps = device.store, kept_stamps(device.store, number)
    rows = whose_rows(device, number)
    if come.has(stamps) or rows is None:
        if not come.has(stamps):
            _set_aside(device, number, IN_PART)
            return False
        _keep_refused(device, number, set(each_stamp(stamps)), learned)
        found_again(store, number, learned.horizon, learned.decided)
        return False
    there = {place for place, own in rows.items() if come.has(own)}
    in_part = {place for place, own in rows.items() if come.has(own) is None}
    if there:
        other = split(store, number)
        leave_out(device, other, rows, rows.keys() - there)
        _keep_refused(device, other, {stamp for place in there for stamp in each_stamp(rows[place])}, learned)
        found_again(store, other, learned.horizon, learned.decided)
    for place in parts_of(store, number) if in_part else ():
        for change in changes(device, read_part(store, place)):
            where = change[0], tuple(change[1])
            if where in in_part:
                keep_change(device, change, IN_PART, Made(None, rows[where]))
    leave_out(device, number, rows, there | in_part)
    if len(rows) > len(there | in_part):
        return True
    forget_sent(store, number)
    return False


def leave_out(
    device: Device, number: int, rows: Mapping[Place, bytes] | None, without: Collection[Place]
) -> None:
    """These rows are in a kept push no more. `rows`: the stamps of each, if they are known row by row."""
    for place in parts_of(device.store, number) if without else ():
        refused = [*read_part(device.store, place).refused, *([n, list(key)] for n, key in without)]
        note_refused(device.store, place, refused)
    if rows is not None:
        tell_less(device.store, number, {stamp for place in without for stamp in each_stamp(rows[place])})


def whose_rows(device: Device, number: int) -> dict[Place, bytes] | None:
    """The stamps of each row of a kept push that was not rejected, if they are known row by row."""
    store = device.store
    parts = parts_of(store, number)
    refused = {(n, tuple(key)) for place in parts for n, key in read_part(store, place).refused}

    def bodies() -> Iterator[tuple[str, bytes]]:
        for place in parts:
            part = read_part(store, place)
            yield part.digest, part.body

    return whose(*kept_marks(store, number), bodies, refused, None)


Change = tuple[int, list[Value], PushOp, Sequence[int], list[Value]]
"""Table number, key as it was sent, operation, columns, the row as it is in the file."""


def changes(device: Device, part: Part) -> Iterator[Change]:
    """What a part of a kept push would change, but for what was rejected."""
    refused = {(n, tuple(key)) for n, key in part.refused}
    for group in open_push(part.body, part.digest):
        arity = device.arity(group.table)
        here = inward_rows(device.tables.get(group.table), group.columns, group.rows)
        for sent, row in zip(group.rows, here, strict=True):
            if (group.table, tuple(sent[:arity])) not in refused and group.op != "-":
                yield group.table, sent[:arity], group.op, group.columns, row


def keep_change(device: Device, change: Change, reason: Reason, made: Made) -> None:
    n, _, op, columns, row = change
    arity, since = device.arity(n), newest_before_recovery(device.store)
    edit: Edit = columns, row[arity:], []
    why = reason, made
    if joined(device, (n, row[:arity]), op, edit, why, since) is None:
        keep_rejected(device, n, tuple(row[:arity]), "I" if op == "R" else op, edit, reason, made)


def made_by(stamps: bytes, rows: Mapping[Place, bytes] | None, change: Change) -> Made:
    """The stamps of a change of a kept push; all of the push, if those are not known row by row."""
    own = None if rows is None else rows.get((change[0], tuple(change[1])))
    return Made(None, stamps, PUSH) if own is None else Made(None, own)


def _set_aside(device: Device, number: int, reason: Reason) -> None:
    stamps, rows = kept_stamps(device.store, number), whose_rows(device, number)
    for place in parts_of(device.store, number):
        for change in changes(device, read_part(device.store, place)):
            keep_change(device, change, reason, made_by(stamps, rows, change))
    forget_sent(device.store, number)


def _keep_refused(device: Device, number: int, stamps: set[bytes], learned: Learned) -> None:
    """The centre had taken a kept push, has lost it, and has rejected some of it when it came again, of which
    this file does not know."""
    told = {
        (one.table, tuple(one.key)): one
        for those, rejected in learned.rejected
        for one in rejected
        if not stamps.isdisjoint(those) and not one.columns
    }
    sent, rows = kept_stamps(device.store, number), whose_rows(device, number) if told else None
    gone = set[bytes]()
    for place in parts_of(device.store, number) if told else ():
        part = read_part(device.store, place)
        refused = list(part.refused)
        for change in changes(device, part):
            rejection = told.get((change[0], tuple(change[1])))
            if rejection is not None:
                reason = reason_of(as_here(device, rejection))
                made = made_by(sent, rows, change)
                keep_change(device, change, reason, made)
                gone.update(each_stamp(made.stamps) if made.part is None else ())
                refused.append([change[0], change[1]])
        if len(refused) > len(part.refused):
            note_refused(device.store, place, refused)
    if gone:
        tell_less(device.store, number, gone)
