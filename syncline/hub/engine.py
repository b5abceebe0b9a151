"""`Hub`: the centre as one object. Answers requests; keeps nothing between them that matters."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any

from syncline.errors import (
    BreakingChange,
    ConfigurationError,
    Conflict,
    GrantsMissing,
    NotPrepared,
    RulesDiffer,
    SchemaError,
    UsageError,
    VersionUnsupported,
)
from syncline.hub import clients, ruled
from syncline.hub.central import Central
from syncline.hub.clients import Listed
from syncline.hub.contract import Database, Outdated, Prepared, Tuning, Watch
from syncline.hub.following import (
    DEMANDED,
    DEMANDED_REMEDY,
    Follower,
    Plan,
    agreed_to,
    carry_out,
    choose,
    configured_plan,
    in_force,
    keep_rules,
    missing,
    plan,
    startable,
    unless_altered,
)
from syncline.hub.gate import Gate
from syncline.hub.knowledge import Knowledge
from syncline.hub.quotas import Quotas
from syncline.hub.registry import open_database
from syncline.hub.requests import Requests
from syncline.hub.retention import Pruned, Retention, foreseen, prune, prune_in_turn
from syncline.hub.ruled import Rules
from syncline.hub.sound import in_ledger
from syncline.hub.uploads import Uploads
from syncline.merge.rules import Table
from syncline.model.actor import OPERATOR, Actor
from syncline.model.clock import milliseconds
from syncline.model.collector import resting
from syncline.model.finding import Finding
from syncline.model.forms import chosen
from syncline.model.native import carried
from syncline.model.schema import Schema
from syncline.model.scope import UNBOUNDED
from syncline.protocol import messages as m

CONFLICTS_PAGE = 5_000

ALTERED = ("not_current", "trigger_disabled")
"""The codes of what a database finds altered, which `init` puts in order, and a server that looks as well."""

BY_SERVERS = (
    "A server that looks, within a minute or as it starts, puts it in order; then run: syncline verify FILE"
    " --repair on each device."
)
"""What to do about it as long as `init` refuses to."""


class Hub:
    """The engine over one central database.

    `database` is a URL (`sqlite:///central.db`, `postgresql://user@host/name`) or an open adapter.
    `tables` maps table names to their rules; None makes every table that can take part do so, merged by
    the defaults. `clock_tolerance` is how far, in seconds, a replica's clock may run ahead before its
    stamps are clamped. `tuning` says how many connections a URL may use and how long they wait, `retention`
    how long the centre remembers, `quotas` how much it keeps for whoever reaches it. `forms` is how devices
    spell values in their files unless they say otherwise, in tables whose rules say nothing of it. Safe to
    use from several threads.
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
        quotas: Quotas | None = None,
        forms: Mapping[str, str] | str | None = None,
    ) -> None:
        self.database = open_database(database, tuning) if isinstance(database, str) else database
        self.retention = retention if retention is not None else Retention()
        self.quotas = quotas if quotas is not None else Quotas()
        limits = limits or m.Limits()
        rules = Rules(None if tables is None else dict(tables), chosen(forms))
        tolerance = int(clock_tolerance * 1000)
        self._central = Central(self.database, rules, limits, tolerance)
        self._configured = Central(self.database, rules, limits, tolerance, own=True)
        known = Knowledge(self._central)
        requests = Requests(known, self.quotas)
        uploads = Uploads(known, requests, self.quotas)
        self._gate = Gate(self._central, {**requests.handlers(), **uploads.handlers()})
        self._follower = Follower(self._central)
        self._central.follow = self._follower.look_now

    def __enter__(self) -> Hub:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @in_ledger
    def init(self, *, dry_run: bool = False, yes: bool = False) -> Prepared:
        """Prepare the central database: Syncline's own tables and the capture triggers. Idempotent.

        Returns the SQL that was run, or with `dry_run` would be, were it agreed to; `warnings` says what
        devices cannot follow, and how many it concerns, and which tables go out of service because the
        configuration names others (`findings`: how to keep them), `asks` whether it must be agreed to. Raises
        SchemaError naming every table that cannot take part, BreakingChange where devices cannot follow and
        it was not agreed to (`yes`): these tables are other ones for them then, ConfigurationError for rules
        that do not fit.
        """
        return unless_altered(lambda: self._init(dry_run, yes))

    def _init(self, dry_run: bool, yes: bool) -> Prepared:
        found, unfit = configured_plan(self._configured)
        if unfit:
            raise self._refused(found, unfit)
        notes = [*found.dropped(), *self._outdated_names(found)]
        changed = self._rules_changed(found)
        if dry_run:
            done = found.prepared
            if found.wants_agreement:
                done = agreed_to(self._configured, self._configured.configured())
            return replace(
                done,
                notes=[*done.notes, *notes, *changed],
                warnings=list(found.warnings()),
                findings=list(found.left_out()),
                asks=found.wants_agreement and bool(found.concerned),
            )
        if found.wants_agreement and found.concerned and not yes:
            raise BreakingChange("; ".join(found.warnings()), remedy=found.remedy)
        if found.prepared.before is not None:
            keep_rules(self._configured)  # first: a server that finds a new table merges by them at once
        warnings, findings = list(found.warnings(agreed=True)), list(found.left_out())
        if found.wants_agreement:  # in two steps: what comes is another table than the one that goes
            self._when_free(plan(self._configured, self._configured.configured(), without=True))
            found = plan(self._configured, self._configured.configured(), agreed=True)
        prepared = self._when_free(found)
        choose(self._configured)
        self._central.look_again()
        self._follower.look_again()
        self._central.known()
        notes = [*prepared.notes, *notes, *changed]
        return replace(prepared, notes=notes, warnings=warnings, findings=findings, ruled=bool(changed))

    def _rules_changed(self, found: Plan) -> list[str]:
        """A sentence for each table that has other rules than before."""
        before = found.prepared.before
        if before is None:
            return []
        with self.database.reading_ledger() as ledger:
            kept = ruled.read(ledger)
        differing = self._configured.differing(kept, before)
        return [f"table {name}: {ruled.CHANGED}" for name in differing]

    def _refused(self, found: Plan, unfit: Mapping[str, str]) -> SchemaError:
        """What is said of tables of the configuration that cannot take part, and what else a person must know
        of the others."""
        said = (*missing(self._configured, unfit, found.lacking), *found.left_out())
        remedies = dict.fromkeys(finding.remedy for finding in said)
        rest = [*found.warnings(), *self._outdated_names(found)]
        besides = f"; besides: {'; '.join(rest)}" if rest else ""
        detail = f"{'; '.join(unfit.values())}{besides}"
        return SchemaError(detail, remedy=" ".join(remedies))

    def _outdated_names(self, found: Plan) -> list[str]:
        """A sentence for each name of the configuration that is a former one."""
        return self._configured.outdated_names(found.prepared.schema or found.tables)

    def _when_free(self, found: Plan) -> Prepared:
        """Prepare; as long as a push waits for rows, try again while somebody works with a table."""
        end = time.monotonic() + self.database.lock_timeout
        while True:
            try:
                return carry_out(self._configured, found)
            except Outdated:
                raise
            except Conflict:
                if time.monotonic() > end:
                    raise

    @in_ledger
    def examine(self) -> list[Finding]:
        """What is wrong with the central database, or worth knowing. NotPrepared before `init`."""
        return unless_altered(self._examine)

    def _examine(self) -> list[Finding]:
        planned, unfit = configured_plan(self._configured)
        if unfit and not self._configured.was_prepared:
            raise self._refused(planned, unfit)
        found = self.database.catalogue.examine(planned.tables)
        if refused := _why_refused(planned, unfit):
            found = [replace(one, remedy=BY_SERVERS) if one.code in ALTERED else one for one in found]
        found += missing(self._configured, unfit, planned.lacking)
        found += self._examine_tables(planned, {finding.sentence for finding in found}, refused)
        for sentence in planned.breaking:
            found.append(Finding("trouble", BreakingChange.code, sentence, BreakingChange.remedy))
        for sentence in planned.demands:
            found.append(Finding("trouble", DEMANDED, sentence, DEMANDED_REMEDY))
        for sentence in self._outdated_names(planned):
            found.append(Finding("warning", "former_name", sentence))
        return [*found, *self._examine_rules(planned), *self._examine_clock()]

    def _examine_rules(self, planned: Plan) -> Iterator[Finding]:
        """Which tables have other rules in the configuration than `init` was given last."""
        with self.database.reading_ledger() as ledger:
            kept = ruled.read(ledger)
        differing = self._configured.differing(kept, planned.prepared.before or planned.tables)
        if differing:
            sentence = (
                f"the rules of {', '.join(differing)} are others here than those that init was given last,"
                " by which every server merges"
            )
            remedy = "Run: syncline init syncline.toml; or where a program gives them: hub.init() in it."
            yield Finding("trouble", "rules_not_current", sentence, remedy)

    def _examine_tables(self, planned: Plan, told: Collection[str], refused: str) -> Iterator[Finding]:
        """What was altered since `init` or a server last looked: what the servers follow by themselves, and
        what only `init` does. `told`: the sentences of the catalogue; `refused`: see `_why_refused`."""
        for sentence in planned.dropped():
            yield Finding("fact", "not_followed_yet", sentence)
        yield from planned.left_out()
        if not planned.prepared.statements:
            return
        self._central.learn_rules()
        theirs = plan(self._central, in_force(self._central)).prepared
        for note in planned.prepared.notes or ["the changed schema is recorded"]:
            if note in planned.prepared.amiss or note in told:
                continue
            if note in theirs.notes or not planned.prepared.notes:
                sentence = (
                    f"tables were altered; a server that looks, within a minute, does by itself: {note}"
                )
                yield Finding("fact", "not_followed_yet", sentence)
            else:
                sentence = f"the tables that take part are not those of the configuration: {note}"
                if refused:
                    remedy = f"First do what is said of {refused}; then run: syncline init syncline.toml"
                else:
                    remedy = "Run: syncline init syncline.toml"
                yield Finding("trouble", "not_current", sentence, remedy)

    def _examine_clock(self) -> Iterator[Finding]:
        """A clock that is ahead of the database's wall clock: either that is behind now, or it was ahead."""
        try:
            with self.database.reading_ledger() as ledger:  # to read rows would settle in where it moved to
                ahead = milliseconds(ledger.clock()) - ledger.milliseconds()
        except NotPrepared:  # why is among the other findings
            return
        if ahead > self._central.tolerance + 60_000:
            sentence = (
                f"the hub's clock is {ahead / 1000:,.0f} seconds ahead of the database's: that was wrong"
                " once, or is wrong now"
            )
            remedy = "Set the clock of the database's host right; the next push then puts the hub's right."
            yield Finding("warning", "clock_ahead", sentence, remedy)

    def remove(self, *, dry_run: bool = False) -> Prepared:
        """The opposite of `init`: take everything of Syncline's out of the central database again."""
        removed = self.database.catalogue.remove(dry_run=dry_run)
        self._central.look_again()
        return removed

    @in_ledger
    def look(self) -> None:
        """Notice changes of the central tables and follow them, as every request does; what cannot be
        followed is logged. SynclineError as long as the hub cannot work with them."""
        self._central.informed(self._follower.look)

    @property
    def limits(self) -> m.Limits:
        """What replicas are told at registration, and held to."""
        return self._central.limits

    @limits.setter
    def limits(self, limits: m.Limits) -> None:
        self._central.limits = limits

    @property
    @in_ledger
    def schema(self) -> Schema:
        """The tables as devices should have them. NotPrepared before `init`."""
        self._follower.look()
        return self._central.known()[0]

    @in_ledger
    def check(self) -> None:
        """Raise what `init` would refuse: tables or rules that cannot be, as they are configured now. Names
        may be former ones, also of what was renamed while no server ran, and rights that only `init` needs
        may be missing. What has taken part and cannot any more keeps no server from starting, as it keeps
        none from going on: devices go on without it, and `examine` says so."""
        with suppress(GrantsMissing):
            self._follower.still(lambda: plan(self._configured, startable(self._configured)))
        self._follower.look()
        self._central.known()

    @in_ledger
    def ready(self) -> None:
        """Return if the database is reachable and prepared; otherwise raise the DatabaseError."""

        def look() -> None:
            self._central.known()
            with self.database.read(UNBOUNDED) as transaction:
                self._central.still_ruled(transaction.ledger)

        self._central.informed(look)

    def scope_of(self, actor: Actor) -> str:
        """The fingerprint of what this actor may have, as of now: its rules may name what the database alone
        can look up."""
        _check_actor(actor)

        def look() -> str:
            with self.database.read(actor.scope) as transaction:
                return transaction.scope.fingerprint

        return self._central.informed(look)

    def instant(self) -> object:
        """Where the central database stands at this moment: as long as it is equal, every question has the
        answer that it had, as far as time plays no part in it. DatabaseUnavailable."""
        return self.database.instant()

    def hints(self) -> Watch:
        """Listen for news in the central database, whichever process or program made it.

        `with closing(hub.hints()) as news: while True: if news.wait(30): ...`. A hint says that a pull is
        worth while, and no more; nothing relies on its coming."""
        return self.database.watch()

    def close(self) -> None:
        """Give back all connections."""
        self.database.close()

    @in_ledger
    def replicas(self) -> list[Listed]:
        """Every replica with its lag, the one that lags most first; without those forgotten."""
        self._central.attend()
        listing = partial(clients.listing, self._central, self.retention.stale)
        return self._central.informed(listing, merges=False)

    @in_ledger
    def forget(self, replica: str) -> None:
        """Take a replica off the list; it holds nothing back any more. Should it come back, it goes on."""
        clients.forget(self._central, replica)

    @in_ledger
    def revoke(self, replica: str, *, undo: bool = False) -> None:
        """Lock a replica out, or let it in again."""
        clients.revoke(self._central, replica, revoked=not undo)

    @in_ledger
    def assign(self, replica: str, actor: Actor) -> None:
        """Hand a replica over to another actor, a `syncline.Actor`: whoever registered it is refused from
        then on. UsageError if `actor` is none."""
        _check_actor(actor)
        clients.assign(self._central, replica, actor)

    @in_ledger
    def prune(self, *, dry_run: bool = False) -> Pruned:
        """Remove what the log need not keep, in bounded steps."""
        if dry_run:
            return foreseen(self._central, self.retention)
        return prune(self._central, self.retention, self.quotas)

    @in_ledger
    def prune_in_turn(self, stop: Callable[[], bool]) -> bool:
        """`prune`, if it is time and no other server is at it; ends early when `stop` says so between two
        steps. Whether it was done."""
        return prune_in_turn(self._central, self.retention, self.quotas, stop)

    def conflicts(self, *, open_only: bool = False) -> list[m.ConflictNote]:
        """The newest state of every kept conflict, oldest first."""
        found: list[m.ConflictNote] = []
        while True:
            after = found[-1].id if found else 0
            answer = self.handle(OPERATOR, m.ConflictsQuery(None, open_only, after, CONFLICTS_PAGE))
            assert isinstance(answer, m.ConflictsAnswer), "the handler answers as the route says"
            found += answer.conflicts
            if len(answer.conflicts) < CONFLICTS_PAGE:
                return found

    def resolve(self, number: int, take: str, value: Any = None) -> m.ConflictNote:
        """Decide conflict `number`, an open one or anew one that was settled: take `hub`, `sent`, `base`, or
        `value`, which may be a bool, Decimal, UUID, date, time or datetime. ValueRefused for what is none."""
        if take not in ("hub", "sent", "base", "value"):
            raise ConfigurationError(f"take is hub, sent, base or value, not {take!r}", code="usage")
        note = self.handle(OPERATOR, m.Resolve(number, take, carried(value)))  # type: ignore[arg-type]
        assert isinstance(note, m.ConflictNote), "the handler answers as the route says"
        return note

    @in_ledger
    def handle(self, actor: Actor, request: m.Request) -> m.Response:
        """Answer one request of `actor`. Raises SynclineError; nothing has changed then."""
        _check_actor(actor)
        if not m.OLDEST_VERSION <= request.version <= m.PROTOCOL_VERSION:
            raise VersionUnsupported(
                f"protocol version {request.version}; spoken are {m.OLDEST_VERSION} to {m.PROTOCOL_VERSION}"
            )
        with resting():
            merges = not isinstance(request, m.ConflictsQuery)  # this one reads notes alone
            return self._central.informed(lambda: self._answer(actor, request, merges), merges=merges)

    def _answer(self, actor: Actor, request: m.Request, merges: bool) -> m.Response:
        with nullcontext() if merges else suppress(RulesDiffer):
            self._follower.look()
        return self._gate.answer(actor, request)


def _why_refused(planned: Plan, unfit: Mapping[str, str]) -> str:
    """The code under which `init` would refuse to prepare the tables as they are; '' if it would not."""
    if unfit:
        return SchemaError.code
    if planned.wants_agreement and planned.concerned:
        return BreakingChange.code if planned.breaking else DEMANDED
    return ""


def _check_actor(actor: object) -> None:
    if not isinstance(actor, Actor):
        raise UsageError(
            f"{actor!r} is no syncline.Actor",
            code="no_actor",
            remedy="Name it as the server's authenticator does: syncline.Actor(name) or Actor(name, tenant).",
        )
