"""What was not captured is found by comparing with the centre, and becomes pending edits.

    settle the push in flight -> fetch the tables whole -> pull, up to one instant after that -> compare
    -> one transaction logs what differs and takes the pulled rows in

The device had seen the centre up to its watermark; the pull says which rows and columns others have changed
since. Everywhere else the centre's rows are what the device had, so that what differs was done here: rows
only here are inserts, rows that differ updates of the columns that do, rows that are missing deletes. In a
column that was changed there, too, nobody can tell whether the value here is new or merely old: the centre's
stays, and this one is kept as a conflict. Where most rows are missing they come back: a table that was made
anew is not one whose rows were deleted.

Nothing is locked while the hub is waited for, nor while rows are compared (law L1). Until all is done the
tables stay noted in `_sync_lost`: a kill, and the next verb begins again.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec

from syncline.errors import SchemaChanged, WatermarkRefused
from syncline.merge.policies import COMPARED
from syncline.model.values import Value
from syncline.protocol.flows import Flow
from syncline.protocol.messages import Changes, ConflictNote, Group, Verdict
from syncline.replica import join
from syncline.replica.answers import groups_of
from syncline.replica.apply import (
    Answer,
    advance,
    decide_replaced,
    keep_held,
    run_steps,
    show_held,
    take_held,
    take_out_gone,
    take_pages,
)
from syncline.replica.asked import spell_all
from syncline.replica.capture import renew_now
from syncline.replica.comeback import Comer
from syncline.replica.conflicts import keep_own
from syncline.replica.device import Device
from syncline.replica.drained import drained_already
from syncline.replica.edge import as_here, same_value
from syncline.replica.filling import clear_filling, fetch_filling, filling
from syncline.replica.follow import ROUNDS, Overtaken, take_in
from syncline.replica.freeze import in_flight
from syncline.replica.lost import forget_lost, lost, returned, returned_since, waited
from syncline.replica.made import make_lost
from syncline.replica.overlay import Key, Pending
from syncline.replica.progress import Progress
from syncline.replica.pull import fetch_rest
from syncline.replica.push import forget, forget_stage, send
from syncline.replica.referring import make_postponed
from syncline.replica.reports import Regained
from syncline.replica.respell import respell_all
from syncline.replica.returned import refuse_returned
from syncline.replica.stage import clear_stage, is_staged_otherwise, staged
from syncline.replica.statements import Statements
from syncline.replica.store import Store
from syncline.replica.tally import Tally
from syncline.replica.unseen import Finder
from syncline.replica.verdict import SentRow, sent_rows
from syncline.replica.work import Work

logger = logging.getLogger("syncline.replica")


def regain(device: Device, tally: Tally, progress: Progress) -> Flow[None]:
    """Do all of it for the tables noted; nothing if there are none."""
    store = device.store
    if not lost(store):
        return
    if in_flight(store) is not None:
        yield from _settle(device, tally, progress)
    for _ in range(ROUNDS):
        try:
            fetched = yield from _fetch(device, progress)
            told = yield from _told_since(device, progress)
            last = yield from fetch_rest(device, None, progress)
        except SchemaChanged:
            last = None
        if last is not None and not _is_of_another_schema(device, last):
            yield from spell_all(device, [t for t in device.tables.values() if t.n in lost(store)])
            tally.regained += said(device, _compare(device, last, fetched, told, tally))
            return
        yield from _follow(device, last, tally, progress)
    raise SchemaChanged("the hub's schema changes again and again", remedy="Sync again in a while.")


def said(device: Device, found: list[Regained]) -> list[Regained]:
    """What was found is in the log, too."""
    for done in found:
        logger.info(
            "table %s was not captured for a while: found %d inserts, %d updates, %d deletes",
            done.table, done.inserted, done.updated, done.deleted,
            extra={"action": "regain", "replica": device.store.state().replica, "table": done.table,
                   "inserted": done.inserted, "updated": done.updated, "deleted": done.deleted,
                   "returned": done.returned, "kept": done.kept},
        )  # fmt: skip
    return found


Place = tuple[int, Key]
"""A table's number, and the key of a row."""

