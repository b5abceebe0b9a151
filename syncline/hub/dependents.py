"""Rows that cannot be written because one that they point at was refused: all of them at once.

The database would name them too, but a tree of rows only level by level, an attempt for each.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from syncline.hub.contract import Key, Refusal, Stage, codes
from syncline.merge.policies import EMPTIED
from syncline.merge.rules import is_counted_up
from syncline.model.schema import ForeignKey, Schema, TableSchema
from syncline.model.values import Value

RowId = tuple[int, Key]
Place = tuple[Stage, int]
Held = Mapping[str, Value]
NOTHING: Held = {}
ALONE: Mapping[RowId, Held] = {}
Cascading = Mapping[int, Sequence[tuple[TableSchema, list[tuple[str, str]]]]]
"""By the number of a table: those of which a delete in it takes rows, and by which pairs of columns."""


def with_dependents(schema: Schema, stages: Sequence[Stage], found: Sequence[Refusal]) -> list[Refusal]:
    """The refusals, and one for each staged row that points, by whatever way, at a refused insert."""
    result = list(found)
    roots = [refusal for refusal in found if refusal.stage.form == "insert"]
    if not roots:
        return result
    pointing = Pointing(schema, stages)
    refused = {(id(refusal.stage), refusal.row) for refusal in found}
    waiting = [row_id(schema, refusal.stage, refusal.row) for refusal in roots]
    while waiting:
        parent = waiting.pop()
        for stage, row in pointing.at(parent):
            if (id(stage), row) not in refused:
                refused.add((id(stage), row))
                result.append(_without_parent(schema, stage, row, parent))
                if stage.form == "insert":
                    waiting.append(row_id(schema, stage, row))
    return result


def going_with(schema: Schema, stages: Sequence[Stage]) -> list[Refusal]:
    """Refusals of the staged writes that would go again, or lose what they point at, with a row that the same
    push deletes: it was written after that row had been deleted, and shown again for another's sake."""
    deleted = dict.fromkeys(
        row for stage in stages if stage.form == "delete" for row in live_rows(schema, stage)
    )
    pointing = Pointing(schema, stages, _follows_deletes)
    return [
        _without_parent(schema, stage, row, parent)
        for parent in deleted
        for stage, row in pointing.at(parent)
        if row_id(schema, stage, row) not in deleted
    ]


def followed(schema: Schema) -> dict[int, list[TableSchema]]:
    """By the number of a table: those where deleting a row takes or changes what in this one points at it."""
    tables = {table.name: table for table in schema.tables}
    return {
        child.number: [tables[name] for name in dict.fromkeys(names) if name in tables]
        for child in schema.tables
        if (names := [fk.parent for fk in child.foreign_keys if _follows_deletes(fk, child)])
    }


def cascading(schema: Schema) -> Cascading:
    """Which tables lose rows by a delete in another."""
    parents = {table.name: table for table in schema.tables}
    found: dict[int, list[tuple[TableSchema, list[tuple[str, str]]]]] = {}
    for child in schema.tables:
        for fk in child.enforced:
            parent = parents.get(fk.parent)
            if fk.on_delete == "CASCADE" and parent is not None:
                pairs = zip(fk.columns, _targets(fk, parent), strict=True)
                found.setdefault(parent.number, []).append((child, list(pairs)))
    return found


@dataclass(frozen=True, slots=True)
class Emptying:
    """A foreign key that empties what points at a row: the columns, by number, and the policy that says
    so. `checked`: devices have it, and empty themselves what they see."""

    child: TableSchema
    pairs: list[tuple[str, str]]
    columns: list[int]
    policy: str
    checked: bool


def emptying(schema: Schema, *, deletes: bool) -> Mapping[int, Sequence[Emptying]]:
    """Which foreign keys empty columns, or give them their default, where a row of a table is deleted; or
    where the value is updated that they refer to. By the number of that table."""
    parents = {table.name: table for table in schema.tables}
    found: dict[int, list[Emptying]] = {}
    for child in schema.tables:
        for fk in child.enforced:
            policy, parent = EMPTIED.get(fk.on_delete if deletes else fk.on_update), parents.get(fk.parent)
            if policy is not None and parent is not None:
                pairs = list(zip(fk.columns, _targets(fk, parent), strict=True))
                columns = [n for n, column in child.values.items() if column.name in fk.columns]
                found.setdefault(parent.number, []).append(
                    Emptying(child, pairs, columns, policy, fk not in child.unchecked)
                )
    return found


