"""Many rows that trade unique values: every row takes what its neighbour has, all over a table.

No page of them finds its place alone, and to ask for each row whose value it wants takes many times as long
as writing it, while nobody else can write (law L1). So a page that meets a value that is taken is put into a
temporary table, and so is what comes after it. When the last is there, all give up their values and all are
written: a statement or two a row. Where they are a large part of their table, its unique indexes are taken
out and made anew instead, which takes a third of that. If that is not all there is to it, they go the way of
the few (`replica.rows`, `replica.trade`), which finds out who stands in whose way.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import closing

from syncline.model.values import Value
from syncline.replica.attempt import REFUSED
from syncline.replica.cascades import moves_children
from syncline.replica.gathering import Gathering
from syncline.replica.statements import Statements
from syncline.replica.trade import is_nullable, removable, stand_ins, unchecked, without, yielded
from syncline.replica.work import Work

MANY = 200
"""Rows of one set from which they are gathered."""

PART = 4
"""A unique index is made anew where one of so many rows of its table is written, or more: making it takes a
fifth of what all rows take that give up a value and take another."""


def is_gathering(work: Work, t: Statements, columns: Sequence[int]) -> bool:
    """Whether rows of this column set are gathered already."""
    return (t.n, tuple(columns)) in work.gathered


def can_gather(work: Work, t: Statements, columns: Sequence[int], rows: Sequence[Sequence[Value]]) -> bool:
    """Whether rows that met a unique value which is taken may wait for others: nothing else happens when
    they are written."""
    return len(rows) >= MANY and not (work.fires(t) or work.pinned or moves_children(work, t, columns))


def gather(work: Work, t: Statements, columns: Sequence[int], rows: Sequence[Sequence[Value]]) -> None:
    """Keep these rows for `settle`. None of them is held or has pending edits."""
    place = t.n, tuple(columns)
    if place not in work.gathered:
        work.gathered[place] = Gathering(work.store, t, place[1])
        work.gathered[place].make()
    work.gathered[place].add(rows)


def make_way(
    work: Work, t: Statements, columns: Sequence[int] | None, rows: Sequence[Sequence[Value]]
) -> None:
    """News of these rows (their first values are the key) in these columns come. What is gathered of them in
    others is older, and is held from now on. None: the rows leave, and nothing of them is needed."""
    for place, one in list(work.gathered.items()):
        if place[0] != t.n:
            continue
        if columns is None:
            one.forget(rows)
        elif place[1] != tuple(columns) and one.has_any(rows):
            _hold(work, one)


def settle(work: Work, removing: bool) -> None:
    """Write what is gathered; hold what finds no place. `removing`: rows are about to leave their tables, and
    what wants the value of one of them waits a little longer, if it makes no difference to what leaves."""
    for n in sorted({n for n, _ in work.gathered}):
        t = work.device.tables[n]
        sets = [one for place, one in work.gathered.items() if place[0] == n]
        if removing and n in work.gone and not _may_be_orphaned(work, t):
            continue
        if _are_traded(work, t, sets):
            for one in sets:
                work.count_written(t, one.count())
                _end(work, one)
        else:
            for one in sets:
                _hold(work, one)


def _hold(work: Work, one: Gathering) -> None:
    arity = one.t.arity
    with closing(one.rows()) as rows:
        for row in rows:
            work.hold(one.t, row[:arity], dict(zip(one.columns, row[arity:], strict=True)))
    _end(work, one)


def _end(work: Work, one: Gathering) -> None:
    del work.gathered[one.t.n, one.columns]
    one.end()


def _may_be_orphaned(work: Work, t: Statements) -> bool:
    """Whether rows that leave may take rows of this table along, by what these hold now."""
    parents = {fk.parent for fk in t.table.foreign_keys}
    parents |= {edge.parent.table.name for edge in work.device.own_edges if edge.child is t}
    return any(work.device.tables[n].table.name in parents for n in work.gone)


def _are_traded(work: Work, t: Statements, sets: Sequence[Gathering]) -> bool:
    """Have all of these rows give up what is unique among their columns, then write them; or nothing."""
    store, dropped = work.store, _made_anew(work, t, sets)
    try:
        with store.savepoint(), without(work, dropped):
            with unchecked(work):
                for one in sets:
                    _give_up(work, one, dropped)
            for one in sets:
                if t.is_whole(one.columns):
                    with closing(one.rows()) as rows:
                        store.executemany(t.upsert(one.columns), rows)
                else:
                    one.update()
    except REFUSED:
        return False
    return True


def _made_anew(work: Work, t: Statements, sets: Sequence[Gathering]) -> dict[str, str]:
    """The unique indexes that are not there while the rows are written, with their text. The triggers of
    capture, which tell them in their order, are made after them, since there are so many rows."""
    many = sum(one.count() for one in sets)
    if t.n not in work.uncaptured or many * PART < work.store.value(f"SELECT count(*) FROM {t.name}"):
        return {}
    written = {t.table.values[i].name for one in sets for i in one.columns}
    touched = {one.name for one in work.uniques(t) if any(name in written for name, _ in one.columns)}
    return {name: sql for name, sql in removable(work, t).items() if name in touched}


def _give_up(work: Work, one: Gathering, dropped: Collection[str]) -> None:
    """Those of the rows that are there give up what is unique about them, but for what the indexes know that
    are not there."""
    t = one.t
    columns = yielded(work, t, one.columns, dropped)
    if not columns:
        return
    if all(is_nullable(work, t, column) for column in columns):
        one.empty(columns)
        return
    with closing(one.rows()) as rows:
        emptied = (stand_ins(work, t, row[: t.arity], columns) for row in rows)
        work.store.executemany(t.update(columns), emptied)
