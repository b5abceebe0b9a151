"""Rows that trade unique values: each takes what another one gives up, and no order of writing them will do.

All of them give up their values at once, then all are written. What they hold in between nobody sees: it is
gone before the transaction ends, or the savepoint is undone. Rows that want a value of one that does not take
part stay as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from syncline.errors import StoreConstraint, SynclineError
from syncline.model.naming import folded
from syncline.model.values import INTEGER_MIN, Value
from syncline.replica.attempt import REFUSED, Refusals, attempt, try_set, write_set
from syncline.replica.overlay import Key
from syncline.replica.owners import Rows, following, owners
from syncline.replica.statements import Statements
from syncline.replica.store import pack, quote
from syncline.replica.work import Work
from syncline.sqlitekit.tables import Unique
from syncline.sqlitekit.undecoded import is_text

_STATISTICS = (
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name IN ('sqlite_stat1', 'sqlite_stat4')"
)


class _Failed(Exception):
    pass


def trade(
    work: Work, t: Statements, rows: Rows, errors: Mapping[Key, SynclineError]
) -> dict[Key, SynclineError]:
    """Write these rows, none of which can be written alone (`errors`); return those that cannot at all."""
    waits = owners(work, t, rows)
    outside = {
        key: errors[key] for key, others in waits.items() if any(other not in rows for other in others)
    }
    blocked = _with_followers(outside, waits)
    rows = {key: row for key, row in rows.items() if key not in blocked}
    whole = [[*key, *row] for key, row in rows.items()]
    if not rows or is_traded(work, t, list(t.values), whole):
        return blocked
    while rows:  # not all that stands in the way is known beforehand
        failed = _exchange(work, t, rows, {})
        if failed and all(map(is_clash, failed.values())):
            # What makes an expression differ, nobody knows: without the index for a while.
            failed = _exchange(work, t, rows, removable(work, t))
        failed = _with_followers(failed, waits)
        if not failed:
            break
        blocked |= failed
        rows = {key: row for key, row in rows.items() if key not in failed}
    return blocked


def is_clash(error: SynclineError) -> bool:
    """Whether a unique value is taken."""
    return isinstance(error, StoreConstraint) and error.kind == "unique"


def _with_followers(
    failed: Mapping[Key, SynclineError], waits: Mapping[Key, set[Key]]
) -> dict[Key, SynclineError]:
    """Also those that want the value of one that stays, and so on."""
    found = dict(failed)
    for key, owner in following(failed, waits):
        found[key] = found[owner]
    return found


def removable(work: Work, t: Statements) -> dict[str, str]:
    """The unique indexes that were made by CREATE INDEX and can be made again, and its text. None to which a
    foreign key refers: SQLite writes nothing into a table that lacks it."""
    names = {unique.name for unique in work.uniques(t)} - _referred_to(work, t)
    rows = work.store.described(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = ?"
        " COLLATE NOCASE",
        (t.table.name,),
    )
    return {name: sql for name, sql in rows if name in names and is_text(name + sql)}


def _referred_to(work: Work, t: Statements) -> set[str]:
    """The unique indexes that have a column to which a foreign key of any table refers."""
    rows = work.store.described(
        'SELECT f."to" FROM sqlite_master m, pragma_foreign_key_list(m.name) f'
        ' WHERE m.type = \'table\' AND f."table" = ? COLLATE NOCASE AND f."to" IS NOT NULL',
        (t.table.name,),
    )
    referred = {folded(name) for (name,) in rows}
    return {
        unique.name
        for unique in work.uniques(t)
        if not referred.isdisjoint(folded(name) for name, _ in unique.columns if name is not None)
    }


def _exchange(work: Work, t: Statements, rows: Rows, dropped: Mapping[str, str]) -> dict[Key, SynclineError]:
    """Write all of them; or nothing, and say which cannot be written."""
    keys = list(rows)
    refusals = _exchange_rows(work, t, list(t.values), [[*key, *row] for key, row in rows.items()], dropped)
    return {keys[i]: error for i, error in refusals.items()}


def is_traded(work: Work, t: Statements, columns: Sequence[int], rows: Sequence[Sequence[Value]]) -> bool:
    """Write all of these rows, which trade values of these columns with each other alone; False, and nothing
    is written, if that is not all."""
    try:
        with work.store.savepoint():
            _give_up(work, t, columns, [tuple(row[: t.arity]) for row in rows])
            if try_set(work, t, columns, rows) is not None:
                raise _Failed
    except (_Failed, *REFUSED):
        return False
    return True


def _exchange_rows(
    work: Work,
    t: Statements,
    columns: Sequence[int],
    rows: Sequence[Sequence[Value]],
    dropped: Mapping[str, str],
) -> Refusals:
    """Have these rows give up what is unique among the columns, then write all; or nothing, and say which of
    them cannot be written. `dropped` are indexes that are not there meanwhile."""
    refusals: Refusals = {}
    try:
        with work.store.savepoint(), without(work, dropped):
            _give_up(work, t, columns, [tuple(row[: t.arity]) for row in rows])
            refusals = attempt(work, t, columns, rows)
            if refusals:
                raise _Failed
    except _Failed:
        return refusals
    except REFUSED as error:  # they cannot give up what they have, or do not agree in the end
        return dict.fromkeys(range(len(rows)), error.with_traceback(None))
    return {}


@contextmanager
def without(work: Work, dropped: Mapping[str, str]) -> Iterator[None]:
    """Inside the block these indexes are not there; afterwards they must hold again. What ANALYZE has noted
    goes with an index, and is put back."""
    store, kept = work.store, list[tuple[str, list[tuple[Value, ...]]]]()
    marks = ", ".join("?" * len(dropped))
    for (table,) in store.rows(_STATISTICS) if dropped else ():
        kept.append((table, store.rows(f"SELECT * FROM {table} WHERE idx IN ({marks})", tuple(dropped))))
    for name in dropped:
        store.execute(f"DROP INDEX {quote(name)}")
    yield
    for sql in dropped.values():
        store.execute(sql)
    for table, rows in kept:
        if rows:
            store.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)


def _give_up(work: Work, t: Statements, given: Sequence[int], keys: Sequence[Key]) -> None:
    """Those of the rows that are there give up what is unique about them, among these columns."""
    columns = yielded(work, t, given)
    there = [keys[i] for i in work.overlay.present(t, keys)]
    if not columns or not there:
        return
    with unchecked(work):
        write_set(work, t, columns, [stand_ins(work, t, key, columns) for key in there])


@contextmanager
def unchecked(work: Work) -> Iterator[None]:
    """Inside the block no CHECK refuses a value, which is gone before the transaction ends."""
    work.store.execute("PRAGMA ignore_check_constraints = ON")
    try:
        yield
    finally:
        work.store.execute("PRAGMA ignore_check_constraints = OFF")


def yielded(work: Work, t: Statements, given: Sequence[int], dropped: Collection[str] = ()) -> list[int]:
    """Those of the given columns that give up their values: one of each unique index that has any of them,
    but for those that are not there meanwhile (`dropped`)."""
    indexes = (unique for unique in work.uniques(t) if unique.name not in dropped)
    found = {_yielding(work, t, given, unique) for unique in indexes}
    return sorted(column for column in found if column is not None)


def stand_ins(work: Work, t: Statements, key: Key, columns: Sequence[int]) -> list[Value]:
    """The key of a row, and what stands in for its values in these columns."""
    return [*key, *(stand_in(work, t, key, column) for column in columns)]


def _yielding(work: Work, t: Statements, given: Sequence[int], unique: Unique) -> int | None:
    """Which of the given columns gives up its value in a unique index: rather one that may be NULL."""
    names = {name for name, _ in unique.columns}
    columns = [i for i in given if t.table.values[i].name in names]
    columns.sort(key=lambda i: not is_nullable(work, t, i))
    return columns[0] if columns else None


def is_nullable(work: Work, t: Statements, column: int) -> bool:
    """Whether NULL can stand in for its values."""
    return not work.columns(t)[t.table.values[column].name].notnull


def stand_in(work: Work, t: Statements, key: Key, column: int) -> Value:
    """NULL, or where that is not allowed a value that no row has, of the column's declared type."""
    if is_nullable(work, t, column):
        return None
    here = work.columns(t)[t.table.values[column].name]
    digest = hashlib.sha256(pack([t.n, column, *key])).hexdigest()
    number = INTEGER_MIN + int(digest[:15], 16)
    by_affinity: dict[str, Value] = {"INTEGER": number, "REAL": float(number), "NUMERIC": number}
    if "BLOB" in here.declared.upper():
        return bytes.fromhex(digest[:32])
    return by_affinity.get(here.affinity, f"syncline:{digest[:32]}")
