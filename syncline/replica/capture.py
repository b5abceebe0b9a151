"""Capture: the triggers that append every change of a tracked table to its change log.

Plain SQL with built-in functions only, so that a write from any program is captured, in its own
transaction. An entry has the key, the operation, the checkpoint, the wall clock and the old values of the
changed columns; new values are in the row. Operations: I inserted, U updated, D deleted, M may have been
deleted by a REPLACE, which fires no delete trigger (`replica.pending` settles what became of it).

Known gap: SQLite's comparison cannot tell 0.0 from -0.0, so a change of nothing but the sign of a zero
is not noticed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from syncline.errors import SchemaError
from syncline.model.masks import WORD_BITS
from syncline.replica.indexes import ROWIDS, columns_of, uniques_of
from syncline.replica.statements import Statements
from syncline.replica.store import Store, quote
from syncline.replica.turned import put_in_order
from syncline.sqlitekit.indexes import taken
from syncline.sqlitekit.sql import chained
from syncline.sqlitekit.tables import Column, Unique

KINDS = ("insert", "update", "rekey", "delete", "replace", "displace")
_NOW = "julianday('now')"
WHOLE = "op = 'M' AND ref IS NULL"
"""Said of entries M: with all old values of its row, and not only those that differ from another's."""


def install(store: Store, t: Statements) -> None:
    """Make the change log if it is not there, and the triggers anew. Inside a transaction.

    SQLite fires the trigger made last first: ours come after the application's, so that a change is
    logged before what the application's triggers make of it. SchemaError if the table does not fit.
    """
    triggers = build(store, t)
    store.execute(log_ddl(t))
    store.execute(_maybe_index(t))
    remove_triggers(store, t)
    for sql in triggers.values():
        store.execute(sql)


def remove(store: Store, t: Statements) -> None:
    """The table takes part no longer: triggers, change log and number go. Inside a transaction."""
    remove_triggers(store, t)
    store.execute(f"DROP TABLE IF EXISTS {t.log}")
    store.forget_number(t.n)


def remove_triggers(store: Store, t: Statements) -> None:
    """Stop capturing; what is pending stays."""
    for kind in KINDS:
        store.execute(f"DROP TRIGGER IF EXISTS {trigger_name(t, kind)}")


def renew(store: Store, tables: Iterable[Statements]) -> list[str]:
    """Make the triggers of those tables anew that need it; return their names. What younger triggers have
    turned around in the log is put in order. Opens its own transaction, only if there is something to do. To
    be called whenever a replica is opened."""
    stale = [t for t in tables if is_stale(store, t)]
    if stale:
        with store.transaction():
            for t in stale:
                renew_now(store, t)
    return [t.table.name for t in stale]


def renew_now(store: Store, t: Statements) -> None:
    """The same of one table, inside a transaction."""
    now = drift(store, t)
    if now.after:
        put_in_order(store, t)
    if now != Drift((), (), ()):
        install(store, t)


def is_stale(store: Store, t: Statements) -> bool:
    """Whether the triggers differ from what this table needs now, or are not the newest."""
    return drift(store, t) != Drift((), (), ())


@dataclass(frozen=True, slots=True)
class Drift:
    """How a table's triggers are not what it needs now, each by its kind (an index was added, somebody
    dropped or altered one), and the application's triggers (`after`) that were made after them."""

    missing: tuple[str, ...]
    altered: tuple[str, ...]
    after: tuple[str, ...]


def drift(store: Store, t: Statements) -> Drift:
    """Compare the triggers of the file with those that the table needs. Changes nothing. SchemaError if the
    table does not fit."""
    prefix = f"_sync_{t.n}_"
    wanted = build(store, t)
    present = store.triggers_on(t.table.name)
    ours = [one for one in present if one.name.startswith(prefix)]
    own = {one.name.removeprefix(prefix): one.sql for one in ours}
    first = min((one.number for one in ours), default=None)
    return Drift(
        missing=tuple(kind for kind in wanted if kind not in own),
        altered=tuple(kind for kind in own if own[kind] != wanted.get(kind)),
        after=tuple(
            one.name
            for one in present
            if not one.name.startswith(prefix) and first is not None and one.number > first
        ),
    )


def naming_all(t: Statements) -> str:
    """The text of the trigger that names every column, as it is installed."""
    return _on_delete(t)


def trigger_name(t: Statements, kind: str) -> str:
    return quote(f"_sync_{t.n}_{kind}")


def log_ddl(t: Statements) -> str:
    """The change log of a table. No declared types: values keep theirs. Every entry has a stamp that no other
    has, in any file but a copy of this one."""
    columns = [*t.masks, *(f"k{i}" for i in range(t.arity)), *(f"o{i}" for i in t.values)]
    return (
        f"CREATE TABLE IF NOT EXISTS {t.log} (seq INTEGER PRIMARY KEY, op, at, checkpoint,"
        " stamp DEFAULT (randomblob(8)),"
        f" {', '.join(columns)}, ref)"
    )


