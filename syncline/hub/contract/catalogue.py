"""What a central database is like, and making it ready."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from syncline.model.finding import Finding
from syncline.model.schema import ColumnSchema, Schema

Declared = Mapping[str, Collection[str]]
"""Names of columns by the name of their table."""

Keys = Mapping[str, Sequence[str]]
"""Columns by the name of their table, as it is named in the configuration."""

NO_KEYS: Keys = {}


@dataclass(slots=True)
class Prepared:
    """What `init` or `remove` did or, with dry_run, would do: SQL statements and sentences.

    `schema` is the one in force afterwards, with its numbers; `before` the one that was in force. `amiss` are
    those of the notes that say of changes that they may not have been captured. `warnings`, `findings` and
    `asks` are the engine's: what devices cannot follow or lose, those of the warnings that have a code and a
    remedy, and whether there are devices, so that it must be agreed to; so is `ruled`: whether rules were
    kept that are others than before."""

    statements: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    schema: Schema | None = None
    before: Schema | None = None
    amiss: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    asks: bool = False
    ruled: bool = False


@dataclass(frozen=True, slots=True)
class Renaming:
    """The schema in force as it was prepared, and under the names that its tables and columns have `now`.

    Columns that are gone are left out of `now`, and so are foreign keys and unique constraints."""

    before: Schema
    now: Schema


class Catalogue(Protocol):
    """The tables of a central database, the user's and Syncline's own. Each method is one transaction."""

    look_seconds: float
    """How often, at most, `signature` is asked for while requests come; 0: with each of them."""

    @property
    def hub_id(self) -> str:
        """A uuid made at the first `prepare`, kept in the database; NotPrepared if there is none."""

    def reflect(self, tables: Sequence[str] | None, keys: Keys = NO_KEYS) -> Schema:
        """The user's tables (all that can take part, or those named), in portable form.

        `keys` names the columns of a unique index that are the key of a table, instead of a primary key.
        Raises SchemaError naming every named table that does not exist or cannot take part, and why.
        """

    def prepare(
        self,
        schema: Schema,
        *,
        before: Declared | None = None,
        dry_run: bool = False,
        anew: Collection[int] = (),
    ) -> Prepared:
        """Create Syncline's own tables and the capture triggers. Idempotent; alters no user table.

        Numbers are given out here: a table or column that is the same as before keeps its number, under
        another name too, as far as the database can tell (`model.numbering`). Logs go on, whatever columns
        come, go, get another name or a wider type; only a table with another key begins a new one. The
        version of the schema is kept by its fingerprint, beside those before it.

        `before` names the columns of which the log keeps the old values, those that a scope or a path to one
        reads, see `ReadLog.former`; None: as it was (nothing, at first). Changing it keeps the logs going.

        `anew`, with `dry_run` alone: tables of these numbers end, and what has their place is another one."""

    def remove(self, *, dry_run: bool = False) -> Prepared:
        """The opposite of `prepare`: take everything of Syncline's away; the user's tables stay as they are.

        Idempotent, in one transaction. DatabaseError `depended_on`, naming them, if objects of the user's
        are built on Syncline's own."""

    def examine(self, schema: Schema) -> list[Finding]:
        """What is wrong, or worth knowing, when `schema` should be prepared. Changes nothing. What `prepare`
        would do is trouble where it is `amiss`; the rest of it is not told."""

    def load(self) -> Schema:
        """The schema as last prepared. NotPrepared if it was not, or an older layout is found."""

    def renamed(self) -> Renaming | None:
        """What the tables and columns that take part are called now, as far as the database can tell; None
        before the first `prepare`. Changes nothing, and needs no rights to the tables."""

    def signature(self, besides: Collection[str] = ()) -> str:
        """Text that is another one whenever tables may have been created, altered, renamed or dropped, or
        capture was removed or disabled, since it was asked for before with the same `besides`; no other
        promise. Of tables that take no part it is promised for their creation and names, for what lets them
        take part, and for all alterations of those whose names, `schema.table`, are among `besides`.
        Cheap, see `look_seconds`."""

    def uncaptured(self) -> list[str]:
        """Names of tables that take part and of which other programs' writes are not captured at present."""

    def is_wider(self, before: ColumnSchema, after: ColumnSchema) -> bool:
        """Whether every value of the first column's type is one of the second's, and a device needs no other
        way to store it; see `model.evolution`."""
