"""Staged rows that are in the database, and the session that statements over them are sent to."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from syncline.databases.base.bases import Bases
from syncline.databases.base.isolation import Loaded
from syncline.databases.base.typed import TypedShape
from syncline.hub.contract import Refusal


@dataclass(frozen=True, slots=True)
class Tries:
    """How often a transaction was run before, and whether it still waits for what others hold."""

    before: int = 0
    waits: bool = True


class Verbs(Protocol):
    """What is asked of a session."""

    def run(self, statement: str, *values: Any) -> Sequence[Sequence[Any]]:
        """Execute and fetch everything."""

    def count(self, statement: str, *values: Any) -> int:
        """Execute; how many rows were written."""

    def savepoint(self) -> AbstractContextManager[None]:
        """Undo what happens within if it raises."""


class StagedRows(Loaded, Protocol):
    """A stage that statements can be put over."""

    @property
    def shape(self) -> TypedShape[Any]: ...

    certain: bool
    """Whether every row but the `respelled` is certainly stored as sent, unless a trigger changes it."""

    @property
    def respelled(self) -> set[int]:
        """Rows that are stored otherwise than they were sent."""

    unlooked: bool
    """Whether nobody has looked if the rows, which are to be inserted, exist."""

    asked: Bases | None
    """What rivals of the rows were asked for, if they were."""

    @property
    def refused(self) -> dict[int, Refusal]:
        """Rows of which it is known already that they cannot be written, by their numbers."""

    def place(self, session: Any) -> None:
        """Bring the rows where statements find them, if they are not there."""

    def settle_down(self, session: Any) -> None:
        """Bring them into a temporary table in which single rows are quick to find."""

    def over(self, template: str, rows: Sequence[int] | None = None) -> tuple[str, Any]:
        """A statement over all of these rows, or over some that follow each other; and what it is given."""


R = TypeVar("R", bound=StagedRows)
