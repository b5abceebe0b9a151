"""The everyday verbs as flows: sync, push, pull. No I/O but the device file; the driver has the network.

A push in flight always goes first. What was pending at the beginning is pushed; the last push carries the
pull, and its verdict and all pulled pages are taken in together, in one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from syncline.errors import SynclineError
from syncline.protocol.flows import Flow
from syncline.protocol.messages import Changes, Pull
from syncline.replica.apply import Answer, Applied, apply
from syncline.replica.conflicts import refresh
from syncline.replica.device import Device
from syncline.replica.freeze import Frozen, freeze, in_flight, is_complete
from syncline.replica.pending import pending_edits
from syncline.replica.progress import Progress
from syncline.replica.pull import fetch_rest, next_pull
from syncline.replica.push import FileIsCopy, forget_stage, send
from syncline.replica.rejected import newest_rejected, rejected
from syncline.replica.reports import PullReport, PushReport, RejectedEdit, SyncReport
from syncline.replica.session import take_new_identity


@dataclass(slots=True)
class Tally:
    """Counts what the reports say."""

    sent: int = 0
    pushes: int = 0
    overruled: int = 0
    conflicts: int = 0
    requests: int = 0
    pages: int = 0
    rejected: list[RejectedEdit] = field(default_factory=list)
    written: dict[str, int] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    pulled: bool = False

    def note(self, applied: Applied) -> None:
        for mine, theirs in ((self.written, applied.written), (self.removed, applied.removed)):
            for name, rows in theirs.items():
                mine[name] = mine.get(name, 0) + rows

    def push_report(self) -> PushReport:
        return PushReport(self.sent, self.pushes, self.overruled, tuple(self.rejected), self.conflicts)

    def pull_report(self) -> PullReport:
        names = sorted(self.written.keys() | self.removed.keys())
        tables = {name: self.written.get(name, 0) + self.removed.get(name, 0) for name in names}
        return PullReport(sum(self.written.values()), sum(self.removed.values()), self.pages, tables)


def sync(device: Device, progress: Progress) -> Flow[SyncReport]:
    """Send what is pending, take the verdict, fetch what is new."""
    started, tally = time.monotonic(), Tally()
    yield from _counted(_sync(device, tally, progress), tally)
    return SyncReport(
        tally.push_report(),
        tally.pull_report(),
        sum(pending_edits(device).values()),
        tally.requests,
        round(time.monotonic() - started, 3),
    )


def push(device: Device, progress: Progress) -> Flow[PushReport]:
    """Send what is pending and take the verdict; fetch nothing."""
    tally = Tally()
    yield from _push(device, tally, progress, _nothing)
    return tally.push_report()


def pull(device: Device, progress: Progress) -> Flow[PullReport]:
    """Fetch what is new; pending edits stay pending. A push in flight is asked for its verdict first."""
    tally = Tally()
    frozen = in_flight(device.store)
    if frozen is not None:
        try:
            yield from _push_one(device, tally, progress, frozen, None)
        except FileIsCopy:
            yield from take_new_identity(device)
    yield from _pull(device, tally, progress)
    return tally.pull_report()


def _sync(device: Device, tally: Tally, progress: Progress) -> Flow[None]:
    yield from _push(device, tally, progress, next_pull)
    if not tally.pulled:
        yield from _pull(device, tally, progress)
    yield from refresh(device.store)


def _nothing(device: Device) -> None:
    """What a push carries that fetches nothing."""


def _push(
    device: Device, tally: Tally, progress: Progress, carried: Callable[[Device], Pull | None]
) -> Flow[None]:
    """Push until everything that was pending is decided. The push that completes it carries the pull."""
    before = newest_rejected(device.store)
    while True:
        frozen = in_flight(device.store) or freeze(device)
        tally.rejected = rejected(device, before)
        if frozen is None:
            return
        forget_stage(device)
        complete = is_complete(device)
        try:
            yield from _push_one(device, tally, progress, frozen, carried(device) if complete else None)
        except FileIsCopy:
            yield from take_new_identity(device)
            continue
        tally.rejected = rejected(device, before)
        if complete:
            return


def _push_one(
    device: Device, tally: Tally, progress: Progress, frozen: Frozen, carried: Pull | None
) -> Flow[None]:
    """One push and, with it, its verdict and the pull it carries: one transaction in the file."""
    forget_stage(device)
    progress("push", tally.sent, None)
    sent = yield from send(device, frozen, carried)
    last = None
    if carried is not None:
        last = yield from _fetch(device, tally, progress, sent.verdict.changes)
    tally.note(apply(device, Answer(sent.verdict, last)))
    tally.sent += sent.rows
    tally.pushes += 1
    tally.overruled += max(0, sent.overridden - len(sent.verdict.rejected))
    tally.conflicts += len(sent.verdict.conflicts)
    progress("push", tally.sent, tally.sent)


def _pull(device: Device, tally: Tally, progress: Progress) -> Flow[None]:
    last = yield from _fetch(device, tally, progress, None)
    tally.note(apply(device, Answer(last=last)))


def _fetch(device: Device, tally: Tally, progress: Progress, first: Changes | None) -> Flow[Changes]:
    def count(stage: str, done: int, total: int | None) -> None:
        tally.pages = done
        progress(stage, done, total)

    last = yield from fetch_rest(device, first, count)
    tally.pulled = True
    return last


def _counted(flow: Flow[None], tally: Tally) -> Flow[None]:
    """The flow itself, counting its requests."""
    try:
        request = next(flow)
        while True:
            tally.requests += 1
            try:
                response = yield request
            except SynclineError as error:
                request = flow.throw(error)
            else:
                request = flow.send(response)
    except StopIteration:
        return
