"""One table of the file and the hub's rows of it become one: for `replica.track`, and for a table that takes
part again (`replica.migrate`).

A row that both have alike stays, one that only the hub has is added, one that only the file has becomes a
pending insert. Where they differ the hub's row stays and the file's own is kept as a conflict; where a key
means two things, as a rejected insert.

    begin -> note_rows of every group -> compare          takes no lock on the file
    log_own_rows -> lay_over -> end                       inside the transaction that joins

The hub's rows stand in a temporary table meanwhile, and are compared as a set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from syncline.merge.policies import TRACKED
from syncline.model.values import Value
from syncline.protocol.messages import ConflictNote, Group
from syncline.replica.affinity import affinity
from syncline.replica.apply import learn_group
from syncline.replica.conflicts import keep_own
from syncline.replica.edge import same_value
from syncline.replica.indexes import columns_of
from syncline.replica.overlay import Key, Pending
from syncline.replica.refusal import give_up
from syncline.replica.statements import Statements
from syncline.replica.store import Store
from syncline.replica.work import Work
from syncline.sqlitekit.sql import chained

BATCH = 5_000
"""Rows that are looked at in one go (law L11)."""

CHUNK = 10_000
"""Differing rows that are written in one transaction, where the file counts for whole only at the end."""

IsNone = Callable[[int, Value], bool]


def _never(column: int, value: Value) -> bool:
    return False


def begin(store: Store, t: Statements) -> None:
    """Make room for the hub's rows."""
    end(store, t)
    values = "".join(f", v{number}{kept}" for number, kept in _affinities(store, t).items())
    store.execute(
        f"CREATE TEMP TABLE _sync_hub_{t.n} ({t.key_columns}{values}, PRIMARY KEY ({t.key_columns}))"
        " WITHOUT ROWID"
    )


def _affinities(store: Store, t: Statements) -> dict[int, str]:
    """The types of the columns for the hub's values: none, but for numbers in a form of the file's, which
    its table may keep as integers or as floats."""
    here = columns_of(store, t.table.name) if t.converts else {}
    found = dict.fromkeys(t.values, "")
    for number, spelling in t.spellings.items():
        name = t.table.values[number].name
        if spelling.converts and name in here and affinity(here[name].declared) in ("NUMERIC", "REAL"):
            found[number] = f" {affinity(here[name].declared)}"
    return found


def end(store: Store, t: Statements) -> None:
    """Forget the hub's rows."""
    for name in ("hub", "unlike", "own"):
        store.execute(f"DROP TABLE IF EXISTS temp._sync_{name}_{t.n}")


def note_rows(store: Store, t: Statements, group: Group) -> None:
    """Take in whole rows of the hub. One that moved while the hub read may come twice; the later counts."""
    names = ", ".join([t.key_columns, *(f"v{number}" for number in group.columns)])
    marks = ", ".join("?" * (t.arity + len(group.columns)))
    store.executemany(f"INSERT OR REPLACE INTO temp._sync_hub_{t.n} ({names}) VALUES ({marks})", group.rows)


def compare(store: Store, t: Statements) -> None:
    """Find the rows that differ or that one side alone has. What is edited meanwhile is in the change log."""
    for name in ("unlike", "own"):
        columns = f"i INTEGER PRIMARY KEY, {t.key_columns}, UNIQUE ({t.key_columns})"
        store.execute(f"CREATE TEMP TABLE _sync_{name}_{t.n} ({columns})")
    tests = [f"t.{t.keys[0]} IS NULL", *(differs(t, number) for number in t.values)]
    store.execute(
        f"INSERT INTO temp._sync_unlike_{t.n} ({t.key_columns}) SELECT {_listed('h', t)}"
        f" FROM temp._sync_hub_{t.n} h LEFT JOIN main.{t.name} t ON {t.row_key('t', 'h')}"
        f" WHERE {chained('OR', tests)}"
    )
    store.execute(
        f"INSERT INTO temp._sync_own_{t.n} ({t.key_columns}) SELECT {t.keys_of('t')} FROM main.{t.name} t"
        f" WHERE NOT EXISTS (SELECT 1 FROM temp._sync_hub_{t.n} h WHERE {noted_key(t, 'h', 't')})"
    )


