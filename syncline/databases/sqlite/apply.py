"""Step 7, commit: write staged rows and their log entries; find every row that the database will not hold.

    record    the log entries of a stage, in one statement
    write     the rows of a stage, in one statement; if that is refused, in halves, down to the bad rows
    park      rows that trade unique values hold third ones meanwhile
    retry     refused rows once more after the others: a unique value may have become free meanwhile
    check     deferred foreign keys of the staged rows, by anti-joins
    clean     where capture had to stay on, remove what it logged of the staged rows themselves

All inside one savepoint, rolled back if a row was refused.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from syncline.databases.base import statements
from syncline.databases.base.isolation import Failures, Part, isolated
from syncline.databases.sqlite import foreign, parking, stage
from syncline.databases.sqlite.errors import refusal_code
from syncline.databases.sqlite.read import RowReader
from syncline.databases.sqlite.retention import newest
from syncline.databases.sqlite.stage import Staged
from syncline.databases.sqlite.undone import Undone
from syncline.hub.contract import Refusal, codes
from syncline.sqlitekit.sql import commas

_WORTH_ANOTHER_TRY = {codes.UNIQUE, codes.FOREIGN_KEY}

Failure = tuple[str, str]
"""The code of a refusal, and what SQLite said."""


@dataclass(slots=True)
class Work:
    """One stage on its way. `careful`: writing it can have side effects on its own table, so capture
    stays on and the entries of the staged rows themselves are taken out afterwards."""

    staged: Staged
    statement: str | None
    careful: bool
    first: int = 0
    """The newest log entry before the stage's own."""
    mark: int = 0
    """The newest of its own."""

    @property
    def may_leave_out(self) -> bool:
        """Whether a trigger may keep a row from being written and leave others written, as far as its text
        shows: by RAISE(IGNORE) or RAISE(FAIL), or because it removes rows."""
        texts = [sql.lower() for _, sql in self.staged.shape.facts.triggers]
        return any(word in text for text in texts for word in ("ignore", "fail", "delete", "replace"))


def apply(writer: RowReader, stages: Sequence[Staged], origin: str, undone: Undone) -> list[Refusal]:
    """The contract of `Rows.apply`."""
    connection = writer.connection
    connection.execute("SAVEPOINT _sync_apply")
    application = Application(writer, stages, undone)
    refusals = application.write(origin)
    refusals += foreign.dangling(writer, stages, refusals)
    if refusals:
        connection.execute("ROLLBACK TO _sync_apply")
    else:
        application.clean()
    connection.execute("RELEASE _sync_apply")
    return refusals


class Application:
    """One call of `apply`."""

    def __init__(self, writer: RowReader, stages: Sequence[Staged], undone: Undone) -> None:
        self._writer, self._connection, self._undone = writer, writer.connection, undone
        reaches = writer.layout.reaches_itself
        self._works = [
            Work(staged, _statement(staged), reaches(staged.shape, actions=staged.stage.form != "insert"))
            for staged in stages
        ]

    def write(self, origin: str) -> list[Refusal]:
        """Log and write every stage; the rows that the tables themselves refuse."""
        failures: Failures[Staged, Failure] = []
        for index, work in enumerate(self._works):
            foreign.remember(self._connection, self._writer.layout, work.staged)
            _mark_changes(self._connection, work)
            work.first = newest(self._connection)[0]
            stage.record(self._connection, work.staged, origin)
            work.mark = newest(self._connection)[0]
            if work.staged.live and work.statement is not None:
                failures += isolated([Part(index, work.staged, work.staged.live)], self._attempt)
        self._park(failures)
        failures = self._again(failures)
        return [Refusal(part.loaded.stage, part.rows[0], *failure) for part, failure in failures]

    def clean(self) -> None:
        """Take away what only this call needed."""
        for work in self._works:
            _clean(self._connection, work)
            foreign.forget(self._connection, self._writer.layout, work.staged)

    def _again(self, failures: Failures[Staged, Failure]) -> Failures[Staged, Failure]:
        """Rows in each other's way (a unique value that moves, RESTRICT within a table) may fit now. They are
        tried one by one: a statement that fails undoes itself."""
        lost = [one for one in failures if one[1][0] not in _WORTH_ANOTHER_TRY]
        worth = [one for one in failures if one[1][0] in _WORTH_ANOTHER_TRY]
        while worth:
            left = [(part, why) for part, _ in worth if (why := self._attempt([part])) is not None]
            if len(left) == len(worth):
                break
            worth = left
        return lost + worth

    def _attempt(self, parts: Sequence[Part[Staged]]) -> Failure | None:
        """Write the rows of a part, or none of them and say why.

        A statement that fails undoes itself; a savepoint is for one that may not. Going back to one is dear
        where temporary tables were made: SQLite reads its whole schema again."""
        (part,) = parts
        known = self._undone.known(part)
        if known is not None:
            return known
        work = self._works[part.index]
        if not work.may_leave_out:
            return self._write(part, work)
        self._connection.execute("SAVEPOINT _sync_part")
        failure = self._write(part, work)
        if failure is not None:
            self._connection.execute("ROLLBACK TO _sync_part")
        self._connection.execute("RELEASE _sync_part")
        return failure

    def _write(self, part: Part[Staged], work: Work) -> Failure | None:
        assert work.statement is not None, "asked before"
        if not work.careful:
            self._suppress(work.staged.shape.n)
        try:
            written = self._connection.execute(*part.loaded.over(work.statement, part.rows)).rowcount
        except sqlite3.Error as error:
            code = refusal_code(error, triggers=bool(work.staged.shape.facts.triggers))
            if code is None:
                raise
            if not self._connection.in_transaction:
                raise self._undone.met(part, error) from error
            return code, str(error)
        finally:
            if not work.careful and self._connection.in_transaction:
                self._suppress(None)
        if work.may_leave_out and not self._is_complete(part, written):
            return codes.TRIGGER, "a trigger in the central database left the row out without an error"
        return None

    def _suppress(self, table: int | None) -> None:
        """Capture nothing of this table's, until told otherwise."""
        self._connection.execute("UPDATE _sync_hub SET suppressed = ?", (table,))

    def _is_complete(self, part: Part[Staged], written: int) -> bool:
        """Whether no row was passed over by RAISE(IGNORE). A cascade may have removed rows before their
        turn, and a trigger may have turned the delete into an update."""
        if part.form != "delete":
            return written == len(part.rows)
        work, shape = self._works[part.index], part.loaded.shape
        left = f"NOT EXISTS ({_updated_instead(work, 's')})"
        template = f"SELECT count(*) FROM {statements.joined(shape)} WHERE {left}"
        over = part.loaded.over(template, part.rows)
        return bool(self._connection.execute(*over).fetchone()[0] == 0)

    def _park(self, failures: Failures[Staged, Failure]) -> None:
        """Let updated rows that clash hold third values in their unique columns.

        Rows that trade values are in each other's way in every order. They take their own when they are tried
        again; if those do not fit then, they are refused and everything is undone."""
        for part, (code, _) in failures:
            work = self._works[part.index]
            if code != codes.UNIQUE or part.form != "update":
                continue
            self._suppress(work.staged.shape.n)
            for values in parking.third_values(work.staged):
                if self._holds(part, work, values):
                    break
            self._suppress(None)

    def _holds(self, part: Part[Staged], work: Work, values: Mapping[int, str]) -> bool:
        """Whether a row could be given these values; it is as it was if a rule of the table forbids them."""
        shape = work.staged.shape
        sets = [f"{shape.value_names[number]} = {value}" for number, value in values.items()]
        template = statements.assign(shape, sets)
        try:
            self._connection.execute(*part.loaded.over(template, part.rows))
        except sqlite3.IntegrityError as error:
            if not self._connection.in_transaction:
                raise self._undone.met(part, error) from error
            return False
        return True


