"""Following the central database: its tables may be altered by anybody at any time, and nobody need say so.

look    has anything been created, altered, renamed, dropped? asked every few seconds, and when a
        transaction meets something else than it expected
plan    what would `prepare` do, and can devices follow?
follow  prepare anew, where the hub's role may; or say what an operator has to run
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TypeVar

from syncline.errors import (
    BreakingChange,
    CaptureLost,
    ConfigurationError,
    NotPrepared,
    SchemaError,
    SynclineError,
)
from syncline.hub import absent, apart, names, ruled
from syncline.hub.apart import Apart
from syncline.hub.central import Central
from syncline.hub.clients import every_client
from syncline.hub.contract import Client, Ledger, Outdated, Prepared
from syncline.hub.contract.codes import COLUMN_DROPPED, TABLE_DROPPED
from syncline.hub.names import place_of
from syncline.model.evolution import SchemaChange, TableChange, compare
from syncline.model.finding import Finding
from syncline.model.schema import Schema, TableSchema, arrange, from_plain

logger = logging.getLogger("syncline.hub")
DEMANDED = "value_demanded"
"""The code of a column that must have a value of which devices do not know: its table goes on without it."""
DEMANDED_REMEDY = (
    "Nothing is out of service. Give the column a default (ALTER TABLE ... ALTER COLUMN ... SET DEFAULT ...):"
    " it then reaches devices by itself, and rejected rows can be retried. Or, where the application is to"
    " give the value: let an upgrade of it add the column on devices (ALTER TABLE ... ADD COLUMN ...), have"
    " them sync, and only then run syncline init syncline.toml --yes; where a device has not the column yet,"
    " that leaves the table out, and edits of it that wait are kept as rejected ones."
)
KEPT = "devices keep it, edits of it that wait there are kept as rejected ones"
LEFT_OUT = "table_left_out"
"""The code of tables that could go on, but are not among those that the configuration names any more."""
CHOSEN = "tables_chosen"
"""The setting that says whether `init` was told which tables take part."""
LOOKS = 10
"""How often tables are looked at that others alter meanwhile, before it is said."""
ROUNDS = 5
"""How often a server looks at tables that do not fit and were altered meanwhile, before it goes on."""

RULES_SECONDS = 1.0
"""How old what is known of the rules of `init` may be where the tables are looked at with each request. A
push and a registration ask for themselves."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan:
    """What `prepare` would do for these tables, and what that means for devices; `change` is None the first
    time.

    Of the tables that devices cannot follow those `apart` are left out, and those that they could follow but
    for a column are there without it. `breaking` says, in sentences, what it is about with the former,
    `demands` with the latter; `cut_off` and `limited` are the replicas that may have these tables. `outside`
    are tables that could go on, but are not among those of the configuration any more: their names, by
    number; `leaving` are the replicas that may have them."""

    tables: Schema
    prepared: Prepared
    change: SchemaChange | None
    cut_off: tuple[Client, ...] = ()
    limited: tuple[Client, ...] = ()
    breaking: tuple[str, ...] = ()
    demands: tuple[str, ...] = ()
    apart: Apart = field(default_factory=Apart)
    outside: Mapping[int, str] = field(default_factory=dict)
    leaving: tuple[Client, ...] = ()
    lacking: frozenset[str] = frozenset()
    """What the configuration calls tables that cannot take part for the lack of others alone."""

    @property
    def is_harmless(self) -> bool:
        """Whether everything that is captured and served now goes on as it is without `prepare`."""
        change = self.change
        return change is not None and not change.gone and all(one.is_harmless for one in change.tables)

    @property
    def wants_agreement(self) -> bool:
        """Whether there is anything that devices cannot follow."""
        return bool(self.breaking or self.demands)

    @property
    def concerned(self) -> tuple[Client, ...]:
        """All replicas that may have one of these tables."""
        return tuple({client.replica: client for client in (*self.cut_off, *self.limited)}.values())

    @property
    def remedy(self) -> str:
        """What to do about it, the harmless way first."""
        return BreakingChange.remedy if self.breaking else DEMANDED_REMEDY

    def warnings(self, *, agreed: bool = False) -> Iterator[str]:
        """What an operator should know before, in sentences; `agreed`, what it has come to with `--yes`."""
        yield from (*self.breaking, *self.demands)
        if agreed and self.wants_agreement:
            yield f"devices to which these tables are other ones from now on: {_counted(self.concerned)}"
        elif self.breaking:
            yield f"devices that cannot go on with these tables: {_counted(self.cut_off)}"
        if self.demands and not agreed:
            which = "tables with a column that must have a value" if self.breaking else "these tables"
            yield (
                f"devices that go on with {which}, but for rows of theirs that lack the value, which are"
                f" rejected one by one until it has a default: {_counted(self.limited)}"
            )
        yield from (finding.sentence for finding in self.left_out())

    def left_out(self) -> Iterator[Finding]:
        """Of `warnings`, what is about the tables that the configuration leaves out, and how to keep them."""
        if not self.outside:
            return
        several = len(self.outside) > 1
        named = ", ".join(self.outside.values())
        sentence = (
            f"table{'s' * several} {named} take{'s' * (not several)} part no longer, as syncline.toml names"
            f" tables, but not {'these' if several else 'this one'}: {KEPT} ({TABLE_DROPPED}); devices:"
            f" {_counted(self.leaving)}"
        )
        remedy = (
            f"To keep {'them' if several else 'it'}, add"
            f" {' '.join(map(names.section, self.outside.values()))} to syncline.toml, and run: syncline init"
            " syncline.toml"
        )
        yield Finding("warning", LEFT_OUT, sentence, remedy)

    def dropped(self) -> Iterator[str]:
        """What devices keep and the centre has no more, in sentences."""
        if self.change is None:
            return
        for table in self.change.gone:
            if table.number not in self.apart.reasons and table.number not in self.outside:
                yield f"table {table.name} takes part no longer: {KEPT} ({TABLE_DROPPED})"
        for one in self.change.tables:
            for number in one.gone:
                yield (
                    f"table {one.after.name}: column {one.before.values[number].name} is gone: devices keep"
                    f" it, edits of it that wait there are kept as rejected ones ({COLUMN_DROPPED})"
                )


