"""Step 7 in PostgreSQL: writing staged rows and their log entries, in sets, within a savepoint.

    attempt    every stage in the order given, what must wait for later stages last, then all constraints
    on failure undo, find out what met whom: a row committed meanwhile is a Conflict, an absent parent a
               refusal; anything else is isolated by halving, keeping what can be kept
    refused    undo everything and say which rows

A foreign key to a row that a later stage inserts is set after it (law L9: cycles and self-references); one
that would hold up the delete of a parent, or be taken along by it, is set to NULL before it. Deferrable
constraints are deferred until the end of the attempt and checked before it is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import psycopg

from syncline.databases.base.isolation import Attempt, Failures, Part, isolated, tried_again, without
from syncline.databases.base.order import Order
from syncline.databases.postgresql import statements as sql
from syncline.databases.postgresql.errors import Fault, fault_of, message_of, refusal_code
from syncline.databases.postgresql.layout import Layout
from syncline.databases.postgresql.parents import Parents
from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.sql import queries
from syncline.databases.postgresql.stage import Loaded, place
from syncline.errors import Conflict
from syncline.hub.contract import Refusal, codes
from syncline.model.masks import split_mask
from syncline.model.values import EVERYTHING, mask_of


class Unwritten(Exception):
    """A statement wrote fewer rows than it was given: a trigger of the user's held some back."""


class Undo(Exception):
    """Leaves a savepoint without keeping what was done in it."""


class DeferredTrouble(Exception):
    """A deferred constraint fails on what was kept row by row."""


Failure = psycopg.Error | Unwritten
Work = Callable[[Sequence[Part[Loaded]]], None]


