"""What rows were like at a position: the old values that the log has kept since (step 10).

Old values are texts, whatever the columns' types were when they were written. One that the present type
cannot read counts as not known.
"""

from __future__ import annotations

from collections.abc import Sequence

from syncline.databases.base.codec import mend_floats
from syncline.databases.base.log import formers
from syncline.databases.postgresql.given import arrays, given, run_guarded
from syncline.databases.postgresql.layout import Shape
from syncline.databases.postgresql.position import Snapshot
from syncline.databases.postgresql.session import Rows, Session
from syncline.databases.postgresql.sql import array_of, literal
from syncline.hub.contract import Former, Key, Told
from syncline.model.masks import join_mask


def read_former(session: Session, shape: Shape, seen: Snapshot, keys: Sequence[Key]) -> dict[Key, Former]:
    """The rows with these keys that entries not in `seen` name."""
    if not keys:
        return {}
    words = len(shape.words)
    found = []
    for number, op, is_kept, *rest in _entries(session, shape, seen, keys):
        old = dict(zip(shape.before, rest[words:], strict=True)) if is_kept else None
        found.append((number, Told(op, join_mask(rest[:words]), old)))
    return formers(keys, found, shape.before)


def _entries(session: Session, shape: Shape, seen: Snapshot, keys: Sequence[Key]) -> Rows:
    """The number of the key, operation, whether all old values are there, the mask's words, the values."""
    bound = [*arrays(shape, keys), array_of(sorted(seen.running)), str(seen.xmax)]
    plain, guarded = _statement(shape, guarded=False), _statement(shape, guarded=True)
    rows = run_guarded(session, plain, guarded, *bound)
    first = 3 + len(shape.words)
    mend_floats(rows, [first + i for i, n in enumerate(shape.before) if shape.values[n].is_float])
    return rows


def _statement(shape: Shape, *, guarded: bool) -> str:
    """By seq: that is the order of the changes of one row, whatever the numbers of the transactions."""
    return shape.statement(("former", guarded), lambda: _built(shape, guarded=guarded))


def _built(shape: Shape, *, guarded: bool) -> str:
    tests, values = [], []
    for number in shape.before:
        codec, text = shape.values[number], f"(l.old ->> '{number}')"
        test = f"(l.old -> '{number}') IS NOT NULL"
        value = codec.read(f"{text}::{codec.central}")
        if guarded:
            test += f" AND syncline.castable({text}, {literal(f'$1::{codec.central}')})"
            value = f"CASE WHEN {test} THEN {value} END"
        tests.append(test)
        values.append(value)
    chosen = ["s.n", "l.op::text", " AND ".join(tests) or "false", *(f"l.{word}" for word in shape.words)]
    raw = ", ".join(["seq", "op", "old", *shape.words, *shape.log_keys])
    running, since = f"${shape.arity + 1}::xid8[]", f"${shape.arity + 2}::xid8"
    entries = (
        f"SELECT {raw} FROM {shape.log} WHERE xid = ANY ({running})"
        f" UNION ALL SELECT {raw} FROM {shape.log} WHERE xid >= {since}"
    )
    return (
        f"SELECT {', '.join(chosen + values)} FROM ({entries}) AS l JOIN {given(shape)}"
        f" ON {shape.matches('l')} ORDER BY l.seq"
    )
