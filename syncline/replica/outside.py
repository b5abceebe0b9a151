"""Foreign keys by which a row of the centre may refer to nothing in this file: those to tables that take no
part (left out, set apart, or renamed by the application), where parents do not come, and those that the file
alone has (`replica.edges`), whose parents need not be.

Such a row waits, as any row does that the file does not take (`device_constraint`), until its parent is there
or the foreign key is not. A row stays as it is to which others refer by one that the file alone has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from syncline.model.naming import folded
from syncline.model.schema import ForeignKey
from syncline.model.values import Value
from syncline.replica.device import Device
from syncline.replica.edges import Edge
from syncline.replica.overlay import Key
from syncline.replica.parents import refers_to_nothing
from syncline.replica.statements import Statements
from syncline.replica.store import Store, quote
from syncline.replica.work import Pinned, Reason
from syncline.sqlitekit.tables import read_foreign_keys, table_names

Place = tuple[int, Key, str, tuple[Value, ...]]
Orphans = Mapping[Place, Reason]
"""Why rows may not come: by table number, key, the parent table (and the columns that lead there, if it takes
part), and what they refer to there."""


@dataclass(frozen=True, slots=True)
class Outward:
    """A foreign key of a table in the file, and the columns that it points at. `edge`: if its parent takes
    part, and the centre has no such foreign key."""

    foreign: ForeignKey
    theirs: tuple[str, ...]
    edge: Edge | None = None

    def lacked(
        self, store: Store, t: Statements, key: Key, state: Mapping[int, Value]
    ) -> Sequence[Value] | None:
        """What a row would refer to by it, if that is not there. None also if the state does not say what it
        refers to."""
        names = dict(zip(t.table.key, key, strict=True))
        names |= {column.name: state[i] for i, column in t.table.values.items() if i in state}
        points = [names.get(name) for name in self.foreign.columns]
        if None in points:
            return None
        if self.edge is not None and self.edge.parent is t and [names.get(c) for c in self.theirs] == points:
            return None
        match = " AND ".join(f"{quote(name)} = ?" for name in self.theirs)
        found = store.row(f"SELECT 1 FROM {quote(self.foreign.parent)} WHERE {match}", points)
        return points if found is None else None

    def reason(self, t: Statements, key: Key, points: Sequence[Value]) -> Reason:
        """Why a row waits that would refer by it to this, which is not there."""
        if self.edge is not None:
            return refers_to_nothing(self.edge, key, points)
        named = f"foreign key of {t.table.name} to {self.foreign.parent}"
        sentence = (
            f"table {t.table.name}, key {list(key)!r}: the {named} of this file refuses what the"
            f" centre has: {self.foreign.parent} takes no part here and has no row {list(points)!r};"
            " see syncline doctor FILE"
        )
        return Reason(named, sentence)


def outward(device: Device, t: Statements) -> list[Outward]:
    """The foreign keys of a table to tables that take no part and are in the file."""
    store, tracked = device.store, {folded(one.table.name) for one in device.tables.values()}
    keys = [
        key for key in read_foreign_keys(store.described, t.table.name) if folded(key.parent) not in tracked
    ]
    present = {folded(name) for name in table_names(store.described)} if keys else set()
    found = []
    for key in keys:
        columns = store.described("SELECT name, pk FROM pragma_table_info(?) ORDER BY pk", (key.parent,))
        theirs = key.parent_columns or tuple(name for name, place in columns if place)
        known = {folded(name) for name, _ in columns}
        if folded(key.parent) in present and len(theirs) == len(key.columns):
            if all(folded(name) in known for name in theirs):
                found.append(Outward(key, theirs))
    return found


def unsure(device: Device, t: Statements) -> list[Outward]:
    """The foreign keys of a table by which a row of the centre may refer to nothing."""
    own = [edge for edge in device.own_edges if edge.child is t]
    return [*outward(device, t), *(Outward(edge.key, edge.key.parent_columns, edge) for edge in own)]


def outward_orphans(device: Device) -> Orphans:
    """The rows of tables that take part which refer to nothing by such a foreign key, as the file is now."""
    found: dict[Place, Reason] = {}
    for t in device.tables.values():
        for one in unsure(device, t):
            for row in _orphans(device.store, t, one):
                key, points = row[: t.arity], row[t.arity :]
                place = one.foreign.parent if one.edge is None else one.edge.place
                found[t.n, key, place, points] = one.reason(t, key, points)
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


def waiting_for_parents(device: Device, before: Orphans, after: Orphans) -> Pinned:
    """The rows that came to refer to nothing, or, if they are as they were, those that they referred to. What
    did so before is the application's own affair. `device`: its file is as it was."""
    found: dict[tuple[int, Key], Reason] = {}
    edges = {(edge.child.n, edge.place): edge for edge in device.own_edges}
    for (n, key, parent, points), reason in after.items():
        if (n, key, parent, points) in before:
            continue
        edge = edges.get((n, parent))
        referred = None if edge is None else _referred(device, edge, key, points)
        if edge is not None and referred is not None:
            found[edge.parent.n, referred] = _referred_to(edge, key, referred)
        else:
            found[n, key] = reason
    return found


def _referred(device: Device, edge: Edge, key: Key, points: Sequence[Value]) -> Key | None:
    """The row that this child refers to by these values; None if it refers to something else, or nothing."""
    same = " AND ".join(f"c.{quote(name)} = ?" for name in edge.key.columns)
    pairs = zip(edge.key.columns, edge.key.parent_columns, strict=True)
    match = " AND ".join(f"p.{quote(theirs)} = c.{quote(own)}" for own, theirs in pairs)
    row = device.store.row(
        f"SELECT {edge.parent.keys_of('p')} FROM {edge.child.name} c JOIN {edge.parent.name} p ON {match}"
        f" WHERE {' AND '.join(f'c.{name} IS ?' for name in edge.child.keys)} AND {same}",
        (*key, *points),
    )
    return None if row is None else tuple(row)


def _referred_to(edge: Edge, child: Key, key: Key) -> Reason:
    sentence = (
        f"table {edge.parent.table.name}, key {list(key)!r}: the {edge.name}, key {list(child)!r}, which this"
        " file has and the centre has not, refers to what the centre has changed or removed;"
        " see syncline doctor FILE"
    )
    return Reason(edge.name, sentence)