def unless_altered(work: Callable[[], T]) -> T:
    """Do what looks at the tables and then works with what it has seen; again if others have altered them in
    between. Outdated if that happens all the time."""
    for _ in range(LOOKS - 1):
        try:
            return work()
        except Outdated as error:
            logger.info("look at the tables again: %s", error.detail, extra={"action": "schema_again"})
    return work()


def configured_plan(central: Central) -> tuple[Plan, Mapping[str, str]]:
    """The plan for the tables of the configuration, without those that cannot take part; and sentences on
    these, by name. Changes nothing. SchemaError, ConfigurationError."""
    chosen, unfit = central.configured(), dict[str, str]()
    able = central.database.catalogue.reflect(None, central.chosen_keys).tables if chosen is not None else ()
    while True:
        try:
            return _with_outside(central, plan(central, chosen), able, unfit), unfit
        except SchemaError as error:
            if chosen is None or not error.unfit:
                raise
            unfit |= error.unfit
            chosen = [name for name in chosen if name not in unfit]


def _with_outside(central: Central, found: Plan, able: Iterable[TableSchema], unfit: Collection[str]) -> Plan:
    """The plan, with what the configuration alone keeps from going on, among tables that are `able` to. One
    that it names (`unfit`) is kept from it by the lack of others."""
    lacking = frozenset(name for name in unfit if any(name in names.names_of(one) for one in able))
    left = {place_of(one) for one in able if not lacking.intersection(names.names_of(one))}
    left -= {*map(place_of, found.tables.tables), *found.apart.tables}
    found = replace(found, lacking=lacking)
    now = central.present.by_number
    ended = () if found.change is None else found.change.gone
    gone = [now[one.number] for one in ended if one.number in now]
    outside = {one.number: names.configured(one) for one in gone if place_of(one) in left}
    leaving = _having(central, [one for one in gone if one.number in outside])
    return replace(found, outside=outside, leaving=leaving) if outside else found


def missing(central: Central, unfit: Mapping[str, str], lacking: Collection[str]) -> list[Finding]:
    """What is to be done about tables of the configuration that cannot take part; `lacking`: those that could
    with others."""
    left = frozenset[str]()
    if unfit and central.was_prepared:
        with central.database.reading_ledger() as ledger:
            left = absent.read(ledger)
    known = left | {place.rpartition(".")[2] for place in left}
    found = []
    for name, sentence in unfit.items():
        remedy = SchemaError.remedy
        if name in lacking:
            remedy = (
                "Add the section of the table that it points at to syncline.toml, too, or take"
                f" {names.section(name)} out of it."
            )
        elif name in known or central.has_taken_part(name):
            remedy = (
                f"Take {names.section(name)} out of syncline.toml; or create the table again where it is"
                " gone, and put it right where it is there."
            )
        found.append(Finding("trouble", SchemaError.code, sentence, remedy))
    return found