def _maybe_index(t: Statements) -> str:
    """Finds the whole entries M of a row; has no others, and costs them nothing."""
    name = quote(f"_sync_maybe_{t.n}")
    return f"CREATE INDEX IF NOT EXISTS {name} ON {t.log} ({t.key_columns}) WHERE {WHOLE}"


def build(store: Store, t: Statements) -> dict[str, str]:
    """The CREATE TRIGGER statements that the table needs as it is in this file, by kind."""
    columns = columns_of(store, t.table.name)
    _check(t, columns)
    made = {"insert": _on_insert(t), "delete": _on_delete(t), "rekey": _on_rekey(t, columns)}
    update = _on_update(t, columns)
    if update is not None:
        made["update"] = update
    uniques = uniques_of(store, t.table.name)
    made["replace"] = _on_replace(t, columns, uniques)
    made["displace"] = _on_displace(t, columns, uniques)
    return made


def _check(t: Statements, columns: dict[str, Column]) -> None:
    if not columns:
        raise SchemaError(f"there is no table {t.table.name} in this file")
    for column in t.table.columns:
        if column.name not in columns:
            raise SchemaError(f"table {t.table.name} has no column {column.name} in this file")


# Pieces ------------------------------------------------------------------------------------------------


def _log(t: Statements, op: str, values: dict[str, str], source: str = "", where: str = "") -> str:
    """One entry, unless suppressed. Qualifies what it reads of the state with `s`."""
    return (
        f"INSERT INTO {t.log} (op, at, checkpoint, {', '.join(values)})"
        f" SELECT '{op}', {_NOW}, s.checkpoint, {', '.join(values.values())}"
        f" FROM _sync_state AS s{source} WHERE s.suppressed = 0{where};"
    )


def _keys(t: Statements, row: str) -> dict[str, str]:
    return {f"k{i}": f"{row}.{name}" for i, name in enumerate(t.keys)}


def _olds(t: Statements, row: str) -> dict[str, str]:
    return {f"o{i}": f"{row}.{name}" for i, name in t.values.items()}


def differs(column: Column, old: str = "OLD", new: str = "NEW") -> str:
    """A condition: two rows of these names differ in this column, by storage class and bytes.

    A column whose type converts what is stored cannot hold equal values of two classes. One without
    affinity (sqlite.org/datatype3.html, section 3.1), or of type ANY, can: 1 and 1.0.
    """
    name = quote(column.name)
    unequal = f"{old}.{name} IS NOT {new}.{name} COLLATE BINARY"
    if not column.affinity:
        return f"({unequal} OR typeof({old}.{name}) <> typeof({new}.{name}))"
    return unequal


def _rekeyed(t: Statements, columns: dict[str, Column]) -> str:
    return "(" + " OR ".join(differs(columns[name]) for name in t.table.key) + ")"


def _names(columns: Iterable[str]) -> str:
    """For UPDATE OF. A rowid can be set under three names that are no columns."""
    return ", ".join(dict.fromkeys(quote(name) for name in [*columns, *ROWIDS]))


# Triggers ----------------------------------------------------------------------------------------------


def _trigger(t: Statements, kind: str, event: str, when: str, body: Sequence[str]) -> str:
    condition = f" WHEN {when}" if when else ""
    return f"CREATE TRIGGER {trigger_name(t, kind)} {event} ON {t.name}{condition} BEGIN {' '.join(body)} END"


def _on_insert(t: Statements) -> str:
    return _trigger(t, "insert", "AFTER INSERT", "", [_log(t, "I", _keys(t, "NEW"))])


def _on_delete(t: Statements) -> str:
    return _trigger(t, "delete", "AFTER DELETE", "", [_log(t, "D", _keys(t, "OLD") | _olds(t, "OLD"))])


def _on_update(t: Statements, columns: dict[str, Column]) -> str | None:
    """An entry with mask and old values of the changed columns, if the key stays; also of those that the
    centre computes: it says what they are there, or whether it still does so."""
    changed = {i: differs(columns[column.name]) for i, column in t.table.values.items()}
    if not changed:
        return None
    values = {name: _mask(changed, part) for part, name in enumerate(t.masks)} | _keys(t, "OLD")
    values |= {f"o{i}": f"CASE WHEN {test} THEN OLD.{t.values[i]} END" for i, test in changed.items()}
    when = f"NOT {_rekeyed(t, columns)} AND ({chained('OR', list(changed.values()))})"
    return _trigger(t, "update", "AFTER UPDATE", when, [_log(t, "U", values)])


def _mask(changed: dict[int, str], part: int) -> str:
    first = part * WORD_BITS
    bits = [f"(({test}) << {i - first})" for i, test in changed.items() if first <= i < first + WORD_BITS]
    return " | ".join(bits) or "0"


