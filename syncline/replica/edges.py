"""The foreign keys that this file has between tables that take part, as it has them.

A program may have made a table with one that the centre never had, or has dropped since: the file's `own`.
Rows of the centre need not hold by it, and its actions are the application's: neither may stop a sync (law
L12), and no row that both have may be changed by it unseen (law L2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from syncline.model.naming import folded
from syncline.model.schema import ForeignKey
from syncline.replica.statements import Statements
from syncline.replica.store import Store
from syncline.sqlitekit.tables import read_foreign_keys, table_names


@dataclass(frozen=True, slots=True)
class Edge:
    """A foreign key, whose parent columns are named, and the tables it leads from and to."""

    child: Statements
    parent: Statements
    key: ForeignKey
    own: bool

    @property
    def place(self) -> str:
        """What tells it from others of its table."""
        return folded(f"{self.parent.table.name} by {', '.join(self.key.columns)}")

    @property
    def name(self) -> str:
        """What it is called where it refuses a row."""
        return f"foreign key of {self.child.table.name} to {self.parent.table.name}"


def read_edges(store: Store, tables: Mapping[int, Statements]) -> tuple[Edge, ...]:
    """All of them, children in the order of the tables."""
    named = {folded(t.table.name): t for t in tables.values()}
    texts = {folded(name): ddl for name, ddl in table_names(store.described).items()}
    found: list[Edge] = []
    for t in tables.values():
        if "references" in texts.get(folded(t.table.name), "").lower():
            found += _edges_of(store, t, named)
    return tuple(found)


def _edges_of(store: Store, child: Statements, named: Mapping[str, Statements]) -> Iterator[Edge]:
    central = {
        _pairs(key.columns, parent_columns(key, named[folded(key.parent)])) | {folded(key.parent)}
        for key in child.table.foreign_keys
        if folded(key.parent) in named
    }
    for key in read_foreign_keys(store.described, child.table.name):
        parent = named.get(folded(key.parent))
        if parent is None:
            continue
        columns = store.described(
            "SELECT name, pk FROM pragma_table_info(?) ORDER BY pk", (parent.table.name,)
        )
        theirs = key.parent_columns or tuple(name for name, place in columns if place)
        known = {folded(name): name for name, _ in columns}
        if len(theirs) == len(key.columns) and known.keys() >= {folded(name) for name in theirs}:
            ours, theirs = _spelled(child, key.columns, {}), _spelled(parent, theirs, known)
            own = _pairs(ours, theirs) | {folded(parent.table.name)} not in central
            yield Edge(
                child, parent, ForeignKey(ours, parent.table.name, theirs, key.on_delete, key.on_update), own
            )


def _spelled(t: Statements, names: tuple[str, ...], known: Mapping[str, str]) -> tuple[str, ...]:
    """Columns as the table has them that takes part, else as they are known."""
    mine = {folded(column.name): column.name for column in (*t.table.keys, *t.table.values.values())}
    return tuple(mine.get(folded(name)) or known.get(folded(name), name) for name in names)


def parent_columns(key: ForeignKey, parent: Statements) -> tuple[str, ...]:
    """The columns a foreign key points at; the parent's key if it names none."""
    return key.parent_columns or parent.table.key


def _pairs(columns: tuple[str, ...], theirs: tuple[str, ...]) -> frozenset[object]:
    """Which column stands for which, in whatever order they are named."""
    return frozenset((folded(own), folded(name)) for own, name in zip(columns, theirs, strict=True))
