"""`Hub`: the centre as one object. Answers requests; keeps nothing between them that matters."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from syncline.errors import (
    ConfigurationError,
    Conflict,
    DatabaseError,
    Malformed,
    NotPrepared,
    SchemaChanged,
    VersionUnsupported,
)
from syncline.hub import clients, watermark
from syncline.hub.accept import accept
from syncline.hub.clients import Listed
from syncline.hub.conflicts import note_of, resolve
from syncline.hub.database import (
    Client,
    Database,
    LogPage,
    Outdated,
    Position,
    Prepared,
    Tuning,
    Watch,
    WriteTransaction,
)
from syncline.hub.pull import chunk_groups, page_of
from syncline.hub.receive import Receiver, Undone
from syncline.hub.registry import open_database
from syncline.hub.retention import Pruned, Retention, foreseen, prune
from syncline.hub.uploads import Uploads
from syncline.hub.verify import verify
from syncline.merge.rules import Table, TableRules
from syncline.merge.rules import resolve as resolve_rules
from syncline.model.actor import ANYONE, Actor
from syncline.model.collector import resting
from syncline.model.finding import Finding
from syncline.model.schema import Schema, TableSchema, arrange, to_plain
from syncline.protocol import messages as m
from syncline.protocol.body import open_push, seal

logger = logging.getLogger("syncline.hub")
T = TypeVar("T")
ATTEMPTS = 12
PATIENCE_SECONDS = 40.0
"""After so long a transaction that keeps meeting others is given up: the device tries again, not the hub."""


LOOKS = (m.Snapshot, m.Verify, m.StateQuery, m.PushChunk, m.ForgetPush)
"""Requests of a replica whose record is not looked at anyway: a revoked one must get nothing (law L10)."""


class Hub:
    """The engine over one central database.

    `database` is a URL (`sqlite:///central.db`, `postgresql://user@host/name`) or an open adapter.
    `tables` maps table names to their rules; None makes every table that can take part do so, merged by
    the defaults. `clock_tolerance` is how far, in seconds, a replica's clock may run ahead before its
    stamps are clamped. `tuning` says how many connections a URL may use and how long they wait, `retention`
    how long the centre remembers. Safe to use from several threads.
    """

    def __init__(
        self,
        database: str | Database,
        tables: Mapping[str, Table] | None = None,
        *,
        clock_tolerance: float = 300.0,
        limits: m.Limits | None = None,
        tuning: Tuning | None = None,
        retention: Retention | None = None,
    ) -> None:
        self.database = open_database(database, tuning) if isinstance(database, str) else database
        self.limits = limits if limits is not None else m.Limits()
        self.retention = retention if retention is not None else Retention()
        self._tables = None if tables is None else dict(tables)
        self._tolerance = int(clock_tolerance * 1000)
        self._loaded: tuple[Schema, list[TableRules]] | None = None
        self._known_id: str | None = None
        self._handlers: dict[type, Callable[[Actor, Any], m.Response]] = {
            m.Register: self._register,
            m.SchemaQuery: self._describe,
            m.Pull: self._pull,
            m.Push: self._push,
            m.Snapshot: self._snapshot,
            m.Verify: self._verify,
            m.StateQuery: self._state,
            m.ConflictsQuery: self._list_conflicts,
            m.Resolve: self._resolve,
            **Uploads(self).handlers(),
        }

    def __enter__(self) -> Hub:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def init(self, *, dry_run: bool = False) -> Prepared:
        """Prepare the central database: Syncline's own tables and the capture triggers. Idempotent.

        Returns the SQL that was run, or with `dry_run` would be. Raises SchemaError naming every table
        that cannot take part, ConfigurationError for rules that do not fit.
        """
        names = None if self._tables is None else list(self._tables)
        schema = arrange(self.database.reflect(names).tables)
        self._with_rules(schema)
        prepared = self.database.prepare(schema, dry_run=dry_run)
        self._loaded = self._known_id = None
        return prepared

    def examine(self) -> list[Finding]:
        """What is wrong with the central database, or worth knowing. NotPrepared before `init`."""
        names = None if self._tables is None else list(self._tables)
        return self.database.examine(arrange(self.database.reflect(names).tables))

    def remove(self, *, dry_run: bool = False) -> Prepared:
        """The opposite of `init`: take everything of Syncline's out of the central database again."""
        removed = self.database.remove(dry_run=dry_run)
        self._loaded = self._known_id = None
        return removed

    @property
    def schema(self) -> Schema:
        """The tables as devices should have them. NotPrepared before `init`."""
        return self._load()[0]

    def ready(self) -> None:
        """Return if the database is reachable and prepared; otherwise raise the DatabaseError."""

        def look() -> None:
            self._load()
            with self.database.read():
                pass

        self._informed(look)

    def hints(self) -> Watch:
        """Listen for news in the central database, whichever process or program made it.

        `with closing(hub.hints()) as news: while True: if news.wait(30): ...`. A hint says that a pull is
        worth while, and no more; nothing relies on its coming."""
        return self.database.watch()

    def close(self) -> None:
        """Give back all connections."""
        self.database.close()

    def replicas(self) -> list[Listed]:
        """Every replica with its lag, the one that lags most first; without those forgotten."""
        self._load()
        return self._informed(lambda: clients.listing(self, self.retention.stale))

    def forget(self, replica: str) -> None:
        """Take a replica off the list; it holds nothing back any more. Should it come back, it goes on."""
        clients.forget(self, replica)

    def revoke(self, replica: str, *, undo: bool = False) -> None:
        """Lock a replica out, or let it in again."""
        clients.revoke(self, replica, revoked=not undo)

    def prune(self, *, dry_run: bool = False) -> Pruned:
        """Remove what the log need not keep, in bounded steps."""
        return foreseen(self, self.retention) if dry_run else prune(self, self.retention)

    def conflicts(self, *, open_only: bool = False) -> list[m.ConflictNote]:
        """The newest state of every kept conflict, oldest first."""
        with self.database.read() as transaction:
            return [note_of(row) for row in transaction.conflicts(None, open_only, 0, 1_000_000)]

    def resolve(self, number: int, take: str, value: Any = None) -> m.ConflictNote:
        """Decide conflict `number`: take `hub`, `sent`, `base`, or `value`."""
        if take not in ("hub", "sent", "base", "value"):
            raise ConfigurationError(f"take is hub, sent, base or value, not {take!r}", code="usage")
        return self._resolve(ANYONE, m.Resolve(number, take, value))  # type: ignore[arg-type]

    def handle(self, actor: Actor, request: m.Request) -> m.Response:
        """Answer one request of `actor`. Raises SynclineError; nothing has changed then."""
        if not m.OLDEST_VERSION <= request.version <= m.PROTOCOL_VERSION:
            raise VersionUnsupported(
                f"protocol version {request.version}; spoken are {m.OLDEST_VERSION} to {m.PROTOCOL_VERSION}"
            )
        with resting():
            return self._informed(lambda: self._answer(actor, request))

    def transact(self, work: Callable[[WriteTransaction], T]) -> T:
        """Run `work` in a write transaction of the central database, again when it met a concurrent one."""
        self._load()
        return self._informed(lambda: self._write(work))

    def _answer(self, actor: Actor, request: m.Request) -> m.Response:
        if isinstance(request, LOOKS):
            with self.database.read() as transaction:
                clients.admit(transaction.client(request.replica))
        return self._handlers[type(request)](actor, request)

    # What the hub knows of itself

    def _informed(self, work: Callable[[], T]) -> T:
        """Do it, again if it turned out that another process has prepared the database anew."""
        for _ in range(ATTEMPTS):
            try:
                return work()
            except Outdated as error:
                logger.info("looked up the schema again: %s", error.detail, extra={"action": "reload"})
                self._loaded = self._known_id = None
            except NotPrepared:
                self._loaded = self._known_id = None
                raise
        return work()

    def _still(self, schema: Schema) -> None:
        """Raise Outdated unless this is the schema that the open transaction works with."""
        loaded = self._loaded
        if loaded is None or loaded[0].fingerprint != schema.fingerprint:
            raise Outdated("another request has looked up the schema meanwhile")

    def _load(self) -> tuple[Schema, list[TableRules]]:
        if self._loaded is None:
            self._loaded = self._with_rules(self.database.load())
        return self._loaded

    @property
    def _id(self) -> str:
        """The hub's id, asked of the database once: a push may name thousands of watermarks."""
        if self._known_id is None:
            self._known_id = self.database.hub_id
        return self._known_id

    def _with_rules(self, schema: Schema) -> tuple[Schema, list[TableRules]]:
        """Resolve the rules and mark the columns that travel as increments."""
        chosen = self._tables or {}
        tables, rules = [], []
        for table in schema.tables:
            full = f"{table.central_schema}.{table.central_name}"
            resolved = resolve_rules(table, chosen.get(table.name) or chosen.get(full) or Table())
            tables.append(_with_increments(table, resolved))
            rules.append(resolved)
        return Schema(tuple(tables)), rules

    def _checked(self, fingerprint: str) -> tuple[Schema, list[TableRules]]:
        """The schema, if the sender has the same; looks again before it refuses."""
        loaded = self._load()
        if fingerprint != loaded[0].fingerprint:
            self._loaded = None
            loaded = self._load()
            if fingerprint != loaded[0].fingerprint:
                raise SchemaChanged("the replica's schema is not the hub's present one")
        return loaded

    def _position(self, token: str, replica: str | None) -> Position:
        return watermark.parse(token, self._id, replica, self.database.position)

    def _mint(self, position: Position, replica: str) -> str:
        return watermark.mint(position, self._id, replica)

    def _write(self, work: Callable[[WriteTransaction], T]) -> T:
        """Run a write transaction, again when it met a concurrent one."""
        end = time.monotonic() + PATIENCE_SECONDS
        for attempt in range(ATTEMPTS):
            try:
                with self.database.write() as transaction:
                    if attempt:
                        transaction.wait_longer(attempt)
                    return work(transaction)
            except Outdated:
                raise
            except Conflict:
                if attempt == ATTEMPTS - 1 or time.monotonic() > end:
                    raise
                time.sleep(random.uniform(0, 0.005 * 2 ** min(attempt, 6)))
        raise AssertionError("unreachable")

    # Requests

    def _register(self, actor: Actor, request: m.Register) -> m.Registered:
        if not request.replica or len(request.replica) > 100 or request.replica == "hub":
            raise Malformed("a replica id is 1 to 100 characters and not 'hub'")
        schema, _ = self._load()

        def work(transaction: WriteTransaction) -> tuple[Client, Position, int, Position]:
            client = transaction.lock_client(request.replica)
            clients.admit(client)
            client = clients.without_lost(transaction, client, self.database.position)
            position = given or transaction.now()
            known = clients.registered(
                client, request.replica, request.name, request.fingerprint or "", position.token()
            )
            transaction.save_client(known)
            return known, position, transaction.clock(), transaction.floor().position

        given = None
        if request.watermark is not None:
            given = self._position(request.watermark, request.previous)
        client, position, clock, floor = self._write(work)
        names = [table.name for table in schema.tables]
        logger.info("registered replica", extra={"action": "register", "replica": request.replica})
        return m.Registered(
            self._id,
            schema.fingerprint,
            actor.scope,
            names,
            self.limits,
            self._mint(position, request.replica),
            client.number,
            clock,
            self._mint(floor, request.replica),
        )

    def _describe(self, actor: Actor, request: m.SchemaQuery) -> m.SchemaAnswer:
        schema, _ = self._load()
        return m.SchemaAnswer(schema.fingerprint, to_plain(schema)["tables"])

    def _pull(self, actor: Actor, request: m.Pull) -> m.Changes:
        schema, _ = self._checked(request.schema)
        if request.limit < 1:
            raise Malformed("the limit of a pull is at least 1 row")
        after = self._position(request.after, request.replica)
        with self.database.read() as transaction:
            self._still(schema)
            limit = min(request.limit, self.limits.pull_rows)
            client = transaction.client(request.replica)
            clients.admit(client)
            page, groups = page_of(transaction, schema, after, request.replica, limit)
        if client is not None and clients.is_due(client, brought=bool(groups)):
            clients.note_pull(self._write, request.replica, after.token(), bool(groups))
        return self._changes(request.replica, after, page, groups)

    def _changes(self, replica: str, after: Position, page: LogPage, groups: list[m.Group]) -> m.Changes:
        if not groups and not page.more and page.end == after:
            return m.Changes()
        body, digest = seal(groups)
        return m.Changes(self._mint(page.end, replica), page.more, page.hlc, digest, Raw(body))

    def _push(self, actor: Actor, request: m.Push) -> m.Verdict:
        schema, rules = self._checked(request.schema)
        groups = open_push(request.groups, request.digest)
        bases = [self._position(token, None) for token in request.bases]
        parts = accept(groups, schema, len(bases), self.limits)
        receiver = Receiver(schema, rules, request, parts, bases, self._tolerance)
        return self._decided(actor, request, receiver)

    def _decided(self, actor: Actor, request: m.Push | m.CommitPush, receiver: Receiver) -> m.Verdict:
        """Do a push, small or large; with a pull, answer that too."""

        def work(transaction: WriteTransaction) -> m.Verdict:
            self._still(receiver.schema)
            verdict = receiver.receive(transaction)
            if verdict.wanted:
                raise Undone(verdict)
            return verdict

        try:
            verdict = self._write(work)
        except Undone as wanted:
            return wanted.verdict
        logger.info(
            "committed push",
            extra={"action": "push", "replica": request.replica, "number": request.number,
                   "rows": receiver.rows, "rejected": len(verdict.rejected),
                   "conflicts": len(verdict.conflicts), "repeat": verdict.repeat},
        )  # fmt: skip
        self._hint()
        if request.pull is None:
            return verdict
        return msgspec.structs.replace(verdict, changes=self._pull(actor, request.pull))

    def _foreseen(self, receiver: Receiver) -> m.Verdict:
        """The verdict on a push that is not done: the same transaction, rolled back."""

        def work(transaction: WriteTransaction) -> m.Verdict:
            self._still(receiver.schema)
            raise Undone(receiver.receive(transaction))

        try:
            return self._write(work)
        except Undone as undone:
            return undone.verdict

    def _hint(self) -> None:
        """Tell the others; what was committed stands, whether they hear it or not."""
        try:
            self.database.hint()
        except DatabaseError as error:
            logger.debug("nobody was told of news: %s", error.detail, extra={"action": "hint"})

    def _snapshot(self, actor: Actor, request: m.Snapshot) -> m.SnapshotPage:
        schema, _ = self._checked(request.schema)
        limit = max(1, min(request.limit, self.limits.pull_rows))
        hub, replica = self._id, request.replica
        with self.database.read() as transaction:
            self._still(schema)
            if request.cursor is None:
                start, table, after = transaction.now(), 0, None
                rows = transaction.estimate()
            else:
                start, table, after = watermark.parse_cursor(
                    request.cursor, hub, replica, self.database.position
                )
                rows = 0
            groups, table, after = chunk_groups(transaction, schema, table, after, limit)
        cursor = None
        if table < len(schema.tables):
            cursor = watermark.mint_cursor(start, table, after, hub, replica)
        body, digest = seal(groups)
        return m.SnapshotPage(self._mint(start, replica), cursor, rows, digest, Raw(body))

    def _verify(self, actor: Actor, request: m.Verify) -> m.Verified:
        schema, _ = self._checked(request.schema)
        after = self._position(request.after, request.replica)
        with self.database.read() as transaction:
            self._still(schema)
            page, groups = page_of(transaction, schema, after, request.replica, self.limits.pull_rows)
            changes = self._changes(request.replica, after, page, groups)
            if changes.more:
                return m.Verified(changes)
            return verify(transaction, schema, request, changes, self.limits.pull_rows)

    def _state(self, actor: Actor, request: m.StateQuery) -> m.StateAnswer:
        schema, _ = self._load()
        with self.database.read() as transaction:
            client = transaction.client(request.replica)
            position = transaction.now()
        known = client or Client(request.replica)
        return m.StateAnswer(
            self._id,
            request.replica,
            client is not None,
            known.number,
            known.last_push,
            known.last_pull,
            self._mint(position, request.replica),
            schema.fingerprint,
        )

    def _list_conflicts(self, actor: Actor, request: m.ConflictsQuery) -> m.ConflictsAnswer:
        limit = max(1, min(request.limit, 5000))
        with self.database.read() as transaction:
            rows = transaction.conflicts(request.replica, request.open_only, request.after, limit)
        return m.ConflictsAnswer([note_of(row) for row in rows])

    def _resolve(self, actor: Actor, request: m.Resolve) -> m.ConflictNote:
        schema, _ = self._load()

        def work(transaction: WriteTransaction) -> m.ConflictNote:
            self._still(schema)
            return resolve(transaction, schema, request)

        note = self._write(work)
        self._hint()
        return note


def _with_increments(table: TableSchema, rules: TableRules) -> TableSchema:
    """The table with its `sum` columns marked as travelling by increment."""
    increments = {
        column.name for column, policy in zip(table.values, rules.columns, strict=True) if policy == "sum"
    }
    columns = tuple(replace(column, increment=column.name in increments) for column in table.columns)
    return replace(table, columns=columns)
