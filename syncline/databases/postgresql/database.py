"""`PostgresDatabase`: the contract of `hub.contract` over a pool of connections."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import psycopg
from psycopg import IsolationLevel
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import InsufficientPrivilege, LockNotAvailable

from syncline.databases.base import Driver, Ledger, Pool
from syncline.databases.base.instant import Instants
from syncline.databases.base.inturn import PatientCatalogue
from syncline.databases.base.patient import PatientDatabase
from syncline.databases.postgresql.dialect import ledger_of
from syncline.databases.postgresql.errors import translating
from syncline.databases.postgresql.examine import examine, missing_rights, unfollowed
from syncline.databases.postgresql.holders import Holders
from syncline.databases.postgresql.layout import Layout
from syncline.databases.postgresql.log import PostgresLog
from syncline.databases.postgresql.position import SnapshotPosition, parse
from syncline.databases.postgresql.prepare import PostgresPreparation
from syncline.databases.postgresql.prune import settle_in
from syncline.databases.postgresql.read import RowReader
from syncline.databases.postgresql.reflect import reflect
from syncline.databases.postgresql.session import Connection, Session
from syncline.databases.postgresql.sql import qualified, queries
from syncline.databases.postgresql.types import is_wider
from syncline.databases.postgresql.watch import PostgresWatch
from syncline.databases.postgresql.write import RowWriter
from syncline.errors import ConfigurationError, Conflict, DatabaseError, DatabaseReadOnly
from syncline.hub.contract import NO_KEYS, Keys, Outdated, Tuning
from syncline.model.finding import Finding
from syncline.model.schema import Schema, TableSchema
from syncline.model.scope import UNBOUNDED

OLDEST_VERSION = 130000
"""`xid8` and `pg_snapshot` came with PostgreSQL 13."""

WAIT_SECONDS = 10.0
"""How long a request waits for a free connection."""

DDL_PATIENCE = 0.1
"""Seconds that `prepare` queues for one lock: so long others may wait behind it."""

DDL_SECONDS = 3.0
"""For how long `prepare` tries."""

HELD_SECONDS = 15.0
"""A transaction that has held rows for so long is a finding, unless pushes wait less for them."""

OURS = (
    "application_name=syncline connect_timeout=10"
    " keepalives_idle=30 keepalives_interval=10 keepalives_count=3 tcp_user_timeout=60000"
)
"""How a server is connected to, unless its address says otherwise. One that vanished without a word is
noticed within about a minute."""


Transactions = Callable[..., AbstractContextManager[Session]]


class PostgresCatalogue(PatientCatalogue[Layout]):
    """The contract's `Catalogue`, and what is kept in memory of it. `transaction` begins one."""

    look_seconds = 2.0
    patience = DDL_SECONDS
    fits = staticmethod(is_wider)

    def __init__(self, transaction: Transactions, tuning: Tuning) -> None:
        self._transaction, self._tuning = transaction, tuning
        self.cluster = ""
        """Where new connections lead to."""
        self.path = ""
        """Where names are looked for: as the role is set up, and where the operators of extensions are."""

    def arrived(self, cluster: str) -> None:
        """A new connection leads there (a failover changes that)."""
        if cluster != self.cluster:
            self.cluster, self.kept = cluster, None

    def reflect(self, tables: Sequence[str] | None, keys: Keys = NO_KEYS) -> Schema:
        """The user's tables, all that can take part or those named. SchemaError names what cannot."""
        with self._transaction(IsolationLevel.REPEATABLE_READ, read_only=True) as session:
            reflection = reflect(session, tables, keys)
            self.notes = (*reflection.notes, *unfollowed(session, reflection.schema))
            self.types = PostgresPreparation(session).known_types(reflection.types)
        return reflection.schema

    @contextmanager
    def looking(self) -> Iterator[PostgresPreparation]:
        with self._transaction(IsolationLevel.REPEATABLE_READ, read_only=True) as session:
            yield PostgresPreparation(session, self.types)

    @contextmanager
    def changing(self) -> Iterator[PostgresPreparation]:
        """Hubs wait for each other, then less than the second after which PostgreSQL looks for deadlocks for
        each table, so that no other program is the victim of one."""
        with self._transaction(IsolationLevel.READ_COMMITTED, read_only=False) as session:
            session.wait_for_locks(self._tuning.lock_timeout)
            try:
                session.script(queries("prepare.sql")["lock"])
            except LockNotAvailable as error:
                raise Conflict("another hub prepares the same database") from error
            session.wait_for_locks(min(DDL_PATIENCE, self._tuning.lock_timeout))
            yield PostgresPreparation(session, self.types)
        self.kept = None

    def named(self, table: TableSchema) -> str:
        return qualified(table.central_schema, table.central_name)

    @contextmanager
    def holders(self) -> Iterator[Holders]:
        with self._transaction(IsolationLevel.READ_COMMITTED, read_only=True) as session:
            yield Holders(session)

    def examine(self, schema: Schema) -> list[Finding]:
        """Whether what was prepared is still there, fires, and fits the tables."""
        with self._transaction(IsolationLevel.READ_COMMITTED, read_only=True) as session:
            preparation = PostgresPreparation(session, self.types)
            preparation.identity()
            plan = preparation.plan(schema)
            seconds = min(self._tuning.lock_timeout, HELD_SECONDS)
            held = Holders(session).examine(plan.schema or schema, seconds)
            return examine(session, schema, plan, self.notes) + held

    def signature(self, besides: Collection[str] = ()) -> str:
        """See `signature.sql`."""
        with self._transaction(IsolationLevel.READ_COMMITTED, read_only=True) as session:
            return str(session.value(queries("signature.sql")["signature"], list(besides)))

    def uncaptured(self) -> list[str]:
        """Tables that lack a trigger of ours, or have one that does not always fire."""
        with self._transaction(IsolationLevel.READ_COMMITTED, read_only=True) as session:
            PostgresPreparation(session).identity()
            return [name for (name,) in session.run(queries("prepare.sql")["uncaptured"])]

    def load(self) -> Schema:
        """The schema as last prepared, looked up anew. NotPrepared if there is none."""
        with self._transaction(IsolationLevel.REPEATABLE_READ, read_only=True) as session:
            known, path = PostgresPreparation(session).layout(), session.value(queries("read.sql")["path"])
            cluster, recorded = self.cluster, session.value(queries("retention.sql")["cluster"])
        if recorded != cluster:
            with self._transaction(IsolationLevel.READ_COMMITTED, read_only=False) as session:
                session.wait_for_locks(self._tuning.lock_timeout)
                settle_in(session, known, cluster)
        self.kept, self.path = known, path
        return known.schema


