"""Step 0, preparing tables that are in use: each is taken when it is free, and nobody waits for all of them.

The first try is for all that are new. If one of them is held, each half is tried, and so on: what is free
takes part at once, and what is not is tried again for a while. A table never takes part without the new
tables that its foreign keys point at."""

from __future__ import annotations

import math
import random
import time
from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Generic, TypeVar

from syncline.databases.base.holders import ANOTHER, BaseHolders
from syncline.databases.base.preparing import Preparation
from syncline.databases.base.recorded import BaseCatalogue
from syncline.databases.base.shape import BaseLayout
from syncline.errors import Conflict
from syncline.hub.contract import Declared, Locked, Prepared
from syncline.model.schema import Schema, TableSchema, arrange

PAUSE_SECONDS = 0.2
"""About how long nobody is kept waiting between two tries."""

Attempt = Callable[[Schema], Prepared]
"""Prepares these tables in one transaction. Raises Locked if somebody holds one of them."""


class InTurn:
    """One preparation of a schema, of which the tables named `known` take part already."""

    def __init__(self, schema: Schema, known: Collection[str], attempt: Attempt) -> None:
        self._schema, self._attempt = schema, attempt
        self._taken = {table.name for table in schema.tables if table.name in known}
        self._needs = {table.name: self._needed(table) for table in schema.tables}
        self._done: list[Prepared] = []

    def run(self, seconds: float) -> Prepared:
        """Take everything. Locked, if some table was held for so long; see `left` and the argument."""
        waiting, end = self._groups(), time.monotonic() + seconds
        while True:
            waiting, held = self._take(waiting)
            if held is None:
                return self._merged()
            if time.monotonic() > end:
                self.left = [name for group in waiting for name in group]
                raise held
            time.sleep(random.uniform(0.5, 1.5) * PAUSE_SECONDS)

    left: Sequence[str] = ()
    """The names of the new tables that were not to be had."""

    def _needed(self, table: TableSchema) -> set[str]:
        """The new tables that the table needs, itself among them."""
        tables = {one.name: one for one in self._schema.tables}
        found: set[str] = set()
        ahead = [table.name]
        while ahead:
            name = ahead.pop()
            if name in tables and name not in found and name not in self._taken:
                found.add(name)
                ahead += [key.parent for key in tables[name].foreign_keys]
        return found

    def _groups(self) -> list[list[str]]:
        """The new tables in the order of their foreign keys; those that need each other are one group."""
        groups: list[list[str]] = []
        for table in self._schema.tables:
            if table.name not in self._taken and not any(table.name in group for group in groups):
                needed = self._needs[table.name]
                groups.append([name for name in needed if table.name in self._needs[name]])
        return groups

    def _take(self, groups: list[list[str]]) -> tuple[list[list[str]], Locked | None]:
        """Take these groups, or what can be had of them; what is left, and why."""
        wanted = self._taken.union(*groups)
        ready = [group for group in groups if self._needs[group[0]] <= wanted]
        left = [group for group in groups if group not in ready]
        if groups and not ready:
            return left, Locked("a table that it points at is held")
        chosen = self._taken.union(*ready)
        try:
            self._done.append(self._attempt(arrange(t for t in self._schema.tables if t.name in chosen)))
        except Locked as held:
            if len(ready) < 2:
                return groups, held
            half = len(ready) // 2
            first, why = self._take(ready[:half])
            second, also = self._take(ready[half:])
            return first + second + left, why or also
        self._taken = chosen
        return left, Locked("a table that it points at is held") if left else None

    def _merged(self) -> Prepared:
        """What all tries did, together."""
        merged, first, last = Prepared(), self._done[0], self._done[-1]
        for one in self._done:
            merged.statements += one.statements
            merged.amiss += [note for note in one.amiss if note not in merged.amiss]
            merged.notes += [note for note in one.notes if note not in merged.notes]
        merged.before, merged.schema = first.before, last.schema
        return merged


Y = TypeVar("Y", bound=BaseLayout[Any])


class PatientCatalogue(BaseCatalogue[Y, Preparation], Generic[Y]):
    """The part of the contract's `Catalogue` that makes ready and takes away, where others use the tables and
    altering one waits for all of them; and what is kept in memory of what is prepared."""

    patience: ClassVar[float]
    """For how many seconds it is tried."""

    notes: tuple[str, ...] = ()
    """Sentences of the last `reflect`."""

    @abstractmethod
    def changing(self) -> AbstractContextManager[Preparation]:
        """The same in a transaction that waits but a moment for each lock, and is committed at the end. What
        is done in it raises Locked."""

    @abstractmethod
    def named(self, table: TableSchema) -> str:
        """A table as statements name it."""

    @abstractmethod
    def holders(self) -> AbstractContextManager[BaseHolders[Any]]:
        """Who holds what, asked in a transaction."""

    @property
    def hub_id(self) -> str:
        """A uuid made at the first `prepare`. NotPrepared before."""
        return self.known().hub

    def known(self) -> Y:
        """The layout, looked up if need be."""
        if self.kept is None:
            self.load()
        assert self.kept is not None, "it was loaded"
        return self.kept

    def prepare(
        self,
        schema: Schema,
        *,
        before: Declared | None = None,
        dry_run: bool = False,
        anew: Collection[int] = (),
    ) -> Prepared:
        """Create Syncline's own tables and the capture triggers; see the contract."""
        if dry_run:
            with self.looking() as preparation:
                preparation.allow(schema)
                prepared = preparation.plan(schema, before, anew)
        else:
            prepared = self._in_turn(schema, before)
        prepared.notes.extend(self.notes)
        return prepared

    def taking_part(self) -> list[str]:
        """The names of the tables that take part already."""
        with self.looking() as preparation:
            former = preparation.in_force()
        return [] if former is None else [table.name for table in former.tables]

    def _attempt(self, schema: Schema, before: Declared | None) -> Prepared:
        """One try, in one transaction."""
        with self.changing() as preparation:
            preparation.allow(schema)
            return preparation.prepare(schema, before)

    def _in_turn(self, schema: Schema, before: Declared | None) -> Prepared:
        """Prepare, each table when it is to be had. Conflict says who holds the others."""
        known = self.taking_part()
        work = InTurn(schema, known, lambda part: self._attempt(part, before))
        try:
            return work.run(self.patience)
        except Locked as held:
            names = set(work.left or known)
            tables = [table for table in schema.tables if table.name in names]
            raise self._held(tables, some=bool(work.left)) from held

    def _held(self, tables: Sequence[TableSchema], *, some: bool) -> Conflict:
        """What is said of tables that were not to be had: `some`, or all that take part."""
        names = [self.named(table) for table in tables]
        with self.holders() as holders:
            found = holders.first(holders.known_as(names), "written" if some else "read")
        who = ", ".join(found) or ANOTHER
        rest = "; all other tables are prepared" if some else ""
        return Conflict(
            f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''}: in use by {who}{rest}",
            remedy=f"Try again when it has ended; it goes on where it stopped. {holders.remedy}",
        )

    def remove(self, *, dry_run: bool = False) -> Prepared:
        """Take all tables at once, as soon as that can be. Locked, if some table was held for so long."""
        if dry_run:
            with self.looking() as preparation:
                return preparation.removal()
        end = math.inf
        while True:
            try:
                with self.changing() as preparation:
                    return preparation.remove()
            except Locked:
                if time.monotonic() > end:
                    raise
                end = min(end, time.monotonic() + self.patience)
                time.sleep(random.uniform(0.5, 1.5) * PAUSE_SECONDS)
