"""Edits that cannot travel: kept as rejected with their reason, and taken back, so that the rest goes on.

The hub never sees them. Like an edit that the hub rejects, the row returns to what it was before, and
rows that were inserted under a row that goes are refused with it (law L2: kept, with the reason).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from syncline.merge.policies import KEY_TAKEN, KEY_TAKEN_REMEDY, PARENT_REJECTED
from syncline.model.masks import join_mask
from syncline.model.order import is_sound, shown
from syncline.model.schema import ForeignKey
from syncline.model.values import Value, indices_of
from syncline.replica.above import Above
from syncline.replica.attempt import try_set
from syncline.replica.behind import explain_behind
from syncline.replica.beside import Beside
from syncline.replica.chains import Refused
from syncline.replica.device import Device
from syncline.replica.edges import parent_columns
from syncline.replica.entries import as_sent
from syncline.replica.meant import note_meant
from syncline.replica.overlay import Key, Overlay, kind_of, read_image
from syncline.replica.parents import Below, mend_parents, put_aside_children
from syncline.replica.quiet import quiet_triggers
from syncline.replica.rejected import Made, Reason, keep_rejected
from syncline.replica.rows import write_row
from syncline.replica.statements import Statements
from syncline.replica.store import Store, pack, quote, unpack
from syncline.replica.together import keep_with_row
from syncline.replica.trade import stand_in
from syncline.replica.work import Work, load_held, save_held

UNREADABLE = "a text of this row is not valid UTF-8"
UNKEYED = "a key column of this row is NULL"
_OF_TAKEN = f"{KEY_TAKEN_REMEDY} Or discard it."


@dataclass(slots=True)
class Edits:
    """The edits of one row: operations, their log entries, and the first old value of each column they
    changed."""

    ops: list[str] = field(default_factory=list)
    entries: list[int] = field(default_factory=list)
    base: dict[int, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Taken:
    """A row whose edits were kept: what they amounted to, and the row as it is. `image`: of one that is
    parked."""

    key: Key
    kind: str
    base: dict[int, Value]
    present: list[tuple[Value, ...]]
    image: Sequence[Value] | None


def unreadable(device: Device, t: Statements, cut: int) -> list[Refused]:
    """The pending rows that hold text which is not UTF-8. Reads all of them."""
    keys = [f"l.k{i}" for i in range(t.arity)]
    row = " AND ".join(f"t.{name} IS {key}" for name, key in zip(t.keys, keys, strict=True))
    olds = [f"l.{name}" for name in t.old_columns(t.increments)]
    picked = ", ".join([*keys, *(f"t.{name}" for name in t.value_names), *olds])
    sql = f"SELECT {picked} FROM {t.log} l LEFT JOIN {t.name} t ON {row} WHERE l.seq <= ?"
    found: dict[Key, None] = {}
    with device.store.undecoded():
        for batch in device.store.batches(sql, (cut,)):
            for values in batch:
                if not are_sound(values):
                    found[values[: t.arity]] = None
    for key, image in device.store.rows("SELECT key, image FROM _sync_parked WHERE n = ?", (t.n,)):
        if not are_sound(read_image(t, image)):
            found[tuple(unpack(key))] = None
    return [Refused(key, UNREADABLE) for key in found]


def unkeyed(device: Device, t: Statements) -> list[Refused]:
    """The pending rows with a NULL in their key, which SQLite allows in some tables."""
    null = " OR ".join(f"k{i} IS NULL" for i in range(t.arity))
    with device.store.undecoded():
        keys = device.store.rows(f"SELECT DISTINCT {t.key_columns} FROM {t.log} WHERE {null}")
    return [Refused(key, UNKEYED) for key in keys]


def refuse(device: Device, t: Statements, refused: Sequence[Refused], code: str, remedy: str) -> None:
    """Keep the edits of these rows as rejected, take them back and clear them from the log.

    Inside a write transaction, while no push is in flight and after `pending.settle`.
    """
    store = device.store
    store.set_state(suppressed=1)
    store.defer_foreign_keys()
    work = Work(device, Overlay(store))
    load_held(work)
    with store.undecoded(), quiet_triggers(device):
        _refuse(work, t, {row.key: Reason(code, row.detail, remedy) for row in refused})
        mend_parents(work)
    explain_behind(work)
    save_held(work)
    store.set_state(suppressed=0)


def _refuse(work: Work, t: Statements, reasons: Mapping[Key, Reason]) -> None:
    """Refuse the edits of these rows, all of one table, and the new rows below those that go."""
    _refuse_all(work, [(t, reasons)] if reasons else [])


def _refuse_all(work: Work, todo: list[tuple[Statements, Mapping[Key, Reason]]]) -> None:
    """Refuse edits table by table, and what hangs below them: what is below goes before what is above."""
    kept: list[tuple[Statements, list[Taken]]] = []
    work.overlay.forget()
    for t, reasons in todo:  # which grows meanwhile
        edits = _edits(work, t, reasons)
        rows = [_keep_edits(work, t, key, found, reasons[key]) for key, found in edits.items()]
        entries = [(seq,) for found in edits.values() for seq in found.entries]
        work.store.executemany(f"DELETE FROM {t.log} WHERE seq = ?", entries)
        kept.append((t, rows))
        todo += _pointing(work, t, [row.key for row in rows if row.kind == "I"])
    work.overlay.forget()
    _put_aside_below(work, kept)
    for t, rows in kept:
        for row in rows:
            _let_go(work, t, row)
    for t, rows in reversed(kept):
        for row in rows:
            if row.kind == "I":
                work.store.execute(f"DELETE FROM {t.name} WHERE {_by_key(t, row.key)}", _bound(row.key))
        for row in rows:
            if row.kind in ("R", "D") or (row.kind == "U" and row.image is None):
                _take_back(work, t, row)


def _let_go(work: Work, t: Statements, row: Taken) -> None:
    """A row that stays points again at what it pointed at before: new rows are about to go, and would take
    it, and what is below it, along by an action of a foreign key."""
    names = {name for key in t.table.foreign_keys for name in key.columns}
    columns = [i for i in row.base if t.table.values[i].name in names]
    if row.kind not in "UR" or not row.present or not columns or not are_sound(row.key):
        return
    former = [row.base[i] for i in columns]
    if try_set(work, t, columns, [[*row.key, *former]]) is not None:  # a new row has what it wants back
        try_set(work, t, columns, [[*row.key, *(None for _ in columns)]])


def _put_aside_below(work: Work, kept: Sequence[tuple[Statements, Sequence[Taken]]]) -> None:
    """Take out of view what points at the new rows among these, which are about to go, by foreign keys of the
    file alone: it is not refused."""
    going: dict[int, dict[Key, None]] = {}
    for t, rows in kept:
        going.setdefault(t.n, {}).update({row.key: None for row in rows if row.kind == "I"})
    below: list[Below] = []
    for edge in work.device.own_edges:
        keys = list(going.get(edge.parent.n, ()))
        found = children(work.store, edge.parent, keys, edge.child, edge.key) if keys else ()
        below += [(edge, keys[place], key) for place, key in found]
    put_aside_children(work, below, {(n, key) for n, keys in going.items() for key in keys})


def _keep_edits(work: Work, t: Statements, key: Key, edits: Edits, reason: Reason) -> Taken:
    present = work.store.rows(
        f"SELECT {', '.join(t.value_names) or '1'} FROM {t.name} WHERE {_by_key(t, key)}", _bound(key)
    )
    image = work.overlay.parked(t, key) if not present and are_sound(key) else None
    kind = kind_of(edits.ops, not present and image is None) or "-"
    for row in present or [tuple(image or ())]:
        if kind != "-":
            _keep(work, t, key, kind, edits, row, reason)
    if image is not None:
        work.overlay.unpark(t, [key])
    return Taken(key, kind, edits.base, present, image)


def _take_back(work: Work, t: Statements, row: Taken) -> None:
    """Write what the row held before."""
    unreadable = _make_readable(work, t, row.key, row.present)
    write_row(work, t, row.key, row.base)
    if unreadable and work.is_held(t, row.key):  # what stood in for it must not stay either
        work.put_aside(t, row.key, row.present[0])
        work.store.execute(t.delete, row.key)


def _edits(work: Work, t: Statements, keys: Collection[Key]) -> dict[Key, Edits]:
    """The edits of those rows: looked up by the key, or found in one reading of the log if one of the keys
    cannot be."""
    names = ["seq", *(f"k{i}" for i in range(t.arity)), "op", *t.masks, *t.old_columns(t.table.all_mask)]
    picked, entries = ", ".join(f"l.{name}" for name in names), f"{t.log} l"
    if all(None not in key and are_sound(key) for key in keys):
        if not work.overlay.any(t):
            return {}
        work.overlay.load_keys(t, list(keys))
        entries = (
            f"temp._sync_keys_{t.n} k CROSS JOIN temp._sync_pending_{t.n} p ON {t.same_key('p', 'k')}"
            f" CROSS JOIN {t.log} l ON l.seq = p.seq"
        )
    found: dict[Key, Edits] = {}
    for batch in work.store.batches(f"SELECT {picked} FROM {entries} ORDER BY l.seq"):
        for seq, *row in batch:
            key, op = tuple(row[: t.arity]), row[t.arity]
            if key not in keys:
                continue
            masks, old = row[t.arity + 1 :][: len(t.masks)], row[t.arity + 1 + len(t.masks) :]
            mask = {"I": 0, "U": join_mask([part or 0 for part in masks])}.get(op, t.table.all_mask)
            edits = found.setdefault(key, Edits())
            edits.ops.append(op)
            edits.entries.append(seq)
            edits.base = {i: old[t.table.places[i]] for i in indices_of(mask)} | edits.base
    return found


def _keep(
    work: Work, t: Statements, key: Key, kind: str, edits: Edits, row: Sequence[Value], reason: Reason
) -> None:
    columns = sorted(edits.base) if kind in "UD" else list(t.values)
    values = [row[t.table.places[i]] for i in columns] if row and kind != "D" else []
    base = [edits.base.get(i) for i in columns]
    if kind == "U" and values:
        values = [as_sent(t, *one) for one in zip(columns, values, base, strict=True)]
    own = Beside(work.store, t).values(key) if kind in "IR" and None not in key and are_sound(key) else {}
    edit, why = (columns, values, base), (reason, Made(own=own))
    keep_with_row(work.device, (t.n, key), kind, edit, why, work.shown_since)


def _make_readable(work: Work, t: Statements, key: Key, present: Sequence[Sequence[Value]]) -> bool:
    """What cannot be read must not stay, even where a unique value keeps the old one from coming back.
    Whether there is such a value."""
    unreadable = {
        column for row in present for column, value in t.state_of(row).items() if not is_sound(value)
    }
    for column in unreadable:
        work.store.execute(t.update((column,)), (*key, stand_in(work, t, key, column)))
    return bool(unreadable)


def give_up(work: Work, t: Statements, rows: Mapping[Key, Sequence[Value]]) -> None:
    """Keep rows of this file, whole ones by their keys, as inserts whose keys are other rows' in the centre,
    which are about to be written in their place; and refuse what points at them."""
    if not rows:
        return
    refuse_children(work, t, list(rows))
    columns = list(t.table.pushed)
    reason = Reason(
        KEY_TAKEN, f"table {t.table.name}: another row has this key in the centre", KEY_TAKEN_REMEDY
    )
    numbers, beside = dict[Key, int](), Beside(work.store, t)
    for key, row in rows.items():
        values = [row[t.table.places[i]] for i in columns]
        made = Made(own=beside.values(key))
        numbers[key] = keep_rejected(work.device, t.n, key, "I", (columns, values, []), reason, made)
        if made.own:
            beside.empty(key)
    note_meant(work.device, t, numbers)
    work.overlay.clear(t, list(rows))
    work.overlay.forget()


def refuse_strangers(work: Work, tables: Collection[Statements]) -> None:
    """Refuse the new rows of these tables that point at a row of another one whose key was taken before: they
    mean the row that has been kept, not the other's."""
    for child in tables:
        found: dict[Key, Reason] = {}
        for fk in child.table.foreign_keys:
            parent = work.device.named(fk.parent)
            if parent is not None and parent not in tables:
                keys = _taken_here(work.store, parent)
                for place, key in children(work.store, parent, keys, child, fk) if keys else ():
                    found.setdefault(key, depends_on(parent, keys[place]))
        _refuse(work, child, found)