def _counted(clients: Sequence[Client]) -> str:
    """How many, and what is counted: the hub knows of a device what that said when it last synced."""
    pending = sum(client.pending for client in clients)
    return (
        f"{len(clients)}; counted are all whose schema, when they last synced, was not older than such a"
        f" table; edits of any table that waited on them then: {pending}"
    )


def plan(
    central: Central, chosen: Sequence[str] | None, *, agreed: bool = False, without: bool = False
) -> Plan:
    """Look at the tables of these names (None: all that can take part) as they are. Changes nothing.
    SchemaError, ConfigurationError.

    `agreed`: tables that were set apart take part again as they are. `without`: all that devices cannot
    follow are set apart, also those that could be served without a column."""
    catalogue = central.database.catalogue
    tables = arrange(catalogue.reflect(chosen, central.chosen_keys).tables)
    prepared = catalogue.prepare(tables, dry_run=True)
    if prepared.before is None or prepared.schema is None:
        central.with_rules(tables)
        return Plan(tables, prepared, None)
    with central.database.reading_ledger() as ledger:
        noted = apart.read(ledger)
    known = apart.Apart({}, noted.reasons) if agreed else noted.without_mended(tables, catalogue.is_wider)
    broken = [one for one in _changes(central, prepared, known) if one.trouble]
    if not agreed:
        broken += noted.demanding(tables, catalogue.is_wider)
    left = known.with_changes(one for one in broken if without or one.breaking)
    partly = [one for one in broken if place_of(one.after) not in left.tables]
    breaking = (
        *known.sentences(),
        *(sentence for one in broken if one not in partly for sentence in one.trouble),
    )
    demands = tuple(sentence for one in partly for sentence in one.demands)
    if left.tables or partly:
        tables = apart.served(tables, left, partly)
        prepared = catalogue.prepare(tables, dry_run=True)
    assert prepared.before is not None and prepared.schema is not None, "it was prepared before"
    central.learn_names()  # another server may have prepared what was renamed
    central.learn(names.between(prepared.before, prepared.schema))
    before, after = central.marked(prepared.before), central.with_rules(prepared.schema)[0]
    change = compare(before, after, catalogue.is_wider)
    ending = [*known.tables.values(), *(one.before for one in broken if one not in partly)]
    cut_off, limited = _having(central, ending), _having(central, [one.before for one in partly])
    return Plan(tables, prepared, change, cut_off, limited, breaking, demands, left)


def agreed_to(central: Central, chosen: Sequence[str] | None) -> Prepared:
    """What `prepare` would do altogether once it was agreed to: tables that devices cannot follow end, and
    take part as other ones. Changes nothing."""
    catalogue = central.database.catalogue
    tables = arrange(catalogue.reflect(chosen, central.chosen_keys).tables)
    prepared = catalogue.prepare(tables, dry_run=True)
    ending = [one.before.number for one in _changes(central, prepared, apart.Apart()) if one.trouble]
    return catalogue.prepare(tables, dry_run=True, anew=ending)


def _changes(central: Central, prepared: Prepared, known: Apart) -> Sequence[TableChange]:
    """What has changed of the tables that take part."""
    assert prepared.before is not None and prepared.schema is not None, "it was prepared before"
    found = compare(prepared.before, prepared.schema, central.database.catalogue.is_wider).tables
    return [one for one in found if place_of(one.after) not in known.tables]


def _having(central: Central, tables: Sequence[TableSchema]) -> tuple[Client, ...]:
    """The replicas that may have one of these tables: all but those whose schema, as it was when they last
    synced, is older than each. A newer one without the table may be of a time when that was out of service,
    and which tables of its schema a file tracks the file alone knows. Columns make no difference: the table
    is out of service with all of them."""
    if not tables:
        return ()
    with central.database.reading_ledger() as ledger:
        live = [
            client
            for client in every_client(ledger)
            if not (client.revoked or client.forgotten) and client.fingerprint
        ]
        versions = {client.fingerprint: ledger.given(client.fingerprint) for client in live}
    first = min(table.number for table in tables)
    older = {
        name
        for name, text in versions.items()
        if text is not None and from_plain(json.loads(text)).used <= first
    }
    return tuple(client for client in live if client.fingerprint not in older)


