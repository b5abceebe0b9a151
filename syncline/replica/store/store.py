"""The device file, as the engine uses it: one connection, short transactions, Syncline's own tables."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import fields
from functools import lru_cache
from typing import Any, Self

from syncline.errors import StoreBusy, StoreDamaged, StoreError
from syncline.replica.store import connection as opening
from syncline.replica.store.errors import legible, translate, translated
from syncline.replica.store.state import Checkpoint, Standing, State, checkpoint_of, state_of
from syncline.replica.store.text import queries, read_sql
from syncline.replica.store.wal import Wal
from syncline.replica.store.warden import SECONDS, STEPS, Rule, no_longer_than
from syncline.sqlitekit.definition import waits_for_commit
from syncline.sqlitekit.errors import FAILURES
from syncline.sqlitekit.installed import Trigger, Triggers
from syncline.sqlitekit.sql import quote
from syncline.sqlitekit.undecoded import undecoded

LAYOUT = 11
"""The version of Syncline's own tables; raised whenever layout.sql changes."""

UNCOUNTED = 0
"""The layout of files from before layouts were counted from 1 as they are now."""

SPARE_CHECKPOINTS = 100
"""Checkpoints that no log entry names are removed once there are this many."""

PUT_BACK = (
    "Put back what was altered (a copy of the file, or the row named). Else keep a copy of the file, in which"
    " what was pending stands, then clone again: syncline clone URL FILE"
)
"""The remedy where somebody has altered Syncline's own tables."""

_waits_for_commit = lru_cache(512)(waits_for_commit)

_PACKAGE = "syncline.replica.store"
_STATE_COLUMNS = frozenset(field.name for field in fields(State))
Parameters = Sequence[Any] | dict[str, Any]


