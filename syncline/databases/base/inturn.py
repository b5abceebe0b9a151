"""Step 0, preparing tables that are in use: each is taken when it is free, and nobody waits for all of them.

The first try is for all that are new or changed. If one of them is held, or it takes too long, each half is
tried, and so on: what is free is taken at once, and what is not is tried again for a while. A table that has
to wait stays as it is recorded, which is what it was until it was altered: capture and hub know how to work
with a table between that and its next preparation. So a version in which some tables are already as they are
now, and others not yet, is one that would have been there if these had been altered a moment later. What
would make it none, a name that two tables have, a foreign key that points nowhere, is taken together."""

from __future__ import annotations

import math
import random
import time
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Generic, TypeVar

from syncline.databases.base.holders import ANOTHER, BaseHolders, Hold
from syncline.databases.base.preparing import ALL, Changes, Preparation, Turn
from syncline.databases.base.recorded import BaseCatalogue
from syncline.databases.base.shape import BaseLayout
from syncline.databases.base.wider import UNNAMED
from syncline.errors import Conflict
from syncline.hub.contract import Declared, Locked, Prepared
from syncline.model.naming import folded
from syncline.model.schema import ColumnSchema, ForeignKey, Schema, TableSchema, arrange

PAUSE_SECONDS = 0.2
"""About how long nobody is kept waiting between two tries."""

Attempt = Callable[[Schema, Turn], Prepared]
"""Prepares these tables in one transaction. Raises Locked if somebody holds one of them."""

NOTHING = Changes(Schema(()), Schema(()), frozenset())


class Needs:
    """Which of the tables that change cannot do so without which others."""

    def __init__(self, changes: Changes) -> None:
        self._was = {n: table for n, table in changes.before.by_number.items() if n in changes.numbers}
        self._now = {n: table for n, table in changes.after.by_number.items() if n in changes.numbers}
        self._former = {name: n for n, table in self._was.items() for name in _names(table)}
        self._named = {table.name: n for n, table in self._now.items()}
        self._children: dict[str, list[tuple[int, ForeignKey]]] = {}
        for n, table in self._was.items():
            for key in table.foreign_keys:
                self._children.setdefault(key.parent, []).append((n, key))

    def of(self, n: int) -> set[int]:
        """All that a table needs, itself among them."""
        found: set[int] = set()
        ahead = [n]
        while ahead:
            one = ahead.pop()
            if one not in found:
                found.add(one)
                ahead += self._next(one)
        return found

    def _next(self, n: int) -> Iterator[int]:
        """Tables that cannot be recorded as they were beside this one as it is now."""
        was, now = self._was.get(n), self._now.get(n)
        if now is not None:
            yield from (self._former[name] for name in _names(now) if name in self._former)
            for key in now.foreign_keys:
                parent = self._named.get(key.parent)
                if parent is not None and not _is_target(self._was.get(parent), key):
                    yield parent
        if was is not None:
            yield from (child for child, key in self._children.get(was.name, ()) if not _is_target(now, key))


def _names(table: TableSchema) -> tuple[object, object]:
    """What no other table may have: its name on a device, its place in the central database."""
    return folded(table.name), (table.central_schema, table.central_name)


def _is_target(table: TableSchema | None, key: ForeignKey) -> bool:
    """Whether the foreign key can point at the table."""
    if table is None or table.name != key.parent:
        return False
    return set(key.parent_columns) in (set(table.key), *map(set, table.uniques))


