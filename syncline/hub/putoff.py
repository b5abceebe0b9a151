"""What of a large push has to wait for the rest of it: stages of their own, which are tried again later."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace

from syncline.hub.accept import Part
from syncline.hub.commit import GONE_WITH, Refused, gone
from syncline.hub.contract import Rows, Stage
from syncline.hub.dependents import below, followed, taken_along
from syncline.hub.named import Keys
from syncline.hub.settle import RowId
from syncline.model.schema import Schema, TableSchema


@dataclass(frozen=True, slots=True)
class Late:
    """Rows that were refused and are tried again, and why they were."""

    stage: Stage
    refused: dict[RowId, Refused]


def late_of(schema: Schema, stage: Stage, refused: set[int], waiting: dict[RowId, Refused]) -> Late | None:
    """The refused rows of a stage that must wait, as a stage of their own."""
    arity = len(schema.by_number[stage.table].key)
    places = {number: (stage.table, tuple(stage.rows[number][:arity])) for number in refused}
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

    `deleted`: which rows of some tables are deleted at the end; None if none are."""

    schema: Schema
    rows: Rows
    deleted: Callable[[Set[int]], Container[RowId] | None]
    _waiting: list[Late] = field(default_factory=list)
    _followed: dict[int, list[TableSchema]] = field(init=False)
    _above: dict[int, set[int]] = field(init=False)
    _written: Keys = field(default_factory=Keys)
    _leaving: Container[RowId] | None = None
    _is_known: bool = False

    def __post_init__(self) -> None:
        self._followed, self._above = followed(self.schema), taken_along(self.schema)

    def take(self, stages: Sequence[Stage]) -> None:
        """Take such writes out of these stages."""
        for stage in stages:
            parents = self._followed.get(stage.table) if stage.form != "delete" else None
            leaving = self._known() if parents else None
            if parents and leaving is not None:
                found = below(stage, self._table(stage), parents, leaving)
                if (late := self._late(stage, found)) is not None:
                    self._waiting.append(late)
                    self.rows.discard(stage, found)
                    stage.discarded.update(found)
            if leaving is not None and self._above[stage.table]:
                arity, rows = len(self._table(stage).key), enumerate(stage.rows)
                live = (tuple(values[:arity]) for row, values in rows if row not in stage.discarded)
                self._written.note((stage.table, key) for key in live)

    def due(self, refused: dict[RowId, Refused]) -> Iterator[Late]:
        """They are to be tried. Updates of rows that went with others meanwhile are put into `refused`."""
        for item in self._waiting:
            stage = item.stage
            if stage.form != "update":
                yield item
                continue
            arity = len(self._table(stage).key)
            keys = [tuple(row[:arity]) for row in stage.rows]
            there = {tuple(key) for key in self.rows.find(stage.table, keys, [])}
            left = [row for row, key in enumerate(keys) if key in there]
            refused |= {row: why for row, why in item.refused.items() if row[1] not in there}
            if (late := self._late(stage, left)) is not None:
                yield late

    def gone(self, written: Iterable[Part], before: Set[RowId]) -> dict[RowId, Refused]:
        """What was done of these parts and is there no more, for what was deleted has taken it along.
        `before`: what was rejected already."""
        found: dict[RowId, Refused] = {}
        for part in written if self._written else ():
            named = ((part.table, key) for key in part.keys if self._above.get(part.table))
            keys = [row[1] for row in named if row in self._written and row not in before]
            found |= gone(self.rows, part.table, keys)
        return found

    def _known(self) -> Container[RowId] | None:
        if not self._is_known:
            tables = {parent.number for parents in self._followed.values() for parent in parents}
            self._leaving, self._is_known = self.deleted(tables), True
        return self._leaving

    def _table(self, stage: Stage) -> TableSchema:
        return self.schema.by_number[stage.table]

    def _late(self, stage: Stage, rows: Iterable[int]) -> Late | None:
        arity, chosen = len(self._table(stage).key), set(rows)
        places = [(stage.table, tuple(stage.rows[row][:arity])) for row in chosen]
        return late_of(self.schema, stage, chosen, dict.fromkeys(places, GONE_WITH))