Sent = Mapping[Place, SentRow]
NONE_SENT: Sent = {}


@dataclass(frozen=True, slots=True)
class Start:
    """A watermark that the file's rows have seen; empty where none is known. `is_past_lost`: they have seen
    more than the centre has, too, so that a counter may have been changed by others."""

    watermark: str
    is_past_lost: bool


def find_out(device: Device, start: Start, tally: Tally, progress: Progress) -> Flow[None]:
    """What `regain` finds, for a file that is about to be filled again: it becomes pending edits, and no row
    changes yet (law L5).

    Where there is no place to start from, or the hub has another schema, nobody can tell what others have
    changed, and `replica.refill` keeps both."""
    store = device.store
    if not start.watermark or not lost(store) or returned(store) or in_flight(store) is not None:
        return
    forget_stage(device)
    try:
        fetched = yield from _fetch(device, progress, start.watermark)
        last = yield from fetch_rest(device, None, progress, start=start.watermark)
    except SchemaChanged:
        return
    if _is_of_another_schema(device, last):
        return
    yield from spell_all(device, [t for t in device.tables.values() if t.n in lost(store)])
    tally.regained += said(device, _judge(device, last, fetched, start.is_past_lost))


def _settle(device: Device, tally: Tally, progress: Progress) -> Flow[None]:
    """Take the verdict of the push in flight, and keep what it would overwrite that nobody knows of."""
    frozen = in_flight(device.store)
    assert frozen is not None, "there is a push in flight"
    kept: set[Place] = set()
    for _ in range(ROUNDS):
        forget_stage(device)
        sent = yield from send(device, frozen, None, progress)
        _keep_answered(device, sent.verdict, kept)
        before = partial(_keep_pulled, kept)
        try:
            tally.note((yield from take_in(device, Answer(sent.verdict), progress, before)))
        except Overtaken:  # asked again, the hub says the same of its present schema
            continue
        break
    else:
        raise SchemaChanged("the hub's schema changes again and again", remedy="Sync again in a while.")
    yield from forget(device, frozen)
    tally.count(sent)


def _keep_answered(device: Device, verdict: Verdict, kept: set[Place]) -> None:
    """Keep what the verdict would overwrite, once of each row. `kept`: of which it is kept."""
    answered = groups_of(verdict.overrides, verdict.digest, None) if verdict.digest else []
    fresh: set[Place] = set()

    def keep(work: Work, answer: Answer) -> None:
        groups = as_here(device.tables, answered)
        groups = [_without(device, group, kept) for group in groups if group.table in device.tables]
        sent = sent_rows(device, {(group.table, key) for group in groups for key in _keys(device, group)})
        for group in groups:
            fresh.update(_keep_unlike(work, group, sent))

    run_steps(device, Answer(), (keep, keep_held))
    kept |= fresh


def _without(device: Device, group: Group, kept: Collection[Place]) -> Group:
    """The rows of a group that are not kept yet."""
    arity = device.arity(group.table)
    rows = [row for row in group.rows if (group.table, tuple(row[:arity])) not in kept]
    return msgspec.structs.replace(group, rows=rows)


def _follow(device: Device, last: Changes | None, tally: Tally, progress: Progress) -> Flow[None]:
    """The hub has another schema: take that in first, and keep what the pull overwrites. What the change
    itself would overwrite is left for the comparison, see `replica.widened`."""
    if last is None:
        forget_stage(device)
        last = yield from fetch_rest(device, None, progress)
    before = partial(_keep_pulled, set())
    tally.note((yield from take_in(device, Answer(last=last), progress, before)))


def _keep_pulled(kept: Collection[Place], work: Work, answer: Answer) -> None:
    """Keep what the pages that are about to be taken in would overwrite, of rows that are not kept yet."""
    if answer.last is not None:
        for group in _pulled(work.device, answer.last):
            if group.table in work.device.tables:
                _keep_unlike(work, _without(work.device, group, kept))