def put_below(schema: Schema, stages: Sequence[Stage]) -> Pointing:
    """Which staged rows would go with a row, as they point at it."""
    return Pointing(schema, stages, lambda fk, _: fk.on_delete == "CASCADE")


def taken_along(schema: Schema, deleted: Iterable[int]) -> set[int]:
    """The tables of which deletes in these take rows along, by whatever way."""
    below, found, waiting = cascading(schema), set[int](), list(deleted)
    while waiting:
        children = {child.number for child, _ in below.get(waiting.pop(), ())} - found
        found |= children
        waiting += children
    return found


def below(
    stage: Stage,
    child: TableSchema,
    parents: Sequence[TableSchema],
    leaving: Mapping[int, Container[RowId]],
) -> list[int]:
    """The staged writes that point by its key at a row of these tables which is among the leaving, so that
    they would go or change with it."""
    found: set[int] = set()
    for parent in parents:
        if parent.number not in leaving:
            continue
        going = leaving[parent.number]
        for targets, columns in _columns_of(child, parent, stage, _follows_deletes):
            if set(targets) == set(parent.key):
                ordered = [columns[targets.index(name)] for name in parent.key]
                keys = ((row, tuple(values[i] for i in ordered)) for row, values in enumerate(stage.rows))
                found.update(row for row, key in keys if (parent.number, key) in going)
    return sorted(found - stage.discarded)


def _without_parent(schema: Schema, stage: Stage, row: int, parent: RowId) -> Refusal:
    name = schema.by_number[parent[0]].name
    detail = f"the row of {name} with key {list(parent[1])!r} that it points at is not there"
    return Refusal(stage, row, codes.FOREIGN_KEY, detail, parent)


def pointing_at(
    schema: Schema,
    stages: Sequence[Stage],
    rows: Iterable[RowId],
    met: Sequence[Stage] = (),
    held: Mapping[RowId, Held] = ALONE,
) -> list[tuple[Stage, int, RowId]]:
    """The staged rows that point, by whatever way, at one of these rows, each with the row it points at.

    `held`: what rows among these hold, as `held_by` says.
    `met`: inserts that met a row of their key, as they were sent. One that has its key from a row that it
    points at, or a key that is counted up, is another thing than the row it met, whatever was decided, and so
    are those that point at it.
    """
    pointing, derived = Pointing(schema, stages), Pointing(schema, met, _is_derived)
    found: list[tuple[Stage, int, RowId]] = []
    known: set[tuple[int, int]] = set()
    waiting = [(row, held.get(row, NOTHING)) for row in rows]
    while waiting:
        parent, also = waiting.pop()
        for stage, row in [*pointing.at(parent, also), *derived.at(parent, also)]:
            if (id(stage), row) not in known:
                known.add((id(stage), row))
                found.append((stage, row, parent))
                if stage.form == "insert":
                    place = row_id(schema, stage, row)
                    waiting.append((place, held_by(schema, stage, [row]).get(place, NOTHING)))
    return found


def rest_of_keys(schema: Schema, stage: Stage) -> list[int]:
    """The columns of foreign keys of which staged updates write a part, and not these."""
    table = schema.by_number[stage.table]
    written = {table.values[i].name for i in stage.columns} if stage.form == "update" else set[str]()
    keys = [fk.columns for fk in table.foreign_keys if not written.isdisjoint(fk.columns)]
    names = {name for columns in keys for name in columns} - written
    return [i for i, column in table.values.items() if column.name in names]


def held_by(schema: Schema, stage: Stage, rows: Iterable[int]) -> dict[RowId, Held]:
    """What staged rows hold by the names of columns; nothing of a table at which foreign keys point by its
    primary key alone."""
    table = schema.by_number[stage.table]
    key = set(table.key)
    towards = [fk for child in schema.tables for fk in child.foreign_keys if fk.parent == table.name]
    if all(set(_targets(fk, table)) == key for fk in towards):
        return {}
    names = [*table.key, *(table.values[i].name for i in stage.columns)]
    return {row_id(schema, stage, row): dict(zip(names, stage.rows[row], strict=True)) for row in rows}


