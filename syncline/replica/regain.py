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
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import msgspec

from syncline.errors import SchemaChanged
from syncline.model.masks import split_mask
from syncline.model.values import Value, identical, indices_of, mask_of
from syncline.protocol.body import open_groups
from syncline.protocol.flows import Flow
from syncline.protocol.messages import Changes, ConflictNote, Group, Snapshot, SnapshotPage
from syncline.replica import join
from syncline.replica.answers import groups_of
from syncline.replica.apply import (
    Answer,
    advance,
    decide_replaced,
    keep_held,
    learn_group,
    run_steps,
    show_held,
    take_held,
    take_out_gone,
    take_pages,
)
from syncline.replica.conflicts import keep_own
from syncline.replica.device import Device
from syncline.replica.follow import ROUNDS, take_in
from syncline.replica.freeze import in_flight
from syncline.replica.lost import lost, replaced
from syncline.replica.overlay import Key, Pending
from syncline.replica.progress import Progress
from syncline.replica.pull import fetch_rest
from syncline.replica.push import forget, forget_stage, send
from syncline.replica.rejected import Reason, keep_rejected
from syncline.replica.reports import Regained
from syncline.replica.session import ask
from syncline.replica.stage import clear_stage, is_staged_otherwise, staged
from syncline.replica.statements import Statements
from syncline.replica.store import Store
from syncline.replica.tally import Tally
from syncline.replica.work import Work

logger = logging.getLogger("syncline.replica")

POLICY = "capture"
"""What conflicts are noted under that come from comparing."""

KINDS = ("inserted", "updated", "deleted", "returned", "kept")
"""What is counted, in the order of a `Regained`."""

SOME = 200
"""Keys that one statement asks for."""


def regain(device: Device, tally: Tally, progress: Progress) -> Flow[None]:
    """Do all of it for the tables noted; nothing if there are none."""
    store = device.store
    if not lost(store):
        return
    if in_flight(store) is not None:
        yield from _settle(device, tally, progress)
    for _ in range(ROUNDS):
        try:
            yield from _fetch(device, progress)
            last = yield from fetch_rest(device, None, progress)
        except SchemaChanged:
            last = None
        if last is not None and not _is_of_another_schema(device, last):
            for done in _compare(device, last, tally):
                logger.info(
                    "table %s was not captured for a while: found %d inserts, %d updates, %d deletes",
                    done.table, done.inserted, done.updated, done.deleted,
                    extra={"action": "regain", "replica": store.state().replica, "table": done.table,
                           "inserted": done.inserted, "updated": done.updated, "deleted": done.deleted,
                           "returned": done.returned, "kept": done.kept},
                )  # fmt: skip
                tally.regained.append(done)
            return
        yield from _follow(device, last, tally, progress)
    raise SchemaChanged("the hub's schema changes again and again", remedy="Sync again in a while.")


def _settle(device: Device, tally: Tally, progress: Progress) -> Flow[None]:
    """Take the verdict of the push in flight, and keep what it would overwrite that nobody knows of."""
    frozen = in_flight(device.store)
    assert frozen is not None, "there is a push in flight"
    forget_stage(device)
    sent = yield from send(device, frozen, None, progress)
    verdict = sent.verdict
    answered = groups_of(verdict.overrides, verdict.digest, None) if verdict.digest else []

    def keep(work: Work, answer: Answer) -> None:
        for group in answered:
            _keep_unlike(work, group)

    run_steps(device, Answer(), (keep, keep_held))
    tally.note((yield from take_in(device, Answer(sent.verdict), progress)))
    yield from forget(device, frozen)
    tally.count(sent)


def _follow(device: Device, last: Changes | None, tally: Tally, progress: Progress) -> Flow[None]:
    """The hub has another schema: take that in first, and keep what the pull overwrites."""
    if last is None:
        forget_stage(device)
        last = yield from fetch_rest(device, None, progress)

    def keep(work: Work, answer: Answer) -> None:
        for group in _pulled(work.store, last):
            _keep_unlike(work, group)

    run_steps(device, Answer(), (keep, keep_held))
    tally.note((yield from take_in(device, Answer(last=last), progress)))


