"""What a change of the hub's schema means for this file: read from both, before anything is done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from syncline.model.evolution import TableChange, compare, has_same_key
from syncline.model.forms import KINDS, formed
from syncline.model.naming import folded
from syncline.model.schema import ColumnSchema, Schema, TableSchema
from syncline.replica.affinity import affinity, carries
from syncline.replica.called import as_the_centre_calls, free_name
from syncline.replica.device import Device
from syncline.replica.forms import Forms, in_forms, table_in_forms
from syncline.replica.indexes import columns_of, misfits
from syncline.replica.names import Names, differing, latest, localized
from syncline.replica.store import Store
from syncline.sqlitekit.tables import Column


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """From the schema that the file has to `hub`. `names` and `forms` are those of this file from then on,
    `schema` is `hub` with them.

    `unfit` are tables that stay and that nothing can be done to, for they are aside and do not fit: what is
    noted of them follows all the same, and what is here under the hub's new names is taken for theirs. Those
    of them that are set aside now, for a column of the application's own is in the way, are `taken`.
    `created` are the tables to make, by number, parents first; `readopted` those that took part before, are
    in the file still and fit; `gone` those that take part no longer;
    `changes` what is to be done to tables that stay. `adopted` are new columns, by their table's number, that
    the application has made already. `fetched` are the columns to fetch, by the table's number; none: all.
    `filled` names the pages that were fetched, see `filling`.
    """

    hub: Schema
    names: Names
    forms: Forms
    schema: Schema
    created: tuple[int, ...]
    readopted: tuple[int, ...]
    gone: tuple[int, ...]
    unfit: frozenset[int]
    taken: frozenset[int]
    changes: tuple[TableChange, ...]
    adopted: Mapping[int, tuple[int, ...]]
    fetched: Mapping[int, tuple[int, ...]]
    filled: str = field(default="", compare=False)


def plan(device: Device, hub: Schema) -> Plan:
    """What is to be done."""
    change = compare(device.hub, hub, lambda *_: True, has_same_key)
    unfit = {n for n, t in device.aside.items() if misfits(device.store, t.table)}
    taken = set[int]()
    changes = tuple(one for one in change.tables if one.after.number in device.tracked)
    created, own = _creatable(device, hub), dict(_readoptable(device, hub))
    adopted: dict[int, tuple[int, ...]] = {}
    columns: dict[int, dict[int, str]] = {}
    tables = _table_names(device, hub, created) | own
    for table in hub.tables:
        n = table.number
        if not is_staying(device, hub, n):
            continue
        called = None if n in unfit else _column_names(device, table)
        if called is not None:
            columns[n], adopted[n] = called
        else:
            tables[n], columns[n] = as_the_centre_calls(device, table)
            taken |= {n} - unfit
    unfit |= taken
    names = differing(hub, tables, columns)
    forms = _forms(device, change.tables, created)
    for n, name in own.items():
        forms = forms.again(hub.by_number[n], _former(device, name))
    here = device.tables.keys() - taken
    fetched = {one.after.number: _to_fetch(one) for one in changes if one.after.number in here}
    return Plan(
        hub=hub,
        names=names,
        forms=forms,
        schema=in_forms(localized(hub, names), forms),
        created=tuple(table.number for table in created),
        readopted=tuple(own),
        gone=tuple(table.number for table in change.gone if table.number in device.tracked),
        unfit=frozenset(unfit),
        taken=frozenset(taken),
        changes=changes,
        adopted={n: found for n, found in adopted.items() if found},
        fetched=dict.fromkeys((*(table.number for table in created), *own), ())
        | {n: some for n, some in fetched.items() if some},
    )


def is_staying(device: Device, hub: Schema, n: int) -> bool:
    """Whether a table of this file is one of that schema. What has its number may be another one, after the
    centre was restored."""
    return n in device.tracked and has_same_key(device.hub.by_number.get(n), hub.by_number.get(n))


def _forms(device: Device, changes: Iterable[TableChange], fresh: Iterable[TableSchema]) -> Forms:
    """Columns that are there keep their forms; new ones, and those of another type now, get those that were
    chosen for the file, or that the hub asks for."""
    changed, fresh = [one for one in changes if one.after.number in device.tracked], list(fresh)
    other = {table.number: [column.number for column in table.columns] for table in fresh}
    renewed = {one.after.number: [*one.added, *one.retyped] for one in changed}
    kept = device.forms.without(other | renewed)
    return kept.having([one.after for one in changed]).having(fresh)


def _to_fetch(change: TableChange) -> tuple[int, ...]:
    retyped = (number for number in change.retyped if number in change.after.values)
    return tuple(sorted({*change.added, *retyped}))


# Names ---------------------------------------------------------------------------------------------------


def tables_in(store: Store) -> set[str]:
    """The names of all tables and views of the file, in lower case."""
    found = store.described("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
    return {folded(name) for (name,) in found}


def left_out(device: Device, hub: Schema) -> list[TableSchema]:
    """The tables of a schema of the hub that ought to take part in this file and do not: all that are new,
    and where the tables were chosen those that took part before."""
    here = [n for n in device.tracked if is_staying(device, hub, n)]
    new = [table for table in hub.tables if table.number not in here]
    if not (new and device.store.state().chosen):
        return new
    own = _own(device, hub)
    return [table for table in new if folded(table.name) in own]


def completable(device: Device) -> list[int]:
    """The numbers of tables that are left out and that the next sync makes, or takes back."""
    made = [table.number for table in _creatable(device, device.hub)]
    return made + [number for number, _ in _readoptable(device, device.hub)]


def _creatable(device: Device, hub: Schema) -> list[TableSchema]:
    """Tables that are left out and for whose name there is no table but one that keeps it for another."""
    wanted = left_out(device, hub)
    if not wanted or device.store.state().chosen:
        return []
    present = tables_in(device.store)
    ours = {folded(t.table.name) for n, t in device.tracked.items() if is_staying(device, hub, n)}
    return [table for table in wanted if folded(table.name) not in present or folded(table.name) in ours]


def _readoptable(device: Device, hub: Schema) -> Iterator[tuple[int, str]]:
    """Tables that are left out, took part before and are in the file with the same columns and key: their
    numbers, and their names here."""
    wanted = left_out(device, hub)
    own = _own(device, hub) if wanted else {}
    for table in wanted:
        name = own.get(folded(table.name))
        if name is not None and _is_like(device, name, table):
            yield table.number, name


def _own(device: Device, hub: Schema) -> dict[str, str]:
    """What is here of tables that took part before and do no longer: their names, by those in lower case."""
    staying = {folded(t.table.name) for n, t in device.tracked.items() if is_staying(device, hub, n)}
    leaving = [t.table for n, t in device.tracked.items() if not is_staying(device, hub, n)]
    present = tables_in(device.store) - staying
    names = [table.name for table in (*device.retired.tables.values(), *leaving)]
    return {folded(name): name for name in names if folded(name) in present}


def _is_like(device: Device, name: str, table: TableSchema) -> bool:
    present = columns_of(device.store, name)
    if set(present) != {column.name for column in table.columns}:
        return False
    formed = coming(device, name, table)
    like = all(_fits(present[column.name].declared, column) for column in formed.columns)
    return like and not misfits(device.store, formed)


def coming(device: Device, name: str, table: TableSchema) -> TableSchema:
    """A table of the hub as it would take part with the file's table of this name: in the forms that its
    columns had, where it took part before, else in those that the file was made with."""
    forms = device.forms.again(table, _former(device, name))
    return replace(table_in_forms(table, forms), name=name)


def _former(device: Device, name: str) -> TableSchema | None:
    """The table that takes or took part under this name in the file."""
    return latest({**device.retired.tables, **{n: t.table for n, t in device.tables.items()}}, name)


def _table_names(device: Device, hub: Schema, created: Iterable[TableSchema]) -> dict[int, str]:
    """Tables that are here keep their names; a new one whose name such a one still has gets another."""
    names = {n: device.schema.by_number[n].name for n in device.tracked if is_staying(device, hub, n)}
    taken = tables_in(device.store) | {folded(name) for name in names.values()}
    for table in created:
        names[table.number] = free_name(table.name, taken)
        taken.add(folded(names[table.number]))
    return names


def _column_names(device: Device, table: TableSchema) -> tuple[dict[int, str], tuple[int, ...]] | None:
    """The names of a table's columns in this file, and which new ones the application has made already; None
    if it has made one that does not fit."""
    local, former = device.tracked[table.number].table, device.hub.by_number[table.number]
    present = columns_of(device.store, local.name)
    lost = lost_columns(former, table)
    origins = {column.number: column.origin for column in former.columns}
    same = {column.number for column in table.columns if origins.get(column.number) == column.origin}
    names = {c.number: c.name for c in local.columns if c.number in same}
    ours = {folded(c.name) for c in local.columns if c.number not in lost}
    retired = device.retired.columns.get(table.number, ())
    ours |= {folded(one.name) for one in retired if not one.is_lost}
    again = {folded(one.name) for one in retired if one.is_lost}
    again |= {folded(c.name) for c in local.columns if c.number in lost}
    theirs = {folded(name): column for name, column in present.items() if folded(name) not in ours}
    taken = {folded(name) for name in present} | ours
    adopted = []
    for column in table.columns:
        if column.number in names:
            continue
        own = theirs.get(folded(column.name))
        if own is not None and folded(column.name) in again and not _is_fit(device, own, table, column):
            own = None
        if own is None:
            names[column.number] = free_name(column.name, taken)
        elif not _is_fit(device, own, table, column):
            return None
        else:
            names[column.number] = own.name
            adopted.append(column.number)
        taken.add(folded(names[column.number]))
    return {c.number: names[c.number] for c in table.columns}, tuple(adopted)


def _is_fit(device: Device, own: Column, table: TableSchema, column: ColumnSchema) -> bool:
    here = _as_here(device, table, column)
    return not own.generated and carries(here.type, here.declared, own.declared, here.form)


def _fits(declared: str, column: ColumnSchema) -> bool:
    """Whether a column is declared alike, so that its table takes part again without being asked for."""
    if column.type in KINDS:
        return carries(column.type, column.declared, declared, column.form)
    return affinity(declared) == affinity(column.declared)


def lost_columns(before: TableSchema, after: TableSchema) -> set[int]:
    """The columns of a table that stays which the centre has never had, as far as it remembers: it was
    restored to before it had them, and gives out their numbers again."""
    origins = {column.number: column.origin for column in after.columns}
    return {
        number
        for number, column in before.values.items()
        if origins.get(number, column.origin if number < after.used else "") != column.origin
    }


def _as_here(device: Device, table: TableSchema, column: ColumnSchema) -> ColumnSchema:
    """A new column of a table in the form that it gets in this file."""
    forms = device.forms.without({table.number: [column.number]}).having([table])
    return formed(column, forms.of(table, column)) if column.type in KINDS else column
