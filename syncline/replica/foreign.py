"""What is to be said of the foreign keys of a file, for `doctor`: those that SQLite refuses writes for, those
that are postponed, and what is kept for one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from syncline.model.finding import Finding
from syncline.model.naming import folded
from syncline.model.schema import ForeignKey
from syncline.replica.device import Device
from syncline.replica.made import unwanted
from syncline.replica.postponed import called, is_possible, mismatched, needing, postponed
from syncline.replica.statements import Statements
from syncline.replica.store import Store
from syncline.sqlitekit.tables import table_names


def foreign_keys(device: Device) -> Iterator[Finding]:
    """The findings on all of them. Changes nothing."""
    yield from _mismatches(device)
    yield from _postponed(device)
    yield from _kept(device)


def mismatches(store: Store, t: Statements) -> list[tuple[str, ForeignKey]]:
    """The foreign keys, with the tables they are of, for which SQLite refuses writes into this table."""
    mine = folded(t.table.name)
    return [(name, key) for name, key in _all_mismatched(store) if mine in (folded(name), folded(key.parent))]


def _all_mismatched(store: Store) -> Iterator[tuple[str, ForeignKey]]:
    for name, ddl in table_names(store.described).items():
        if "references" in ddl.lower():
            for key in mismatched(store, name):
                yield name, key


def _mismatches(device: Device) -> Iterator[Finding]:
    named = {folded(t.table.name) for t in device.tracked.values()}
    for name, key in _all_mismatched(device.store):
        if named & {folded(name), folded(key.parent)}:
            sentence = (
                f"table {name}: its foreign key {called(key)} points at what is not unique in this file;"
                " SQLite refuses INSERT and DELETE on both tables, whoever writes"
            )
            remedy = (
                "Give the columns that it points at a unique index (CREATE UNIQUE INDEX) of exactly these, or"
                " make the table that has it anew without it. If Syncline made that: syncline upgrade FILE"
            )
            yield Finding("trouble", "foreign_key_mismatch", sentence, remedy)


def _postponed(device: Device) -> Iterator[Finding]:
    for t in device.tracked.values():
        for key in postponed(device.store, t.table):
            why, remedy = _awaited(device, key)
            sentence = (
                f"table {t.table.name}: the foreign key {called(key)}, which the centre has, is not made here"
                f" yet: {why}; rows that refer to nothing are judged by the centre alone"
            )
            yield Finding("warning", "foreign_key_waits", sentence, remedy)


def _awaited(device: Device, key: ForeignKey) -> Sequence[str]:
    """What a foreign key waits for, and what to do."""
    parent = key.parent
    if device.named(parent) is None:
        return (
            f"the centre's table {parent} takes no part here",
            f"See what is said of {parent}; the foreign key is made when it takes part.",
        )
    if is_possible(device.store, key):
        return "it can be made now", "Run: syncline upgrade FILE"
    columns = ", ".join(key.parent_columns)
    return (
        f"no unique index of {parent} is on ({columns}) alone",
        "Correct or sync the rows that have equal values there (index_missing), then run: syncline upgrade"
        " FILE, which makes both.",
    )


def _kept(device: Device) -> Iterator[Finding]:
    for n, _, index in unwanted(device.store, device.hub):
        t = device.tables.get(n)
        needed = [] if t is None else list(needing(device.store, index))
        for name, key in needed:
            sentence = (
                f"table {key.parent}: the centre has dropped the unique index {index}; it stays here, for the"
                f" foreign key {called(key)} of {name} cannot be without it; a row of the centre that it"
                " refuses will wait, and be told (device_constraint)"
            )
            remedy = f"Make {name} anew without that foreign key, or drop it, then run: syncline upgrade FILE"
            yield Finding("warning", "unique_kept", sentence, remedy)
        if t is not None and not needed:
            sentence = f"table {t.table.name}: the unique index {index} is no longer needed"
            yield Finding("warning", "unique_kept", sentence, "Run: syncline upgrade FILE")
