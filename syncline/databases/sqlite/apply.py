"""Step 7, commit: write staged rows and their log entries; find every row that the database will not hold.

    record    the log entries of a stage, in one statement
    write     the rows of a stage, in one statement; if that is refused, in halves, down to the bad rows
    retry     refused rows once more after the others: a unique value may have become free meanwhile
    swap      rows that trade unique values, by way of placeholders
    check     deferred foreign keys of the staged rows, by anti-joins
    clean     where capture had to stay on, remove what it logged of the staged rows themselves

All inside one savepoint, rolled back if a row was refused.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

from syncline.databases.sqlite import foreign, stage
from syncline.databases.sqlite.errors import refusal_code
from syncline.databases.sqlite.read import RowReader, newest
from syncline.databases.sqlite.stage import Staged
from syncline.hub.contract import Refusal, codes
from syncline.sqlitekit.sql import commas, quote

_WORTH_ANOTHER_TRY = {codes.UNIQUE, codes.FOREIGN_KEY}


@dataclass(slots=True)
class Work:
    """One stage on its way. `careful`: writing it can have side effects on its own table, so capture
    stays on and the entries of the staged rows themselves are taken out afterwards."""

    staged: Staged
    careful: bool
    mark: int = 0
    failures: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Refused rows by rowid: (code, detail)."""

    @property
    def form(self) -> str:
        return self.staged.stage.form


def apply(writer: RowReader, stages: Sequence[Staged], origin: str) -> list[Refusal]:
    """The contract of `Rows.apply`."""
    connection = writer.connection
    connection.execute("SAVEPOINT _sync_apply")
    works = [Work(staged, _is_careful(writer, staged)) for staged in stages]
    for work in works:
        foreign.remember(connection, writer.layout, work.staged)
        _mark_changes(connection, work)
        stage.record(connection, work.staged, origin)
        work.mark = newest(connection).seq
        _write(connection, work, _bounds(connection, work))
    _retry(connection, works)
    if _swap(connection, works):
        _retry(connection, works)
    refusals = [
        Refusal(work.staged.stage, rowid - 1, code, detail)
        for work in works
        for rowid, (code, detail) in sorted(work.failures.items())
    ]
    refusals += foreign.dangling(writer, stages, refusals)
    if refusals:
        connection.execute("ROLLBACK TO _sync_apply")
    else:
        for work in works:
            _clean(connection, work)
            foreign.forget(connection, writer.layout, work.staged)
    connection.execute("RELEASE _sync_apply")
    return refusals


def _is_careful(writer: RowReader, staged: Staged) -> bool:
    return writer.layout.reaches_itself(staged.tracked, actions=staged.stage.form != "insert")


def _bounds(connection: sqlite3.Connection, work: Work) -> tuple[int, int]:
    low, high = connection.execute(f"SELECT min(rowid), max(rowid) FROM {work.staged.table}").fetchone()
    return low or 1, high or 0


def _write(connection: sqlite3.Connection, work: Work, bounds: tuple[int, int]) -> None:
    """Write the rows between two rowids; what is refused is isolated by halving and noted."""
    statement = _statement(work.staged)
    if statement is None or bounds[0] > bounds[1]:
        return
    if not work.careful:
        connection.execute("UPDATE _sync_hub SET suppressed = ?", (work.staged.tracked.n,))
    ranges = [bounds]
    while ranges:
        low, high = ranges.pop()
        failure = _attempt(connection, work, statement, low, high)
        if failure is None:
            continue
        if low == high:
            work.failures[low] = failure
        else:
            middle = (low + high) // 2
            ranges += [(middle + 1, high), (low, middle)]
    if not work.careful:
        connection.execute("UPDATE _sync_hub SET suppressed = NULL")


