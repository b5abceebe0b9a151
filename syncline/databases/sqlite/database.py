"""The contract `hub.contract.Database` over SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from syncline.databases.base import ReadTransaction, WriteTransaction, only_unbounded, ordered
from syncline.databases.base.findings import examined, left_out
from syncline.databases.base.instant import Instants
from syncline.databases.base.logtable import newest
from syncline.databases.base.recorded import BaseCatalogue, BaseDatabase
from syncline.databases.base.watch import Bell, BellWatch
from syncline.databases.sqlite import capture, careful, prepare, reflect, remove
from syncline.databases.sqlite.connections import Clock, Connections, data_version, path_of
from syncline.databases.sqlite.dialect import ledger_of
from syncline.databases.sqlite.errors import mapped
from syncline.databases.sqlite.layout import Layout
from syncline.databases.sqlite.log import SqliteLog
from syncline.databases.sqlite.prepare import SqlitePreparation
from syncline.databases.sqlite.read import RowReader
from syncline.databases.sqlite.undone import Undone
from syncline.databases.sqlite.write import RowWriter
from syncline.errors import ConfigurationError
from syncline.hub.contract import NO_KEYS, Declared, Keys, Position, Prepared, Tuning
from syncline.model.finding import Finding
from syncline.model.schema import ColumnSchema, Schema
from syncline.model.scope import Scope
from syncline.sqlitekit.tables import affinity_of

DROP_COLUMN = (
    "If something of its table was renamed since, run first: syncline init syncline.toml (triggers tell it)."
    " To drop a column, drop the triggers _sync_hub_<n>_... of its table in the same transaction; then run:"
    " syncline init syncline.toml"
)


LOOK_SECONDS = 0.1
"""How often another process's commit is looked for. `PRAGMA data_version` reads one page at most."""


def open_database(url: str, tuning: Tuning | None = None, clock: Clock | None = None) -> SqliteDatabase:
    """Open sqlite:///relative.db, sqlite:////absolute.db or sqlite:///:memory: (private to this object).

    `clock` gives the milliseconds since 1970 UTC in place of SQLite's own, for simulations: it stands in for
    julianday() on this object's connections. What another program holds is its write lock: that is waited for
    as `tuning` says of locks. Nothing is opened before the first use.
    """
    tuning = tuning or Tuning()
    if tuning.statement_timeout:
        raise ConfigurationError("SQLite knows no statement timeout", remedy="Take it out of [hub].")
    return SqliteDatabase(Connections(path_of(url), tuning.pool, tuning.lock_timeout, clock))