class Application:
    """One call of `Rows.apply`."""

    def __init__(
        self, session: Session, layout: Layout, loaded: Sequence[Loaded], origin: str, attempt: int = 0
    ) -> None:
        """`attempt`: how often the transaction was run before."""
        self._session = session
        self._attempts = attempt
        self._layout = layout
        self._origin = origin
        self._parts = [Part(i, item, tuple(item.live)) for i, item in enumerate(loaded) if item.live]
        self._order = Order([item.shape.table for item in loaded], [item.stage for item in loaded])
        self._parents = Parents(session, layout, loaded)
        self._refused = [refusal for item in loaded for refusal in item.refused.values()]
        self._deferrable = any(fk.deferrable for item in loaded for fk in item.shape.table.foreign_keys)
        self._digits = ""
        self._ahead: set[int] = set()
        """Updates whose log entries were written before everything else."""

    def run(self) -> list[Refusal]:
        """Write or nothing and say which rows are to blame."""
        if self._refused or not self._parts:
            return self._refused
        for part in self._parts:
            if not self._is_straight(part):
                place(self._session, part.loaded)
        try:
            with self._session.savepoint():
                self._start(immediate=False)
                self._let_go()
                self._write(self._parts)
                self._complete(self._parts)
                self._session.script("SET CONSTRAINTS ALL IMMEDIATE")
            return []
        except (psycopg.Error, Unwritten) as error:
            failure = self._of_rows(error)
        for part in self._parts:
            place(self._session, part.loaded)
        self._look_for_others(failure)
        found = self._parents.orphans(failure, self._parts)
        return found or self._isolated()

    # One attempt

    def _start(self, *, immediate: bool) -> None:
        self._digits = ""
        self._ahead.clear()
        if immediate:
            self._session.script("SET CONSTRAINTS ALL IMMEDIATE")
        elif self._deferrable:
            self._session.script("SET CONSTRAINTS ALL DEFERRED")

    def _let_go(self) -> None:
        """Children that get another parent, before the former one is deleted and takes them along."""
        moving = self._order.moving()
        for part in self._parts:
            columns = moving.get(part.index, ())
            if columns and self._keeps_old(part):
                self._log(part)
                self._ahead.add(part.index)
            self._release(part, columns)

    def _write(self, parts: Sequence[Part[Loaded]]) -> None:
        """First passes, in order. Children whose parents are deleted before them let go at the start."""
        early = self._order.early_deletes([part.index for part in parts])
        for part in parts:
            if part.index in early:
                self._log(part)
                self._release(part, early[part.index])
        for part in parts:
            if part.form == "insert":
                self._insert(part)
            elif part.form == "update":
                self._update_logged(part)
            else:
                self._delete(part, logged=part.index in early)

    def _complete(self, parts: Sequence[Part[Loaded]]) -> None:
        """Second passes: the columns that had to wait for other rows."""
        for part in parts:
            self._point(part)

    def _insert(self, part: Part[Loaded]) -> None:
        if self._is_straight(part):
            self._insert_straight(part)
            return
        shape, columns = part.loaded.shape, part.loaded.stage.columns
        postponed = self._order.postponed.get(part.index, ())
        self._applying(part, "i", columns)
        name = ("insert", *columns, -1, *postponed)
        template = shape.statement(name, lambda: sql.insert(shape, columns, postponed))
        self._expect(part, self._count(part, template))
        if shape.facts.guarded and len(self._run(part, sql.present(shape))) != len(part.rows):
            raise Unwritten
        self._log(part)

    def _update_logged(self, part: Part[Loaded]) -> None:
        """Old values are kept before they go, which may have been ahead of everything."""
        ahead = self._keeps_old(part)
        if ahead and part.index not in self._ahead:
            self._log(part)
        self._update(part, self._positions(part))
        if not ahead:
            self._log(part)

    def _keeps_old(self, part: Part[Loaded]) -> bool:
        """Whether the log entries of this part keep old values of its rows."""
        stage, shape = part.loaded.stage, part.loaded.shape
        if stage.form == "update" and stage.op != "R":
            return bool((mask_of(stage.columns) | shape.computed_mask) & shape.before_mask)
        return stage.form != "insert" and bool(shape.before)

    def _is_straight(self, part: Part[Loaded]) -> bool:
        return part.loaded.straight is not None and part.index not in self._order.postponed

    def _insert_straight(self, part: Part[Loaded]) -> None:
        shape, stage, rows = part.loaded.shape, part.loaded.stage, part.loaded.straight
        assert rows is not None, "asked before"
        self._applying(part, "i", stage.columns)
        self._expect(part, self._session.copy(sql.copy_in(shape, stage.columns), rows.rows))
        masks = split_mask(EVERYTHING, len(shape.words))
        self._session.copy(sql.copy_log(shape), rows.entries(stage.op, self._origin, *masks))

    def _update(self, part: Part[Loaded], positions: Sequence[int]) -> None:
        shape, columns = part.loaded.shape, part.loaded.stage.columns
        if positions:
            self._applying(part, "u", columns)
            name = ("update", *columns, -1, *positions)
            template = shape.statement(name, lambda: sql.update(shape, columns, positions))
            self._expect(part, self._count(part, template))

    def _delete(self, part: Part[Loaded], *, logged: bool) -> None:
        """Rows that are gone already went with a cascade of this very push, or by a trigger: so be it."""
        shape = part.loaded.shape
        self._applying(part, "d", ())
        if not logged:
            self._log(part)
        deleted = self._count(part, shape.statement(("delete",), lambda: sql.delete(shape)))
        if deleted < len(part.rows) and self._run(part, sql.left(shape))[0][0]:
            raise Unwritten

    def _point(self, part: Part[Loaded]) -> None:
        positions = self._order.postponed.get(part.index)
        if not positions:
            return
        shape, columns = part.loaded.shape, part.loaded.stage.columns
        self._applying(part, "u", columns)
        if part.form == "insert":
            self._count(part, sql.point(shape, columns, positions))
        else:
            self._update(part, positions)

    def _release(self, part: Part[Loaded], columns: Sequence[int]) -> None:
        if columns:
            self._applying(part, "u", columns)
            self._count(part, sql.release(part.loaded.shape, columns))

    def _positions(self, part: Part[Loaded]) -> list[int]:
        waiting = self._order.postponed.get(part.index, ())
        return [i for i in range(len(part.loaded.stage.columns)) if i not in waiting]

    def _log(self, part: Part[Loaded]) -> None:
        stage, shape = part.loaded.stage, part.loaded.shape
        old, listed, words = self._keeps_old(part), stage.entries is not None, len(shape.words)
        template = shape.statement(("log", old, listed), lambda: sql.log(shape, old=old, listed=listed))
        computed = shape.computed_mask
        if stage.entries is None:
            whole = stage.form != "update" or stage.op == "R"
            mask = EVERYTHING if whole else mask_of(stage.columns) | computed
            self._count(part, template, stage.op, self._origin, *split_mask(mask, words))
            return
        rows = set(part.rows)
        entries = [entry for entry in stage.entries if entry[0] in rows]
        masks = [split_mask(mask | computed, words) for _, mask, _ in entries]
        columns = [[mask[word] for mask in masks] for word in range(words)]
        numbers, stamps = [entry[0] for entry in entries], [entry[2] for entry in entries]
        self._count(part, template, stage.op, self._origin, numbers, *columns, stamps)

    def _applying(self, part: Part[Loaded], event: str, columns: Iterable[int]) -> None:
        """Tell the capture triggers what the next statement is (insert, update or delete, by its letter) and
        which columns it sets itself."""
        shape = part.loaded.shape
        own = mask_of(columns) | shape.computed_mask
        digits = "".join("1" if own >> i & 1 else "0" for i in range(shape.table.bits)) or "0"
        more = (event != "d" and shape.facts.nested) or (event == "u" and shape.facts.altering)
        digits = f"{shape.n}{event}{'!' if more else '.'}{digits}"
        if digits != self._digits:
            self._session.value(queries("write.sql")["applying"], digits)
            self._digits = digits

    def _expect(self, part: Part[Loaded], written: int) -> None:
        if written != len(part.rows):
            raise Unwritten

    def _count(self, part: Part[Loaded], template: str, *values: object) -> int:
        return self._session.count(*part.loaded.over(template, part.rows), *values)

    def _run(self, part: Part[Loaded], template: str) -> list[list[int]]:
        return self._session.run(*part.loaded.over(template, part.rows))

    # When it fails

    def _look_for_others(self, failure: Failure) -> None:
        """Raise Conflict if rows came or went between the lock and the write. Everything is undone."""
        is_unique = not isinstance(failure, psycopg.Error) or refusal_code(failure) == codes.UNIQUE
        for part in self._parts:
            if part.form == "delete" or not (is_unique or part.loaded.unlooked):
                continue
            found = len(self._run(part, sql.present(part.loaded.shape)))
            if found != (0 if part.form == "insert" else len(part.rows)):
                name = part.loaded.shape.table.name
                raise Conflict(f"rows of {name} were inserted or deleted by others meanwhile") from failure

    def _isolated(self) -> list[Refusal]:
        """Keep what can be kept, row by row where need be; undo it unless that was everything."""
        self._order = self._order.strict()
        for part in self._parts:
            part.loaded.index(self._session)
        for immediate in (False, True):
            refused: list[Refusal] = []
            try:
                with self._session.savepoint():
                    self._start(immediate=immediate)
                    refused = self._keep()
                    if refused:
                        raise Undo
                return []
            except Undo:
                return refused
            except DeferredTrouble as error:
                trouble = error
        raise trouble

    def _keep(self) -> list[Refusal]:
        try:
            with self._session.savepoint():
                self._let_go()
        except psycopg.Error as error:  # a check that does not allow NULL
            self._of_rows(error)
            self._digits = ""
            self._ahead.clear()
        attempt = self._attempt(self._write)
        failures: Failures[Loaded, Failure] = tried_again(isolated(self._parts, attempt), attempt)
        out = {(part.index, part.rows[0]) for part, _ in failures}
        kept = [part for whole in self._parts if (part := without(whole, out)) is not None]
        waiting = [part for part in kept if part.index in self._order.postponed]
        failures += isolated(waiting, self._attempt(self._complete))
        try:
            with self._session.savepoint():
                self._session.script("SET CONSTRAINTS ALL IMMEDIATE")
        except psycopg.Error as error:
            self._of_rows(error)
            if not failures:
                raise DeferredTrouble from error
        self._check_doubtful(failures)
        return [self._refusal(part, failure) for part, failure in failures]

    def _check_doubtful(self, failures: Failures[Loaded, Failure]) -> None:
        """Raise what may not be a row's fault, unless other rows of its kind passed."""
        left: dict[tuple[int, str], int] = {}
        for part in self._parts:
            left[part.kind] = left.get(part.kind, 0) + len(part.rows)
        for part, _ in failures:
            left[part.kind] -= 1
        for part, failure in failures:
            if not left[part.kind] and isinstance(failure, psycopg.Error):
                if fault_of(failure, self._attempts) is Fault.DOUBT:
                    raise failure

    def _attempt(self, work: Work) -> Attempt[Loaded, Failure]:
        """The work within a savepoint; why it failed, if it did."""

        def attempt(parts: Sequence[Part[Loaded]]) -> Failure | None:
            try:
                with self._session.savepoint():
                    work(parts)
                return None
            except (psycopg.Error, Unwritten) as error:
                self._digits = ""
                return self._of_rows(error)

        return attempt

    def _of_rows(self, error: Failure) -> Failure:
        """The error if it can be some row's fault; otherwise raise it."""
        if isinstance(error, psycopg.Error) and fault_of(error, self._attempts) in (Fault.MET, Fault.WHOLE):
            raise error
        return error

    def _refusal(self, part: Part[Loaded], failure: Failure) -> Refusal:
        stage, row = part.loaded.stage, part.rows[0]
        if isinstance(failure, Unwritten):
            detail = "a trigger or rule of the table held the change back without an error"
            return Refusal(stage, row, codes.TRIGGER, detail)
        code = refusal_code(failure)
        parent = self._parents.of_row(failure, part.loaded, row) if code == codes.FOREIGN_KEY else None
        return Refusal(stage, row, code, message_of(failure), parent)
