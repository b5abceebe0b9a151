"""`PostgresDatabase`: the contract of `hub.database` over a pool of connections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any

import psycopg
from psycopg import IsolationLevel
from psycopg_pool import ConnectionPool

from syncline.databases.postgresql import prepare as preparing
from syncline.databases.postgresql.errors import translating
from syncline.databases.postgresql.layout import Layout
from syncline.databases.postgresql.position import SnapshotPosition, parse
from syncline.databases.postgresql.read import Reader
from syncline.databases.postgresql.reflect import reflect
from syncline.databases.postgresql.session import Connection, Session, configure
from syncline.databases.postgresql.sql import queries
from syncline.databases.postgresql.write import Writer
from syncline.errors import ConfigurationError, DatabaseError
from syncline.hub.database import Prepared
from syncline.model.schema import Schema

OLDEST_VERSION = 130000
"""`xid8` and `pg_snapshot` came with PostgreSQL 13."""

POOL = 10
WAIT_SECONDS = 10.0


class PostgresDatabase:
    """A PostgreSQL central database. Safe to use from several threads."""

    def __init__(self, url: str) -> None:
        """Connect. Raises DatabaseUnavailable, DatabaseError for a server that is too old."""
        self._url = _conninfo(url)
        self._lock = Lock()
        self._prepared: tuple[str, Layout] | None = None
        self._notes: tuple[str, ...] = ()
        self._cluster = ""
        with translating():
            with psycopg.connect(self._url, connect_timeout=10) as connection:
                self._meet(connection)
            self._pool: ConnectionPool[Connection] = ConnectionPool(
                self._url,
                min_size=0,
                max_size=POOL,
                configure=self._meet,
                check=ConnectionPool.check_connection,
                timeout=WAIT_SECONDS,
                open=True,
                name="syncline",
            )

    def _meet(self, connection: psycopg.Connection[Any]) -> None:
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
        configure(connection)
        self._cluster = Session(connection).value(queries("read.sql")["cluster"])

    @property
    def hub_id(self) -> str:
        """A uuid made at the first `prepare`. NotPrepared before."""
        return self._loaded()[0]

    def reflect(self, tables: Sequence[str] | None) -> Schema:
        """The user's tables, all that can take part or those named. SchemaError names what cannot."""
        with self._transaction(IsolationLevel.REPEATABLE_READ, read_only=True) as session:
            reflection = reflect(session, tables)
        self._notes = reflection.notes
        return reflection.schema

    def prepare(self, schema: Schema, *, dry_run: bool = False) -> Prepared:
        """Create Syncline's schema and the capture triggers. Idempotent; alters no table of the user's."""
        with self._transaction(IsolationLevel.READ_COMMITTED, read_only=False) as session:
            prepared = preparing.prepare(session, schema, dry_run=dry_run)
        prepared.notes.extend(self._notes)
        self._prepared = None
        return prepared

    def remove(self) -> list[str]:
        """The opposite of `prepare`: drop the triggers and the schema `syncline`. Idempotent."""
        with self._transaction(IsolationLevel.READ_COMMITTED, read_only=False) as session:
            statements = preparing.remove(session)
        self._prepared = None
        return statements

    def load(self) -> Schema:
        """The schema as last prepared, looked up anew. NotPrepared if there is none."""
        with self._transaction(IsolationLevel.REPEATABLE_READ, read_only=True) as session:
            prepared = preparing.load(session)
        with self._lock:
            known = self._prepared
            if known is None or known[0] != prepared[0] or known[1].schema != prepared[1].schema:
                self._prepared = prepared
            return self._prepared[1].schema  # type: ignore[index]

    @contextmanager
    def read(self) -> Iterator[Reader]:
        """A transaction that sees one instant."""
        layout = self._loaded()[1]
        with self._transaction(IsolationLevel.REPEATABLE_READ, read_only=True) as session:
            yield Reader(session, layout, self._cluster)

    @contextmanager
    def write(self) -> Iterator[Writer]:
        """A transaction that commits on success; every statement sees what was committed before it."""
        layout = self._loaded()[1]
        with self._transaction(IsolationLevel.READ_COMMITTED, read_only=False) as session:
            yield Writer(session, layout, self._cluster)

    def position(self, token: str) -> SnapshotPosition:
        """Parse a position. ValueError if it is of another kind, cluster or timeline."""
        return parse(token, self._cluster)

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def _loaded(self) -> tuple[str, Layout]:
        if self._prepared is None:
            self.load()
        assert self._prepared is not None
        return self._prepared

    @contextmanager
    def _transaction(self, level: IsolationLevel, *, read_only: bool) -> Iterator[Session]:
        with translating(), self._pool.connection() as connection:
            connection.isolation_level = level
            connection.read_only = read_only
            with connection.transaction():
                yield Session(connection)


def _conninfo(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.partition("+")[0] not in ("postgresql", "postgres"):
        raise ConfigurationError(f"{url.partition(':')[0]!r} is not the URL of a PostgreSQL database")
    return f"postgresql://{rest}"


def open_database(url: str) -> PostgresDatabase:
    """Open a PostgreSQL database: postgresql://user@host:port/name."""
    return PostgresDatabase(url)
