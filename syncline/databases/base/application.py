"""Step 7, commit: the order in which staged rows are written where the database checks foreign keys itself.

    attempt    every stage in the order given, what must wait for later stages last, then all constraints
    on failure undo, and ask the adapter what it was; rows in each other's way hold third values meanwhile;
               unless that explains it, isolate the rows at fault, in halves and row by row, keeping what can
               be kept; where only the check of all constraints fails, by rows that hang together, then singly
    refused    undo everything and say which rows

A foreign key to a row that a later stage inserts is set after it (law L9: cycles and self-references); one
that would hold up the delete of a parent, or be taken along by it, is set to NULL before it. Deferrable
constraints are deferred until the end of the attempt and checked before it is over.

An adapter writes the single steps. They raise one of its `errors` or `Unwritten`; what was done within a
savepoint is undone then.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import ClassVar, Generic

from syncline.databases.base.groups import Place, groups, only
from syncline.databases.base.isolation import Attempt, Failures, L, Part, isolated, retried, without
from syncline.databases.base.order import Order
from syncline.hub.contract import Refusal
from syncline.model.schema import TableSchema


class Unwritten(Exception):
    """A statement wrote fewer rows than it was given: a trigger of the user's held some back."""


class _Undo(Exception):
    """Leaves a savepoint without keeping what was done in it."""


class _DeferredTrouble(Exception):
    """A deferred constraint fails on what was kept row by row."""


Work = Callable[[Sequence[Part[L]]], object]

ROUNDS = 4
"""So many kinds of third values are tried."""


