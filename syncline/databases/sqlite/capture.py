"""Step 1 in the centre: triggers that log what any program writes straight into a shape table.

Plain SQL with built-in functions, so that it works from every program. They log with origin `hub` and an HLC
above every HLC known. What the hub itself writes for a push is logged by `apply`; for that one table
capture is suppressed by a value inside the same transaction.

What `REPLACE` removes fires none of them: see `replaced`.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence

from syncline.databases.sqlite.dialect import WALL
from syncline.databases.sqlite.layout import Shape
from syncline.model.masks import split_mask
from syncline.model.values import EVERYTHING
from syncline.sqlitekit.installed import Triggers
from syncline.sqlitekit.sql import chained, commas, literal, quote
from syncline.sqlitekit.tables import asking

_OURS = re.compile(r"_sync_hub_(\d+)_[a-z_]+")

CAPTURING = "(SELECT suppressed FROM _sync_hub) IS NOT "
"""What each of our triggers asks, and none of anybody else's."""

TICK = f"UPDATE _sync_hub SET clock = max(clock + 1, {WALL} << 16);"


def triggers(shape: Shape) -> dict[str, str]:
    """Name and SQL of the triggers for whatever fires one."""
    parts = {"insert": _insert, "delete": _delete, "rekey": _rekey, "update": _update}
    return {trigger_name(shape.n, kind): made(shape) for kind, made in parts.items()}


def trigger_name(n: int, kind: str) -> str:
    return f"_sync_hub_{n}_{kind}"


def number_in(name: str) -> int | None:
    """The number of the table in the name of one of our triggers; None if it is another's."""
    found = _OURS.fullmatch(name)
    return None if found is None else int(found.group(1))


def trigger(shape: Shape, kind: str, when: str, condition: str, body: Iterable[str]) -> str:
    """A trigger that does this on the condition, unless the hub itself writes the table."""
    capturing = f"{CAPTURING}{shape.n}"
    lines = "\n".join(f"  {statement}" for statement in body)
    return (
        f"CREATE TRIGGER {trigger_name(shape.n, kind)} {when} ON {shape.name}\n"
        f"WHEN {capturing} AND {condition}\nBEGIN\n{lines}\nEND"
    )


def log(
    shape: Shape,
    op: str,
    row: str,
    masks: Sequence[str],
    *,
    old: str = "NULL",
    source: str = "_sync_hub",
    where: str = "1",
) -> str:
    """A statement that logs `row`, or rows of a source."""
    columns = ["tbl", "op", "hlc", "origin", "old"]
    columns += shape.log_keys + shape.words
    chosen = [str(shape.n), literal(op), "_sync_hub.clock", "'hub'", old, *shape.key_of(row), *masks]
    return (
        f"INSERT INTO _sync_hub_log ({commas(columns)}) SELECT {commas(chosen)} FROM {source} WHERE {where};"
    )


def whole(shape: Shape) -> list[str]:
    """The mask's words that name every column."""
    return [str(word) for word in split_mask(EVERYTHING, len(shape.words))]


def has_key(shape: Shape, row: str) -> str:
    """A row whose key is NULL (SQLite allows it in some tables) has no identity and takes no part."""
    nullable = [column for column in shape.table.keys if column.nullable]
    return " AND ".join(f"{row}.{quote(column.name)} IS NOT NULL" for column in nullable) or "1"


def _key_differs(shape: Shape) -> str:
    pairs = zip(shape.table.key, shape.key_of("OLD"), shape.key_of("NEW"), strict=True)
    return "(" + " OR ".join(shape.differs(name, old, new) for name, old, new in pairs) + ")"


def _insert(shape: Shape) -> str:
    body = [TICK, log(shape, "I", "NEW", whole(shape))]
    return trigger(shape, "insert", "AFTER INSERT", has_key(shape, "NEW"), body)


def _delete(shape: Shape) -> str:
    body = [TICK, log(shape, "D", "OLD", whole(shape), old=shape.old_values("OLD"))]
    return trigger(shape, "delete", "AFTER DELETE", has_key(shape, "OLD"), body)


def _update(shape: Shape) -> str:
    """Without `UPDATE OF`, which `SET rowid =` and other ways to name a column escape. Where no column that
    is known has changed, and the table is not the one that was prepared, others may have: the mask is
    empty."""
    tests = {
        number: shape.differs(column.name, f"OLD.{quote(column.name)}", f"NEW.{quote(column.name)}")
        for number, column in shape.table.values.items()
    }
    masks = shape.mask_words(tests, lambda test, bit: f"(({test}) << {bit})")
    any_value = chained("OR", list(tests.values())) or "0"
    changed = (
        f"(({any_value}) OR {_is_altered(shape)}) AND NOT {_key_differs(shape)} AND {has_key(shape, 'NEW')}"
    )
    concerned = chained("OR", [tests[number] for number in shape.before])
    old = f"CASE WHEN {concerned} THEN {shape.old_values('OLD')} END" if concerned else "NULL"
    body = [TICK, log(shape, "U", "NEW", masks, old=old)]
    return trigger(shape, "update", "AFTER UPDATE", changed, body)


def definition_name(n: int) -> str:
    """Under which the definition of table `n` is recorded that capture was made for."""
    return f"definition of {n}"


def _is_altered(shape: Shape) -> str:
    """Whether somebody has altered the table since: no trigger can name a column that there may be by now."""
    now = f"SELECT _sync_4 FROM {_read('sqlite_master', 5)} WHERE _sync_0 = 'table' AND _sync_1"
    known = f"SELECT _sync_1 FROM {_read('_sync_hub_trigger', 2)} WHERE _sync_0"
    name, definition = literal(shape.facts.name), literal(definition_name(shape.n))
    return f"({now} = {name}) IS NOT ({known} = {definition})"


def _read(table: str, width: int) -> str:
    """The rows of a table whose columns may be called as one of the user's is: if that one was renamed, the
    trigger's text is to tell (`sqlitekit.renames`)."""
    named = commas([f"0 AS _sync_{place}" for place in range(width)])
    return f"(SELECT {named} WHERE 0 UNION ALL SELECT * FROM {table})"


def _rekey(shape: Shape) -> str:
    """A change of key is a delete and an insert."""
    words = whole(shape)
    body = [
        TICK,
        log(shape, "D", "OLD", words, old=shape.old_values("OLD"), where=has_key(shape, "OLD")),
        log(shape, "I", "NEW", words, where=has_key(shape, "NEW")),
    ]
    return trigger(shape, "rekey", "AFTER UPDATE", _key_differs(shape), body)


def triggers_of(connection: sqlite3.Connection) -> Triggers:
    """Every trigger there is."""
    return Triggers(asking(connection), number_in, CAPTURING)
