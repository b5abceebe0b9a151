"""The rows of the user's tables: reading them, and writing what was pushed (steps 5 to 7, 10).

Rows are lists in the portable form of `model.values`: key values in key order, then value columns. An
adapter converts to and from the database's own types inside SQL (casts) or in sets, never row by row in
Python on the hot path. Values are bound, names quoted, always.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from syncline.hub.contract.log import Position
from syncline.hub.contract.stage import Key, Refusal, Rival, Stage
from syncline.model.schema import Schema
from syncline.model.values import Value

Take = Callable[[int], Sequence[Sequence[Value]]]
"""Gives the next rows of a scan, as many as it is told."""


class ReadRows(Protocol):
    """The rows as of the instant of a transaction, within its scope: a row beyond it is as one that is not
    there, a hidden column as one that does not exist."""

    @property
    def schema(self) -> Schema:
        """What the transaction works with: what `Catalogue.load` gave last before it began, to whomever."""

    def find(self, table: int, keys: Sequence[Key], columns: Sequence[int]) -> list[list[Value]]:
        """Key + columns of those rows that exist, in no order."""

    def chunk(
        self, table: int, after: Key | None, limit: int, columns: Sequence[int] | None = None
    ) -> list[list[Value]]:
        """Up to `limit` rows with key greater than `after`, in the database's key order: whole ones, or the
        key and these columns."""

    def spell(self, table: int, keys: Sequence[Key]) -> list[Key]:
        """Keys, in their order, as this database has them: that of the row which is there under a key that
        equals it, or else as it would be stored and read again. One that cannot be is given back as it is."""

    def respell(self, table: int, column: int, values: Sequence[str]) -> list[Value]:
        """Texts, in their order, as a value column would store and give them back; one that cannot be, or of
        a column in which every text is its own spelling, as it is. Values alone are asked about, no rows."""

    def scan(self, table: int, after: Key | None, upto: Key | None) -> AbstractContextManager[Take]:
        """Whole rows with a key above `after` up to and with `upto`, in the canonical order of `model.order`
        (whatever the database's own), taken as many at a time as asked for: fewer only at the end. Bounds
        may be any values. Rows whose key holds NULL are left out."""

    def estimate(self) -> int:
        """About how many rows all tables have within the scope; cheap."""


class Rows(ReadRows, Protocol):
    """The rows in a transaction that writes: stage, lock, look who else changed them, apply.

    Locks, rivals and constraints are about rows wherever they are: a staged key may be that of a row beyond
    the scope, which must not be taken for one that is free. That a row was within before and is afterwards is
    judged beside, not by leaving rows out here."""

    def ready(self, stage: Stage) -> None:
        """What of `stage` needs no database, if anything. May be called before it, also in another thread
        while the transaction is busy with something else."""

    def stage(self, stage: Stage) -> None:
        """Load the rows for `lock`, `rivals`, `apply`. Bulk: one COPY or one parameter, not a
        statement a row."""

    def unstage(self) -> None:
        """Everything staged so far is of no use any more: free what it takes (law L11)."""

    def lock(self, stages: Sequence[Stage], *, hopeful: bool = False) -> list[list[int]]:
        """Lock the staged rows that exist (in table order, then key order: no deadlocks) and return per
        stage the unexpected: for insert the rows that exist, for update and delete those that do not, but
        for the `unfit`.

        After it, no other transaction can change these rows, and `rivals` sees all who did. `hopeful`: rows
        to insert, which hardly ever exist, need not be looked for; `apply` raises Conflict if one does. Of a
        table that others hold for longer than is waited nothing is known: its stages are `held`."""

    def unfit(self, stage: Stage) -> tuple[list[int], list[int]]:
        """Rows of a locked stage, of which nothing was discarded, that `apply` refuses for their key: those
        whose key no row can have, and those whose key is another spelling of one that a row can have."""

    def rivals(
        self, stage: Stage, bases: Sequence[Position], base: Sequence[int], replica: str
    ) -> list[Rival]:
        """Log entries of the staged rows, by origins other than `replica`, that the row's base
        (`bases[base[i]]`; an empty `base` means `bases[0]`) had not seen, in log order."""

    def children(self, stage: Stage, child: int, pairs: Sequence[tuple[str, str]]) -> list[tuple[int, Key]]:
        """The rows of a table that point at the staged rows, by what these hold in the centre: the number of
        the staged row and the key. `pairs`: a column of the table, and the one of the staged rows' table that
        it refers to."""

    def discard(self, stage: Stage, rows: Sequence[int]) -> None:
        """Take rows out of a stage; the numbers of the others do not change."""

    def apply(self, stages: Sequence[Stage], origin: str) -> list[Refusal]:
        """Write the staged rows and their log entries, in the order given (law L9: the engine gives
        parents first for inserts and updates, children first for deletes; the adapter sees to
        self-references and cycles, and to unique values that a later row of the call gives up).

        Immediate and deferred constraints are both checked before it returns. If anything is refused,
        NOTHING of this call stays written (a savepoint), and every row found refused is returned; the
        engine discards them and calls again. An insert that meets a row committed meanwhile: Conflict.
        What cascades and the user's triggers change besides is captured with origin `hub`."""

    def differing(self, stage: Stage) -> list[int]:
        """Rows of an applied insert or update whose stored values are not what was staged.

        Of an applied delete those that are there: the centre has turned it into an update (a soft delete)."""
