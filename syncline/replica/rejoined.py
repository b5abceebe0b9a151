"""Rejected edits of a table that takes part again: they become edits of the table as it is now, so that they
can be retried.

For the hub it is another table, with numbers of its own. Keys and columns are told by their names. What the
table does not have any more keeps a number that no column has: it counts as dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from syncline.model.schema import TableSchema
from syncline.replica.device import Device
from syncline.replica.dropped import TABLE_CHANGED, TABLE_DROPPED
from syncline.replica.statements import Statements
from syncline.replica.store import pack, unpack

BATCH = 500
"""Edits that are in memory at a time (law L11)."""


def rejoin(device: Device, t: Statements) -> None:
    """Let the rejected edits of the table that took part here under this name be edits of this one.

    Those that wait for the table alone, and whose row only the file has, go: the row has just become a
    pending insert, with what they wrote. Inside a transaction, after `join.log_own_rows`.
    """
    store, name = device.store, t.table.name.lower()
    for former in device.retired.tables.values():
        if former.name.lower() != name or former.number == t.n or not _same_key(former, t.table):
            continue
        moved = _moved(former, t.table)
        for number, key, op, edit, code in _kept(device, former.number):
            if code in (TABLE_CHANGED, TABLE_DROPPED) and op != "D" and _is_pending(device, t, unpack(key)):
                store.execute("DELETE FROM _sync_rejected WHERE id = ?", (number,))
                continue
            plain: dict[str, Any] = unpack(edit)
            plain["columns"] = [moved.get(column, -1 - column) for column in plain["columns"]]
            sql = "UPDATE _sync_rejected SET n = ?, edit = ? WHERE id = ?"
            store.execute(sql, (t.n, pack(plain), number))


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


def _kept(device: Device, n: int) -> Iterator[tuple[int, bytes, str, bytes, str]]:
    last = 0
    sql = (
        f"SELECT id, key, op, edit, code FROM _sync_rejected WHERE n = ? AND id > ? ORDER BY id LIMIT {BATCH}"
    )
    while found := device.store.rows(sql, (n, last)):
        last = found[-1][0]
        yield from found


def _is_pending(device: Device, t: Statements, key: list[Any]) -> bool:
    """Whether the row is one that only the file has."""
    return device.store.row(f"SELECT 1 FROM temp._sync_own_{t.n} WHERE {t.key_given}", key) is not None
