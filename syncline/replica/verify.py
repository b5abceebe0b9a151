"""Verify: is what the device has what the centre has? Digests by table, then by key range, then rows.

    ask -> take in the changes that lead to the answer's instant -> compare, as of that instant -> ask closer

The device's rows are read in one transaction, in which the watermark is still the answer's; if another
program has synced this file meanwhile the question is asked again. No lock is held while the network is
waited for (law L1).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from syncline.errors import ProtocolError, SchemaChanged, StoreBusy, SynclineError, ValueRefused
from syncline.model.order import place
from syncline.protocol.flows import Flow, counted
from syncline.protocol.jsonform import key_text
from syncline.protocol.messages import Changes, Part, Verified, Verify
from syncline.replica.answers import groups_of
from syncline.replica.apply import STEPS, Answer, run_steps
from syncline.replica.compare import Finding, Range, Span, differing, read_again
from syncline.replica.device import Device
from syncline.replica.lost import lost, unable
from syncline.replica.overlay import Key
from syncline.replica.pending import is_anything_pending, pending_edits
from syncline.replica.plan import left_out
from syncline.replica.progress import Progress, silent
from syncline.replica.recovery import REASONS
from syncline.replica.repair import repair as mend
from syncline.replica.reports import ComparedTable, VerifyReport
from syncline.replica.session import ask
from syncline.replica.stage import clear_stage, last_page
from syncline.replica.standing import changed_tables
from syncline.replica.sync import sync
from syncline.replica.work import Work

LEAF = 1_000
"""Rows of a range that is compared row by row."""

RUN = 10_000
"""Rows of neighbouring ranges that are asked for together."""

PARTS = 1_000
"""Into how many parts a table or a large range is cut."""

MOST = 10_000
"""Rows that differ, after which the search is ended: such a file is better cloned anew (law L11)."""

ATTEMPTS = 20
"""How often other programs may come in between before it is given up."""

R = TypeVar("R")


class _Moved(Exception):
    """Another program has synced the file since the question."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """How the file stands with the hub."""

    watermark: str | None
    push: int
    in_flight: int | None


@dataclass(slots=True)
class _Survey:
    """What is known, and the ranges still to be asked for. `rows` are those here and in the centre."""

    device: Device
    agenda: list[Span] = field(default_factory=list)
    found: dict[tuple[int, Key], Finding] = field(default_factory=dict)
    rows: dict[int, tuple[int, int]] = field(default_factory=dict)
    mark: _Mark | None = None
    requests: int = 0
    disturbed: int = 0
    complete: bool = True

    def count(self) -> None:
        self.requests += 1

    def doubt(self) -> None:
        """The file was synced by another program: what was found is looked at again. StoreBusy if that
        happens all the time."""
        self.disturbed += 1
        if self.disturbed > ATTEMPTS:
            raise StoreBusy(
                f"{self.device.store.path}: other programs keep syncing this file",
                remedy="Stop the other programs that sync this file for a moment, then verify again.",
            )
        self.agenda += dict.fromkeys(finding.span for finding in self.found.values())
        self.found.clear()
        self.complete = True

    def learn(self, changes: Changes) -> None:
        """What was found follows the changes that the file has taken in since."""
        if not self.found or not changes.digest:
            return
        for group in groups_of(changes.groups, changes.digest, None):
            for row in group.rows:
                finding = self.found.get((group.table, tuple(row[: _arity(self.device, group.table)])))
                if finding is None:
                    continue
                if group.op == "D":
                    finding.centre = None
                    continue
                arity, whole = finding.t.arity, len(group.columns) == len(finding.t.values)
                if whole or finding.centre is not None:
                    known = [*row[:arity], *(finding.centre or row)[arity:]]
                    for column, value in zip(group.columns, row[arity:], strict=True):
                        known[arity + finding.t.table.places[column]] = value
                    finding.centre = known


def verify(device: Device, progress: Progress) -> Flow[VerifyReport]:
    """Compare every tracked table with the centre. Edits that are pending are sent before."""
    started, survey = time.monotonic(), _Survey(device)
    found = yield from counted(_search(survey, progress), survey.count)
    return _report(survey, started, found, None)


def repair(device: Device, progress: Progress) -> Flow[VerifyReport]:
    """`verify`; then make the rows that differ what the centre has, and look at them again."""
    started, survey = time.monotonic(), _Survey(device)
    found, left = yield from counted(_repair(survey, progress), survey.count)
    return _report(survey, started, found, left)


def _report(
    survey: _Survey, started: float, found: Sequence[Finding], left: Sequence[Finding] | None
) -> VerifyReport:
    device = survey.device
    wrong = {finding.t.n for finding in found}
    tables = tuple(
        ComparedTable(t.table.name, *survey.rows.get(n, (0, 0)), n not in wrong)
        for n, t in device.tables.items()
    )
    now, uncompared = found if left is None else left, tuple(unable(device))
    absent = tuple(table.name for table in left_out(device, device.hub))
    return VerifyReport(
        equal=survey.complete
        and device.tracked.keys() <= survey.rows.keys()
        and not (now or uncompared or absent),
        tables=tables,
        differences=tuple(finding.described() for finding in found),
        repaired=0 if left is None else len(found),
        left=() if left is None else tuple(finding.described() for finding in left),
        complete=survey.complete,
        pending=sum(pending_edits(device).values()),
        unable=uncompared,
        changed=changed_tables(device),
        watermark=device.store.state().watermark,
        requests=survey.requests,
        seconds=round(time.monotonic() - started, 3),
        left_out=absent,
    )


# The search --------------------------------------------------------------------------------------------


def _search(survey: _Survey, progress: Progress) -> Flow[list[Finding]]:
    device = survey.device
    waits = device.store.state().recovery is not None or lost(device.store) or device.aside
    if waits or is_anything_pending(device):
        yield from sync(device, silent)
    progress("verify", 0, None)
    while True:
        yield from _look(survey, None, lambda answer: _compare_tables(survey, answer))
        found = yield from _descend(survey, progress)
        if survey.device.tables.keys() <= survey.rows.keys():
            return found
        survey.doubt()  # a table takes part that did not when it began


def _descend(survey: _Survey, progress: Progress) -> Flow[list[Finding]]:
    """Ask for what is on the agenda until nothing is; return what differs in the end."""
    asked = 0
    while True:
        while survey.agenda and survey.complete:
            span = survey.agenda.pop()
            if span.table not in survey.device.tables:  # the schema has changed meanwhile
                continue
            yield from _look(survey, span, lambda answer, span=span: _compare(survey, span, answer))  # type: ignore[misc]
            asked += 1
            progress("verify", asked, asked + len(survey.agenda))
        if not survey.found:
            return []
        try:
            return _at(survey, lambda: read_again(survey.device.store, survey.found.values()))
        except _Moved:
            survey.doubt()


def _look(survey: _Survey, span: Span | None, compare: Callable[[Verified], None]) -> Flow[None]:
    """Ask, take in the changes, compare at the answer's instant."""
    while True:
        answer = yield from _ask(survey, span)
        try:
            _at(survey, lambda answer=answer: compare(answer))  # type: ignore[misc]
            return
        except _Moved:
            survey.doubt()