def _attempt(
    connection: sqlite3.Connection, work: Work, statement: str, low: int, high: int
) -> tuple[str, str] | None:
    connection.execute("SAVEPOINT _sync_range")
    try:
        cursor = connection.execute(statement, (low, high))
    except sqlite3.Error as error:
        code = refusal_code(error)
        if code is None:
            raise
        failure = (code, str(error))
    else:
        if not work.staged.tracked.facts.triggers or _complete(connection, work, cursor.rowcount, low, high):
            connection.execute("RELEASE _sync_range")
            return None
        failure = (codes.TRIGGER, "a trigger in the central database left the row out without an error")
    connection.execute("ROLLBACK TO _sync_range")
    connection.execute("RELEASE _sync_range")
    return failure


def _complete(connection: sqlite3.Connection, work: Work, written: int, low: int, high: int) -> bool:
    """Whether no row was passed over by RAISE(IGNORE). A cascade may have removed rows before their turn."""
    staged = work.staged
    if work.form == "delete":
        sql = (
            f"SELECT count(*) FROM {staged.table} AS s CROSS JOIN {staged.tracked.name} AS t"
            f" WHERE s.rowid BETWEEN ? AND ? AND {staged.tracked.join('t', 's')}"
        )
        return bool(connection.execute(sql, (low, high)).fetchone()[0] == 0)
    sql = f"SELECT count(*) FROM {staged.table} WHERE rowid BETWEEN ? AND ?"
    return bool(connection.execute(sql, (low, high)).fetchone()[0] == written)


def _statement(staged: Staged) -> str | None:
    """The statement that writes the staged rows between two rowids.

    OR ABORT overrules a conflict clause of the table's own: REPLACE or IGNORE there would lose rows.
    """
    tracked, columns = staged.tracked, staged.stage.columns
    between = "s.rowid BETWEEN ? AND ?"
    if staged.stage.form == "insert":
        names = [*tracked.table.key, *(tracked.table.values[number].name for number in columns)]
        values = [f"s.k{i}" for i in range(tracked.arity)] + [f"s.c{i}" for i in range(len(columns))]
        return (
            f"INSERT OR ABORT INTO {tracked.name} ({commas(map(quote, names))})"
            f" SELECT {commas(values)} FROM {staged.table} AS s WHERE {between} ORDER BY s.rowid"
        )
    if staged.stage.form == "update":
        sets = [f"{quote(tracked.table.values[c].name)} = s.c{i}" for i, c in enumerate(columns)]
        if not sets:
            return None
        return (
            f"UPDATE OR ABORT {tracked.name} AS t SET {commas(sets)} FROM {staged.table} AS s"
            f" WHERE {tracked.join('t', 's')} AND {between}"
        )
    keys = commas(tracked.key_of("t"))
    return (
        f"DELETE FROM {tracked.name} WHERE ({commas(map(quote, tracked.table.key))}) IN (SELECT {keys}"
        f" FROM {staged.table} AS s CROSS JOIN {tracked.name} AS t"
        f" WHERE {between} AND {tracked.join('t', 's')})"
    )


def _retry(connection: sqlite3.Connection, works: Sequence[Work]) -> None:
    """Rows in each other's way (a unique value that moves, RESTRICT within a table) may fit now."""
    while True:
        before = sum(len(work.failures) for work in works)
        for work in works:
            again = sorted(r for r, (code, _) in work.failures.items() if code in _WORTH_ANOTHER_TRY)
            for rowid in again:
                del work.failures[rowid]
                _write(connection, work, (rowid, rowid))
        after = sum(len(work.failures) for work in works)
        if after == 0 or after == before:
            return


