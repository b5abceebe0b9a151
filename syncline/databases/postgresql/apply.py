"""Step 7 in PostgreSQL: what `base.steps` leaves to it.

New rows of which nothing is to be said beforehand go straight into their table. Capture is told of each
statement by a setting, which lasts as long as the transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import psycopg

from syncline.databases.base.isolation import Part
from syncline.databases.base.parents import Constraint
from syncline.databases.base.shape import BaseShape
from syncline.databases.base.staged import Tries
from syncline.databases.base.statements import over
from syncline.databases.base.steps import Fault, StepwiseApplication, Write
from syncline.databases.postgresql import statements as sql
from syncline.databases.postgresql.errors import (
    NOT_SINGLY,
    TROUBLE,
    Said,
    Trouble,
    fault_of,
    message_of,
    refusal_code,
)
from syncline.databases.postgresql.holders import Holders
from syncline.databases.postgresql.layout import Layout
from syncline.databases.postgresql.parking import other_values
from syncline.databases.postgresql.session import Rows, Session
from syncline.databases.postgresql.sql import array_of, dollar, literal, queries, quote
from syncline.databases.postgresql.stage import Loaded
from syncline.hub.contract import Refusal
from syncline.model.masks import split_mask
from syncline.model.values import EVERYTHING, mask_of

IN_THE_WAY = frozenset(["23505", "23P01"])
"""A unique index, an exclusion constraint."""


class Application(StepwiseApplication[Loaded]):
    """One call of `Rows.apply`."""

    errors = (psycopg.Error,)
    unreadable = psycopg.DataError

    def __init__(
        self, session: Session, layout: Layout, loaded: Sequence[Loaded], origin: str, tries: Tries
    ) -> None:
        super().__init__(session, layout.schema.tables, loaded, Holders(session), tries, origin)
        self._session = session
        self._deferrable = any(fk.deferrable for item in loaded for fk in item.shape.table.enforced)
        self._digits = ""

    def run(self) -> list[Refusal]:
        for part in () if self._refused else self.parts:
            if not self._is_straight(part):
                part.loaded.place(self._session)
        return super().run()

    def defer(self) -> None:
        self._digits = ""
        if self._deferrable:
            self._session.script("SET CONSTRAINTS ALL DEFERRED")

    def check(self) -> None:
        self._digits, self._deferrable = (
            "",
            True,
        )  # whatever is deferred from now on is so by its own statement
        self._session.script("SET CONSTRAINTS ALL IMMEDIATE")

    # Steps

    def insert(self, part: Part[Loaded], postponed: Sequence[int]) -> None:
        if self._is_straight(part):
            self._insert_straight(part)
        else:
            super().insert(part, postponed)

    def _is_straight(self, part: Part[Loaded]) -> bool:
        return part.loaded.straight is not None and part.index not in self.order.postponed

    def _insert_straight(self, part: Part[Loaded]) -> None:
        shape, stage, rows = part.loaded.shape, part.loaded.stage, part.loaded.straight
        assert rows is not None, "asked before"
        self.announce(part, "insert", stage.columns)
        self.expect(part, self._session.copy(sql.copy_in(shape, stage.columns), rows.rows))
        masks = split_mask(EVERYTHING, len(shape.words))
        self._session.copy(sql.copy_log(shape), rows.entries(stage.op, self._origin, *masks))

    def log_entries(self, shape: Any, *, old: bool, listed: bool) -> str:
        return sql.log(shape, old=old, listed=listed)

    def announce(self, part: Part[Loaded], form: str, columns: Iterable[int]) -> None:
        shape = part.loaded.shape
        own = mask_of(columns) | shape.computed_mask
        digits = "".join("1" if own >> i & 1 else "0" for i in range(shape.table.bits)) or "0"
        more = (form != "delete" and shape.facts.nested) or (form == "update" and shape.facts.altering)
        digits = f"{shape.n}{form[0]}{'!' if more else '.'}{digits}"
        if digits != self._digits:
            self._session.value(queries("write.sql")["applying"], digits)
            self._digits = digits

    def unique_columns(self, shape: BaseShape) -> Rows:
        return self._session.run(queries("write.sql")["unique columns"], shape.name)

    def other_values(self, shape: BaseShape, name: str, n: str, *type_: Any) -> list[str]:
        return other_values(shape.name, quote(name), n, *type_)

    def tried(self, part: Part[Loaded], rows: Sequence[int], write: Write) -> Mapping[int, Exception | None]:
        return _singly(self._session, part.loaded, rows, write)

    def place_singly(self) -> None:
        super().place_singly()
        self._session.script(queries("singly.sql")["make troubles"])

    # When they fail

    def of_rows(self, error: Exception) -> Exception:
        self._digits = ""
        return super().of_rows(error)

    def fault(self, failure: Exception) -> Fault:
        return fault_of(_trouble(failure), self._tries)

    def code(self, failure: Exception) -> str:
        return refusal_code(_trouble(failure))

    def message(self, failure: Exception) -> str:
        return message_of(_trouble(failure))

    def is_in_the_way(self, failure: Exception) -> bool:
        return isinstance(failure, TROUBLE) and failure.sqlstate in IN_THE_WAY

    def constraint(self, failure: Exception, shape: BaseShape) -> Constraint | None:
        diag, table = _trouble(failure).diag, shape.table
        if (diag.schema_name, diag.table_name) != (table.central_schema, table.central_name):
            return None
        rows = self._session.run(
            queries("write.sql")["foreign key"], diag.schema_name, diag.table_name, diag.constraint_name
        )
        return Constraint(*rows[0]) if rows else None

    def where(self, failure: Exception) -> str:
        return _trouble(failure).diag.context or ""


def _trouble(failure: Exception) -> Trouble:
    assert isinstance(failure, TROUBLE), "no step raises anything else"
    return failure


def _singly(session: Session, loaded: Loaded, rows: Sequence[int], write: Write) -> dict[int, Said | None]:
    """Do it for each of these rows that lets it be done; of the others, what the server said, or None if it
    left the row out without an error. The rows are in a temporary table; troubles are noted in another.

    Where one row in five is refused, halving tries nearly every row by itself; from here that is five round
    trips a row. An anonymous block does it in one, with a subtransaction for each row. Raises what is not
    told of single rows: see `errors.NOT_SINGLY`."""
    source = f"(SELECT * FROM {loaded.table} WHERE n = syncline_row) AS s"
    statement = over(write.statement, source)
    there = f"EXISTS ({over(write.there, source)})"
    body = queries("singly.sql")["one by one"].format(
        rows=literal(array_of(rows)),
        statement=statement,
        left_out=f"written <> 1 OR NOT {there}" if write.stays else f"written = 0 AND {there}",
        states=", ".join(map(literal, NOT_SINGLY)),
    )
    session.script(f"DO {dollar(body)}")
    found = session.run(queries("singly.sql")["troubles"])
    return {n: said and Said(**{**said, "context": _context(said, statement)}) for n, said in found}


def _context(said: Mapping[str, str], statement: str) -> str | None:
    """That of the statement alone."""
    whole = said["context"]
    return "\n".join(whole[: max(0, whole.find(statement))].splitlines()[:-1]) or None
