"""What a table that does not fit as it was known is called now: a program renamed it, or columns of it, by
copying it, as the centre did. So it fits what the centre has.

A program that renames with ALTER TABLE leaves the triggers, which say it (`replica.noticed`). One that copies
a table leaves nothing but the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import count

from syncline.model.naming import folded
from syncline.model.schema import TableSchema
from syncline.replica.device import Device
from syncline.replica.forms import table_in_forms
from syncline.replica.indexes import columns_of, is_as_known, misfits
from syncline.replica.lost import due_of, lacked
from syncline.sqlitekit.tables import Column

Called = tuple[str, dict[int, str]]
"""The name of a table, and of its columns by number."""


def as_the_centre_calls(device: Device, table: TableSchema, *, retakes: bool = False) -> Called:
    """Names for a table of the file that does not fit, and that the hub has as `table` now: for what is not
    here under its name here, the hub's, where that is here. A column that the centre has dropped and that is
    here as it was keeps its name, whatever the centre has got under that since. `retakes`: unless it is in
    the place of the one that the centre has under that name, and that was here and is not any more."""
    known = device.tracked[table.number].table
    before = device.hub.by_number[table.number]
    name = known.name
    if not columns_of(device.store, name) and _is_free(device, table):
        name = table.name
    present = columns_of(device.store, name)
    origins = {column.number: column.origin for column in before.columns}
    ours = {c.number: c.name for c in known.columns}
    stays = {c.number for c in table.columns if origins.get(c.number) == c.origin}
    found = {n: own for n, own in ours.items() if n in stays and (own in present or not present)}
    taken = {folded(own) for own in found.values()}
    retaken = stays - found.keys() - due_of(device.store, table.number) if retakes else ()
    free = {folded(column.name) for column in table.columns if column.number in retaken}
    taken |= {folded(one.name) for one in device.retired.columns.get(table.number, ())} - free
    taken |= {folded(own) for own in _left_of(device, known, table, present)}
    for column in table.columns:
        if column.number in found:
            continue
        wanted = column.name if column.name in present or column.number not in stays else ours[column.number]
        found[column.number] = free_name(wanted, taken)
        taken.add(folded(found[column.number]))
    found = {column.number: found[column.number] for column in table.columns}
    if name != known.name and _misfits(device, table, (name, found)):
        return known.name, found
    return name, found


def _left_of(
    device: Device, known: TableSchema, table: TableSchema, present: Mapping[str, Column]
) -> set[str]:
    """The columns of a table that the centre has dropped and that are here as they were: no verb has seen the
    table without them."""
    seen = {column.number for column in table.columns} | lacked(device.store, known.number)
    return {
        column.name
        for number, column in known.values.items()
        if number not in seen and number < table.used
        if column.name in present and is_as_known(column, present[column.name])
    }


def called_now(device: Device, n: int) -> Called | None:
    """The names under which a table fits that does not as it is known; None if there are none such."""
    known = device.tracked[n].table
    if not misfits(device.store, known):
        return None
    table = device.hub.by_number[n]
    for retakes in (False, True):
        called = as_the_centre_calls(device, table, retakes=retakes)
        if not _misfits(device, table, called):
            return called
    return None


def _misfits(device: Device, table: TableSchema, called: Called) -> list[str]:
    name, columns = called
    by_name = {column.name: columns[column.number] for column in table.columns}
    renamed = replace(
        table,
        name=name,
        columns=tuple(replace(column, name=columns[column.number]) for column in table.columns),
        key=tuple(by_name[one] for one in table.key),
        foreign_keys=(),
        uniques=(),
    )
    return misfits(device.store, table_in_forms(renamed, device.forms))


def _is_free(device: Device, table: TableSchema) -> bool:
    """Whether no other table that takes part has the hub's name of this one."""
    others = (t for n, t in device.tracked.items() if n != table.number)
    return folded(table.name) not in {folded(t.table.name) for t in others}


def free_name(name: str, taken: set[str]) -> str:
    """The name, or with a number if it is taken; `taken` is in lower case."""
    found = name
    for number in count(2):
        if folded(found) not in taken:
            break
        found = f"{name}_{number}"
    return found
