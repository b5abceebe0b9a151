"""Rows of the centre that fall to the ON DELETE CASCADE of a pushed delete, and that the push itself does
not delete.

What a device had below a row it deletes itself, row by row. What others have put there since, it has never
seen: that goes in the centre all the same, and is kept as a conflict of the push (laws L2, L12).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from syncline.hub.bases import Bases
from syncline.hub.commit import gone
from syncline.hub.contract import Key, Stage, WriteTransaction
from syncline.hub.dependents import Cascading, RowId, cascading, live_rows, row_id
from syncline.hub.settle import Settled
from syncline.merge.decide import THERE, Note, Stamp
from syncline.merge.policies import CASCADE
from syncline.model.schema import Schema

Later = Callable[[], Mapping[int, Container[RowId]]]
"""Which rows the push deletes otherwise than by the stages at hand, by the number of the table."""


@dataclass(slots=True)
class Cascades:
    """Looks before the deletes of a push are written what they would take along, and tells afterwards what
    they took. `bases`: what the device had seen."""

    transaction: WriteTransaction
    schema: Schema
    replica: str
    bases: Callable[[], Bases]
    later: Later = dict

    def look(self, stages: Sequence[Stage]) -> list[tuple[RowId, int, Note]]:
        """The rows that would go, with the clock of the delete that would take them."""
        found: list[tuple[RowId, int, Note]] = []
        deletes = [stage for stage in stages if stage.form == "delete" and not stage.held]
        if not deletes:
            return found
        below = cascading(self.schema)
        level = [stage for stage in deletes if stage.table in below and any(live_rows(self.schema, stage))]
        if not level:
            return found
        leaving = {row for stage in deletes for row in live_rows(self.schema, stage)}
        writes = [stage for stage in stages if stage.form != "delete"]
        written = {row for stage in writes for row in live_rows(self.schema, stage)}
        while level := self._next(level, below, leaving):
            for stage in level:
                found += self._notes(stage, written)
        return found

    def tell(self, found: Sequence[tuple[RowId, int, Note]], settled: Settled) -> None:
        """Note those that are gone. A delete that had lost to what others did to the row has come about."""
        went = self._gone(row for row, _, _ in found)
        if not went:
            return
        told: set[RowId] = set()
        for place, (row, hlc, note) in enumerate(settled.notes):
            if row in went and note.column is None and note.sent is None:
                told.add(row)
                if note.outcome == "hub":
                    settled.notes[place] = row, hlc, replace(note, outcome="replica", policy=CASCADE)
        settled.notes += [one for one in found if one[0] in went and one[0] not in told]

    def _next(self, level: Sequence[Stage], below: Cascading, leaving: set[RowId]) -> list[Stage]:
        """The rows, besides the leaving, that point at those of the level; locked, so that nobody puts rows
        below them any more. They are among the leaving from now on."""
        found: dict[int, dict[Key, int]] = {}
        for stage in level:
            for child, pairs in below.get(stage.table, ()):
                for n, key in self.transaction.rows.children(stage, child.number, pairs):
                    if (child.number, key) not in leaving:
                        leaving.add((child.number, key))
                        found.setdefault(child.number, {})[key] = stage.hlc[n]
        stages = [
            Stage(table, "delete", "D", [], [list(key) for key in keys], list(keys.values()))
            for table, keys in found.items()
        ]
        for stage in stages:
            self.transaction.rows.stage(stage)
        if stages:
            self.transaction.rows.lock(stages)
        return stages

    def _notes(self, stage: Stage, written: Container[RowId]) -> Iterator[tuple[RowId, int, Note]]:
        """Of those that the push neither writes nor deletes otherwise as the device had seen them."""
        table, arity = self.schema.by_number[stage.table], len(self.schema.by_number[stage.table].key)
        places = {n: row_id(self.schema, stage, n) for n in range(len(stage.rows))}
        rows = {n: row for n, row in places.items() if row not in written}
        if not rows:
            return
        rivals, later = self._rivals(stage), self.later().get(stage.table, ())
        unseen = {n: row for n, row in rows.items() if n in rivals or row not in later}
        if not unseen:
            return
        keys = [key for _, key in unseen.values()]
        found = self.transaction.rows.find(stage.table, keys, list(table.values))
        images = {tuple(row[:arity]): row[arity:] for row in found}
        for n, row in unseen.items():
            if row[1] in images:
                note = Note(None, "replica", CASCADE, rivals.get(n, THERE), None, None, images[row[1]])
                yield row, stage.hlc[n], note

    def _rivals(self, stage: Stage) -> dict[int, Stamp]:
        """The newest edit of each row that the device had not seen."""
        positions, found = self.bases().positions, dict[int, Stamp]()
        for rival in self.transaction.rows.rivals(stage, positions, [], self.replica) if positions else ():
            found[rival.row] = max(found.get(rival.row, THERE), (rival.hlc, rival.origin))
        return found

    def _gone(self, rows: Iterable[RowId]) -> set[RowId]:
        by_table: dict[int, list[Key]] = {}
        for table, key in rows:
            by_table.setdefault(table, []).append(key)
        found: set[RowId] = set()
        for table, keys in by_table.items():
            found |= gone(self.transaction.rows, table, keys).keys()
        return found