def _fetch(device: Device, progress: Progress) -> Flow[None]:
    """The tables, whole, page by page; those of an earlier attempt are fetched again."""
    with device.store.transaction() as store:
        clear_stage(store)
        store.execute("DELETE FROM _sync_fill")
    state, limit, pages = device.store.state(), device.limits().pull_rows, 0
    for n in lost(device.store):
        cursor, more = None, n in device.tables
        while more:
            request = Snapshot(state.replica, device.hub.fingerprint, cursor, limit, n)
            page = yield from ask(request, SnapshotPage)
            groups_of(page.groups, page.digest, device.hub)  # a damaged page must not be staged
            with device.store.repeatable() as store:
                store.execute("INSERT INTO _sync_fill (body) VALUES (?)", (msgspec.msgpack.encode(page),))
            pages, cursor = pages + 1, page.cursor
            progress("regain", pages, None)
            more = cursor is not None


def _is_of_another_schema(device: Device, last: Changes) -> bool:
    known = device.hub.fingerprint
    return last.schema not in (None, "", known) or is_staged_otherwise(device.store, known)


def _pulled(store: Store, last: Changes) -> Iterator[Group]:
    for page in (*staged(store), last):
        if page.digest:
            yield from groups_of(page.groups, page.digest, None)


# Comparing ------------------------------------------------------------------------------------------------


def _compare(device: Device, last: Changes, tally: Tally) -> list[Regained]:
    store, marks = device.store, lost(device.store)
    tables = [t for t in device.tables.values() if t.n in marks]
    finders = [_Finder(t, marks[t.n]) for t in tables]
    try:
        with store.aside():
            for t in tables:
                join.begin(store, t)
            _note_rows(store, {t.n: t for t in tables})
            _note_news(store, {t.n: t for t in tables}, last)
            for t in tables:
                join.compare(store, t)

        def relog(work: Work, answer: Answer) -> None:
            for finder in finders:
                finder.find(work)
            work.overlay.forget()
            for finder in finders:
                finder.show(work)
            store.execute("DELETE FROM _sync_fill")
            store.execute("DELETE FROM _sync_lost")

        steps = (take_held, decide_replaced, relog, take_pages, take_out_gone, show_held, keep_held, advance)
        tally.note(run_steps(device, Answer(last=last), steps))
        tally.pulled = True
    finally:
        for t in tables:
            join.end(store, t)
            store.execute(f"DROP TABLE IF EXISTS temp._sync_news_{t.n}")
    return [finder.report() for finder in finders]


def _note_rows(store: Store, tables: dict[int, Statements]) -> None:
    for (number,) in store.rows("SELECT page FROM _sync_fill ORDER BY page"):
        body = store.value("SELECT body FROM _sync_fill WHERE page = ?", (number,))
        page = msgspec.msgpack.decode(body, type=SnapshotPage)
        for group in open_groups(page.groups, page.digest):
            join.note_rows(store, tables[group.table], group)


def _note_news(store: Store, tables: dict[int, Statements], last: Changes) -> None:
    """Which columns of which rows others have changed since the watermark: masks as text, '-' where the row
    is gone."""
    for t in tables.values():
        store.execute(f"DROP TABLE IF EXISTS temp._sync_news_{t.n}")
        store.execute(
            f"CREATE TEMP TABLE _sync_news_{t.n} ({t.key_columns}, mask,"
            f" PRIMARY KEY ({t.key_columns}, mask)) WITHOUT ROWID"
        )
    for group in _pulled(store, last):
        if group.table in tables:
            t = tables[group.table]
            mask = "-" if group.op == "D" else str(mask_of(group.columns))
            store.executemany(
                f"INSERT OR IGNORE INTO temp._sync_news_{t.n} VALUES ({t.key_marks}, ?)",
                ([*row[: t.arity], mask] for row in group.rows),
            )


