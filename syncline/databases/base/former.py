"""What rows of typed columns were like before: the old values that the log keeps, texts whatever their types
were then. One that the present type cannot read counts as not known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from syncline.databases.base.codec import mend_floats
from syncline.databases.base.log import formers
from syncline.databases.base.respelling import guarded
from syncline.databases.base.staged import Verbs
from syncline.databases.base.typed import TypedShape
from syncline.hub.contract import Former, Key, Told
from syncline.model.masks import join_mask


def former_rows(
    session: Verbs,
    unreadable: type[Exception],
    shape: TypedShape[Any],
    keys: Sequence[Key],
    entries: str,
    *values: Any,
) -> dict[Key, Former]:
    """What the rows with these keys were like before some `entries`: a query for seq, op, old, the words of
    the mask and the key, in which `values` are bound after what `shape.arrays` gives."""
    if not keys:
        return {}

    def build(guarded: bool) -> str:
        return shape.statement(
            ("former", guarded, entries), lambda: _statement(shape, entries, guarded=guarded)
        )

    rows = [list(row) for row in guarded(session, unreadable, build, *shape.arrays(keys), *values)]
    first, found = 3 + len(shape.words), []
    mend_floats(rows, [first + i for i, n in enumerate(shape.before) if shape.values[n].is_float])
    for number, op, is_kept, *rest in rows:
        old = dict(zip(shape.before, rest[first - 3 :], strict=True)) if is_kept else None
        found.append((number, Told(op, join_mask(rest[: first - 3]), old)))
    return formers(keys, found, shape.before)


def _statement(shape: TypedShape[Any], entries: str, *, guarded: bool) -> str:
    """The number of the key, operation, whether all old values are there, the mask's words, the values. By
    seq: that is the order of the changes of one row, whatever the numbers of the transactions."""
    tests, values = [], []
    for number in shape.before:
        test, text, stored = shape.old_value(number)
        value = shape.values[number].read(stored)
        if guarded:
            test += f" AND {shape.computable(stored, text)}"
            value = f"CASE WHEN {test} THEN {value} END"
        tests.append(test)
        values.append(value)
    kept = f"CASE WHEN {' AND '.join(tests) or '1 = 0'} THEN 1 ELSE 0 END"
    chosen = ["s.n", "l.op", kept, *(f"l.{word}" for word in shape.words), *values]
    return (
        f"SELECT {', '.join(chosen)} FROM ({entries}) AS l JOIN {shape.given}"
        f" ON {shape.matches('l')} ORDER BY l.seq"
    )