class SqliteCatalogue(BaseCatalogue[Layout, SqlitePreparation]):
    """The contract's `Catalogue` over a SQLite file, and what is kept in memory of it."""

    look_seconds = 0.0

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    @contextmanager
    def looking(self) -> Iterator[SqlitePreparation]:
        with self._connections.asking() as connection:
            yield SqlitePreparation(connection)

    def reflect(self, tables: Sequence[str] | None, keys: Keys = NO_KEYS) -> Schema:
        with self._connections.asking() as connection:
            found = reflect.reflect(connection, tables, keys, prepare.kept_keys(connection))
        self.notes = found.notes
        return found.schema

    def prepare(
        self,
        schema: Schema,
        *,
        before: Declared | None = None,
        dry_run: bool = False,
        anew: Collection[int] = (),
    ) -> Prepared:
        """Besides the contract: switches the file to WAL, where readers and the writer do not wait."""
        journal = self._to_wal(dry_run=dry_run)
        done = self._nothing_to_do(schema, before, anew) if dry_run else None
        if done is None:
            with self._connections.writing(dry_run=dry_run) as connection:
                done = prepare.prepare(connection, schema, before, anew)
        self.kept = None
        done.statements[:0] = journal
        done.notes.extend(self.notes)
        return done

    def _nothing_to_do(
        self, schema: Schema, before: Declared | None, anew: Collection[int]
    ) -> Prepared | None:
        """What `prepare` does where it writes nothing, found without the write lock; None where it writes."""
        with self._connections.reading() as connection:
            connection.execute("PRAGMA query_only = ON")
            try:
                return prepare.prepare(connection, schema, before, anew)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_READONLY:
                    raise
                return None
            finally:
                connection.execute("PRAGMA query_only = OFF")

    def remove(self, *, dry_run: bool = False) -> Prepared:
        """As the contract says. The file stays in WAL mode."""
        with self._connections.writing(dry_run=dry_run) as connection:
            done = remove.remove(connection)
        self.kept = None
        return done

    def _to_wal(self, *, dry_run: bool) -> list[str]:
        statement = "PRAGMA journal_mode = WAL"
        with self._connections.asking() as connection:
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        if self._connections.memory or mode == "wal":
            return []
        if not dry_run:
            with self._connections.queue(), self._connections.asking() as connection:
                connection.execute(statement)
        return [statement]

    def examine(self, schema: Schema) -> list[Finding]:
        """As the contract says; and rows without a key."""
        with self._connections.asking() as connection:
            SqlitePreparation(connection).identity()
            (state,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        planned = self.prepare(schema, dry_run=True)
        found = [*examined(f"SQLite {sqlite3.sqlite_version}", schema, planned), *left_out(self.notes)]
        found.append(Finding("fact", "columns_held", "SQLite drops no column that is captured", DROP_COLUMN))
        if state != "ok":
            found.append(Finding("trouble", "damaged", f"the file is damaged: {state}", "Restore a backup."))
        keyless = [note for note in planned.notes if note.endswith(prepare.KEYLESS)]
        return found + [Finding("warning", "key_null", note) for note in keyless]

    def signature(self, besides: Collection[str] = ()) -> str:
        """SQLite counts every change of the schema itself. One that another process makes while it renews
        the order of triggers counts too: it is looked at for nothing."""
        with self._connections.asking() as connection:
            (version,) = connection.execute("PRAGMA schema_version").fetchone()
        return str(version)

    def uncaptured(self) -> list[str]:
        """None: whoever may write to the file can make triggers again, see `signature`."""
        return []

    def is_wider(self, before: ColumnSchema, after: ColumnSchema) -> bool:
        """SQLite stores what it is given, whatever the declared type, as far as the affinity lets it."""
        any_kept = before.declared.upper() != "ANY" or after.declared.upper() == "ANY"
        return any_kept and affinity_of(before.declared) == affinity_of(after.declared)

    def load(self) -> Schema:
        with self._connections.asking() as connection:
            return self._loaded(connection).schema

    def current(self, connection: sqlite3.Connection) -> Layout:
        """The layout, read again if any program changed a table since; this first read takes the snapshot."""
        (version,) = connection.execute("PRAGMA schema_version").fetchone()
        known = self.kept
        if known is not None and known.version == version:
            return known
        _, fingerprint = SqlitePreparation(connection).identity()
        if known is not None:
            self.verify(known, fingerprint)
        return self._loaded(connection)

    def _loaded(self, connection: sqlite3.Connection) -> Layout:
        found = capture.triggers_of(connection)
        layout = prepare.load_layout(connection, found)
        prepare.check_capture(found, layout)
        self.kept = layout
        return layout


class SqliteDatabase(BaseDatabase):
    """A SQLite file (or memory) as central database. Safe to use from several threads."""

    lock_timeout = 0.0
    """There are no locks of rows: who writes has the file."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections
        self.catalogue = SqliteCatalogue(connections)
        self._bell = Bell()
        self._instants = Instants(connections.open, data_version)
        self._undone = Undone()

    @contextmanager
    def write(self, scope: Scope) -> Iterator[WriteTransaction[SqliteLog, RowWriter]]:
        """The write lock is held from the first statement, so nothing can interleave."""
        scope = only_unbounded(scope)
        with self.connections.writing() as connection:
            layout = self.catalogue.current(connection)
            if layout.refers:  # not for nothing: SQLite prepares every statement anew afterwards
                connection.execute("PRAGMA defer_foreign_keys = ON")
            for triggers in layout.outrun:
                careful.renew_order(connection, triggers)
            ledger = ledger_of(connection)
            rows = RowWriter(connection, layout, self._undone)
            log = SqliteLog(rows, ledger, newest(ledger.session))
            yield WriteTransaction(log, rows, ledger, scope)
            rows.unstage()
            self._undone.commit(connection)

    @contextmanager
    def read(self, scope: Scope) -> Iterator[ReadTransaction[SqliteLog, RowReader]]:
        """One snapshot."""
        scope = only_unbounded(scope)
        with self.connections.reading() as connection:
            layout, ledger = self.catalogue.current(connection), ledger_of(connection)
            rows = RowReader(connection, layout)
            yield ReadTransaction(SqliteLog(rows, ledger), rows, ledger, scope)

    @contextmanager
    def recorded(self, *, read_only: bool) -> Iterator[SqlitePreparation]:
        with self.connections.reading() if read_only else self.connections.writing() as connection:
            yield SqlitePreparation(connection)

    def position(self, token: str) -> Position:
        return ordered.parse(token)

    def hint(self) -> None:
        self._bell.ring()

    def instant(self) -> object:
        """By `PRAGMA data_version`; in memory, where there is one connection, no two are equal."""
        if self.connections.memory:
            return object()
        with mapped(self.connections.path):
            return self._instants.now()

    def watch(self) -> BellWatch[sqlite3.Connection]:
        """Other processes are noticed by their commits, ten times a second, not by their hints."""
        connect = None if self.connections.memory else self.connections.open
        return BellWatch(self._bell, connect, self._newest, LOOK_SECONDS)

    def _newest(self, connection: sqlite3.Connection) -> int:
        with mapped(self.connections.path):
            return data_version(connection)

    def close(self) -> None:
        self._instants.close()
        self.connections.close()
