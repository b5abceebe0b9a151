"""Who an edit is, and who this file: what a push tells of itself, and how a file finds out what became of its
edits.

A file that was copied or put back, or whose centre was, cannot go on under its id: another one has, or may,
and what is pending here may have been sent by it. It asks the hub which of its edits are decided, by their
stamps, takes a new id, and fills itself again with the rest on top (`replica.recovery`). See `hub.identity`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from syncline.errors import ProtocolError
from syncline.protocol.body import chained, each_stamp, open_push
from syncline.protocol.flows import Flow
from syncline.protocol.messages import (
    COUNTED,
    STAMP_BYTES,
    STAMPS_ASKED,
    STAMPS_TOLD,
    Reconcile,
    Reconciled,
    Refusal,
    Rejection,
)
from syncline.replica.altered import altered
from syncline.replica.clocks import NOW, milliseconds
from syncline.replica.device import Device
from syncline.replica.freeze import Frozen, in_flight
from syncline.replica.refused import as_here
from syncline.replica.retried import IS_RETRIED, TOLD, any_retried
from syncline.replica.sent import Kept, kept_pushes, kept_stamps, sent_bases, sent_schemas, waiting
from syncline.replica.session import ask, check_hub
from syncline.replica.settled import Known, known_refused
from syncline.replica.store import State, Store, queries

MOST = STAMPS_TOLD
"""Stamps that a push tells at most. Of one with more edits the rest is not remembered."""

ASKED = STAMPS_ASKED
"""Stamps asked about in one request."""

MILLISECONDS = f"CASE typeof(at) WHEN 'integer' THEN at >> 16 ELSE {milliseconds('at')} END"
"""When an entry of a change log was made, since 1970 UTC."""

REFUSED = 500
"""Rejected edits that the hub is told of in one request."""

MARKS = 200
"""Positions that are told at most."""

_FREEZE = queries("syncline.replica", "freeze.sql")


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a push tells of itself besides its rows; see `messages.Push`."""

    before: str
    stamps: bytes
    carried: int
    horizon: str
    offered: bool = False


def provenance(device: Device) -> Provenance:
    """That of the push in flight, for whoever sends it; its stamps are noted for whoever takes the verdict
    in."""
    flying = in_flight(device.store)
    device.told = None if flying is None else (flying.number, flying.digest, _stamps(device))
    return told(device, flying)


def told(device: Device, flying: Frozen | None) -> Provenance:
    """That of the push in flight, with the stamps as they were told: they are read once."""
    store, state = device.store, device.store.state()
    row = store.row(_FREEZE["offered"])
    horizon = (state.watermark or "") if state.horizon is None else state.horizon
    if row is not None and row[0] is not None:
        return Provenance(state.chain or "", row[0], row[1] if json.loads(state.former) else 0, horizon, True)
    oldest: list[int] = []
    retried = bool(json.loads(state.former)) and any_retried(store)
    # A copy may have made a retry since the edit was rejected, whenever it is made here.
    made = f"CASE WHEN {IS_RETRIED} THEN {COUNTED} ELSE {MILLISECONDS} END"
    for log, cut in _covered(device):
        if state.carried or retried:
            sql = f"SELECT min({made}) FROM {log} WHERE seq <= ? AND (checkpoint <= ? OR {IS_RETRIED})"
            oldest += [at for (at,) in store.rows(sql, (cut, state.carried)) if at is not None]
        if retried:
            sql = (
                f"SELECT min(made) FROM _sync_retried WHERE stamp IN (SELECT stamp FROM {log} WHERE seq <= ?)"
            )
            oldest += [at for (at,) in store.rows(sql, (cut,)) if at is not None]
    carried = max(1, min(oldest)) if oldest else 0
    noted = _noted(device, flying)
    stamps = _stamps(device) if noted is None else noted
    return Provenance(state.chain or "", stamps, carried, horizon)


def _noted(device: Device, flying: Frozen | None) -> bytes | None:
    noted = device.told
    if noted is None or flying is None or noted[:2] != (flying.number, flying.digest):
        return None
    return noted[2]


def _stamps(device: Device) -> bytes:
    store = device.store
    ends = ((log, _last_told(store, log, cut)) for log, cut in _covered(device))
    parts = (store.joined(TOLD, f"{log} l NOT INDEXED WHERE seq <= ?", (end,)) for log, end in ends)
    return b"".join(parts)[: MOST * STAMP_BYTES]


def _last_told(store: Store, log: str, cut: int) -> int:
    """How far the stamps of a log are read: its entries have numbers from 1 on."""
    if cut <= MOST:
        return cut
    sql = f"SELECT seq FROM {log} WHERE seq <= ? ORDER BY seq LIMIT 1 OFFSET ?"
    found: int | None = store.value(sql, (cut, MOST - 1))
    return cut if found is None else found


