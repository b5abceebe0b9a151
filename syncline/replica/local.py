"""Tables of the application that refer to tracked rows: what becomes of theirs when the centre deletes such
a row.

What the foreign key itself says (ON DELETE CASCADE, SET NULL, SET DEFAULT) SQLite does. Where it says
nothing, `local_rows` decides: `refuse`, the row stays and is said to wait; `cascade`, the local rows go
with it; `null`, they refer to nothing from then on. Where that is not possible the row stays. It also stays
where a table refers to it that is aside (`replica.lost`), whatever is said: nobody could tell which rows were
edited there, and what goes with it would be kept nowhere (law L2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from syncline.errors import UsageError
from syncline.model.local import LOCAL_ROWS, LocalRows
from syncline.model.naming import folded
from syncline.model.schema import ForeignKey
from syncline.model.values import Value
from syncline.replica.attempt import REFUSED
from syncline.replica.device import Device
from syncline.replica.overlay import Key
from syncline.replica.statements import Statements
from syncline.replica.stayed import absence
from syncline.replica.store import Store, quote
from syncline.replica.work import Pinned, Reason, Work
from syncline.sqlitekit.tables import read_foreign_keys, table_names

_BY_ITSELF = frozenset(["CASCADE", "SET NULL", "SET DEFAULT"])


def choose(store: Store, mode: LocalRows | None) -> None:
    """Note what this device is told; None changes nothing. UsageError for what is no way to do it."""
    if mode is not None and mode not in LOCAL_ROWS:
        *some, last = LOCAL_ROWS
        raise UsageError(f"local_rows is {', '.join(some)} or {last}, not {mode!r}")
    if mode is not None and store.state().local_rows != mode:
        with store.transaction():
            store.set_state(local_rows=mode)


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key of a local table (`child`) to another table, and what identifies its rows."""

    child: str
    key: tuple[str, ...]
    foreign: ForeignKey

    @property
    def own(self) -> str:
        return ", ".join(f"c.{quote(name)}" for name in self.foreign.columns)


def references(store: Store, tracked: Sequence[str]) -> list[Reference]:
    """The foreign keys of all tables that take no part."""
    known = {folded(name) for name in tracked}
    found = []
    for name, ddl in table_names(store.described).items():
        if folded(name) in known or "references" not in ddl.lower():
            continue
        columns = store.described("SELECT name FROM pragma_table_info(?) WHERE pk ORDER BY pk", (name,))
        key = tuple(column for (column,) in columns)
        found += [Reference(name, key, foreign) for foreign in read_foreign_keys(store.described, name)]
    return found


def keep_referred(work: Work) -> dict[int, list[Key]]:
    """Do with the local rows that refer to leaving ones what the setting says; keep and hold those rows that
    must stay, and return their keys by table."""
    every = references(work.store, [t.table.name for t in work.device.tables.values()])
    aside = {folded(t.table.name) for t in work.device.aside.values()}
    kept: dict[int, list[Key]] = {}
    for t in work.device.tables.values():
        if t.n not in work.gone:
            continue
        for one in every:
            if folded(one.foreign.parent) != folded(t.table.name):
                continue
            if folded(one.child) in aside:
                kept.setdefault(t.n, []).extend(_refuse(work, t, one, _points(t, one)))
            elif one.foreign.on_delete.upper() not in _BY_ITSELF:
                kept.setdefault(t.n, []).extend(_settle(work, t, one, every))
    return kept


def _settle(work: Work, t: Statements, one: Reference, every: Sequence[Reference]) -> list[Key]:
    mode, points = work.local_rows(t), _points(t, one)
    if mode != "refuse":
        try:
            with work.store.savepoint():
                if mode == "cascade":
                    _remove(work, one.child, points, every, ())
                else:
                    _let_go(work, one, points)
        except REFUSED:
            pass  # a NOT NULL, a trigger: the row stays
        else:
            return []
    return list(_refuse(work, t, one, points))


def _points(t: Statements, one: Reference) -> str:
    """A condition: the local row `c` refers to one that leaves."""
    theirs = ", ".join(f"p.{name}" for name in _theirs(t, one))
    leaving = f"temp._sync_gone_{t.n} g CROSS JOIN {t.name} p ON {t.row_key('p', 'g')}"
    return f"({one.own}) IN (SELECT {theirs} FROM {leaving})"


def _theirs(t: Statements, one: Reference) -> list[str]:
    names = one.foreign.parent_columns or t.table.key
    return [quote(name) for name in names]


def _let_go(work: Work, one: Reference, points: str) -> None:
    nothing = ", ".join(f"{quote(name)} = NULL" for name in one.foreign.columns)
    work.store.execute(f"UPDATE {quote(one.child)} AS c SET {nothing} WHERE {points}")


def _remove(work: Work, table: str, which: str, every: Sequence[Reference], above: Sequence[str]) -> None:
    """Delete the rows of a local table, and before them the local rows that refer to those."""
    for one in every:
        refers = folded(one.foreign.parent) == folded(table) and one.child not in (table, *above)
        if refers and not _acts(work.store, table, which, one):
            theirs = ", ".join(f"c.{quote(name)}" for name in _parent_columns(work.store, one))
            inner = f"({one.own}) IN (SELECT {theirs} FROM {quote(table)} AS c WHERE {which})"
            _remove(work, one.child, inner, every, (table, *above))
    work.store.execute(f"DELETE FROM {quote(table)} AS c WHERE {which}")