def differs(t: Statements, column: int) -> str:
    """A condition: the hub's row `h` and the one here, `t`, differ in a column, by class and bytes."""
    here, there = f"t.{t.values[column]}", f"h.v{column}"
    return f"{here} IS NOT {there} COLLATE BINARY OR typeof({here}) <> typeof({there})"


def noted_key(t: Statements, noted: str, row: str) -> str:
    """A condition between a temporary table that has keys as k0, k1, ... and this table, that is looked up in
    the former's index.

    The plus takes the affinity from the table's side: with it SQLite would convert the noted keys first, and
    could not use their index.
    """
    pairs = (f"{noted}.k{i} = +{row}.{name} COLLATE BINARY" for i, name in enumerate(t.keys))
    return " AND ".join(pairs)


def _listed(row: str, t: Statements) -> str:
    return ", ".join(f"{row}.k{i}" for i in range(t.arity))


# Inside the transaction -----------------------------------------------------------------------------------


def log_own_rows(work: Work, t: Statements) -> None:
    """Log the rows that only the file has, as the insert trigger would have. Call `work.overlay.forget` when
    all tables are through."""
    if work.overlay.any(t):  # edited meanwhile: to the hub it is one insert, or nothing
        work.store.execute(
            f"DELETE FROM {t.log} WHERE seq IN (SELECT p.seq FROM temp._sync_own_{t.n} o"
            f" CROSS JOIN temp._sync_pending_{t.n} p WHERE {t.same_key('p', 'o')})"
        )
    log_own(work, t)


def log_own(work: Work, t: Statements) -> int:
    """`log_own_rows` for rows that have no entry in the log; returns how many there are."""
    null = " OR ".join(f"t.{name} IS NULL" for name in t.keys)
    rows = (
        f"temp._sync_own_{t.n} o CROSS JOIN main.{t.name} t WHERE {t.row_key('t', 'o')} ORDER BY o.i",
        f"main.{t.name} t WHERE ({null})",  # rows that nobody can name: a push will say so
    )
    return sum(
        work.store.execute(
            f"INSERT INTO {t.log} (op, at, checkpoint, {t.key_columns}) SELECT 'I', julianday('now'),"
            f" s.checkpoint, {t.keys_of('t')} FROM _sync_state s CROSS JOIN {source}"
        )
        for source in rows
    )


def add_edited(work: Work, t: Statements) -> None:
    """Rows that were edited while the two were compared are looked at again."""
    if work.overlay.any(t):
        work.store.execute(
            f"INSERT OR IGNORE INTO temp._sync_unlike_{t.n} ({t.key_columns})"
            f" SELECT DISTINCT {_listed('p', t)} FROM temp._sync_pending_{t.n} p"
            f" CROSS JOIN temp._sync_hub_{t.n} h WHERE {t.same_key('h', 'p')}"
        )


def lay_over(
    work: Work,
    t: Statements,
    first: int = 1,
    last: int | None = None,
    *,
    are_others: bool = False,
    is_none: IsNone = _never,
) -> None:
    """Write the rows that differ or are new, and keep what differing ones held here: all, or those with these
    numbers. `are_others`: what has the key of a row of the hub's, and is not equal, is another thing;
    `is_none`: otherwise, what is no value, as for `keep_differing`."""
    end = count_unlike(work.store, t)
    for start in range(first, min(end, last or end) + 1, BATCH):
        rows = unlike(work.store, t, start, min(start + BATCH - 1, last or end))
        changed = (
            _keep_taken(work, t, rows) if are_others else _keep_differing(work, t, rows, TRACKED, is_none)
        )
        learn_group(work, Group(t.n, "U", list(t.values), changed))