def _ask(survey: _Survey, span: Span | None) -> Flow[Verified]:
    """An answer to whose instant the file has been brought."""
    device = survey.device
    while True:
        mark = _mark(device)
        if mark.in_flight is not None or last_page(device.store) is not None:
            yield from sync(device, silent)
            mark = _mark(device)
        if survey.mark is not None and survey.mark != mark:
            survey.doubt()
        answer = yield from _answer(device, mark, span)
        if answer is None or answer.changes.more or answer.changes.schema:
            yield from sync(device, silent)
            survey.mark = None
            survey.doubt()
            continue
        try:
            survey.mark = _take_in(device, mark, answer.changes)
        except _Moved:
            survey.mark = None
            survey.doubt()
            continue
        survey.learn(answer.changes)
        return answer


def _answer(device: Device, mark: _Mark, span: Span | None) -> Flow[Verified | None]:
    """The hub's answer; None if it no longer knows where the replica stands, or has another schema, which a
    sync puts right."""
    try:
        return (yield from ask(_question(device, mark, span), Verified))
    except SchemaChanged:
        return None
    except SynclineError as error:
        if error.code not in REASONS:
            raise
        return None


def _question(device: Device, mark: _Mark, span: Span | None) -> Verify:
    state, after = device.store.state(), mark.watermark or ""
    if span is None:
        return Verify(state.replica, device.hub.fingerprint, after)
    first, last = (None if key is None else key_text(key) for key in (span.after, span.to))
    return Verify(state.replica, device.hub.fingerprint, after, span.table, first, last, span.size)


def _mark(device: Device) -> _Mark:
    state = device.store.state()
    return _Mark(state.watermark, state.push, device.store.value("SELECT number FROM _sync_outbox"))


def _still(mark: _Mark) -> Callable[[Work, Answer], None]:
    def check(work: Work, answer: Answer) -> None:
        if _mark(work.device) != mark:
            raise _Moved

    return check


def _take_in(device: Device, mark: _Mark, changes: Changes) -> _Mark:
    """Apply what came with the answer, if the file still stands where it was asked from."""

    def forget_stage(work: Work, answer: Answer) -> None:
        clear_stage(work.store)

    if changes.watermark is None:
        return mark
    run_steps(device, Answer(last=changes), (_still(mark), forget_stage, *STEPS))
    return _Mark(changes.watermark, mark.push, mark.in_flight)


