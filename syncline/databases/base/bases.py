"""What the rows of one push were made on, and who else has changed them since."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from syncline.databases.base.shape import BaseShape
from syncline.hub.contract import Position, Rival
from syncline.model.masks import join_mask
from syncline.model.operations import PARTIAL


@dataclass(frozen=True, slots=True)
class Bases:
    """What rows of a replica's were made on: `positions`, and by the numbers of the rows which of them, the
    first one for all if `base` is empty."""

    positions: Sequence[Position]
    base: Sequence[int]
    replica: str

    @property
    def used(self) -> list[Position]:
        """Those that any row was made on."""
        return [self.positions[number] for number in set(self.base)] if self.base else [*self.positions[:1]]

    def rivals(self, shape: BaseShape, entries: Iterable[Sequence[Any]]) -> list[Rival]:
        """Of the log entries of staged rows (number of the row, place, op, HLC, origin, words of the mask)
        those by others that the row's own base had not seen."""
        whole, positions, base = shape.table.all_mask, self.positions, self.base
        return [
            Rival(row, place, op, join_mask(words) & whole if op in PARTIAL else whole, hlc, origin)
            for row, place, op, hlc, origin, *words in entries
            if origin != self.replica and not positions[base[row] if base else 0].sees(place)
        ]
