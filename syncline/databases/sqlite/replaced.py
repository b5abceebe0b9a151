"""What `REPLACE` removes: it deletes rows without firing delete triggers (unless recursive_triggers is on).

BEFORE triggers therefore log an entry M for every row that a REPLACE would remove: it means "look whether the
row is there". That is done when the log is read, by a pull for the rows, by a push for each of its entries.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from syncline.databases.sqlite.capture import TICK, has_key, log, trigger, trigger_name, whole
from syncline.databases.sqlite.layout import Shape
from syncline.databases.sqlite.read import RowReader
from syncline.hub.contract import Key
from syncline.model.operations import INSERTS
from syncline.sqlitekit.indexes import Term, moved, same, shifted, taken

PERHAPS = "M"


def triggers(shape: Shape) -> dict[str, str]:
    """Name and SQL of the triggers that log M."""
    made = {"before_insert": _before_insert(shape), "before_update": _before_update(shape)}
    return {trigger_name(shape.n, kind): sql for kind, sql in made.items()}


def _before_insert(shape: Shape) -> str:
    targets = [taken for taken, _ in _clashes(shape)]
    return _removals(shape, "before_insert", "BEFORE INSERT", targets)


def _before_update(shape: Shape) -> str:
    pairs = zip(shape.key_of("t"), shape.key_of("OLD"), strict=True)
    itself = " AND ".join(f"{left} IS {right}" for left, right in pairs)
    targets = [f"({moves}) AND {taken} AND NOT ({itself})" for taken, moves in _clashes(shape)]
    return _removals(shape, "before_update", "BEFORE UPDATE", targets)


def _removals(shape: Shape, kind: str, when: str, targets: Sequence[str]) -> str:
    """Log M for the rows that match a target: unique values that the new row is about to take."""
    keyed = has_key(shape, "t")
    found = [f"EXISTS (SELECT 1 FROM {shape.name} AS t WHERE {target} AND {keyed})" for target in targets]
    old, source = shape.old_values("t"), f"_sync_hub, {shape.name} AS t"
    body = [TICK]
    body += [
        log(shape, PERHAPS, "t", whole(shape), old=old, source=source, where=f"{target} AND {keyed}")
        for target in targets
    ]
    return trigger(shape, kind, when, f"({' OR '.join(found)})", body)


def _clashes(shape: Shape) -> list[tuple[str, str]]:
    """For what must not occur twice, the key and every unique index: the conditions that a stored row has
    what the new one takes, and that an update takes something new."""
    facts = shape.facts
    key = [Term.of_column(name, collation) for name, collation in facts.key]
    columns = [column.name for column in facts.columns]
    others = [unique for unique in facts.uniques if not unique.primary]
    return [(same(key), moved(key)), *((taken(columns, one), shifted(columns, one)) for one in others)]


def add_removed(rows: RowReader, shape: Shape, masks: dict[Key, int], perhaps: Collection[Key]) -> None:
    """Add to the keys and masks of touched rows those of which there is an M alone, if they are gone."""
    doubtful = [key for key in perhaps if key not in masks]
    present = {tuple(row) for row in rows.find(shape.n, doubtful, [])}
    masks.update(dict.fromkeys((key for key in doubtful if key not in present), shape.table.all_mask))


def without_idle(found: Sequence[tuple[Any, ...]], present: Collection[int]) -> list[tuple[Any, ...]]:
    """Entries (row, place, op...) M that removed a row become D; the others go.

    M removed the row if the next entry of the key is an insert, or if it is the last and the row is gone."""
    following: dict[int, str] = {}
    kept = []
    for entry in reversed(found):
        row, op = entry[0], entry[2]
        after = following.get(row, "" if row in present else "I")
        following[row] = op
        if op != PERHAPS:
            kept.append(entry)
        elif after in INSERTS:
            kept.append((*entry[:2], "D", *entry[3:]))
    return kept[::-1]
