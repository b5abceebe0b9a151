"""Foreign keys of tables that take part to tables that do not: left out, set apart, or renamed by the
application.

Parents do not come there, and so a row of the centre may refer to nothing in this file. It waits, as any row
does that the file does not take (`device_constraint`), until its parent is there or the foreign key is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from syncline.model.schema import ForeignKey
from syncline.model.values import Value
from syncline.replica.device import Device
from syncline.replica.overlay import Key
from syncline.replica.statements import Statements
from syncline.replica.store import Store, quote
from syncline.replica.work import Pinned, Reason
from syncline.sqlitekit.tables import read_foreign_keys, table_names

Orphans = Mapping[tuple[int, Key, str, tuple[Value, ...]], Reason]
"""Why rows may not come: by table number, key, the parent table, and what they refer to there."""


@dataclass(frozen=True, slots=True)
class Outward:
    """A foreign key of a table in the file whose parent takes no part, and the columns that it points at."""

    foreign: ForeignKey
    theirs: tuple[str, ...]

    def lacks(self, store: Store, t: Statements, key: Key, state: Mapping[int, Value]) -> bool:
        """Whether a row would refer to nothing by it. Not if the state does not say what it refers to."""
        names = dict(zip(t.table.key, key, strict=True))
        names |= {column.name: state[i] for i, column in t.table.values.items() if i in state}
        points = [names.get(name) for name in self.foreign.columns]
        if None in points:
            return False
        match = " AND ".join(f"{quote(name)} = ?" for name in self.theirs)
        return store.row(f"SELECT 1 FROM {quote(self.foreign.parent)} WHERE {match}", points) is None


def outward(device: Device, t: Statements) -> list[Outward]:
    """The foreign keys of a table to tables that take no part and are in the file."""
    store, tracked = device.store, {one.table.name.lower() for one in device.tables.values()}
    keys = [key for key in read_foreign_keys(store.rows, t.table.name) if key.parent.lower() not in tracked]
    present = {name.lower() for name in table_names(store.rows)} if keys else set()
    found = []
    for key in keys:
        columns = store.rows("SELECT name, pk FROM pragma_table_info(?) ORDER BY pk", (key.parent,))
        theirs = key.parent_columns or tuple(name for name, place in columns if place)
        known = {name.lower() for name, _ in columns}
        if key.parent.lower() in present and len(theirs) == len(key.columns):
            if all(name.lower() in known for name in theirs):
                found.append(Outward(key, theirs))
    return found


def outward_orphans(device: Device) -> Orphans:
    """The rows of tables that take part which refer to nothing in one that does not, as the file is now."""
    found: dict[tuple[int, Key, str, tuple[Value, ...]], Reason] = {}
    for t in device.tables.values():
        for one in outward(device, t):
            for row in _orphans(device.store, t, one):
                key, points = row[: t.arity], row[t.arity :]
                named = f"foreign key of {t.table.name} to {one.foreign.parent}"
                sentence = (
                    f"table {t.table.name}, key {list(key)!r}: the {named} of this file refuses what the"
                    f" centre has: {one.foreign.parent} takes no part here and has no row {list(points)!r};"
                    " see syncline doctor FILE"
                )
                found[t.n, key, one.foreign.parent, points] = Reason(named, sentence)
    return found


def _orphans(store: Store, t: Statements, one: Outward) -> Iterator[tuple[Value, ...]]:
    own = [f"c.{quote(name)}" for name in one.foreign.columns]
    points = " AND ".join(f"p.{quote(name)} = {ours}" for name, ours in zip(one.theirs, own, strict=True))
    known = " AND ".join(f"{name} IS NOT NULL" for name in own)
    rows = store.rows(
        f"SELECT {t.keys_of('c')}, {', '.join(own)} FROM {t.name} c WHERE {known}"
        f" AND NOT EXISTS (SELECT 1 FROM {quote(one.foreign.parent)} p WHERE {points})"
    )
    return map(tuple, rows)


def waiting_for_parents(before: Orphans, after: Orphans) -> Pinned:
    """The rows that came to refer to nothing. What did so before is the application's own affair."""
    return {place[:2]: reason for place, reason in after.items() if place not in before}
