"""When a replica's watermark is no place to go on from: the log was pruned, the centre went back in time, or
the device may have other rows than before.

    ask     what the hub has of this replica's pushes; the push in flight gets its verdict or is taken apart
    offer   what was pushed and the centre has lost, push by push, in order
    fill    the tables again, beside; then they are switched, with the pending edits on top

How far it is stands in the file (`_sync_state.recovery`) before each step: a kill at any moment, and the next
sync goes on (law L2). Nothing is frozen and nothing pulled before it is over, so that nothing is sent twice
(law L3) and no lock is held while the network is waited for (law L1).
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

from syncline.errors import SynclineError, WatermarkRefused
from syncline.protocol.flows import Flow
from syncline.protocol.messages import Registered, StateAnswer, StateQuery, Verdict
from syncline.replica.apply import Answer, advance, apply, enter_verdict, keep_held, run_steps
from syncline.replica.conflicts import set_apart
from syncline.replica.device import Device
from syncline.replica.freeze import in_flight
from syncline.replica.offer import is_offered, offer_next, take_apart
from syncline.replica.progress import Progress
from syncline.replica.push import FileIsCopy, forget, forget_stage, send
from syncline.replica.refill import discard_fresh, refill
from syncline.replica.reports import Recovered
from syncline.replica.sent import lose_after, sweep_sent
from syncline.replica.session import ask_known, register, take_new_identity
from syncline.replica.store import Store
from syncline.replica.tally import Tally
from syncline.replica.work import Work

logger = logging.getLogger("syncline.replica")

PRUNED, RESTORED, SCOPE, COPIED = "pruned", "restored", "scope", "copied"

REASONS = {
    "watermark_pruned": PRUNED,
    "watermark_scope": SCOPE,
    "centre_restored": RESTORED,
    "push_ahead": RESTORED,
    "watermark_foreign": COPIED,
}
"""By the code of the hub's refusal. Any other refusal is an error."""

_FILE_UNUSABLE = ("hydrate_stale", "store_layout", "store_damaged")


@dataclass(frozen=True, slots=True)
class Recovery:
    """How far a recovery is. `step` is the one that comes next: ask, offer or fill."""

    reason: str
    step: str = "ask"
    base: str = ""
    """The watermark that pushes stand on which are offered again."""
    offered: int = 0
    missing: int = 0


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
        before = load(store) or Recovery(reason)
        restored = RESTORED in (reason, before.reason)
        save(store, replace(before, reason=RESTORED if restored else reason, step="ask"))


def recover(device: Device, tally: Tally, progress: Progress) -> Flow[None]:
    """Do all that a recovery still needs; nothing if none was begun.

    Raises what the hub refuses with; a refusal among `REASONS` begins it again.
    """
    store = device.store
    recovery = load(store)
    if recovery is None:
        discard_fresh(store)  # one that was cut off right after its end has left it
        return
    if recovery.step == "ask":
        recovery = yield from _ask(device, recovery, tally, progress)
    while recovery.step == "offer":
        recovery = yield from _offer(device, recovery, tally, progress)
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


def confirm(device: Device) -> Flow[None]:
    """After a pull: make sure that the hub still has the pushes which the watermark had not seen before.

    Asks nothing if there are none, as after every sync. WatermarkRefused if the centre has lost one: it went
    back to a time that the watermark knew, and no pull would ever say so."""
    store = device.store
    state = store.state()
    if state.push <= state.covered or in_flight(store) is not None:
        return
    answer = yield from ask_known(store, StateQuery(state.replica), StateAnswer)
    if answer.push < state.push:
        raise WatermarkRefused(
            f"the centre has lost push {answer.push + 1} of this replica",
            code="centre_restored",
            remedy="Sync again: the device fills itself anew, keeps its pending edits and offers what"
            " was lost.",
        )
    with store.transaction():
        store.set_state(covered=state.push)


# Ask ---------------------------------------------------------------------------------------------------


def _ask(device: Device, recovery: Recovery, tally: Tally, progress: Progress) -> Flow[Recovery]:
    """Learn how much of what was pushed the centre has, and settle the push in flight."""
    store = device.store
    answer = yield from register(store)
    frozen = in_flight(store)
    if frozen is not None and frozen.number <= answer.push + 1:
        if frozen.number <= answer.push or not is_offered(store):
            recovery = yield from _deliver(device, recovery, tally, progress)
            answer = yield from register(store)
    if recovery.reason == RESTORED:
        yield from set_apart(store)
    with store.transaction():
        return save(store, _lost(device, recovery, answer))


def _lost(device: Device, recovery: Recovery, answer: Registered) -> Recovery:
    """What comes next, given the hub's last push number: pushes with higher ones are lost.

    What is too old by now is not offered: a hub that forgets a replica after a long time knows no number
    either."""
    store = device.store
    frozen, last = in_flight(store), store.state().push
    if frozen is not None and frozen.number != answer.push + 1:
        take_apart(store)
        frozen, last = None, last - 1
    elif frozen is not None:
        last -= 1
    if last <= answer.push:
        return _next(recovery, answer)
    sweep_sent(store, device.limits().keep_sent)
    missing = last - answer.push - lose_after(store, answer.push)
    store.set_state(push=answer.push)
    if missing:
        logger.warning(
            "the centre has lost %d pushes that this device no longer keeps",
            missing,
            extra={"action": "lose", "replica": store.state().replica, "missing": missing},
        )
    recovery = replace(recovery, reason=RESTORED, missing=recovery.missing + missing)
    return _next(recovery, answer)


def _next(recovery: Recovery, answer: Registered) -> Recovery:
    return replace(recovery, step="offer", base=answer.floor or answer.watermark)


# Offer -------------------------------------------------------------------------------------------------


def _offer(device: Device, recovery: Recovery, tally: Tally, progress: Progress) -> Flow[Recovery]:
    """Offer the next push that the centre has lost; when there is none, on to the next step."""
    store = device.store
    if in_flight(store) is None:
        with store.transaction():
            found = offer_next(device, recovery.base)
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
    try:
        sent = yield from send(device, frozen, None, progress)
    except FileIsCopy:
        with suppress(WatermarkRefused):  # what it refuses is being recovered from
            yield from take_new_identity(device)
        return recovery
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
    """Fill the file again; what cannot be gone on with is begun anew."""
    try:
        applied = yield from refill(device, progress)
    except SynclineError as error:
        if error.code not in _FILE_UNUSABLE and error.code not in REASONS:
            raise
        discard_fresh(device.store)
        if error.code in REASONS:
            raise
        applied = None
    if applied is None:
        applied = yield from refill(device, progress)
    tally.note(applied)
    return sum(applied.written.values()) + sum(applied.removed.values())
