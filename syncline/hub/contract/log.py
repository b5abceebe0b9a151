"""The change log of a central database: what is new since a position, what it no longer holds (step 10)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from syncline.errors import WatermarkRefused
from syncline.hub.contract.stage import Key
from syncline.model.operations import DELETES, RETURNED
from syncline.model.schema import TableSchema
from syncline.model.values import Value, mask_of


class Position(Protocol):
    """How far a database's log was seen; parsed from the database's part of a watermark."""

    def sees(self, place: Any) -> bool:
        """Whether the log entry at `place` (Rival.place) had been seen."""

    def token(self) -> str:
        """ASCII text without '|' from which `Database.position` makes an equal position."""


Standing = Literal["sound", "pruned", "lost", "restored"]
"""What a position is worth: the log goes on from it; entries it has not seen are gone; changes that it has
not seen were not captured; or it was given out in a past that the database has gone back from (or is of
another cluster, or ahead of the log)."""


@dataclass(frozen=True, slots=True)
class Floor:
    """Where the log begins: `position` has seen what is gone and nothing else, `hlc` is the highest HLC
    of what is gone, and never lower than that of any."""

    position: Position
    hlc: int


@dataclass(frozen=True, slots=True)
class Removed:
    """What one bounded step of pruning or compacting took away; `more` if another step has work to do."""

    entries: int
    more: bool


@dataclass(frozen=True, slots=True)
class Coverable:
    """What compacting may take away next, as the adapter names it, in the order of the log. Up to `upto` all
    was looked through; `more`: there is more to look through."""

    gone: Sequence[Any]
    upto: Any
    more: bool

    def parts(self, limit: int) -> Iterator[Coverable]:
        """The same in parts of so many entries; one at least."""
        for start in range(0, max(1, len(self.gone)), limit):
            some, is_last = self.gone[start : start + limit], start + limit >= len(self.gone)
            yield Coverable(some, self.upto if is_last else some[-1][0], self.more or not is_last)


@dataclass(frozen=True, slots=True)
class LogPage:
    """New log entries, coalesced per row: `touched[table number] = [(key, mask)...]` with the mask of every
    column in entries I and R. `end` is where the page ends; `hlc` is the highest HLC in it. Unless there is
    `more`, the rows read in this transaction together with everything before are one instant (law L5)."""

    touched: dict[int, list[tuple[Key, int]]]
    end: Position
    more: bool
    hlc: int


@dataclass(frozen=True, slots=True)
class Told:
    """One entry of a row, for `former_of`: `old` are the values it keeps of the columns declared now, by
    number; None if it keeps none, or not of all of them."""

    op: str
    mask: int
    old: Mapping[int, Value] | None


@dataclass(frozen=True, slots=True)
class Former:
    """What a row was like at a position, as far as the log tells: whether it `existed`, and its `values` then
    of the columns that keep old values, by number, where they may be others than now. None: they were
    changed, and what they were is not known (capture could not tell, or they were not declared yet)."""

    existed: bool
    values: Mapping[int, Value] | None


def present_columns(masks: Mapping[Key, int], table: TableSchema) -> list[tuple[Key, int]]:
    """Keys and masks of touched rows, without the columns that are gone, and without rows of which nothing
    else was touched."""
    whole = table.all_mask
    if not whole:
        return [(key, 0) for key in masks]
    return [(key, mask & whole) for key, mask in masks.items() if mask & whole]


def former_of(entries: Iterable[Told], columns: Sequence[int]) -> Former:
    """What a row was like before the first of its entries, which are all since then, in the log's order.

    The first that keeps old values tells them: each that may have changed one of them keeps all."""
    kept = mask_of(columns)
    for place, entry in enumerate(entries):
        if place == 0 and entry.op == "I":
            return Former(False, {})
        if not columns:
            break
        if entry.old is not None:
            return Former(True, entry.old)
        if entry.op in (*DELETES, RETURNED) or entry.mask & kept:
            return Former(True, None)
    return Former(True, {})


class ReadLog(Protocol):
    """The log as of the instant of a transaction."""

    def now(self) -> Position:
        """The position of this transaction's instant: it has seen exactly what is visible in it."""

    def entries(self, after: Position, without: str, limit: int) -> LogPage:
        """Log entries of rows within the scope not seen by `after` and visible now, except those of origin
        `without`, about `limit` rows at most. Positions advance so that no entry is skipped or left for ever
        (law L4).
        With nothing new, `touched` is empty and `end` equals `now()` or `after`.

        WatermarkRefused `watermark_pruned` or `centre_restored` if `after` is not sound."""

    def former(self, after: Position, table: int, keys: Sequence[Key]) -> dict[Key, Former]:
        """What these rows were like at a sound position: those of them that entries not seen by it name, by
        whichever origin; the others are as they were. See `prepare` for what keeps old values.

        Not filtered by scope: it is what a scope is judged by."""

    def floor(self) -> Floor:
        """Where the log begins. Writes nothing; its position is to be `proved` before a device is told it."""

    def proved(self, position: Position) -> Position:
        """The position with what shows later that it is of this past; that may have to be written. `now()`
        and the ends of pages have it."""

    def standings(self, positions: Sequence[Position]) -> list[Standing]:
        """What each position is worth; one or two statements for all of them."""

    def behind(self, position: Position, at_most: int) -> int:
        """How many log entries a sound position has not seen, counted up to `at_most`."""

    def coverable(self, limit: int) -> Coverable | None:
        """What `compact` removes next in steps of `limit`, where that can be looked for while others write;
        None where `compact` looks by itself, without making anybody wait."""


class Log(ReadLog, Protocol):
    """The log in a transaction that writes. What enters it is written by `Rows.apply`, and by capture."""

    def leave_mark(self) -> None:
        """See to it that a position taken afterwards in this transaction, as one has to be, tells of it, be
        there nothing of it in the log: it equals none that was given out before, and is `restored` where the
        database has gone back to before it."""

    def note_moment(self) -> None:
        """Remember how long the log is at this time, for `prune`; it removes moments of no more use."""

    def prune(self, held: Sequence[Position], keep: float, longest: float | None, limit: int) -> Removed:
        """Remove entries, about `limit` of them, and raise the floor in the same transaction.

        An entry goes if every position in `held` has seen it and it is older than `keep` seconds, or if it
        is older than `longest`, whoever needs it; never one that an open transaction may still hide. `now()`
        stays what it was. Ages go by the moments noted: without an old enough one nothing goes; with `keep`
        0 the present is one. Positions stay good as `standings` says (laws L4, L11)."""

    def compact(self, limit: int, found: Coverable | None = None) -> Removed:
        """Look through the next `limit` entries or so and remove those that `compaction.covered` names; or
        those that were found.

        What is removed can still be the end of somebody's position, which stays sound. At the end of the
        log `more` is False, and the next call goes on with what is new then."""


def refused_watermark(standing: Standing) -> WatermarkRefused:
    """Why a position that is not sound is no place to pull from."""
    if standing == "lost":
        return WatermarkRefused(
            "the capture of a table was missing for a while after this watermark",
            code="watermark_lost",
            remedy="Sync again: the device compares itself with the centre and keeps its pending edits.",
        )
    if standing == "pruned":
        return WatermarkRefused(
            "the central database no longer keeps the changes since this watermark",
            code="watermark_pruned",
            remedy="Sync again: the device fills itself anew and keeps its pending edits.",
        )
    return WatermarkRefused(
        "the central database has gone back in time, or is another than the one that gave this watermark",
        code="centre_restored",
        remedy="Sync again: the device fills itself anew, keeps its pending edits and offers what was lost.",
    )
