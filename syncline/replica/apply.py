"""Steps 8 and 11 of the path: one transaction takes in what the hub sent.

    settle the verdict -> learn the overrides -> learn the pulled pages, in the order they came
    -> learn again what was held back -> take out what is gone -> note the watermark

Everything or nothing: a kill at any moment leaves the file as it was before, and the same push or pull
runs again. While the transaction is open capture is suppressed; nobody else can write then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from syncline.errors import StoreConstraint, StoreError
from syncline.model.schema import Schema
from syncline.model.values import Value
from syncline.protocol.messages import Changes, Group, Verdict
from syncline.replica import pending
from syncline.replica.answers import NOTHING as NOTHING_AT_ALL
from syncline.replica.answers import groups_of
from syncline.replica.behind import explain_behind
from syncline.replica.device import Device
from syncline.replica.edge import as_here
from syncline.replica.gathered import make_way
from syncline.replica.gathered import settle as settle_gathered
from syncline.replica.local import Orphan, orphans, pinned
from syncline.replica.lost import forget_since, refuse_lost
from syncline.replica.noticed import as_named_now, refuse_renamed
from syncline.replica.outside import Outward, Place, outward_orphans, unsure, waiting_for_parents
from syncline.replica.overlay import Key, Overlay, merge
from syncline.replica.parents import Lacking, has_parents, mend_parents
from syncline.replica.quiet import quiet_triggers
from syncline.replica.removal import remove_gone
from syncline.replica.reports import Regained
from syncline.replica.respell import has_strange_keys, respell_now
from syncline.replica.rows import explain_edited, show_row, show_rows, write_row, write_rows
from syncline.replica.sent import place
from syncline.replica.shown import look_at_hidden
from syncline.replica.stage import clear_stage, staged
from syncline.replica.statements import Statements
from syncline.replica.verdict import settle
from syncline.replica.work import Held, Pinned, Reason, Work, load_held, save_held


@dataclass(frozen=True, slots=True)
class Answer:
    """What one round with the hub brought: a verdict, or pages of changes, or both.

    `last` is the last page of a pull (`more` is false); the pages before it are staged in the file.
    """

    verdict: Verdict | None = None
    last: Changes | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """Rows written and removed, by table name; and what was found of tables that were not captured."""

    written: dict[str, int] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    regained: tuple[Regained, ...] = ()


NOTED_SECONDS = 60
"""When the file was last synced is noted that often where nothing else is."""

_WAITING = "SELECT 1 FROM _sync_stage UNION ALL SELECT 1 FROM _sync_held LIMIT 1"

Moved = tuple[int, int, Value]
"""Column, log entry, and what the column of a counter is to have been before that."""

Step = Callable[[Work, Answer], None]
NOTHING: Pinned = {}

ROUNDS = 3
"""How often more rows are looked for that have to stay as they are, because of those that do."""


class _Undo(Exception):
    pass


def apply(device: Device, answer: Answer) -> Applied:
    """Take the answer in, in one transaction. A file that cannot hold it stays as it was: StoreError.

    An answer with nothing new takes no transaction: an application that writes all the time is not waited
    for, and does not wait."""
    if _is_nothing_new(device, answer):
        return Applied()
    return as_named_now(device, lambda: _run_steps(device, answer, (defer_foreign_keys, *STEPS)))


def _is_nothing_new(device: Device, answer: Answer) -> bool:
    """Whether the file already has all that the answer brings, and tries nothing again. That it was synced is
    noted once in `NOTED_SECONDS` all the same."""
    last, store = answer.last, device.store
    if answer.verdict is not None or last is None or bytes(last.groups) not in NOTHING_AT_ALL:
        return False
    state = store.state()
    if last.watermark not in (None, "", state.watermark) or state.horizon != state.watermark:
        return False
    if last.hlc > state.hlc or state.last_sync is None or store.row(_WAITING) is not None:
        return False
    passed = datetime.fromisoformat(store.utc()) - datetime.fromisoformat(state.last_sync)
    return timedelta() <= passed < timedelta(seconds=NOTED_SECONDS)


def run_steps(device: Device, answer: Answer, steps: Sequence[Step]) -> Applied:
    """Run the steps, which may make tables, in one transaction; see `_run_steps`."""
    return _run_steps(device, answer, (defer_all_foreign_keys, *steps))


def _run_steps(device: Device, answer: Answer, steps: Sequence[Step]) -> Applied:
    """Run the steps in one transaction; if foreign keys keep it from its commit, once more with mending, and
    then without what tables of the application refer to, or ought to have parents for."""
    for attempted in (steps, _mending(steps)):
        try:
            return _run(device, answer, attempted)
        except StoreConstraint as error:
            if error.kind != "foreign_key":
                raise
    pinned = NOTHING
    for _ in range(ROUNDS):
        found = {**pinned, **_referred(device, answer, _mending(steps), pinned)}
        if found.keys() == pinned.keys():
            break
        pinned = found
        try:
            return _run(device, answer, _mending(steps), pinned)
        except StoreConstraint as error:
            if error.kind != "foreign_key":
                raise
    try:
        return _run(device, answer, _mending(steps, mend_own), pinned)
    except StoreConstraint as error:
        raise StoreError(
            f"{device.store.path}: what the hub sent does not hold together here: {error.detail}",
            code="orphans",
            remedy="Make sure that the centre keeps its foreign keys; see: syncline doctor FILE. Then sync.",
        ) from error


def _mending(steps: Sequence[Step], mends: Step | None = None) -> tuple[Step, ...]:
    place = list(steps).index(keep_held)
    return (*steps[:place], mends or mend, *steps[place:])


def _referred(device: Device, answer: Answer, steps: Sequence[Step], stay: Pinned) -> Pinned:
    """The rows that must stay as they are, for rows of the application's own tables would refer to nothing,
    or they themselves would in such a table: found by looking at what they refer to when the steps are done,
    which is then undone. What they referred to in vain before is no row that could stay. `stay`: rows that do
    already."""
    found: list[Orphan] = []
    before, after = outward_orphans(device), dict[Place, Reason]()

    def look(work: Work, answer: Answer) -> None:
        found.extend(orphans(work.device))
        after.update(outward_orphans(work.device))
        raise _Undo

    try:
        _run(device, answer, (*steps, look), stay)
    except _Undo:
        pass
    return {**pinned(device, found), **waiting_for_parents(device, before, after)}


def _run(device: Device, answer: Answer, steps: Sequence[Step], pinned: Pinned = NOTHING) -> Applied:
    with device.restored(), device.store.repeatable() as store:
        device.check()
        refuse_renamed(device)
        refuse_lost(device)
        store.set_state(suppressed=1)
        complete = answer.verdict is None or answer.last is not None
        work = Work(device, Overlay(store), pinned=pinned, complete=complete)
        with quiet_triggers(device) as work.triggers:
            for step in steps:
                step(work, answer)
            assert not work.gathered, "what is gathered is written or held"
            work.capture_again()
        store.set_state(suppressed=0)
    return Applied(work.written, work.removed)


# Steps -------------------------------------------------------------------------------------------------


def defer_foreign_keys(work: Work, answer: Answer) -> None:
    """Those of the tables that are there."""
    work.store.defer_foreign_keys()


def defer_all_foreign_keys(work: Work, answer: Answer) -> None:
    """Also those of tables that are made in this transaction."""
    work.store.execute("PRAGMA defer_foreign_keys = ON")


def take_held(work: Work, answer: Answer) -> None:
    """What could not be shown before comes first: all news about it are newer."""
    look_at_hidden(work.device)
    load_held(work)


def enter_verdict(work: Work, answer: Answer) -> None:
    """The push in flight is over: its edits leave the log."""
    if answer.verdict is not None:
        settle(work, answer.verdict, partial(_overrides, work, answer.verdict))


def decide_replaced(work: Work, answer: Answer) -> None:
    """Rows that a REPLACE may have deleted: whether it did shows in the tables as they are now."""
    pending.settle(work.store, work.device.tables.values())
    for t in work.device.tables.values():
        if has_strange_keys(work.store, t):  # the hub's rows are looked for by the one spelling of a key
            respell_now(work.store, t)
    work.overlay.forget()


def take_overrides(work: Work, answer: Answer) -> None:
    if answer.verdict is not None:
        overrides = _overrides(work, answer.verdict)
        forget_since(work.store, {group.table for group in overrides} & work.device.aside.keys())
        for group in (*overrides, *work.unread):
            learn_group(work, group)


def take_pages(work: Work, answer: Answer) -> None:
    if answer.last is None:
        return
    for page in _pages(work, answer.last):
        for group in page:
            learn_group(work, group)
    clear_stage(work.store)


def take_out_gone(work: Work, answer: Answer) -> None:
    """Deletes that were held are tried again with the others."""
    for n, rows in work.held.items():
        keys = [key for key, state in rows.items() if state is None]
        for key in keys:
            del rows[key]
            work.reasons.pop((n, key), None)
        if keys:
            work.note_gone(work.device.tables[n], keys)
    settle_gathered(work, removing=True)
    remove_gone(work)
    settle_gathered(work, removing=False)


def show_held(work: Work, answer: Answer) -> None:
    """Try again to write what had no room, parents first; what has none now waits for the next apply. By the
    file's own foreign keys a parent may come after its child."""
    settle_gathered(work, removing=False)
    many = None
    while many != (many := sum(map(len, work.held.values()))):
        _show_tables(work)
        if not many or not work.device.own_edges:
            break
    for t, key in work.unshown:
        image = work.overlay.parked(t, key)
        if image is not None and show_row(work, t, key, image):
            work.overlay.unpark(t, [key])


