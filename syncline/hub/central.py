"""`Central`: the central database as the hub's handlers work with it: schema, rules, tokens, transactions."""

from __future__ import annotations

import itertools
import logging
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

import msgspec

from syncline.errors import (
    CentreHeld,
    ConfigurationError,
    Conflict,
    DatabaseError,
    DatabaseReadOnly,
    NotPrepared,
    RulesDiffer,
    SchemaChanged,
)
from syncline.hub import apart, keys, names, ruled, versions, watermark
from syncline.hub.contract import (
    Database,
    Locked,
    Outdated,
    Position,
    ReadLedger,
    ReadTransaction,
    WriteTransaction,
)
from syncline.hub.names import FormerNames
from syncline.hub.ruled import Rules
from syncline.hub.watermark import Watermark
from syncline.merge.rules import Table, TableRules
from syncline.merge.rules import resolve as resolve_rules
from syncline.model.forms import KINDS, Choice
from syncline.model.forms import chosen as chosen_forms
from syncline.model.schema import Schema, TableSchema
from syncline.model.scope import UNBOUNDED, Scope
from syncline.protocol.messages import Limits

logger = logging.getLogger("syncline.hub")
T = TypeVar("T")
ATTEMPTS = 12
LOOKS = 4
"""So often it is looked up what is prepared, where something of it is not there: somebody may be altering the
tables."""
PATIENCE_SECONDS = 40.0
"""After so long a transaction that keeps meeting others is given up: the device tries again, not the hub."""


@dataclass(frozen=True, slots=True)
class Sender:
    """The schema that a replica has, the present one, and the rules for what was made with the former."""

    sent: Schema
    present: Schema
    rules: Mapping[int, TableRules]
    ruled: str
    """What was kept of the rules of the hub when these were made of it."""
    changed: Mapping[int, str] = field(default_factory=dict)
    """Why tables of former schemas are there no more, of those that were changed, by number."""

    @property
    def news(self) -> str:
        """What an answer says of the schema: the present fingerprint, if it is another one."""
        return "" if self.sent.fingerprint == self.present.fingerprint else self.present.fingerprint


@dataclass(frozen=True, slots=True)
class Loaded:
    """The schema and its tables' rules, with what was kept of the rules of the hub when these were made."""

    schema: Schema
    rules: dict[int, TableRules]
    ruled: str
    found: str
    """The fingerprint of the schema as the database has it, without marks."""


