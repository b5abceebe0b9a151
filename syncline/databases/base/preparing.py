"""Step 0, preparing: from what was prepared before to what is to be, within one transaction.

A dry run tells the very statements that are run otherwise.
"""

from __future__ import annotations

import json
import math
import time
from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from syncline.databases.base.before import numbers_of, present
from syncline.databases.base.dialect import Dialect
from syncline.databases.base.findings import rights_missing
from syncline.databases.base.ledger import body_of
from syncline.databases.base.lines import Line
from syncline.databases.base.planning import BasePlanner, Former, Plan
from syncline.databases.base.recorded import Recorded
from syncline.databases.base.tables import LINES, SETTINGS, VERSIONS
from syncline.databases.base.wider import UNNAMED, NamedTypes
from syncline.hub.contract import Declared, Locked, Prepared, Renaming
from syncline.hub.contract.kept import kept_json
from syncline.model.naming import folded
from syncline.model.numbering import Renamed, beginning, named_now, renumbered
from syncline.model.schema import Schema, arrange

HOLD_SECONDS = 0.6
"""For so long tables are held in one transaction, in which nobody can write to any of them."""

BATCH = 24
"""As many statements are run in one round trip: about what a new table takes."""

TABLES = 2
"""As many tables are taken in one round trip: each may have to be waited for while the others are held."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one of several tries is for: tables with the numbers in `left` stay as they are recorded, whatever
    they are now. `alone`: the others are to be had together or not at all, however long it takes."""

    left: frozenset[int] = frozenset()
    alone: bool = False


ALL = Turn()
"""Everything, unless that would take long."""


@dataclass(frozen=True, slots=True)
class Changes:
    """The schema that is recorded, the one that is to be, and the numbers of tables that are new, gone, or
    other ones than before, if they can be taken one after the other."""

    before: Schema
    after: Schema
    numbers: frozenset[int]


TYPES = "types"
"""The setting that says what types were called, see `wider.NamedTypes`."""


