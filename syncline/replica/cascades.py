"""Foreign keys that change children when their parent's value changes (ON UPDATE CASCADE and the like).

What such a cascade does was done in the centre and comes as rows. Here it must not happen a second time:
least of all when a unique value is taken from a row only for a moment, or put back after a refusal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from syncline.model.naming import folded
from syncline.model.schema import ForeignKey
from syncline.model.values import Value
from syncline.replica.edges import Edge
from syncline.replica.statements import Statements
from syncline.replica.store import quote
from syncline.replica.work import Work

_ACTIONS = ("CASCADE", "SET NULL", "SET DEFAULT")


@contextmanager
def children_kept(
    work: Work, t: Statements, columns: Sequence[int], rows: Sequence[Sequence[Value]]
) -> Iterator[None]:
    """Inside the block these columns of these rows (their first values are the key) are written; the
    children that point at them are afterwards as they were before."""
    kept = [
        (edge.child, edge.key, _pointing(work, t, edge.child, edge.key, rows))
        for edge in _followers(work, t, columns)
    ]
    try:
        yield
    finally:  # a set that fails half-way has changed children already
        for child, fk, children in kept:
            _put_back(work, child, fk, children)


def moves_children(work: Work, t: Statements, columns: Sequence[int]) -> bool:
    """Whether children change when these columns do."""
    return any(_followers(work, t, columns))


def _put_back(work: Work, child: Statements, fk: ForeignKey, children: Sequence[Sequence[Value]]) -> None:
    changes = ", ".join(f"{quote(name)} = ?{child.arity + i}" for i, name in enumerate(fk.columns, 1))
    work.store.executemany(f"UPDATE {child.name} SET {changes} WHERE {child.by_key}", children)


def _followers(work: Work, t: Statements, columns: Sequence[int]) -> Iterator[Edge]:
    """The foreign keys of this file by which children change with these columns, whatever the centre has.
    Children whose key would change are the hub's to rename."""
    names = {folded(t.table.values[i].name) for i in columns}
    for edge in work.device.edges:
        if edge.parent is t and edge.key.on_update.upper() in _ACTIONS:
            if not names.isdisjoint(folded(name) for name in edge.key.parent_columns):
                if not {folded(name) for name in edge.key.columns} & {
                    folded(k) for k in edge.child.table.key
                }:
                    yield edge


def _pointing(
    work: Work, t: Statements, child: Statements, fk: ForeignKey, rows: Sequence[Sequence[Value]]
) -> list[tuple[Value, ...]]:
    """Key and foreign key values of the children of these rows."""
    work.overlay.load_keys(t, [tuple(row[: t.arity]) for row in rows])
    pairs = zip(fk.columns, fk.parent_columns, strict=True)
    points = " AND ".join(f"p.{quote(theirs)} = c.{quote(ours)}" for ours, theirs in pairs)
    own = ", ".join(f"c.{quote(name)}" for name in fk.columns)
    found = work.store.rows(
        f"SELECT {child.keys_of('c')}, {own} FROM temp._sync_keys_{t.n} k"
        f" CROSS JOIN {t.name} p ON {t.row_key('p', 'k')} CROSS JOIN {child.name} c ON {points}"
    )
    if child is not t:
        return found
    written = {tuple(row[: t.arity]) for row in rows}  # these get a parent of their own
    return [row for row in found if row[: t.arity] not in written]
