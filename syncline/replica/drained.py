"""Columns that went with a table's former self and were added again: they have no values of their own.

A program that copies a table without a column, and adds the column later, leaves it with one value in every
row: the default, or NULL. Nobody wrote this, and taken for edits it would empty the column in the centre. So
the centre's values come back there, as rows do that are missing (`replica.anew`), and edits of the column
that were captured before are named, for their values are nowhere any more. Any other value was written after
the column was there again, and is an edit.

A column was drained if this file was seen to lack it (`replica.lost`), and otherwise by counting: more of the
centre's values are gone from it than are still there. So was one that took the name of a column which the
centre had dropped; what else stands in that may be of the former one, and is kept as a conflict. Works on
what `replica.join` has compared, inside the transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from syncline.model.masks import split_mask
from syncline.model.values import Value, identical, mask_of
from syncline.replica import join
from syncline.replica.affinity import affinity
from syncline.replica.ddl import constant
from syncline.replica.keyset import Keyset
from syncline.replica.lost import lacked, lost, replaced, retaken
from syncline.replica.overlay import Pending
from syncline.replica.rejected import ONCE_MORE, Reason, keep_rejected
from syncline.replica.statements import Statements
from syncline.replica.store import Store
from syncline.replica.work import Work

VALUE_LOST = "value_lost"


@dataclass(frozen=True, slots=True)
class Drained:
    """`fillers`: by the number of a column without values of its own, what its rows have in place of one.
    `emptied`: those of them in which nothing else can be left of former values."""

    fillers: Mapping[int, Value] = field(default_factory=dict)
    emptied: frozenset[int] = frozenset()

    def fills(self, column: int, value: Value) -> bool:
        """Whether a value of a column is none."""
        return column in self.fillers and identical(self.fillers[column], value)

    def test(self, t: Statements, column: int, row: str = "t") -> str:
        """`fills` as a condition for the table, named `row`. The fillers stand in a temporary table
        that `find_drained` has made."""
        filler = f"(SELECT v FROM temp._sync_filler_{t.n} WHERE i = {column})"
        here = f"{row}.{t.values[column]}"
        return f"({here} IS {filler} COLLATE BINARY AND typeof({here}) = typeof({filler}))"


def find_drained(work: Work, t: Statements, news: str = "0") -> Drained:
    """The drained columns of a table that was not captured for a while. `news`: a condition for rows `u` that
    others have changed since."""
    store = work.store
    if t.n in replaced(store):
        return Drained()
    fillers = _fillers(store, t)
    _keep_fillers(store, t, fillers)
    if not fillers:
        return Drained()
    candidate, missed = Drained(fillers), lacked(store, t.n)
    pending = f"EXISTS (SELECT 1 FROM temp._sync_pending_{t.n} p WHERE {t.same_key('p', 'u')})"
    is_edited = work.overlay.any(t)
    plain = _emptied(store, t, candidate, f"NOT ({news}) AND NOT {pending}" if is_edited else f"NOT ({news})")
    edited = _emptied(store, t, candidate, f"NOT ({news}) AND {pending}") if is_edited else {}
    doubtful = retaken(store, t.n)
    found, emptied = set[int]((missed | doubtful) & fillers.keys()), set[int]()
    for i in fillers.keys() - doubtful:
        gone = plain[i] or edited.get(i, 0)  # edits may have set what is a default: they testify last
        if not (gone or i in missed):
            continue
        left = _left(store, t, candidate, i, gone)
        if (plain[i] > left) if plain[i] else not left:
            found.add(i)
            emptied.add(i)
    return Drained({i: fillers[i] for i in sorted(found)}, frozenset(emptied))


def _fillers(store: Store, t: Statements) -> dict[int, Value]:
    """What ADD COLUMN gives every row, by column: the default, NULL without one. Where neither can be, the
    program that copied the table has given a value: the one that most rows have."""
    own, found = _declared(store, t), defaults_here(store, t, t.table.values)
    for i in t.table.values.keys() - found.keys():
        _, not_null, default = own[t.table.values[i].name]
        if not not_null and default is None:
            found[i] = None
        else:
            name = t.values[i]
            most = store.row(
                f"SELECT {name}, count(*) FROM main.{t.name} GROUP BY {name} COLLATE BINARY, typeof({name})"
                " ORDER BY 2 DESC LIMIT 1"
            )
            if most is not None and 2 * most[1] > store.value(f"SELECT count(*) FROM main.{t.name}"):
                found[i] = most[0]
    return {i: value for i, value in found.items() if not t.table.values[i].computed}


def drained_already(store: Store, t: Statements) -> Drained:
    """The columns that this file was seen to lack: before anything is compared."""
    missed = lacked(store, t.n) | retaken(store, t.n)
    return Drained({i: value for i, value in _fillers(store, t).items() if i in missed} if missed else {})


def defaults_here(store: Store, t: Statements, columns: Collection[int]) -> dict[int, Value]:
    """What rows of this file have in columns into which nobody wrote: their literal defaults, by number."""
    own, found = _declared(store, t), dict[int, Value]()
    for i in columns:
        declared, _, default = own[t.table.values[i].name]
        literal = constant(default)
        if literal is not None:
            found[i] = _as_kept(store, declared, literal)
    return found


def _declared(store: Store, t: Statements) -> dict[str, tuple[str, int, str | None]]:
    """Type, NOT NULL and default of the columns as they are in this file, by name."""
    rows = store.described(f"PRAGMA table_info({t.name})")
    return {name: (declared, not_null, default) for _, name, declared, not_null, default, _ in rows}


def _as_kept(store: Store, declared: str, literal: str) -> Value:
    """A default as the column keeps it."""
    kind = affinity(declared)
    store.execute("DROP TABLE IF EXISTS temp._sync_default")
    store.execute(f"CREATE TEMP TABLE _sync_default (v {'' if kind == 'ANY' else kind})")
    store.execute(f"INSERT INTO temp._sync_default VALUES ({literal})")
    value: Value = store.value("SELECT v FROM temp._sync_default")
    store.execute("DROP TABLE temp._sync_default")
    return value


def _keep_fillers(store: Store, t: Statements, fillers: Mapping[int, Value]) -> None:
    store.execute(f"DROP TABLE IF EXISTS temp._sync_filler_{t.n}")
    store.execute(f"CREATE TEMP TABLE _sync_filler_{t.n} (i INTEGER PRIMARY KEY, v)")
    store.executemany(f"INSERT INTO temp._sync_filler_{t.n} VALUES (?, ?)", fillers.items())


def forget_fillers(store: Store, t: Statements) -> None:
    """What `find_drained` has left for its tests goes."""
    store.execute(f"DROP TABLE IF EXISTS temp._sync_filler_{t.n}")


def drained_rows(t: Statements) -> str:
    """FROM and WHERE of the rows `t` that differ from the centre's, `h`, both of which are there."""
    return (
        f"FROM temp._sync_unlike_{t.n} u CROSS JOIN temp._sync_hub_{t.n} h CROSS JOIN main.{t.name} t"
        f" WHERE {t.same_key('h', 'u')} AND {t.row_key('t', 'u')}"
    )