class InTurn:
    """One preparation of a schema. `look` says what has to be done for it."""

    def __init__(self, schema: Schema, attempt: Attempt, look: Callable[[], Changes]) -> None:
        self._schema, self._attempt, self._look = schema, attempt, look
        self._changes = NOTHING
        self._needs: dict[int, set[int]] = {}
        self._taken: set[int] = set()
        self._done: list[Prepared] = []

    def run(self, seconds: float) -> Prepared:
        """Take everything. Locked, if some table was held for so long; see `left` and the argument."""
        end = time.monotonic() + seconds
        try:
            self._done.append(self._attempt(arrange(self._schema.tables), ALL))
            return self._merged()
        except Locked:
            waiting = self._groups()
        held: Locked | None
        waiting, held = self._halved(waiting)
        while held is not None:
            if time.monotonic() > end:
                self.left = [self._table(n) for group in waiting for n in group]
                raise held
            time.sleep(random.uniform(0.5, 1.5) * PAUSE_SECONDS)
            waiting, held = self._take(waiting)
        return self._merged()

    left: Sequence[TableSchema] = ()
    """The new and changed tables that were not to be had."""

    @property
    def is_new(self) -> bool:
        """Whether all of these are new."""
        former = self._changes.before.by_number
        return bool(self.left) and not any(table.number in former for table in self.left)

    def _table(self, n: int) -> TableSchema:
        """As it is now, or was if it goes."""
        return self._changes.after.by_number.get(n) or self._changes.before.by_number[n]

    def _groups(self) -> list[list[int]]:
        """The tables that change, those first that others need; those that need each other are one group."""
        self._changes = self._look()
        needs = Needs(self._changes)
        self._needs = {n: needs.of(n) for n in sorted(self._changes.numbers)}
        groups: dict[frozenset[int], list[int]] = {}
        for n, needed in self._needs.items():
            groups.setdefault(frozenset(needed), []).append(n)
        return [groups[needed] for needed in sorted(groups, key=len)]

    def _halved(self, groups: list[list[int]]) -> tuple[list[list[int]], Locked | None]:
        """Take them in two tries."""
        half = (len(groups) + 1) // 2
        first, why = self._take(groups[:half])
        second, also = self._take(groups[half:]) if groups[half:] else ([], None)
        return first + second, why or also

    def _turn(self, chosen: Collection[int], *, alone: bool) -> tuple[Schema, Turn]:
        """A try for all but those that are not chosen."""
        others = self._changes.numbers - set(chosen)
        left = others & self._changes.before.by_number.keys()
        new = {self._changes.after.by_number[n].name for n in others - left}
        return arrange(t for t in self._schema.tables if t.name not in new), Turn(frozenset(left), alone)

    def _take(self, groups: list[list[int]]) -> tuple[list[list[int]], Locked | None]:
        """Take these groups, or what can be had of them; what is left, and why."""
        wanted = self._taken.union(*groups)
        ready = [group for group in groups if self._needs[group[0]] <= wanted]
        left = [group for group in groups if group not in ready]
        if groups and not ready:
            return left, Locked("a table that it needs is held")
        chosen = self._taken.union(*ready)
        try:
            self._done.append(self._attempt(*self._turn(chosen, alone=len(ready) < 2)))
        except Locked as held:
            if len(ready) < 2:
                return groups, held
            rest, why = self._halved(ready)
            return rest + left, why
        self._taken = chosen
        return left, Locked("a table that it needs is held") if left else None

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

    types = UNNAMED
    """What types were called, and were at the last `reflect`."""

    @abstractmethod
    def changing(self) -> AbstractContextManager[Preparation]:
        """The same in a transaction that waits but a moment for each lock, and is committed at the end. What
        is done in it raises Locked."""

    @abstractmethod
    def fits(self, before: ColumnSchema, after: ColumnSchema) -> bool:
        """As the contract says of `is_wider`, where types have the names that they had."""

    def is_wider(self, before: ColumnSchema, after: ColumnSchema) -> bool:
        """As the contract says."""
        return self.fits(self.types.followed(before, after), after)

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

    def _attempt(self, schema: Schema, before: Declared | None, turn: Turn) -> Prepared:
        """One try, in one transaction."""
        with self.changing() as preparation:
            preparation.allow(schema)
            return preparation.prepare(schema, before, turn)

    def _changes(self, schema: Schema, before: Declared | None) -> Changes:
        """What has to be done."""
        with self.looking() as preparation:
            return preparation.changes(schema, before)

    def _in_turn(self, schema: Schema, before: Declared | None) -> Prepared:
        """Prepare, each table when it is to be had. Conflict says who holds the others."""
        work = InTurn(
            schema,
            lambda part, turn: self._attempt(part, before, turn),
            lambda: self._changes(schema, before),
        )
        try:
            return work.run(self.patience)
        except Locked as held:
            raise self._held(work.left or schema.tables, some=bool(work.left), new=work.is_new) from held

    def _held(self, tables: Sequence[TableSchema], *, some: bool, new: bool) -> Conflict:
        """What is said of tables that were not to be had: `some`, or all. Who reads one is waited for only
        where triggers are made anew."""
        names = [self.named(table) for table in tables]
        hows: tuple[Hold, ...] = ("written",) if new else ("written", "read")
        with self.holders() as holders:
            found = holders.first(holders.known_as(names), *hows)
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