def _swap(connection: sqlite3.Connection, works: Sequence[Work]) -> bool:
    """Put placeholders into the unique columns of updates that clash; whether there was anything to do.

    Updates that trade values are in each other's way in every order. If the true values do not fit
    afterwards either, the rows are refused and the placeholders rolled back with everything else.
    """
    swapped = False
    for work in works:
        clashing = [rowid for rowid, (code, _) in work.failures.items() if code == codes.UNIQUE]
        columns = _unique_columns(work) if work.form == "update" and len(clashing) > 1 else []
        if not columns:
            continue
        tracked = work.staged.tracked
        sets = commas(f"{quote(name)} = {_placeholder(work, name)}" for name in columns)
        connection.execute("UPDATE _sync_hub SET suppressed = ?", (tracked.n,))
        for rowid in clashing:
            connection.execute("SAVEPOINT _sync_swap")
            try:
                connection.execute(
                    f"UPDATE OR ABORT {tracked.name} AS t SET {sets} FROM {work.staged.table} AS s"
                    f" WHERE {tracked.join('t', 's')} AND s.rowid = ?",
                    (rowid,),
                )
                swapped = True
            except sqlite3.IntegrityError:  # a rule of the table forbids placeholders: the row stays refused
                connection.execute("ROLLBACK TO _sync_swap")
            connection.execute("RELEASE _sync_swap")
        connection.execute("UPDATE _sync_hub SET suppressed = NULL")
    return swapped


def _unique_columns(work: Work) -> list[str]:
    """The columns this stage writes that are part of a unique index."""
    tracked = work.staged.tracked
    indexed = {name for unique in tracked.facts.uniques for name, _ in unique.columns}
    written = [tracked.table.values[index].name for index in work.staged.stage.columns]
    return [name for name in written if name in indexed]


def _placeholder(work: Work, name: str) -> str:
    column = work.staged.tracked.facts.column(name)
    if not column.notnull:
        return "NULL"
    return "hex(randomblob(16))" if column.affinity in ("TEXT", "") else "random()"


def _mark_changes(connection: sqlite3.Connection, work: Work) -> None:
    """Before a careful update: which staged rows it will really change, and so capture will log."""
    staged = work.staged
    if not work.careful or work.form != "update":
        return
    tracked = staged.tracked
    tests = [
        tracked.differs(tracked.table.values[c].name, tracked.values_of("t", [c])[0], f"s.c{i}")
        for i, c in enumerate(staged.stage.columns)
    ]
    name = f"{staged.table}_changed"
    connection.execute(f"DROP TABLE IF EXISTS {name}")
    connection.execute(
        f"CREATE TEMP TABLE {name[5:]} AS SELECT s.rowid AS i FROM {staged.table} AS s"
        f" CROSS JOIN {tracked.name} AS t WHERE {tracked.join('t', 's')} AND ({' OR '.join(tests) or '0'})"
    )


def _clean(connection: sqlite3.Connection, work: Work) -> None:
    """After a careful write: of what capture logged, take out the staged rows' own entries.

    Ours are the newest triggers, so they fire first: the row's own entry is the first of its key.
    """
    if not work.careful:
        return
    staged = work.staged
    tracked = staged.tracked
    later = f"_sync_hub_log AS l CROSS JOIN {staged.table} AS s"
    same = f"l.seq > {work.mark} AND l.tbl = {tracked.n} AND {stage.same_key(staged, 's', 'l')}"
    stage.index(connection, staged)
    if work.form == "delete":
        gone = f"NOT EXISTS (SELECT 1 FROM {tracked.name} AS t WHERE {tracked.join('t', 's')})"
        own = f"SELECT l.seq FROM {later} WHERE {same} AND {gone}"
    elif work.form == "insert":
        own = f"SELECT min(l.seq) FROM {later} WHERE {same} AND l.op = 'I' GROUP BY s.rowid"
    else:
        changed = f"s.rowid IN (SELECT i FROM {staged.table}_changed)"
        own = f"SELECT min(l.seq) FROM {later} WHERE {same} AND l.op = 'U' AND {changed} GROUP BY s.rowid"
    connection.execute(f"DELETE FROM _sync_hub_log WHERE seq IN ({own})")
    if work.form == "update":
        connection.execute(f"DROP TABLE {staged.table}_changed")