def _acts(store: Store, table: str, which: str, one: Reference) -> bool:
    """Whether rows that refer to such a row need not be looked after: their own foreign key does something
    with them. A default that leads to no row which stays is nothing."""
    action = one.foreign.on_delete.upper()
    if action != "SET DEFAULT":
        return action in _BY_ITSELF
    told = store.rows("SELECT name, dflt_value FROM pragma_table_info(?)", (one.child,))
    defaults = {folded(name): f"({text or 'NULL'})" for name, text in told}
    values = [defaults[folded(name)] for name in one.foreign.columns]
    pairs = zip(_parent_columns(store, one), values, strict=True)
    leads = " AND ".join(f"c.{quote(theirs)} = {value}" for theirs, value in pairs)
    unset = " OR ".join(f"{value} IS NULL" for value in values)
    sql = f"SELECT 1 WHERE {unset} OR EXISTS (SELECT 1 FROM {quote(table)} c WHERE {leads} AND NOT ({which}))"
    return store.row(sql) is not None


def _parent_columns(store: Store, one: Reference) -> tuple[str, ...]:
    if one.foreign.parent_columns:
        return one.foreign.parent_columns
    rows = store.described(
        "SELECT name FROM pragma_table_info(?) WHERE pk ORDER BY pk", (one.foreign.parent,)
    )
    return tuple(name for (name,) in rows)


def _refuse(work: Work, t: Statements, one: Reference, points: str) -> Iterator[Key]:
    """Keep the rows that local ones refer to, with what keeps each."""
    own = [f"c.{quote(name)}" for name in one.key] or ["c.rowid"]
    rows = work.store.rows(f"SELECT {', '.join(own)}, {one.own} FROM {quote(one.child)} AS c WHERE {points}")
    match = " AND ".join(f"{name} = ?" for name in _theirs(t, one))
    said: set[Key] = set()
    for row in rows:
        child, refers = row[: len(own)], row[len(own) :]
        found = work.store.row(f"SELECT {', '.join(t.keys)} FROM {t.name} WHERE {match}", refers)
        if found is None or tuple(found) in said:
            continue
        key = tuple(found)
        said.add(key)
        work.keep(t, [key])
        work.hold(t, key, None)
        work.reasons[t.n, key] = Reason(f"foreign key of {one.child}", _sentence(work, t, key, one, child))
        yield key


def _sentence(work: Work, t: Statements, key: Key, one: Reference, child: Sequence[Value]) -> str:
    return (
        f"table {t.table.name}, key {list(key)!r}: {absence(work.store, t, key)}, and the foreign key of"
        f" {one.child} of this file, key {list(child)!r}, refers to it; see local_rows"
    )


# What cannot be seen beforehand --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Orphan:
    """A local row that refers to no row of a tracked table: what identifies it, and the values it refers
    by."""

    reference: Reference
    table: int
    key: Key
    refers: Key


def orphans(device: Device) -> list[Orphan]:
    """The local rows that refer to no row of a tracked table, as the file is now."""
    found: list[Orphan] = []
    for one in references(device.store, [t.table.name for t in device.tables.values()]):
        for t in device.tables.values():
            if folded(one.foreign.parent) == folded(t.table.name):
                found += _orphans(device.store, t, one)
    return found


def _orphans(store: Store, t: Statements, one: Reference) -> Iterator[Orphan]:
    pairs = zip(_theirs(t, one), one.foreign.columns, strict=True)
    points = " AND ".join(f"p.{theirs} = c.{quote(own)}" for theirs, own in pairs)
    known = " AND ".join(f"c.{quote(own)} IS NOT NULL" for own in one.foreign.columns)
    key = [f"c.{quote(name)}" for name in one.key] or ["c.rowid"]
    rows = store.rows(
        f"SELECT {', '.join(key)}, {one.own} FROM {quote(one.child)} c"
        f" WHERE {known} AND NOT EXISTS (SELECT 1 FROM {t.name} p WHERE {points})"
    )
    for row in rows:
        yield Orphan(one, t.n, tuple(row[: len(key)]), tuple(row[len(key) :]))


def pinned(device: Device, found: Sequence[Orphan]) -> Pinned:
    """The tracked rows that these refer to, before they came to refer to nothing: the row that has gone from
    them, or another where an action of the foreign key itself (SET DEFAULT) had them refer to that."""
    rows: dict[tuple[int, Key], Reason] = {}
    for one in found:
        t = device.tables[one.table]
        match = " AND ".join(f"{name} = ?" for name in _theirs(t, one.reference))
        row = device.store.row(
            f"SELECT {', '.join(t.keys)} FROM {t.name} WHERE {match}", _before(device, one)
        )
        if row is not None:
            named = f"foreign key of {one.reference.child}"
            sentence = (
                f"table {t.table.name}, key {list(row)!r}: the {named} of this file, key"
                f" {list(one.key)!r}, refers to what the centre has changed or removed"
            )
            rows[t.n, tuple(row)] = Reason(named, sentence)
    return rows


def _before(device: Device, one: Orphan) -> Key:
    """What the local row refers to as the file is now; what it came to refer to if it is not there."""
    reference = one.reference
    which = " AND ".join(f"c.{quote(name)} = ?" for name in reference.key) or "c.rowid = ?"
    sql = f"SELECT {reference.own} FROM {quote(reference.child)} c WHERE {which}"
    return tuple(device.store.row(sql, one.key) or one.refers)
