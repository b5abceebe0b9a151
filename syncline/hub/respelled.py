"""Values that only the centre can read: where what was sent is what is there, in another spelling.

A contested edit whose value is there already is no conflict. Of most types that can be told from the texts
(`model.same`); of others, `10:00+01`, `$5`, `24:00`, an interval, the database is asked. It is asked only
where the texts differ in a contested row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from syncline.hub.accept import Part
from syncline.hub.contract import Key, WriteTransaction
from syncline.model.same import is_same
from syncline.model.schema import TableSchema
from syncline.model.values import Value


def as_there(
    transaction: WriteTransaction,
    table: TableSchema,
    part: Part,
    rows: Sequence[int],
    present: Mapping[Key, Mapping[int, Value]],
) -> dict[int, list[Value]]:
    """What these rows of a part bring, by row: where the centre reads a value as the one that is there, that
    one. `present`: the centre's rows by key."""
    arity = len(table.key)
    found: dict[int, list[Value]] = {row: list(part.rows[row][arity:]) for row in rows}
    for place, number in enumerate(part.columns):
        column = table.values[number]
        if column.increment and part.op == "U":
            continue
        unlike: dict[int, str] = {
            row: value
            for row, values in found.items()
            if isinstance(value := values[place], str)
            and isinstance(there := present.get(part.keys[row], {}).get(number), str)
            and not is_same(column, there, value)
        }
        respelled = transaction.rows.respell(part.table, number, list(unlike.values())) if unlike else []
        for row, value in zip(unlike, respelled, strict=True):
            there = present[part.keys[row]][number]
            if value == there:
                found[row][place] = there
    return found
