"""Step 1 in the centre: triggers that log what any program writes straight into a shape table.

Plain SQL with built-in functions, so that it works from every program. They log with origin `hub` and an HLC
above every HLC known. What the hub itself writes for a push is logged by `apply`; for that one table
capture is suppressed by a value inside the same transaction.

`REPLACE` removes rows without firing delete triggers (unless recursive_triggers is on). BEFORE triggers
therefore log an entry M for every row that a REPLACE would remove: it means "look whether the row is
there", which is done when the log is read (`Reader.entries`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from syncline.databases.sqlite.layout import Shape
from syncline.databases.sqlite.sql import WALL
from syncline.model.masks import split_mask
from syncline.model.values import EVERYTHING
from syncline.sqlitekit.indexes import Term, moved, same, shifted, taken
from syncline.sqlitekit.sql import chained, commas, literal, quote

_OURS = re.compile(r"_sync_hub_(\d+)_[a-z_]+")

TICK = f"UPDATE _sync_hub SET clock = max(clock + 1, {WALL} << 16);"


def triggers(shape: Shape) -> dict[str, str]:
    """Name and SQL of every trigger that the table needs."""
    made = {
        "insert": _insert(shape),
        "delete": _delete(shape),
        "rekey": _rekey(shape),
        "before_insert": _before_insert(shape),
        "before_update": _before_update(shape),
    }
    if shape.table.values:
        made["update"] = _update(shape)
    return {trigger_name(shape.n, kind): sql for kind, sql in made.items()}


def trigger_name(n: int, kind: str) -> str:
    return f"_sync_hub_{n}_{kind}"


def prefix(n: int) -> str:
    """What the names of all triggers of table `n` begin with."""
    return f"_sync_hub_{n}_"


def number_in(name: str) -> int | None:
    """The number of the table in the name of one of our triggers; None if it is another's."""
    found = _OURS.fullmatch(name)
    return None if found is None else int(found.group(1))


def _trigger(shape: Shape, kind: str, when: str, condition: str, body: Iterable[str]) -> str:
    capturing = f"(SELECT suppressed FROM _sync_hub) IS NOT {shape.n}"
    lines = "\n".join(f"  {statement}" for statement in body)
    return (
        f"CREATE TRIGGER {trigger_name(shape.n, kind)} {when} ON {shape.name}\n"
        f"WHEN {capturing} AND {condition}\nBEGIN\n{lines}\nEND"
    )


def _log(
    shape: Shape,
    op: str,
    row: str,
    masks: Sequence[str],
    *,
    old: str = "NULL",
    source: str = "_sync_hub",
    where: str = "1",
) -> str:
    columns = ["tbl", "op", "hlc", "origin", "old"]
    columns += shape.log_keys + shape.words
    chosen = [str(shape.n), literal(op), "_sync_hub.clock", "'hub'", old, *shape.key_of(row), *masks]
    return (
        f"INSERT INTO _sync_hub_log ({commas(columns)}) SELECT {commas(chosen)} FROM {source} WHERE {where};"
    )


def touch_everything(shape: Shape) -> str:
    """A statement: every row of the table may have changed in every column."""
    source = f"_sync_hub, {shape.name} AS t"
    entry = _log(shape, "U", "t", _whole(shape), source=source, where=_has_key(shape, "t"))
    return entry.rstrip(";")


def _whole(shape: Shape) -> list[str]:
    return [str(word) for word in split_mask(EVERYTHING, len(shape.words))]


def _has_key(shape: Shape, row: str) -> str:
    """A row whose key is NULL (SQLite allows it in some tables) has no identity and takes no part."""
    nullable = [column for column in shape.table.keys if column.nullable]
    return " AND ".join(f"{row}.{quote(column.name)} IS NOT NULL" for column in nullable) or "1"


def _key_differs(shape: Shape) -> str:
    pairs = zip(shape.table.key, shape.key_of("OLD"), shape.key_of("NEW"), strict=True)
    return "(" + " OR ".join(shape.differs(name, old, new) for name, old, new in pairs) + ")"


def _insert(shape: Shape) -> str:
    body = [TICK, _log(shape, "I", "NEW", _whole(shape))]
    return _trigger(shape, "insert", "AFTER INSERT", _has_key(shape, "NEW"), body)


def _delete(shape: Shape) -> str:
    body = [TICK, _log(shape, "D", "OLD", _whole(shape), old=shape.old_values("OLD"))]
    return _trigger(shape, "delete", "AFTER DELETE", _has_key(shape, "OLD"), body)


def _update(shape: Shape) -> str:
    """Without `UPDATE OF`, which `SET rowid =` and other ways to name a column escape."""
    tests = {
        number: shape.differs(column.name, f"OLD.{quote(column.name)}", f"NEW.{quote(column.name)}")
        for number, column in shape.table.values.items()
    }
    masks = shape.mask_words(tests, lambda test, bit: f"(({test}) << {bit})")
    any_value = chained("OR", list(tests.values()))
    changed = f"({any_value}) AND NOT {_key_differs(shape)} AND {_has_key(shape, 'NEW')}"
    concerned = chained("OR", [tests[number] for number in shape.before])
    old = f"CASE WHEN {concerned} THEN {shape.old_values('OLD')} END" if concerned else "NULL"
    body = [TICK, _log(shape, "U", "NEW", masks, old=old)]
    return _trigger(shape, "update", "AFTER UPDATE", changed, body)


def _rekey(shape: Shape) -> str:
    """A change of key is a delete and an insert."""
    whole = _whole(shape)
    body = [
        TICK,
        _log(shape, "D", "OLD", whole, old=shape.old_values("OLD"), where=_has_key(shape, "OLD")),
        _log(shape, "I", "NEW", whole, where=_has_key(shape, "NEW")),
    ]
    return _trigger(shape, "rekey", "AFTER UPDATE", _key_differs(shape), body)


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
    keyed = _has_key(shape, "t")
    found = [f"EXISTS (SELECT 1 FROM {shape.name} AS t WHERE {target} AND {keyed})" for target in targets]
    whole, old = _whole(shape), shape.old_values("t")
    source = f"_sync_hub, {shape.name} AS t"
    body = [TICK]
    body += [
        _log(shape, "M", "t", whole, old=old, source=source, where=f"{target} AND {keyed}")
        for target in targets
    ]
    return _trigger(shape, kind, when, f"({' OR '.join(found)})", body)


def _clashes(shape: Shape) -> list[tuple[str, str]]:
    """For what must not occur twice, the key and every unique index: the conditions that a stored row has
    what the new one takes, and that an update takes something new."""
    facts = shape.facts
    key = [Term.of_column(name, collation) for name, collation in facts.key]
    columns = [column.name for column in facts.columns]
    others = [unique for unique in facts.uniques if not unique.primary]
    return [(same(key), moved(key)), *((taken(columns, one), shifted(columns, one)) for one in others)]
