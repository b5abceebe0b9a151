"""What the replica had seen when it made its edits: also when the log can no longer tell.

A base is lost when log entries that it had not seen are pruned, or when it was given out in a past that the
centre has gone back from. For a row with a lost base the hub compares what the replica's edits started from
with the present row: where they are equal nobody interfered; where they differ somebody did, with the stamp
that the rest of the log gives, or else the highest one below its floor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from syncline.hub.accept import Part
from syncline.hub.contract import Position, ReadTransaction
from syncline.merge.decide import Base, Entry
from syncline.model.schema import TableSchema
from syncline.model.values import Value, identical, mask_of

WRITER = "hub"
"""Whoever it was, the log does not say any more."""


@dataclass(frozen=True, slots=True)
class File:
    """The file that pushes edits which it had before it took its present id. `own`: by former id, a position
    up to which everything that was done under it was done by this file. `lineage`: the ids, among those in
    question, of copies of one file; what was done under these may have been done by this one. `offered`: what
    it pushes the centre had taken before, and has lost."""

    own: Mapping[str, Position]
    lineage: frozenset[str] = frozenset()
    offered: bool = False

    def did(self, origin: str, place: object) -> bool:
        """Whether the file certainly made this entry of the log."""
        position = self.own.get(origin)
        return position is not None and position.sees(place)


@dataclass(frozen=True, slots=True)
class Bases:
    """The bases of a push. For those `lost`, by number, `positions` has the floor of the log instead: what
    the log still has counts as unseen. `file` is set if edits in it were made under a former id."""

    positions: Sequence[Position]
    lost: frozenset[int] = frozenset()
    floor_hlc: int = 0
    file: File | None = None

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


def bases_of(
    transaction: ReadTransaction, positions: Sequence[Position | None], *, offered: bool = False
) -> Bases:
    """Look up what the positions are worth. None: one that cannot be read.

    What is `offered` again has no old values to compare: of a base that is lost, all that the log has counts
    as unseen."""
    known = [position for position in positions if position is not None]
    standings = iter(transaction.log.standings(known) if known else ())
    sound = [position is not None and next(standings) == "sound" for position in positions]
    if all(sound):
        return Bases(known)
    floor = transaction.log.floor()
    pairs = zip(positions, sound, strict=True)
    replaced = [position if good and position is not None else floor.position for position, good in pairs]
    lost = frozenset(number for number, good in enumerate(sound) if not good)
    return Bases(replaced) if offered else Bases(replaced, lost, floor.hlc)


def compared(
    entries: Iterable[Entry],
    base: Base,
    present: Mapping[int, Value] | None,
    lost: int,
    floor_hlc: int,
    table: TableSchema,
) -> list[Entry]:
    """The entries of a row's rivals when its base is lost: those that left a trace, or that are of
    columns which the base cannot tell, and what the log forgot.

    `lost` are the sent columns whose own base is lost, `present` the row as it is, by column."""
    stamp, whole = (floor_hlc, WRITER), table.all_mask
    if present is None:
        return [*entries, Entry("D", whole, stamp, whole)]
    before = dict(base.image or {}) | dict(base.before)
    differing = mask_of(column for column, value in before.items() if not identical(value, present[column]))
    kept, told = [], 0
    for entry in entries:
        unseen = entry.unseen & ~(lost & ~differing)
        if not entry.mask or entry.mask & (differing | (unseen & ~lost)):
            op = "R" if entry.op == "I" else entry.op  # whether it was there before is not known
            kept.append(Entry(op, entry.mask, entry.stamp, unseen))
            told |= entry.mask
    forgotten = differing & ~told
    return [*kept, Entry("U", forgotten, stamp, forgotten)] if forgotten else kept


def not_own(
    entries: Iterable[Entry], base: Base, present: Mapping[int, Value] | None, lineage: Set[str]
) -> list[Entry]:
    """The entries of a row's rivals without what the file itself has done, or has as a copy of another.

    Who has one id, or ids of one lineage, may be this file or a copy of it that went on. Where the row still
    is what the file's edits started from, they were made knowing what such a one did; elsewhere somebody has
    changed it since."""
    if present is None:
        return list(entries)
    before = dict(base.image or {}) | dict(base.before)
    known = [column for column in before if column in present]
    same = mask_of(column for column in known if identical(before[column], present[column]))
    differing = mask_of(known) & ~same
    kept: list[Entry] = []
    settled = others = 0
    for entry in reversed(list(entries)):
        if entry.stamp[1] in lineage:
            settled |= entry.mask & same & ~others  # whatever others did before, it was decided against this
            mask = entry.mask & differing
        elif entry.mask:
            mask = entry.mask & ~settled
            others |= entry.mask
        else:  # of columns that nobody could tell
            kept.append(entry)
            continue
        if mask:
            kept.append(Entry(entry.op, mask, entry.stamp, entry.unseen))
    return kept[::-1]