def _covered(device: Device) -> Iterator[tuple[str, int]]:
    """The change logs that the push in flight covers, and how far."""
    ours = {**device.tables, **device.aside}
    for n, cut in device.store.rows(_FREEZE["cuts"]):
        if n in ours:
            yield ours[n].log, cut


def sending(device: Device, flying: Frozen, rows: int) -> Provenance:
    """`provenance` of a push of so many rows. StoreDamaged if it covers fewer captured edits than that: what
    it does not cover would be sent once more."""
    told_now = provenance(device)
    if told_now.offered or len(told_now.stamps) // STAMP_BYTES >= min(rows, MOST):
        return told_now
    store, ours = device.store, {**device.tables, **device.aside}
    cuts = dict(store.rows(_FREEZE["cuts"]))
    counted = {g.table: len(g.rows) for g in open_push(flying.body, flying.digest)} if flying.body else {}
    short = not cuts or (not flying.body and cuts.keys() <= ours.keys())
    for n in counted.keys() & ours.keys():
        covered = store.value(f"SELECT count(*) FROM {ours[n].log} WHERE seq <= ?", (cuts.get(n, 0),))
        short = short or covered < counted[n]
    if short:
        raise altered(store, "_sync_outbox_cut", "it covers fewer edits than the push in flight has")
    return told_now


def pushes_made(device: Device, state: State) -> tuple[int | None, str]:
    """Number and chain of the last push that the hub has answered, counting the one in flight: it is told
    with a pull that follows it, unless the hub has said that it has not got it (`Device.lacking`). None: not
    told, while the file is being filled for another one."""
    flying = in_flight(device.store)
    if state.chain is None:
        return None, ""
    if flying is not None and flying.number == device.lacking:
        return state.push - 1, state.chain
    return state.push, state.chain if flying is None else chained(state.chain, flying.digest)


# Asking ------------------------------------------------------------------------------------------------


Refused = tuple[frozenset[bytes], list[Rejection]]
"""Stamps that came to the hub in one push, and what it rejected of that."""


@dataclass(slots=True)
class Learned:
    """What the hub has said of a file's edits. `lost` are the kept pushes that the centre has lost."""

    replica: str
    taken: bool
    push: int
    since: int
    done: set[bytes] = field(default_factory=set)
    rejected: list[Refused] = field(default_factory=list)
    lost: list[Kept] = field(default_factory=list)
    unknown: frozenset[str] = frozenset()
    """The fingerprints of schemas that the hub cannot read pushes by."""
    conflicts: set[tuple[str, int]] = field(default_factory=set)
    """What was noted of decided edits: the id that pushed them, and the number of the conflict."""
    horizon: str = ""
    """A position as of which they are done."""
    decided: int = 0
    """When the first of `done` were decided, by the hub's clock: milliseconds since 1970 UTC."""
    ahead: int = 0
    """Milliseconds that the clock of this device is ahead of the hub's; 0 if it is behind."""
    behind: int = 0
    """Milliseconds that it is behind; 0 if it is ahead. An edit is not taken to be younger for it: the clock
    may have been right when the edit was made."""
    seen: str = ""
    """A watermark that the file's rows have seen and that the log still goes on from; empty if there is
    none."""
    brought: set[bytes] = field(default_factory=set)
    """Stamps of edits that were rejected here, and of retries of them, which the centre has taken."""
    gone_back: bool = False
    """Whether the centre has gone back from the newest that they have seen."""
    seal: str = ""
    """What the chain's value after a push in flight is sealed with that the hub has taken."""


def reconcile(device: Device, fresh: str) -> Flow[Learned]:
    """Ask what became of the edits of this file: those pending, those in flight, those sent and kept. Changes
    nothing in the file. `fresh` is the id that it takes if it needs a new one."""
    store, state = device.store, device.store.state()
    kept = kept_pushes(store)
    stamps = b"".join(_pending(store))
    answer = yield from _ask(store, fresh, stamps[: ASKED * STAMP_BYTES], kept)
    learned = _learned(answer, kept)
    ahead = store.value(f"SELECT {NOW}") - answer.now
    learned.ahead, learned.behind = max(0, ahead), max(0, -ahead)
    asked = stamps[ASKED * STAMP_BYTES :] + b"".join(kept_stamps(store, push.number) for push in learned.lost)
    for start in range(0, len(asked), ASKED * STAMP_BYTES):
        answer = yield from _ask(store, fresh, asked[start : start + ASKED * STAMP_BYTES], kept)
        more = _learned(answer, kept)
        learned.replica, learned.taken, learned.lost = more.replica, more.taken, more.lost
        learned.seal = more.seal
        if more.done:
            learned.decided = min(learned.decided or more.decided, more.decided)
        learned.done |= more.done
        learned.since = max(learned.since, more.since)
        learned.rejected = _together(learned.rejected, more.rejected)
        learned.horizon = more.horizon
        learned.conflicts |= more.conflicts
    if learned.replica not in (fresh, state.replica):
        raise ProtocolError("the hub gives an id that nobody asked for", code="not_a_hub")
    yield from _tell_refused(device, fresh, kept, learned)
    return learned


