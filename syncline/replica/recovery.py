"""When a replica's place is lost: the log was pruned, the centre went back in time, the device may have other
rows than before, or the file is not what the hub knows under its id.

    ask     what became of this file's edits; it takes a new id if it was copied or put back, or the centre
    was;
            the push in flight gets its verdict or is taken apart
    offer   what was pushed and the centre has lost, push by push, in order
    fill    the tables again, beside; then they are switched, with the pending edits on top

How far it is stands in the file (`_sync_state.recovery`) before each step: a kill at any moment, and the next
sync goes on (law L2). Nothing is frozen and nothing pulled before it is over, so that nothing is sent twice
(law L3) and no lock is held while the network is waited for (law L1).
"""

from __future__ import annotations

import json
import logging
import uuid
from dataclasses import asdict, dataclass, field, replace
from itertools import count

from syncline.errors import PushOutOfStep, SynclineError, WatermarkRefused
from syncline.protocol.flows import Flow
from syncline.protocol.messages import Verdict
from syncline.replica.apply import Answer, advance, apply, enter_verdict, keep_held, run_steps
from syncline.replica.conflicts import fetch, keep_conflicts, set_apart
from syncline.replica.device import Device
from syncline.replica.follow import ROUNDS, adapted
from syncline.replica.freeze import in_flight
from syncline.replica.identity import Learned, answered, reconcile
from syncline.replica.offer import is_offered, offer_next
from syncline.replica.parted import Past
from syncline.replica.progress import Progress
from syncline.replica.push import forget, forget_stage, send
from syncline.replica.reconciled import enter
from syncline.replica.refill import discard_fresh, refill
from syncline.replica.regain import Start, find_out
from syncline.replica.rejected import newest_rejected
from syncline.replica.reports import Recovered
from syncline.replica.sent import sweep_sent
from syncline.replica.session import register
from syncline.replica.store import Store
from syncline.replica.tally import Tally
from syncline.replica.withheld import withhold
from syncline.replica.work import Work

logger = logging.getLogger("syncline.replica")

PRUNED, LOST, RESTORED, SCOPE = "pruned", "lost", "restored", "scope"
COPIED, UNKNOWN, SCHEMA, GARBLED = "copied", "unknown", "schema", "garbled"

REASONS = {
    "watermark_pruned": PRUNED,
    "watermark_lost": LOST,
    "watermark_scope": SCOPE,
    "watermark_garbled": GARBLED,
    "centre_restored": RESTORED,
    "push_ahead": RESTORED,
    "push_behind": COPIED,
    "replica_copied": COPIED,
    "watermark_foreign": COPIED,
    "unknown_replica": UNKNOWN,
    "schema_unknown": SCHEMA,
}
"""By the code of the hub's refusal. Any other refusal is an error."""

_FILE_UNUSABLE = ("hydrate_stale", "schema_changed", "store_layout", "store_damaged")


@dataclass(frozen=True, slots=True)
class Recovery:
    """How far a recovery is. `step` is the one that comes next: ask, offer or fill."""

    reason: str
    step: str = "ask"
    base: str = ""
    """The watermark that pushes stand on which are offered again."""
    offered: int = 0
    missing: int = 0
    fresh: str = ""
    """The id that the file takes if it needs another."""
    past: dict[str, str | None] = field(default_factory=dict)
    """The schemas of pushes that the hub does not know; see `parted.Past`."""
    seen: str = ""
    """From where the log tells all that the file's rows have not seen; see `regain.find_out`."""
    rejected: int | None = None
    """The newest rejected edit from before; see `replica.lingering`."""
    adopted: dict[str, list[int]] = field(default_factory=dict)
    """Columns of the application's own that became the hub's meanwhile; see `own.note_adopted`."""


def load(store: Store) -> Recovery | None:
    """The recovery that was begun and is not over, or None."""
    kept = store.state().recovery
    return None if kept is None else Recovery(**json.loads(kept))


def save(store: Store, recovery: Recovery) -> Recovery:
    """Note how far it is."""
    store.set_state(recovery=json.dumps(asdict(recovery)))
    return recovery


def begin(store: Store, reason: str) -> None:
    """Note that a recovery is needed. What an earlier one has done so far is kept in mind."""
    with store.transaction():
        before = load(store) or Recovery(reason, rejected=newest_rejected(store))
        restored = RESTORED in (reason, before.reason)
        save(store, replace(before, reason=RESTORED if restored else reason, step="ask"))


def recover(device: Device, tally: Tally, progress: Progress) -> Flow[bool]:
    """Do all that a recovery still needs; nothing if none was begun. Whether one was.

    Raises what the hub refuses with; a refusal among `REASONS` begins it again.
    """
    store = device.store
    recovery = load(store)
    if recovery is None:
        discard_fresh(store)  # one that was cut off right after its end has left it
        return False
    if recovery.step == "ask":
        recovery = yield from _ask(device, recovery, tally, progress)
    while recovery.step == "offer":
        recovery = yield from _offer(device, recovery, tally, progress)
    yield from find_out(device, Start(recovery.seen, recovery.reason == RESTORED), tally, progress)
    rows = yield from _fill(device, tally, progress)
    tally.recovered = Recovered(recovery.reason, recovery.offered, recovery.missing, rows)
    logger.info(
        "recovered a replica (%s): offered %d pushes again, filled the file again, %d rows differed",
        recovery.reason,
        recovery.offered,
        rows,
        extra={"action": "recover", "replica": store.state().replica, "reason": recovery.reason,
               "offered": recovery.offered, "missing": recovery.missing, "rows": rows},
    )  # fmt: skip
    return True