class Central:
    """One central database with the rules of its tables: those that `init` was given last, or, if it is
    `own`, those `given` to this object.

    What it keeps in memory is what the database says of itself, looked up again when it is outdated.
    `tolerance`: milliseconds that a replica's clock may run ahead. Safe to use from several threads.
    """

    def __init__(
        self,
        database: Database,
        given: Rules,
        limits: Limits,
        tolerance: int,
        *,
        own: bool = False,
    ) -> None:
        self.database, self.limits, self.tolerance = database, limits, tolerance
        self.given, self._own = given, own
        self._rules = given
        self._said: str | None = None
        self._loaded: Loaded | None = None
        self._known_id: str | None = None
        self._key: bytes | None = None
        self.changed: Mapping[int, str] = {}
        """Why tables are there no more that were changed in a way devices cannot follow, by number."""
        self.apart: Sequence[str] = ()
        """The names of those that may take part again, see `hub.apart`."""
        self._versions: dict[str, Schema] = {}
        self._former = FormerNames()
        self._present: Schema | None = None
        self.follow: Callable[[], None] = lambda: None
        """Sees to it that what is prepared fits the tables as they are; see `hub.following`."""

    @property
    def tables(self) -> Mapping[str, Table] | None:
        """The rules by the names of tables; None: the defaults for all that can take part."""
        return self._rules.tables

    @property
    def forms(self) -> Choice:
        """The forms of all tables that say nothing of them."""
        return self._rules.forms

    def look_again(self) -> None:
        """Forget what is kept in memory."""
        self._loaded = self._known_id = self._key = None
        self._versions.clear()

    def transact(self, work: Callable[[WriteTransaction], T]) -> T:
        """`write` for the hub's own affairs, whoever's rows they concern, by whatever rules; again if another
        process has prepared the database anew."""

        def once() -> T:
            self.attend()
            return self.write(work, UNBOUNDED)

        return self.informed(once, merges=False)

    def attend(self) -> None:
        """Look up what is prepared, for what merges nothing: it does without this hub's rules. NotPrepared
        before `init`."""
        with suppress(RulesDiffer):
            self.known()

    def informed(self, work: Callable[[], T], *, merges: bool = True) -> T:
        """Do it, again if it turned out that the tables, or what was prepared, are not what they were. What
        merges nothing goes on where this server lacks the rules to follow that."""
        unprepared = 0
        for _ in range(ATTEMPTS):
            try:
                return work()
            except (Outdated, NotPrepared) as error:
                unprepared += isinstance(error, NotPrepared)
                if unprepared == LOOKS:
                    raise
                logger.info("looked up the schema again: %s", error.detail, extra={"action": "reload"})
                self.look_again()
                with nullcontext() if merges else suppress(RulesDiffer):
                    self.follow()
        return work()

    def still(self, schema: Schema, transaction: ReadTransaction | WriteTransaction) -> None:
        """Raise Outdated unless this is the schema that the open transaction works with. What is known here
        may be older than that for a moment: of two threads that look it up, the first may be the last to
        know."""
        loaded = self._loaded
        wanted = schema.fingerprint, transaction.rows.schema.fingerprint
        if loaded is None or (loaded.schema.fingerprint, loaded.found) != wanted:
            raise Outdated("another request has looked up the schema meanwhile")

    def still_ruled(self, ledger: ReadLedger) -> None:
        """Raise Outdated if `init` was given other rules than those that are known here."""
        loaded = self._loaded
        if loaded is None or loaded.ruled != ruled.read(ledger):
            raise Outdated("init was given other rules")

    def known(self) -> tuple[Schema, dict[int, TableRules]]:
        """The schema and its tables' rules. NotPrepared before `init`; RulesDiffer."""
        loaded = self._known()
        return loaded.schema, loaded.rules

    def _known(self) -> Loaded:
        loaded = self._loaded
        if loaded is None:
            schema = self.database.catalogue.load()
            with self.database.reading_ledger() as ledger:
                self.learn(names.read(ledger))
                kept, taken = self._take_rules(ledger)
                noted = apart.read(ledger)
                self.changed, self.apart = noted.reasons, tuple(noted.tables)
                self._key = self._key or keys.read(ledger)
            if self._key is None:
                with self.database.ledger() as writing:
                    self._key = keys.read_or_make(writing)
            loaded = Loaded(*self.with_rules(schema, taken), kept, schema.fingerprint)
            self._say_rules(schema, kept, taken)
            self._give_out(loaded.schema)
            self._loaded = loaded
        return loaded

    def learn_rules(self) -> None:
        """Learn what `init` was given last. RulesDiffer; NotPrepared before the first `init`."""
        with self.database.reading_ledger() as ledger:
            self._take_rules(ledger)

    def _take_rules(self, ledger: ReadLedger) -> tuple[str, Rules]:
        """What is kept of the rules, and these."""
        kept = "" if self._own else ruled.read(ledger)
        self._rules = ruled.taken(kept, self.given)
        return kept, self._rules

    def learn_names(self) -> None:
        """Learn what tables and columns are called now, and every name that they had: this server may not
        have prepared them, nor anybody else yet. Does nothing before the first `init`."""
        found = self.database.catalogue.renamed()
        if found is None:
            self._former, self._present = FormerNames(), None
            return
        with self.database.reading_ledger() as ledger:
            noted = names.read(ledger)  # afterwards: names are noted before what has them is prepared
        self._former = noted.together(names.between(found.before, found.now))
        self._present = found.now

    def learn(self, former: FormerNames) -> None:
        """Names that tables and columns had: the configuration may still use them."""
        self._former = self._former.together(former)

    def _say_rules(self, schema: Schema, kept: str, taken: Rules) -> None:
        """Say, once, of which tables this server was given other rules than those that hold."""
        if kept == self._said:
            return
        self._said = kept
        differing = taken.differing(self.given, schema, self._former)
        if differing:
            logger.warning(
                "merging by the rules that init was given last, not by this server's own, which differ for:"
                " %s; start the server anew with the configuration of that init or send it SIGHUP, or run"
                " init with this server's",
                ", ".join(differing),
                extra={"action": "rules_taken"},
            )

    def _give_out(self, schema: Schema) -> None:
        """Keep the version of the schema that replicas are given from now on."""
        with self.database.reading_ledger() as reading:
            if reading.given(schema.fingerprint) is not None:
                return
        try:
            with self.database.ledger() as ledger:
                versions.give_out(ledger, schema)
        except DatabaseReadOnly as error:  # nobody can register either
            logger.warning("did not keep the schema: %s", error.detail, extra={"action": "give_out"})

    @property
    def id(self) -> str:
        """The hub's id, asked of the database once: a push may name thousands of watermarks."""
        if self._known_id is None:
            self._known_id = self.database.catalogue.hub_id
        return self._known_id

    @property
    def key(self) -> bytes:
        """What the hub's tokens are sealed with: random, kept in the central database, so that all servers
        have the same one, and told to nobody."""
        if self._key is None:
            self._loaded = None
            self.known()
        assert self._key is not None, "what is known holds it"
        return self._key

    @property
    def chosen_keys(self) -> dict[str, Sequence[str]]:
        """The columns that are the key of a table by the configuration, by names of now; see
        `learn_names`."""
        return self._former.keys(self._present or Schema(()), self.tables or {})

    def configured(self) -> list[str] | None:
        """The tables of the configuration by the names that they have now; None: all that can take part. A
        name that a table has now means that one, whichever had it before."""
        self.learn_names()
        if self.tables is None or self._present is None:
            return None if self.tables is None else list(self.tables)
        present = self._present
        meant = {name: self._former.table(name, present) for name in self.tables}
        former = [name for name, table in meant.items() if table and name in self._former.tables]
        if former:
            others = self.database.catalogue.reflect(None, self.chosen_keys).tables
            for name in former:
                if any(name in (t.name, t.central_name, names.place_of(t)) for t in others):
                    meant[name] = None
        found = ((name, meant[name]) for name in self.tables)
        return list(dict.fromkeys(names.place_of(t) if t and name in former else name for name, t in found))

    @property
    def present(self) -> Schema:
        """The tables that took part, by the names that they have now; see `learn_names`."""
        return self._present or Schema(())

    @property
    def was_prepared(self) -> bool:
        """Whether there was an `init` before; see `learn_names`."""
        return self._present is not None

    def has_taken_part(self, name: str) -> bool:
        """Whether a table takes part that the configuration calls so, did when it was looked at last, or had
        this name before; see `learn_names`."""
        known = name in self._former.tables or self._former.table(name, self.present) is not None
        return self._present is not None and known

    def outdated_names(self, schema: Schema) -> list[str]:
        """A sentence for each former name in the configuration."""
        return list(self._former.outdated(schema, self.tables or {}))

    def told(self, schema: Schema) -> Limits:
        """The limits as replicas are told them: `local_rows` is by the number of tables, which a device may
        know by whatever names, and `*`."""
        found: dict[str, str] = {}
        for name, mode in self.limits.local_rows.items():
            table = self._former.table(name, schema)
            if name == "*" or table is not None:
                found["*" if table is None else str(table.number)] = mode
        for table in schema.tables:
            chosen = self._former.rules(table, self.tables or {}).local_rows
            found |= {str(table.number): chosen} if chosen else {}
        return msgspec.structs.replace(self.limits, local_rows=found)

    def with_rules(self, schema: Schema, by: Rules | None = None) -> tuple[Schema, dict[int, TableRules]]:
        """Resolve the rules, those in force if no others are meant, and mark the columns that travel as
        increments."""
        by = by or self._rules
        chosen = by.tables or {}
        tables, rules = [], {}
        for table in schema.tables:
            given = self._former.rules(table, chosen)
            if not self._own:
                given = ruled.fitting(given, table)
            resolved = resolve_rules(table, given)
            tables.append(_with_marks(table, resolved, {**by.forms, **chosen_forms(given.forms, table.name)}))
            rules[table.number] = resolved
        return Schema(tuple(tables), schema.used), rules

    def differing(self, kept: str, schema: Schema) -> list[str]:
        """The tables whose given rules are others than those that are kept; see `ruled.Rules.differing`."""
        return self.given.differing(ruled.Rules.kept(kept), schema, self._former) if kept else []

    def marked(self, schema: Schema) -> Schema:
        """A schema of before with the marks of the present rules, as far as they fit it."""
        try:
            return self.with_rules(schema)[0]
        except ConfigurationError:
            return schema

    def checked(self, fingerprint: str) -> tuple[Schema, dict[int, TableRules]]:
        """The schema, if it is the one that the sender has; looks again before it refuses."""
        schema, rules = self.known()
        if fingerprint != schema.fingerprint:
            self._loaded = None
            schema, rules = self.known()
            if fingerprint != schema.fingerprint:
                raise SchemaChanged("the replica's schema is not the hub's present one")
        return schema, rules

    def sender(self, fingerprint: str) -> Sender:
        """What a message of a replica with this schema, an older one maybe, is read by. SchemaChanged."""
        known = self._known()
        if fingerprint == known.schema.fingerprint:
            return Sender(known.schema, known.schema, known.rules, known.ruled)
        if fingerprint not in self._versions:
            self._loaded = None  # it may be newer than what is known here
            known = self._known()
            if fingerprint == known.schema.fingerprint:
                return Sender(known.schema, known.schema, known.rules, known.ruled)
            with self.database.reading_ledger() as ledger:
                self._versions[fingerprint] = versions.kept(ledger, fingerprint)
        sent = self._versions[fingerprint]
        rules = versions.rules_for(known.rules, sent, known.schema)
        return Sender(sent, known.schema, rules, known.ruled, self.changed)

    def watermark(self, token: str, replica: str | None) -> Watermark:
        """The watermark in a token; with `replica` None, of any replica's. WatermarkRefused."""
        return watermark.parse(token, self.key, replica, self.database.position)

    def mint(self, position: Position, scope: Scope, replica: str) -> str:
        """The watermark of a position and a scope, for one replica."""
        return watermark.mint(Watermark(position, scope.fingerprint), self.key, replica)

    def write(self, work: Callable[[WriteTransaction], T], scope: Scope) -> T:
        """Run a write transaction within a scope, again when it met a concurrent one. However long the
        first attempt took, there is a second: only then everything is looked at (see
        `WriteTransaction.lock`). It is run again, too, as long as there is patience with those who hold
        rows, and once without any."""
        end, held_until, met = math.inf, math.inf, 0
        for attempt in itertools.count():
            begun = time.monotonic()
            patience = min(self.database.lock_timeout, held_until - begun)
            try:
                with self.database.write(scope) as transaction:
                    if attempt:
                        transaction.wait_longer(attempt, patience)
                    return work(transaction)
            except (Outdated, CentreHeld):
                raise
            except Conflict as conflict:
                now = time.monotonic()
                if isinstance(conflict, Locked) and patience > 0:
                    held_until = min(held_until, begun + self.database.lock_timeout)
                else:
                    met += 1
                    if met == ATTEMPTS or now > end:
                        raise
                    end = min(end, now + PATIENCE_SECONDS)
                time.sleep(random.uniform(0, 0.005 * 2 ** min(met, 6)))
        raise AssertionError("unreachable")

    def hint(self) -> None:
        """Tell the others; what was committed stands, whether they hear it or not."""
        try:
            self.database.hint()
        except DatabaseError as error:
            logger.debug("nobody was told of news: %s", error.detail, extra={"action": "hint"})


def _with_marks(table: TableSchema, rules: TableRules, forms: Choice) -> TableSchema:
    """The table with the columns marked whose policy travels as a difference, and with the forms asked for.
    ConfigurationError `forms_untyped` if its columns have no types."""
    if forms and all(column.type == "any" for column in table.columns):
        raise ConfigurationError(
            f"table {table.name}: forms are chosen, and the central database is SQLite, whose values a device"
            " has as they are there",
            code="forms_untyped",
            remedy="Leave the forms out: what the application writes on a device is what the centre has.",
        )
    counted = {number for number, policy in rules.columns.items() if policy.travels == "difference"}
    columns = tuple(
        replace(column, increment=column.number in counted, form=forms.get(KINDS.get(column.type, ""), ""))
        for column in table.columns
    )
    return replace(table, columns=columns)