def _show_tables(work: Work) -> None:
    for t in work.device.tables.values():
        rows = work.held.get(t.n)
        if not rows:
            continue
        edited = _show_in_turn(work, t, rows)
        if rows and any(fk.parent == t.table.name for fk in t.table.foreign_keys):
            _show_together(work, t)
        explain_edited(work, t, [key for key in edited if rows.get(key)])


def _show_in_turn(work: Work, t: Statements, rows: dict[Key, Held]) -> Collection[Key]:
    """Show what can be shown of one table, whose rows may be each other's parents: behind each that has come
    those that lacked it, and all that are left once more, until nothing comes. Returns those that had their
    parents the last time and have pending edits."""
    outside, lacking = unsure(work.device, t), Lacking(work, t)
    todo, is_all = list(rows), True
    edited = set[Key]()
    while todo:
        held = ((key, rows[key]) for key in todo if (t.n, key) not in work.pinned)
        states = {
            key: state
            for key, state in held
            if state is not None and (not t.is_whole(tuple(state)) or lacking.has_parents(key, state))
            if not any(_lacks(work, lacking, one, key, state) for one in outside)
        }
        ready = list(states)
        edited = {ready[i] for i in work.overlay.contested(t, ready)}
        for key in edited:
            learn_rows(work, t, list(states[key]), [[*key, *states[key].values()]])
        show_rows(work, t, [key for key in ready if key not in edited])
        shown = {key: state for key, state in states.items() if key not in rows}
        if not shown and is_all:
            break
        todo = [key for key in lacking.behind(shown) if key in rows]
        is_all = not todo
        todo = todo or list(rows)
    return edited