def _statement(staged: Staged) -> str | None:
    """The statement that writes the staged rows; None if there is none."""
    shape, columns = staged.shape, staged.stage.columns
    if staged.stage.form == "insert":
        return statements.insert(shape, columns)
    if staged.stage.form == "update":
        return statements.update(shape, columns, range(len(columns))) if columns else None
    keys = f"SELECT {commas(shape.key_of('t'))} FROM {statements.joined(shape)}"
    return f"DELETE FROM {shape.name} WHERE ({commas(shape.key_names)}) IN ({keys})"


def _updated_instead(work: Work, row: str) -> str:
    """A query for the entry of an update that a trigger made of a staged delete: a soft delete."""
    shape = work.staged.shape
    keys = " AND ".join(f"u.k{number} = {row}.k{number}" for number in range(shape.arity))
    return (
        f"SELECT 1 FROM _sync_hub_log AS u WHERE u.seq > {work.mark}"
        f" AND u.tbl = {shape.n} AND u.op = 'U' AND {keys}"
    )


def _mark_changes(connection: sqlite3.Connection, work: Work) -> None:
    """Before a careful update: which staged rows it will really change, and so capture will log."""
    staged = work.staged
    if not work.careful or work.staged.stage.form != "update":
        return
    shape = staged.shape
    tests = [
        shape.differs(shape.table.values[c].name, shape.values_of("t", [c])[0], f"s.c{i}")
        for i, c in enumerate(staged.stage.columns)
    ]
    stage.keep(
        connection,
        f"{staged.table}_changed",
        f"SELECT s.n FROM {staged.table} AS s CROSS JOIN {shape.name} AS t"
        f" WHERE {shape.matches()} AND ({' OR '.join(tests) or '0'})",
    )


def _clean(connection: sqlite3.Connection, work: Work) -> None:
    """After a careful write: of what capture logged, take out the staged rows' own entries.

    Ours are the newest triggers, so they fire first: the row's own entry is the first of its key.
    """
    if not work.careful:
        return
    staged = work.staged
    shape = staged.shape
    later = f"_sync_hub_log AS l CROSS JOIN {staged.table} AS s"
    same = f"l.seq > {work.mark} AND l.tbl = {shape.n} AND {shape.matches('l')}"
    stage.index(connection, staged)
    if work.staged.stage.form == "delete":
        gone = f"NOT EXISTS (SELECT 1 FROM {shape.name} AS t WHERE {shape.matches()})"
        own = f"SELECT l.seq FROM {later} WHERE {same} AND {gone}"
        turned = f"l.seq > {work.first} AND l.seq <= {work.mark} AND EXISTS ({_updated_instead(work, 's')})"
        own += (
            f" UNION ALL SELECT l.seq FROM {later} WHERE {turned} AND l.tbl = {shape.n}"
            f" AND {shape.matches('l')} AND NOT ({gone})"
        )
    elif work.staged.stage.form == "insert":
        own = f"SELECT min(l.seq) FROM {later} WHERE {same} AND l.op = 'I' GROUP BY s.n"
    else:
        changed = f"s.n IN (SELECT n FROM {staged.table}_changed)"
        own = f"SELECT min(l.seq) FROM {later} WHERE {same} AND l.op = 'U' AND {changed} GROUP BY s.n"
    connection.execute(f"DELETE FROM _sync_hub_log WHERE seq IN ({own})")
    if work.staged.stage.form == "update":
        connection.execute(f"DROP TABLE {staged.table}_changed")
