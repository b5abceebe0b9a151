"""The transaction that brings a file to the hub's present schema, and takes in what was fetched for it.

    settle the verdict (old schema) -> edits of what is gone become rejected -> tables, columns, change logs,
    triggers -> the new columns from the pages that were fetched -> overrides, pulled pages and so on, as ever

Everything or nothing, together with the pull (law L5): a kill leaves the old schema, and the next sync does
it again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from syncline.errors import StoreBusy
from syncline.model.evolution import TableChange
from syncline.model.schema import Schema, TableSchema, to_plain
from syncline.model.values import Value
from syncline.replica import capture, join
from syncline.replica.affinity import neutral
from syncline.replica.apply import (
    Answer,
    Applied,
    Step,
    advance,
    decide_replaced,
    enter_verdict,
    keep_held,
    learn_group,
    run_steps,
    show_held,
    take_held,
    take_out_gone,
    take_overrides,
    take_pages,
)
from syncline.replica.beside import empty_taken
from syncline.replica.ddl import constant
from syncline.replica.defining import make_column, make_table
from syncline.replica.device import Device
from syncline.replica.dropped import drop_edits, drop_edits_of, drop_unseen
from syncline.replica.filling import clear_filling, filling
from syncline.replica.forms import written_forms
from syncline.replica.indexes import columns_of
from syncline.replica.loosened import loosen, loosen_again, renamed
from syncline.replica.lost import follow_unfit, set_aside
from syncline.replica.made import drop_unwanted, make_new
from syncline.replica.names import Retired, RetiredColumn, written_names, written_retired
from syncline.replica.noticed import as_named_now
from syncline.replica.own import note_adopted, note_own_values, unwritten_anew
from syncline.replica.parted import known_still, without_lost
from syncline.replica.plan import Plan, lost_columns, plan
from syncline.replica.postponed import postpone
from syncline.replica.redefine import redefine, retype
from syncline.replica.referring import refer
from syncline.replica.rejected import newest_before_recovery
from syncline.replica.rejoined import rejoin
from syncline.replica.returned import refuse_returned
from syncline.replica.statements import Statements
from syncline.replica.store import Store, pack, unpack
from syncline.replica.widened import keep_unseen_of, without_unseen
from syncline.replica.work import Work
from syncline.sqlitekit.definition import without_foreign_key, without_not_null


def migrate(device: Device, answer: Answer, made: Plan, before: Step | None = None) -> Applied:
    """Bring the file to the schema of the plan and take in the answer and what was fetched. `before`: a step
    that comes before the hub's rows are taken in."""
    return as_named_now(device, lambda: _migrated(device, answer, _as_it_is(device, made), before))


def _migrated(device: Device, answer: Answer, made: Plan, before: Step | None) -> Applied:
    steps = _Steps(made, device.hub, made.created, made.readopted)
    return run_steps(
        device,
        answer,
        (
            take_held,
            enter_verdict,
            decide_replaced,
            steps.alter,
            steps.fill,
            *(() if before is None else (before,)),
            take_overrides,
            take_pages,
            take_out_gone,
            show_held,
            steps.finish,
            keep_held,
            advance,
        ),
    )


def _as_it_is(device: Device, made: Plan) -> Plan:
    """The plan with the names that the application's tables have by now, if what was fetched is enough."""
    now = plan(device, made.hub)
    return replace(now, filled=made.filled) if now.fetched == made.fetched else made


def adapt(device: Device, made: Plan) -> None:
    """Bring the file to the schema of the plan alone: it is about to be filled again. What could take part
    again waits for the next sync: filling would take its own rows out."""
    steps = _Steps(made, device.hub, made.created, ())
    run_steps(
        device, Answer(), (take_held, decide_replaced, steps.note, steps.alter, steps.finish, keep_held)
    )