def carry_out(central: Central, found: Plan) -> Prepared:
    """Prepare; what is set apart, or no longer, is noted before."""
    if found.prepared.before is not None:
        with central.database.ledger() as ledger:  # first: other servers need it as soon as it is prepared
            if apart.read(ledger) != found.apart:
                apart.note(ledger, found.apart)
            absent.note(ledger, found.prepared)
            _note_names(ledger, found.prepared)
    try:
        prepared = central.database.catalogue.prepare(found.tables)
        if (prepared.before, prepared.schema) != (found.prepared.before, found.prepared.schema):
            with central.database.ledger() as ledger:
                _note_names(ledger, prepared)
    finally:
        central.look_again()  # also where some tables were held: others may be prepared
    return prepared


def _note_names(ledger: Ledger, prepared: Prepared) -> None:
    if prepared.before is not None and prepared.schema is not None:
        names.note(ledger, names.between(prepared.before, prepared.schema))


def choose(central: Central) -> None:
    """Note, for all servers of this hub, whether it was told which tables take part. `init` says so."""
    with central.database.ledger() as ledger:
        ledger.set(CHOSEN, json.dumps(central.tables is not None))
        ruled.note(ledger, central.given)
        absent.forget(ledger)


def keep_rules(central: Central) -> None:
    """Note, for all servers of this hub, the rules that `init` was given."""
    with central.database.ledger() as ledger:
        ruled.note(ledger, central.given)


def in_force(central: Central) -> Sequence[str] | None:
    """The tables that take part, by the names they have now; None: all that can. `init` decides that, not a
    server, whose configuration may be a former one."""
    with central.database.reading_ledger() as ledger:
        said = ledger.setting(CHOSEN)
    if not json.loads(said or json.dumps(central.tables is not None)):
        return None
    catalogue = central.database.catalogue
    prepared = catalogue.prepare(arrange(catalogue.reflect(None, central.chosen_keys).tables), dry_run=True)
    if prepared.before is None or prepared.schema is None:
        return list(central.tables or ())
    with central.database.reading_ledger() as ledger:
        waiting = {*apart.read(ledger).tables, *absent.read(ledger)}
    found = prepared.schema.tables
    return [place_of(t) for t in found if t.number in prepared.before.by_number or place_of(t) in waiting]


def startable(central: Central) -> Sequence[str] | None:
    """The tables that a server which starts has to find: those that take part, and what the configuration
    names besides, but for what has taken part before without a key of the configuration's; None: all that
    can."""
    chosen = central.configured()
    if chosen is None or not central.was_prepared:
        return chosen
    with central.database.reading_ledger() as ledger:
        left = absent.read(ledger)
    known = left | {place.rpartition(".")[2] for place in left}
    keyed = {name for name, rules in (central.tables or {}).items() if rules.key}
    fresh = [
        name for name in chosen if name in keyed or (name not in known and not central.has_taken_part(name))
    ]
    taking = in_force(central)
    if taking is None:
        taking = [
            place_of(one) for one in central.database.catalogue.reflect(None, central.chosen_keys).tables
        ]
    return list(dict.fromkeys([*fresh, *taking]))


def _is_news(found: Plan) -> bool:
    """Whether there is something to prepare; another process may have done it."""
    return bool(found.prepared.statements) or found.prepared.before != found.prepared.schema


