"""Rows of the centre that fall to the ON DELETE CASCADE of a pushed delete, and that the push itself does
not delete; and references that fall to an ON DELETE SET NULL or SET DEFAULT (or ON UPDATE), and that the push
itself does not set.

What a device had below a row it deletes or sets itself, row by row. What others have put there since, it has
never seen: that goes in the centre all the same, and is kept as a conflict of the push (laws L2, L12).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from syncline.hub.bases import Bases
from syncline.hub.commit import gone
from syncline.hub.contract import Key, Stage, WriteTransaction
from syncline.hub.dependents import Cascading, Emptying, RowId, cascading, emptying, live_rows, row_id
from syncline.hub.settle import Settled
from syncline.merge.decide import THERE, Note, Stamp
from syncline.merge.policies import CASCADE, SET_DEFAULT, SET_NULL
from syncline.model.schema import Schema
from syncline.model.values import Value

Later = Callable[[], Mapping[int, Container[RowId]]]
"""Which rows the push deletes otherwise than by the stages at hand, by the number of the table."""


@dataclass(frozen=True, slots=True)
class _Reference:
    """A row that may lose what it refers to: the clock of the write that would take it, and by column the
    policy that says so, what it held, and who had written it last."""

    hlc: int
    policies: dict[int, str]
    held: dict[int, Value] = field(default_factory=dict)
    rivals: dict[int, Stamp] = field(default_factory=dict)


@dataclass(slots=True)
class Cascades:
    """Looks before the deletes of a push are written what they would take along, and tells afterwards what
    they took. `bases`: what the device had seen."""

    transaction: WriteTransaction
    schema: Schema
    replica: str
    bases: Callable[[], Bases]
    later: Later = dict
    references: dict[RowId, _Reference] = field(default_factory=dict)

    def look(self, stages: Sequence[Stage]) -> list[tuple[RowId, int, Note]]:
        """The rows that would go, with the clock of the delete that would take them."""
        found: list[tuple[RowId, int, Note]] = []
        deletes = [stage for stage in stages if stage.form == "delete" and not stage.held]
        writes = [stage for stage in stages if stage.form != "delete"]
        self._refer(list(self._moved(writes)), emptying(self.schema, deletes=False), writes)
        if not deletes:
            return found
        below, emptied = cascading(self.schema), emptying(self.schema, deletes=True)
        level = [
            stage
            for stage in deletes
            if (stage.table in below or stage.table in emptied) and any(live_rows(self.schema, stage))
        ]
        if not level:
            return found
        leaving = {row for stage in deletes for row in live_rows(self.schema, stage)}
        written = {row for stage in writes for row in live_rows(self.schema, stage)}
        levels = list(level)
        while level := self._next(level, below, leaving):
            levels += level
            for stage in level:
                found += self._notes(stage, written)
        self._refer(levels, emptied, writes, leaving)
        return found

    def tell(self, found: Sequence[tuple[RowId, int, Note]], settled: Settled) -> None:
        """Note those that are gone. A delete that had lost to what others did to the row has come about."""
        self._tell_references(settled)
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

    # References ----------------------------------------------------------------------------------------

    def _moved(self, writes: Sequence[Stage]) -> Iterator[Stage]:
        """The updates of values that a foreign key refers to which empties what points there."""
        emptied = emptying(self.schema, deletes=False)
        for stage in writes:
            table = self.schema.by_number[stage.table]
            names = {table.values[number].name for number in stage.columns}
            targets = {theirs for one in emptied.get(stage.table, ()) for _, theirs in one.pairs}
            if stage.form == "update" and not stage.held and not names.isdisjoint(targets):
                yield stage

    def _refer(
        self,
        stages: Sequence[Stage],
        emptied: Mapping[int, Sequence[Emptying]],
        writes: Sequence[Stage],
        leaving: Collection[RowId] = (),
    ) -> None:
        """Note the references to the staged rows which the push does not set, and lock them, so that what
        they hold is what goes."""
        found: dict[int, dict[Key, _Reference]] = {}
        for stage in stages:
            for one in emptied.get(stage.table, ()):
                for n, key in self.transaction.rows.children(stage, one.child.number, one.pairs):
                    if (one.child.number, key) not in leaving:
                        rows = found.setdefault(one.child.number, {})
                        reference = rows.setdefault(key, _Reference(stage.hlc[n], {}))
                        reference.policies.update(dict.fromkeys(one.columns, one.policy))
        for stage in writes if found else ():
            for table, key in live_rows(self.schema, stage) if stage.table in found else ():
                if key in found[table]:
                    for column in stage.columns:
                        found[table][key].policies.pop(column, None)
        todo = {
            table: {key: one for key, one in rows.items() if one.policies} for table, rows in found.items()
        }
        for table, rows in todo.items():
            if rows:
                self._read(table, rows)
                for reference in rows.values() if not leaving else ():  # a later chunk may set it, too
                    for column in reference.policies.keys() - reference.rivals.keys():
                        del reference.policies[column]

    def _read(self, table: int, rows: Mapping[Key, _Reference]) -> None:
        """Lock these rows, and note what they hold and who had written it."""
        keys = list(rows)
        stage = Stage(table, "delete", "D", [], list(map(list, keys)), [rows[key].hlc for key in keys])
        self.transaction.rows.stage(stage)
        self.transaction.rows.lock([stage])
        positions = self.bases().positions
        for rival in self.transaction.rows.rivals(stage, positions, [], self.replica) if positions else ():
            reference = rows[keys[rival.row]]
            for column in reference.policies:
                if rival.mask >> column & 1:
                    stamp = max(reference.rivals.get(column, THERE), (rival.hlc, rival.origin))
                    reference.rivals[column] = stamp
        for key, held in self._held(table, rows).items():
            rows[key].held.update(held)
            self.references[table, key] = rows[key]

    def _held(self, table: int, rows: Mapping[Key, _Reference]) -> dict[Key, dict[int, Value]]:
        """What the references of those rows hold that are there."""
        columns = sorted({column for one in rows.values() for column in one.policies})
        arity = len(self.schema.by_number[table].key)
        found = self.transaction.rows.find(table, list(rows), columns)
        return {tuple(row[:arity]): dict(zip(columns, row[arity:], strict=True)) for row in found}

    def _tell_references(self, settled: Settled) -> None:
        """Note those that hold something else now. An edit of others that had won over the push's own has
        lost by that."""
        by_table: dict[int, dict[Key, _Reference]] = {}
        for (table, key), reference in self.references.items():
            by_table.setdefault(table, {})[key] = reference
        lost: dict[tuple[RowId, int | None], tuple[int, Note]] = {}
        for table, rows in by_table.items():
            for key, now in self._held(table, rows).items():
                one = rows[key]
                for column, policy in one.policies.items():
                    before = one.held[column]
                    if before is not None and before != now[column]:
                        rival = one.rivals.get(column, THERE)
                        note = Note(
                            column,
                            "replica",
                            SET_NULL if policy == SET_NULL else SET_DEFAULT,
                            rival,
                            None,
                            now[column],
                            before,
                        )
                        lost[(table, key), column] = one.hlc, note
        for place, (row, hlc, note) in enumerate(settled.notes if lost else ()):
            if note.outcome == "hub" and (row, note.column) in lost:
                _, why = lost.pop((row, note.column))
                settled.notes[place] = row, hlc, replace(why, base=note.base, sent=note.sent)
        settled.notes += [(row, hlc, note) for (row, _), (hlc, note) in lost.items()]

    def _gone(self, rows: Iterable[RowId]) -> set[RowId]:
        by_table: dict[int, list[Key]] = {}
        for table, key in rows:
            by_table.setdefault(table, []).append(key)
        found: set[RowId] = set()
        for table, keys in by_table.items():
            found |= gone(self.transaction.rows, table, keys).keys()
        return found
