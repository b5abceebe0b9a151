"""The contract `hub.contract.Database` over SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from syncline.databases.base import Ledger, ReadTransaction, WriteTransaction, only_unbounded, ordered
from syncline.databases.base.instant import Instants
from syncline.databases.sqlite import careful, prepare, reflect, remove
from syncline.databases.sqlite.connections import Clock, Connections, path_of
from syncline.databases.sqlite.dialect import SqliteLedgerSession
from syncline.databases.sqlite.errors import mapped
from syncline.databases.sqlite.layout import Layout
from syncline.databases.sqlite.log import SqliteLog
from syncline.databases.sqlite.read import RowReader
from syncline.databases.sqlite.retention import newest
from syncline.databases.sqlite.undone import Undone
from syncline.databases.sqlite.watch import Bell, SqliteWatch, data_version
from syncline.databases.sqlite.write import RowWriter
from syncline.errors import ConfigurationError
from syncline.hub.contract import NO_KEYS, Declared, Keys, Outdated, Position, Prepared, Renaming, Tuning
from syncline.model.finding import Finding
from syncline.model.schema import ColumnSchema, Schema
from syncline.model.scope import Scope
from syncline.sqlitekit.tables import affinity_of

DROP_COLUMN = (
    "To drop a column, drop the triggers _sync_hub_<n>_... of its table in the same transaction; then run:"
    " syncline init syncline.toml"
)

AGAIN = "Run: syncline init syncline.toml; then syncline verify FILE --repair on each device."


def open_database(
    url: str,
    *,
    clock: Clock | None = None,
    connections: int = 8,
    timeout: float = 10.0,
    tuning: Tuning | None = None,
) -> SqliteDatabase:
    """Open sqlite:///relative.db, sqlite:////absolute.db or sqlite:///:memory: (private to this object).

    `clock` gives the milliseconds since 1970 UTC in place of SQLite's own, for simulations: it stands
    in for julianday() on this object's connections. `timeout`: seconds to wait for another program's
    write lock. `tuning` stands in for `connections` and `timeout`. Nothing is opened before the first use.
    """
    if tuning is not None:
        connections, timeout = tuning.pool, tuning.lock_timeout
        if tuning.statement_timeout:
            raise ConfigurationError("SQLite knows no statement timeout", remedy="Take it out of [hub].")
    return SqliteDatabase(Connections(path_of(url), connections, timeout, clock))


class SqliteCatalogue:
    """The contract's `Catalogue` over a SQLite file, and what is kept in memory of it."""

    look_seconds = 0.0

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._layout: Layout | None = None

    @property
    def hub_id(self) -> str:
        """The uuid made at the first `prepare`; NotPrepared if there is none."""
        with self._connections.asking() as connection:
            return prepare.identity(connection)[0]

    def reflect(self, tables: Sequence[str] | None, keys: Keys = NO_KEYS) -> Schema:
        with self._connections.asking() as connection:
            return reflect.reflect(connection, tables, keys, prepare.kept_keys(connection))

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
        with self._connections.writing(dry_run=dry_run) as connection:
            done = prepare.prepare(connection, schema, before, anew)
        self._layout = None
        done.statements[:0] = journal
        return done

    def remove(self, *, dry_run: bool = False) -> Prepared:
        """As the contract says. The file stays in WAL mode."""
        with self._connections.writing(dry_run=dry_run) as connection:
            done = remove.remove(connection)
        self._layout = None
        return done

    def _to_wal(self, *, dry_run: bool) -> list[str]:
        statement = "PRAGMA journal_mode = WAL"
        with self._connections.queue(), self._connections.asking() as connection:
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
            if self._connections.memory or mode == "wal":
                return []
            if not dry_run:
                connection.execute(statement)
        return [statement]

    def examine(self, schema: Schema) -> list[Finding]:
        """As the contract says; and rows without a key."""
        with self._connections.asking() as connection:
            prepare.identity(connection)
            (state,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        found = [Finding("fact", "version", f"SQLite {sqlite3.sqlite_version}")]
        found.append(Finding("fact", "tables", f"tables that take part: {len(schema.tables)}"))
        found.append(Finding("fact", "columns_held", "SQLite drops no column that is captured", DROP_COLUMN))
        if state != "ok":
            found.append(Finding("trouble", "damaged", f"the file is damaged: {state}", "Restore a backup."))
        planned = self.prepare(schema, dry_run=True)
        for note in planned.amiss:
            sentence = f"the tables are not as init left them; run again, it would say: {note}"
            found.append(Finding("trouble", "not_current", sentence, AGAIN))
        keyless = [note for note in planned.notes if note.endswith(prepare.KEYLESS)]
        return found + [Finding("warning", "key_null", note) for note in keyless]

    def renamed(self) -> Renaming | None:
        """SQLite writes the new names into the triggers itself."""
        with self._connections.asking() as connection:
            return prepare.renamed(connection)

    def version(self, fingerprint: str) -> Schema | None:
        with self._connections.asking() as connection:
            prepare.identity(connection)
            return Ledger(SqliteLedgerSession(connection)).version(fingerprint)

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
        _, fingerprint = prepare.identity(connection)
        (version,) = connection.execute("PRAGMA schema_version").fetchone()
        known = self._layout
        if known is not None and known.version == version:
            return known
        if known is not None and known.schema.fingerprint != fingerprint:
            self._layout = None
            raise Outdated("the central database was prepared anew by another process")
        return self._loaded(connection)

    def _loaded(self, connection: sqlite3.Connection) -> Layout:
        layout = prepare.load_layout(connection)
        prepare.check_capture(connection, layout)
        self._layout = layout
        return layout


class SqliteDatabase:
    """A SQLite file (or memory) as central database. Safe to use from several threads."""

    lock_timeout = 0.0
    """There are no locks of rows: who writes has the file."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self.catalogue = SqliteCatalogue(connections)
        self._bell = Bell()
        self._instants = Instants(connections.open, data_version)
        self._undone = Undone()

    @contextmanager
    def write(self, scope: Scope) -> Iterator[WriteTransaction[SqliteLog, RowWriter]]:
        """The write lock is held from the first statement, so nothing can interleave."""
        scope = only_unbounded(scope)
        with self._connections.writing() as connection:
            connection.execute("PRAGMA defer_foreign_keys = ON")
            layout = self.catalogue.current(connection)
            for shape in layout.shapes.values():
                if careful.outrun(connection, shape):
                    careful.renew_order(connection, shape)
            ledger = Ledger(SqliteLedgerSession(connection))
            rows = RowWriter(connection, layout, self._undone)
            log = SqliteLog(rows, ledger, newest(connection))
            yield WriteTransaction(log, rows, ledger, scope)
            rows.unstage()
            self._undone.forget()

    @contextmanager
    def read(self, scope: Scope) -> Iterator[ReadTransaction[SqliteLog, RowReader]]:
        """One snapshot."""
        scope = only_unbounded(scope)
        with self._connections.reading() as connection:
            layout, ledger = self.catalogue.current(connection), Ledger(SqliteLedgerSession(connection))
            rows = RowReader(connection, layout)
            yield ReadTransaction(SqliteLog(rows, ledger), rows, ledger, scope)

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """Syncline's own tables alone, with the write lock."""
        with self._connections.writing() as connection:
            prepare.identity(connection)
            yield Ledger(SqliteLedgerSession(connection))

    def position(self, token: str) -> Position:
        return ordered.parse(token)

    @contextmanager
    def outside(self) -> Iterator[sqlite3.Connection]:
        """A connection as any other program would have, in autocommit; for tests and simulations.

        In memory it is the only connection there is, borrowed: do not open transactions meanwhile.
        """
        if self._connections.memory:
            with self._connections.borrow() as connection:
                yield connection
        else:
            connection = self._connections.open()
            try:
                yield connection
            finally:
                connection.close()

    def hint(self) -> None:
        self._bell.ring()

    def instant(self) -> object:
        """By `PRAGMA data_version`; in memory, where there is one connection, no two are equal."""
        if self._connections.memory:
            return object()
        with mapped(self._connections.path):
            return self._instants.now()

    def watch(self) -> SqliteWatch:
        """Other processes are noticed by their commits, ten times a second, not by their hints."""
        memory = self._connections.memory
        return SqliteWatch(self._connections.path, self._bell, None if memory else self._connections.open)

    def close(self) -> None:
        self._instants.close()
        self._connections.close()
