"""Who has a unique value that the hub's rows are about to take: asked of the file, by all its unique
indexes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from syncline.model.values import Value
from syncline.replica.attempt import REFUSED
from syncline.replica.overlay import Key
from syncline.replica.statements import Statements
from syncline.replica.work import Work
from syncline.sqlitekit.indexes import taken

Rows = dict[Key, list[Value]]
"""Whole rows by key: all value columns."""


def owners(work: Work, t: Statements, rows: Rows) -> dict[Key, set[Key]]:
    """By the key of a row that wants a value of another: the keys of those others. Not of indexes on computed
    columns, and of those that need a function which is not to be had."""
    found: dict[Key, set[Key]] = {}
    uniques = work.uniques(t)
    if not rows or not uniques:
        return found
    columns, listed = list(work.columns(t)), ", ".join([*t.keys, *t.value_names])
    work.store.execute("DROP TABLE IF EXISTS temp._sync_wanted")
    work.store.execute(f"CREATE TEMP TABLE _sync_wanted (_sync_i INTEGER PRIMARY KEY, {listed})")
    marks = ", ".join("?" * (1 + len(t.keys) + len(t.values)))
    keys = list(rows)
    work.store.executemany(
        f"INSERT INTO temp._sync_wanted VALUES ({marks})",
        ((i, *key, *rows[key]) for i, key in enumerate(keys)),
    )
    itself = " AND ".join(f"r.{name} IS NEW.{name} COLLATE BINARY" for name in t.keys)
    for unique in uniques:
        sql = (
            f"SELECT NEW._sync_i, {t.keys_of('r')} FROM temp._sync_wanted AS NEW"
            f" CROSS JOIN main.{t.name} AS r WHERE {taken(columns, unique, 'r')} AND NOT ({itself})"
        )
        try:
            pairs = work.store.rows(sql)
        except REFUSED:
            continue
        for i, *owner in pairs:
            found.setdefault(keys[i], set()).add(tuple(owner))
    work.store.execute("DROP TABLE temp._sync_wanted")
    return found


def following(stay: Collection[Key], waits: Mapping[Key, Collection[Key]]) -> Iterator[tuple[Key, Key]]:
    """The rows that want a value of one of those that `stay` as they are, and so stay themselves, and so on:
    each once, behind the row whose value it wants. `waits`: what `owners` has found."""
    wanted_by: dict[Key, list[Key]] = {}
    for key, others in waits.items() if stay else ():
        for other in others:
            wanted_by.setdefault(other, []).append(key)
    known, agenda = set(stay), list(stay)
    while agenda:
        owner = agenda.pop()
        for key in wanted_by.get(owner, ()):
            if key not in known:
                known.add(key)
                agenda.append(key)
                yield key, owner


def wholes(work: Work, t: Statements, states: dict[Key, dict[int, Value]]) -> Rows:
    """Rows with all their value columns, as they are to be: these states over what is there."""
    keys = list(states)
    present: dict[Key, list[Value]] = {}
    work.overlay.load_keys(t, keys)
    values = ", ".join(f"t.{name}" for name in t.value_names) or "1"
    for i, *row in work.store.rows(
        f"SELECT k.i, {values} FROM temp._sync_keys_{t.n} k CROSS JOIN {t.name} t WHERE {t.row_key('t', 'k')}"
    ):
        present[keys[i]] = row
    found: Rows = {}
    for key, state in states.items():
        merged = t.state_of(present.get(key, ())) | state
        found[key] = [merged.get(i) for i in t.values]
    return found
