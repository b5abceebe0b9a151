"""Step 7, commit: write staged rows and their log entries; find every row that the database will not hold.

    record    the log entries of a stage, in one statement
    write     the rows of a stage, in one statement; if that is refused, in halves, down to the bad rows
    park      rows that trade unique values hold third ones meanwhile
    retry     refused rows once more after the others: a unique value may have become free meanwhile
    check     deferred foreign keys of the staged rows, by anti-joins
    isolate   where COMMIT has refused what this leaves: in halves, down to the rows that break a foreign key
    clean     where capture had to stay on, remove what it logged of the staged rows themselves

All inside one savepoint, rolled back if a row was refused.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from syncline.databases.base import statements
from syncline.databases.base.isolation import Attempt, Failures, Part, Singly, isolated, retried
from syncline.databases.base.logtable import newest
from syncline.databases.sqlite import foreign, parking, stage
from syncline.databases.sqlite.breaches import Breaches
from syncline.databases.sqlite.careful import Work, clean, is_careful, mark_changes, updated_instead
from syncline.databases.sqlite.dialect import SqliteLedgerSession
from syncline.databases.sqlite.errors import refusal_code
from syncline.databases.sqlite.read import RowReader
from syncline.databases.sqlite.stage import Staged
from syncline.databases.sqlite.undone import Undone
from syncline.hub.contract import Refusal, codes
from syncline.sqlitekit.errors import FAILURES, said_by

_WORTH_ANOTHER_TRY = {codes.UNIQUE, codes.FOREIGN_KEY}

Failure = tuple[str, str]
"""The code of a refusal, and what SQLite said."""


def apply(
    writer: RowReader, stages: Sequence[Staged], origin: str, undone: Undone, *, thorough: bool
) -> list[Refusal]:
    """The contract of `Rows.apply`. `thorough`: what COMMIT would refuse is looked for in every table."""
    connection = writer.connection
    misspelled = [refusal for staged in stages for refusal in staged.refused.values()]
    if misspelled:
        return misspelled
    breaches = Breaches(connection, writer.layout.everything.values()) if thorough else None
    connection.execute("SAVEPOINT _sync_apply")
    application = Application(writer, stages, undone)
    refusals = application.write(origin)
    refusals += foreign.dangling(writer, stages, refusals)
    while breaches is not None and not refusals and breaches.found():
        connection.execute("ROLLBACK TO _sync_apply")
        refusals = application.isolate(origin, breaches)
    if refusals:
        connection.execute("ROLLBACK TO _sync_apply")
    else:
        application.clean()
    connection.execute("RELEASE _sync_apply")
    if breaches is not None:
        breaches.close()
    return refusals


class Application:
    """One call of `apply`."""

    def __init__(self, writer: RowReader, stages: Sequence[Staged], undone: Undone) -> None:
        self._writer, self._connection, self._undone = writer, writer.connection, undone
        self._works = [
            Work(staged, _statement(staged), is_careful(writer.layout, staged)) for staged in stages
        ]

    def write(self, origin: str) -> list[Refusal]:
        """Log and write every stage; the rows that the tables themselves refuse."""
        failures: Failures[Staged, Failure] = []
        for index, work in enumerate(self._works):
            foreign.remember(self._connection, self._writer.layout, work.staged)
            self._record(work, origin)
            if work.staged.live and work.statement is not None:
                failures += isolated([Part(index, work.staged, work.staged.live)], self._attempt)
        return self._refusals(failures, self._one_by_one)

    def isolate(self, origin: str, breaches: Breaches) -> list[Refusal]:
        """`write`, that keeps no row by which a foreign key is broken, of whatever table."""

        def attempt(parts: Sequence[Part[Staged]]) -> Failure | None:
            self._connection.execute("SAVEPOINT _sync_some")
            failure = next((why for part in parts if (why := self._attempt([part])) is not None), None)
            if failure is None and (said := breaches.again()) is not None:
                failure = codes.FOREIGN_KEY, said
            if failure is not None:
                self._connection.execute("ROLLBACK TO _sync_some")
            self._connection.execute("RELEASE _sync_some")
            return failure

        parts = []
        for index, work in enumerate(self._works):
            self._record(work, origin)
            if work.staged.live and work.statement is not None:
                parts.append(Part(index, work.staged, work.staged.live))
        failures = isolated(parts, attempt)
        return self._refusals(failures, lambda parts: _failing(parts, attempt))

    def _record(self, work: Work, origin: str) -> None:
        mark_changes(self._connection, work)
        work.first = self._logged(work)
        stage.record(self._connection, work.staged, origin)
        work.mark = self._logged(work)

    def _refusals(
        self, failures: Failures[Staged, Failure], singly: Singly[Staged, Failure]
    ) -> list[Refusal]:
        """What is refused even after the others."""
        self._park(failures)
        failures = self._again(failures, singly)
        return [Refusal(part.loaded.stage, part.rows[0], *failure) for part, failure in failures]

    def _logged(self, work: Work) -> int:
        """The newest log entry, where entries are looked for afterwards."""
        return newest(SqliteLedgerSession(self._connection)).seq if work.careful else 0

    def clean(self) -> None:
        """Take away what only this call needed."""
        for work in self._works:
            clean(self._connection, work)
            foreign.forget(self._connection, self._writer.layout, work.staged)

    def _again(
        self, failures: Failures[Staged, Failure], singly: Singly[Staged, Failure]
    ) -> Failures[Staged, Failure]:
        """Rows in each other's way (a unique value that moves, RESTRICT within a table) may fit now. They are
        tried one by one: a statement that fails undoes itself."""
        lost = [one for one in failures if one[1][0] not in _WORTH_ANOTHER_TRY]
        worth = [one for one in failures if one[1][0] in _WORTH_ANOTHER_TRY]
        return lost + retried(worth, singly)

    def _one_by_one(self, parts: Sequence[Part[Staged]]) -> Failures[Staged, Failure]:
        return _failing(parts, self._attempt)

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
        except FAILURES as error:
            code = refusal_code(error, triggers=bool(work.staged.shape.facts.triggers))
            if code is None:
                raise
            if not self._connection.in_transaction:
                raise self._undone.met(part, error) from error
            return code, said_by(error)
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
        left = f"NOT EXISTS ({updated_instead(work, 's')})"
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


def _failing(parts: Sequence[Part[Staged]], attempt: Attempt[Staged, Failure]) -> Failures[Staged, Failure]:
    return [(part, why) for part in parts if (why := attempt([part])) is not None]


def _statement(staged: Staged) -> str | None:
    """The statement that writes the staged rows; None if there is none."""
    shape, columns = staged.shape, staged.stage.columns
    if staged.stage.form == "insert":
        return statements.insert(shape, columns)
    if staged.stage.form == "update":
        return statements.update(shape, columns, range(len(columns))) if columns else None
    return statements.delete(shape)
