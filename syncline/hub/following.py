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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Lock

from syncline.errors import BreakingChange, CaptureLost, ConfigurationError, SchemaError, SynclineError
from syncline.hub import names
from syncline.hub.central import Central
from syncline.hub.clients import every_client
from syncline.hub.contract import Client, Prepared
from syncline.model.evolution import SchemaChange, compare
from syncline.model.schema import Schema, arrange

logger = logging.getLogger("syncline.hub")
CHOSEN = "tables_chosen"
"""The setting that says whether `init` was told which tables take part."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What `prepare` would do for these tables, and what that means for devices; `change` is None the first
    time. `concerned` are the replicas that would be refused."""

    tables: Schema
    prepared: Prepared
    change: SchemaChange | None
    concerned: tuple[Client, ...] = ()

    @property
    def breaking(self) -> tuple[str, ...]:
        """What devices cannot follow, in sentences."""
        return () if self.change is None else self.change.breaking

    @property
    def is_harmless(self) -> bool:
        """Whether everything that is captured and served now goes on as it is without `prepare`."""
        change = self.change
        return change is not None and not (
            change.gone or any(one.gone or one.renamed or one.retyped for one in change.tables)
        )

    def warnings(self) -> Iterator[str]:
        """What an operator should know before, in sentences."""
        yield from self.breaking
        if self.breaking:
            pending = sum(client.pending for client in self.concerned)
            yield (
                f"replicas that would be refused and have to be cloned anew: {len(self.concerned)};"
                f" edits that waited on them when they last synced: {pending}"
            )


def plan(central: Central, chosen: Sequence[str] | None) -> Plan:
    """Look at the tables of these names (None: all that can take part) as they are. Changes nothing.
    SchemaError, ConfigurationError."""
    catalogue = central.database.catalogue
    tables = arrange(catalogue.reflect(chosen, central.chosen_keys).tables)
    prepared = catalogue.prepare(tables, dry_run=True)
    if prepared.before is None or prepared.schema is None:
        central.with_rules(tables)
        return Plan(tables, prepared, None)
    central.learn_names()  # another server may have prepared what was renamed
    central.learn(names.between(prepared.before, prepared.schema))
    before, after = central.marked(prepared.before), central.with_rules(prepared.schema)[0]
    change = compare(before, after, catalogue.is_wider)
    concerned: tuple[Client, ...] = ()
    if change.breaking:
        with central.database.ledger() as ledger:
            concerned = tuple(
                client
                for client in every_client(ledger)
                if not (client.revoked or client.forgotten) and client.fingerprint
            )
    return Plan(tables, prepared, change, concerned)


def carry_out(central: Central, found: Plan) -> Prepared:
    """Prepare. Devices that cannot follow are refused from now on."""
    if found.breaking:
        with central.database.ledger() as ledger:
            ledger.refuse_given()
    before, schema = found.prepared.before, found.prepared.schema
    if before is not None and schema is not None:
        with central.database.ledger() as ledger:  # first: other servers need them as soon as it is prepared
            names.note(ledger, names.between(before, schema))
    prepared = central.database.catalogue.prepare(found.tables)
    if prepared.before is not None and prepared.schema is not None:
        with central.database.ledger() as ledger:
            names.note(ledger, names.between(prepared.before, prepared.schema))
    central.look_again()
    return prepared


def choose(central: Central) -> None:
    """Note, for all servers of this hub, whether it was told which tables take part. `init` says so."""
    with central.database.ledger() as ledger:
        ledger.set(CHOSEN, json.dumps(central.tables is not None))


def in_force(central: Central) -> Sequence[str] | None:
    """The tables that take part, by the names they have now; None: all that can. `init` decides that, not a
    server, whose configuration may be a former one."""
    with central.database.ledger() as ledger:
        said = ledger.setting(CHOSEN)
    if not json.loads(said or json.dumps(central.tables is not None)):
        return None
    catalogue = central.database.catalogue
    prepared = catalogue.prepare(arrange(catalogue.reflect(None, central.chosen_keys).tables), dry_run=True)
    if prepared.before is None or prepared.schema is None:
        return list(central.tables or ())
    present = [table for table in prepared.schema.tables if table.number in prepared.before.by_number]
    return [f"{t.central_schema}.{t.central_name}" if t.central_schema else t.central_name for t in present]


class Follower:
    """Notices changes of the tables and follows them. Safe to use from several threads."""

    def __init__(self, central: Central) -> None:
        self._central = central
        self._lock = Lock()
        self._pause = central.database.catalogue.look_seconds
        self._seen: str | None = None
        self._looked = float("-inf")
        self._trouble: SynclineError | None = None

    def look(self) -> None:
        """Look if it is time. Raises what keeps the hub from working with the tables as they are now."""
        if time.monotonic() - self._looked >= self._pause and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._lock.release()
        if self._trouble is not None:
            raise self._trouble

    def look_now(self) -> None:
        """Look: a transaction has met something that it did not expect."""
        with self._lock:
            self._seen = None
            self._look()
        if self._trouble is not None:
            raise self._trouble

    def _look(self) -> None:
        signature: str | None = self._central.database.catalogue.signature()
        if signature != self._seen:
            self._trouble = None
            found = None
            try:
                self._central.learn_names()
                found = plan(self._central, in_force(self._central))
                self._follow(found)
                signature = self._central.database.catalogue.signature()
            except (SchemaError, ConfigurationError) as error:
                self._complain(found, error)
            except SynclineError as error:
                self._check_captured(error)
                if error.retry and (found is None or not found.is_harmless):
                    raise
                self._complain(found, error)
                if error.retry:  # somebody works with a table; what is prepared fits it still
                    signature = None
            self._seen = signature
        self._looked = time.monotonic()

    def _follow(self, found: Plan) -> None:
        prepared = found.prepared
        if prepared.before is None or not (prepared.statements or prepared.before != prepared.schema):
            self._central.look_again()  # another process may have prepared
            return
        if found.breaking:
            logger.warning(
                "the tables were changed in a way that devices cannot follow: %s; run: syncline init",
                "; ".join(found.warnings()),
                extra={"action": "schema_breaking"},
            )
            if not found.is_harmless:
                raise BreakingChange("; ".join(found.warnings()))
            return
        carry_out(self._central, found)
        logger.info(
            "prepared the changed tables anew: %s",
            "; ".join(prepared.notes) or "the schema is another one",
            extra={"action": "schema_followed"},
        )

    def _check_captured(self, error: SynclineError) -> None:
        """Raise CaptureLost if tables cannot be prepared anew and writes to them go unseen meanwhile:
        nobody is told that nothing is new."""
        lost = self._central.database.catalogue.uncaptured()
        if lost:
            detail = f"{', '.join(lost)}: what other programs write is not captured: {error.detail}"
            raise CaptureLost(detail, remedy=error.remedy) from error

    def _complain(self, found: Plan | None, error: SynclineError) -> None:
        """Go on if what is captured and served now is not touched by the change; else answer nobody."""
        logger.warning(
            "could not follow a change of the tables: %s; %s",
            error.detail,
            error.remedy,
            extra={"action": "schema_trouble"},
        )
        if found is None or not found.is_harmless:
            self._trouble = error
