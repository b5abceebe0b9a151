"""A connection as the adapter uses it: settings that make values' spellings certain, and four verbs.

Behind a pooler (PgBouncer and others, by transaction) each transaction may run in another session of the
server, which other programs use before and after: there the settings are made anew at the begin of each
transaction, for that transaction alone, and nothing is prepared by name.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import RawCursor, RawServerCursor
from psycopg.abc import Params
from psycopg.pq import TransactionStatus

Rows = list[list[Any]]

SETTINGS = {
    # the spelling of values depends on these, the encoding, and lc_monetary, which is the database's own
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "iso_8601",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmloption": "content",
    "array_nulls": "on",
    "quote_all_identifiers": "off",
    "timezone_abbreviations": "Default",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "row_security": "off",
    "jit": "off",
    "work_mem": "32MB",
    "idle_in_transaction_session_timeout": "10min",
}
"""With row_security off, a policy that would hide rows from the hub is an error instead of a gap."""


class Connection(psycopg.Connection[list[Any]]):
    """A connection of the hub's own, or one that leads to a pooler (`is_shared`)."""

    is_shared = False
    _local = ""
    _path = ""
    memory: dict[Any, Any]
    """What is known as long as this connection lasts. Of one that leads to a pooler, nothing."""

    def ready(self, lock_timeout: float, statement_timeout: float) -> None:
        """Ready a new connection. The timeouts are in seconds; a `statement_timeout` of 0 is none."""
        self.cursor_factory = RawCursor
        self.row_factory = list_row
        self.prepared_max = 1000
        self.autocommit = True
        self.memory = {}
        patience = min(FIRST_PATIENCE, lock_timeout)
        waits = {"lock_timeout": milliseconds(patience), "statement_timeout": milliseconds(statement_timeout)}
        settings = [f"{name} = '{value}'" for name, value in {**SETTINGS, **waits}.items()]
        row = self.execute("SELECT pg_backend_pid()").fetchone()
        if row is not None and row[0] != self.info.backend_pid:  # a pooler tells one of its own making
            self.is_shared, self.prepare_threshold = True, None
            self._local = "; ".join(f"SET LOCAL {setting}" for setting in settings)
        else:
            self.execute("; ".join(f"SET {setting}" for setting in [*settings, "temp_buffers = '32MB'"]))

    @contextmanager
    def begun(self, path: str, place: str) -> Iterator[Any]:
        """A transaction in which names are looked for in `path` ("": as the role is set up). Yields what the
        query `place` tells where the transaction may be in another server than the one before, else None."""
        if not self.is_shared and path != self._path:
            self.execute(f"SET search_path = {path}")
            self._path = path
        with self.transaction():
            if self.is_shared:
                cursor = self.execute(f"{self._local}; SET LOCAL search_path = {path or 'DEFAULT'}; {place}")
                while cursor.nextset():
                    pass
                yield (cursor.fetchone() or [None])[0]
            else:
                yield None

    # What a pool asks

    def is_idle(self) -> bool:
        """Whether no transaction is open."""
        return self.info.transaction_status == TransactionStatus.IDLE

    def is_quiet(self) -> bool:
        """Whether it is open; the server says nothing unasked but that it ends."""
        if self.closed:
            return False
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
        return not poll.poll(0)

    def answers(self) -> bool:
        """Whether the server answers."""
        try:
            self.execute("")
        except psycopg.Error:
            return False
        return True


def list_row(cursor: Any) -> type[list[Any]]:
    """A row factory: rows are lists, as they travel."""
    return list


BRIEF = 0.02
"""Seconds to wait for a row when the patience is over and the row is refused."""

FIRST_PATIENCE = 0.5
"""Seconds to wait for a row the first time: less than the second after which PostgreSQL looks for deadlocks,
so that the hub, which can run a transaction again, gives way rather than another program."""


def milliseconds(seconds: float) -> int:
    """A timeout as PostgreSQL takes it. 0 stays 0, which is none; nothing else becomes it."""
    return max(1, round(seconds * 1000)) if seconds > 0 else 0


class Session:
    """Runs statements on one connection within its transaction. Results come in binary, rows as lists."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def run(self, statement: str, *values: Any) -> Rows:
        """Execute and fetch everything."""
        return self._execute(statement, values or None).fetchall()

    def value(self, statement: str, *values: Any) -> Any:
        """Execute and return the first column of the only row, None if there is no row."""
        row = self._execute(statement, values or None).fetchone()
        return None if row is None else row[0]

    def count(self, statement: str, *values: Any) -> int:
        """Execute and return how many rows were written."""
        return self._execute(statement, values or None).rowcount

    def script(self, statement: str) -> None:
        """Execute statements that take no values and return nothing."""
        self._execute(statement, None)

    def scripts(self, statements: Sequence[str]) -> None:
        """Execute such statements in one round trip."""
        self.connection.execute("\n;\n".join(statements))

    def wait_for_locks(self, seconds: float) -> None:
        """In this transaction wait so long for a lock: DDL waits for everybody's open transactions."""
        self.script(f"SET LOCAL lock_timeout = {milliseconds(seconds)}")

    def values(self, *statements: str) -> list[Any]:
        """Execute statements in one round trip; the first column of the only row of each, as text."""
        cursor = self.connection.execute("; ".join(text.rstrip().rstrip(";") for text in statements))
        found = []
        for _ in statements:
            row = cursor.fetchone()
            found.append(None if row is None else row[0])
            cursor.nextset()
        return found

    def copy(self, statement: str, rows: bytes) -> int:
        """COPY ... FROM STDIN of rows in its text format, in UTF-8; how many there were."""
        with self.connection.cursor() as cursor:
            with cursor.copy(statement) as copy:
                copy.write(rows)
            return cursor.rowcount

    @contextmanager
    def stream(self, statement: str, values: Params) -> Iterator[Callable[[int], Rows]]:
        """A query's rows, as many at a time as asked for. Planned for all of them, not for the first."""
        self.script("SET LOCAL cursor_tuple_fraction = 1")
        with RawServerCursor(self.connection, "syncline_stream") as cursor:
            cursor.execute(statement, values or None, binary=True)
            yield cursor.fetchmany

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what happens within if it raises."""
        with self.connection.transaction():
            yield

    def _execute(self, statement: str, values: Params | None) -> psycopg.Cursor[list[Any]]:
        return self.connection.execute(statement, values, binary=True)
