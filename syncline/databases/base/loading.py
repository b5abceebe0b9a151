"""The rows of a stage that are in the database, or on their way there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

from syncline.databases.base.shape import S
from syncline.hub.contract import Refusal, Stage, codes


@dataclass(slots=True, eq=False, repr=False)
class LoadedRows(ABC, Generic[S]):
    """The adapter's handle of a stage: which rows are left, and what is said of them."""

    stage: Stage
    shape: S
    live: list[int] = field(init=False)
    """The numbers of the rows still in it, ascending."""
    refused: dict[int, Refusal] = field(default_factory=dict)
    """Rows of which it is known already that they cannot be written, by their numbers."""

    def __post_init__(self) -> None:
        self.live = list(range(len(self.stage.rows)))

    @abstractmethod
    def over(self, template: str, rows: Sequence[int] | None = None) -> tuple[str, Any]:
        """A statement over all of these rows, or over some that follow each other; and what it is given."""

    def leave_out(self, rows: Collection[int]) -> None:
        """Rows are no longer in it; the others keep their numbers."""
        self.live = [row for row in self.live if row not in rows]

    def forget(self, rows: Collection[int]) -> None:
        """Nothing is to be said of these rows any more."""
        for row in rows:
            self.refused.pop(row, None)

    def refuse_keys(self, rows: Collection[int], database: str) -> None:
        """Refuse keys that the database would not write, or would write in another spelling."""
        for row in sorted(rows):
            key = self.stage.rows[row][: self.shape.arity]
            detail = f"the key {key!r} is not as {database} writes its types"
            self.refused[row] = Refusal(self.stage, row, codes.INVALID, detail)