def _fetch(device: Device, progress: Progress, start: str = "") -> Flow[str]:
    """The tables, whole, page by page; those of an earlier attempt are fetched again. See `fetch_filling`."""
    with device.store.transaction() as store:
        clear_stage(store)
        clear_filling(store)
    wanted = {n: "" for n in lost(device.store) if n in device.tables}
    return (
        yield from fetch_filling(device, device.hub, wanted, lambda n: progress("regain", n, None), start)
    )


def _told_since(device: Device, progress: Progress) -> Flow[set[int]]:
    """What others have done to tables that came back, since they were set aside: noted for the comparison, as
    the news of it were passed over. Returns the numbers of those of which the hub's log tells it still.
    SchemaChanged."""
    store, told = device.store, set[int]()
    for since, numbers in returned_since(store).items():
        forget_stage(device)
        try:
            last = yield from fetch_rest(device, None, progress, start=since)
        except WatermarkRefused:
            continue
        if _is_of_another_schema(device, last):
            raise SchemaChanged("the hub's schema has changed meanwhile")
        finders = [Finder(device.tables[n], 0) for n in numbers & device.tables.keys()]
        with store.aside():
            for finder in finders:
                finder.begin(store)
            _note_news(device, last, finders)
        told |= {finder.t.n for finder in finders}
    forget_stage(device)
    return told


def _note_news(device: Device, last: Changes, finders: Sequence[Finder]) -> None:
    for group in _pulled(device, last):
        for finder in finders:
            finder.note_news(device.store, group)


def _is_of_another_schema(device: Device, last: Changes) -> bool:
    known = device.hub.fingerprint
    return last.schema not in (None, "", known) or is_staged_otherwise(device.store, known)


def _pulled(device: Device, last: Changes) -> Iterator[Group]:
    for page in (*staged(device.store), last):
        if page.digest:
            yield from as_here(device.tables, groups_of(page.groups, page.digest, None))


# Comparing ------------------------------------------------------------------------------------------------


def _compare(
    device: Device, last: Changes, fetched: str, told: Collection[int], tally: Tally
) -> list[Regained]:
    """`told`: tables that came back, and of which is noted what others did since they were set aside."""
    store, marks = device.store, lost(device.store)
    tables = [t for t in device.tables.values() if t.n in marks]
    back = returned(store) - {*told}
    since = waited(store)
    finders = [
        Finder(t, marks[t.n], waited=t.n in since, passed_over=t.n in told) for t in tables if t.n not in back
    ]
    comers = [Comer(t) for t in tables if t.n in back]
    respell_all(device, tables)
    try:
        _prepare(device, last, fetched, tables, finders, told)

        def relog(work: Work, answer: Answer) -> None:
            for finder in finders:
                finder.find(work)
            for comer in comers:
                comer.find(work)
            work.overlay.forget()
            refuse_returned(work)
            for comer in comers:
                comer.show(work)
            for finder in finders:
                finder.show(work)
            clear_filling(store)
            forget_lost(store)

        def make_indexes(work: Work, answer: Answer) -> None:
            make_indexes_again(work.device, tables)

        first = (take_held, decide_replaced, relog, take_pages, take_out_gone, show_held)
        tally.note(run_steps(device, Answer(last=last), (*first, make_indexes, keep_held, advance)))
        tally.pulled = True
    finally:
        _end(store, tables, finders)
    return [*(finder.report() for finder in finders), *(comer.report() for comer in comers)]


def _judge(device: Device, last: Changes, fetched: str, is_past_lost: bool) -> list[Regained]:
    """The edits go into the change log; rows and watermark stay."""
    store, marks = device.store, lost(device.store)
    tables = [t for t in device.tables.values() if t.n in marks]
    since = waited(store)
    finders = [Finder(t, marks[t.n], is_past_lost, t.n in since) for t in tables]
    respell_all(device, tables)
    try:
        _prepare(device, last, fetched, tables, finders)

        def relog(work: Work, answer: Answer) -> None:
            for finder in finders:
                finder.find(work)
            work.overlay.forget()
            make_indexes_again(work.device, tables)
            clear_filling(store)
            clear_stage(store)
            forget_lost(store)

        run_steps(device, Answer(), (take_held, decide_replaced, relog, keep_held))
    finally:
        _end(store, tables, finders)
    return [finder.report() for finder in finders]


