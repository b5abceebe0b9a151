"""What the replica had seen when it made its edits: also when the log can no longer tell.

A base is lost when log entries that it had not seen are pruned, or when it was given out in a past that the
centre has gone back from. For a row with a lost base the hub compares what the replica's edits started from
with the present row: where they are equal nobody interfered; where they differ somebody did, with the stamp
that the rest of the log gives, or else the highest one below its floor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from syncline.hub.accept import Part
from syncline.hub.contract import Position, ReadTransaction
from syncline.merge.decide import Base, Entry
from syncline.model.schema import TableSchema
from syncline.model.values import Value, identical, mask_of

WRITER = "hub"
"""Whoever it was, the log does not say any more."""


@dataclass(frozen=True, slots=True)
class Bases:
    """The bases of a push. For those `lost`, by number, `positions` has the floor of the log instead: what
    the log still has counts as unseen. `carried`: edits in it were made under a former id of the file, or are
    offered again."""

    positions: Sequence[Position]
    lost: frozenset[int] = frozenset()
    floor_hlc: int = 0
    carried: bool = False

    def lost_rows(self, part: Part) -> list[int]:
        """The rows of a part that must be compared. An insert has nothing it started from."""
        if not self.lost or part.op in ("I", "-"):
            return []
        return [row for row in range(len(part.rows)) if self._numbers(part, row) & self.lost]

    def _numbers(self, part: Part, row: int) -> set[int]:
        columns = part.column_base[row] if part.column_base else []
        return {part.base_of(row), *columns}

    def lost_columns(self, part: Part, row: int) -> int:
        """The mask of the sent columns whose own base is lost."""
        if part.column_base is None:
            return mask_of(part.columns) if part.base_of(row) in self.lost else 0
        pairs = zip(part.columns, part.column_base[row], strict=True)
        return mask_of(column for column, number in pairs if number in self.lost)


def bases_of(transaction: ReadTransaction, positions: Sequence[Position]) -> Bases:
    """Look up what the positions are worth."""
    standings = transaction.log.standings(positions)
    lost = frozenset(number for number, standing in enumerate(standings) if standing != "sound")
    if not lost:
        return Bases(positions)
    floor = transaction.log.floor()
    replaced = [floor.position if number in lost else position for number, position in enumerate(positions)]
    return Bases(replaced, lost, floor.hlc)


def compared(
    entries: Iterable[Entry],
    base: Base,
    present: Mapping[int, Value] | None,
    lost: int,
    floor_hlc: int,
    table: TableSchema,
) -> list[Entry]:
    """The entries of a row's rivals when its base is lost: those that left a trace, and what the log forgot.

    `lost` are the sent columns whose own base is lost, `present` the row as it is, by column."""
    stamp, whole = (floor_hlc, WRITER), table.all_mask
    if present is None:
        return [*entries, Entry("D", whole, stamp, whole)]
    before = dict(base.image or {}) | dict(base.before)
    differing = mask_of(column for column, value in before.items() if not identical(value, present[column]))
    kept, told = [], 0
    for entry in entries:
        unseen = entry.unseen & ~(lost & ~differing)
        if entry.mask & (differing | (unseen & ~lost)):
            op = "R" if entry.op == "I" else entry.op  # whether it was there before is not known
            kept.append(Entry(op, entry.mask, entry.stamp, unseen))
            told |= entry.mask
    forgotten = differing & ~told
    return [*kept, Entry("U", forgotten, stamp, forgotten)] if forgotten else kept
