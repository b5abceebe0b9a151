"""Pending edits of columns and tables that the centre has no more: kept as rejected edits (law L2).

What else the same edits changed stays pending.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from syncline.model.masks import split_mask
from syncline.model.values import Value, indices_of, mask_of
from syncline.replica.entries import as_sent
from syncline.replica.indexes import columns_of
from syncline.replica.overlay import Key, Pending, kind_of
from syncline.replica.rejected import Reason, keep_rejected
from syncline.replica.statements import Statements
from syncline.replica.work import Work

BATCH = 5_000
"""Rows that are looked at at a time (law L11)."""

LAST = 1 << 62
"""Beyond every entry of a log."""

NOWHERE = (
    "The column went from this file too, and the value with it. Write into another column what is still"
    " needed, then discard the edit."
)
"""What to do about an edit of a column whose value is nowhere any more."""

COLUMN_DROPPED, TABLE_DROPPED, TABLE_CHANGED = "column_dropped", "table_dropped", "table_changed"


def drop_edits_of(work: Work, t: Statements, gone: Sequence[int]) -> None:
    """Edits of these columns leave the log of a table, as rejected ones. Inside the transaction that
    migrates, while no push is in flight and after `pending.settle`. `t` still has the columns."""
    touched = mask_of(gone)
    bits = [
        f"{name} & {part}"
        for name, part in zip(t.masks, split_mask(touched, len(t.masks)), strict=False)
        if part
    ]
    where = " OR ".join(["op IN ('I', 'D')", *(f"({bit}) <> 0" for bit in bits)])
    for rows, bases in _edited(work, t, where):
        for row, base in zip(rows, bases, strict=True):
            columns = _of_columns(t, row, gone)
            if columns:
                _keep(work, t, row, ("U", columns), base, Reason(COLUMN_DROPPED, *_column(t, columns)))
            if row.kind == "U" and row.image is not None and not row.touched & ~touched:
                work.overlay.unpark(t, [row.key])
    _clear(work, t, touched)


def drop_edits(work: Work, t: Statements) -> None:
    """All edits of a table that takes part no longer become rejected ones; what is hidden of it goes."""
    reason = _reason_of(work, t)
    for rows, bases in _edited(work, t, "1"):
        for row, base in zip(rows, bases, strict=True):
            kind = row.kind
            if kind in ("U", "I", "R", "D"):
                columns = indices_of(row.touched) if kind == "U" else list(t.values)
                _keep(work, t, row, (kind, columns), base, reason)
    _forget_all(work, t)


def drop_unseen(work: Work, t: Statements, gone: Sequence[int] | None) -> None:
    """`drop_edits_of`, or `drop_edits` for none, of a table that is not as it was noted: it may not be there.
    Edits are kept without their values where these are nowhere any more."""
    wanted = list(t.values) if gone is None else list(gone)
    touched, present = mask_of(wanted), columns_of(work.store, t.table.name)
    whole = all(column.name in present for column in t.table.keys)
    there = [i for i in wanted if whole and t.table.values[i].name in present]
    for rows, bases in _edited(work, t, "1", there):
        for row, base in zip(rows, bases, strict=True):
            kind = kind_of([entry.op for entry in row.entries], absent=False)
            columns = indices_of(row.touched & touched) if kind == "U" else wanted
            if kind not in ("U", "I", "R", "D") or (gone is not None and (kind == "D" or not columns)):
                continue
            if gone is None:
                if set(columns) - set(there):
                    row.present = None  # not all of the values are there
                _keep(work, t, row, (kind, columns), base, _reason_of(work, t))
            else:
                _keep_columns(work, t, row, kind, columns, base, there)
            if kind == "U" and not row.touched & ~touched:
                work.overlay.unpark(t, [row.key])
    if gone is None:
        _forget_all(work, t)
    else:
        _clear(work, t, touched)


def _keep_columns(
    work: Work,
    t: Statements,
    row: Pending,
    kind: str,
    columns: Sequence[int],
    base: dict[int, Value],
    there: Sequence[int],
) -> None:
    """What an edit has of columns that are gone: with its values, and without those that are nowhere."""
    image = row.present if row.present is not None else row.image
    nowhere = [i for i in columns if row.image is None and (image is None or i not in there)]
    left = [i for i in columns if i not in nowhere]
    if image is not None and kind != "U":
        left = [i for i in left if image[t.table.places[i]] is not None]
    if left:
        _keep(work, t, row, ("U", left), base, Reason(COLUMN_DROPPED, *_column(t, left)))
    if nowhere:
        row.present = None
        detail, _ = _column(t, nowhere)
        _keep(work, t, row, ("U", nowhere), base, Reason(COLUMN_DROPPED, detail, NOWHERE))


def _forget_all(work: Work, t: Statements) -> None:
    work.store.execute(f"DELETE FROM {t.log}")
    work.store.execute("DELETE FROM _sync_parked WHERE n = ?", (t.n,))
    work.overlay.forget()


def _reason_of(work: Work, t: Statements) -> Reason:
    """Why edits of a whole table are not taken."""
    code, detail = TABLE_DROPPED, _gone(t)
    remedy = (
        "The rows stay in this file. If the table takes part again, retry the edit; else write what you need"
        " into another table, and discard it."
    )
    if t.n in work.device.changed:
        code, detail = TABLE_CHANGED, work.device.changed[t.n]
        remedy = (
            f"The rows stay in this file. What the table is in the centre now says: syncline doctor"
            f" {work.store.path}; if it comes to be as it was, retry the edit, else make the change there"
            " again and discard the edit."
        )
    return Reason(code, detail, remedy)


def _gone(t: Statements) -> str:
    """What has become of a table: it may be there still, without a parent."""
    parents = {key.parent for key in t.table.foreign_keys} - {t.table.name}
    led = f", as when its parent ({', '.join(sorted(parents))}) takes none" if parents else ""
    return f"the centre's table {t.table.name} takes no part any more: it was dropped or taken out{led}"


def _column(t: Statements, columns: Sequence[int]) -> tuple[str, str]:
    names = ", ".join(t.table.values[i].name for i in columns)
    return (
        f"table {t.table.name}: the centre has no column {names} any more",
        "The value stays in this file; write it into another column if it is needed, then discard the edit.",
    )


def _edited(
    work: Work, t: Statements, where: str, there: Sequence[int] | None = None
) -> Iterator[tuple[list[Pending], list[dict[int, Value]]]]:
    """The rows with such entries, in batches, with what they held before their first edit. `there`: the
    columns that the file still has of them, if it may not have all."""
    store = work.store
    store.execute("DROP TABLE IF EXISTS temp._sync_dropped")
    store.execute(f"CREATE TEMP TABLE _sync_dropped (i INTEGER PRIMARY KEY, {t.key_columns})")
    store.execute(
        f"INSERT INTO temp._sync_dropped ({t.key_columns}) SELECT DISTINCT {t.key_columns} FROM {t.log}"
        f" WHERE {where}"
    )
    first = 0
    page = f"SELECT i, {t.key_columns} FROM temp._sync_dropped WHERE i > ? ORDER BY i LIMIT {BATCH}"
    while found := store.rows(page, (first,)):
        first = found[-1][0]
        keys: list[Key] = [row[1:] for row in found if None not in row]
        bases = work.overlay.first_values(t, keys, LAST)
        yield (work.overlay.pending(t, keys) if there is None else _unseen(work, t, keys, there)), bases
    store.execute("DROP TABLE temp._sync_dropped")


def _unseen(work: Work, t: Statements, keys: Sequence[Key], there: Sequence[int]) -> list[Pending]:
    """The edits of these rows, and of the rows what is there."""
    rows = work.overlay.edits(t, keys)
    if there and rows:
        values = ", ".join(f"t.{t.values[i]}" for i in there)
        places = [t.table.places[i] for i in there]
        for number, *found in work.store.rows(
            f"SELECT k.i, {values} FROM temp._sync_keys_{t.n} k CROSS JOIN main.{t.name} t"
            f" WHERE {t.row_key('t', 'k')}"
        ):
            present: list[Value] = [None] * len(t.values)
            for place, value in zip(places, found, strict=True):
                present[place] = value
            rows[number].present = present
    for row in rows:
        row.image = work.overlay.parked(t, row.key) if row.present is None else None
    return rows


def _of_columns(t: Statements, row: Pending, gone: Sequence[int]) -> list[int]:
    """Those of the columns whose edits would be lost."""
    image = row.present or row.image
    if row.kind == "U":
        return [i for i in gone if row.touched >> i & 1]
    if row.kind in ("I", "R") and image is not None:
        return [i for i in gone if image[t.table.places[i]] is not None]
    return []


def _keep(
    work: Work,
    t: Statements,
    row: Pending,
    edit: tuple[str, list[int]],
    base: dict[int, Value],
    reason: Reason,
) -> None:
    op, columns = edit
    image = row.present if row.present is not None else row.image
    values = [] if image is None else [_sent(t, row, i, image, base) for i in columns]
    kept = columns, values, [base.get(i) for i in columns]
    keep_rejected(work.device, t.n, row.key, op, kept, reason)


def _sent(t: Statements, row: Pending, column: int, image: Sequence[Value], base: dict[int, Value]) -> Value:
    """As it would have been sent."""
    value = image[t.table.places[column]]
    return as_sent(t, column, value, base.get(column)) if row.kind == "U" else value


def _clear(work: Work, t: Statements, gone: int) -> None:
    """The columns' bits leave the log, and entries that have no other."""
    parts = dict(zip(t.masks, split_mask(gone, len(t.masks)), strict=False))
    changes = ", ".join(f"{name} = {name} & ~{part}" for name, part in parts.items() if part)
    if changes:
        work.store.execute(f"UPDATE {t.log} SET {changes} WHERE op = 'U'")
    empty = " AND ".join(f"coalesce({name}, 0) = 0" for name in t.masks)
    work.store.execute(f"DELETE FROM {t.log} WHERE op = 'U' AND {empty}")
    work.overlay.forget()