class Store:
    """One replica file, open. Used by one thread at a time.

    Every error of SQLite comes out as a StoreError (StoreConstraint where a constraint was broken,
    ValueRefused where a text that is not UTF-8 is read). Outside `transaction` and `read` each statement
    is a transaction of its own.
    """

    def __init__(self, path: str, connection: sqlite3.Connection, wal: Wal | None = None) -> None:
        """`wal` keeps the write-ahead log small, of a file that others have open too."""
        self.path = path
        self._connection, self._wal = connection, wal
        self._queries = queries(_PACKAGE)
        self._is_watched = False
        self._left: Standing | None = None
        self._writes = False
        self._known: State | None = None
        """The state, while a write transaction keeps others from changing it."""
        self._triggers: tuple[int, Triggers] | None = None
        self._opened: os.stat_result | None = None
        """Which file this was when it was opened."""
        self._shared: tuple[str, float] | None = None
        """Of an open file that other programs know: its whole path, and the seconds to wait for them."""

    @classmethod
    def open(cls, path: str | os.PathLike[str], busy_seconds: float = opening.BUSY_SECONDS) -> Self:
        """Open a replica. StoreError `store_missing`, `not_a_replica`, `store_layout` and so on."""
        store = cls.open_file(path, busy_seconds)
        try:
            store.check()
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def open_file(cls, path: str | os.PathLike[str], busy_seconds: float = opening.BUSY_SECONDS) -> Self:
        """Open an existing SQLite file that may not be a replica yet (see `prepare`)."""
        name = opening.checked_path(path)
        if name == opening.MEMORY:
            return cls(name, opening.open_existing(name, busy_seconds))
        whole, opened = os.path.abspath(name), opening.place_of(name)  # before: what comes later is another
        connection = opening.open_existing(name, busy_seconds)
        store = cls(name, connection, Wal(name, connection, busy_seconds))
        store._opened, store._shared = opened, (whole, busy_seconds)
        return store

    def follow(self) -> bool:
        """Open the file that stands at the path by now, if that is another one than is open: somebody has put
        a backup there. Whether it is another. Outside any transaction.

        StoreError `store_missing` if there is none any more."""
        if self._shared is None or not self.is_elsewhere:
            return False
        whole, seconds = self._shared
        opened = opening.place_of(whole)
        if opened is None:
            raise opening.missing(self.path, " any more: it was removed or renamed while it was open")
        connection = opening.open_existing(whole, seconds)
        self.close()
        self._connection, self._wal = connection, Wal(whole, connection, seconds)
        self._opened, self._shared = opened, (whole, seconds)
        self._left = self._known = self._triggers = None
        return True

    @property
    def is_elsewhere(self) -> bool:
        """Whether what is at the path is not the file that is open, as far as others know that."""
        if self._shared is None or self._opened is None:
            return False
        now = opening.place_of(self._shared[0])
        return now is None or not os.path.samestat(self._opened, now)

    @classmethod
    def open_private(cls, path: str | os.PathLike[str], busy_seconds: float = opening.BUSY_SECONDS) -> Self:
        """Open or create a file that no other program knows yet (a clone being filled)."""
        name = os.fspath(path)
        store = cls(name, opening.open_private(name, busy_seconds))
        store._opened = None if name == opening.MEMORY else os.stat(name)
        return store

    def check_place(self) -> None:
        """StoreBusy if a private file is no longer where it was opened: somebody has removed it, or another
        process fills one of its own there."""
        try:
            is_there = self._opened is None or os.path.samestat(self._opened, os.stat(self.path))
        except FileNotFoundError:
            is_there = False
        if not is_there:
            raise StoreBusy(f"{self.path} was taken away while it was being filled", remedy="Try again.")

    @classmethod
    def open_reading(cls, path: str | os.PathLike[str], busy_seconds: float = opening.BUSY_SECONDS) -> Self:
        """Open an existing file, whatever it is, to look at it as it is: nothing can be written."""
        name = os.fspath(path)
        return cls(name, opening.open_reading(name, busy_seconds))

    def close(self) -> None:
        """Close the file. Idempotent. An open transaction is rolled back."""
        if self._wal is not None:
            self._wal.close()
        self._connection.close()
        self._shared = None

    # Statements -------------------------------------------------------------------------------------

    def execute(self, sql: str, parameters: Parameters = ()) -> int:
        """Run one statement; return how many rows it changed (-1 if that has no meaning)."""
        try:
            return self._connection.execute(sql, parameters).rowcount
        except FAILURES as error:
            raise translate(error, self.path) from error

    def executemany(self, sql: str, rows: Iterable[Parameters]) -> int:
        """Run one statement for every row of parameters; return how many rows it changed."""
        try:
            return self._connection.executemany(sql, rows).rowcount
        except FAILURES as error:
            raise translate(error, self.path) from error

    def rows(self, sql: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except FAILURES as error:
            raise translate(error, self.path) from error

    def row(self, sql: str, parameters: Parameters = ()) -> tuple[Any, ...] | None:
        """The first row of a query, or None."""
        try:
            row: tuple[Any, ...] | None = self._connection.execute(sql, parameters).fetchone()
        except FAILURES as error:
            raise translate(error, self.path) from error
        return row

    def value(self, sql: str, parameters: Parameters = ()) -> Any:
        """The first value of the first row of a query, or None."""
        row = self.row(sql, parameters)
        return None if row is None else row[0]

    def batches(
        self, sql: str, parameters: Parameters = (), size: int = 10_000
    ) -> Generator[list[tuple[Any, ...]]]:
        """The rows of a query in lists of at most `size`, so that memory stays bounded (law L11)."""
        with translated(self.path):
            cursor = self._connection.execute(sql, parameters)
        with closing(cursor):
            while True:
                with translated(self.path):
                    batch = cursor.fetchmany(size)
                if not batch:
                    return
                yield batch

    def joined(self, value: str, source: str, parameters: Parameters = ()) -> bytes:
        """The blobs that `value` is of the rows of `source`, one after the other, in the order in which these
        are read: that of their numbers for `table NOT INDEXED`, its own for a query in parentheses."""
        if self.value("PRAGMA encoding") != "UTF-8":  # there a blob is no text that keeps its bytes
            return b"".join(blob for (blob,) in self.rows(f"SELECT {value} FROM {source}", parameters))
        found: bytes | None = self.value(
            f"SELECT CAST(group_concat({value}, '') AS BLOB) FROM {source}", parameters
        )
        return found or b""

    def reader(self, sql: str, parameters: Parameters = ()) -> Callable[[int], list[tuple[Any, ...]]]:
        """The rows of a query, as many at a time as asked for; fewer at the end."""
        with translated(self.path):
            cursor = self._connection.execute(sql, parameters)

        def take(count: int) -> list[tuple[Any, ...]]:
            with translated(self.path):
                return cursor.fetchmany(count)

        return take

    @contextmanager
    def undecoded(self) -> Iterator[None]:
        """Inside, text comes as str where it is UTF-8 and as a str with escaped bytes
        (`surrogateescape`) where it is not. Slower; to name the rows that hold such text. May be nested."""
        with undecoded(self._connection):
            yield

    def described(self, sql: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        """All rows of a query about what the file has (names, definitions): an application's may be in any
        bytes, which come as in `undecoded`."""
        with self.undecoded():
            return self.rows(sql, parameters)

    def definition(self, kind: str, name: str) -> str | None:
        """The SQL of a table, index, trigger or view of the file, as `described`; None if it is not there."""
        found = self.described(self._queries["definition"], (kind, name))
        return found[0][0] if found else None

    def define(self, name: str, arguments: int, function: Callable[..., Any]) -> None:
        """Give SQL on this connection a function (or replace a built-in one, such as julianday)."""
        with translated(self.path):
            self._connection.create_function(name, arguments, function)

    @contextmanager
    def held_to(self, rule: Rule) -> Iterator[None]:
        """Inside, statements may do what the rule allows, within a bounded time; see `store.warden`."""
        self._connection.set_authorizer(rule)
        self._connection.set_progress_handler(no_longer_than(SECONDS), STEPS)
        try:
            yield
        finally:
            self._connection.set_progress_handler(None, 0)
            self._connection.set_authorizer(None)

    def triggers_on(self, table: str) -> Sequence[Trigger]:
        """The triggers of a table in the order of their making. Those of all tables are read together, and
        again only if something was made, altered or dropped since (a transaction may take that back: what it
        has altered is looked up for this table alone)."""
        version = self.value("PRAGMA schema_version")
        if self._triggers is None or self._triggers[0] != version:
            if self.in_transaction:
                return [Trigger(*row) for row in self.described(self._queries["triggers"], (table,))]
            self._triggers = version, Triggers(self.described, lambda name: None)
        return self._triggers[1].on(table)

    # Transactions -----------------------------------------------------------------------------------

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    @contextmanager
    def transaction(self) -> Iterator[Store]:
        """A write transaction: takes the write lock at once, commits at the end, rolls back on any
        error, also one of the commit itself (a foreign key that is still broken: StoreConstraint)."""
        with nullcontext() if self._wal is None else self._wal.turn():
            self.execute("BEGIN IMMEDIATE")
            self._writes = True
            try:
                self.check_standing()
                yield self
                left = self.standing() if self._is_watched else None
                self.execute("COMMIT")
                self._left = left
            finally:
                self._writes, self._known = False, None
                if self._connection.in_transaction:
                    self.execute("ROLLBACK")
        if self._wal is not None:
            self._wal.bound()

    @contextmanager
    def repeatable(self) -> Iterator[Store]:
        """A write transaction that does not wait for the disk, for what the hub would say again.

        After a loss of power the file may stand before it, never within it; everything committed later
        is lost with it, and every `transaction` before and after is on the disk when it returns.
        """
        self.execute("PRAGMA synchronous = NORMAL")
        try:
            with self.transaction():
                yield self
        finally:
            self.execute("PRAGMA synchronous = FULL")

    def defer_foreign_keys(self) -> None:
        """In this transaction no foreign key is looked at before its commit.

        Not asked for where all that are there wait for it by themselves: SQLite prepares every statement of
        the connection anew afterwards, which takes as long as a small sync."""
        if not all(_waits_for_commit(sql) for (sql,) in self.described(self._queries["references"])):
            self.execute("PRAGMA defer_foreign_keys = ON")

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Inside a transaction: what the block does is undone if it raises, and nothing else."""
        self.execute("SAVEPOINT _sync")
        try:
            yield
        except BaseException:
            self._known = None
            if self._connection.in_transaction:  # a disk that is full ends the transaction itself
                self.execute("ROLLBACK TO _sync")
                self.execute("RELEASE _sync")
            raise
        self.execute("RELEASE _sync")

    @contextmanager
    def read(self) -> Iterator[Store]:
        """A read transaction: everything inside is seen as of one instant; writers go on."""
        self.execute("BEGIN")
        try:
            yield self
        finally:
            if self._connection.in_transaction:
                self.execute("ROLLBACK")

    @contextmanager
    def aside(self) -> Iterator[Store]:
        """A read transaction that keeps what it writes into temporary tables. Takes no lock on the file."""
        self.execute("BEGIN")
        try:
            yield self
            self.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self.execute("ROLLBACK")

    @contextmanager
    def attached(self, path: str, name: str) -> Iterator[None]:
        """Inside the block the tables of another file go by `name`. Outside any transaction: `close` the
        other one's own store before, and begin transactions inside.

        What an interrupted block has left attached goes first.
        """
        if self.row("SELECT 1 FROM pragma_database_list WHERE name = ?", (name,)) is not None:
            self.execute(f"DETACH {quote(name)}")
        self.execute(f"ATTACH ? AS {quote(name)}", (os.path.abspath(path),))
        try:
            yield
        finally:
            self.execute(f"DETACH {quote(name)}")

    # Others at work ---------------------------------------------------------------------------------

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Inside, every write transaction looks whether the file still stands as this store left it, or found
        it at the beginning. StoreBusy, and nothing is written, if it does not.

        Whatever is done after a wait for the network is done within this: another process may have synced
        the file meanwhile, or put it back from a copy.
        """
        self._left = self.standing()
        self._is_watched = True
        try:
            yield
        finally:
            self._is_watched = False

    def standing(self) -> Standing | None:
        """How the file stands with the hub; None if it is no replica yet."""
        if self._left is None and not self.is_replica:
            return None
        row = self.row(self._queries["standing"])
        return None if row is None else Standing(*row)

    def check_standing(self) -> None:
        """Inside `watched`, after a wait: StoreBusy unless the file stands as it was left, and where
        it was."""
        if self._is_watched and (self.is_elsewhere or self.standing() != self._left):
            raise self.overtaken()

    def overtaken(self) -> StoreBusy:
        """What to raise where the file does not stand any more as it was left."""
        return StoreBusy(
            f"another process synced {self.path} meanwhile, or put it back from a copy",
            remedy="Nothing was done. Sync again.",
        )

    # Syncline's own tables --------------------------------------------------------------------------

    @property
    def is_replica(self) -> bool:
        """Whether Syncline's tables are in the file."""
        return self.row(self._queries["is_replica"]) is not None

    @property
    def is_filled(self) -> bool:
        """Whether the replica has been filled from the hub. It stays so while further tables are about to
        take part, also when that was cut off."""
        state = self.state()
        if state.hydrate is None:
            return state.schema is not None
        if state.schema is None or state.watermark is None:
            return False
        joining = json.loads(state.hydrate).get("joining", ())
        return any(n not in joining for n in self.numbers().values())

    def prepare(self, replica: str) -> None:
        """Create Syncline's tables for a new replica id unless they are there. Inside a transaction."""
        if self.is_replica:
            self.check()
            return
        self._script("layout.sql")
        self.execute(self._queries["first_checkpoint"])
        self.execute(self._queries["create_state"], (LAYOUT, replica))

    def check(self) -> None:
        """Raise StoreError unless the file is a replica of the layout that this version knows."""
        if not self.is_replica:
            raise StoreError(
                f"{self.path} is not a replica",
                code="not_a_replica",
                remedy="Make one with: syncline clone URL FILE, or: syncline track FILE TABLE --hub URL",
            )
        layout = self.layout()
        if layout is None:
            raise StoreError(f"{self.path} has lost its state", code="not_a_replica", remedy=PUT_BACK)
        if layout != LAYOUT:
            made = "was made by an earlier Syncline" if layout == UNCOUNTED else f"has layout {layout}"
            raise StoreError(
                f"{self.path} {made}, this Syncline knows layout {LAYOUT}",
                code="store_layout",
                remedy="Use the Syncline that wrote the file; or sync with that one, then clone with this.",
            )

    def layout(self) -> int | None:
        """The layout of Syncline's own tables in this file; None if it has lost its state."""
        if self.row(self._queries["has_layout"]) is None:
            return UNCOUNTED
        layout: int | None = self.value(self._queries["layout"])
        return layout

    def _script(self, name: str) -> None:
        for statement in read_sql(_PACKAGE, name).split(";\n"):
            if statement.strip():
                self.execute(statement)

    def state(self) -> State:
        """The replica's state as it is now. In a write transaction it is read once."""
        if self._known is not None:
            return self._known
        row = self.row(self._queries["state"])
        if row is None:
            raise StoreError(f"{self.path} has lost its state", code="not_a_replica", remedy=PUT_BACK)
        with legible(self.path, "the state"):
            state = state_of(row)
        if self._writes:
            self._known = state
        return state

    def set_state(self, **columns: Any) -> None:
        """Change some columns of the state; names as in `State`."""
        if not columns.keys() <= _STATE_COLUMNS:
            raise TypeError(f"not columns of the state: {sorted(columns.keys() - _STATE_COLUMNS)}")
        changes = ", ".join(f"{name} = :{name}" for name in columns)
        self._known = None
        self.execute(f"UPDATE _sync_state SET {changes} WHERE id = 1", columns)

    def numbers(self) -> dict[str, int]:
        """The numbers of the tracked tables, by name."""
        return dict(self.rows(self._queries["numbers"]))

    def number(self, number: int, table: str) -> None:
        """The table, which has this number at the hub, takes part from now on."""
        self.execute(self._queries["add_number"], (number, table))

    def forget_number(self, number: int) -> None:
        """The table takes part no longer."""
        self.execute(self._queries["remove_number"], (number,))

    def checkpoint(self) -> Checkpoint:
        """The latest checkpoint."""
        row = self.row(self._queries["latest_checkpoint"])
        if row is None:
            raise StoreDamaged(
                f"{self.path}: the state names a checkpoint that is not there", remedy=PUT_BACK
            )
        with legible(self.path, "a checkpoint"):
            return checkpoint_of(row)

    def advance(self, watermark: str, hlc: int, horizon: str | None = None) -> None:
        """Note what has been seen of the hub and the highest clock: edits from now on carry it. `horizon` is
        the newest position of which the file holds something; None: as it is.

        Moves the state's watermark and clock too; neither clock ever goes back. Checkpoints that no log
        entry names are removed in time. Inside the transaction that applies (the watermark last).
        """
        latest, state = self.checkpoint(), self.state()
        hlc = max(hlc, latest.hlc, state.hlc)
        seen = {"watermark": watermark, "hlc": hlc, "horizon": state.horizon if horizon is None else horizon}
        if (watermark, hlc) != (latest.watermark, latest.hlc):
            self.execute(self._queries["add_checkpoint"], (watermark, hlc))
            self.set_state(checkpoint=self.value(self._queries["newest_checkpoint"]), **seen)
            self._sweep_checkpoints()
        else:
            self.set_state(**seen)

    def logs(self) -> list[str]:
        """The change logs that exist, as SQL."""
        return [quote(name) for (name,) in self.rows(self._queries["logs"])]

    def check_logs(self, known: Collection[int]) -> None:
        """StoreDamaged if a change log has entries of a table that takes no part, whose number is not among
        these: they would not be sent, and nobody would hear of it."""
        for log in self.logs():
            number = log.strip('"').removeprefix("_sync_log_")
            is_stray = number.isdigit() and int(number) not in known
            if is_stray and self.row(f"SELECT 1 FROM {log} LIMIT 1") is not None:
                raise StoreDamaged(
                    f"{self.path}: _sync_table was altered: it has no number {number}, and there are pending"
                    f" edits of the table that had it, in {log}",
                    remedy=PUT_BACK,
                )

    def _sweep_checkpoints(self) -> None:
        if self.value(self._queries["count_checkpoints"]) < SPARE_CHECKPOINTS:
            return
        used = {self.state().checkpoint}
        used.update(number for (number,) in self.rows("SELECT DISTINCT since FROM _sync_held"))
        for log in self.logs():
            used.update(number for (number,) in self.rows(f"SELECT DISTINCT checkpoint FROM {log}"))
        listed = ", ".join(str(int(number)) for number in used)
        self.execute(f"DELETE FROM _sync_checkpoint WHERE id NOT IN ({listed})")

    def utc(self) -> str:
        """The present time as ISO 8601 in UTC."""
        now: str = self.value(self._queries["utc"])
        return now


def log_name(number: int) -> str:
    """The change log of the table with this number, as SQL."""
    return quote(f"_sync_log_{number}")
