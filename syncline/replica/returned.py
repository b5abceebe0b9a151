"""Rows of tables that take part again, where they mean a row that was rejected meanwhile.

What a verdict says of new rows whose keys are another's cannot be done to rows below that stand in a table
which is out of service then. They are noted with the rejected insert (`replica.meant`). When the table takes
part again they are refused with it: they would point at the other's row (law L2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from syncline.model.naming import folded
from syncline.model.schema import ForeignKey
from syncline.model.values import Value
from syncline.replica.above import above_of
from syncline.replica.dropped import TABLE_CHANGED, TABLE_DROPPED
from syncline.replica.meant import NOTED
from syncline.replica.overlay import Key
from syncline.replica.refusal import depends_on, refuse_below
from syncline.replica.rejected import Reason
from syncline.replica.statements import Statements
from syncline.replica.store import Store, pack, quote, unpack
from syncline.replica.work import Work


def refuse_returned(work: Work) -> None:
    """Refuse what is pending of such rows, and of the new rows below them. Inside the transaction that takes
    the tables in, when what was done to them is logged."""
    store, tables = work.store, {folded(t.table.name): t for t in work.device.tables.values()}
    found: dict[int, dict[Key, Reason]] = {}
    for number, n, packed, body in list(store.rows(NOTED)):
        t, edit = work.device.tables.get(n), unpack(body)
        if t is None:
            continue
        key = tuple(unpack(packed))
        held = {**_named(t, edit), **dict(zip(t.table.key, key, strict=True))}
        left = []
        for one in edit.get("local", ()):
            child = tables.get(folded(one[0]))
            if child is None:
                left.append(one)
                continue
            for below in _still(store, child, _foreign(child, t, one), one, held):
                found.setdefault(child.n, {}).setdefault(below, depends_on(t, key))
        if len(left) < len(edit.get("local", ())):
            changed = pack({**edit, "local": left}), number
            store.execute("UPDATE _sync_rejected SET edit = ? WHERE id = ?", changed)
    former = _below_gone(work, found)
    if found:
        refuse_below(work, [(work.device.tables[n], reasons) for n, reasons in found.items()])
    store.executemany("DELETE FROM _sync_rejected WHERE id = ?", [(number,) for number in former])


def _below_gone(work: Work, found: dict[int, dict[Key, Reason]]) -> list[int]:
    """Add the rows that are kept as new ones of a table that took no part, and that meant a row which was
    discarded since. Returns the ids of those edits."""
    sql = (
        "SELECT id, n, key, parent FROM _sync_rejected WHERE op IN ('I', 'R') AND code IN (?, ?)"
        " AND parent IS NOT NULL ORDER BY id"
    )
    former = list[int]()
    for number, n, packed, parent in work.store.rows(sql, (TABLE_DROPPED, TABLE_CHANGED)):
        above, key = above_of(work.device, parent), tuple(unpack(packed))
        t, child = (None if above is None else work.device.tables.get(above.n)), work.device.tables.get(n)
        if above is None or not above.is_gone or t is None or child is None:
            continue
        if work.overlay.is_pending(child, key):
            why = depends_on(t, above.key)
            found.setdefault(n, {}).setdefault(key, replace(why, parent=above))
            former.append(number)
    return former


def _named(t: Statements, edit: Mapping[str, Any]) -> dict[str, Value]:
    pairs = zip(edit["columns"], edit["values"], strict=False)
    return {t.table.values[i].name: value for i, value in pairs if i in t.table.values}


def _foreign(child: Statements, t: Statements, one: Sequence[Any]) -> ForeignKey | None:
    """The foreign key by which the rows were noted, if the table has it still."""
    keys = (key for key in child.table.foreign_keys if key.parent == t.table.name)
    return next((key for key in keys if list(key.columns) == one[1]), None)


def _still(
    store: Store, child: Statements, key: ForeignKey | None, one: Sequence[Any], held: Mapping[str, Value]
) -> Iterable[Key]:
    """Those of the noted rows that refer to the row still."""
    _, columns, theirs, noted = one
    if key is None or not held.keys() >= set(theirs):
        return []
    where = " AND ".join(f"{name} = ?" for name in [*child.keys, *map(quote, columns)])
    leads = [held[name] for name in theirs]
    places = dict.fromkeys(tuple(place) for place, _ in noted if len(place) == child.arity)
    sql = f"SELECT 1 FROM {child.name} WHERE {where}"
    return [place for place in places if store.row(sql, (*place, *leads)) is not None]
