"""Step 7, commit: the single steps of `application` as statements over staged rows, and what a failure means.

An adapter says how capture is told of a statement, what its errors mean, and what only its own SQL can say:
log entries, what rows can hold for a while.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import Any, ClassVar, Generic

from syncline.databases.base import softly, statements
from syncline.databases.base.application import BaseApplication, Unwritten
from syncline.databases.base.holders import BaseHolders
from syncline.databases.base.isolation import Part
from syncline.databases.base.parents import Constraint, Parents
from syncline.databases.base.parking import UniqueRow, staged_uniques, third_values, ways
from syncline.databases.base.shape import BaseShape
from syncline.databases.base.staged import R, Tries, Verbs
from syncline.databases.base.typed import TypedShape
from syncline.databases.base.writing import held, waiting
from syncline.errors import Conflict
from syncline.hub.contract import Key, Refusal, codes
from syncline.model.masks import split_mask
from syncline.model.schema import TableSchema

OF_VALUES = (codes.NOT_NULL, codes.CHECK, codes.INVALID)
"""Why a row is refused whatever the others are."""

HELD_BACK = "a trigger or rule of the table held the change back without an error"


class Fault(Enum):
    """Whose fault a failing statement over rows is."""

    ROW = "that of a row, whatever becomes of the others"
    DOUBT = "that of a row if others of its kind pass; otherwise the statement fails as a whole"
    MET = "met by somebody else's transaction: the whole is run again first"
    WHOLE = "never that of a row"


@dataclass(frozen=True, slots=True)
class Write:
    """The statement that writes rows, over `statements.SOURCE`.

    `there`: a query, likewise, that gives a row for each staged row that is in the table. A row is written if
    the statement says so and it is there afterwards (`stays`), or if it is not."""

    statement: str
    there: str
    stays: bool


class StepwiseApplication(BaseApplication[R], Generic[R]):
    """One call of `Rows.apply`, in sets, within savepoints of one session."""

    unreadable: ClassVar[type[Exception]]
    """The error of a statement that finds a staged value which is none of its column's type."""

    def __init__(
        self,
        session: Verbs,
        tables: Sequence[TableSchema],
        loaded: Sequence[R],
        holders: BaseHolders[R],
        tries: Tries,
        origin: str,
    ) -> None:
        """`tables` are all that take part; `origin` is whose change it is."""
        super().__init__([item.shape.table for item in loaded], loaded)
        self._origin, self._uniques = origin, dict[int, Sequence[UniqueRow]]()
        self._verbs, self._holders, self._tries = session, holders, tries
        self._parents = Parents(session, tables, loaded, self.unreadable)
        self._refused = [refusal for item in loaded for refusal in item.refused.values()]

    def run(self) -> list[Refusal]:
        """Write all, or nothing and say which rows are to blame."""
        return self._refused if self._refused or not self.parts else super().run()

    def savepoint(self) -> AbstractContextManager[None]:
        return self._verbs.savepoint()

    # What an adapter says

    @abstractmethod
    def announce(self, part: Part[R], form: str, columns: Iterable[int]) -> None:
        """Tell capture that the next statement writes rows of this part in this form, and which columns it
        sets itself: of these the engine logs the changes, of others the triggers do."""

    @abstractmethod
    def log_entries(self, shape: TypedShape[Any], *, old: bool, listed: bool) -> str:
        """A statement, over `statements.SOURCE`, that writes the log entries of the rows, see
        `statements.entries`. It is given the operation, the origin, and the mask's words; or, if the entries
        are `listed`, a JSON array of arrays in place of these: row number, HLC, words. With `old`, what the
        log keeps of the rows as they are goes along."""

    @abstractmethod
    def unique_columns(self, shape: TypedShape[Any]) -> Sequence[UniqueRow]:
        """The columns of the table of which rows must differ, but for the key's."""

    @abstractmethod
    def other_values(self, shape: TypedShape[Any], name: str, n: str, *type_: Any) -> Sequence[str]:
        """What such a column can hold for a while, as SQL, the likeliest first; `n` is an expression of which
        every row has another value."""

    def defer(self) -> None:
        """Nothing is to be done, unless constraints can be deferred."""

    def check(self) -> None:
        """As `defer`."""

    def tried(self, part: Part[R], rows: Sequence[int], write: Write) -> Mapping[int, Exception | None]:
        """Write each of these rows that can be; why not, of the others: None if nothing was said. A savepoint
        a row, unless the database has a quicker way."""
        found: dict[int, Exception | None] = {}
        for row in rows:
            one = replace(part, rows=(row,))
            try:
                with self.savepoint():
                    written, there = self.count(one, write.statement), bool(self.rows(one, write.there))
            except self.errors as error:
                found[row] = self.of_rows(error)
            else:
                if (written != 1 or not there) if write.stays else (written == 0 and there):
                    found[row] = None
        return found

    def place_singly(self) -> None:
        """Make ready for `tried` and for statements over some of the rows."""
        for part in self.parts:
            part.loaded.settle_down(self._verbs)

    @abstractmethod
    def fault(self, failure: Exception) -> Fault:
        """Whose fault this error of a statement is."""

    @abstractmethod
    def code(self, failure: Exception) -> str:
        """The code of the refusal of a row whose fault this is."""

    @abstractmethod
    def message(self, failure: Exception) -> str:
        """What the server said, in one line."""

    @abstractmethod
    def constraint(self, failure: Exception, shape: BaseShape) -> Constraint | None:
        """The foreign key that has failed, if it is one of this table's own."""

    def where(self, failure: Exception) -> str:
        """Which code of the user's has failed, with its statement, as far as the server says: not at all,
        unless an adapter knows."""
        return ""

    # Steps

    def insert(self, part: Part[R], postponed: Sequence[int]) -> None:
        self.announce(part, "insert", part.loaded.stage.columns)
        self.expect(part, self.count(part, self._insertion(part, postponed)))
        if part.loaded.shape.facts.guarded and len(self._present(part)) != len(part.rows):
            raise Unwritten
        self.log(part)

    def update(self, part: Part[R], positions: Sequence[int]) -> None:
        if positions:
            self.announce(part, "update", part.loaded.stage.columns)
            self.expect(part, self.count(part, self._alteration(part, positions)))

    def point(self, part: Part[R], positions: Sequence[int]) -> None:
        shape, columns = part.loaded.shape, part.loaded.stage.columns
        self.announce(part, "update", columns)
        self.count(part, statements.point(shape, columns, positions))

    def release(self, part: Part[R], columns: Sequence[int]) -> None:
        self.announce(part, "update", columns)
        self.count(part, statements.release(part.loaded.shape, columns))

    def delete(self, part: Part[R]) -> None:
        self.announce(part, "delete", ())
        deleted = self.count(part, self._deletion(part))
        if deleted < len(part.rows):
            if self.rows(part, softly.held_back(part.loaded.shape)):
                raise Unwritten
            self.count(part, softly.unlog(part.loaded.shape))

    def log(self, part: Part[R]) -> None:
        stage, shape = part.loaded.stage, part.loaded.shape
        old, listed, words = self.keeps_old(part), stage.entries is not None, len(shape.words)
        name = ("log", old, listed)
        template = shape.statement(name, lambda: self.log_entries(shape, old=old, listed=listed))
        given: list[Any] = list(split_mask(shape.covers(stage), words))
        if stage.entries is not None:
            rows, computed = set(part.rows), shape.computed_mask
            found = [entry for entry in stage.entries if entry[0] in rows]
            given = [
                json.dumps([[row, hlc, *split_mask(mask | computed, words)] for row, mask, hlc in found])
            ]
        self.count(part, template, stage.op, self._origin, *given)

    def keeps_old(self, part: Part[R]) -> bool:
        return part.loaded.shape.keeps_old(part.loaded.stage)

    def park(self, part: Part[R], first: int, round_: int, prepare: Callable[[], None]) -> bool:
        shape = part.loaded.shape
        if shape.n not in self._uniques:
            self._uniques[shape.n] = self.unique_columns(shape)
        n, uniques = f"({first} + s.n)", self._uniques[shape.n]
        others = partial(self.other_values, shape)
        values = third_values(ways(staged_uniques(shape, part.loaded.stage, uniques, others, n)), round_)
        if values:
            prepare()
            columns = part.loaded.stage.columns
            self.announce(part, "update", columns or list(values))
            self.count(part, statements.park(shape, columns, values))
        return bool(values)

    def singly(self, part: Part[R], rows: Sequence[int]) -> list[tuple[int, Exception]]:
        write = self._write_of(part)
        if write is None:
            return []
        self.announce(part, part.form, () if part.form == "delete" else part.loaded.stage.columns)
        found = self.tried(part, rows, write)
        if part.form == "delete":
            self.count(part, softly.unlog(part.loaded.shape))
        return [(row, failure or Unwritten()) for row, failure in sorted(found.items())]

    def _write_of(self, part: Part[R]) -> Write | None:
        """What writes rows of this part; None if there is nothing to write."""
        shape, postponed = part.loaded.shape, self.order.postponed.get(part.index, ())
        there = statements.present(shape)
        if part.form == "insert":
            return Write(self._insertion(part, postponed), there, stays=True)
        if part.form == "delete":
            return Write(self._deletion(part), softly.held_back(shape), stays=False)
        positions = [i for i in range(len(part.loaded.stage.columns)) if i not in postponed]
        return Write(self._alteration(part, positions), there, stays=True) if positions else None

    def _deletion(self, part: Part[R]) -> str:
        shape = part.loaded.shape
        return shape.statement(("delete",), lambda: statements.delete(shape))

    def _insertion(self, part: Part[R], postponed: Sequence[int]) -> str:
        shape, columns = part.loaded.shape, part.loaded.stage.columns
        name = ("insert", *columns, -1, *postponed)
        return shape.statement(name, lambda: statements.insert(shape, columns, postponed))

    def _alteration(self, part: Part[R], positions: Sequence[int]) -> str:
        shape, columns = part.loaded.shape, part.loaded.stage.columns
        name = ("update", *columns, -1, *positions)
        return shape.statement(name, lambda: statements.update(shape, columns, positions))

    def expect(self, part: Part[R], written: int) -> None:
        """Unwritten unless every row was written."""
        if written != len(part.rows):
            raise Unwritten

    def count(self, part: Part[R], template: str, *values: object) -> int:
        """Do it for the rows of a part; how many were written."""
        return self._verbs.count(*part.loaded.over(template, part.rows), *values)

    def rows(self, part: Part[R], template: str) -> Sequence[Sequence[Any]]:
        """What a query says of the rows of a part."""
        return self._verbs.run(*part.loaded.over(template, part.rows))

    def _present(self, part: Part[R]) -> Sequence[Sequence[Any]]:
        return self.rows(part, statements.present(part.loaded.shape))

    # When they fail

    def of_rows(self, error: Exception) -> Exception:
        if not isinstance(error, Unwritten) and self.fault(error) in (Fault.MET, Fault.WHOLE):
            raise error
        return error

    def is_doubtful(self, failure: Exception) -> bool:
        return not isinstance(failure, Unwritten) and self.fault(failure) is Fault.DOUBT

    def depends_on_others(self, failure: Exception) -> bool:
        return isinstance(failure, Unwritten) or self.code(failure) not in OF_VALUES

    def explained(self, failure: Exception) -> list[Refusal]:
        """Afterwards rows that `isolated` needs are at hand."""
        kept_waiting = self._kept_waiting(failure)
        if kept_waiting:
            return kept_waiting
        for part in self.parts:
            part.loaded.place(self._verbs)
        self._look_for_others(failure)
        found: list[Refusal] = []
        if not isinstance(failure, Unwritten) and self.code(failure) == codes.FOREIGN_KEY:
            for part in self.parts:
                found += self._parents.orphans(part, self._pointing(part, failure))
        if not found:
            self.place_singly()
        return found

    def _kept_waiting(self, failure: Exception) -> list[Refusal]:
        """If a trigger writes to a table that others hold: all rows of tables with triggers. To try them one
        by one would be to wait for each."""
        if self._tries.waits or isinstance(failure, Unwritten) or self.code(failure) != codes.LOCKED:
            return []
        held = self._holders.named_in(self.where(failure))
        parts = [part for part in self.parts if part.loaded.shape.facts.triggered] if held else []
        return [waiting(part.loaded, row, f"waits: {held[0]}") for part in parts for row in part.rows]

    def _look_for_others(self, failure: Exception) -> None:
        """Raise Conflict if rows came or went between the lock and the write. Everything is undone."""
        is_unique = isinstance(failure, Unwritten) or self.code(failure) == codes.UNIQUE
        for part in self.parts:
            if part.form == "delete" or not (is_unique or part.loaded.unlooked):
                continue
            if len(self._present(part)) != (0 if part.form == "insert" else len(part.rows)):
                name = part.loaded.shape.table.name
                raise Conflict(f"rows of {name} were inserted or deleted by others meanwhile") from failure

    def refusal(self, part: Part[R], failure: Exception) -> Refusal:
        stage, row = part.loaded.stage, part.rows[0]
        if isinstance(failure, Unwritten):
            return Refusal(stage, row, codes.TRIGGER, HELD_BACK)
        code = self.code(failure)
        if code == codes.LOCKED:
            return held(part.loaded, row, self._holders.of_row(part.loaded, part.rows))
        return Refusal(stage, row, code, self.message(failure), self._parent(part, failure, code))

    def _parent(self, part: Part[R], failure: Exception, code: str) -> tuple[int, Key] | None:
        """The row that the one of a part points at in vain, if it can be told."""
        constraint = self._pointing(part, failure) if code == codes.FOREIGN_KEY else None
        return None if constraint is None else self._parents.target(constraint, part)

    def _pointing(self, part: Part[R], failure: Exception) -> Constraint | None:
        """The foreign key of these rows' own that has failed."""
        return None if part.form == "delete" else self.constraint(failure, part.loaded.shape)
