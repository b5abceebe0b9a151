"""Some rows of a stage, on which a statement is tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from syncline.databases.postgresql.stage import Loaded


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of the stage that is `index`th in the call."""

    index: int
    loaded: Loaded
    rows: Sequence[int]

    @property
    def form(self) -> str:
        return self.loaded.stage.form

    def over(self, template: str) -> tuple[str, str]:
        """A statement over these rows, and its `$1`."""
        if len(self.rows) == len(self.loaded.live):
            return self.loaded.over(template)
        return self.loaded.over(template, self.rows[0], self.rows[-1] + 1)
