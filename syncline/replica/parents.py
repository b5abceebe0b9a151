"""Mending foreign keys before a commit, without switching any off (law L9).

What the hub sends is consistent, and so is the file before it. Together they may not be: a row arrives
whose parent was deleted here, and the hub has not decided that delete yet. Runs only after a commit has
failed, because it looks at whole tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from syncline.model.schema import ForeignKey
from syncline.model.values import Value
from syncline.replica.overlay import Key
from syncline.replica.removal import parents_key
from syncline.replica.rows import show_row, write_row
from syncline.replica.statements import Statements
from syncline.replica.store import quote
from syncline.replica.work import Work

ROUNDS = 20


def mend_parents(work: Work) -> None:
    """Give every orphan its parent back, or put the orphan aside until the hub says more (parked if it
    has pending edits, else held), until nothing changes."""
    for _ in range(ROUNDS):
        mended = 0
        for child in work.device.tables.values():
            for fk in child.table.foreign_keys:
                parent = work.device.named(fk.parent)
                orphans = [] if parent is None else _orphans(work, child, parent, fk)
                if parent is not None and orphans:
                    _index_deleted(work, parent, parents_key(fk, parent))
                    mended += sum(_mend(work, child, parent, fk, row) for row in orphans)
        if not mended:
            return


def _orphans(work: Work, child: Statements, parent: Statements, fk: ForeignKey) -> list[tuple[Value, ...]]:
    """Key and foreign key values of the rows whose parent is not there."""
    theirs = parents_key(fk, parent)
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
    key, points = (
        tuple(row[: child.arity]),
        dict(zip(parents_key(fk, parent), row[child.arity :], strict=True)),
    )
    if _is_there(work, parent, points):
        return False  # it has come back for another one's sake
    return _bring_back(work, parent, points) or _put_aside(work, child, key)


def _is_there(work: Work, parent: Statements, points: Mapping[str, Value]) -> bool:
    match = " AND ".join(f"{quote(name)} = ?" for name in points)
    return work.store.row(f"SELECT 1 FROM {parent.name} WHERE {match}", list(points.values())) is not None


def _put_aside(work: Work, t: Statements, key: Key) -> bool:
    """Take a row out of view, and before it whatever points at it, and so on: no foreign key may act on
    those. Whether it was there."""
    found, leaving = {(t.n, key): t}, list[tuple[Statements, Key]]()
    for (_, row), here in (todo := list(found.items())):  # which grows meanwhile
        pending = work.overlay.pending(here, [row])[0]
        if pending.present is None:
            continue
        leaving.append((here, row))
        if pending.kind is None:
            work.put_aside(here, row, pending.present)
        elif pending.kind in ("I", "R", "U"):
            work.overlay.park(here, [pending])
        for child in work.device.tables.values():
            for fk in child.table.foreign_keys:
                for below in _children(work, child, here, fk, row) if fk.parent == here.table.name else ():
                    if (child.n, below) not in found:
                        found[child.n, below] = child
                        todo.append(((child.n, below), child))
    for here, row in reversed(leaving):
        work.store.execute(here.delete, row)
    return bool(leaving)


def _children(work: Work, child: Statements, parent: Statements, fk: ForeignKey, key: Key) -> list[Key]:
    pairs = zip(fk.columns, parents_key(fk, parent), strict=True)
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
        theirs = parents_key(fk, parent)
        if parent is t and [names[name] for name in theirs] == points:
            continue
        if not _is_there(work, parent, dict(zip(theirs, points, strict=True))):
            yield parent, theirs, points


class Lacking:
    """Rows of one table that lack a parent in that table, by what they refer to."""

    def __init__(self, work: Work, t: Statements) -> None:
        self._work, self._t = work, t
        self._found: dict[tuple[tuple[str, ...], tuple[Value, ...]], list[Key]] = {}

    def has_parents(self, key: Key, state: dict[int, Value]) -> bool:
        """`has_parents` of one of them; what it lacks is noted."""
        lacked = next(missing_parents(self._work, self._t, key, state), None)
        if lacked is not None and lacked[0] is self._t:
            _, theirs, points = lacked
            self._found.setdefault((theirs, folded(self._t, points)), []).append(key)
        return lacked is None

    def behind(self, shown: Mapping[Key, Mapping[int, Value]]) -> list[Key]:
        """Those that lacked one of these rows, by what these states say. They are noted no longer."""
        t, found = self._t, list[Key]()
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
            write_row(work, parent, key, _last_values(work, parent, pending.entries[-1].seq))
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


def _last_values(work: Work, t: Statements, seq: int) -> dict[int, Value]:
    """What a deleted row held, from the log entry of its delete."""
    columns = ", ".join(t.old_columns(t.table.all_mask)) or "1"
    row = work.store.row(f"SELECT {columns} FROM {t.log} WHERE seq = ?", (seq,))
    assert row is not None, "the entry was found by its number"
    return t.state_of(row)
