"""Rows that leave their tables: the last of the writes of an apply, children before parents.

They leave last because a row that the hub moved from one parent to another may arrive after the news
that the old parent is gone, and a cascade here would take it along.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from syncline.model.schema import ForeignKey
from syncline.model.values import Value
from syncline.replica.attempt import REFUSED, attempt_removal, remove_one
from syncline.replica.edges import Edge, parent_columns
from syncline.replica.local import keep_referred
from syncline.replica.lost import lost
from syncline.replica.obstacle import reason_for, reason_of, text_of
from syncline.replica.overlay import Key, Pending
from syncline.replica.statements import Statements
from syncline.replica.stayed import absence
from syncline.replica.store import quote
from syncline.replica.work import Reason, Work

BATCH = 5000


def remove_gone(work: Work) -> None:
    """Take out every row noted as gone, but for those that pending edits keep in view."""
    if not work.gone:
        return
    for n, key in work.pinned:
        if work.is_gone(work.device.tables[n], key):
            work.keep(work.device.tables[n], [key])
            work.pin(work.device.tables[n], key, None)
    _settle_edited(work)
    _keep_parents(work)
    _hold_orphans(work)
    tables = [t for t in work.device.tables.values() if t.n in work.gone]
    for t in tables:
        _park_edited(work, t)
    for t in reversed(tables):
        removed = _remove(work, t)
        if removed:
            work.removed[t.table.name] = work.removed.get(t.table.name, 0) + removed
    work.gone.clear()


def _remove(work: Work, t: Statements) -> int:
    """Delete the rows noted as gone; how many are. Those that the file does not let go are held."""
    if not work.fires(t):
        try:
            with work.store.savepoint():
                return work.store.execute(f"DELETE FROM {t.name} WHERE {_is_gone(t)}")
        except REFUSED:
            pass
    keys: list[Key] = work.store.rows(f"SELECT {t.key_columns} FROM temp._sync_gone_{t.n}")
    removed = 0
    for start in range(0, len(keys), BATCH):
        some = keys[start : start + BATCH]
        count, refused = attempt_removal(work, t, some)
        removed += count
        known: dict[str, str] = {}
        for i, error in refused.items():
            key, said = tuple(some[i]), text_of(error)
            work.hold(t, key, None)
            again = partial(remove_one, work, t, key)
            reason = reason_for(t, key, known[said], error) if said in known else None
            work.reasons[t.n, key] = reason or reason_of(work, t, key, error, again)
            known[said] = work.reasons[t.n, key].object
    return removed


def _settle_edited(work: Work) -> None:
    """A row that was created or replaced here competes as a whole: it stays until the verdict. One that
    was deleted here but is in its table again, for a child's sake, waits for its verdict too."""
    for t in work.device.tables.values():
        for rows in _edited(work, t):
            staying = [row for row in rows if row.kind not in ("U", None)]
            work.keep(t, [row.key for row in staying])
            for row in staying:
                if row.kind in ("D", "-") and row.present is not None:
                    work.hold(t, row.key, None)


def _park_edited(work: Work, t: Statements) -> None:
    """A row with pending updates that the hub deleted is hidden, with its image parked."""
    for rows in _edited(work, t):
        work.overlay.park(t, [row for row in rows if row.kind == "U"])


def _edited(work: Work, t: Statements) -> Iterator[list[Pending]]:
    """The leaving rows that have pending edits, in batches."""
    if t.n not in work.gone or not work.overlay.any(t):
        return
    keys: list[Key] = work.store.rows(
        f"SELECT {t.key_columns} FROM temp._sync_gone_{t.n} g WHERE EXISTS"
        f" (SELECT 1 FROM temp._sync_pending_{t.n} p WHERE {t.same_key('p', 'g')})"
    )
    for start in range(0, len(keys), BATCH):
        yield work.overlay.pending(t, keys[start : start + BATCH])


def _keep_parents(work: Work) -> None:
    """A parent stays while a row with pending edits points at it, and so do its own parents.

    Deleting it would take the edited child along, or empty its column, without the hub's word. The
    delete is held; the child's verdict decides. Any row of a table that was not captured may have been
    edited, until it is compared. A row stays, too, that the application's own tables keep, or a
    foreign key of its own.
    """
    fresh, edges = keep_referred(work), list(_edges(work))
    unseen = lost(work.store) if edges else {}
    for edge in _own_edges(work):
        _note(fresh, edge.parent, _keep_own(work, edge))
    for child, parent, fk in edges:
        if child.n in unseen:
            every = (
                f"SELECT {', '.join(f'{key} AS k{i}' for i, key in enumerate(child.keys))} FROM {child.name}"
            )
            _note(fresh, parent, _keep_for(work, child, parent, fk, every, ()))
        elif work.overlay.any(child):
            pending = f"SELECT DISTINCT {child.key_columns} FROM temp._sync_pending_{child.n}"
            _note(fresh, parent, _keep_for(work, child, parent, fk, pending, ()))
    while fresh:
        found: dict[int, list[Key]] = {}
        for child, parent, fk in _edges(work):
            for key in fresh.get(child.n, ()):
                one = "SELECT " + ", ".join(f"? AS k{i}" for i in range(child.arity))
                _note(found, parent, _keep_for(work, child, parent, fk, one, key))
        for edge in _own_edges(work):
            if edge.child.n in fresh:
                _note(found, edge.parent, _keep_own(work, edge))
        fresh = found