def _lacks(work: Work, lacking: Lacking, one: Outward, key: Key, state: Mapping[int, Value]) -> bool:
    """Whether a row of that table would refer to nothing by this foreign key, which is then what keeps it
    back, whatever else does. A row of its own table that it lacks is noted."""
    points = one.lacked(work.store, lacking.t, key, state)
    if points is None:
        return False
    work.reasons[lacking.t.n, key] = one.reason(lacking.t, key, points)
    if one.edge is not None and one.edge.parent is lacking.t:
        lacking.note(key, one.theirs, points)
    return True


class _Apart(Exception):
    pass


def _show_together(work: Work, t: Statements) -> None:
    """Try the rows of a table that wait for each other, one for its parent and that one for a unique value of
    the first; all stay held if one of them would be without a parent."""
    whole = [
        key
        for key, state in work.held[t.n].items()
        if state is not None and (t.n, key) not in work.pinned and t.is_whole(tuple(state))
    ]
    contested = {whole[i] for i in work.overlay.contested(t, whole)}
    states = {key: work.held[t.n][key] or {} for key in whole if key not in contested}
    if all(has_parents(work, t, key, state) for key, state in states.items()):
        return
    held, reasons, written = dict(work.held[t.n]), dict(work.reasons), dict(work.written)
    try:
        with work.store.savepoint():
            show_rows(work, t, list(states))
            for key, state in states.items():
                if not work.is_held(t, key) and not has_parents(work, t, key, state):
                    raise _Apart
    except _Apart:
        work.held[t.n].clear()
        work.held[t.n].update(held)
        work.reasons.clear()
        work.reasons.update(reasons)
        work.written.clear()
        work.written.update(written)


def mend(work: Work, answer: Answer) -> None:
    """Only when a commit has failed: see `replica.parents`."""
    mend_parents(work)


def mend_own(work: Work, answer: Answer) -> None:
    """Only when nothing else has helped: also by the foreign keys that the file alone has, what hangs on rows
    that cannot stay as they are, however deep."""
    mend_parents(work, work.device.own_edges)


def keep_held(work: Work, answer: Answer) -> None:
    explain_behind(work)
    save_held(work)


def advance(work: Work, answer: Answer) -> None:
    """The watermark last."""
    store, last, verdict = work.store, answer.last, answer.verdict
    state = store.state()
    watermark = state.watermark if last is None else last.watermark or state.watermark
    clocks = [message.hlc for message in (verdict, last) if message is not None]
    store.advance(watermark or "", max(clocks, default=0), None if last is None else watermark)
    store.set_state(last_sync=store.utc())
    if verdict is not None:
        place(store, watermark or "")