def _taken_here(store: Store, t: Statements) -> list[Key]:
    """The keys of inserts that this file has kept by itself, since they were taken."""
    sql = "SELECT key FROM _sync_rejected WHERE n = ? AND code = ? AND op = 'I' AND push IS NULL"
    return [tuple(unpack(key)) for (key,) in store.rows(sql, (t.n, KEY_TAKEN))]


def refuse_children(work: Work, t: Statements, keys: Sequence[Key]) -> None:
    """Refuse the pending rows that point at rows of `t` which are about to go, or to become another's."""
    _refuse_all(work, _pointing(work, t, keys))


def refuse_later(work: Work, t: Statements, keys: Sequence[Key]) -> None:
    """`refuse_children` of rows whose keys are another's in the centre, but for the rows below which point at
    that one: as the centre has them, and nothing of this file has changed that."""
    refuse_below(work, _pointing(work, t, keys))


def refuse_below(work: Work, found: Sequence[tuple[Statements, Mapping[Key, Reason]]]) -> None:
    """Refuse what is pending of these rows, table by table, but for those that point where they do in the
    centre, too."""
    todo: list[tuple[Statements, Mapping[Key, Reason]]] = []
    work.overlay.forget()
    for child, reasons in found:
        edits = _edits(work, child, reasons)
        stay = {key for key, own in edits.items() if _points_as_before(work, child, key, own)}
        if len(stay) < len(reasons):
            todo.append((child, {key: why for key, why in reasons.items() if key not in stay}))
    _refuse_all(work, todo)


