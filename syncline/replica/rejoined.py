"""Rejected edits of a table that takes part again: they become edits of the table as it is now, so that they
can be retried.

For the hub it is another table, with numbers of its own. Keys and columns are told by their names. What the
table does not have any more gets a number that no column has, below zero: it counts as dropped.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from syncline.model.naming import folded
from syncline.model.schema import TableSchema
from syncline.model.values import Value, identical
from syncline.replica.above import above_of, renumber_above
from syncline.replica.device import Device
from syncline.replica.dropped import TABLE_CHANGED, TABLE_DROPPED
from syncline.replica.indexes import columns_of
from syncline.replica.rejected import keep_rest
from syncline.replica.statements import Statements
from syncline.replica.store import pack, unpack

BATCH = 500
"""Edits that are in memory at a time (law L11)."""


def rejoin(device: Device, t: Statements, *, compared: bool) -> None:
    """Let the rejected edits of the table that took part here under this name be edits of this one.

    Where the two were `compared`, those that wait for the table alone, and whose row only the file has, go:
    the row has just become a pending insert, with what they wrote. What they wrote into a column that is not
    sent stays kept. Inside a transaction, after `join.log_own_rows`.
    """
    store, name = device.store, folded(t.table.name)
    for former in device.retired.tables.values():
        if folded(former.name) != name or former.number == t.n or not _same_key(former, t.table):
            continue
        moved, here = _moved(former, t.table), columns_of(store, t.table.name)
        renumber_above(store, former.number, t.n)
        for number, key, op, edit, code, parent in _kept(device, former.number):
            plain: dict[str, Any] = unpack(edit)
            then = plain["columns"]
            plain["columns"] = [moved.get(column, _gone(column)) for column in then]
            sql = "UPDATE _sync_rejected SET n = ?, edit = ? WHERE id = ?"
            store.execute(sql, (t.n, pack(plain), number))
            above = above_of(device, parent)
            waits = compared and code in (TABLE_CHANGED, TABLE_DROPPED) and op != "D"
            waits = waits and (above is None or not above.is_gone)  # else see `replica.returned`
            if waits and _is_pending(device, t, unpack(key)):
                row = store.row(t.select, unpack(key))
                sent = _sent(former, t, then, plain["values"], here, () if row is None else row)
                keep_rest(store, number, t, op, plain | {"columns": sent})


def _same_key(former: TableSchema, table: TableSchema) -> bool:
    """Whether what was the key of a row is its key now."""
    then, now = ([(column.name, column.type) for column in one.keys] for one in (former, table))
    return then == now


def _moved(former: TableSchema, table: TableSchema) -> dict[int, int]:
    """The numbers of the former columns that the table has, and what they are now. What one of them has kept
    as a difference is no value of the other."""
    now = {column.name: (number, column.increment) for number, column in table.values.items()}
    return {
        number: now[column.name][0]
        for number, column in former.values.items()
        if column.name in now and now[column.name][1] == column.increment
    }


def _gone(column: int) -> int:
    """What a column that the table has not is known by from now on: once below zero, it stays as it is."""
    return min(column, -1 - column)


def _sent(
    former: TableSchema,
    t: Statements,
    columns: Sequence[int],
    values: Sequence[Value],
    here: Collection[str],
    row: Sequence[Value],
) -> list[int]:
    """The former columns of an edit as the row that is sent has them. One that the application has renamed in
    the file is there no more, and a new one holds its value."""
    now = {column.name: number for number, column in t.table.values.items()}
    called = {number: column.name for number, column in former.values.items()}
    new = [number for name, number in now.items() if name not in called.values()]
    found = []
    for place, column in enumerate(columns):
        name, written = called.get(column, ""), values[place : place + 1]
        holds = [n for n in new for value in written if row and identical(row[t.table.places[n]], value)]
        renamed = holds[0] if holds and column in called and name not in here else _gone(column)
        found.append(now.get(name, renamed))
    return found


def _kept(device: Device, n: int) -> Iterator[tuple[int, bytes, str, bytes, str, bytes | None]]:
    last = 0
    sql = (
        "SELECT id, key, op, edit, code, parent FROM _sync_rejected WHERE n = ? AND id > ?"
        f" ORDER BY id LIMIT {BATCH}"
    )
    while found := device.store.rows(sql, (n, last)):
        last = found[-1][0]
        yield from found


def _is_pending(device: Device, t: Statements, key: list[Any]) -> bool:
    """Whether the row is one that only the file has."""
    return device.store.row(f"SELECT 1 FROM temp._sync_own_{t.n} WHERE {t.key_given}", key) is not None
