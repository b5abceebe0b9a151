"""The everyday verbs as flows: sync, push, pull. The driver has the network, a flow the device file.

A flow also waits for a thread of its own where the file has a lot to do (`replica.ahead` freezes large
pushes, `replica.hydrate` writes what comes), so that whoever drives one must be able to block.

A push in flight always goes first. What was pending at the beginning is pushed; the last push carries the
pull, and its verdict and all pulled pages are taken in together, in one transaction. A verb that finds the
replica's place lost at the hub finds it again and goes on (`replica.recovery`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count

from syncline.errors import (
    BodyRefused,
    Conflict,
    Forbidden,
    SchemaChanged,
    StoreBusy,
    StoreObstacle,
    SynclineError,
    TransportError,
    Unauthenticated,
)
from syncline.protocol.flows import Flow, counted
from syncline.protocol.messages import Changes, Pull
from syncline.replica.ahead import freeze_and_send
from syncline.replica.apply import Answer
from syncline.replica.asked import spell_inserted
from syncline.replica.conflicts import refresh
from syncline.replica.device import Device
from syncline.replica.follow import ROUNDS, Overtaken, take_in
from syncline.replica.freeze import Frozen, in_flight, is_complete
from syncline.replica.lost import notice, refuse_unfit, unable
from syncline.replica.noticed import notice_all
from syncline.replica.pending import pending_edits
from syncline.replica.progress import Progress
from syncline.replica.pull import carried_pull, fetch_rest
from syncline.replica.push import forget, forget_stage, send
from syncline.replica.recovery import REASONS, begin, recover
from syncline.replica.regain import regain
from syncline.replica.rejected import newest_rejected, rejected, wait
from syncline.replica.reopen import has_arrived, reopen
from syncline.replica.reports import PullReport, PushReport, SyncReport
from syncline.replica.session import ask_which_hub
from syncline.replica.smaller import make_smaller
from syncline.replica.tally import Tally
from syncline.replica.waiting import TOLD, waiting

RECOVERIES = 5
"""How often one verb may find its place lost before the refusal is said."""


def sync(device: Device, progress: Progress) -> Flow[SyncReport]:
    """Send what is pending, take the verdict, fetch what is new."""
    started, tally = time.monotonic(), Tally(newest_rejected(device.store))
    yield from counted(_sync(device, tally, progress), tally.count_request)
    refuse_unfit(device)
    return SyncReport(
        tally.push_report(),
        tally.pull_report(),
        sum(pending_edits(device).values()),
        tally.requests,
        round(time.monotonic() - started, 3),
        tally.recovered,
        tuple(tally.regained),
        tuple(unable(device)),
    )


def push(device: Device, progress: Progress) -> Flow[PushReport]:
    """Send what is pending and take the verdict; fetch nothing."""
    tally = Tally(newest_rejected(device.store))
    yield from _recovering(device, tally, progress, lambda: _push(device, tally, progress, _nothing))
    return tally.push_report()


def pull(device: Device, progress: Progress) -> Flow[PullReport]:
    """Fetch what is new; pending edits stay pending. A push in flight is asked for its verdict first; if it
    fails, that is told, and what is new is fetched all the same."""
    tally = Tally(newest_rejected(device.store))
    yield from _recovering(device, tally, progress, lambda: _pull_alone(device, tally, progress))
    refuse_unfit(device)
    return tally.pull_report()


def _sync(device: Device, tally: Tally, progress: Progress) -> Flow[None]:
    yield from _recovering(device, tally, progress, lambda: _push_and_pull(device, tally, progress))
    yield from refresh(device.store)


def _recovering(
    device: Device, tally: Tally, progress: Progress, verb: Callable[[], Flow[None]]
) -> Flow[None]:
    """Do what a verb is for; before it, and whenever the hub no longer knows this replica's place, recover
    and find what was not captured."""
    for attempt in count(1):
        try:
            yield from _made_good(device, tally, progress)
            yield from verb()
            if device.came_back:
                yield from _made_good(device, tally, progress)
                yield from verb()
        except SynclineError as error:
            if attempt < RECOVERIES and _met_altered(device, error):
                notice_all(device)
                continue
            if error.code not in REASONS or attempt == RECOVERIES:
                wait(device, rejected(device, tally.before))
                raise
            yield from ask_which_hub(device.store)  # of another hub nothing is noted (law L2)
            begin(device.store, REASONS[error.code])
        else:
            break
    tally.rejected = rejected(device, tally.before)
    wait(device, rejected(device) if tally.recovered else tally.rejected)
    tally.waiting = tuple(waiting(device, TOLD))


def _met_altered(device: Device, error: SynclineError) -> bool:
    """Whether a verb met a table that the application has altered in the middle of it, as its columns were
    before: it goes on with the table as it is now."""
    is_met = isinstance(error, StoreBusy | StoreObstacle)
    return is_met and device.store.value("PRAGMA schema_version") != device.schema_version


def _made_good(device: Device, tally: Tally, progress: Progress) -> Flow[None]:
    """What a recovery still needs is done, and what was not captured is found. A recovery may bring the
    schema that a table which was aside fits; edits of it may have to be asked about then."""
    for _ in range(ROUNDS):
        was_begun = yield from recover(device, tally, progress)
        if device.aside:
            notice(device)
        if not (was_begun or device.aside) or device.store.state().recovery is None:
            break
    device.came_back = False
    yield from regain(device, tally, progress)


def _push_and_pull(device: Device, tally: Tally, progress: Progress) -> Flow[None]:
    yield from _push(device, tally, progress, carried_pull)
    if not tally.pulled:
        yield from _pull(device, tally, progress)


def _pull_alone(device: Device, tally: Tally, progress: Progress) -> Flow[None]:
    frozen = in_flight(device.store)
    if frozen is not None:
        try:
            yield from _push_one(device, tally, progress, frozen, None)
        except SynclineError as error:
            if error.code in REASONS or _stops_all(error):
                raise
            tally.push_failed = f"{error.detail} [{error.code}]"
            if not (yield from has_arrived(device, frozen)):
                device.lacking = frozen.number
    try:
        yield from _pull(device, tally, progress)
    finally:
        device.lacking = 0


def _stops_all(error: SynclineError) -> bool:
    """Whether nothing could be fetched either."""
    cut_off = isinstance(error, TransportError) and not isinstance(error, BodyRefused)
    return cut_off or isinstance(error, Unauthenticated | Forbidden)


def _nothing(device: Device) -> None:
    """What a push carries that fetches nothing."""


def _push(
    device: Device, tally: Tally, progress: Progress, carried: Callable[[Device], Pull | None]
) -> Flow[None]:
    """Push until everything that was pending is decided. The push that completes it carries the pull."""
    while not device.came_back:  # what was not captured is found first
        try:
            yield from _without_aside(device)
            frozen, draft = in_flight(device.store), ""
            if frozen is None:
                yield from spell_inserted(device)
                frozen, draft = yield from freeze_and_send(device)
            if frozen is None:
                return
            forget_stage(device)
            complete = is_complete(device)
            pull = carried(device) if complete else None
            yield from _push_one(device, tally, progress, frozen, pull, draft)
        except BodyRefused as refused:
            yield from make_smaller(device, refused)
            continue
        if complete:
            return


def _without_aside(device: Device) -> Flow[None]:
    """A push in flight with edits of tables that are aside now is taken apart, if the hub has not got it:
    what it may ask for of them is not there."""
    if not device.aside:
        return
    covered = {n for (n,) in device.store.rows("SELECT n FROM _sync_outbox_cut")}
    if covered & device.aside.keys():
        yield from reopen(device)


def _push_one(
    device: Device, tally: Tally, progress: Progress, frozen: Frozen, carried: Pull | None, draft: str = ""
) -> Flow[None]:
    """One push and, with it, its verdict and the pull it carries: one transaction in the file. `draft`: under
    what name chunks of it are at the hub."""
    progress("push", tally.sent, None)
    for _ in range(ROUNDS):
        forget_stage(device)
        sent = yield from send(device, frozen, carried, progress, draft)
        last, busy = None, None
        if carried is not None:
            try:
                last = yield from _fetch(device, tally, progress, sent.verdict.changes)
            except Conflict as error:  # what was decided is decided, and what is new is there later
                busy = error
        try:
            tally.note((yield from take_in(device, Answer(sent.verdict, last), progress)))
        except Overtaken:  # asked again, the hub says the same of its present schema
            continue
        break
    else:
        raise SchemaChanged("the hub's schema changes again and again", remedy="Sync again in a while.")
    yield from forget(device, frozen)
    tally.count(sent)
    progress("push", tally.sent, tally.sent)
    if busy is not None:
        raise busy


def _pull(device: Device, tally: Tally, progress: Progress) -> Flow[None]:
    yield from spell_inserted(device)
    last = yield from _fetch(device, tally, progress, None)
    tally.note((yield from take_in(device, Answer(last=last), progress)))


def _fetch(device: Device, tally: Tally, progress: Progress, first: Changes | None) -> Flow[Changes]:
    def note(stage: str, done: int, total: int | None) -> None:
        tally.pages = done
        progress(stage, done, total)

    last = yield from fetch_rest(device, first, note)
    tally.pulled = True
    return last