def refuse_taken(work: Work, t: Statements, keys: Sequence[Key]) -> None:
    """Refuse what is pending of rows whose keys are another's in the centre: it was written into those of
    this file, which are rejected."""
    work.overlay.forget()
    _refuse(work, t, dict.fromkeys(keys, another_s(t)))


def refuse_hanging(work: Work, t: Statements, reasons: Mapping[Key, Reason]) -> None:
    """Refuse what is pending of rows that are rejected with those that they hang on, also where they do not
    point there any more: it was written into those, and the centre may have others of these keys."""
    work.overlay.forget()
    _refuse(work, t, reasons)


def another_s(t: Statements) -> Reason:
    """Why an edit is refused of a row whose key is another's in the centre."""
    return Reason(KEY_TAKEN, f"table {t.table.name}: another row was inserted under this key", _OF_TAKEN)


def _points_as_before(work: Work, t: Statements, key: Key, edits: Edits) -> bool:
    """Whether what a row points at came from the centre: neither what is pending of it nor what was rejected
    of it says so."""
    names = {name for fk in t.table.foreign_keys for name in fk.columns}
    if any(op != "U" for op in edits.ops) or any(t.table.values[i].name in names for i in edits.base):
        return False
    sql = "SELECT 1 FROM _sync_rejected WHERE n = ? AND key = ? LIMIT 1"
    return work.store.row(sql, (t.n, pack(list(map(shown, key))))) is None