class PostgresDatabase(PatientDatabase[Session, PostgresLog, RowReader, RowWriter]):
    """A PostgreSQL central database. Safe to use from several threads."""

    forbidden = InsufficientPrivilege
    catalogue: PostgresCatalogue

    def __init__(self, url: str, tuning: Tuning | None = None) -> None:
        """Connect. Raises DatabaseUnavailable, DatabaseError for a server that is too old."""
        self._url, self._tuning = _conninfo(url), tuning or Tuning()
        self.catalogue = PostgresCatalogue(self._transaction, self._tuning)
        self.lock_timeout = self._tuning.lock_timeout
        asked = Connection.is_idle, Connection.is_quiet, Connection.answers
        self._pool = Pool(Driver(self._connect, *asked), self._tuning.pool, WAIT_SECONDS)
        self._instants = Instants(
            self._connect, lambda connection: Session(connection).value(queries("read.sql")["instant"])
        )
        with self._transaction(IsolationLevel.READ_COMMITTED, read_only=True):
            pass

    def _connect(self, url: str = "") -> Connection:
        given: dict[str, Any] = {**conninfo_to_dict(url or self._url), "client_encoding": "utf8"}
        connection = Connection.connect(make_conninfo(OURS, **given))
        try:
            self._meet(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _meet(self, connection: Connection) -> None:
        """Ready a connection; learn which cluster and timeline it leads to (a failover changes that)."""
        if connection.info.server_version < OLDEST_VERSION:
            raise DatabaseError(
                f"PostgreSQL {connection.info.server_version // 10000} is too old",
                code="database_too_old",
                remedy="Use PostgreSQL 13 or newer.",
            )
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise DatabaseError(
                f"the database has the encoding {encoding}, which cannot hold every text",
                code="database_encoding",
                remedy="Create it with ENCODING 'UTF8'.",
            )
        connection.ready(self._tuning.lock_timeout, self._tuning.statement_timeout)
        if Session(connection).value(queries("read.sql")["standby"]):
            raise DatabaseReadOnly("the central database is a standby, which takes no writes")
        self.catalogue.arrived(Session(connection).value(queries("read.sql")["cluster"]))

    def begun(self, *, writes: bool) -> AbstractContextManager[Session]:
        if writes:
            return self._transaction(IsolationLevel.READ_COMMITTED, read_only=False)
        return self._transaction(IsolationLevel.REPEATABLE_READ, read_only=False, marking=True)

    def revision(self, session: Session, *, writes: bool) -> object:
        sql = queries("prepare.sql")
        return session.values(*([sql["hold"]] if writes else []), sql["revision"])[-1]

    def ledger_over(self, session: Session) -> Ledger:
        return ledger_of(session)

    def reader(self, session: Session, known: Layout, ledger: Ledger) -> tuple[PostgresLog, RowReader]:
        return PostgresLog(session, known, self.catalogue.cluster, ledger), RowReader(session, known)

    def writer(self, session: Session, known: Layout, ledger: Ledger) -> tuple[PostgresLog, RowWriter]:
        log = PostgresLog(session, known, self.catalogue.cluster, ledger, writes=True)
        return log, RowWriter(session, known, self.lock_timeout)

    @contextmanager
    def recorded(self, *, read_only: bool) -> Iterator[PostgresPreparation]:
        with self._transaction(IsolationLevel.READ_COMMITTED, read_only=read_only) as session:
            yield PostgresPreparation(session)

    def position(self, token: str) -> SnapshotPosition:
        """Parse a position, be it of another cluster or timeline. ValueError if it is of another kind."""
        return parse(token)

    def hint(self) -> None:
        """Notify all who listen. A transaction of its own, which writes nothing (see `watch`) and does not
        wait for the disk."""
        with translating(), self._pool.connection() as connection:
            connection.execute(f"SET LOCAL synchronous_commit = off; {queries('write.sql')['hint']}")

    def instant(self) -> object:
        """By the snapshot and the start of the server, which a failover changes."""
        with translating():
            return self._instants.now()

    def watch(self) -> PostgresWatch:
        """Listen, on a connection outside the pool, if one can be had that leads to no pooler."""
        direct = _conninfo(self._tuning.direct) if self._tuning.direct else ""
        return PostgresWatch(lambda: self._connect(direct), self._newest)

    def _newest(self) -> object:
        """How far the log goes: a transaction that began long ago and commits now changes that too."""
        try:
            with self.read(UNBOUNDED) as reader:
                return reader.log.instant().now
        except Outdated:  # prepared anew: other than any position, so that whoever waits looks
            return None

    def close(self) -> None:
        """Close all connections."""
        self._instants.close()
        self._pool.close()

    def lacking(self) -> tuple[str, list[str]]:
        with translating(), self._pool.connection() as connection, connection.transaction():
            session = Session(connection)
            return ledger_of(session).session.role(), missing_rights(session, Schema(()))

    @contextmanager
    def _transaction(
        self, level: IsolationLevel, *, read_only: bool, marking: bool = False
    ) -> Iterator[Session]:
        with self.explaining(), translating(), self._pool.connection() as connection:
            connection.isolation_level = level
            # None: an operator may have forbidden writes
            connection.read_only = True if read_only else False if marking else None
            with connection.begun(self.catalogue.path, queries("read.sql")["cluster"]) as cluster:
                if cluster is not None and cluster != self.catalogue.cluster:
                    self.catalogue.arrived(cluster)
                    raise Conflict("the pooler leads to another server now")
                yield Session(connection)


def _conninfo(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.partition("+")[0] not in ("postgresql", "postgres"):
        raise ConfigurationError(f"{url.partition(':')[0]!r} is not the URL of a PostgreSQL database")
    conninfo = f"postgresql://{rest}"
    try:
        conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError as error:  # it quotes what it could not read, a password maybe
        said = re.sub(r'"[^"]*"', "...", str(error)).strip()
        raise ConfigurationError(f"the address of the PostgreSQL database cannot be read: {said}") from None
    return conninfo


def open_database(url: str, tuning: Tuning | None = None) -> PostgresDatabase:
    """Open a PostgreSQL database: postgresql://user@host:port/name."""
    return PostgresDatabase(url, tuning)