@dataclass(slots=True)
class Pointing:
    """Which staged rows point at a row, by its primary key or by what else is known of it. Indexed when first
    asked for."""

    schema: Schema
    stages: Sequence[Stage]
    counts: Callable[[ForeignKey, TableSchema], bool] = lambda fk, child: True
    """Which foreign keys count, of a child."""
    _by_parent: dict[int, dict[tuple[str, ...], dict[Key, list[Place]]]] = field(default_factory=dict)

    def at(self, row: RowId, held: Held = NOTHING) -> list[Place]:
        """Those that point at this one. `held`: what is known of it besides its key."""
        table, key = row
        indexed = self._indexed(table)
        if not indexed:
            return []
        parent = self.schema.by_number[table]
        known, found = {**held, **dict(zip(parent.key, key, strict=True))}, list[Place]()
        for targets, places in indexed.items():
            values = tuple(known.get(name) for name in targets)
            if None not in values:
                found += places.get(values, ())
        return found

    def wanted(self, table: int) -> set[str]:
        """What must be known of rows of this table besides their keys, to say what points at them."""
        key = self.schema.by_number[table].key
        return {name for targets in self._indexed(table) for name in targets if name not in key}

    def _indexed(self, table: int) -> dict[tuple[str, ...], dict[Key, list[Place]]]:
        if table not in self._by_parent:
            self._by_parent[table] = self._index(self.schema.by_number[table])
        return self._by_parent[table]

    def _index(self, parent: TableSchema) -> dict[tuple[str, ...], dict[Key, list[Place]]]:
        found: dict[tuple[str, ...], dict[Key, list[Place]]] = {}
        for stage in self.stages:
            child = self.schema.by_number[stage.table]
            for targets, columns in _columns_of(child, parent, stage, self.counts):
                places = found.setdefault(targets, {})
                for row, values in enumerate(stage.rows):
                    if row not in stage.discarded:
                        places.setdefault(tuple(values[i] for i in columns), []).append((stage, row))
        return found


def _columns_of(
    child: TableSchema,
    parent: TableSchema,
    stage: Stage,
    counts: Callable[[ForeignKey, TableSchema], bool],
) -> Iterator[tuple[tuple[str, ...], list[int]]]:
    """For each foreign key of the child to the parent: the parent's columns, and where a staged row has their
    values."""
    if stage.form == "delete":
        return
    names = [*child.key, *(child.values[i].name for i in stage.columns)]
    for fk in child.foreign_keys:
        if fk.parent == parent.name and counts(fk, child) and set(fk.columns) <= set(names):
            yield tuple(_targets(fk, parent)), [names.index(name) for name in fk.columns]


def _is_derived(fk: ForeignKey, child: TableSchema) -> bool:
    """Whether what a row is depends on it: a column of the row's own key is its, or that is counted up and
    so says nothing. The row it met has its number and refers to others by the same ones."""
    return not set(fk.columns).isdisjoint(child.key) or is_counted_up(child)


def _follows_deletes(fk: ForeignKey, child: TableSchema) -> bool:
    """Whether a deleted parent changes or takes its children, and does not stay for their sake."""
    return fk.on_delete in ("CASCADE", "SET NULL", "SET DEFAULT")


def _targets(fk: ForeignKey, parent: TableSchema) -> tuple[str, ...]:
    return fk.parent_columns or parent.key


def live_rows(schema: Schema, stage: Stage) -> Iterator[RowId]:
    """The staged rows that were not taken out."""
    arity = len(schema.by_number[stage.table].key)
    for row, values in enumerate(stage.rows):
        if row not in stage.discarded:
            yield stage.table, tuple(values[:arity])


def row_id(schema: Schema, stage: Stage, row: int) -> RowId:
    """Which row a staged one is."""
    return stage.table, tuple(stage.rows[row][: len(schema.by_number[stage.table].key)])