class BaseApplication(ABC, Generic[L]):
    """One call of `Rows.apply`."""

    errors: ClassVar[tuple[type[Exception], ...]]
    """What the steps raise if the database refuses them."""

    def __init__(self, tables: Sequence[TableSchema], loaded: Sequence[L]) -> None:
        """`loaded` are the stages, of these tables."""
        self.parts = [Part(i, item, tuple(item.live)) for i, item in enumerate(loaded) if item.live]
        self._tables, self._all = tables, self.parts
        self.order = Order(tables, [item.stage for item in loaded])
        self._refusals: tuple[type[Exception], ...] = (*self.errors, Unwritten)
        self._ahead: frozenset[int] = frozenset()
        """Stages whose log entries were written before everything else, unless that was undone."""
        self._parked: int | None = None
        """The last round of third values that rows could hold."""

    def run(self) -> list[Refusal]:
        """Write all, or nothing and say which rows are to blame."""
        try:
            with self._undoable():
                self.defer()
                self._let_go()
                self._finish()
            return []
        except self._refusals as error:
            failure = self.of_rows(error)
        found = self.explained(failure)
        if found or self._swapped(failure):
            return found
        return self._isolated()

    def _finish(self) -> None:
        self._write(self.parts)
        self._complete(self.parts)
        self.check()

    # What an adapter does

    @abstractmethod
    def savepoint(self) -> AbstractContextManager[None]:
        """Undo what happens within if it raises."""

    @abstractmethod
    def defer(self) -> None:
        """Let what can be deferred be checked by `check`."""

    @abstractmethod
    def check(self) -> None:
        """Check what was deferred, and from now on at once."""

    @abstractmethod
    def insert(self, part: Part[L], postponed: Sequence[int]) -> None:
        """Insert the rows, with their log entries; NULL at the `postponed` positions."""

    @abstractmethod
    def update(self, part: Part[L], positions: Sequence[int]) -> None:
        """Set the columns at these positions, if there are any."""

    @abstractmethod
    def point(self, part: Part[L], positions: Sequence[int]) -> None:
        """Set the columns at these positions of rows that were inserted."""

    @abstractmethod
    def release(self, part: Part[L], columns: Sequence[int]) -> None:
        """Set these columns to NULL."""

    @abstractmethod
    def delete(self, part: Part[L]) -> None:
        """Delete the rows. Those that are gone already went with a cascade, or by a trigger: so be it."""

    @abstractmethod
    def log(self, part: Part[L]) -> None:
        """Write the log entries of the rows, with their old values as they are now."""

    @abstractmethod
    def keeps_old(self, part: Part[L]) -> bool:
        """Whether the log entries of this part keep old values of its rows."""

    @abstractmethod
    def of_rows(self, error: Exception) -> Exception:
        """The error, if it can be some row's fault; otherwise raise it. Everything was undone."""

    @abstractmethod
    def is_doubtful(self, failure: Exception) -> bool:
        """Whether it may be the fault of a row, or of the whole."""

    @abstractmethod
    def explained(self, failure: Exception) -> list[Refusal]:
        """Rows that an error of all of them names, if any. Raises Conflict if others were in the way."""

    @abstractmethod
    def is_in_the_way(self, failure: Exception) -> bool:
        """Whether rows that trade values, which must differ, may be what failed."""

    @abstractmethod
    def park(self, part: Part[L], first: int, round_: int, prepare: Callable[[], None]) -> bool:
        """Let rows hold third values, numbered from `first`, in what must differ: updated ones where they
        change it, and those that are deleted later.

        Whether there is such a column; `prepare` is called before. `round_` says which kind of values."""

    @abstractmethod
    def singly(self, part: Part[L], rows: Sequence[int]) -> list[tuple[int, Exception]]:
        """Write these rows of a part one by one, without log entries: those that are refused, and why."""

    @abstractmethod
    def depends_on_others(self, failure: Exception) -> bool:
        """Whether a row may have failed because of other rows, rather than of its own values."""

    @abstractmethod
    def refusal(self, part: Part[L], failure: Exception) -> Refusal:
        """Why the single row of a part is refused."""

    # One attempt

    def _let_go(self) -> None:
        """Children that get another parent, before the former one is deleted and takes them along."""
        moving = self.order.moving()
        for part in self.parts:
            columns = moving.get(part.index, ())
            if columns:
                self._log_ahead(part)
                self.release(part, columns)

    def _write(self, parts: Sequence[Part[L]]) -> None:
        """First passes, in order. Children whose parents are deleted before them let go at the start."""
        early = self.order.early_deletes([part.index for part in parts])
        for part in parts:
            if part.index in early:
                self._log_once(part)
                if early[part.index]:
                    self.release(part, early[part.index])
        for part in parts:
            if part.form == "insert":
                self.insert(part, self.order.postponed.get(part.index, ()))
            elif part.form == "update":
                self._update_logged(part)
            else:
                if part.index not in early:
                    self._log_once(part)
                self.delete(part)

    def _update_logged(self, part: Part[L]) -> None:
        """Old values are kept before they go."""
        before = self.keeps_old(part)
        if before:
            self._log_once(part)
        waiting = self.order.postponed.get(part.index, ())
        self.update(part, [i for i in range(len(part.loaded.stage.columns)) if i not in waiting])
        if not before:
            self.log(part)

    def _log_once(self, part: Part[L]) -> None:
        """Log the rows, unless that was done ahead of everything."""
        if part.index not in self._ahead:
            self.log(part)

    def _complete(self, parts: Sequence[Part[L]]) -> None:
        """Second passes: the columns that had to wait for other rows."""
        for part in parts:
            positions = self.order.postponed.get(part.index, ())
            if positions and part.form == "insert":
                self.point(part, positions)
            elif positions:
                self.update(part, positions)

    # When it fails

    def _swapped(self, failure: Exception) -> bool:
        """Whether everything can be written by way of third values, where rows are in each other's way."""
        for round_ in range(ROUNDS if self.is_in_the_way(failure) else 0):
            try:
                with self._undoable():
                    self.defer()
                    self._let_go()
                    if not self._park(round_):
                        raise _Undo
                    self._parked = round_
                    self._finish()
                return True
            except _Undo:
                return False
            except self._refusals as error:
                self.of_rows(error)
        return False

    def _park(self, round_: int) -> bool:
        first, found = 1, False
        for part in self.parts:
            if part.form != "insert":
                found = self.park(part, first, round_, partial(self._log_ahead, part)) or found
            first += len(part.loaded.stage.rows)
        return found

    def _log_ahead(self, part: Part[L]) -> None:
        """Old values are kept before others are put in their place."""
        if self.keeps_old(part):
            self._log_once(part)
            self._ahead |= {part.index}

    def _isolated(self) -> list[Refusal]:
        """Keep what can be kept, row by row where need be; undo it unless that was everything."""
        self.order = self.order.strict()
        for begin in (self.defer, self._keep_together):
            refused: list[Refusal] = []
            try:
                with self._undoable():
                    begin()
                    refused = self._kept()
                    if refused:
                        raise _Undo
                return []
            except _Undo:
                return refused
            except _DeferredTrouble as error:
                trouble = error
            finally:
                self.parts = self._all
        raise trouble

    def _keep_together(self) -> None:
        """Keep the rows that hang together and pass every check with each other. The others are left; they
        are checked at once from now on."""
        self.defer()
        self._attempt(lambda _: self._let_go())(self.parts)

        def work(parts: Sequence[Part[L]]) -> None:
            self._write(parts)
            self._complete(parts)
            self.check()
            self.defer()

        self.parts = only(self.parts, self._apart(groups(self._tables, self.parts), self._attempt(work)))
        self.check()

    def _apart(self, some: Sequence[Set[Place]], attempt: Attempt[L, Exception]) -> set[Place]:
        """The rows of the groups, one or more, that do not let it be done."""
        rows = {place for group in some for place in group}
        if attempt(only(self.parts, rows)) is None:
            return set()
        if len(some) == 1:
            return rows
        half = len(some) // 2
        return self._apart(some[:half], attempt) | self._apart(some[half:], attempt)

    def _kept(self) -> list[Refusal]:
        self._attempt(lambda _: self._let_go())(self.parts)  # unless a check does not allow NULL
        if self._parked is not None:
            self._park(self._parked)
        elif any(part.form == "delete" for part in self.parts):
            self._part_ways()
        found = isolated(self.parts, self._attempt(self._write), self._one_by_one)
        failures = [one for one in found if not self.depends_on_others(one[1])]
        failures += retried([one for one in found if self.depends_on_others(one[1])], self._once_more)
        out = {(part.index, part.rows[0]) for part, _ in failures}
        kept = [part for whole in self.parts if (part := without(whole, out)) is not None]
        waiting = [part for part in kept if part.index in self.order.postponed]
        failures += isolated(waiting, self._attempt(self._complete))
        trouble = self._attempt(lambda _: self.check())(self.parts)
        if trouble is not None and not failures:
            raise _DeferredTrouble from trouble
        self._check_doubtful(failures)
        return [self.refusal(part, failure) for part, failure in failures]

    def _part_ways(self) -> None:
        """What is deleted at the end gives up its unique values before, if it can: a row that needs one is
        there then in time for those that are moved to it, which else would go with their former parent."""
        self._attempt(lambda _: self._park(0))(self.parts)

    def _one_by_one(self, parts: Sequence[Part[L]]) -> Failures[L, Exception]:
        """Try every row of these, and log them all: if one stays refused, everything is undone."""
        early = self.order.early_deletes([part.index for part in parts])
        found: Failures[L, Exception] = []

        def work(parts: Sequence[Part[L]]) -> None:
            for part in parts:
                before = part.form == "delete" or self.keeps_old(part)
                if before:
                    self._log_once(part)
                if early.get(part.index):
                    self.release(part, early[part.index])
                found.extend(self._by_itself(part, part.rows))
                if not before:
                    self.log(part)

        if self._attempt(work)(parts) is None:
            return found
        return isolated(parts, self._attempt(self._write))  # what is told by none but the row itself

    def _once_more(self, parts: Sequence[Part[L]]) -> Failures[L, Exception]:
        """Try single rows again, which are logged already."""
        rows: dict[int, list[int]] = {}
        for part in parts:
            rows.setdefault(part.index, []).extend(part.rows)
        found: Failures[L, Exception] = []

        def work(parts: Sequence[Part[L]]) -> None:
            for part in parts:
                if part.index in rows:
                    found.extend(self._by_itself(part, sorted(rows[part.index])))

        failure = self._attempt(work)(self.parts)
        return found if failure is None else [(part, failure) for part in parts]

    def _by_itself(self, part: Part[L], rows: Sequence[int]) -> Failures[L, Exception]:
        return [(replace(part, rows=(row,)), why) for row, why in self.singly(part, rows)]

    def _check_doubtful(self, failures: Failures[L, Exception]) -> None:
        """Raise what may not be a row's fault, unless other rows of its kind passed."""
        left: dict[tuple[int, str], int] = {}
        for part in self._all:
            left[part.kind] = left.get(part.kind, 0) + len(part.rows)
        for part, _ in failures:
            left[part.kind] -= 1
        for part, failure in failures:
            if not left[part.kind] and self.is_doubtful(failure):
                raise failure

    @contextmanager
    def _undoable(self) -> Iterator[None]:
        """A savepoint. What is undone with it was not logged ahead either."""
        ahead = self._ahead
        try:
            with self.savepoint():
                yield
        except BaseException:
            self._ahead = ahead
            raise

    def _attempt(self, work: Work[L]) -> Attempt[L, Exception]:
        """The work within a savepoint; why it failed, if it did."""

        def attempt(parts: Sequence[Part[L]]) -> Exception | None:
            try:
                with self._undoable():
                    work(parts)
                return None
            except self._refusals as error:
                return self.of_rows(error)

        return attempt