def _tell_refused(device: Device, fresh: str, kept: Sequence[Kept], learned: Learned) -> Flow[None]:
    """Tell what is known to be rejected, and learn what of it the centre has taken."""
    for some in _together_asked(known_refused(device)):
        asked = b"".join(known.asked for known in some)
        told = [known.refusal for known in some if known.refusal is not None]
        answer = yield from _ask(device.store, fresh, asked, kept, told)
        more = _learned(answer, kept)
        learned.lost, learned.horizon = more.lost, more.horizon
        said = [(stamps, [as_here(device, one) for one in refused]) for stamps, refused in more.rejected]
        for known in some:
            place = known.n, list(known.key)
            those = [stamps for stamps, refused in said if place in [(one.table, one.key) for one in refused]]
            learned.brought |= more.done.intersection(each_stamp(known.asked)).difference(*those)


def _together_asked(edits: Iterable[Known]) -> Iterator[list[Known]]:
    """As many as are asked about in one request."""
    some: list[Known] = []
    size = 0
    for known in edits:
        if len(some) == REFUSED or size + len(known.asked) > ASKED * STAMP_BYTES:
            yield some
            some, size = [], 0
        some.append(known)
        size += len(known.asked)
    if some:
        yield some


def _ask(
    store: Store, fresh: str, stamps: bytes, kept: Sequence[Kept], refused: Sequence[Refusal] = ()
) -> Flow[Reconciled]:
    store.check_standing()  # another sync may have been through with it since the last answer
    state, flying = store.state(), in_flight(store)
    request = Reconcile(
        fresh,
        state.replica,
        json.loads(state.former),
        answered(state, store),
        state.chain or "",
        chained(state.chain or "", flying.digest) if flying is not None else "",
        stamps,
        [push.horizon for push in kept],
        b"".join(push.imprint for push in kept),
        state.fingerprint,
        _schemas(store, state, flying),
        _seen(store, state),
        list(refused),
    )
    answer = yield from ask(request, Reconciled)
    check_hub(store, answer.hub)
    return answer


def _schemas(store: Store, state: State, flying: Frozen | None) -> list[str]:
    """The fingerprints of all schemas that the file, and what it has of pushes, was made with."""
    found = [state.fingerprint, None if flying is None else flying.fingerprint, *sent_schemas(store)]
    return [name for name in dict.fromkeys(found) if name]


def _seen(store: Store, state: State) -> list[str]:
    """Watermarks that the file's rows have seen, the newest first, as far as they are still here."""
    found = [state.watermark, *(mark for (mark,) in store.rows(_FREEZE["checkpoints"], (MARKS,)))]
    for bases in sent_bases(store, MARKS):
        found += reversed(bases)
    return [mark for mark in dict.fromkeys(found) if mark][:MARKS]


def answered(state: State, store: Store) -> int:
    """The number of the last push that has its verdict."""
    return state.push - (in_flight(store) is not None)


def _learned(answer: Reconciled, kept: Sequence[Kept]) -> Learned:
    done = set(each_stamp(answer.done))
    if any(not 0 <= place < len(kept) for place in (*answer.lost, *answer.pruned)):
        raise ProtocolError("the hub has lost pushes that it was not asked about", code="not_a_hub")
    young = (kept[place] for place in answer.pruned)
    lost = [kept[place] for place in answer.lost]
    lost += [push for push in young if push.made > answer.since]
    rejected = [(frozenset(each_stamp(stamps)), refused) for stamps, refused in answer.rejected]
    unknown, conflicts = frozenset(answer.unknown), set(answer.conflicts)
    place = answer.replica, answer.taken, answer.push, answer.since
    known = answer.horizon, answer.decided
    seen, back = answer.seen, answer.gone_back
    seal = answer.seal
    return Learned(
        *place, done, rejected, lost, unknown, conflicts, *known, seen=seen, gone_back=back, seal=seal
    )


def _together(some: Sequence[Refused], more: Sequence[Refused]) -> list[Refused]:
    """What was rejected of pushes whose stamps were asked about in several requests."""
    found = list(some)
    for stamps, refused in more:
        place = next((n for n, (_, known) in enumerate(found) if known == refused), None)
        if place is None:
            found.append((stamps, refused))
        else:
            found[place] = found[place][0] | stamps, refused
    return found


def _pending(store: Store) -> Iterator[bytes]:
    """The stamps of all captured edits, and of a push in flight that is offered again."""
    for log in store.logs():
        for batch in store.batches(f"SELECT stamp FROM {log}"):
            yield b"".join(stamp for (stamp,) in batch)
    for (told,) in store.rows("SELECT told FROM _sync_retried WHERE length(told) > ?", (STAMP_BYTES,)):
        yield told
    for number in waiting(store):
        yield kept_stamps(store, number)
    row = store.row(_FREEZE["offered"])
    if row is not None and row[0] is not None:
        yield row[0]
