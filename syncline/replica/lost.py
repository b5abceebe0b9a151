"""Capture that was lost: the application made a table anew, or dropped triggers.

Django, Alembic, sqlite-utils, pandas and others change a table by making a new one and dropping the old,
and its triggers go with that. A unique index that the application makes lets a REPLACE remove rows that
capture, made before it, does not look for. From then on nothing is captured. It is noticed when the file is
opened next or its schema has changed: capture begins again at once, and the table is noted in `_sync_lost`
until `replica.regain` has compared it with the centre.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from syncline.errors import SchemaError, StoreBusy
from syncline.model.naming import folded
from syncline.model.schema import TableSchema
from syncline.replica import capture
from syncline.replica.defining import make_column
from syncline.replica.device import Device
from syncline.replica.indexes import columns_of, has_key, misfits
from syncline.replica.meant import has_noted
from syncline.replica.postponed import postpone_mismatched, postponed
from syncline.replica.reports import Unable
from syncline.replica.statements import Statements
from syncline.replica.store import Store, quote
from syncline.sqlitekit.renames import renamed_columns

_OF_INDEXES = {"replace", "displace"}
"""Triggers that are outdated, not lost, when they differ: the application has made or dropped an index."""


_BELOW = -1
"""Beside the columns that a table was seen without stand those that are retaken, counted down from here."""

CAPTURED = 2
"""In place of 1 in `_sync_lost.replaced`: all of it was captured."""


def notice(device: Device, is_renamed: Callable[[Device], bool] = lambda device: False) -> bool:
    """Begin to capture again where it was lost, and note these tables.

    Tables that do not fit as they are now, or are not in the file, are set aside with those that refer to
    them, until they fit again: see `unable`. Opens its own transaction, only if there is something to do.
    Returns False, and has done nothing, if one `is_renamed` by then."""
    _make_due(device)
    ours = device.tracked
    unfit = _unfit(device, ours)
    lacking = _lacking(device.store, {n: ours[n] for n in unfit})
    known = unfit == device.aside.keys() and all(
        columns <= lacked(device.store, n) for n, columns in lacking.items()
    )
    if known and not any(_is_news(device, t) for t in ours.values()):
        return True
    with device.store.transaction() as store:
        device.check()
        if is_renamed(device):
            return False
        found = [t for t in ours.values() if _is_news(device, t)]
        for t in found:
            end = store.value(f"SELECT max(seq) FROM {t.log}") or 0 if has_log(store, t) else 0
            whole = has_log(store, t) and not misfits(store, t.table) and not _is_uncaptured(store, t)
            _note(store, t.n, end, whole)
            store.execute(capture.log_ddl(t))
            if not misfits(store, t.table):
                capture.install(store, t)
        _set_aside(device, ours, unfit)
        postpone_mismatched(store, ours.values())
        for n, columns in lacking.items():
            note_lacked(store, n, lacked(store, n) | columns)
    device.reload()
    return True


def _set_aside(device: Device, ours: Mapping[int, Statements], unfit: Collection[int]) -> None:
    """Note which tables cannot take part now. What the hub has of them is fetched when they can again, so
    that nothing is held for them meanwhile."""
    store = device.store
    for n in unfit - device.aside.keys():
        set_aside(store, ours[n])
    for n in device.aside.keys() - unfit:
        store.execute(
            "UPDATE _sync_lost SET aside = CASE WHEN since IS (SELECT watermark FROM _sync_state) THEN 0"
            " ELSE 2 END WHERE n = ?",
            (n,),
        )
        if not has_noted(store, ours[n].table.name):  # else the rows that are meant are looked at
            sql = "DELETE FROM _sync_lost WHERE n = ? AND aside = 0 AND replaced = ?"
            store.execute(sql, (n, CAPTURED))
        if _has_carried(store, ours[n]):
            _ask_again(store)


def set_aside(store: Store, t: Statements) -> None:
    """Note that a table cannot take part now, and since when; since nothing that is known where rows of the
    hub's wait already. Inside a transaction."""
    if t.n not in _noted(store):
        _note(store, t.n, store.value(f"SELECT max(seq) FROM {t.log}") or 0, CAPTURED)
    is_held = store.row("SELECT 1 FROM _sync_held WHERE n = ? LIMIT 1", (t.n,)) is not None
    since = "" if is_held else store.state().watermark
    store.execute("UPDATE _sync_lost SET aside = 1, since = coalesce(since, ?) WHERE n = ?", (since, t.n))
    store.execute("DELETE FROM _sync_held WHERE n = ?", (t.n,))