def _on_rekey(t: Statements, columns: dict[str, Column]) -> str:
    """A change of key is a delete and an insert."""
    body = [_log(t, "D", _keys(t, "OLD") | _olds(t, "OLD")), _log(t, "I", _keys(t, "NEW"))]
    return _trigger(t, "rekey", f"AFTER UPDATE OF {_names(t.table.key)}", _rekeyed(t, columns), body)


def _on_replace(t: Statements, columns: dict[str, Column], uniques: Sequence[Unique]) -> str:
    """Before an insert: the rows that a REPLACE would delete."""
    other = f"({_same_key(t)}) IS NOT TRUE"
    hits = [_same_key(t), *(f"{taken(columns, unique, 'r')} AND {other}" for unique in uniques)]
    when = " OR ".join(_exists(t, hit) for hit in hits)
    return _trigger(t, "replace", "BEFORE INSERT", when, [_maybe(t, columns, hit) for hit in hits])


def unique_hits(store: Store, t: Statements) -> list[str]:
    """What the trigger before an insert looks for by each unique index that the table has now."""
    columns = columns_of(store, t.table.name)
    return [taken(columns, unique, "r") for unique in uniques_of(store, t.table.name)]


def _on_displace(t: Statements, columns: dict[str, Column], uniques: Sequence[Unique]) -> str:
    """Before an update that changes a key or unique value: the other rows a REPLACE would delete."""
    other = "(" + " OR ".join(f"r.{name} IS NOT OLD.{name} COLLATE BINARY" for name in t.keys) + ")"
    hits = [f"{_rekeyed(t, columns)} AND {_same_key(t)} AND {other}"]
    hits += [f"{taken(columns, unique, 'r')} AND {other}" for unique in uniques]
    names = [name for unique in uniques for name, _ in unique.columns]
    plain = all(name in columns and not columns[name].generated for name in names)
    plain = plain and not any(unique.partial for unique in uniques)
    touched = [*t.table.key, *(name for name in names if name is not None)]
    event = f"BEFORE UPDATE OF {_names(touched)}" if plain else "BEFORE UPDATE"
    when = " OR ".join(_exists(t, hit) for hit in hits)
    return _trigger(t, "displace", event, when, [_maybe(t, columns, hit) for hit in hits])


def _exists(t: Statements, hit: str) -> str:
    return f"EXISTS (SELECT 1 FROM {t.name} AS r WHERE {hit})"


def _maybe(t: Statements, columns: dict[str, Column], hit: str) -> str:
    """M for every row `r` that is hit, with its old values: all of them, or those that differ from what the
    last whole entry M of the row has, and the number of that one (`ref`).

    Nothing where the last entry of all is of the same row as it is now: the statement before came to nothing.
    """
    same = " AND ".join(f"k{i} IS r.{name} COLLATE BINARY" for i, name in enumerate(t.keys))
    unlike = {i: f"(m.seq IS NULL OR {_unlike(t, columns, i)})" for i in t.values}
    values = {name: _mask(unlike, part) for part, name in enumerate(t.masks)} | _keys(t, "r")
    values |= {f"o{i}": f"CASE WHEN {test} THEN r.{t.values[i]} END" for i, test in unlike.items()}
    values["ref"] = "m.seq"
    whole = f"SELECT max(seq) FROM {t.log} WHERE {WHOLE} AND {same}"
    source = f" CROSS JOIN {t.name} AS r LEFT JOIN {t.log} AS m ON m.seq = ({whole})"
    last = (
        f"SELECT 1 FROM {t.log} AS l WHERE l.seq = (SELECT max(seq) FROM {t.log}) AND l.op = 'M' AND {same}"
    )
    unchanged = ["m.seq IS NOT NULL", *(f"NOT {test}" for test in unlike.values()), *_no_change(t)]
    where = f" AND {hit} AND NOT EXISTS ({last} AND {chained('AND', unchanged)})"
    return _log(t, "M", values, source, where)


def _unlike(t: Statements, columns: dict[str, Column], number: int) -> str:
    """A condition: the entry `m` has another old value than the row `r`."""
    name, old = f"r.{t.values[number]}", f"m.o{number}"
    unequal = f"{old} IS NOT {name} COLLATE BINARY"
    if columns[t.table.values[number].name].affinity:
        return unequal
    return f"({unequal} OR typeof({old}) <> typeof({name}))"


def _no_change(t: Statements) -> list[str]:
    """Conditions: the entry `l` is whole, or has nothing that the whole one has not."""
    return [f"(l.ref IS NULL OR l.{mask} = 0)" for mask in t.masks]


def _same_key(t: Statements) -> str:
    return " AND ".join(f"r.{name} = NEW.{name}" for name in t.keys)
