"""Step 10 of the path: what changed since a watermark, coalesced, parents first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from syncline.hub.database import Key, LogPage, ReadTransaction
from syncline.model.schema import Schema
from syncline.model.values import Value, indices_of
from syncline.protocol.messages import Group

Touched = dict[int, list[tuple[Key, int]]]


def changes_of(transaction: ReadTransaction, schema: Schema, page: LogPage) -> list[Group]:
    """The groups of one log page: rows as they are now, only the touched columns, deletes last."""
    return _groups(transaction, schema, page.touched)


def rows_now(transaction: ReadTransaction, schema: Schema, rows: Iterable[tuple[int, Key]]) -> list[Group]:
    """Whole rows as they are now; those that are gone as deletes, children first."""
    touched: Touched = {}
    for table, key in rows:
        touched.setdefault(table, []).append((key, schema.tables[table].all_mask))
    return _groups(transaction, schema, touched)


def _groups(transaction: ReadTransaction, schema: Schema, touched: Touched) -> list[Group]:
    present: list[Group] = []
    absent: list[Group] = []
    for table in sorted(touched):
        arity = len(schema.tables[table].key)
        gone: list[list[Value]] = []
        for mask, keys in _by_mask(touched[table]).items():
            columns = indices_of(mask)
            rows = transaction.rows(table, keys, columns)
            if rows:
                present.append(Group(table, "U", columns, rows))
            if len(rows) < len(keys):
                found = {tuple(row[:arity]) for row in rows}
                gone.extend(list(key) for key in keys if key not in found)
        if gone:
            absent.append(Group(table, "D", [], gone))
    return present + absent[::-1]


def _by_mask(rows: Sequence[tuple[Key, int]]) -> dict[int, list[Key]]:
    groups: dict[int, list[Key]] = {}
    for key, mask in rows:
        groups.setdefault(mask, []).append(key)
    return groups


def chunk_groups(
    transaction: ReadTransaction,
    schema: Schema,
    table: int,
    after: Key | None,
    limit: int,
) -> tuple[list[Group], int, Key | None]:
    """Whole rows from `table` and `after` on, about `limit` of them, and where to go on.

    The returned table equals the number of tables at the end.
    """
    groups: list[Group] = []
    left = limit
    while table < len(schema.tables) and left > 0:
        shape = schema.tables[table]
        rows = transaction.chunk(table, after, left)
        if rows:
            groups.append(Group(table, "U", list(range(len(shape.values))), rows))
        if len(rows) < left:
            table, after = table + 1, None
        else:
            after = tuple(rows[-1][: len(shape.key)])
        left -= len(rows)
    return groups, table, after