class Preparation(Recorded):
    """What is prepared in a database, and preparing it."""

    types = UNNAMED
    """What types were called, and are called now, as far as somebody has looked."""

    @abstractmethod
    def is_here(self) -> bool:
        """Whether it was prepared in this very database, so that what that knows tables by means the same."""

    @abstractmethod
    def astray(self) -> Iterable[int]:
        """The numbers of the tables with changes that could not be put into their log."""

    @abstractmethod
    def known_again(self, lines: Iterable[Line]) -> Renamed:
        """The tables and columns of these lines by their present names. They were recorded in this very
        database."""

    @abstractmethod
    def own_tables(self) -> Sequence[str]:
        """Statements that make Syncline's own tables. Where they are committed one by one, each of them bears
        to be run again, and the row of `state` comes last: they are run until it is there."""

    @abstractmethod
    def planner(self, former: Former, plan: Plan) -> BasePlanner[Any]:
        """What compares."""

    @abstractmethod
    def spelled(self, statement: str, *values: object) -> str:
        """A statement of the ledger's dialect, with its values in it."""

    @abstractmethod
    def removal(self) -> Prepared:
        """What removing would do."""

    @abstractmethod
    def lacking(self, schema: Schema) -> Sequence[str]:
        """Statements that would give the hub's role what it lacks for these tables: all at once."""

    @abstractmethod
    def run(self, statements: Sequence[str]) -> None:
        """Execute statements of a plan, in one round trip: others may wait meanwhile."""

    def allow(self, schema: Schema) -> None:
        """Raise GrantsMissing, unless all that these tables need is allowed."""
        lacking = self.lacking(schema)
        if lacking:
            raise rights_missing(self.ledger.session.role(), lacking)

    def former(self) -> Former:
        """What was prepared before. NotPrepared for another layout."""
        if self.found() is None:
            return Former()
        schema, lines = self.ledger.in_force(), tuple(self.ledger.lines())
        before, is_here, astray = self.ledger.before(), self.is_here(), frozenset(self.astray())
        return Former(True, schema, lines, before, is_here, astray, self.types)

    def known_types(self, now: Mapping[str, Sequence[Any]]) -> NamedTypes:
        """Types as they are called now, and as they were; without the database's own, which are known by
        nothing. Of a database that is elsewhere it is not known how they were called."""
        ledger = self.ledger_here()
        kept = ledger.setting(TYPES) if ledger is not None and self.is_here() else None
        own = {name: known for name, known in now.items() if known[0] is not None}
        return NamedTypes(kept_json("a setting", kept or "{}"), own)

    def plan(self, schema: Schema, before: Declared | None = None, anew: Collection[int] = ()) -> Prepared:
        """What `prepare` would do; `anew` as the contract says. It writes nothing, and needs no rights."""
        return self._planned(schema, before, self.former(), anew)[1]

    def changes(self, schema: Schema, before: Declared | None) -> Changes:
        """What `prepare` has to do, by tables. In another database than before tables are known by their
        names alone, and recorded anew all together."""
        former = self.former()
        plan, prepared = self._planned(schema, before, former)
        was, now = former.schema or Schema(()), prepared.schema or Schema(())
        altered = {n for n, table in now.by_number.items() if was.by_number.get(n) != table}
        numbers = {*altered, *plan.forgotten, *plan.starts, *(line.n for line in plan.records)}
        return Changes(was, now, frozenset(numbers if former.is_here else numbers - was.by_number.keys()))

    def prepare(self, schema: Schema, before: Declared | None, turn: Turn = ALL) -> Prepared:
        """Do what is missing; `before` as the contract says. Tables are held no longer than others may wait:
        of several, Locked after that, or before if it is clear."""
        former = self.former()
        plan, prepared = self._planned(schema, before, former, left=turn.left)
        several, end = not turn.alone and len(plan.starts) > 1, math.inf
        if several and plan.long:
            raise Locked("a table that takes long is taken by itself")
        for batch, holds in _batches(plan, prepared.statements):
            if several and holds and time.monotonic() > end:
                raise Locked("too many tables would be held for too long at once")
            if holds and end == math.inf:
                end = time.monotonic() + HOLD_SECONDS
            self.run(batch)
        if _is_another_version(former, prepared.schema) and not prepared.notes:
            prepared.notes.append("recorded the changed schema")
        return prepared

    def remove(self) -> Prepared:
        """Take everything away. Does nothing where there is nothing of Syncline's."""
        removed = self.removal()
        self.run(removed.statements)
        return removed

    def renamed(self) -> Renaming | None:
        """As the contract says. What was restored elsewhere is known by its names alone."""
        former = self.former()
        if former.schema is None:
            return None
        same = self.known_again(former.lines) if former.is_here else Renamed()
        return Renaming(former.schema, named_now(former.schema, same))

    def _planned(
        self,
        schema: Schema,
        before: Declared | None,
        former: Former,
        anew: Collection[int] = (),
        left: Collection[int] = (),
    ) -> tuple[Plan, Prepared]:
        plan = Plan()
        if not former.is_prepared:
            plan.statements += self.own_tables()
            plan.notes.append("created Syncline's own tables")
        same = self.known_again(former.lines).without(anew) if former.is_here else None
        schema = renumbered(schema, beginning(former.schema, anew), same)
        declared = numbers_of(schema, before, former.before)
        was = former.schema or Schema(())
        stay = was.by_number.keys() & left
        if stay:
            schema = mixed(schema, was, stay)
            kept = present(was, former.before)
            declared = {n: some for n, some in declared.items() if n not in stay}
            declared |= {n: kept[n] for n in stay if n in kept}
        self.planner(former, plan).tables(schema, declared, stay)
        statements = [*plan.statements, *self._records(former, plan, schema)]
        return plan, Prepared(statements, plan.notes, schema, former.schema, plan.amiss)

    def _records(self, former: Former, plan: Plan, schema: Schema) -> list[str]:
        """What is recorded besides."""
        dialect, made = self.ledger.session.dialect, []
        named = dialect.statement
        made += [self.spelled(named("forget line"), number) for number in plan.forgotten]
        record = dialect.upsert(LINES, _marks(dialect, len(LINES.columns)))
        made += [self.spelled(record, *astuple(line)) for line in plan.records]
        if self.types.now and self.types.recorded() != json.dumps(self.types.before, sort_keys=True):
            note = dialect.upsert(SETTINGS, _marks(dialect, 2))
            made.append(self.spelled(note, TYPES, self.types.recorded()))
        if former.before != plan.before:
            made.append(self.spelled(named("keep old"), plan.before))
        if _is_another_version(former, schema):
            keep = dialect.upsert(VERSIONS, (*_marks(dialect, 2), dialect.now))
            made.append(self.spelled(keep, schema.fingerprint, body_of(schema)))
            made.append(self.spelled(named("use version"), schema.fingerprint, schema.fingerprint))
        return made


def mixed(schema: Schema, was: Schema, stay: Collection[int]) -> Schema:
    """The schema with the tables that `stay` as they were. Locked, if a name would be that of two tables:
    what was looked up is not so any more."""
    tables = [table for table in schema.tables if table.number not in stay]
    tables += [was.by_number[n] for n in sorted(stay)]
    if len({folded(table.name) for table in tables}) < len(tables):
        raise Locked("tables were renamed meanwhile")
    return arrange(tables, schema.used)


def _batches(plan: Plan, statements: Sequence[str]) -> Iterator[tuple[Sequence[str], bool]]:
    """What is run in one round trip, and whether others may have to wait for it. What is recorded in the end
    takes no time."""
    starts, own = set(plan.starts.values()), len(plan.statements)
    first, begin, taken = min(starts, default=own), 0, 0
    for place in range(len(statements)):
        if place - begin == BATCH or (place in starts and taken == TABLES):
            yield statements[begin:place], begin < own and place > first
            begin, taken = place, 0
        taken += place in starts
    if begin < len(statements):
        yield statements[begin:], begin < own and len(statements) > first


def _marks(dialect: Dialect, count: int) -> tuple[str, ...]:
    return tuple(dialect.mark(number + 1) for number in range(count))


def _is_another_version(former: Former, schema: Schema | None) -> bool:
    return former.schema is None or schema is None or former.schema.fingerprint != schema.fingerprint
