"""Rows for which the centre undoes the whole transaction: a trigger by `RAISE(ROLLBACK)`, or COMMIT because
of a foreign key.

Nothing is left then that the other rows could be written in, and no savepoint holds it off. So the engine
runs the transaction again (Conflict): row by row, until the one that does it is known, and then without it;
or with a look at every foreign key before the COMMIT (see `breaches`).
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field

from syncline.databases.base.isolation import Part
from syncline.databases.sqlite.stage import Staged
from syncline.errors import Conflict
from syncline.hub.contract import codes
from syncline.model.values import Value
from syncline.sqlitekit.errors import Failure, said_by

_Row = tuple[int, str, tuple[Value, ...]]


@dataclass(slots=True)
class Undone:
    """What is known of such rows from one run of a transaction to the next, until one is committed. Guarded
    by the write lock. `refused`: what the trigger said, by table, form and values. `thorough`: it was COMMIT
    that refused."""

    singly: bool = False
    thorough: bool = False
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

    def met(self, part: Part[Staged], error: Failure) -> Conflict:
        """These rows undid everything: what to raise, so that the transaction is run again."""
        self.singly = True
        if len(part.rows) == 1:
            self.refused[_row(part)] = said_by(error)
        return Conflict(
            f"table {part.loaded.shape.table.name}: a trigger undid the transaction: {said_by(error)}"
        )

    def commit(self, connection: sqlite3.Connection) -> None:
        """Commit, and forget: what the trigger minds may be another thing next time."""
        thorough, self.singly, self.thorough = self.thorough, False, False
        self.refused.clear()
        try:
            connection.execute("COMMIT")
        except sqlite3.IntegrityError as error:
            if thorough:
                raise
            self.thorough = True
            raise Conflict(f"the transaction broke a foreign key at its end: {error}") from error


def _row(part: Part[Staged]) -> _Row:
    return part.loaded.shape.n, part.form, tuple(part.loaded.stage.rows[part.rows[0]])