class Follower:
    """Notices changes of the tables and follows them. Safe to use from several threads."""

    def __init__(self, central: Central) -> None:
        self._central = central
        self._lock = Lock()
        self._pause = central.database.catalogue.look_seconds
        self._seen: str | None = None
        self._looked = self._asked = float("-inf")
        self._ruled = ""
        self._trouble: SynclineError | None = None
        self._found: Plan | None = None

    def look(self) -> None:
        """Look if it is time. Raises what keeps the hub from working with the tables as they are now."""
        if time.monotonic() - self._looked >= self._pause and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._lock.release()
        if self._trouble is not None:
            raise self._trouble

    def look_again(self) -> None:
        """Look at the next request, whenever that was done before."""
        self._seen, self._trouble, self._looked, self._asked = None, None, float("-inf"), float("-inf")

    def look_now(self) -> None:
        """Look: a transaction has met something that it did not expect."""
        with self._lock:
            self._seen, self._asked = None, float("-inf")
            self._look()
        if self._trouble is not None:
            raise self._trouble

    def still(self, look: Callable[[], T]) -> T:
        """What `look` finds; once more if it refuses what was altered while it looked."""
        for _ in range(ROUNDS - 1):
            before = self._standing()
            try:
                return look()
            except (SchemaError, ConfigurationError):
                if self._standing() == before:
                    raise
        return look()

    def _standing(self) -> str | None:
        """The signature; None before the first `prepare`."""
        try:
            return self._signature()
        except NotPrepared:
            return None

    def _look(self) -> None:
        """What is altered while it is looked at, is looked at again. Where that has no end the hub goes on
        with what it knew last, and looks when it is time again."""
        for _ in range(ROUNDS):
            signature: str | None = self._signature()
            if signature == self._seen:
                break
            self._trouble = None
            self._seen = self._look_once(signature)
            if self._seen is not None or self._signature() == signature:
                break
        self._looked = time.monotonic()

    def _look_once(self, signature: str | None) -> str | None:
        """Follow what was altered. Returns the signature of what was looked at; None if it is to be looked at
        again."""
        self._found = None
        try:
            if unless_altered(self._follow_anew).prepared.before is not None:
                self._central.known()  # which tables are apart is part of the signature
            return self._signature()
        except SynclineError as error:
            if isinstance(error, NotPrepared) and self._unprepared():
                self._trouble = error  # there is nothing to follow
                return signature
            is_refused = isinstance(error, SchemaError | ConfigurationError)
            if not is_refused:
                self._check_captured(error)
            if not error.retry and self._signature() != signature:  # it may not be so any more
                detail = error.detail
                logger.info("altered while looked at: %s", detail, extra={"action": "schema_again"})
                return None
            if error.retry and not self._is_harmless:
                raise
            self._complain(error)
            return None if error.retry else signature  # somebody works with a table

    def _signature(self) -> str:
        """What was altered, also of tables that are set apart: it may have been undone."""
        apart = self._central.apart
        try:
            tables = self._central.database.catalogue.signature(apart)
            return f"{tables} {apart} {self._kept_rules()}"
        except NotPrepared as error:  # a database may say which object it misses
            raise (self._unprepared() or error) from error

    def _kept_rules(self) -> str:
        if time.monotonic() - self._asked >= RULES_SECONDS:
            with self._central.database.reading_ledger() as ledger:
                self._ruled, self._asked = ruled.read(ledger), time.monotonic()
        return self._ruled

    def _follow_anew(self) -> Plan:
        """Plan and follow. `_found` is what was planned, also where that could not be followed."""
        self._found = None
        self._central.learn_rules()
        self._central.learn_names()
        self._found = found = plan(self._central, in_force(self._central))
        self._follow(found)
        return found

    def _follow(self, found: Plan) -> None:
        prepared = found.prepared
        if prepared.before is None:
            self._central.look_again()  # another process may have prepared
            return
        if found.breaking:
            logger.warning(
                "tables were changed in a way that devices cannot follow: %s; everything else goes on;"
                " undo it, or agree to it with: syncline init FILE.toml --yes",
                "; ".join(found.warnings()),
                extra={"action": "schema_breaking"},
            )
        elif found.demands:
            logger.warning(
                "devices cannot give what a column must have: %s; everything else goes on; %s",
                "; ".join(found.warnings()),
                found.remedy,
                extra={"action": "schema_demanding"},
            )
        if not _is_news(found):
            self._central.look_again()
            return
        carry_out(self._central, found)
        logger.info(
            "prepared the changed tables anew: %s",
            "; ".join(prepared.notes) or "the schema is another one",
            extra={"action": "schema_followed"},
        )

    def _unprepared(self) -> NotPrepared | None:
        """That nothing of Syncline's is in the database that this version knows; None if there is."""
        try:
            known = self._central.database.catalogue.hub_id
        except NotPrepared as error:
            return error
        assert known, "a hub has an id"
        return None

    def _check_captured(self, error: SynclineError) -> None:
        """Raise CaptureLost if tables cannot be prepared anew and writes to them go unseen meanwhile:
        nobody is told that nothing is new."""
        lost = self._central.database.catalogue.uncaptured()
        if lost:
            detail = f"{', '.join(lost)}: what other programs write is not captured: {error.detail}"
            raise CaptureLost(detail, remedy=error.remedy) from error

    @property
    def _is_harmless(self) -> bool:
        """Whether a change that could not be followed lets everything go on as it is."""
        return self._found is not None and self._found.is_harmless

    def _complain(self, error: SynclineError) -> None:
        """Go on if what is captured and served now is not touched by the change; else answer nobody."""
        logger.warning(
            "could not follow a change of the tables: %s; %s",
            error.detail,
            error.remedy,
            extra={"action": "schema_trouble"},
        )
        if not self._is_harmless:
            self._trouble = error
