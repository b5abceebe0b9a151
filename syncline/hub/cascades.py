"""Rows of the centre that fall to the ON DELETE CASCADE of a pushed delete, and that the push itself does
not delete; and references that fall to an ON DELETE SET NULL or SET DEFAULT (or ON UPDATE), and that the push
itself does not set.

What a device had below a row it deletes or sets itself, row by row. What others have put there since, it has
never seen: that goes in the centre all the same, and is kept as a conflict of the push (laws L2, L12).
An edit of the push that is rejected does not count: what others had there went unseen all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from syncline.hub.bases import Bases
from syncline.hub.commit import gone
from syncline.hub.contract import Key, Refusal, Stage, WriteTransaction
from syncline.hub.dependents import (
    NOTHING,
    Cascading,
    Emptying,
    Held,
    Pointing,
    RowId,
    cascading,
    emptying,
    held_by,
    live_rows,
    put_below,
    row_id,
)
from syncline.hub.settle import Settled
from syncline.merge.decide import THERE, Note, Stamp
from syncline.merge.policies import CASCADE, SET_DEFAULT, SET_NULL
from syncline.model.schema import Schema
from syncline.model.values import Value


@dataclass(frozen=True, slots=True)
class Rest:
    """What a push does otherwise than by the stages at hand: which rows it deletes, by the number of the
    table, and which it has put there."""

    deletes: Callable[[], Mapping[int, Container[RowId]]] = dict
    inserted: Container[RowId] = frozenset()


ALONE = Rest()


@dataclass(frozen=True, slots=True)
class _Reference:
    """A row that may lose what it refers to: the clock of the write that would take it, and by column the
    policy that says so, what it held, and who had written it last."""

    hlc: int
    policies: dict[int, str]
    held: dict[int, Value] = field(default_factory=dict)
    rivals: dict[int, Stamp] = field(default_factory=dict)
    by_update: bool = False
    """Not a delete would take it, but an update of the value that is referred to."""
    unchecked: set[int] = field(default_factory=set)
    """Columns that no device empties itself, for it has not the foreign key."""


@dataclass(frozen=True, slots=True)
class _Moved:
    """The writes of a push, by what they point at."""

    pointing: Pointing
    writes: Sequence[Stage]
    _held: dict[RowId, Held] = field(default_factory=dict)

    def held(self, schema: Schema, row: RowId) -> Held:
        """What the push writes into a row, besides its key. Gathered when first asked for."""
        if not self._held:
            for stage in self.writes:
                self._held.update(held_by(schema, stage, range(len(stage.rows))))
        return self._held.get(row, NOTHING)


@dataclass(slots=True)
class Cascades:
    """Looks before the deletes of a push are written what they would take along, and tells afterwards what
    they took. `bases`: what the device had seen; `rejected`: rows of the push that were rejected already."""

    transaction: WriteTransaction
    schema: Schema
    replica: str
    bases: Callable[[], Bases]
    rest: Rest
    rejected: Set[RowId]
    falling: dict[RowId, tuple[int, Note]] = field(default_factory=dict)
    """The rows that would go, with the clock of the delete that would take them."""
    references: dict[RowId, _Reference] = field(default_factory=dict)
    own: set[RowId] = field(default_factory=set)
    """The rows of which the push sets the references itself."""

    def look(self, stages: Sequence[Stage]) -> None:
        """Find what would go or be emptied by these stages."""
        for former in (self.falling, self.references, self.own):
            former.clear()
        deletes = [stage for stage in stages if stage.form == "delete" and not stage.held]
        writes = [stage for stage in stages if stage.form != "delete"]
        self._refer(list(self._moved(writes)), emptying(self.schema, deletes=False), writes)
        if not deletes:
            return
        below, emptied = cascading(self.schema), emptying(self.schema, deletes=True)
        level = [
            stage
            for stage in deletes
            if (stage.table in below or stage.table in emptied) and any(live_rows(self.schema, stage))
        ]
        if not level:
            return
        leaving = {row for stage in deletes for row in live_rows(self.schema, stage)}
        written = {row for stage in writes for row in live_rows(self.schema, stage)}
        levels, moved = list(level), _Moved(put_below(self.schema, writes), writes)
        while level := self._next(level, below, leaving, moved):
            levels += level
            for stage in level:
                self.falling |= self._notes(stage)
        self._refer(levels, emptied, writes, leaving - written)

    def look_again(self, stages: Sequence[Stage], refused: Sequence[Refusal]) -> None:
        """Some of the rows were refused, and are out of the stages: what was taken for the push's own is not,
        if it goes all the same."""
        if any(
            one.stage.form == "delete" or row_id(self.schema, one.stage, one.row) in self.own
            for one in refused
        ):
            self.look(stages)

    def tell(self, stages: Sequence[Stage], settled: Settled) -> None:
        """Note those that are gone, and what was emptied. References that deletes had emptied before, and
        these stages set, are the push's own edits: they were decided against what others had set."""
        for stage in stages if settled.fallen else ():
            for row in live_rows(self.schema, stage) if stage.form == "update" else ():
                for place in [(row, column) for column in stage.columns]:
                    if place not in settled.emptied:
                        settled.fallen.pop(place, None)
        self._tell_references(settled)
        went = self._gone(self.falling)
        settled.fallen |= {(row, None): told for row, told in self.falling.items() if row in went}

    def _next(
        self, level: Sequence[Stage], below: Cascading, leaving: set[RowId], moved: _Moved
    ) -> list[Stage]:
        """The rows, besides the leaving, that point at those of the level, or will when the push is written;
        locked, so that nobody puts rows below them any more. They are among the leaving from now on."""
        found: dict[int, dict[Key, int]] = {}
        for stage in level:
            children = [
                (n, (child.number, key))
                for child, pairs in below.get(stage.table, ())
                for n, key in self.transaction.rows.children(stage, child.number, pairs)
            ]
            for n, row in [*children, *self._put_below(stage, moved)]:
                if row not in leaving:
                    leaving.add(row)
                    found.setdefault(row[0], {})[row[1]] = stage.hlc[n]
        stages = [
            Stage(table, "delete", "D", [], [list(key) for key in keys], list(keys.values()))
            for table, keys in found.items()
        ]
        for stage in stages:
            self.transaction.rows.stage(stage)
        if stages:
            self.transaction.rows.lock(stages)
        return stages

    def _put_below(self, stage: Stage, moved: _Moved) -> Iterator[tuple[int, RowId]]:
        """The rows that the push itself puts below staged ones, whose numbers come with them."""
        if not moved.writes:
            return
        wanted = moved.pointing.wanted(stage.table)
        values = self.schema.by_number[stage.table].values
        columns = [number for number, column in values.items() if column.name in wanted]
        rows = {n: row_id(self.schema, stage, n) for n in range(len(stage.rows)) if n not in stage.discarded}
        held = self._named(stage.table, [key for _, key in rows.values()], columns) if columns else {}
        for n, row in rows.items():
            for also in (held.get(row[1], NOTHING), moved.held(self.schema, row) if columns else NOTHING):
                for other, place in moved.pointing.at(row, also):
                    yield n, row_id(self.schema, other, place)

    def _named(self, table: int, keys: Sequence[Key], columns: Sequence[int]) -> dict[Key, Held]:
        """What rows hold by the names of these columns."""
        names = [self.schema.by_number[table].values[column].name for column in columns]
        arity = len(self.schema.by_number[table].key)
        found = self.transaction.rows.find(table, keys, columns)
        return {tuple(row[:arity]): dict(zip(names, row[arity:], strict=True)) for row in found}

    def _notes(self, stage: Stage) -> dict[RowId, tuple[int, Note]]:
        """Of those that the push has not put there, nor deletes otherwise as the device had seen them."""
        table, arity = self.schema.by_number[stage.table], len(self.schema.by_number[stage.table].key)
        places = {n: row_id(self.schema, stage, n) for n in range(len(stage.rows))}
        rows = {n: row for n, row in places.items() if row not in self.rest.inserted}
        if not rows:
            return {}
        rivals, later = self._rivals(stage), self.rest.deletes().get(stage.table, ())
        unseen = {
            n: row for n, row in rows.items() if n in rivals or row not in later or row in self.rejected
        }
        if not unseen:
            return {}
        keys = [key for _, key in unseen.values()]
        found = self.transaction.rows.find(stage.table, keys, list(table.values))
        images = {tuple(row[:arity]): row[arity:] for row in found}
        return {
            row: (
                stage.hlc[n],
                Note(None, "replica", CASCADE, rivals.get(n, THERE), None, None, images[row[1]]),
            )
            for n, row in unseen.items()
            if row[1] in images
        }

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
                        reference = rows.setdefault(key, _Reference(stage.hlc[n], {}, by_update=not leaving))
                        reference.policies.update(dict.fromkeys(one.columns, one.policy))
                        reference.unchecked.update(() if one.checked else one.columns)
        for stage in writes if found else ():
            for table, key in live_rows(self.schema, stage) if stage.table in found else ():
                if key in found[table]:
                    self.own.add((table, key))
                    for column in stage.columns:
                        found[table][key].policies.pop(column, None)
        todo = {
            table: {key: one for key, one in rows.items() if one.policies} for table, rows in found.items()
        }
        for table, rows in todo.items():
            if rows:
                self._read(table, rows)
                for reference in rows.values() if not leaving else ():  # a later chunk may set it, too
                    for column in reference.policies.keys() - reference.rivals.keys() - reference.unchecked:
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
        """Note those that hold something else now."""
        by_table: dict[int, dict[Key, _Reference]] = {}
        for (table, key), reference in self.references.items():
            by_table.setdefault(table, {})[key] = reference
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
                        settled.fallen[(table, key), column] = one.hlc, note
                        settled.emptied |= {((table, key), column)} if one.by_update else set()

    def _gone(self, rows: Iterable[RowId]) -> set[RowId]:
        by_table: dict[int, list[Key]] = {}
        for table, key in rows:
            by_table.setdefault(table, []).append(key)
        found: set[RowId] = set()
        for table, keys in by_table.items():
            found |= gone(self.transaction.rows, table, keys).keys()
        return found


def notes_of(schema: Schema, settled: Settled, rejected: Container[RowId]) -> list[tuple[RowId, int, Note]]:
    """What is kept as conflicts: of rejected rows only what the push took along of them. A delete that had
    lost to what others did to the row has come about, and an edit of others that had won over the push's own
    and was emptied has lost."""
    fallen, found = dict(settled.fallen), list[tuple[RowId, int, Note]]()
    for row, hlc, note in settled.notes:
        place = row, note.column
        if row in rejected:
            continue
        if place in fallen and note.column is None and note.sent is None:
            del fallen[place]
            note = replace(note, outcome="replica", policy=CASCADE) if note.outcome == "hub" else note
        elif place in fallen and note.column is not None and note.outcome == "hub":
            note = replace(fallen.pop(place)[1], base=note.base, sent=note.sent)
        found.append((row, hlc, note))
    for (row, column), (hlc, note) in fallen.items():
        if column is None and row in settled.former:
            image = settled.former[row]
            note = replace(note, hub=[image[number] for number in schema.by_number[row[0]].values])
        found.append((row, hlc, note))
    return found
