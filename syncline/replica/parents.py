"""Mending foreign keys before a commit, without switching any off (law L9).

What the hub sends is consistent, and so is the file before it. Together they may not be: a row arrives
whose parent was deleted here, and the hub has not decided that delete yet. Runs only after a commit has
failed, because it looks at whole tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
                if parent is not None:
                    orphans = _orphans(work, child, parent, fk)
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
    key, points = tuple(row[: child.arity]), tuple(row[child.arity :])
    if _bring_back(work, parent, dict(zip(parents_key(fk, parent), points, strict=True))):
        return True
    return _put_aside(work, child, key, set())


def _put_aside(work: Work, t: Statements, key: Key, seen: set[tuple[int, Key]]) -> bool:
    """Take a row out of view, and before it whatever points at it: no foreign key may act on those."""
    if (t.n, key) in seen:
        return False
    seen.add((t.n, key))
    pending = work.overlay.pending(t, [key])[0]
    if pending.present is None:
        return False
    if pending.kind is None:
        work.put_aside(t, key, pending.present)
    elif pending.kind in ("I", "R", "U"):
        work.overlay.park(t, [pending])
    for child in work.device.tables.values():
        for fk in child.table.foreign_keys:
            if fk.parent == t.table.name:
                for row in _children(work, child, t, fk, key):
                    _put_aside(work, child, row, seen)
    work.store.execute(t.delete, key)
    return True


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
        match = " AND ".join(f"{quote(name)} = ?" for name in theirs)
        if work.store.row(f"SELECT 1 FROM {parent.name} WHERE {match}", points) is None:
            yield parent, theirs, points


def _bring_back(work: Work, parent: Statements, points: dict[str, Value]) -> bool:
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


def _candidates(work: Work, parent: Statements, points: dict[str, Value]) -> list[Key]:
    """Keys of edited rows that may be the parent with these values."""
    if not work.overlay.any(parent):
        return []
    names = {column.name: f"o{i}" for i, column in parent.table.values.items()}
    names |= {name: f"k{i}" for i, name in enumerate(parent.table.key)}
    if set(points) == set(parent.table.key):
        return [tuple(points[name] for name in parent.table.key)]
    match = " AND ".join(f"{names[name]} = ?" for name in points)
    deleted: list[Key] = work.store.rows(
        f"SELECT DISTINCT {parent.key_columns} FROM {parent.log} WHERE op IN ('D', 'M') AND {match}",
        tuple(points.values()),
    )
    return deleted


def _last_values(work: Work, t: Statements, seq: int) -> dict[int, Value]:
    """What a deleted row held, from the log entry of its delete."""
    columns = ", ".join(t.old_columns(t.table.all_mask)) or "1"
    row = work.store.row(f"SELECT {columns} FROM {t.log} WHERE seq = ?", (seq,))
    assert row is not None, "the entry was found by its number"
    return t.state_of(row)
