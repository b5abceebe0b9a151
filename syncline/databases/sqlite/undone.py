"""Rows for which a trigger of the centre undoes the whole transaction: `RAISE(ROLLBACK)`.

Nothing is left then that the other rows could be written in, and no savepoint holds it off. So the engine
runs the transaction again (Conflict), row by row, until the one that does it is known, and then without it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field

from syncline.databases.base.isolation import Part
from syncline.databases.sqlite.stage import Staged
from syncline.errors import Conflict
from syncline.hub.contract import codes
from syncline.model.values import Value

_Row = tuple[int, str, tuple[Value, ...]]


@dataclass(slots=True)
class Undone:
    """What is known of such rows from one run of a transaction to the next, until one is committed. Guarded
    by the write lock. `refused`: what the trigger said, by table, form and values."""

    singly: bool = False
    refused: dict[_Row, str] = field(default_factory=dict)

    def known(self, part: Part[Staged]) -> tuple[str, str] | None:
        """Why these rows must not be tried: one would undo everything, or they are several and one of them
        may. None: try them."""
        if not self.singly:
            return None
        if len(part.rows) > 1:
            return codes.TRIGGER, "rows are written one by one"
        said = self.refused.get(_row(part))
        return None if said is None else (codes.TRIGGER, said)

    def met(self, part: Part[Staged], error: sqlite3.Error) -> Conflict:
        """These rows undid everything: what to raise, so that the transaction is run again."""
        self.singly = True
        if len(part.rows) == 1:
            self.refused[_row(part)] = str(error)
        return Conflict(f"table {part.loaded.shape.table.name}: a trigger undid the transaction: {error}")

    def forget(self) -> None:
        """A transaction is about to be committed; what the trigger minds may be another thing next time."""
        self.singly = False
        self.refused.clear()


def _row(part: Part[Staged]) -> _Row:
    return part.loaded.shape.n, part.form, tuple(part.loaded.stage.rows[part.rows[0]])
