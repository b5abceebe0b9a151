"""Step 7 in PostgreSQL: the single steps of `base.application`, in sets, within savepoints.

When an attempt has failed: a row committed meanwhile is a Conflict, an absent parent a refusal of all rows
that point at one; anything else is isolated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager

import psycopg

from syncline.databases.base import statements as common
from syncline.databases.base.application import BaseApplication, Unwritten
from syncline.databases.base.isolation import Part
from syncline.databases.postgresql import statements as sql
from syncline.databases.postgresql.errors import TROUBLE, Fault, Tries, fault_of, message_of, refusal_code
from syncline.databases.postgresql.holders import holders, of_table
from syncline.databases.postgresql.layout import Layout
from syncline.databases.postgresql.parents import Parents
from syncline.databases.postgresql.parking import Unique, parked, unique_columns
from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.singly import Write, singly
from syncline.databases.postgresql.singly import prepare as prepare_singly
from syncline.databases.postgresql.sql import queries
from syncline.databases.postgresql.stage import Loaded, held, place, settle_down
from syncline.errors import Conflict
from syncline.hub.contract import Refusal, codes
from syncline.model.masks import split_mask
from syncline.model.values import EVERYTHING, mask_of

IN_THE_WAY = frozenset(["23505", "23P01"])
"""A unique index, an exclusion constraint."""
OF_VALUES = (codes.NOT_NULL, codes.CHECK, codes.INVALID)
"""Why a row is refused whatever the others are."""


class Application(BaseApplication[Loaded]):
    """One call of `Rows.apply`."""

    errors = (psycopg.Error,)

    def __init__(
        self, session: Session, layout: Layout, loaded: Sequence[Loaded], origin: str, tries: Tries
    ) -> None:
        super().__init__([item.shape.table for item in loaded], loaded)
        self._session, self._origin, self._tries = session, origin, tries
        self._parents = Parents(session, layout, loaded)
        self._refused = [refusal for item in loaded for refusal in item.refused.values()]
        self._deferrable = any(fk.deferrable for item in loaded for fk in item.shape.table.foreign_keys)
        self._uniques: dict[int, list[Unique]] = {}
        self._digits = ""

    def run(self) -> list[Refusal]:
        if self._refused or not self.parts:
            return self._refused
        for part in self.parts:
            if not self._is_straight(part):
                place(self._session, part.loaded)
        return super().run()

    def savepoint(self) -> AbstractContextManager[None]:
        return self._session.savepoint()

    def defer(self) -> None:
        self._digits = ""
        if self._deferrable:
            self._session.script("SET CONSTRAINTS ALL DEFERRED")

    def check(self) -> None:
        self._digits = ""
        self._session.script("SET CONSTRAINTS ALL IMMEDIATE")

    # Steps

    def insert(self, part: Part[Loaded], postponed: Sequence[int]) -> None:
        if self._is_straight(part):
            self._insert_straight(part)
            return
        shape, columns = part.loaded.shape, part.loaded.stage.columns
        self._applying(part, "i", columns)
        self._expect(part, self._count(part, self._insertion(part, postponed)))
        if shape.facts.guarded and len(self._run(part, common.present(shape))) != len(part.rows):
            raise Unwritten
        self.log(part)

    def _is_straight(self, part: Part[Loaded]) -> bool:
        return part.loaded.straight is not None and part.index not in self.order.postponed

    def _insert_straight(self, part: Part[Loaded]) -> None:
        shape, stage, rows = part.loaded.shape, part.loaded.stage, part.loaded.straight
        assert rows is not None, "asked before"
        self._applying(part, "i", stage.columns)
        self._expect(part, self._session.copy(sql.copy_in(shape, stage.columns), rows.rows))
        masks = split_mask(EVERYTHING, len(shape.words))
        self._session.copy(sql.copy_log(shape), rows.entries(stage.op, self._origin, *masks))

    def update(self, part: Part[Loaded], positions: Sequence[int]) -> None:
        if positions:
            self._applying(part, "u", part.loaded.stage.columns)
            self._expect(part, self._count(part, self._alteration(part, positions)))

    def _insertion(self, part: Part[Loaded], postponed: Sequence[int]) -> str:
        shape, columns = part.loaded.shape, part.loaded.stage.columns
        name = ("insert", *columns, -1, *postponed)
        return shape.statement(name, lambda: common.insert(shape, columns, postponed))

    def _alteration(self, part: Part[Loaded], positions: Sequence[int]) -> str:
        shape, columns = part.loaded.shape, part.loaded.stage.columns
        name = ("update", *columns, -1, *positions)
        return shape.statement(name, lambda: common.update(shape, columns, positions))

    def point(self, part: Part[Loaded], positions: Sequence[int]) -> None:
        shape, columns = part.loaded.shape, part.loaded.stage.columns
        self._applying(part, "u", columns)
        self._count(part, common.point(shape, columns, positions))

    def release(self, part: Part[Loaded], columns: Sequence[int]) -> None:
        self._applying(part, "u", columns)
        self._count(part, common.release(part.loaded.shape, columns))

    def delete(self, part: Part[Loaded]) -> None:
        shape = part.loaded.shape
        self._applying(part, "d", ())
        deleted = self._count(part, shape.statement(("delete",), lambda: sql.delete(shape)))
        if deleted < len(part.rows) and self._run(part, sql.held_back(shape)):
            raise Unwritten

    def keeps_old(self, part: Part[Loaded]) -> bool:
        return part.loaded.shape.keeps_old(part.loaded.stage)

    def log(self, part: Part[Loaded]) -> None:
        stage, shape = part.loaded.stage, part.loaded.shape
        old, listed, words = self.keeps_old(part), stage.entries is not None, len(shape.words)
        template = shape.statement(("log", old, listed), lambda: sql.log(shape, old=old, listed=listed))
        if stage.entries is None:
            self._count(part, template, stage.op, self._origin, *split_mask(shape.covers(stage), words))
            return
        rows = set(part.rows)
        entries = [entry for entry in stage.entries if entry[0] in rows]
        masks = [split_mask(mask | shape.computed_mask, words) for _, mask, _ in entries]
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

    # When they fail

    def of_rows(self, error: Exception) -> Exception:
        self._digits = ""
        if isinstance(error, psycopg.Error) and fault_of(error, self._tries) in (Fault.MET, Fault.WHOLE):
            raise error
        return error

    def is_doubtful(self, failure: Exception) -> bool:
        return isinstance(failure, TROUBLE) and fault_of(failure, self._tries) is Fault.DOUBT

    def is_in_the_way(self, failure: Exception) -> bool:
        return isinstance(failure, TROUBLE) and failure.sqlstate in IN_THE_WAY

    def depends_on_others(self, failure: Exception) -> bool:
        return not isinstance(failure, TROUBLE) or refusal_code(failure) not in OF_VALUES

    def park(self, part: Part[Loaded], first: int, round_: int, prepare: Callable[[], None]) -> bool:
        shape, columns = part.loaded.shape, part.loaded.stage.columns
        if shape.n not in self._uniques:
            self._uniques[shape.n] = unique_columns(self._session, shape.name)
        values = parked(part.loaded, self._uniques[shape.n], first, round_)
        if values:
            prepare()
            self._applying(part, "u", columns)
            self._count(part, sql.park(shape, columns, values))
        return bool(values)

    def singly(self, part: Part[Loaded], rows: Sequence[int]) -> list[tuple[int, Exception]]:
        write = self._write_of(part)
        if write is None:
            return []
        self._applying(part, part.form[0], () if part.form == "delete" else part.loaded.stage.columns)
        found = singly(self._session, part.loaded, rows, write)
        return [(row, said or Unwritten()) for row, said in sorted(found.items())]

    def _write_of(self, part: Part[Loaded]) -> Write | None:
        """What writes rows of this part; None if there is nothing to write."""
        shape, postponed = part.loaded.shape, self.order.postponed.get(part.index, ())
        there = common.present(shape)
        if part.form == "insert":
            return Write(self._insertion(part, postponed), there, stays=True)
        if part.form == "delete":
            return Write(sql.delete(shape), sql.held_back(shape), stays=False)
        positions = [i for i in range(len(part.loaded.stage.columns)) if i not in postponed]
        return Write(self._alteration(part, positions), there, stays=True) if positions else None

    def explained(self, failure: Exception) -> list[Refusal]:
        """Afterwards rows that `isolated` needs are at hand."""
        for part in self.parts:
            place(self._session, part.loaded)
        self._look_for_others(failure)
        found = self._parents.orphans(failure, self.parts)
        for part in self.parts if not found else ():
            settle_down(self._session, part.loaded)
        prepare_singly(self._session)
        return found

    def _look_for_others(self, failure: Exception) -> None:
        """Raise Conflict if rows came or went between the lock and the write. Everything is undone."""
        is_unique = not isinstance(failure, TROUBLE) or refusal_code(failure) == codes.UNIQUE
        for part in self.parts:
            if part.form == "delete" or not (is_unique or part.loaded.unlooked):
                continue
            found = len(self._run(part, common.present(part.loaded.shape)))
            if found != (0 if part.form == "insert" else len(part.rows)):
                name = part.loaded.shape.table.name
                raise Conflict(f"rows of {name} were inserted or deleted by others meanwhile") from failure

    def refusal(self, part: Part[Loaded], failure: Exception) -> Refusal:
        stage, row = part.loaded.stage, part.rows[0]
        if not isinstance(failure, TROUBLE):
            detail = "a trigger or rule of the table held the change back without an error"
            return Refusal(stage, row, codes.TRIGGER, detail)
        code = refusal_code(failure)
        if code == codes.LOCKED:
            return Refusal(stage, row, code, self._held(part))
        parent = self._parents.of_row(failure, part.loaded, row) if code == codes.FOREIGN_KEY else None
        return Refusal(stage, row, code, message_of(failure), parent)

    def _held(self, part: Part[Loaded]) -> str:
        """Who holds the row of a part, or else whoever has written to its table."""
        rows = self._session.run(*part.loaded.over(sql.held(part.loaded.shape), part.rows))
        known = holders(self._session, [xid for _, xid in rows])
        relids = self._session.value(queries("prepare.sql")["relids"], part.loaded.shape.n)
        return held(part.loaded, part.rows[0], list(known.values()) or of_table(self._session, relids))
