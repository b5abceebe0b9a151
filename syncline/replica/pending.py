"""What is pending: counts, the listing of the change log, and what became of rows that a REPLACE hit.

A REPLACE deletes rows without firing a trigger, so capture notes every row it may hit, before, as an entry
M. It was deleted if the next entry of its key is an insert, or if there is no next entry and the row is
gone; otherwise nothing happened to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from syncline.errors import UsageError
from syncline.model.clock import COUNTER_BITS
from syncline.model.masks import WORD_BITS, join_mask
from syncline.model.order import is_sound, shown
from syncline.model.values import Value, indices_of
from syncline.replica.capture import WHOLE
from syncline.replica.device import Device
from syncline.replica.reports import LogEntry
from syncline.replica.statements import Statements
from syncline.replica.store import Store, pack

_AT = (
    "strftime('%Y-%m-%dT%H:%M:%fZ', CASE typeof(l.at) WHEN 'integer'"
    f" THEN (l.at >> {COUNTER_BITS}) / 86400000.0 + 2440587.5 ELSE l.at END)"
)

COMPOUND = 400
"""Tables that are asked about by one statement: SQLite joins 500 queries with UNION ALL at most."""

_MAYBE = f"EXISTS (SELECT 1 FROM {{log}} WHERE {WHOLE})"
"""Whether a log has entries M. One that is not whole has a whole one of its row before it: these are looked
for, since an index finds them without the log being read."""


def of_logs(store: Store, tables: Iterable[Statements], select: str) -> dict[int, Any]:
    """What a query says of the change log of each table (`{log}` in its text), by the table's number: one
    statement, however many tables there are, or a few."""
    parts = [f"SELECT {t.n}, ({select.format(log=t.log)})" for t in tables]
    found: dict[int, Any] = {}
    for start in range(0, len(parts), COMPOUND):
        found.update(store.rows(" UNION ALL ".join(parts[start : start + COMPOUND])))
    return found


def settle(store: Store, tables: Iterable[Statements]) -> None:
    """Turn every entry M of these tables into what it amounts to: a delete, or nothing. Inside a transaction,
    while no push is in flight."""
    tables = list(tables)
    found = of_logs(store, tables, _MAYBE)
    for t in tables:
        if found[t.n]:
            _settle(store, t)


def _settle(store: Store, t: Statements) -> None:
    deleted = happened(store, t)
    _complete(store, t, sorted(deleted))
    blank = ", ".join(["op = 'D'", "ref = NULL", *(f"{mask} = NULL" for mask in t.masks)])
    store.executemany(f"UPDATE {t.log} SET {blank} WHERE seq = ?", [(seq,) for seq in sorted(deleted)])
    same = " AND ".join(f"u.k{i} IS d.k{i}" for i in range(t.arity))
    # What foreign-key actions did to the row while the REPLACE was removing it.
    store.executemany(
        f"DELETE FROM {t.log} WHERE seq IN (SELECT u.seq FROM {t.log} d JOIN {t.log} u"
        f" ON u.seq > d.seq AND u.op = 'U' AND {same} WHERE d.seq = ?"
        f" AND NOT EXISTS (SELECT 1 FROM {t.log} i WHERE i.seq > d.seq AND i.op <> 'U' AND"
        f" {same.replace('u.', 'i.')}))",
        [(seq,) for seq, follows in deleted.items() if follows == "U"],
    )
    store.execute(f"DELETE FROM {t.log} WHERE op = 'M'")


def _complete(store: Store, t: Statements, entries: Sequence[int]) -> None:
    """Give these entries M the old values that they share with another one."""
    if t.values and store.row(f"SELECT 1 FROM {t.log} WHERE op = 'M' AND ref IS NOT NULL LIMIT 1"):
        changes = ", ".join(f"o{i} = {_former(t, i, t.log)}" for i in t.values)
        store.executemany(
            f"UPDATE {t.log} SET {changes} FROM {t.log} AS w WHERE w.seq = {t.log}.ref AND {t.log}.seq = ?",
            [(seq,) for seq in entries],
        )


def _former(t: Statements, column: int, entry: str) -> str:
    """An old value of an entry M that names another, `w`, as SQL."""
    own = f"{entry}.{t.masks[column // WORD_BITS]} >> {column % WORD_BITS} & 1"
    return f"CASE WHEN {own} THEN {entry}.o{column} ELSE w.o{column} END"


def happened(store: Store, t: Statements) -> dict[int, str | None]:
    """The entries M that were deletes, and the operation logged next of the same row.

    The row was inserted next; or it is not there, and nothing but updates (by foreign-key actions, while
    it was being removed) came after."""
    keys = t.key_columns
    gone = " AND ".join(
        f"t.{name} = e.k{i} AND t.{name} = e.k{i} COLLATE BINARY" for i, name in enumerate(t.keys)
    )
    sql = (
        f"SELECT e.seq, e.next, {', '.join(f'e.k{i}' for i in range(t.arity))} FROM ("
        f"SELECT seq, op, {keys}, lead(op) OVER (PARTITION BY {keys} ORDER BY seq) AS next,"
        f" max(CASE WHEN op <> 'U' THEN seq END) OVER (PARTITION BY {keys}) AS last FROM {t.log}"
        f") e WHERE e.op = 'M' AND (e.next = 'I' OR e.seq = e.last"
        f" AND NOT EXISTS (SELECT 1 FROM {t.name} t WHERE {gone}))"
    )
    parked = {key for (key,) in store.rows("SELECT key FROM _sync_parked WHERE n = ?", (t.n,))}
    with store.undecoded():
        rows = store.rows(sql)
    return {
        seq: follows
        for seq, follows, *key in rows
        if follows == "I" or not parked or not all(map(is_sound, key)) or pack(key) not in parked
    }


def is_anything_pending(device: Device) -> bool:
    """Whether any table has captured edits. Cheap; entries M count."""
    return bool(pending_tables(device))


def pending_tables(device: Device) -> list[Statements]:
    """The tables that have entries in their change logs."""
    found = of_logs(device.store, device.tables.values(), "EXISTS (SELECT 1 FROM {log})")
    return [t for t in device.tables.values() if found[t.n]]


def pending_edits(device: Device) -> dict[str, int]:
    """How many captured edits each table has that the hub has not decided; tables without are left out."""
    store, tables, counts = device.store, list(device.tables.values()), {}
    entries = of_logs(store, tables, "SELECT count(*) FROM {log}")
    full = [t for t in tables if entries[t.n]]
    maybe = of_logs(store, full, "SELECT count(*) FROM {log} WHERE op = 'M'")
    for t in full:
        count = entries[t.n] - maybe[t.n] + (len(happened(store, t)) if maybe[t.n] else 0)
        if count:
            counts[t.table.name] = count
    for t in device.aside.values():
        count = device.store.value(f"SELECT count(*) FROM {t.log} WHERE op <> 'M'")
        counts |= {t.table.name: count} if count else {}
    return counts


def waiting_edits(device: Device) -> int:
    """How many entries all change logs have. Cheap: one statement, which counts without reading them."""
    return sum(of_logs(device.store, device.tables.values(), "SELECT count(*) FROM {log}").values())


def oldest_edit(device: Device) -> str | None:
    """When the oldest edit that is in a log was made, as ISO 8601 in UTC; entries M count."""
    first = (f"SELECT {_AT} FROM {t.log} l ORDER BY seq LIMIT 1" for t in device.tracked.values())
    found = [device.store.value(sql) for sql in first]
    return min((at for at in found if at is not None), default=None)


def log_entries(
    device: Device, table: str | None = None, key: Sequence[Value] | None = None
) -> Iterator[LogEntry]:
    """The captured edits in the order of each table's log, of one table or one row if given.

    UsageError if the table is not tracked or the key has another number of values.
    """
    if table is not None and device.named(table) is None:
        raise UsageError(
            f"table {table} is not tracked", code="no_such_table", remedy="See: syncline status FILE"
        )
    for t in device.tables.values():
        if table is None or t.table.name == table:
            if key is not None and len(key) != t.arity:
                raise UsageError(f"the key of table {t.table.name} is {', '.join(t.table.key)}")
            yield from _entries(device.store, t, key)


def _entries(store: Store, t: Statements, key: Sequence[Value] | None) -> Iterator[LogEntry]:
    cut = store.value("SELECT seq FROM _sync_outbox_cut WHERE n = ?", (t.n,)) or 0
    deletes = happened(store, t) if of_logs(store, [t], _MAYBE)[t.n] else set()
    where = "" if key is None else " WHERE " + " AND ".join(f"l.k{i} = ?" for i in range(t.arity))
    named = [*t.masks, *(f"k{i}" for i in range(t.arity))]
    olds = [f"CASE WHEN l.ref IS NULL THEN l.o{i} ELSE {_former(t, i, 'l')} END" for i in t.values]
    picked = ", ".join([*(f"l.{name}" for name in named), *olds])
    sql = f"SELECT l.seq, l.op, {_AT}, {picked} FROM {t.log} l LEFT JOIN {t.log} w ON w.seq = l.ref{where}"
    for batch in _read(store, f"{sql} ORDER BY l.seq", key or ()):
        for seq, op, at, *rest in batch:
            if op == "M" and seq not in deletes:
                continue
            masks, values = rest[: len(t.masks)], list(map(shown, rest[len(t.masks) :]))
            changed = {"U": join_mask([part or 0 for part in masks]), "I": 0}.get(op, t.table.all_mask)
            old = {t.table.values[i].name: values[t.arity + t.table.places[i]] for i in indices_of(changed)}
            name = "D" if op == "M" else op
            yield LogEntry(t.table.name, seq, name, tuple(values[: t.arity]), at, old, seq <= cut)


def _read(store: Store, sql: str, parameters: Sequence[Value]) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of a query in batches; text that is not UTF-8 has escaped bytes."""
    batches = store.batches(sql, parameters)
    while True:
        with store.undecoded():
            batch = next(batches, None)
        if batch is None:
            return
        yield batch