def forget_since(store: Store, numbers: Iterable[int]) -> None:
    """The hub has decided edits of these tables while they are aside: of what it made of their rows no log
    tells what was done here. Inside a transaction."""
    store.executemany("UPDATE _sync_lost SET since = '' WHERE n = ? AND aside = 1", ((n,) for n in numbers))


def _ask_again(store: Store) -> None:
    """A recovery begins, or begins again, with the question what became of this file's edits. Inside a
    transaction. See `replica.recovery`, which this must not know."""
    begun = store.state().recovery
    fresh = {"reason": "copied", "rejected": store.value("SELECT rejected FROM _sync_state")}
    told = fresh if begun is None else json.loads(begun)
    store.set_state(recovery=json.dumps(told | {"step": "ask"}))


def _has_carried(store: Store, t: Statements) -> bool:
    """Whether a table that was aside has edits that the hub was asked about: they have stayed in its log."""
    carried = (store.state().carried,)
    some = f"SELECT 1 FROM {t.log} WHERE checkpoint <= ? LIMIT 1"
    return has_log(store, t) and store.row(some, carried) is not None


def _unfit(device: Device, ours: Mapping[int, Statements]) -> set[int]:
    """The tables that cannot take part as they are, and those that refer to them: the parents of their rows
    may not come."""
    unfit = {n for n, t in ours.items() if misfits(device.store, t.table)}
    while unfit:
        names = {folded(ours[n].table.name) for n in unfit}
        more = {n for n, t in ours.items() if n not in unfit and names & _parents(device.store, t)}
        if not more:
            break
        unfit |= more
    return unfit


def _parents(store: Store, t: Statements) -> set[str]:
    here = (parent for _, _, parent, *_ in store.described(f"PRAGMA foreign_key_list({t.name})"))
    return {folded(parent) for parent in (*here, *(key.parent for key in postponed(store, t.table)))}


def note_made_again(store: Store, n: int) -> None:
    """Note a table that was made again without its rows. Inside a transaction."""
    _note(store, n, 0, 0)


def _note(store: Store, n: int, end: int, replaced: int) -> None:
    """`replaced`: 1 if all but what a REPLACE removed was captured. Once it was not, it stays so."""
    store.execute(
        "INSERT INTO _sync_lost (n, seq, replaced) VALUES (?, ?, ?)"
        " ON CONFLICT (n) DO UPDATE SET replaced = replaced AND excluded.replaced",
        (n, end, replaced),
    )


def lost(store: Store) -> dict[int, int]:
    """The tables that were not captured for a while and have not been compared since, by number, with the end
    of their change log when that was noticed. Without those that cannot be compared, as they are aside."""
    return dict(store.rows("SELECT n, seq FROM _sync_lost WHERE aside <> 1"))


def returned(store: Store) -> set[int]:
    """Those of them that were aside while news came: what others have done since nobody can tell."""
    return {n for (n,) in store.rows("SELECT n FROM _sync_lost WHERE aside = 2")}


def returned_since(store: Store) -> dict[str, set[int]]:
    """Those of them that a program made anew and of which it is known when they were set aside: their
    numbers, by the watermark of that moment."""
    found: dict[str, set[int]] = {}
    sql = "SELECT n, since FROM _sync_lost WHERE aside = 2 AND coalesce(since, '') <> '' AND replaced <> ?"
    for n, since in store.rows(sql, (CAPTURED,)):
        found.setdefault(since, set()).add(n)
    return found


def waited(store: Store) -> set[int]:
    """Those of them that could not take part for a while, be it that a program made them anew."""
    return {n for (n,) in store.rows("SELECT n FROM _sync_lost WHERE since IS NOT NULL")}


def lacked(store: Store, n: int) -> set[int]:
    """The columns that a table was seen without since it was compared last."""
    return {number for number in _noted_of(store, n) if number >= 0}


def note_lacked(store: Store, n: int, columns: Iterable[int]) -> None:
    """Note that these are the columns that a table was seen without. Inside a transaction."""
    kept = {number for number in _noted_of(store, n) if number < 0}
    store.execute("UPDATE _sync_lost SET lacked = ? WHERE n = ?", (json.dumps(sorted(kept | {*columns})), n))


def retaken(store: Store, n: int) -> set[int]:
    """The columns that are here, since the table was made anew, under the name of one that the centre had
    dropped: what they hold may be of that one, and nobody can tell."""
    return {_BELOW - number for number in _noted_of(store, n) if number < 0}