def _keep_unlike(work: Work, group: Group) -> None:
    """Keep what rows of a table that was not captured hold in columns that are about to be overwritten."""
    t = work.device.tables.get(group.table)
    if t is None or t.n not in lost(work.store):
        return
    columns = [i for i in group.columns if i in t.values]
    blank = join.own_note(work, t, POLICY)
    notes = []
    for own, row in zip(
        work.overlay.pending(t, [tuple(row[: t.arity]) for row in group.rows]), group.rows, strict=True
    ):
        if own.present is None or (own.entries and group.op == "D"):
            continue
        given = dict(zip(group.columns, row[t.arity :], strict=True))
        mine = t.state_of(own.present)
        unlike = [i for i in columns if not own.touched >> i & 1 and not identical(mine[i], given[i])]
        if unlike or group.op == "D":
            notes.append(
                _note(blank, own, None if group.op == "D" else {**mine, **{i: given[i] for i in unlike}})
            )
    keep_own(work.store, notes)


def _note(blank: ConflictNote, own: Pending, theirs: dict[int, Value] | None) -> ConflictNote:
    hub = None if theirs is None else list(theirs.values())
    return msgspec.structs.replace(blank, key=list(own.key), sent=own.present, hub=hub)


# What was done here ---------------------------------------------------------------------------------------


class _Found:
    """What a batch of rows comes to: entries for the log, conflicts, and old values of counters."""

    def __init__(self, t: Statements) -> None:
        self._t = t
        self._entries: list[tuple[Value, ...]] = []
        self.notes: list[ConflictNote] = []
        self.moved: list[tuple[int, int, Value]] = []

    def log(self, op: str, key: Key, olds: Mapping[int, Value] | None = None) -> None:
        """An entry as the triggers would have made it."""
        t, known = self._t, olds or {}
        masks = split_mask(mask_of(known), len(t.masks)) if op == "U" else [None] * len(t.masks)
        self._entries.append((op, *masks, *key, *(known.get(i) for i in t.values)))

    def write(self, work: Work) -> None:
        t = self._t
        names = [*t.masks, t.key_columns, *(f"o{i}" for i in t.values)]
        marks = ", ".join("?" * (len(t.masks) + t.arity + len(t.values)))
        work.store.executemany(
            f"INSERT INTO {t.log} (op, at, checkpoint, {', '.join(names)})"
            f" SELECT ?, julianday('now'), s.checkpoint, {marks} FROM _sync_state s",
            self._entries,
        )
        keep_own(work.store, self.notes)
        work.overlay.move(t, self.moved)


