"""What the hub answers: one method a request. Large pushes have a module of their own, `hub.uploads`."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

import msgspec
from msgspec import Raw

from syncline.errors import Malformed, SynclineError, WatermarkRefused
from syncline.hub import clients, ids, watermark
from syncline.hub.accept import accept
from syncline.hub.clocks import sane
from syncline.hub.compared import Compared, compared_with
from syncline.hub.conflicts import note_of
from syncline.hub.conflicts import resolve as resolve_conflict
from syncline.hub.contract import Client, Key, LogPage, Position, ReadTransaction, WriteTransaction
from syncline.hub.gate import Caller, Handlers
from syncline.hub.identity import (
    Told,
    check_file,
    check_horizon,
    memory_of,
    noted,
    reconcile,
    since,
    sought,
)
from syncline.hub.knowledge import Knowledge
from syncline.hub.lineages import lineages_of
from syncline.hub.pull import chunk_groups, page_of, table_groups
from syncline.hub.quotas import Quotas, Turns, check_registration, check_told
from syncline.hub.receive import Receiver, Undone
from syncline.hub.verify import verify as compare
from syncline.hub.watermark import Cursor, Watermark
from syncline.model.clock import milliseconds
from syncline.model.schema import to_plain
from syncline.model.scope import Scope
from syncline.protocol import messages as m
from syncline.protocol.body import open_push, seal

logger = logging.getLogger("syncline.hub")


class Requests:
    """The handlers of the everyday requests. Each raises SynclineError, and has changed nothing then."""

    def __init__(self, central: Knowledge, quotas: Quotas) -> None:
        self._central, self._quotas, self._turns = central, quotas, Turns(quotas)

    def handlers(self) -> Handlers:
        return {
            m.Register: self.register,
            m.Reconcile: self.reconcile,
            m.SchemaQuery: self.describe,
            m.Pull: self.pull,
            m.Push: self.push,
            m.Snapshot: self.snapshot,
            m.Verify: self.verify,
            m.Spell: self.spell,
            m.StateQuery: self.state,
            m.ConflictsQuery: self.list_conflicts,
            m.Resolve: self.resolve,
        }

    def register(self, caller: Caller, request: m.Register) -> m.Registered:
        ids.check_new(request.replica, caller.actor)
        ids.check_former([request.previous or "", request.root])
        schema, _ = self._central.known()

        def work(
            transaction: WriteTransaction, client: Client | None
        ) -> tuple[Client, Scope, int, list[Position]]:
            self._central.still_ruled(transaction.ledger)
            if client is None:
                check_registration(transaction.ledger, caller.actor.owner, self._quotas)
            client = clients.without_lost(transaction, client, self._central.position)
            position = given.within(transaction.scope) if given else transaction.log.now()
            asked = clients.with_own_root(transaction.ledger, caller.actor, request)
            known = clients.registered(client, caller.actor, asked, position.token())
            transaction.ledger.save_client(known)
            places = [position, transaction.log.proved(transaction.log.floor().position)]
            clock = self._sane(transaction, transaction.ledger.clock())
            return known, transaction.scope, clock, places

        given = None
        if request.watermark is not None:
            given = self._central.watermark(request.watermark, request.previous)
        client, scope, clock, places = caller.write(work)
        first, floor = (self._central.mint(place, scope, request.replica) for place in places)
        names = [table.name for table in schema.tables]
        logger.info("registered replica", extra={"action": "register", "replica": request.replica})
        return m.Registered(
            self._central.id,
            schema.fingerprint,
            scope.fingerprint,
            names,
            self._central.told(schema),
            first,
            client.number,
            clock,
            floor,
        )

    def reconcile(self, caller: Caller, request: m.Reconcile) -> m.Reconciled:
        ids.check_new(request.replica, caller.actor)
        ids.check_former([request.previous, *request.former])
        if request.replica == request.previous:
            raise Malformed("a file takes a new id of its own")
        memory = memory_of(self._central.limits)
        horizons = [self._readable(token) for token in request.horizons]
        seen = list(self._marks(request.seen))
        newest = self._newest(request.seen[0]) if request.seen else None
        with caller.read() as (reading, _):
            before = sought(reading, caller.actor, request)
        # not within the transaction: these are asked for on a connection of their own
        hub, key = self._central.id, self._central.key

        def work(transaction: WriteTransaction, fresh: Client | None) -> m.Reconciled:
            made = reconcile(transaction, caller.actor, request, horizons, before, fresh)
            if fresh is None and made.replica == request.replica:
                check_registration(transaction.ledger, caller.actor.owner, self._quotas, made=1)
            check_told(transaction.ledger, *made.told, self._quotas)
            known_from = since(transaction.ledger, memory)
            given = transaction.ledger.all_given() if request.schemas else frozenset()
            unknown = [name for name in dict.fromkeys(request.schemas) if name not in given]
            place = made.replica, made.taken, made.push
            forgotten = request.previous, request.push + made.taken
            conflicts = noted(transaction, caller.actor, made.found, forgotten)
            now = Watermark(transaction.log.now(), transaction.scope.fingerprint)
            sound = _soundest(transaction, seen)
            return m.Reconciled(
                hub,
                *place,
                done=b"".join(made.found.done),
                rejected=made.found.rejected,
                lost=made.lost,
                since=known_from,
                unknown=unknown,
                conflicts=conflicts,
                seen="" if sound is None else watermark.mint(sound, key, made.replica),
                horizon=watermark.mint(now, key, made.replica),
                pruned=made.pruned,
                decided=made.found.first,
                now=transaction.ledger.milliseconds(),
                gone_back=newest is not None and transaction.log.standings([newest]) == ["restored"],
                seal=made.seal if made.taken else "",
            )

        answer = caller.write(work)
        logger.info(
            "reconciled replica",
            extra={"action": "reconcile", "replica": request.previous, "new": answer.replica,
                   "done": len(answer.done) // m.STAMP_BYTES, "lost": len(answer.lost)},
        )  # fmt: skip
        return answer

    def _sane(self, transaction: ReadTransaction, hlc: int) -> int:
        """As much of a stamp as devices are told: one that a wrong clock has made would make their clocks
        wrong. The database is asked for its time only if this process finds the stamp to be of the future."""
        if milliseconds(hlc) <= time.time() * 1000:
            return hlc
        return sane(hlc, transaction.ledger.milliseconds(), self._central.tolerance)

    def _marks(self, tokens: Sequence[str]) -> Iterator[Watermark]:
        """The watermarks in those tokens that can be read."""
        for token in tokens:
            with suppress(WatermarkRefused):
                yield self._central.watermark(token, None)

    def _readable(self, token: str) -> Position | None:
        with suppress(WatermarkRefused):
            return self._central.watermark(token, None).position
        return None

    def _newest(self, token: str) -> Position | None:
        """Of what a file holds values at the latest; None if the token cannot be read."""
        with suppress(WatermarkRefused):
            return self._central.watermark(token, None).newest
        return None

    def describe(self, caller: Caller, request: m.SchemaQuery) -> m.SchemaAnswer:
        schema, _ = self._central.known()
        plain = to_plain(schema)
        changed = list(self._central.changed.items())
        return m.SchemaAnswer(schema.fingerprint, plain["tables"], plain["used"], changed)

    def pull(self, caller: Caller, request: m.Pull) -> m.Changes:
        sender = self._central.sender(request.schema)
        schema = sender.present
        mark = self._central.watermark(request.after, request.replica)
        with caller.read() as (transaction, client):
            self._central.still(schema, transaction)
            check_file(client, request.push, request.chain)
            check_horizon(transaction, self._horizon(request.horizon))
            check_horizon(transaction, mark.seen)
            after = mark.within(transaction.scope)
            limit = min(request.limit, self._central.limits.pull_rows)
            page, groups = page_of(transaction, schema, after, request.replica, limit)
            page = replace(page, hlc=self._sane(transaction, page.hlc))
            told = _told(transaction, mark, page)
        if client is not None and clients.is_due(client, request, brought=bool(groups)):
            clients.note_pull(caller.write, request, after.token(), bool(groups))
        changes = self._changes(request.replica, mark, told, page, groups)
        return msgspec.structs.replace(changes, schema=sender.news) if sender.news else changes

    def _horizon(self, token: str) -> Position | None:
        return self._central.watermark(token, None).newest if token else None

    def bases(self, tokens: Sequence[str]) -> list[Position | None]:
        """The positions of a push's bases; None for one that cannot be read. The edits that stand on it are
        judged as if what they had seen were pruned: refused, they would never leave their device (law L2)."""
        return [self._readable(token) for token in tokens]

    def told(self, caller: Caller, push: m.Push | m.PreparePush | m.CommitPush) -> Told:
        """What a push is to be admitted by. The horizon is that of the pull that comes along, if it says
        none."""
        pull = None if isinstance(push, m.PreparePush) else push.pull
        token = push.horizon or ("" if pull is None else pull.after)
        horizon = self._newest(token) if token else None
        compared: Compared = frozenset()
        if push.carried and push.stamps:
            with caller.read() as (transaction, client):
                names = lineages_of(transaction.ledger, client) if client else []
                compared = compared_with(transaction.ledger, names, push.stamps)
        return Told(horizon, memory_of(self._central.limits), self._central.position, compared)

    def _changes(
        self, replica: str, after: Watermark, told: Watermark, page: LogPage, groups: list[m.Group]
    ) -> m.Changes:
        if not groups and told == after:
            return m.Changes()
        body, digest = seal(groups)
        token = watermark.mint(told, self._central.key, replica)
        return m.Changes(token, page.more, page.hlc, digest, Raw(body))

    def push(self, caller: Caller, request: m.Push) -> m.Verdict:
        sender = self._central.sender(request.schema)
        groups = open_push(request.groups, request.digest)
        bases = self.bases(request.bases)
        parts = accept(groups, sender.sent, len(bases), self._central.limits)
        receiver = Receiver(
            sender, request, parts, bases, self._central.tolerance, self.told(caller, request)
        )
        return self.decided(caller, request, receiver)

    def decided(self, caller: Caller, request: m.Push | m.CommitPush, receiver: Receiver) -> m.Verdict:
        """Do a push, small or large; with a pull, answer that too."""

        def work(transaction: WriteTransaction, client: Client | None) -> tuple[m.Verdict, Watermark]:
            self._central.still(receiver.sender.present, transaction)
            verdict = receiver.receive(transaction, client)
            if verdict.wanted:
                raise Undone(verdict)
            now = transaction.log.now()  # told or not: see `leave_mark`
            return verdict, Watermark(now, transaction.scope.fingerprint)

        try:
            verdict, seen = caller.write(work)
        except Undone as wanted:
            return wanted.verdict
        logger.info(
            "committed push",
            extra={"action": "push", "replica": request.replica, "number": request.number,
                   "rows": receiver.rows, "rejected": len(verdict.rejected),
                   "conflicts": len(verdict.conflicts), "repeat": verdict.repeat},
        )  # fmt: skip
        self._central.hint()
        changes = None if request.pull is None else self._pulled(caller, request.pull)
        horizon = ""
        if request.before is not None and (changes is None or changes.more):
            horizon = watermark.mint(seen, self._central.key, request.replica)
        return msgspec.structs.replace(verdict, changes=changes, horizon=horizon)

    def _pulled(self, caller: Caller, request: m.Pull) -> m.Changes | None:
        """The pull that came with a push. The push is done: whatever is wrong with the pull, the verdict is
        answered (law L3), and the device hears of it when it pulls by itself."""
        try:
            return self.pull(caller, request)
        except SynclineError as error:
            logger.info(
                "left out the pull of a push: %s", error.detail,
                extra={"action": "pull", "replica": request.replica, "code": error.code},
            )  # fmt: skip
            return None

    def foreseen(self, caller: Caller, receiver: Receiver) -> m.Verdict:
        """The verdict on a push that is not done: the same transaction, rolled back."""

        def work(transaction: WriteTransaction, client: Client | None) -> m.Verdict:
            self._central.still(receiver.sender.present, transaction)
            transaction.foresee()
            raise Undone(receiver.receive(transaction, client))

        try:
            return caller.write(work)
        except Undone as undone:
            return undone.verdict

    def snapshot(self, caller: Caller, request: m.Snapshot) -> m.SnapshotPage:
        schema, _ = self._central.checked(request.schema)
        limit = max(1, min(request.limit, self._central.limits.pull_rows))
        key, replica = self._central.key, request.replica
        with caller.read() as (transaction, _):
            self._central.still(schema, transaction)
            table: int | None = None
            after: Key | None = None
            if request.cursor is None:
                start = Watermark(transaction.log.now(), transaction.scope.fingerprint)
                rows = transaction.rows.estimate()
            else:
                told = watermark.parse_cursor(request.cursor, key, replica, self._central.position)
                told.start.within(transaction.scope)
                check_horizon(transaction, told.start.newest)
                start, table, after, rows = told.start.told(transaction.log.now()), told.table, told.after, 0
            if request.table is None and request.columns:
                raise Malformed("columns are of a table: name the table too")
            if request.table is None:
                groups, table, after = chunk_groups(transaction, schema, table, after, limit)
            else:
                if table not in (None, request.table):
                    raise WatermarkRefused("the cursor is of another table", code="cursor_garbled")
                groups, after = table_groups(transaction, schema, request, after, limit)
                table = None if after is None else request.table
        cursor = None
        if table is not None:
            cursor = watermark.mint_cursor(Cursor(start, table, after), key, replica)
        body, digest = seal(groups)
        return m.SnapshotPage(watermark.mint(start, key, replica), cursor, rows, digest, Raw(body))

    def verify(self, caller: Caller, request: m.Verify) -> m.Verified:
        schema, _ = self._central.checked(request.schema)
        mark = self._central.watermark(request.after, request.replica)
        with self._turns.taken(), caller.read() as (transaction, _):
            self._central.still(schema, transaction)
            check_horizon(transaction, mark.seen)
            after = mark.within(transaction.scope)
            page, groups = page_of(
                transaction, schema, after, request.replica, self._central.limits.pull_rows
            )
            changes = self._changes(request.replica, mark, _told(transaction, mark, page), page, groups)
            if changes.more:
                return m.Verified(changes)
            return compare(transaction, schema, request, changes, self._central.limits.pull_rows)

    def spell(self, caller: Caller, request: m.Spell) -> m.Spelled:
        """Keys of a table that there is not, or that has another key by now, are given back as they came."""
        schema, _ = self._central.known()
        table = schema.by_number.get(request.table)
        with caller.read() as (transaction, _):
            self._central.still(schema, transaction)
            if table is None or any(len(key) != len(table.key) for key in request.keys):
                return m.Spelled(request.keys)
            found = transaction.rows.spell(request.table, [tuple(key) for key in request.keys])
        return m.Spelled(list(map(list, found)))

    def state(self, caller: Caller, request: m.StateQuery) -> m.StateAnswer:
        schema, _ = self._central.known()
        with caller.read() as (transaction, client):
            position, scope = transaction.log.now(), transaction.scope
        known = client or Client(request.replica)
        return m.StateAnswer(
            self._central.id,
            request.replica,
            client is not None,
            known.number,
            known.last_push,
            known.last_pull,
            self._central.mint(position, scope, request.replica),
            schema.fingerprint,
        )

    def list_conflicts(self, caller: Caller, request: m.ConflictsQuery) -> m.ConflictsAnswer:
        limit = max(1, min(request.limit, 5000))
        with caller.read() as (transaction, _):
            rows = transaction.ledger.conflicts(request.replica, request.open_only, request.after, limit)
        return m.ConflictsAnswer([note_of(row) for row in rows])

    def resolve(self, caller: Caller, request: m.Resolve) -> m.ConflictNote:
        schema, _ = self._central.known()

        def work(transaction: WriteTransaction, _: Client | None) -> m.ConflictNote:
            self._central.still(schema, transaction)
            return resolve_conflict(transaction, schema, request)

        note = caller.write(work)
        self._central.hint()
        return note


def _told(transaction: ReadTransaction, after: Watermark, page: LogPage) -> Watermark:
    """What a replica has been told after a page. Rows of one that others follow are newer than its end."""
    told = replace(after, position=page.end, seen=None)
    return told.told(transaction.log.now()) if page.more else told


def _soundest(transaction: WriteTransaction, seen: Sequence[Watermark]) -> Watermark | None:
    """The first of these watermarks that is of the transaction's scope and that the log goes on from."""
    scope = transaction.scope.fingerprint
    within = [mark for mark in seen if mark.scope == scope]
    standings = transaction.log.standings([mark.position for mark in within]) if within else ()
    found = next(
        (mark for mark, standing in zip(within, standings, strict=True) if standing == "sound"), None
    )
    return None if found is None else replace(found, seen=None)