def note_retaken(store: Store, t: Statements, columns: Iterable[int]) -> None:
    """Note such columns until the table is compared. Inside a transaction."""
    _note(store, t.n, (store.value(f"SELECT max(seq) FROM {t.log}") or 0) if has_log(store, t) else 0, 0)
    noted = _noted_of(store, t.n) | {_BELOW - number for number in columns}
    store.execute("UPDATE _sync_lost SET lacked = ? WHERE n = ?", (json.dumps(sorted(noted)), t.n))


def _noted_of(store: Store, n: int) -> set[int]:
    return set(json.loads(store.value("SELECT lacked FROM _sync_lost WHERE n = ?", (n,)) or "[]"))


def follow_unfit(store: Store, n: int, due: Iterable[int], found: Iterable[int]) -> None:
    """The centre has changed a table that does not fit: it has got the columns `due`, which this file makes
    when the table fits otherwise; columns `found` are here under another name. Inside a transaction."""
    store.execute("UPDATE _sync_lost SET replaced = 0 WHERE n = ?", (n,))
    known = due_of(store, n)
    store.execute("UPDATE _sync_lost SET due = ? WHERE n = ?", (json.dumps(sorted(known | {*due})), n))
    note_lacked(store, n, lacked(store, n) - {*found})


def due_of(store: Store, n: int) -> set[int]:
    """The columns that the centre has got while a table did not fit."""
    return set(json.loads(store.value("SELECT due FROM _sync_lost WHERE n = ?", (n,)) or "[]"))


def _make_due(device: Device) -> None:
    """Make the columns that the centre has got while a table did not fit, if it fits otherwise."""
    for n, kept in device.store.rows("SELECT n, due FROM _sync_lost WHERE aside = 1 AND due <> '[]'"):
        t = device.aside.get(n)
        present = {} if t is None else columns_of(device.store, t.table.name)
        if t is None or not present:
            continue
        due = [number for number in json.loads(kept) if number in t.values]
        missing = [t.table.values[i] for i in due if t.table.values[i].name not in present]
        if misfits(device.store, _without(t, [column.name for column in missing])):
            continue
        with device.store.transaction() as store:
            device.check()
            for column in missing:
                make_column(store, t.table, column, device.schema)
            store.execute("UPDATE _sync_lost SET due = '[]' WHERE n = ?", (n,))
            note_lacked(store, n, lacked(store, n) | {column.number for column in missing})


def _lacking(store: Store, unfit: Mapping[int, Statements]) -> dict[int, set[int]]:
    """The columns that tables which do not fit are without, by the table's number."""
    found = {}
    for n, t in unfit.items():
        present = columns_of(store, t.table.name)
        missing = {number for number, column in t.table.values.items() if column.name not in present}
        if present and missing:
            found[n] = missing
    return found


def forget_lost(store: Store) -> None:
    """They are compared. Inside a transaction."""
    store.execute("DELETE FROM _sync_lost WHERE aside <> 1")


def _noted(store: Store) -> set[int]:
    return {n for (n,) in store.rows("SELECT n FROM _sync_lost")}


def replaced(store: Store) -> set[int]:
    """Those of them that were captured, but for what a REPLACE may have removed by a new index."""
    return {n for (n,) in store.rows("SELECT n FROM _sync_lost WHERE replaced")}


def is_lost(store: Store, t: Statements) -> bool:
    """Whether changes of a table may not be captured, by its triggers as they are."""
    if not has_log(store, t) or misfits(store, t.table):
        return True
    return _is_uncaptured(store, t) or _is_replaced_unseen(store, t)


def _is_uncaptured(store: Store, t: Statements) -> bool:
    drift = capture.drift(store, t)
    if drift.missing:
        return True
    altered = [kind for kind in drift.altered if kind not in _OF_INDEXES]
    return any(_says_other(store, t, kind) for kind in altered)


def refuse_lost(device: Device) -> None:
    """StoreBusy if capture was lost since the verb began: what the hub sent must not be laid over changes
    that nobody knows of. Inside a transaction."""
    version = device.store.value("PRAGMA schema_version")
    if version == device.schema_version:
        return
    known = lost(device.store)
    fresh = [t.table.name for t in device.tables.values() if t.n not in known and is_lost(device.store, t)]
    if fresh:
        raise StoreBusy(
            f"{device.store.path}: the application made {', '.join(fresh)} anew while this was going on",
            remedy="Sync again: what was changed meanwhile is found by comparing with the centre.",
        )
    device.schema_version = version


def refuse_unfit(device: Device) -> None:
    """SchemaError if no table can take part any more: one is not in the file (`table_missing`), or has lost
    its key (`key_missing`) or columns (`table_altered`), and the others refer to it."""
    if not device.tables:
        for _, error in _errors(device):
            raise error