@dataclass(frozen=True, slots=True)
class _Steps:
    """What is special about a transaction that migrates. `before` is the hub's schema as the file has it;
    `created` and `readopted` are what is done of those of the plan."""

    plan: Plan
    before: Schema
    created: tuple[int, ...]
    readopted: tuple[int, ...]

    def note(self, work: Work, answer: Answer) -> None:
        """What the application wrote into new columns is looked at when the file is filled again."""
        gone = {n: set(work.device.hub.by_number[n].values) for n in self.plan.gone}
        for one in self.plan.changes:
            gone[one.after.number] = {*one.gone, *lost_columns(one.before, one.after)}
        note_adopted(work.store, self.plan.adopted, gone)

    def alter(self, work: Work, answer: Answer) -> None:
        """The file has the new schema afterwards, its new columns nothing but their defaults."""
        device, made = work.device, self.plan
        if plan(device, made.hub) != made:
            raise StoreBusy(f"the tables of {device.store.path} were changed meanwhile")
        retired = _drop(work, made)
        for change in made.changes:
            _loosen(work, made, change)
        drop_unwanted(work.store, made.hub)
        for n in self.readopted:
            loosen_again(work.store, retired, made.hub, made.schema, n)
        self._make_tables(work)
        for change in made.changes:
            if change.after.number in made.taken:
                set_aside(work.store, device.tracked[change.after.number])
            if change.after.number in made.unfit:
                _follow_unfit(work, made, change)
            else:
                _add_columns(work, made, change)
                _retype(work, made, change)
        device.store.set_state(
            schema=json.dumps(to_plain(made.hub)),
            fingerprint=made.hub.fingerprint,
            names=written_names(made.names),
            forms=written_forms(made.forms),
            retired=written_retired(retired),
        )
        device.reload()
        for n in self.created:
            rejoin(device, device.tracked[n], compared=False)
        before = newest_before_recovery(work.store) if answer.verdict is None else work.rejected_before
        if before is not None:  # it was rejected while what is gone was the hub's
            empty_taken(device, before, {one.after.number for one in made.changes if one.gone})
        _drop_held(work, made)
        work.overlay.forget()

    def _make_tables(self, work: Work) -> None:
        """Without foreign keys that refuse all writes as long as indexes are lacking: those come when the
        rows are in."""
        for n in self.created:
            _create(work, self.plan, n)
        for n in self.readopted:
            _number(work, self.plan.schema, n)
        for n in self.created:
            postpone(work.store, self.plan.schema.by_number[n])

    def finish(self, work: Work, answer: Answer) -> None:
        """Indexes, foreign keys and triggers, when the rows are in."""
        device, made = work.device, self.plan
        fresh = (*self.created, *self.readopted)
        make_new(device, known_still(self.before, made), fresh)
        refer(device, frozenset(fresh))
        for n in (*fresh, *(change.after.number for change in made.changes)):
            if n not in made.unfit:
                capture.install(work.store, device.tracked[n])

    def fill(self, work: Work, answer: Answer) -> None:
        """What was fetched is learned like anything else that the hub sends (law L6)."""
        own = [work.device.tables[n] for n in self.readopted]
        _join(work, own, self.plan.filled)
        changes = {change.after.number: change for change in self.plan.changes}
        for group in filling(work.store, work.device.tables, self.plan.filled):
            if group.table in self.readopted:
                continue
            adopted = self.plan.adopted.get(group.table, ())
            if adopted:
                note_own_values(work, group, adopted)
            for part in without_unseen(work, group, changes.get(group.table)):
                learn_group(work, part)
        clear_filling(work.store)


def _join(work: Work, tables: Sequence[Statements], filled: str) -> None:
    """Tables that take part again: rows that only the file has become pending inserts, the hub's are laid
    over the others."""
    if not tables:
        return
    for t in tables:
        join.begin(work.store, t)
    for group in filling(work.store, work.device.tables, filled):
        for t in tables:
            if t.n == group.table:
                join.note_rows(work.store, t, group)
    for t in tables:
        join.compare(work.store, t)
        join.log_own_rows(work, t)
        rejoin(work.device, t, compared=True)
    work.overlay.forget()
    refuse_returned(work)
    for t in tables:
        join.lay_over(work, t, is_none=unwritten_anew(work.device, t))
        join.end(work.store, t)


# What the hub has no more --------------------------------------------------------------------------------


