"""Step 10 of the path: what changed since a watermark, coalesced, parents first.

Rows are read a slice at a time and weighed, so that a page stays small when its rows are large (law L11).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from syncline.errors import Malformed
from syncline.hub.contract import Key, LogPage, Position, ReadTransaction
from syncline.model.schema import Schema, TableSchema
from syncline.model.values import Value, indices_of
from syncline.protocol.messages import Group, Snapshot

Touched = dict[int, list[tuple[Key, int]]]

PAGE_BYTES = 8 * 1024 * 1024
"""A page of a pull or a hydrate is cut here, before it is compressed; one row is never cut."""

FIRST_SLICE, LARGEST_SLICE = 64, 4_000
"""Rows read at once: few until it is known that they are small."""

_encoder = msgspec.msgpack.Encoder()


class Full(Exception):
    """More than fits one page was read. `rows` is how many were, and still fitted."""

    def __init__(self, rows: int) -> None:
        self.rows = rows


class Scale:
    """Weighs the slices of one page; `step` is how many rows to read next."""

    def __init__(self) -> None:
        self.weight = self.rows = 0
        self.step = FIRST_SLICE

    def put(self, rows: Sequence[Sequence[Value]]) -> None:
        weight = len(_encoder.encode(rows))
        self.weight += weight
        self.rows += len(rows)
        if weight * 16 < PAGE_BYTES:
            self.step = min(self.step * 2, LARGEST_SLICE)
        elif weight * 4 > PAGE_BYTES:
            self.step = max(1, len(rows) * PAGE_BYTES // (weight * 4))

    @property
    def is_full(self) -> bool:
        return self.weight > PAGE_BYTES


def page_of(
    transaction: ReadTransaction, schema: Schema, after: Position, without: str, limit: int
) -> tuple[LogPage, list[Group]]:
    """One page of the log and its groups: rows as they are now, only the touched columns, deletes last.

    Where the rows are too large for one page it is read again with fewer.
    """
    while True:
        page = transaction.log.entries(after, without, limit)
        try:
            return page, _groups(transaction, schema, page.touched, Scale() if limit > 1 else None)
        except Full as full:
            limit = max(1, min(full.rows, limit // 2))


def rows_now(transaction: ReadTransaction, schema: Schema, rows: Iterable[tuple[int, Key]]) -> list[Group]:
    """Whole rows as they are now; those that are gone as deletes, children first."""
    touched: Touched = {}
    for table, key in rows:
        touched.setdefault(table, []).append((key, schema.by_number[table].all_mask))
    return _groups(transaction, schema, touched, None)


def _groups(
    transaction: ReadTransaction, schema: Schema, touched: Touched, scale: Scale | None
) -> list[Group]:
    present: list[Group] = []
    absent: list[Group] = []
    for table in sorted(touched, key=schema.rank.__getitem__):
        arity = len(schema.by_number[table].key)
        gone: list[list[Value]] = []
        for mask, keys in _by_mask(touched[table]).items():
            columns = indices_of(mask)
            rows: list[list[Value]] = []
            for some in _slices(keys, scale):
                found = transaction.rows.find(table, some, columns)
                _weigh(scale, found)
                rows += found
            if rows:
                present.append(Group(table, "U", columns, rows))
            if len(rows) < len(keys):
                there = {tuple(row[:arity]) for row in rows}
                gone.extend(list(key) for key in keys if key not in there)
        if gone:
            absent.append(Group(table, "D", [], gone))
    return present + absent[::-1]


def _slices(keys: Sequence[Key], scale: Scale | None) -> Iterator[Sequence[Key]]:
    start = 0
    while start < len(keys):
        step = len(keys) if scale is None else scale.step
        yield keys[start : start + step]
        start += step


def _weigh(scale: Scale | None, rows: Sequence[Sequence[Value]]) -> None:
    """Raise Full when these rows are what makes the page too large."""
    if scale is None or not rows:
        return
    fitted = scale.rows
    scale.put(rows)
    if scale.is_full:
        raise Full(fitted)


def _by_mask(rows: Sequence[tuple[Key, int]]) -> dict[int, list[Key]]:
    groups: dict[int, list[Key]] = {}
    for key, mask in rows:
        groups.setdefault(mask, []).append(key)
    return groups


def chunk_groups(
    transaction: ReadTransaction,
    schema: Schema,
    table: int | None,
    after: Key | None,
    limit: int,
) -> tuple[list[Group], int | None, Key | None]:
    """Whole rows from `table` (None: the first) and `after` on, about `limit` of them, and where to go on.

    The returned table is None at the end. Malformed if there is no such table.
    """
    groups: list[Group] = []
    scale = Scale()
    order = list(schema.by_number)
    if table is not None and table not in schema.rank:
        raise Malformed(f"there is no table number {table}", code="unknown_table")
    place = 0 if table is None else schema.rank[table]
    while place < len(order) and scale.rows < limit and not scale.is_full:
        table, step = order[place], min(scale.step, limit - scale.rows)
        rows = transaction.rows.chunk(table, after, step)
        scale.put(rows)
        if rows:
            _add(groups, schema.by_number[table], rows)
        if len(rows) < step:
            place, after = place + 1, None
        else:
            after = tuple(rows[-1][: len(schema.by_number[table].key)])
    return groups, order[place] if place < len(order) else None, after


def table_groups(
    transaction: ReadTransaction, schema: Schema, request: Snapshot, after: Key | None, limit: int
) -> tuple[list[Group], Key | None]:
    """Rows of one table from `after` on, whole or some columns, and where to go on; None at the end.

    Malformed if there is no such table, or column in it.
    """
    table = schema.by_number.get(-1 if request.table is None else request.table)
    if table is None:
        raise Malformed(f"there is no table number {request.table}", code="unknown_table")
    columns = _columns(request.columns, table)
    rows: list[list[Value]] = []
    scale = Scale()
    while scale.rows < limit and not scale.is_full:
        step = min(scale.step, limit - scale.rows)
        some = transaction.rows.chunk(table.number, after, step, columns)
        scale.put(some)
        rows += some
        if len(some) < step:
            return [Group(table.number, "U", columns, rows)] if rows else [], None
        after = tuple(some[-1][: len(table.key)])
    return [Group(table.number, "U", columns, rows)], after


def _columns(text: str, table: TableSchema) -> list[int]:
    """The columns that a `Snapshot` names, all if it names none."""
    if not text:
        return list(table.values)
    numbers = text.split(",")
    if not all(number.isascii() and number.isdigit() and len(number) < 10 for number in numbers):
        raise Malformed(f"{text[:40]!r} are no numbers of columns")
    columns = [int(number) for number in numbers]
    if len(set(columns)) != len(columns) or not table.values.keys() >= set(columns):
        raise Malformed(f"table {table.name}: columns there are not, or twice", code="unknown_column")
    return columns


def _add(groups: list[Group], table: TableSchema, rows: list[list[Value]]) -> None:
    """Put whole rows into the group of their table."""
    if groups and groups[-1].table == table.number:
        groups[-1].rows.extend(rows)
    else:
        groups.append(Group(table.number, "U", list(table.values), rows))
