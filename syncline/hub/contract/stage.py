"""Rows on their way into the database, and what it says of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from syncline.model.values import Value

Form = Literal["insert", "update", "delete"]
Key = tuple[Value, ...]


@dataclass(slots=True)
class Stage:
    """Rows of one table and one form, loaded into the database for joins.

    `rows[i]` is key + values of `columns` (numbers; empty for delete). An insert may lack
    columns: they get what the database gives a row that names none.
    `op` and `hlc[i]` go to the log, with the mask of `columns` (insert, delete and op R: every column).
    `entries` replaces that where one row needs several log entries: (i, mask, hlc).
    `handle` belongs to the adapter; `discarded` are the rows that the engine has taken out. `held`: others
    hold the table, which cannot be read now; nothing is decided of these rows, and `apply` refuses them.
    """

    table: int
    form: Form
    op: str
    columns: list[int]
    rows: list[list[Value]]
    hlc: list[int]
    entries: list[tuple[int, int, int]] | None = None
    handle: Any = None
    discarded: set[int] = field(default_factory=set)
    held: bool = False


@dataclass(frozen=True, slots=True)
class Rival:
    """A log entry by another origin on staged row `row`."""

    row: int
    place: Any
    op: str
    mask: int
    hlc: int
    origin: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A staged row that the database will not hold. `parent` is (table number, key) if a foreign key
    of the row points at a row that is not there (or, for a delete, None: a child still points here)."""

    stage: Stage
    row: int
    code: str
    detail: str
    parent: tuple[int, Key] | None = None
