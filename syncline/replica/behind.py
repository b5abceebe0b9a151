"""Rows that are kept back by a row which the file refuses: they wait with it, and are told with it (law L12).

A child whose parent the file does not take is not there either. A parent that the centre has deleted stays
as long as a child of it that the file does not let go. Neither is for the sake of an edit, and so no verdict
of the hub would ever show them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from syncline.model.values import Value
from syncline.replica.edges import parent_columns
from syncline.replica.overlay import Key
from syncline.replica.parents import folded, missing_parents
from syncline.replica.statements import Statements
from syncline.replica.stayed import absence
from syncline.replica.store import quote
from syncline.replica.work import Reason, Work

Place = tuple[int, Key]
Wanting = dict[tuple[int, tuple[str, ...]], dict[tuple[Value, ...], list[Place]]]
"""Held rows by the parent that they lack: its table, the columns they refer to, and the values of these."""


def explain_behind(work: Work) -> None:
    """Note what keeps those rows back. Before what is held is saved, when nothing is written any more."""
    if not work.reasons:
        return
    wanting = _wanting(work)
    todo = [place for place in work.reasons if place[1] in work.held.get(place[0], ())]
    while todo:
        place = todo.pop()
        for other, sentence in [*_children(work, wanting, place), *_parents(work, place)]:
            if other not in work.reasons:
                work.reasons[other] = Reason(work.reasons[place].object, sentence)
                todo.append(other)


def _wanting(work: Work) -> Wanting:
    """The held rows that lack a parent. What was noted of them before is no more: it is told anew."""
    found: Wanting = defaultdict(lambda: defaultdict(list))
    for t in work.device.tables.values():
        for key, state in work.held.get(t.n, {}).items():
            if state is None or not t.is_whole(tuple(state)) or (t.n, key) in work.pinned:
                continue
            lacking = list(missing_parents(work, t, key, state))
            if lacking:
                work.reasons.pop((t.n, key), None)
            for parent, theirs, points in lacking:
                found[parent.n, theirs][folded(parent, points)].append((t.n, key))
    return found


def _children(work: Work, wanting: Wanting, place: Place) -> Iterator[tuple[Place, str]]:
    """The rows that lack this one, and what is said of each."""
    t, key = work.device.tables.get(place[0]), place[1]
    state = work.held[place[0]][key]
    if t is None or state is None:
        return
    names = _named(t, key, state)
    for (n, theirs), rows in wanting.items():
        if n == t.n:
            for child in rows.get(folded(t, [names.get(name) for name in theirs]), ()):
                said = f"it points at the row of {t.table.name} with the key {list(key)!r}, which waits"
                yield child, _sentence(work, child, said, work.reasons[place])


def _parents(work: Work, place: Place) -> Iterator[tuple[Place, str]]:
    """The rows that stay because this one does, and what is said of each."""
    t, key = work.device.tables.get(place[0]), place[1]
    for fk in () if t is None else t.table.foreign_keys:
        parent = work.device.named(fk.parent)
        if t is None or parent is None or None not in work.held.get(parent.n, {}).values():
            continue
        pairs = zip(fk.columns, parent_columns(fk, parent), strict=True)
        points = " AND ".join(f"p.{quote(theirs)} = c.{quote(own)}" for own, theirs in pairs)
        one = ", ".join(f"? AS k{i}" for i in range(t.arity))
        rows = work.store.rows(
            f"SELECT {parent.keys_of('p')} FROM (SELECT {one}) x"
            f" CROSS JOIN {t.name} c ON {t.row_key('c', 'x')} CROSS JOIN {parent.name} p ON {points}",
            key,
        )
        for row in map(tuple, rows):
            if work.is_held(parent, row) and work.held[parent.n][row] is None:
                said = (
                    f"{absence(work.store, parent, row)}, and the row of"
                    f" {t.table.name} with the key {list(key)!r}, which waits, points at it"
                )
                yield (parent.n, row), _sentence(work, (parent.n, row), said, work.reasons[place])


def _sentence(work: Work, place: Place, said: str, reason: Reason) -> str:
    name = work.device.tables[place[0]].table.name
    return f"table {name}, key {list(place[1])!r}: {said} ({reason.object})"


def _named(t: Statements, key: Key, state: dict[int, Value]) -> dict[str, Value]:
    names = dict(zip(t.table.key, key, strict=True))
    return names | {t.table.values[i].name: value for i, value in state.items() if i in t.table.values}
