"""What of a large push has to wait for the rest of it: stages of their own, which are tried again later."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from syncline.hub.accept import Part
from syncline.hub.commit import GONE_WITH, Refused, gone
from syncline.hub.contract import Rows, Stage
from syncline.hub.dependents import RowId, below, followed, live_rows, row_id, taken_along
from syncline.hub.named import Keys
from syncline.model.schema import Schema, TableSchema


@dataclass(frozen=True, slots=True)
class Late:
    """Rows that were refused and are tried again, and why they were."""

    stage: Stage
    refused: dict[RowId, Refused]


def late_of(schema: Schema, stage: Stage, refused: Set[int], waiting: dict[RowId, Refused]) -> Late | None:
    """The refused rows of a stage that must wait, as a stage of their own."""
    places = {number: row_id(schema, stage, number) for number in refused}
    chosen = [number for number in sorted(refused) if places[number] in waiting]
    if not chosen:
        return None
    entries = None
    if stage.entries is not None:
        renumbered = {number: new for new, number in enumerate(chosen)}
        entries = [(renumbered[n], mask, hlc) for n, mask, hlc in stage.entries if n in renumbered]
    rows, hlc = [stage.rows[n] for n in chosen], [stage.hlc[n] for n in chosen]
    rest = replace(stage, rows=rows, hlc=hlc, entries=entries, handle=None, discarded=set())
    return Late(rest, {places[n]: waiting[places[n]] for n in chosen})


@dataclass(slots=True)
class PutOff:
    """The writes of a push that point at rows which the same push deletes at its end: they were made when
    these had been deleted on the device, and shown again for another's sake. Done before, they would go or
    change with them in silence (law L2); done after, the database says what it thinks of them.

    Those that go by another way, as they point at a row that goes, are found when all is done.

    `deleted`: which rows of some tables are deleted at the end, by the number of the table."""

    schema: Schema
    rows: Rows
    deleted: Callable[[Set[int]], Mapping[int, Container[RowId]]]
    _waiting: list[Late] = field(default_factory=list)
    _followed: dict[int, list[TableSchema]] = field(init=False)
    inserted: Keys = field(default_factory=Keys)
    """The rows that the push itself has put there, of tables of which that takes rows along."""
    _written: Keys = field(default_factory=Keys)
    _leaving: Mapping[int, Container[RowId]] | None = None
    _falling: Set[int] = frozenset()
    """The tables of which that takes rows along."""

    def __post_init__(self) -> None:
        self._followed = followed(self.schema)

    def leaving(self) -> Mapping[int, Container[RowId]]:
        """The rows that are deleted at the end, by the number of the table, where that is of consequence to
        rows of others, or may come about by theirs. Read once."""
        if self._leaving is None:
            parents = {parent.number for above in self._followed.values() for parent in above}
            self._leaving = self.deleted(parents | self._followed.keys())
            self._falling = taken_along(self.schema, self._leaving)
        return self._leaving

    def may_fall(self, table: int) -> bool:
        """Whether the deletes of the push take rows of this table along. Once it was taken out of stages."""
        return table in self._falling

    def take(self, stages: Sequence[Stage]) -> None:
        """Take such writes out of these stages."""
        for stage in stages:
            parents = self._followed.get(stage.table)
            if stage.form == "delete" or not parents:
                continue
            found = below(stage, self._table(stage), parents, self.leaving())
            if (late := self._late(stage, found)) is not None:
                self._waiting.append(late)
                self.rows.discard(stage, found)
                stage.discarded.update(found)
            if stage.table in self._falling:
                named = self.inserted, self._written
                for keys in named if stage.form == "insert" else named[1:]:
                    keys.add(stage.table, (key for _, key in live_rows(self.schema, stage)))

    def due(self, refused: dict[RowId, Refused]) -> Iterator[Late]:
        """They are to be tried."""
        return self.left(self._waiting, refused)

    def left(self, late: Iterable[Late], refused: dict[RowId, Refused]) -> Iterator[Late]:
        """What of these is to be tried when rows were deleted. Updates of rows that went with others are put
        into `refused`."""
        for item in late:
            stage = item.stage
            if stage.form != "update":
                yield item
                continue
            rows = [row_id(self.schema, stage, row) for row in range(len(stage.rows))]
            lost = gone(self.rows, stage.table, [key for _, key in rows])
            refused |= lost
            there = [number for number, row in enumerate(rows) if row not in lost]
            if lost and (rest := self._late(stage, there)) is not None:
                yield Late(rest.stage, {row: item.refused[row] for row in rest.refused})
            elif not lost:
                yield item

    def gone(self, written: Iterable[Part], before: Set[RowId]) -> dict[RowId, Refused]:
        """What was done of these parts and is there no more, for what was deleted has taken it along.
        `before`: what was rejected already."""
        found: dict[RowId, Refused] = {}
        for part in written if self._written else ():
            if part.table in self._falling:
                named = ((part.table, key) for key in part.keys)
                keys = [row[1] for row in named if row in self._written and row not in before]
                found |= gone(self.rows, part.table, keys)
        return found

    def _table(self, stage: Stage) -> TableSchema:
        return self.schema.by_number[stage.table]

    def _late(self, stage: Stage, rows: Iterable[int]) -> Late | None:
        places = {row: row_id(self.schema, stage, row) for row in rows}
        return late_of(self.schema, stage, places.keys(), dict.fromkeys(places.values(), GONE_WITH))