def unable(device: Device) -> list[Unable]:
    """The tables that are aside and still cannot take part, each with the reason and the remedy."""
    errors = _errors(device)
    found = [Unable(t.table.name, error.code, error.detail, error.remedy) for t, error in errors]
    referring = _unfit(device, device.aside) - {t.n for t, _ in errors}
    for n, t in device.aside.items():
        if n in referring:
            detail = f"table {t.table.name} refers to a table that cannot take part: its rows wait for that"
            others = ", ".join(one.table for one in found[: len(errors)])
            found.append(Unable(t.table.name, "parent_unable", detail, f"See what is said of {others}."))
    return found


def _errors(device: Device) -> list[tuple[Statements, SchemaError]]:
    found = []
    for t in device.aside.values():
        wrong = misfits(device.store, t.table)
        if wrong:
            found.append((t, unfit(device, t, wrong)))
    return found


def unfit(device: Device, t: Statements, wrong: Sequence[str]) -> SchemaError:
    """The error for a table that cannot go on as it is now."""
    name, store = t.table.name, device.store
    waiting = ""
    if has_log(store, t) and (count := store.value(f"SELECT count(*) FROM {t.log}")):
        waiting = f"; captured edits of it wait: {count:,}"
    present = columns_of(store, name)
    if not present:
        return SchemaError(
            f"table {name} takes part and is not in {store.path} any more{waiting}",
            code="table_missing",
            remedy=f"Make it again as it was, then sync: its rows come back from the centre. Or run: syncline"
            f" track {store.path} {name}, which makes it.",
        )
    if not has_key(store, t.table) and all(column in present for column in t.table.key):
        keys = ", ".join(t.keys)
        index = quote(f"{name}_key")
        return SchemaError(
            f"table {name} of {store.path} has no key any more (the hub's is {', '.join(t.table.key)}):"
            f" its rows cannot be told apart{waiting}",
            code="key_missing",
            remedy=f"Give it one, with: CREATE UNIQUE INDEX {index} ON {t.name} ({keys}); then sync: what was"
            " changed meanwhile is found by comparing with the centre.",
        )
    due = {t.table.values[i].name: t.table.values[i] for i in due_of(store, t.n) if i in t.values}
    unlike = [c for c in due if c in present and misfits(store, _without(t, due.keys() - {c}))]
    if unlike and not misfits(store, _without(t, due)):
        taken = ", ".join(
            f"{c} ({due[c].central or due[c].declared or 'without a type'} there,"
            f" {'generated' if present[c].generated else present[c].declared or 'without a type'} here)"
            for c in unlike
        )
        return SchemaError(
            f"table {name}: the centre has got a column that this file has one of its own for, which cannot"
            f" take the centre's values: {taken}{waiting}",
            code="column_taken",
            remedy="Rename the column of this file (ALTER TABLE ... RENAME COLUMN), then sync: the centre's"
            " is made, and what was changed meanwhile is found by comparing.",
        )
    return SchemaError(
        f"{'; '.join(wrong)}{waiting}",
        code="table_altered",
        remedy="Alter it so that it fits, then sync: what was changed meanwhile is found by comparing with"
        " the centre, whose values come back in a column that is added again.",
    )


def _without(t: Statements, names: Collection[str]) -> TableSchema:
    """The table without these columns."""
    return replace(t.table, columns=tuple(one for one in t.table.columns if one.name not in names))


def has_log(store: Store, t: Statements) -> bool:
    """Whether the change log of a table is there."""
    return bool(columns_of(store, f"_sync_log_{t.n}"))


def _is_replaced_unseen(store: Store, t: Statements) -> bool:
    """Whether a REPLACE may have removed rows by an index that capture does not know. It would have written
    another row, which is in the log."""
    if not _OF_INDEXES & set(capture.drift(store, t).altered):
        return False
    if store.row(f"SELECT 1 FROM {t.log} WHERE op IN ('I', 'U') LIMIT 1") is None:
        return False
    present = store.definition("trigger", f"_sync_{t.n}_replace")
    return any(hit not in str(present) for hit in capture.unique_hits(store, t))


def _is_news(device: Device, t: Statements) -> bool:
    """Whether there is something to note or to install."""
    if not is_lost(device.store, t):
        return False
    known = t.n in _noted(device.store)
    return not (known and has_log(device.store, t)) or not misfits(device.store, t.table)


def _says_other(store: Store, t: Statements, kind: str) -> bool:
    """Whether a trigger's text differs from what is wanted in more than names and how they are quoted."""
    name = f"_sync_{t.n}_{kind}"
    present = store.definition("trigger", name)
    return renamed_columns(capture.build(store, t)[kind], present or "") is None