def _keep_own(work: Work, edge: Edge) -> list[Key]:
    """Keep the parents that rows which stay point at by a foreign key of the file alone: the centre has
    deleted them and not the children, whatever the foreign key would do to these."""
    child, parent = edge.child, edge.parent
    pairs = zip(edge.key.columns, edge.key.parent_columns, strict=True)
    points = " AND ".join(f"p.{quote(theirs)} = c.{quote(ours)}" for ours, theirs in pairs)
    leaving = ""
    if child.n in work.gone:
        same = child.found_by("c", "l")
        leaving = f" WHERE NOT EXISTS (SELECT 1 FROM temp._sync_gone_{child.n} l WHERE {same})"
    rows = work.store.rows(
        f"SELECT DISTINCT {parent.keys_of('p')} FROM temp._sync_gone_{parent.n} g"
        f" CROSS JOIN {parent.name} p ON {parent.row_key('p', 'g')}"
        f" CROSS JOIN {child.name} c ON {points}{leaving}"
    )
    kept = _keep(work, parent, rows)
    for key in kept:
        sentence = (
            f"table {parent.table.name}, key {list(key)!r}: {absence(work.store, parent, key)}, and the"
            f" {edge.name}, which this file has and the centre has not, refers to it;"
            " see syncline doctor FILE"
        )
        work.reasons[parent.n, key] = Reason(edge.name, sentence)
    return kept


def _hold_orphans(work: Work) -> None:
    """A row that will have no parent is held until the hub has said what became of it; with pending
    edits it is parked.

    The news may be in the next pull (a verdict alone brings only some rows); or the central database
    does not keep its foreign keys. A cascade must not take such a row away unnoticed.
    """
    fresh = True
    while fresh:
        fresh = False
        own = [(edge.child, edge.parent, edge.key) for edge in _own_edges(work)]
        for child, parent, fk in (*_edges(work), *own):
            keys = _orphans_to_be(work, child, parent, fk)
            for start in range(0, len(keys), BATCH):
                rows = work.overlay.pending(child, keys[start : start + BATCH])
                work.overlay.park(child, [row for row in rows if row.kind is not None])
                for row in rows:
                    if row.kind is None:
                        work.put_aside(child, row.key, row.present or ())
            work.note_gone(child, keys)
            fresh = fresh or bool(keys)


def _orphans_to_be(work: Work, child: Statements, parent: Statements, fk: ForeignKey) -> list[Key]:
    own = ", ".join(f"c.{quote(name)}" for name in fk.columns)
    theirs = ", ".join(f"p.{quote(name)}" for name in parent_columns(fk, parent))
    staying = ""
    if child.n in work.gone:
        gone = f"temp._sync_gone_{child.n} g WHERE {child.found_by('c', 'g')}"
        staying = f" AND NOT EXISTS (SELECT 1 FROM {gone})"
    leaving = f"temp._sync_gone_{parent.n} l CROSS JOIN {parent.name} p ON {parent.row_key('p', 'l')}"
    return work.store.rows(
        f"SELECT {child.keys_of('c')} FROM {child.name} c"
        f" WHERE ({own}) IN (SELECT {theirs} FROM {leaving}){staying}"
    )


def _note(found: dict[int, list[Key]], parent: Statements, keys: list[Key]) -> None:
    if keys:
        found.setdefault(parent.n, []).extend(keys)


def _edges(work: Work) -> Iterator[tuple[Statements, Statements, ForeignKey]]:
    """Child, parent and foreign key, where rows of the parent leave."""
    for child in work.device.tables.values():
        for fk in child.table.foreign_keys:
            parent = work.device.named(fk.parent)
            if parent is not None and parent.n in work.gone:
                yield child, parent, fk


def _own_edges(work: Work) -> list[Edge]:
    """The foreign keys of this file alone, where rows of the parent leave."""
    return [edge for edge in work.device.own_edges if edge.parent.n in work.gone]


def _keep_for(
    work: Work, child: Statements, parent: Statements, fk: ForeignKey, children: str, key: Key
) -> list[Key]:
    """Keep the parents that these children (a query for keys k0, k1, ...) point at; return their keys."""
    pairs = zip(fk.columns, parent_columns(fk, parent), strict=True)
    points = " AND ".join(f"p.{quote(theirs)} = c.{quote(ours)}" for ours, theirs in pairs)
    leaving = ""
    if child.n in work.gone:
        same = child.same_key("l", "x")
        leaving = f" AND NOT EXISTS (SELECT 1 FROM temp._sync_gone_{child.n} l WHERE {same})"
    rows = work.store.rows(
        f"SELECT DISTINCT {parent.keys_of('p')} FROM ({children}) x"
        f" CROSS JOIN {child.name} c ON {child.row_key('c', 'x')}"
        f" CROSS JOIN {parent.name} p ON {points}"
        f" CROSS JOIN temp._sync_gone_{parent.n} g ON {parent.found_by('p', 'g')}"
        f" WHERE 1{leaving}",
        key,
    )
    return _keep(work, parent, rows)


def _keep(work: Work, t: Statements, rows: Sequence[Sequence[Value]]) -> list[Key]:
    """These rows stay, and are held as deleted; their keys."""
    keys: list[Key] = [tuple(row) for row in rows]
    work.keep(t, keys)
    for key in keys:
        work.hold(t, key, None)
    return keys


def _is_gone(t: Statements) -> str:
    own, gone = ", ".join(t.keys), f"temp._sync_gone_{t.n}"
    exactly = f" AND EXISTS (SELECT 1 FROM {gone} g WHERE {t.found_by(t.name, 'g')})" if t.folds else ""
    return f"({own}) IN (SELECT {t.key_columns} FROM {gone}){exactly}"
