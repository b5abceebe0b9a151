"""Rows are tried: those that this file takes are written, the others come back with what refused them.

A set is one savepoint; one that fails is halved down to the rows that fail. What a table of the application
refuses, or its trigger, concerns those rows alone (law L12).
"""

from __future__ import annotations

from collections.abc import Sequence

from syncline.errors import StoreConstraint, StoreObstacle, SynclineError
from syncline.model.values import Value
from syncline.replica.cascades import children_kept
from syncline.replica.statements import Statements
from syncline.replica.work import Work


class Ignored(SynclineError):
    """A trigger of the application has ignored the write (RAISE (IGNORE)). Caught by whoever tries."""


REFUSED = (StoreConstraint, StoreObstacle, Ignored)
"""What one row can meet that others do not."""

Refusals = dict[int, SynclineError]
"""By the numbers of rows: why each was not written."""


def write_set(work: Work, t: Statements, columns: Sequence[int], rows: Sequence[Sequence[Value]]) -> None:
    """Write rows as the application itself would: whole ones are inserted or updated, partial ones updated.

    One of `REFUSED`, and some of the rows may be written already, if the file does not take one."""
    with children_kept(work, t, columns, rows):
        if work.fires(t):
            _write_in_view(work, t, columns, rows)
        elif not t.is_whole(columns):
            work.store.executemany(t.update(columns), rows)
        else:
            _upsert(work, t, columns, rows)


def _upsert(work: Work, t: Statements, columns: Sequence[int], rows: Sequence[Sequence[Value]]) -> None:
    """Whole rows, as a set. SQLite asks of the new row of an upsert what columns that take no part must have,
    before it looks whether there is one: a row that is there keeps what it has in them."""
    try:
        work.store.executemany(t.upsert(columns), rows)
    except StoreConstraint as error:
        if error.kind not in ("not_null", "check"):
            raise
        _write_in_view(work, t, columns, rows)


def _write_in_view(
    work: Work, t: Statements, columns: Sequence[int], rows: Sequence[Sequence[Value]]
) -> None:
    """The application's triggers see an UPDATE where the row is there, else an INSERT; never an upsert,
    which fires triggers of both."""
    there = set(work.overlay.present(t, [tuple(row[: t.arity]) for row in rows]))
    updates = [row for i, row in enumerate(rows) if i in there]
    inserts = [row for i, row in enumerate(rows) if i not in there]
    if (
        updates
        and columns
        and work.store.executemany(work.as_written(t, t.update(columns)), updates) < len(updates)
    ):
        raise Ignored("")
    if inserts and t.is_whole(columns):
        if work.store.executemany(work.as_written(t, t.insert(columns)), inserts) < len(inserts):
            raise Ignored("")


def attempt(work: Work, t: Statements, columns: Sequence[int], rows: Sequence[Sequence[Value]]) -> Refusals:
    """Write what the file takes of these rows; return what it does not, and why."""
    return {} if try_set(work, t, columns, rows) is None else halve(work, t, columns, rows)


def try_set(
    work: Work, t: Statements, columns: Sequence[int], rows: Sequence[Sequence[Value]]
) -> SynclineError | None:
    """Write all of these rows; or say why not, with some of them written where no trigger fires: written
    twice, a row is as if it had been written once."""
    try:
        if rows and work.fires(t):
            with work.store.savepoint():
                write_set(work, t, columns, rows)
        elif rows:
            write_set(work, t, columns, rows)
    except REFUSED as error:
        return error.with_traceback(None)
    return None


def halve(work: Work, t: Statements, columns: Sequence[int], rows: Sequence[Sequence[Value]]) -> Refusals:
    """`attempt`, where it is known already that the file does not take all of them."""
    refused: Refusals = {}
    _halve(work, t, columns, rows, 0, refused)
    return refused


def _halve(
    work: Work,
    t: Statements,
    columns: Sequence[int],
    rows: Sequence[Sequence[Value]],
    first: int,
    refused: Refusals,
) -> None:
    """`first`: the number of the first of these rows among all."""
    try:
        with work.store.savepoint():
            write_set(work, t, columns, rows)
        return
    except REFUSED as error:
        if len(rows) == 1 or (isinstance(error, StoreObstacle) and _is_for_all(work, t, columns, rows[0])):
            refused.update(dict.fromkeys(range(first, first + len(rows)), error.with_traceback(None)))
            return
    middle = len(rows) // 2
    _halve(work, t, columns, rows[:middle], first, refused)
    _halve(work, t, columns, rows[middle:], first + middle, refused)


def _is_for_all(work: Work, t: Statements, columns: Sequence[int], row: Sequence[Value]) -> bool:
    """Whether the statement itself is not to be had, whatever the row."""
    try:
        work.store.described(
            f"EXPLAIN {t.upsert(columns) if t.is_whole(columns) else t.update(columns)}", tuple(row)
        )
    except StoreObstacle:
        return True
    return False


def attempt_removal(work: Work, t: Statements, keys: Sequence[Sequence[Value]]) -> tuple[int, Refusals]:
    """Delete the rows with these keys, those that are there; how many are gone, and what refused the
    others."""
    refused: Refusals = {}
    return _halve_removal(work, t, keys, 0, refused), refused


def _halve_removal(
    work: Work, t: Statements, keys: Sequence[Sequence[Value]], first: int, refused: Refusals
) -> int:
    there = work.overlay.present(t, [tuple(key) for key in keys])
    try:
        with work.store.savepoint():
            if work.store.executemany(t.delete, [keys[i] for i in there]) < len(there):
                raise Ignored("")
        return len(there)
    except REFUSED as error:
        if len(keys) == 1:
            refused[first] = error.with_traceback(None)
            return 0
    middle = len(keys) // 2
    done = _halve_removal(work, t, keys[:middle], first, refused)
    return done + _halve_removal(work, t, keys[middle:], first + middle, refused)


def remove_one(work: Work, t: Statements, key: Sequence[Value]) -> None:
    """Delete one row that is there, or raise one of `REFUSED`."""
    if not work.store.execute(t.delete, tuple(key)):
        raise Ignored("")