def _pointing(
    work: Work, t: Statements, keys: Sequence[Key]
) -> list[tuple[Statements, Mapping[Key, Reason]]]:
    """The rows, table by table, that point at these, in tables where something is pending, and why each is
    refused."""
    reasons: dict[int, dict[Key, Reason]] = {}
    store, parents = work.store, set(keys)
    for child in work.device.tables.values() if keys else ():
        for fk in child.table.foreign_keys:
            if fk.parent == t.table.name and store.row(f"SELECT 1 FROM {child.log} LIMIT 1") is not None:
                found = reasons.setdefault(child.n, {})
                for place, key in children(store, t, keys, child, fk):
                    if child is not t or key not in parents:
                        found.setdefault(key, depends_on(t, keys[place]))
    return [(work.device.tables[n], found) for n, found in reasons.items() if found]


def depends_on(t: Statements, key: Key) -> Reason:
    """Why a row is refused that points at one which was rejected."""
    return Reason(
        PARENT_REJECTED,
        f"the row of {t.table.name} that this row points at was rejected",
        "Settle the row it points at first, then retry this one.",
        Above(t.n, tuple(map(shown, key))),
    )


def children(
    store: Store, t: Statements, keys: Sequence[Key], child: Statements, fk: ForeignKey
) -> list[tuple[int, Key]]:
    """The keys of rows that point at one of these by a foreign key, each with the place of that one."""
    _load_keys(store, t, keys)
    points = " AND ".join(
        f"c.{quote(own)} = p.{quote(name)}"
        for own, name in zip(fk.columns, parent_columns(fk, t), strict=True)
    )
    same = " AND ".join(f"p.{name} IS k.k{i}" for i, name in enumerate(t.keys))
    rows = store.rows(
        f"SELECT k.i, {child.keys_of('c')} FROM temp._sync_refused_{t.n} k"
        f" CROSS JOIN {t.name} p ON {same} CROSS JOIN {child.name} c ON {points} ORDER BY k.i"
    )
    return [(place, tuple(key)) for place, *key in rows]


def _load_keys(store: Store, t: Statements, keys: Sequence[Key]) -> None:
    """`Overlay.load_keys`, of keys that may be NULL or no UTF-8, into _sync_refused_<n>."""
    store.execute(
        f"CREATE TEMP TABLE IF NOT EXISTS _sync_refused_{t.n} (i INTEGER PRIMARY KEY, {t.key_columns})"
    )
    store.execute(f"DELETE FROM temp._sync_refused_{t.n}")
    by_marks: dict[str, list[list[Value]]] = {}
    for place, key in enumerate(keys):
        by_marks.setdefault(", ".join(map(_mark, key)), []).append([place, *_bound(key)])
    for marks, rows in by_marks.items():
        store.executemany(f"INSERT INTO temp._sync_refused_{t.n} VALUES (?, {marks})", rows)


# Text that is not UTF-8 is a str with escaped bytes here, and bound as its bytes ------------------------


def are_sound(values: Sequence[Value]) -> bool:
    """Whether all text among them is UTF-8."""
    return all(map(is_sound, values))


def _mark(value: Value) -> str:
    return "?" if is_sound(value) else "CAST(? AS TEXT)"


def _bound(values: Sequence[Value]) -> list[Value]:
    return list(map(shown, values))


def _by_key(t: Statements, key: Key) -> str:
    return " AND ".join(f"{name} IS {_mark(value)}" for name, value in zip(t.keys, key, strict=True))