def make_indexes_again(device: Device, tables: Sequence[Statements]) -> None:
    """Those that went with the tables, and foreign keys that need them. A REPLACE removes rows by them, too.
    Inside a transaction."""
    make_lost(device, {t.n for t in tables})
    make_postponed(device)
    for t in tables:
        renew_now(device.store, t)


def _prepare(
    device: Device,
    last: Changes,
    fetched: str,
    tables: Sequence[Statements],
    finders: Sequence[Finder],
    told: Collection[int] = (),
) -> None:
    store = device.store
    with store.aside():
        for t in tables:
            join.begin(store, t)
        _note_rows(store, {t.n: t for t in tables}, fetched)
        for finder in finders:
            if finder.t.n not in told:
                finder.begin(store)
        _note_news(device, last, finders)
        for t in tables:
            join.compare(store, t)


def _end(store: Store, tables: Sequence[Statements], finders: Sequence[Finder]) -> None:
    for t in tables:
        join.end(store, t)
    for finder in finders:
        finder.end(store)


def _note_rows(store: Store, tables: dict[int, Statements], fetched: str) -> None:
    for group in filling(store, tables, fetched):
        if group.table not in tables:  # another sync has been through with it, and fetches other tables
            raise store.overtaken()
        join.note_rows(store, tables[group.table], group)


def _keys(device: Device, group: Group) -> list[Key]:
    return [tuple(row[: device.arity(group.table)]) for row in group.rows]


def _keep_unlike(work: Work, group: Group, sent: Sent = NONE_SENT) -> list[Place]:
    """Keep what rows of a table that was not captured hold in columns that are about to be overwritten, and
    return which these are. `sent`: what of them has its verdict now. What was written over that was not
    captured either."""
    t = work.device.tables.get(group.table)
    if t is None or t.n not in lost(work.store):
        return []
    columns = [i for i in group.columns if i in t.values]
    blank, drained = join.own_note(work, t, COMPARED), drained_already(work.store, t)
    notes = []
    for own, row in zip(work.overlay.pending(t, _keys(work.device, group)), group.rows, strict=True):
        if own.present is None:
            continue
        mine = t.state_of(own.present)
        over = _written_over(work, t, own, sent)
        if group.op == "D":
            if not own.entries or over is not None:
                notes.append(_note(blank, own, None))
            continue
        given = dict(zip(group.columns, row[t.arity :], strict=True))
        unlike = [
            i
            for i in columns
            if (not own.touched >> i & 1 or i in (over or ()))
            and not drained.fills(i, mine[i])
            and not same_value(t, i, mine[i], given[i])
        ]
        if unlike:
            notes.append(_note(blank, own, {**mine, **{i: given[i] for i in unlike}}))
    keep_own(work.store, notes)
    return [(t.n, tuple(note.key)) for note in notes]


def _written_over(work: Work, t: Statements, own: Pending, sent: Sent) -> list[int] | None:
    """The columns in which a row holds something else than was sent of it, where no update of them is pending
    besides; None if there are none, and the whole of it was sent or more of it is pending."""
    cut = work.store.value("SELECT seq FROM _sync_outbox_cut WHERE n = ?", (t.n,)) or 0
    later = [entry for entry in own.entries if entry.seq > cut]
    if (t.n, own.key) not in sent or any(entry.op != "U" for entry in later):
        return None
    op, columns, values = sent[t.n, own.key]
    mine = t.state_of(own.present or ())
    apart = t.increments if op == "U" else 0
    for entry in later:
        apart |= entry.mask
    pairs = [
        (i, value) for i, value in zip(columns, values, strict=False) if i in mine and not apart >> i & 1
    ]
    over = [i for i, value in pairs if not same_value(t, i, mine[i], value)]
    return over if over or (op not in "IR" and not later) else None


def _note(blank: ConflictNote, own: Pending, theirs: dict[int, Value] | None) -> ConflictNote:
    hub = None if theirs is None else list(theirs.values())
    return msgspec.structs.replace(blank, key=list(own.key), sent=own.present, hub=hub)