STEPS: tuple[Step, ...] = (
    take_held,
    enter_verdict,
    decide_replaced,
    take_overrides,
    take_pages,
    take_out_gone,
    show_held,
    keep_held,
    advance,
)

# Learning ----------------------------------------------------------------------------------------------


def _overrides(work: Work, verdict: Verdict) -> list[Group]:
    if not verdict.digest:
        return []
    groups = groups_of(verdict.overrides, verdict.digest, _schema_of(work, verdict.schema))
    return as_here(work.device.tables, groups)


def _schema_of(work: Work, fingerprint: str) -> Schema | None:
    """The schema that groups of this fingerprint are of, if it is the one that the file has now."""
    present = work.device.hub
    return present if fingerprint in ("", present.fingerprint) else None


def _pages(work: Work, last: Changes) -> Iterator[list[Group]]:
    for page in (*staged(work.store), last):
        if page.digest:
            groups = groups_of(page.groups, page.digest, _schema_of(work, page.schema))
            yield as_here(work.device.tables, groups)


def learn_group(work: Work, group: Group) -> None:
    """Rows of one table arrive: those with pending edits one by one, all others as a set."""
    t = work.device.tables.get(group.table)
    if t is None or not group.rows:
        return
    group = _without_unknown(t, group)
    work.expect(t, len(group.rows))
    if group.op == "D":
        make_way(work, t, None, group.rows)
        work.note_gone(t, group.rows)
        for row in group.rows if work.held.get(t.n) else ():
            work.held[t.n].pop(tuple(row), None)
        return
    make_way(work, t, group.columns, group.rows)
    work.keep(t, group.rows)
    contested = set(work.overlay.contested(t, group.rows))
    free = group.rows
    if contested:
        free = [row for i, row in enumerate(group.rows) if i not in contested]
        learn_rows(work, t, group.columns, [group.rows[i] for i in sorted(contested)])
    work.count_written(t, len(contested) + write_rows(work, t, group.columns, free, True))


def _without_unknown(t: Statements, group: Group) -> Group:
    """The group without columns that the file has not got (a page of an older or a newer schema)."""
    if all(column in t.values for column in group.columns):
        return group
    kept = [place for place, column in enumerate(group.columns) if column in t.values]
    picked = [*range(t.arity), *(t.arity + place for place in kept)]
    rows = [[row[place] for place in picked] for row in group.rows]
    return Group(group.table, group.op, [group.columns[place] for place in kept], rows)


def learn_rows(work: Work, t: Statements, columns: Sequence[int], rows: Sequence[list[Value]]) -> None:
    """`Replica.learn` of the model, for rows that may have pending edits (law L6)."""
    updates: dict[tuple[int, ...], list[_Update]] = {}
    bases: list[Moved] = []
    edited = work.overlay.pending(t, [tuple(row[: t.arity]) for row in rows])
    for mine, row in zip(edited, rows, strict=True):
        key, state = mine.key, dict(zip(columns, row[t.arity :], strict=True))
        if work.is_held(t, key):
            state = {**(work.release(t, key) or {}), **state}
        kind = mine.kind
        if kind is None:
            write_row(work, t, key, state)
        elif kind == "U":
            write, moved = merge(t, mine, state)
            if mine.image is not None:
                bases += moved
                _show(work, t, key, mine.image, write)
            elif write:
                theirs = {column: state[column] for column in write}
                updates.setdefault(tuple(write), []).append(_Update(key, write, theirs, moved))
        elif kind in ("D", "-") and mine.present is not None:
            work.hold(t, key, None)  # shown for a child's sake: it leaves with its verdict
        # I, R, D and '-': the local row competes as a whole; the hub will say
    for written, changed in updates.items():
        write_rows(work, t, written, [[*one.key, *one.write.values()] for one in changed])
        for one in changed:
            if work.is_held(t, one.key):
                work.release(t, one.key)
                work.hold(t, one.key, one.theirs)
            else:
                bases += one.moved
    work.overlay.move(t, bases)


@dataclass(frozen=True, slots=True)
class _Update:
    """A row whose edits go on top of what the hub has. One that finds no place waits with the values that the
    hub has (`theirs`), and its increments stay what they are on what is shown."""

    key: tuple[Value, ...]
    write: dict[int, Value]
    theirs: dict[int, Value]
    moved: list[Moved]


def _show(
    work: Work, t: Statements, key: tuple[Value, ...], image: list[Value], write: dict[int, Value]
) -> None:
    """A hidden row is at the hub again: it comes back with its edits, or stays hidden, brought up to date."""
    for column, value in write.items():
        image[t.table.places[column]] = value
    if show_row(work, t, key, image):
        work.overlay.unpark(t, [key])
    else:
        work.overlay.repark(t, key, image)
        work.unshown.append((t, key))