def count_unlike(store: Store, t: Statements) -> int:
    """How many rows `lay_over` has to look at."""
    return store.value(f"SELECT max(i) FROM temp._sync_unlike_{t.n}") or 0


def unlike(store: Store, t: Statements, first: int, last: int) -> list[list[Value]]:
    """The hub's rows with these numbers, of those that differ here or are missing."""
    values = "".join(f", h.v{number}" for number in t.values)
    rows = store.rows(
        f"SELECT {_listed('h', t)}{values} FROM temp._sync_unlike_{t.n} u CROSS JOIN temp._sync_hub_{t.n} h"
        f" WHERE u.i BETWEEN ? AND ? AND {t.same_key('h', 'u')} ORDER BY u.i",
        (first, last),
    )
    return [list(row) for row in rows]


def _keep_taken(work: Work, t: Statements, rows: Sequence[list[Value]]) -> list[list[Value]]:
    """As `_keep_differing`, where what differs here is kept as an insert whose key is taken, with what points
    at it (law L2)."""
    changed: list[list[Value]] = []
    taken: dict[Key, Sequence[Value]] = {}
    mine = work.overlay.pending(t, [tuple(row[: t.arity]) for row in rows])
    for own, row in zip(mine, rows, strict=True):
        if own.present is not None and _differs(t, own, row[t.arity :], _never):
            taken[tuple(row[: t.arity])] = own.present
        elif own.present is not None and not own.entries:
            continue
        changed.append(row)
    give_up(work, t, taken)
    return changed


def keep_differing(work: Work, t: Statements, policy: str, is_none: IsNone = _never) -> None:
    """Keep what rows held here that differ; nothing is written. `is_none`: says of a column and what is here
    that it is no value."""
    for start in range(1, count_unlike(work.store, t) + 1, BATCH):
        _keep_differing(work, t, unlike(work.store, t, start, start + BATCH - 1), policy, is_none)


def _keep_differing(
    work: Work, t: Statements, rows: Sequence[list[Value]], policy: str, is_none: IsNone = _never
) -> list[list[Value]]:
    """Those of the hub's rows that are not the same here."""
    changed: list[list[Value]] = []
    notes: list[ConflictNote] = []
    blank = own_note(work, t, policy)
    mine = work.overlay.pending(t, [tuple(row[: t.arity]) for row in rows])
    for own, row in zip(mine, rows, strict=True):
        key, theirs = row[: t.arity], row[t.arity :]
        if own.present is not None and _differs(t, own, theirs, is_none):
            notes.append(msgspec.structs.replace(blank, key=key, sent=own.present, hub=theirs))
        elif own.present is not None and not own.entries and not _differs(t, own, theirs, _never):
            continue
        changed.append(row)
    keep_own(work.store, notes)
    return changed


def _differs(t: Statements, own: Pending, theirs: Sequence[Value], is_none: IsNone) -> bool:
    """Whether something here would be overwritten. What is pending stays, and is sent."""
    if own.present is None or any(entry.op != "U" for entry in own.entries):
        return False
    pairs = zip(t.values, own.present, theirs, strict=True)
    return any(
        not (own.touched >> i & 1 or is_none(i, here) or same_value(t, i, here, there))
        for i, here, there in pairs
    )


def own_note(work: Work, t: Statements, policy: str) -> ConflictNote:
    """A conflict that the replica itself meets, but for key and values."""
    return ConflictNote(
        id=0,
        table=t.table.name,
        key=[],
        column=None,
        outcome="hub",
        replica=work.store.state().replica,
        hlc=0,
        rival="hub",
        rival_hlc=0,
        base=None,
        sent=None,
        hub=None,
        at=work.store.utc(),
        policy=policy,
        table_number=t.n,
        columns=list(t.values),
    )