# Ask ---------------------------------------------------------------------------------------------------


def _ask(device: Device, recovery: Recovery, tally: Tally, progress: Progress) -> Flow[Recovery]:
    """Learn what became of this file's edits, and settle the push in flight.

    The id that the file takes if it needs a new one is in the file before it is told to the hub: it is the
    same in every repeat."""
    store = device.store
    with store.transaction():
        recovery = save(store, replace(recovery, fresh=recovery.fresh or str(uuid.uuid4())))
    try:
        learned = yield from reconcile(device, recovery.fresh)
    except PushOutOfStep:  # a copy of this file goes on under the id that this one was about to take
        with store.transaction():
            save(store, replace(recovery, fresh=""))
        raise
    notes = yield from fetch(learned.conflicts)
    with store.transaction():
        keep_conflicts(store, notes)
        past = Past.read(recovery.past).with_unknown(learned.unknown, device.hub).written()
        recovery = save(store, replace(_entered(device, recovery, learned), past=past, seen=learned.seen))
    if recovery.reason in (RESTORED, SCHEMA):
        yield from set_apart(store)
    sweep_sent(store, device.limits().keep_sent)
    frozen = in_flight(store)
    if frozen is not None and (learned.taken or not is_offered(store)):
        recovery = yield from _deliver(device, recovery, tally, progress)
    answer = yield from register(store)
    if device.hub.fingerprint in learned.unknown:
        yield from adapted(device)
    with store.transaction():
        recovery = load(store) or recovery
        return save(store, replace(recovery, step="offer", base=answer.floor or answer.watermark))


def _entered(device: Device, recovery: Recovery, learned: Learned) -> Recovery:
    """What was learned is in the file. What the centre has lost and this device no longer keeps is
    missing."""
    store = device.store
    number = answered(store.state(), store)
    has_lost = enter(device, learned)
    missing = number - learned.push - len(learned.lost) if 0 <= learned.push < number else 0
    if missing > 0:
        logger.warning(
            "the centre has lost %d pushes that this device no longer keeps",
            missing,
            extra={"action": "lose", "replica": store.state().replica, "missing": missing},
        )
    reason = RESTORED if has_lost or missing > 0 or learned.gone_back else recovery.reason
    fresh = recovery.fresh if learned.replica != recovery.fresh else ""
    return replace(recovery, reason=reason, missing=recovery.missing + max(0, missing), fresh=fresh)


# Offer -------------------------------------------------------------------------------------------------


def _offer(device: Device, recovery: Recovery, tally: Tally, progress: Progress) -> Flow[Recovery]:
    """Offer the next push that the centre has lost; when there is none, on to the next step."""
    store = device.store
    if in_flight(store) is None:
        with store.transaction():
            found = offer_next(device, recovery.base, Past.read(recovery.past), withhold)
        if not found:
            discard_fresh(store)  # a file begun before what was offered now would lack it
            with store.transaction():
                return save(store, replace(recovery, step="fill"))
    progress("offer", recovery.offered, None)
    return (yield from _deliver(device, recovery, tally, progress))


def _deliver(device: Device, recovery: Recovery, tally: Tally, progress: Progress) -> Flow[Recovery]:
    """Send the push in flight and take its verdict in."""
    forget_stage(device)
    frozen = in_flight(device.store)
    assert frozen is not None, "there is a push in flight"
    sent = yield from send(device, frozen, None, progress)
    tally.count(sent)
    offered = is_offered(device.store)
    if offered:
        recovery = replace(recovery, offered=recovery.offered + 1)
    if offered or sent.verdict.schema:  # rows of a schema that the file is still to get
        _enter(device, sent.verdict, recovery)
    else:
        tally.note(apply(device, Answer(sent.verdict)))
    yield from forget(device, frozen)
    return recovery


def _enter(device: Device, verdict: Verdict, recovery: Recovery) -> None:
    """The verdict without its rows. They stay as they are shown: the tables change once,
    at the end (law L5)."""

    def note(work: Work, answer: Answer) -> None:
        save(work.store, recovery)

    run_steps(device, Answer(verdict), (enter_verdict, keep_held, advance, note))


# Fill --------------------------------------------------------------------------------------------------


def _fill(device: Device, tally: Tally, progress: Progress) -> Flow[int]:
    """Fill the file again; what cannot be gone on with is begun anew, also because the centre was altered."""
    for attempt in count(1):
        try:
            applied = yield from refill(device, progress)
        except SynclineError as error:
            is_unusable = error.code in _FILE_UNUSABLE or isinstance(error, WatermarkRefused)
            if not is_unusable and error.code not in REASONS:
                raise
            discard_fresh(device.store)
            if error.code in REASONS or attempt == ROUNDS:
                raise
        else:
            break
    tally.note(applied)
    return sum(applied.written.values()) + sum(applied.removed.values())