def _emptied(store: Store, t: Statements, candidate: Drained, where: str) -> dict[int, int]:
    """In how many rows the centre has a value and this file the filler, by column."""
    tests = (f"total({candidate.test(t, i)} AND ({join.differs(t, i)}))" for i in candidate.fillers)
    row = store.row(f"SELECT {', '.join(tests)} {drained_rows(t)} AND {where}")
    assert row is not None, "it counts"
    return {i: int(count) for i, count in zip(candidate.fillers, row, strict=True)}


def _left(store: Store, t: Statements, candidate: Drained, column: int, most: int) -> int:
    """In how many rows both have the same value, which is not the filler; up to `most` and one."""
    same = f"NOT ({join.differs(t, column)}) AND NOT {candidate.test(t, column)}"
    found: int = store.value(
        f"SELECT count(*) FROM (SELECT 1 FROM temp._sync_hub_{t.n} h CROSS JOIN main.{t.name} t"
        f" WHERE {t.row_key('t', 'h')} AND {same} LIMIT ?)",
        (most + 1,),
    )
    return found


# Edits that were captured before ------------------------------------------------------------------------


def give_up_values(work: Work, t: Statements, drained: Drained) -> int:
    """Captured edits of drained columns whose rows have the filler now leave the log, and are kept as
    rejected ones without a value. Those that were captured when the column was there again stay. Returns how
    many rows there were."""
    store, fillers = work.store, drained.fillers
    if not fillers or not work.overlay.any(t):
        return 0
    mark, given_up = lost(store)[t.n], 0
    edited = Keyset(store, t, "emptied")
    edited.add(f"SELECT DISTINCT {t.key_columns} FROM temp._sync_pending_{t.n} WHERE seq <= {mark:d}")
    for keys in edited.in_batches():
        bases = work.overlay.first_values(t, keys, mark)
        for own, base in zip(work.overlay.pending(t, keys), bases, strict=True):
            columns = _given_up(t, own, drained, mark)
            if columns:
                given_up += 1
                _give_up(work, t, own, columns, base)
    edited.drop()
    work.overlay.forget()
    return given_up


def _given_up(t: Statements, own: Pending, drained: Drained, mark: int) -> list[int]:
    """The columns whose captured values went with them. An insert had values in all of them."""
    if own.present is None:
        return []
    found = []
    for i in drained.fillers:
        entries = [one for one in own.entries if one.op in "ID" or (one.op == "U" and one.mask >> i & 1)]
        if entries and entries[-1].op != "D" and entries[-1].seq <= mark:
            if drained.fills(i, own.present[t.table.places[i]]):
                found.append(i)
    return found


def _give_up(
    work: Work, t: Statements, own: Pending, columns: Collection[int], base: Mapping[int, Value]
) -> None:
    names = ", ".join(t.table.values[i].name for i in columns)
    before = [base[i] for i in columns if i in base]
    reason = Reason(
        VALUE_LOST,
        f"table {t.table.name}: the column {names} went with its values, before this edit was sent, and was"
        " added again without them",
        ONCE_MORE,
    )
    kept: tuple[list[int], list[Value], list[Value]]
    kept = list(columns), [], before if len(before) == len(columns) else []
    keep_rejected(work.device, t.n, own.key, "U", kept, reason)
    parts = split_mask(mask_of(columns), len(t.masks))
    changes = ", ".join(f"{name} = {name} & ~{part}" for name, part in zip(t.masks, parts, strict=True))
    empty = " AND ".join(f"coalesce({name}, 0) = 0" for name in t.masks)
    numbers = [(entry.seq,) for entry in own.entries if entry.op == "U"]
    work.store.executemany(f"UPDATE {t.log} SET {changes} WHERE seq = ?", numbers)
    work.store.executemany(f"DELETE FROM {t.log} WHERE seq = ? AND {empty}", numbers)
