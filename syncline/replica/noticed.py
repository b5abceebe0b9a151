"""What the application did to its tables with ALTER TABLE: renames are followed, capture is never lost.

SQLite writes a new name of a table or column into every trigger that has the old one, and so into those of
capture: they go on capturing, and say what is called what now. Where there is another table of the former
name, which fits, the application has made it in place of the one that it renamed: see `replica.lost`. A table
that was renamed by copying it, as the centre renamed it, fits under the centre's names: see `replica.called`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TypeVar

from syncline.errors import SchemaError, StoreBusy, StoreError
from syncline.model.naming import folded
from syncline.replica import capture
from syncline.replica.called import Called, called_now
from syncline.replica.device import Device
from syncline.replica.forms import in_forms
from syncline.replica.indexes import columns_of, misfits
from syncline.replica.lost import lacked, note_lacked, note_retaken
from syncline.replica.lost import notice as notice_lost
from syncline.replica.names import (
    Names,
    Retired,
    differing,
    localized,
    renumber,
    written_names,
    written_retired,
)
from syncline.replica.plan import tables_in
from syncline.replica.statements import Statements
from syncline.sqlitekit.renames import renamed_columns

T = TypeVar("T")

ROUNDS = 5
"""How often the application may rename its tables while they are looked at."""


def notice(device: Device) -> None:
    """Enter what tables and columns are called now. Opens its own transaction, only if something is."""
    if not is_renamed(device) and _left(device) == device.retired:
        return
    with device.store.transaction() as store:
        device.check()
        known = _known(device)
        for n, (_, columns) in _names(device).items():
            renamed = {number for number, name in columns.items() if known[n][1].get(number) != name}
            note_lacked(store, n, lacked(store, n) - renamed)
            retired = {folded(one.name) for one in device.retired.columns.get(n, ())}
            retaken = {number for number in renamed if folded(columns[number]) in retired}
            if retaken and store.definition("trigger", f"_sync_{n}_delete") is None:  # else it was renamed
                note_retaken(store, device.tracked[n], retaken)
        store.set_state(names=written_names(_differing(device)), retired=written_retired(_left(device)))
        renumber(store, {n: name for n, (name, _) in _names(device).items()})
    device.reload()


def notice_all(device: Device) -> None:
    """What the application has done to its tables: new names are entered, and capture begins again where it
    was lost. Before a verb, whatever it is. Opens its own transactions, only if something is."""
    for _ in range(ROUNDS):
        device.schema_version = device.store.value("PRAGMA schema_version")
        try:
            notice_again(device)
            capture.renew(device.store, device.tables.values())
        except (SchemaError, StoreError) as error:  # a table was renamed right before it was read
            if isinstance(error, StoreBusy) or not is_renamed(device):
                raise
        if device.store.value("PRAGMA schema_version") == device.schema_version:  # nothing since, of anybody
            break


def notice_again(device: Device) -> None:
    """`notice`, and which tables are not captured, or fit no longer or again. A table that is renamed while
    it is looked at is none of these."""
    for _ in range(ROUNDS):
        notice(device)
        if notice_lost(device, is_renamed):
            break


def refuse_renamed(device: Device) -> None:
    """StoreBusy if the application has renamed a table or column since that was looked at last. Inside a
    transaction, before anything is read by its name; see `as_named_now`."""
    if device.store.value("PRAGMA schema_version") != device.schema_version and is_renamed(device):
        raise StoreBusy(
            f"{device.store.path}: the application renamed a table or a column while this was going on",
            remedy="Sync again: the new name is followed.",
        )


def as_named_now(device: Device, do: Callable[[], T]) -> T:
    """Do what one transaction does; once more if the application has renamed something right before it."""
    for _ in range(ROUNDS):
        try:
            return do()
        except StoreBusy:
            if not is_renamed(device):
                raise
            notice(device)
    return do()


def is_renamed(device: Device) -> bool:
    """Whether a tracked table or column is called otherwise than is known."""
    return _names(device) != _known(device)


def as_called(device: Device) -> Device:
    """The device as its tables are called now. Changes nothing, neither the file nor what is given."""
    schema = in_forms(localized(device.hub, _differing(device)), device.forms)
    ours = {
        n: Statements(schema.by_number[n], t.rank, device.retired.constants(n))
        for n, t in device.tracked.items()
    }
    tables, aside = ({n: ours[n] for n in some} for some in (device.tables, device.aside))
    return replace(device, schema=schema, tables=tables, aside=aside)


def _differing(device: Device) -> Names:
    found = _names(device)
    tables = {n: name for n, (name, _) in found.items()}
    return differing(device.hub, tables, {n: some for n, (_, some) in found.items()})


def _known(device: Device) -> dict[int, Called]:
    ours = device.tracked
    return {n: (t.table.name, {c.number: c.name for c in t.table.columns}) for n, t in ours.items()}


def _names(device: Device) -> dict[int, Called]:
    """What the triggers say; what is known, where they say nothing."""
    triggers = {
        name: (table, sql)
        for name, table, sql in device.store.described(
            "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger' AND name GLOB '_sync_*'"
        )
    }
    found, ours = _known(device), {folded(table) for table, _ in triggers.values()}
    for n, t in device.tracked.items():  # those aside too: what was noted of them may be older
        present = triggers.get(f"_sync_{n}_delete")
        if present is not None and _is_replaced(device, t, present[0], ours):
            continue
        renamed = None if present is None else renamed_columns(capture.naming_all(t), present[1])
        if present is not None and renamed is not None:
            columns = {c.number: renamed.get(c.name, c.name) for c in t.table.columns}
            found[n] = _spelled(t, present[0]), columns
    known = _known(device)
    for n in known:
        if found[n] == known[n] and (called := called_now(device, n)) is not None:
            found[n] = called
    return found


def _is_replaced(device: Device, t: Statements, called: str, ours: Collection[str]) -> bool:
    """Whether the application has renamed the table away and made a new one of its name. `ours`: the names of
    tables with triggers of capture, in lower case."""
    name = folded(t.table.name)
    return folded(called) != name and name not in ours and not misfits(device.store, t.table)


def _spelled(t: Statements, table: str) -> str:
    """The table's name; as it is known, if it is the same but for case."""
    return t.table.name if folded(table) == folded(t.table.name) else table


def _left(device: Device) -> Retired:
    """The retired columns that are still in the file, and are none that take part; why tables were retired
    that are."""
    retired, changed = device.retired, device.retired.changed
    if changed:
        present = tables_in(device.store)
        changed = {n: why for n, why in changed.items() if folded(retired.tables[n].name) in present}
    if not retired.columns:
        return retired if len(changed) == len(retired.changed) else replace(retired, changed=changed)
    columns, names = {}, _names(device)
    for n, known in retired.columns.items():
        table, ours = names.get(n, ("", {}))
        if n in device.aside:
            there = {one.name for one in known}
        else:
            there = set(columns_of(device.store, table)) if n in device.tables else set()
        kept = tuple(one for one in known if one.name in there.difference(ours.values()))
        if kept:
            columns[n] = kept
    return Retired(retired.tables, columns, changed)
