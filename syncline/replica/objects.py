"""What of the application's own in a file may refuse a row of the centre, before it does: for `doctor`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from syncline.errors import DeviceConstraint, StoreObstacle
from syncline.model.finding import Finding
from syncline.model.naming import folded
from syncline.replica.device import Device
from syncline.replica.foreign import mismatches
from syncline.replica.indexes import uniques_of
from syncline.replica.local import references
from syncline.replica.obstacle import text_of
from syncline.replica.quiet import application_triggers
from syncline.replica.statements import Statements
from syncline.replica.store import Store
from syncline.sqlitekit.definition import index_name
from syncline.sqlitekit.indexes import tokens
from syncline.sqlitekit.triggers import reaching

WAITS = "a row of the centre that it refuses will wait, and be told (device_constraint)"


def own_objects(device: Device, t: Statements) -> Iterator[Finding]:
    """What there is about one table that the centre does not know. Changes nothing."""
    yield from _unable(device.store, t)
    yield from _unique(device, t)
    yield from _checks(device.store, t)
    yield from _guards(device, t)
    yield from _referring(device, t)
    yield from _own_edges(device, t)


def refuse_unable(store: Store, tables: Iterable[Statements]) -> None:
    """DeviceConstraint if Syncline can write none of the rows of a table, which it is to take part with."""
    for t in tables:
        for finding in _unable(store, t):
            raise DeviceConstraint(finding.sentence, remedy=finding.remedy)


def _unable(store: Store, t: Statements) -> Iterator[Finding]:
    """Writes that only a program with the application's functions and collations can do."""
    columns = list(t.values)
    bound = (None,) * (t.arity + len(columns))
    statements = [(t.insert(columns), bound), (t.delete, bound[: t.arity])]
    if columns:
        statements.append((t.update(columns), bound))
    for sql, parameters in statements:
        try:
            store.described(f"EXPLAIN {sql}", parameters)
        except StoreObstacle as error:
            verb = sql.split(None, 1)[0]
            sentence = f"table {t.table.name}: Syncline cannot {verb} rows here: {text_of(error)}"
            remedy = "A column, index or trigger uses it: make do with what is built into SQLite."
            if mismatches(store, t):
                remedy = "A foreign key points at what is not unique here: see foreign_key_mismatch."
            yield Finding("trouble", DeviceConstraint.code, sentence, remedy)


def _unique(device: Device, t: Statements) -> Iterator[Finding]:
    """Unique indexes that the centre has not."""
    made = {name for (name,) in device.store.rows("SELECT name FROM _sync_index WHERE n = ?", (t.n,))}
    made |= {index_name(text) for text in device.hub.by_number[t.n].indexes}
    theirs = {frozenset(unique) for unique in t.table.uniques}
    for unique in uniques_of(device.store, t.table.name):
        columns = [name for name, _ in unique.columns]
        if unique.name not in made and (unique.partial or frozenset(columns) not in theirs):
            listed = ", ".join(name or "an expression" for name in columns)
            sentence = (
                f"table {t.table.name}: the unique index {unique.name} ({listed}) is in this file alone"
            )
            yield Finding(
                "warning", "unique_local", f"{sentence}; {WAITS}", "Make it an index that is not unique."
            )


def _checks(store: Store, t: Statements) -> Iterator[Finding]:
    """CHECK constraints of a table that is not made as in the centre."""
    sql = store.definition("table", t.table.name)
    if sql and sql != t.table.ddl and any(token[1].upper() == "CHECK" for token in tokens(sql)):
        yield Finding(
            "warning",
            "check_local",
            f"table {t.table.name}: its CHECK constraints may not be those of the centre; {WAITS}",
            "Have the centre check the same.",
        )


def _guards(device: Device, t: Statements) -> Iterator[Finding]:
    """Triggers that can refuse or ignore what is written."""
    found = application_triggers(device.store)
    away = reaching(found, [one.table.name for one in device.tables.values()])
    for trigger in found:
        if trigger.on == folded(t.table.name) and trigger.raises and trigger not in away:
            yield Finding(
                "warning",
                "guard_local",
                f"table {t.table.name}: the trigger {trigger.name} can refuse rows; {WAITS}",
                "Guard in the application, or in the centre.",
            )


def _own_edges(device: Device, t: Statements) -> Iterator[Finding]:
    """Foreign keys to tables that take part which the centre has not."""
    for edge in device.own_edges:
        if edge.child is t:
            sentence = (
                f"table {t.table.name}: its foreign key ({', '.join(edge.key.columns)}) to"
                f" {edge.parent.table.name} is in this file alone; {WAITS}, and so will one that the centre"
                " has deleted and that others refer to"
            )
            remedy = "Have the centre make it, too, or make the table anew without it."
            yield Finding("warning", "foreign_key_local", sentence, remedy)


def _referring(device: Device, t: Statements) -> Iterator[Finding]:
    """Tables of the application that keep rows from being deleted."""
    for one in references(device.store, [other.table.name for other in device.tables.values()]):
        keeps = one.foreign.on_delete.upper() not in ("CASCADE", "SET NULL", "SET DEFAULT")
        if keeps and folded(one.foreign.parent) == folded(t.table.name):
            mode = device.local_rows(t)
            yield Finding(
                "warning" if mode == "refuse" else "fact",
                "rows_local",
                f"table {t.table.name}: {one.child} of this file refers to it; what becomes of its rows when"
                f" the centre deletes theirs is {mode} (local_rows)",
                "Choose with: syncline sync FILE --local-rows cascade|null|refuse"
                if mode == "refuse"
                else "",
            )