def _drop(work: Work, made: Plan) -> Retired:
    """Edits of what is gone are set aside; columns and tables stay. Returns all that is retired by now."""
    device = work.device
    tables, columns = dict(device.retired.tables), dict(device.retired.columns)
    for n in made.gone:
        t = device.tracked[n]
        if n in made.unfit:
            drop_unseen(work, t, None)
        else:
            drop_edits(work, t)
        capture.remove(work.store, t)
        work.store.execute("DELETE FROM _sync_lost WHERE n = ?", (n,))
        if columns_of(work.store, t.table.name):
            _free_parents(work, t)
        for column in columns.pop(n, ()):
            if column.literal is not None:  # nobody gives it a value any more
                redefine(work.store, t.table.name, partial(without_not_null, column=column.name))
        tables[n] = t.table
    for change in made.changes:
        if change.gone:
            t = device.tracked[change.after.number]
            if t.n in made.unfit:
                drop_unseen(work, t, change.gone)
            else:
                keep_unseen_of(work, t, change.gone)
                drop_edits_of(work, t, change.gone)
            called = {column.name for column in made.schema.by_number[t.n].columns}
            left = columns_of(work.store, t.table.name).keys() - called
            still = [number for number in change.gone if t.table.values[number].name in left]
            columns[t.n] = (*columns.get(t.n, ()), *_retired_columns(work, t, still))
    changed = {n: why for n, why in {**device.retired.changed, **device.changed}.items() if n in tables}
    changed = _with_referring(made.gone, tables, changed)
    return without_lost(work.store, device, made, Retired(tables, columns, changed))


def _with_referring(
    gone: Collection[int], tables: Mapping[int, TableSchema], changed: Mapping[int, str]
) -> dict[int, str]:
    """Why tables are there no more, with those that go since what they refer to was changed."""
    found, names = dict(changed), {tables[n].name: n for n in sorted(changed)}
    while True:
        more = {
            n: f"it refers to {key.parent}, which takes part no longer: {found[names[key.parent]]}"
            for n in gone
            for key in tables[n].foreign_keys
            if n not in found and key.parent in names
        }
        if not more:
            return found
        found |= more
        names |= {tables[n].name: n for n in more}


def _free_parents(work: Work, t: Statements) -> None:
    """Rows of a table that takes part no longer hold back none that the hub deletes. Foreign keys that act on
    them, and never refuse, stay as the application has them."""
    for key in t.table.foreign_keys:
        nullable = all(t.table.column(name).nullable for name in key.columns)
        if key.on_delete != "CASCADE" and not (key.on_delete == "SET NULL" and nullable):
            redefine(work.store, t.table.name, partial(without_foreign_key, columns=key.columns))


def _retired_columns(work: Work, t: Statements, gone: Sequence[int]) -> Iterator[RetiredColumn]:
    required = {
        name: declared
        for _, name, declared, not_null, default, *_ in work.store.described(f"PRAGMA table_info({t.name})")
        if not_null and default is None
    }
    for number in gone:
        name = t.table.values[number].name
        if name in required and _is_in_unique(work, t, name):  # no constant could be in two rows
            redefine(work.store, t.table.name, partial(without_not_null, column=name))
            yield RetiredColumn(number, name)
        else:
            yield RetiredColumn(number, name, neutral(required[name]) if name in required else None)


def _is_in_unique(work: Work, t: Statements, column: str) -> bool:
    return any(column in unique for unique in work.device.uniques(t))


def _drop_held(work: Work, made: Plan) -> None:
    """What is held back of rows has nothing of what is gone."""
    gone = {change.after.number: change.gone for change in made.changes}
    for n in list(work.held):
        t = work.device.tables.get(n)
        if t is None or n in made.gone:
            del work.held[n]
            continue
        left = t.values.keys() - set(gone.get(n, ()))
        for key, state in work.held[n].items():
            if state is not None:
                work.held[n][key] = {i: value for i, value in state.items() if i in left}


# What is new ---------------------------------------------------------------------------------------------


def _create(work: Work, made: Plan, n: int) -> None:
    make_table(work.store, made.schema.by_number[n], made.hub, made.schema)
    _number(work, made.schema, n)


def _number(work: Work, schema: Schema, n: int) -> None:
    """The table has a change log and takes part."""
    table = schema.by_number[n]
    work.store.execute(capture.log_ddl(Statements(table, schema.rank[n])))
    work.store.number(n, table.name)