def _at(survey: _Survey, work: Callable[[], R]) -> R:
    """Do it in one read transaction at the last answer's instant. _Moved if the file is elsewhere.

    A text that is not UTF-8 makes it begin again, with such text read as it is.
    """
    store = survey.device.store

    def run() -> R:
        with store.read():
            if _mark(survey.device) != survey.mark:
                raise _Moved
            return work()

    try:
        return run()
    except ValueRefused:
        with store.undecoded():
            return run()


# Comparing ---------------------------------------------------------------------------------------------


def _compare_tables(survey: _Survey, answer: Verified) -> None:
    device = survey.device
    if len(answer.tables) != len(device.schema.tables):
        raise ProtocolError("the hub has compared another number of tables than the schema has")
    spans, rows = [], {}
    for n, t in device.tables.items():
        part = answer.tables[t.rank]
        if part is None:
            count = device.store.value(f"SELECT count(*) FROM {t.name}")
            spans.append(Span(n, None, None, max(LEAF, _size(count)), counts=True))
            continue
        digest = Range(device.store, t, None, None).digest(None)
        rows[n] = digest.rows, part.rows
        if digest.hex != part.digest:
            spans.append(Span(n, None, None, _size(part.rows)))
    survey.agenda, survey.rows = spans, rows


def _size(rows: int) -> int:
    """In parts of how many rows to ask for a range of so many."""
    return 0 if rows <= LEAF else max(LEAF, -(-rows // PARTS))


def _compare(survey: _Survey, span: Span, answer: Verified) -> None:
    """Compare one range, and put what has to be asked for next on the agenda."""
    end = span.to
    if answer.more:
        end = tuple(answer.end or ())
        if span.after is not None and place(end) <= place(span.after):
            raise ProtocolError("the hub's answer does not go on from where it was asked")
    t, store = survey.device.tables[span.table], survey.device.store
    if span.size:
        if not answer.parts or tuple(answer.parts[-1].to or ()) != (end or ()):
            raise ProtocolError("the parts in the hub's answer do not cover what was asked for")
        survey.agenda += _compare_parts(survey, span, answer.parts, end)
    else:
        groups = groups_of(answer.groups, answer.digest, survey.device.hub)
        rows = [row for group in groups for row in group.rows]
        found = differing(store, t, span, end, rows, MOST - len(survey.found))
        survey.found.update(((span.table, finding.key), finding) for finding in found)
        survey.complete = len(survey.found) <= MOST
    if answer.more:
        survey.agenda.append(Span(span.table, end, span.to, span.size, span.counts))


def _compare_parts(survey: _Survey, span: Span, parts: Sequence[Part], end: Key | None) -> list[Span]:
    """The parts that differ; small neighbours together."""
    device, after = survey.device, span.after
    mine = Range(device.store, device.tables[span.table], after, end)
    spans: list[Span] = []
    here, run = 0, 0
    for part in parts:
        to = None if part.to is None else tuple(part.to)
        digest = mine.digest(to)
        here += digest.rows
        if digest.hex != part.digest:
            stuck = len(parts) == 1 and to == span.to  # the hub cannot cut it smaller
            size = 0 if part.rows <= 2 * LEAF or stuck else _size(part.rows)
            joins = spans and spans[-1].to == after and not size and not spans[-1].size
            if joins and run + part.rows <= RUN:
                spans[-1] = Span(span.table, spans[-1].after, to, 0)
                run += part.rows
            else:
                spans.append(Span(span.table, after, to, size))
                run = part.rows
        after = to
    if span.counts:
        mine_before, theirs_before = survey.rows.get(span.table, (0, 0))
        theirs = theirs_before + sum(part.rows for part in parts)
        survey.rows[span.table] = mine_before + here, theirs
    return spans


def _arity(device: Device, table: int) -> int:
    return len(device.schema.by_number[table].key)


# Repair ------------------------------------------------------------------------------------------------


def _repair(survey: _Survey, progress: Progress) -> Flow[tuple[list[Finding], list[Finding]]]:
    found = yield from _search(survey, progress)
    while found:
        assert survey.mark is not None, "it was asked at least once"
        try:
            mend(survey.device, found, _still(survey.mark))
            break
        except _Moved:
            survey.doubt()
            found = yield from _descend(survey, progress)
    complete = survey.complete
    survey.agenda = list(dict.fromkeys(finding.span for finding in found))
    survey.found, survey.complete = {}, True
    left = (yield from _descend(survey, progress)) if found else []
    survey.complete = complete and survey.complete
    return found, left
