"""What a change of the hub's schema means for this file: read from both, before anything is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count

from syncline.errors import SchemaError
from syncline.model.evolution import TableChange, compare
from syncline.model.schema import ColumnSchema, Schema, TableSchema
from syncline.replica.affinity import affinity
from syncline.replica.device import Device
from syncline.replica.indexes import columns_of
from syncline.replica.names import Names, differing, localized
from syncline.replica.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """From the schema that the file has to `hub`. `names` are those of this file from then on, `schema` is
    `hub` with them.

    `created` are the tables to make, by number, parents first; `gone` those that take part no longer;
    `changes` what is to be done to tables that stay. `adopted` are new columns, by their table's number, that
    the application has made already. `fetched` are the columns to fetch, by the table's number; none: all.
    """

    hub: Schema
    names: Names
    schema: Schema
    created: tuple[int, ...]
    gone: tuple[int, ...]
    changes: tuple[TableChange, ...]
    adopted: Mapping[int, tuple[int, ...]]
    fetched: Mapping[int, tuple[int, ...]]


def plan(device: Device, hub: Schema) -> Plan:
    """What is to be done. SchemaError `column_taken` if a column of the application's own is in the way."""
    change = compare(device.hub, hub, lambda *_: True)
    changes = tuple(one for one in change.tables if one.after.number in device.tables)
    created = () if device.store.state().chosen else tuple(_creatable(device, change.added))
    adopted: dict[int, tuple[int, ...]] = {}
    columns: dict[int, dict[int, str]] = {}
    tables = _table_names(device, hub, created)
    for table in hub.tables:
        if table.number in device.tables:
            columns[table.number], adopted[table.number] = _column_names(device, table)
    names = differing(hub, tables, columns)
    fetched = {one.after.number: _to_fetch(one) for one in changes}
    return Plan(
        hub=hub,
        names=names,
        schema=localized(hub, names),
        created=tuple(table.number for table in created),
        gone=tuple(table.number for table in change.gone if table.number in device.tables),
        changes=changes,
        adopted={n: found for n, found in adopted.items() if found},
        fetched={table.number: () for table in created} | {n: some for n, some in fetched.items() if some},
    )


def _to_fetch(change: TableChange) -> tuple[int, ...]:
    retyped = (number for number in change.retyped if number in change.after.values)
    return tuple(sorted({*change.added, *retyped}))


# Names ---------------------------------------------------------------------------------------------------


def tables_in(store: Store) -> set[str]:
    """The names of all tables and views of the file, in lower case."""
    found = store.rows("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
    return {name.lower() for (name,) in found}


def _creatable(device: Device, added: Iterable[TableSchema]) -> list[TableSchema]:
    """New tables for whose name there is no table of the application's."""
    present = tables_in(device.store)
    ours = {t.table.name.lower() for t in device.tables.values()}
    ours |= {table.name.lower() for table in device.retired.tables.values()}
    return [table for table in added if table.name.lower() not in present or table.name.lower() in ours]


def _table_names(device: Device, hub: Schema, created: Iterable[TableSchema]) -> dict[int, str]:
    """Tables that are here keep their names; a new one whose name such a one still has gets another."""
    names = {n: device.schema.by_number[n].name for n in device.tables if n in hub.by_number}
    taken = tables_in(device.store)
    for table in created:
        names[table.number] = _free(table.name, taken)
        taken.add(names[table.number].lower())
    return names


def _column_names(device: Device, table: TableSchema) -> tuple[dict[int, str], tuple[int, ...]]:
    """The names of a table's columns in this file, and which new ones the application has made already."""
    local = device.tables[table.number].table
    present = columns_of(device.store, local.name)
    names = {c.number: c.name for c in local.columns}
    ours = {name.lower() for name in names.values()}
    ours |= {one.name.lower() for one in device.retired.columns.get(table.number, ())}
    theirs = {name.lower(): column for name, column in present.items() if name.lower() not in ours}
    taken = {name.lower() for name in present} | ours
    adopted = []
    for column in table.columns:
        if column.number in names:
            continue
        own = theirs.get(column.name.lower())
        if own is None:
            names[column.number] = _free(column.name, taken)
        elif own.generated or not _fits(own.declared, column):
            raise _taken(local.name, own.name, own.declared, column)
        else:
            names[column.number] = own.name
            adopted.append(column.number)
        taken.add(names[column.number].lower())
    return {c.number: names[c.number] for c in table.columns}, tuple(adopted)


def _fits(declared: str, column: ColumnSchema) -> bool:
    return affinity(declared) == affinity(column.declared)


def _taken(table: str, name: str, declared: str, column: ColumnSchema) -> SchemaError:
    return SchemaError(
        f"table {table}: the centre has a new column {column.name} ({column.declared or 'no type'}), and this"
        f" file has a column {name} of its own ({declared or 'no type'}) that cannot hold its values",
        code="column_taken",
        remedy="Rename the column of this file (ALTER TABLE ... RENAME COLUMN), then sync again.",
    )


def _free(name: str, taken: set[str]) -> str:
    found = name
    for number in count(2):
        if found.lower() not in taken:
            break
        found = f"{name}_{number}"
    return found