def _add_columns(work: Work, made: Plan, change: TableChange) -> None:
    """Columns that are not there, and what the change log needs for them."""
    store, n = work.store, change.after.number
    table = made.schema.by_number[n]
    for number in change.added:
        if number not in made.adopted.get(n, ()):
            make_column(store, table, table.values[number], made.schema)
    t = Statements(table, made.schema.rank[n])
    _widen_log(store, t)
    given = _given(work, t, change.added)
    for number, value in given.items():  # a deleted row may have to be shown once more
        store.execute(f"UPDATE {t.log} SET o{number} = ? WHERE op IN ('D', 'M')", (value,))
    _widen_parked(work, t, given)


def _follow_unfit(work: Work, made: Plan, change: TableChange) -> None:
    """What is noted of a table follows the centre, though nothing can be done to the table itself."""
    store, n = work.store, change.after.number
    former, table = work.device.tracked[n].table, made.schema.by_number[n]
    capture.remove_triggers(store, work.device.tracked[n])
    _widen_log(store, Statements(table, made.schema.rank[n]))
    called = {column.number: column.name for column in former.columns}
    renamed = [c.number for c in table.columns if c.number in called and called[c.number] != c.name]
    follow_unfit(store, n, change.added, renamed)


def _widen_log(store: Store, t: Statements) -> None:
    """The change log has room for all columns."""
    present = columns_of(store, f"_sync_log_{t.n}")
    for name in (*t.masks, *(f"o{number}" for number in t.values)):
        if name not in present:
            store.execute(f"ALTER TABLE {t.log} ADD COLUMN {name}")
            if name in t.masks:
                store.execute(f"UPDATE {t.log} SET {name} = 0 WHERE op = 'U'")


def _given(work: Work, t: Statements, added: Sequence[int]) -> dict[int, Value]:
    """What rows that are not in the table have in new columns: the default that the column has in this file,
    which is not the centre's if the application made it; where it may not be without a value, one that says
    nothing."""
    own = {name: rest for _, name, *rest in work.store.described(f"PRAGMA table_info({t.name})")}
    found: dict[int, Value] = {}
    for number in added:
        declared, not_null, default, *_ = own[t.table.values[number].name]
        found[number] = work.store.value(f"SELECT {constant(default) or 'NULL'}")
        if not_null and found[number] is None:
            found[number] = work.store.value(f"SELECT {neutral(declared)}")
    return found


def _widen_parked(work: Work, t: Statements, defaults: dict[int, Value]) -> None:
    """Hidden rows have the new columns too, with what a new row has there."""
    if not defaults:
        return
    for key, body in work.store.rows("SELECT key, image FROM _sync_parked WHERE n = ?", (t.n,)):
        image = dict(zip(*unpack(body), strict=True)) | defaults
        packed = pack([list(image), list(image.values())])
        work.store.execute("UPDATE _sync_parked SET image = ? WHERE n = ? AND key = ?", (packed, t.n, key))


def _retype(work: Work, made: Plan, change: TableChange) -> None:
    """Columns have room for wider values."""
    table = made.schema.by_number[change.after.number]
    for column in table.columns:
        if column.number in change.retyped and column.name not in table.key:
            retype(work.store, table.name, column.name, column.declared)


def _loosen(work: Work, made: Plan, change: TableChange) -> None:
    """What the centre no longer asks of a row this file does not ask either. Nor does a table that does not
    fit now, as far as it is here: when it fits again nothing says what the centre asked of it once."""
    n = change.after.number
    before, table = work.device.schema.by_number[n], made.schema.by_number[n]
    present = columns_of(work.store, table.name)
    if not present:
        return
    called = {c.number: c.name for c in table.columns}
    stays = tuple(c for c in before.columns if c.number in called and c.number not in change.gone)
    columns = {c.name: called[c.number] for c in stays if c.name not in present}
    parents = {t.table.name: made.schema.by_number[t.n].name for t in _staying(work.device, made)}
    loosen(work.store, renamed(replace(before, columns=stays), columns, parents), table, made.schema)


def _staying(device: Device, made: Plan) -> Iterator[Statements]:
    """The tables of the file that the hub still has."""
    return (t for n, t in device.tracked.items() if n not in made.gone)