@dataclass(slots=True)
class _Finder:
    """Finds what was done to one table, and logs it. `mark`: the end of the log when the loss was noticed."""

    t: Statements
    mark: int
    counts: Counter[str] = field(default_factory=Counter)
    _anew: bool = False
    _shown: list[list[Value]] = field(default_factory=list)
    _computed: dict[tuple[int, ...], list[list[Value]]] = field(default_factory=dict)

    def report(self) -> Regained:
        return Regained(self.t.table.name, *(self.counts[kind] for kind in KINDS))

    def find(self, work: Work) -> None:
        """Log what was done and keep what nobody can tell. Inside the transaction, before the pages."""
        store, t = work.store, self.t
        for one in (self.counts, self._shown, self._computed):
            one.clear()  # of a transaction that was rolled back
        join.add_edited(work, t)
        self._anew = self._is_made_anew(work)
        for start in range(1, join.count_unlike(store, t) + 1, join.BATCH):
            rows = join.unlike(store, t, start, start + join.BATCH - 1)
            self._each(work, [tuple(row[: t.arity]) for row in rows], rows)
        self._find_own(work)
        self._find_vanished(work)

    def show(self, work: Work) -> None:
        """Write the rows that come back, and what only the centre computes."""
        t = self.t
        learn_group(work, Group(t.n, "U", list(t.values), self._shown))
        for columns, rows in self._computed.items():
            learn_group(work, Group(t.n, "U", list(columns), rows))

    def _is_made_anew(self, work: Work) -> bool:
        """Whether more than half of the rows that were there are missing."""
        t, store = self.t, work.store
        if t.n in replaced(store):
            return False
        rows = store.value(f"SELECT count(*) FROM temp._sync_hub_{t.n}")
        tests = [
            f"SELECT 1 FROM main.{t.name} t WHERE {t.row_key('t', 'u')}",
            f"SELECT 1 FROM temp._sync_news_{t.n} n WHERE {t.same_key('n', 'u')}",
        ]
        if work.overlay.any(t):
            tests.append(f"SELECT 1 FROM temp._sync_pending_{t.n} p WHERE {t.same_key('p', 'u')}")
        none = " AND ".join(f"NOT EXISTS ({test})" for test in tests)
        missing = store.value(f"SELECT count(*) FROM temp._sync_unlike_{t.n} u WHERE {none}")
        return bool(2 * missing > rows)

    # Rows that the centre has ---------------------------------------------------------------------------

    def _each(self, work: Work, keys: list[Key], rows: Sequence[Sequence[Value]]) -> None:
        """Judge a batch of rows that the centre has and that are missing here or differ."""
        t, found, news = self.t, _Found(self.t), self._news(work.store, keys)
        blank = join.own_note(work, t, POLICY)
        for own, row in zip(work.overlay.pending(t, keys), rows, strict=True):
            if own.image is not None or work.held.get(t.n, {}).get(own.key, ()) is None:
                continue  # hidden, or shown for a child's sake: the verdict decides
            if own.present is None and work.is_held(t, own.key):
                continue  # it never was here: it waits
            if own.present is None:
                self._judge_missing(work, found, own, row, is_news=own.key in news)
            else:
                held = work.held.get(t.n, {}).get(own.key) or {}
                self._judge_both(found, own, dict(zip(t.values, row[t.arity :], strict=True)),
                                 news.get(own.key, 0), held, blank)  # fmt: skip
        found.write(work)

    def _judge_both(
        self, found: _Found, own: Pending, theirs: dict[int, Value], news: int, held: Mapping[int, Value],
        blank: ConflictNote,
    ) -> None:  # fmt: skip
        t, ops = self.t, [entry.op for entry in own.entries]
        if ops and ops[-1] == "D":
            self.counts["inserted"] += 1
            found.log("I", own.key)
        if "I" in ops or "D" in ops:
            return  # it competes as a whole
        assert own.present is not None, "it is here"
        done: dict[int, Value] = {}
        computed: list[int] = []
        clashes = False
        for i, here in zip(t.values, own.present, strict=True):
            if own.touched >> i & 1:
                clashes |= self._is_uncertain(found, own, i, theirs[i], news)
            elif i in held or identical(here, theirs[i]):
                continue
            elif t.table.values[i].computed:
                computed.append(i)
            elif news >> i & 1:
                clashes = True
            else:
                done[i] = theirs[i]
        if done:
            self.counts["updated"] += 1
            found.log("U", own.key, done)
        if computed:
            rows = self._computed.setdefault(tuple(computed), [])
            rows.append([*own.key, *(theirs[i] for i in computed)])
        if clashes:
            self._keep(found, blank, own, list(theirs.values()))

    def _is_uncertain(self, found: _Found, own: Pending, column: int, theirs: Value, news: int) -> bool:
        """A counter that was changed unseen and then seen counts from what the centre has. Whether it cannot
        be told what was done unseen, since others have changed it, too."""
        if not self.t.increments >> column & 1:
            return False
        first = next(entry for entry in own.entries if entry.mask >> column & 1)
        if first.seq <= self.mark:
            return False
        if not news >> column & 1 and not identical(first.old[column], theirs):
            found.moved.append((column, first.seq, theirs))
        return bool(news >> column & 1)

    def _judge_missing(
        self, work: Work, found: _Found, own: Pending, row: Sequence[Value], *, is_news: bool
    ) -> None:
        if own.entries and own.entries[-1].op == "D":
            return
        if is_news or self._anew:
            self._give_up(work, own)
            self.counts["returned"] += 1
            self._shown.append(list(row))
        else:
            self.counts["deleted"] += 1
            found.log("D", own.key, dict(zip(self.t.values, row[self.t.arity :], strict=True)))

    def _give_up(self, work: Work, own: Pending) -> None:
        """Captured edits of a row that went with its table: their values are gone, that they were is kept."""
        if not own.entries:
            return
        t, store = self.t, work.store
        columns = indices_of(own.touched)
        base = work.overlay.first_values(t, [own.key], own.entries[-1].seq)[0]
        op = "I" if own.entries[0].op == "I" else "U"
        edit = columns, [None] * len(columns), [base.get(i) for i in columns]
        keep_rejected(work.device, t.n, own.key, op, edit, _GONE, None)
        store.executemany(f"DELETE FROM {t.log} WHERE seq = ?", [(entry.seq,) for entry in own.entries])
        store.executemany(
            f"DELETE FROM temp._sync_pending_{t.n} WHERE seq = ?", [(entry.seq,) for entry in own.entries]
        )
        self.counts["kept"] += 1

    def _keep(self, found: _Found, blank: ConflictNote, own: Pending, theirs: list[Value] | None) -> None:
        self.counts["kept"] += 1
        found.notes.append(msgspec.structs.replace(blank, key=list(own.key), sent=own.present, hub=theirs))

    def _news(self, store: Store, keys: list[Key]) -> dict[Key, int]:
        """The columns that others have changed since the watermark, by key, for those rows that they did."""
        t, found = self.t, dict[Key, int]()
        for start in range(0, len(keys), SOME):
            some = keys[start : start + SOME]
            values = ", ".join([f"({t.key_marks})"] * len(some))
            sql = f"SELECT {t.key_columns}, mask FROM temp._sync_news_{t.n} WHERE ({t.key_columns}) IN"
            for *parts, text in store.rows(f"{sql} (VALUES {values})", list(chain(*some))):
                mask = t.table.all_mask if text == "-" else int(text)
                found[tuple(parts)] = found.get(tuple(parts), 0) | mask
        return found

    # Rows that it does not have -------------------------------------------------------------------------

    def _find_own(self, work: Work) -> None:
        """Rows that only the file has."""
        t, store, own = self.t, work.store, f"temp._sync_own_{self.t.n}"
        match = " AND ".join(f"k{i} = ?" for i in range(t.arity))
        store.executemany(f"DELETE FROM {own} WHERE {match}", list(work.held.get(t.n, ())))
        edited = self._among(work, own, "_sync_pending") if work.overlay.any(t) else []
        gone = self._among(work, own, "_sync_news")
        known = {*edited, *gone}
        store.executemany(f"DELETE FROM {own} WHERE {match}", list(known))
        self.counts["inserted"] += join.log_own(work, t)
        found, blank = _Found(t), join.own_note(work, t, POLICY)
        for row in work.overlay.pending(t, sorted(known, key=repr)):
            if row.entries and row.entries[-1].op == "D" and row.present is not None:
                self.counts["inserted"] += 1
                found.log("I", row.key)
            elif not row.entries and row.present is not None:
                self._keep(found, blank, row, None)
        found.write(work)

    def _among(self, work: Work, keys: str, others: str) -> list[Key]:
        t = self.t
        return work.store.rows(
            f"SELECT {t.key_columns} FROM {keys} o WHERE EXISTS"
            f" (SELECT 1 FROM temp.{others}_{t.n} p WHERE {t.same_key('p', 'o')})"
        )

    def _find_vanished(self, work: Work) -> None:
        """Edited rows that neither side has."""
        t = self.t
        if not work.overlay.any(t):
            return
        keys = work.store.rows(
            f"SELECT DISTINCT {t.key_columns} FROM temp._sync_pending_{t.n} p"
            f" WHERE NOT EXISTS (SELECT 1 FROM temp._sync_hub_{t.n} h WHERE {t.same_key('h', 'p')})"
            f" AND NOT EXISTS (SELECT 1 FROM main.{t.name} t WHERE {t.row_key('t', 'p')})"
        )
        found = _Found(t)
        for start in range(0, len(keys), join.BATCH):
            for own in work.overlay.pending(t, keys[start : start + join.BATCH]):
                if own.image is not None or not own.entries or own.entries[-1].op == "D":
                    continue
                if self._anew:
                    self._give_up(work, own)
                else:
                    found.log("D", own.key)
        found.write(work)


_GONE = Reason(
    "row_lost",
    "the row went with its table, which the application made anew, before this edit was sent",
    "Make the change again if it is still wanted, then discard this one.",
    None,
)
