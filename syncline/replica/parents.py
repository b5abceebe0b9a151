"""Mending foreign keys before a commit, without switching any off (law L9).

What the hub sends is consistent, and so is the file before it. Together they may not be: a row arrives
whose parent was deleted here, and the hub has not decided that delete yet. Runs only after a commit has
failed, because it looks at whole tables.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from syncline.model.schema import ForeignKey
from syncline.model.values import Value
from syncline.replica.edges import Edge, parent_columns
from syncline.replica.overlay import Key
from syncline.replica.rows import show_row, write_row
from syncline.replica.statements import Statements
from syncline.replica.store import quote
from syncline.replica.work import Reason, Work

ROUNDS = 20

Below = tuple[Edge, Key, Key]
"""A foreign key of the file alone, a row of its parent, and one that points at that by it."""


def mend_parents(work: Work, own: Sequence[Edge] = ()) -> None:
    """Give every orphan its parent back, or put the orphan aside until the hub says more (parked if it
    has pending edits, else held), until nothing changes. `own`: foreign keys of the file that count, too."""
    for _ in range(ROUNDS):
        mended = 0
        for edge in own:
            orphans = _orphans(work, edge.child, edge.parent, edge.key)
            if orphans:
                _index_deleted(work, edge.parent, edge.key.parent_columns)
                mended += sum(_mend_own(work, edge, row) for row in orphans)
        for child in work.device.tables.values():
            for fk in child.table.foreign_keys:
                parent = work.device.named(fk.parent)
                orphans = [] if parent is None else _orphans(work, child, parent, fk)
                if parent is not None and orphans:
                    _index_deleted(work, parent, parent_columns(fk, parent))
                    mended += sum(_mend(work, child, parent, fk, row) for row in orphans)
        if not mended:
            return


def _orphans(work: Work, child: Statements, parent: Statements, fk: ForeignKey) -> list[tuple[Value, ...]]:
    """Key and foreign key values of the rows whose parent is not there."""
    theirs = parent_columns(fk, parent)
    points = " AND ".join(
        f"p.{quote(name)} = c.{quote(own)}" for own, name in zip(fk.columns, theirs, strict=True)
    )
    own = [f"c.{quote(name)}" for name in fk.columns]
    known = " AND ".join(f"{name} IS NOT NULL" for name in own)
    return work.store.rows(
        f"SELECT {child.keys_of('c')}, {', '.join(own)} FROM {child.name} c WHERE {known}"
        f" AND NOT EXISTS (SELECT 1 FROM {parent.name} p WHERE {points})"
    )


def _mend(work: Work, child: Statements, parent: Statements, fk: ForeignKey, row: Sequence[Value]) -> bool:
    key, points = _parted(child, parent, fk, row)
    if _is_there(work, parent, points):
        return False  # it has come back for another one's sake
    return _bring_back(work, parent, points) or _put_aside(work, [(child, key)])


def _mend_own(work: Work, edge: Edge, row: Sequence[Value]) -> bool:
    key, points = _parted(edge.child, edge.parent, edge.key, row)
    mended = _mend(work, edge.child, edge.parent, edge.key, row)
    if work.is_held(edge.child, key) and not _is_there(work, edge.parent, points):
        work.reasons[edge.child.n, key] = refers_to_nothing(edge, key, list(points.values()))
    return mended


def _parted(
    child: Statements, parent: Statements, fk: ForeignKey, row: Sequence[Value]
) -> tuple[Key, dict[str, Value]]:
    """The key of an orphan, and what it refers to by the columns of its parent."""
    points = zip(parent_columns(fk, parent), row[child.arity :], strict=True)
    return tuple(row[: child.arity]), dict(points)


def refers_to_nothing(edge: Edge, key: Key, points: Sequence[Value]) -> Reason:
    """Why a row of the centre waits that refers to nothing by a foreign key of this file alone."""
    sentence = (
        f"table {edge.child.table.name}, key {list(key)!r}: the {edge.name} of this file refuses what the"
        f" centre has: it has no such foreign key, and there is no row {list(points)!r};"
        " see syncline doctor FILE"
    )
    return Reason(edge.name, sentence)


def _is_there(work: Work, parent: Statements, points: Mapping[str, Value]) -> bool:
    match = " AND ".join(f"{quote(name)} = ?" for name in points)
    return work.store.row(f"SELECT 1 FROM {parent.name} WHERE {match}", list(points.values())) is not None


def put_aside_children(work: Work, below: Sequence[Below], going: Collection[tuple[int, Key]]) -> None:
    """Take out of view what points by foreign keys of the file alone at rows that are about to go: `below`,
    but for those of them that go, too."""
    staying = [(edge, above, key) for edge, above, key in below if (edge.child.n, key) not in going]
    _put_aside(work, [(edge.child, key) for edge, _, key in staying], going)
    _explain_below(work, staying)


def _put_aside(
    work: Work, rows: Sequence[tuple[Statements, Key]], going: Collection[tuple[int, Key]] = ()
) -> bool:
    """Take rows out of view, and before them whatever points at them, and so on: no foreign key may act on
    those. Whether one was there. `going`: rows that are about to go, of which others take care."""
    found, leaving = {(t.n, key): t for t, key in rows}, list[tuple[Statements, Key]]()
    own = list[Below]()
    for (_, row), here in (todo := list(found.items())):  # which grows meanwhile
        pending = work.overlay.pending(here, [row])[0]
        if pending.present is None:
            continue
        leaving.append((here, row))
        if pending.kind is None:
            work.put_aside(here, row, pending.present)
        elif pending.kind in ("I", "R", "U"):
            work.overlay.park(here, [pending])
        for child, below, edge in _pointing(work, here, row):
            if (child.n, below) in going or (child is here and below == row):
                continue
            if edge is not None:
                own.append((edge, row, below))
            if (child.n, below) not in found:
                found[child.n, below] = child
                todo.append(((child.n, below), child))
    for here, row in reversed(leaving):
        work.store.execute(here.delete, row)
    _explain_below(work, own)
    return bool(leaving)


def _explain_below(work: Work, below: Sequence[Below]) -> None:
    """Why those of these rows wait that are put aside."""
    for edge, above, key in below:
        if work.is_held(edge.child, key):
            sentence = (
                f"table {edge.child.table.name}, key {list(key)!r}: the {edge.name}, which this file has"
                f" and the centre has not, refers to the row {list(above)!r}, which is not here;"
                " see syncline doctor FILE"
            )
            work.reasons[edge.child.n, key] = Reason(edge.name, sentence)


def _pointing(work: Work, parent: Statements, key: Key) -> Iterator[tuple[Statements, Key, Edge | None]]:
    """The rows that point at this one, each with the foreign key by which it does if the file alone has
    that."""
    for child in work.device.tables.values():
        for fk in child.table.foreign_keys:
            if fk.parent == parent.table.name:
                for below in _children(work, child, parent, fk, key):
                    yield child, below, None
    for edge in work.device.own_edges:
        if edge.parent is parent:
            for below in _children(work, edge.child, parent, edge.key, key):
                yield edge.child, below, edge


def _children(work: Work, child: Statements, parent: Statements, fk: ForeignKey, key: Key) -> list[Key]:
    pairs = zip(fk.columns, parent_columns(fk, parent), strict=True)
    points = " AND ".join(f"p.{quote(theirs)} = c.{quote(ours)}" for ours, theirs in pairs)
    one = ", ".join(f"? AS k{i}" for i in range(parent.arity))
    return work.store.rows(
        f"SELECT {child.keys_of('c')} FROM (SELECT {one}) x CROSS JOIN {parent.name} p"
        f" ON {parent.row_key('p', 'x')} CROSS JOIN {child.name} c ON {points}",
        key,
    )


def has_parents(work: Work, t: Statements, key: Key, state: dict[int, Value]) -> bool:
    """Whether all parents are there that a row points at."""
    return next(missing_parents(work, t, key, state), None) is None


def missing_parents(
    work: Work, t: Statements, key: Key, state: dict[int, Value]
) -> Iterator[tuple[Statements, tuple[str, ...], list[Value]]]:
    """The parents that a row points at and that are not there: table, columns, and their values."""
    names = dict(zip(t.table.key, key, strict=True))
    names |= {column.name: state.get(i) for i, column in t.table.values.items()}
    for fk in t.table.foreign_keys:
        parent = work.device.named(fk.parent)
        points = [names[name] for name in fk.columns]
        if parent is None or None in points:
            continue
        theirs = parent_columns(fk, parent)
        if parent is t and [names[name] for name in theirs] == points:
            continue
        if not _is_there(work, parent, dict(zip(theirs, points, strict=True))):
            yield parent, theirs, points


class Lacking:
    """Rows of one table that lack a parent in that table, by what they refer to."""

    def __init__(self, work: Work, t: Statements) -> None:
        self.t, self._work = t, work
        self._found: dict[tuple[tuple[str, ...], tuple[Value, ...]], list[Key]] = {}

    def has_parents(self, key: Key, state: dict[int, Value]) -> bool:
        """`has_parents` of one of them; what it lacks is noted."""
        lacked = next(missing_parents(self._work, self.t, key, state), None)
        if lacked is not None and lacked[0] is self.t:
            self.note(key, *lacked[1:])
        return lacked is None

    def note(self, key: Key, theirs: tuple[str, ...], points: Sequence[Value]) -> None:
        """One of them lacks a row of the table that has these values."""
        self._found.setdefault((theirs, folded(self.t, points)), []).append(key)

    def behind(self, shown: Mapping[Key, Mapping[int, Value]]) -> list[Key]:
        """Those that lacked one of these rows, by what these states say. They are noted no longer."""
        t, found = self.t, list[Key]()
        columns = {theirs for theirs, _ in self._found}
        for key, state in shown.items():
            names = dict(zip(t.table.key, key, strict=True))
            names |= {t.table.values[i].name: value for i, value in state.items() if i in t.table.values}
            for theirs in columns:
                found += self._found.pop((theirs, folded(t, [names.get(name) for name in theirs])), ())
        return found


def folded(t: Statements, values: Sequence[Value]) -> tuple[Value, ...]:
    """Values alike if the table may take them for equal."""
    return tuple(v.casefold() if t.folds and isinstance(v, str) else v for v in values)


def _bring_back(work: Work, parent: Statements, points: Mapping[str, Value]) -> bool:
    """Show a parent again that pending edits have hidden or deleted; its own fate is held."""
    for key in _candidates(work, parent, points):
        pending = work.overlay.pending(parent, [key])[0]
        if pending.present is not None or not pending.entries:
            continue
        if pending.image is not None:
            if not show_row(work, parent, key, pending.image):
                continue
            work.overlay.unpark(parent, [key])
        else:
            write_row(work, parent, key, last_values(work, parent, pending.entries[-1].seq))
            if work.is_held(parent, key):  # an edit has taken its unique value: it cannot be shown
                work.release(parent, key)
                continue
        work.hold(parent, key, None)
        return True
    return False


def _index_deleted(work: Work, parent: Statements, theirs: Sequence[str]) -> None:
    """Note the deleted rows of a table by columns that are not its key: the log has no index by these, and is
    read once for all orphans."""
    if set(theirs) == set(parent.table.key) or not work.overlay.any(parent):
        return
    names = {column.name: f"o{i}" for i, column in parent.table.values.items()}
    names |= {name: f"k{i}" for i, name in enumerate(parent.table.key)}
    values = [f"v{i}" for i in range(len(theirs))]
    columns = ", ".join([*values, parent.key_columns])
    work.store.execute("DROP TABLE IF EXISTS temp._sync_deleted")
    work.store.execute(f"CREATE TEMP TABLE _sync_deleted (i INTEGER PRIMARY KEY, {columns})")
    work.store.execute(
        f"INSERT INTO temp._sync_deleted ({columns}) SELECT DISTINCT"
        f" {', '.join(names[name] for name in theirs)}, {parent.key_columns} FROM {parent.log}"
        " WHERE op IN ('D', 'M')"
    )
    work.store.execute(f"CREATE INDEX temp._sync_deleted_by ON _sync_deleted ({', '.join(values)})")


def _candidates(work: Work, parent: Statements, points: Mapping[str, Value]) -> list[Key]:
    """Keys of edited rows that may be the parent with these values, which `_index_deleted` has noted."""
    if not work.overlay.any(parent):
        return []
    if set(points) == set(parent.table.key):
        return [tuple(points[name] for name in parent.table.key)]
    match = " AND ".join(f"v{i} = ?" for i in range(len(points)))
    deleted: list[Key] = work.store.rows(
        f"SELECT {parent.key_columns} FROM temp._sync_deleted WHERE {match} ORDER BY i",
        tuple(points.values()),
    )
    return deleted


def last_values(work: Work, t: Statements, seq: int) -> dict[int, Value]:
    """What a deleted row held, from the log entry of its delete."""
    columns = ", ".join(t.old_columns(t.table.all_mask)) or "1"
    row = work.store.row(f"SELECT {columns} FROM {t.log} WHERE seq = ?", (seq,))
    assert row is not None, "the entry was found by its number"
    return t.state_of(row)
