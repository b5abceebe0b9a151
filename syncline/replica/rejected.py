"""Edits that the centre cannot hold: kept with their reason until somebody retries or discards them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from syncline.errors import StoreConstraint, UsageError
from syncline.merge.policies import KEY_TAKEN, PARENT_REJECTED, TABLE_CHANGED_REMEDY
from syncline.model.order import is_sound, shown
from syncline.model.values import Value, add
from syncline.replica.above import Above, above_of, packed_above
from syncline.replica.beside import named_now, retired_names, there
from syncline.replica.device import Device
from syncline.replica.lost import unable
from syncline.replica.meant import check_noted, meant
from syncline.replica.meanwhile import (
    Kept,
    broken,
    check_parents,
    check_pending,
    check_row,
    has_moved,
    has_parents,
    made_for,
    names_key,
    parents,
)
from syncline.replica.overlay import Key, Overlay
from syncline.replica.reports import RejectedEdit, RetriedEdit
from syncline.replica.retried import Retry
from syncline.replica.settled import BROUGHT, COLUMNS, keep_settled, rejected_at, what_of
from syncline.replica.statements import Statements
from syncline.replica.stayed import held_back, insert_again, is_kept_out, put_in_log, update_again
from syncline.replica.store import Store, pack, unpack
from syncline.sqlitekit.errors import said_by

HELD = "row_locked"
"""The code of an edit that came to nothing because another session in the centre held its row."""

SLICE = 500
"""Edits that are put back in one transaction, which other programs wait for."""

ONCE_MORE = "Make the change again if it is still wanted, then discard this one."
"""What to do about an edit whose values are nowhere any more."""

ELSEWHERE = "Put the value elsewhere if it is still needed, then discard the edit."
"""What to do about a value of a column that the centre has no more."""

_BRING = "Bring the row it points at into being, or edit the table yourself and discard this."
_CLASH = "Correct the row it clashes with first, or edit the table yourself and discard this."

SEE_IDS = "See the ids with: syncline rejected FILE"

_WRITTEN = "id, n, key, op, edit, code, detail, remedy, parent, at, push, stamps, part"
_COLUMNS = "id, n, key, op, edit, code, detail, remedy, parent, at, push"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an edit was refused. `parent`: the rejected row it depends on."""

    code: str
    detail: str
    remedy: str
    parent: Above | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """By which push a refused edit came to the hub, if that is known, and the stamps of the log entries that
    it is made of. `part`: what of these is not of the edit alone, `COLUMNS` or `PUSH`; see
    `replica.settled`. `own`: what a new row held in columns of the application's own, by their names."""

    push: int | None = None
    stamps: bytes = b""
    part: str | None = None
    own: Mapping[str, Value] = field(default_factory=dict)


_HERE = Made()


def keep_rejected(
    device: Device,
    n: int,
    key: Sequence[Value],
    op: str,
    edit: tuple[Sequence[int], Sequence[Value], Sequence[Value]],
    reason: Reason,
    made: Made = _HERE,
) -> int:
    """Keep one refused edit of table `n`; return its id. `edit`: value columns, what was sent, what they held
    before.

    For a delete nothing was sent: the second is empty. So it is where the values went with their row and are
    nowhere any more. Text that is not UTF-8 is kept as its bytes and cannot be retried. Inside a transaction.
    """
    store = device.store
    parent = (
        None if reason.parent is None else packed_above(*reason.parent[:2], is_gone=reason.parent.is_gone)
    )
    number = newest_rejected(store) + 1
    store.execute("UPDATE _sync_state SET rejected = ?", (number,))
    store.execute(
        f"INSERT INTO _sync_rejected ({_WRITTEN}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            number,
            n,
            pack(list(map(shown, key))),
            op,
            written_edit(device, n, *edit, key, made.own),
            reason.code,
            reason.detail,
            reason.remedy,
            parent,
            store.utc(),
            made.push,
            made.stamps or None,
            made.part,
        ),
    )
    return number


def written_edit(
    device: Device,
    n: int,
    columns: Sequence[int],
    values: Sequence[Value],
    base: Sequence[Value],
    key: Sequence[Value] = (),
    own: Mapping[str, Value] = MappingProxyType({}),
) -> bytes:
    """The blob form, with the names that table and columns have now: it may be shown when they are gone.
    `undecoded` is in it if the key or what was sent has text that is not UTF-8."""
    table = device.known(n)
    plain = {
        "columns": list(columns),
        "values": list(map(shown, values)),
        "base": list(map(shown, base)),
        "names": [device.column_name(n, i) for i in columns],
        "table": str(n) if table is None else table.name,
        **({"own": dict(own), "retired": retired_names(device, n, own)} if own else {}),
    }
    return pack(plain if all(map(is_sound, [*key, *values])) else {**plain, "undecoded": True})


def rejected(device: Device, after: int = 0) -> list[RejectedEdit]:
    """The kept edits with ids above `after`, oldest first."""
    return [
        _report(device, row)
        for row in device.store.rows(
            f"SELECT {_COLUMNS} FROM _sync_rejected WHERE id > ? ORDER BY id", (after,)
        )
    ]


def newest_rejected(store: Store) -> int:
    """The highest id that was ever given to a rejected edit of this file; 0 if none was."""
    number: int = store.value("SELECT rejected FROM _sync_state")
    return number


def retry(device: Device, number: int) -> tuple[RetriedEdit, ...]:
    """Put a kept edit into its table again, as a fresh edit that the next sync sends.

    One that the centre has taken from a copy of the file meanwhile is forgotten. UsageError if it cannot be
    put back (the row is gone, is another's, was changed since or has other pending edits; a
    constraint of the table refuses): it is then still kept. Returns what was put back.
    """
    with putting_back(device) as done:
        found = find(device.store, number)
        if found.code == BROUGHT:
            retry_now(device, number)
            return ()
        kept = kept_edit(device, number)
        check_parents(device, kept)
        check_pending(device, kept)
        done.append(kept)
        retry_now(device, number)
        return (RetriedEdit(number, kept.t.table.name, kept.key, kept.op),)


@contextmanager
def putting_back(device: Device) -> Iterator[list[Kept]]:
    """A transaction that puts edits back; a foreign key that is broken at its end refuses them. It is told
    which, for the sake of that.

    While the file is being recovered its rows show what was rejected, up to its end: to write that once more
    would change nothing, and so be no edit (law L2)."""
    done: list[Kept] = []
    found: dict[int, str] = {}
    try:
        with device.store.transaction() as store:
            _refuse_recovering(store)
            yield done
            found = {kept.number: what for kept in done if (what := broken(device, kept)) is not None}
    except StoreConstraint as error:
        one = next((kept for kept in done if kept.number in found), done[0] if done else None)
        what = found.get(one.number) if one is not None else None
        raise _refused_by(device, one, error, what) from error


def _refused_by(device: Device, kept: Kept | None, error: StoreConstraint, what: str | None) -> UsageError:
    """What is said where the file refuses an edit that is put back. `what`: which foreign key does, if that
    was found."""
    edit = "the edit" if kept is None else f"table {kept.t.table.name}: the edit of {list(kept.key)!r}"
    first = None if kept is None or error.kind != "foreign_key" else _what_first(device, kept)
    detail = f"{edit} cannot be put back: {what or said_by(error.__cause__ or error)}"
    if first is None:
        if error.kind == "foreign_key":
            return UsageError(detail, code="retry_refused", remedy=_BRING)
        return UsageError(detail, code="retry_refused", remedy=_CLASH)
    return UsageError(detail, code="retry_refused", remedy=first)


def retry_now(device: Device, number: int) -> None:
    """`retry`, inside a transaction, of an edit whose parents are looked after."""
    store = device.store
    found = find(store, number)
    if found.code == BROUGHT:
        store.execute("DELETE FROM _sync_rejected WHERE id = ?", (number,))
        return
    kept, whole = _as_kept(device, number, found), unpack(found.edit)
    t, stamps = kept.t, found.stamps
    again = None if stamps is None else Retry(device, stamps, rejected_at(store, number))
    try:
        _redo(store, kept)
    except StoreConstraint as error:
        why = broken(device, kept) if error.kind == "foreign_key" and store.in_transaction else None
        raise _refused_by(device, kept, error, why) from error
    if again is not None:
        what = what_of(t.n, kept.key, found.part, kept.edit["columns"])
        keep_settled(store, number, again.mark(what))
    keep_rest(store, number, t, kept.op, whole)


def _what_first(device: Device, kept: Kept) -> str | None:
    """The remedy where a row is missing that a rejected edit would bring."""
    sql = "SELECT max(id) FROM _sync_rejected WHERE n = ? AND key = ? AND op IN ('I', 'R')"
    for parent, key, _ in parents(device, kept):
        above = device.store.value(sql, (parent.n, pack(list(key))))
        if above is not None and device.store.row(parent.select, key) is None:
            return (
                f"Retry edit {above} first, of the row of {parent.table.name} that it points at, then this."
            )
    return None


def keep_rest(store: Store, number: int, t: Statements, op: str, whole: dict[str, Any]) -> None:
    """Of an edit that is made in the table again, keep what it holds of columns that the centre has no more;
    if that is nothing, forget it."""
    rest = _picked(whole, lambda i: i not in t.table.values)
    if op in "IR" and rest["values"]:  # nobody wrote what is NULL in a new row
        written = {i for i, value in zip(rest["columns"], rest["values"], strict=True) if value is not None}
        rest = _picked(rest, lambda i: i in written)
    if op == "D" or not rest["columns"]:
        store.execute("DELETE FROM _sync_rejected WHERE id = ?", (number,))
        return
    why = _columns_gone(t.table.name, rest["names"])
    sql = (
        "UPDATE _sync_rejected SET op = 'U', part = ?, edit = ?, code = ?, detail = ?, remedy = ?,"
        " parent = NULL WHERE id = ?"
    )
    store.execute(sql, (COLUMNS, pack(rest), why.code, why.detail, why.remedy, number))


def _columns_gone(table: str, names: Sequence[str]) -> Reason:
    return Reason(
        "column_dropped",
        f"table {table}: the centre has no column {', '.join(names)} any more",
        ELSEWHERE,
    )


def check_points(device: Device, number: int) -> None:
    """UsageError (`retry_refused`) if a kept edit would point at a row that is somebody else's."""
    check_parents(device, kept_edit(device, number))


def following(device: Device, number: int) -> Kept | None:
    """A kept edit that can be put back now that the rows are there which it points at; None if it cannot."""
    with suppress(UsageError):
        kept = kept_edit(device, number)
        check_parents(device, kept)
        check_pending(device, kept)
        return kept if has_parents(device, kept) else None
    return None


def kept_edit(device: Device, number: int) -> Kept:
    """A kept edit, as much of it as the centre still has. UsageError if it has none of it."""
    return _as_kept(device, number, find(device.store, number))


def _as_kept(device: Device, number: int, found: Found) -> Kept:
    t, edit = device.tables.get(found.n), unpack(found.edit)
    if t is None:
        _refuse_aside(device, found.n)
        now = device.named(edit["table"])
        if now is not None:
            raise UsageError(
                f"table {edit['table']} takes part again, as another table than the one that the edit is of:"
                f" its key is {', '.join(now.table.key)} now",
                code="table_again",
                remedy=ONCE_MORE,
            )
        if found.n in device.retired.changed:
            raise UsageError(
                f"table {edit['table']} takes no part: {device.retired.changed[found.n]}",
                code="table_changed",
                remedy=TABLE_CHANGED_REMEDY,
            )
        raise UsageError(
            f"the centre's table {edit['table']} takes no part any more, be it dropped, taken out or without"
            " a parent that takes part: the edit waits until it does",
            code="table_dropped",
            remedy="If the table takes part again, retry the edit; else put the row elsewhere if it is"
            " needed, and discard the edit.",
        )
    return Kept(
        t=t,
        key=tuple(unpack(found.key)),
        op=found.op,
        edit=_present(t, found.op, edit) | {"own": _own(device, t, edit)},
        code=found.code,
        push=found.push,
        parent=above_of(device, found.parent),
        number=number,
    )


def _refuse_aside(device: Device, n: int) -> None:
    """UsageError (`retry_refused`) if the table cannot take part now, for what it is in this file."""
    if n not in device.aside:
        return
    name = device.aside[n].table.name
    why = next((one.detail for one in unable(device) if one.table == name), f"table {name}: it waits")
    raise UsageError(
        f"the edit waits, for its table cannot take part now: {why}",
        code="retry_refused",
        remedy="Make the table fit, see syncline status FILE; then sync, and retry the edit.",
    )


def _own(device: Device, t: Statements, edit: dict[str, Any]) -> dict[str, Value]:
    """What a new row has in columns that the hub has not; among them those that it had when it was made."""
    pairs = zip(edit["columns"], edit["values"], strict=False)
    values = {i: value for i, value in pairs if i not in t.table.values and value is not None}
    dropped = {name: values[i] for i in values if (name := device.retired.name(t.n, i)) is not None}
    return dropped | named_now(device, t.n, edit.get("own", {}), edit.get("retired", {}))


def wait(device: Device, refused: Sequence[RejectedEdit]) -> None:
    """Make edits pending again that were refused because somebody in the centre held the row, or a parent of
    it: the next sync sends them. What cannot be put back (its row is gone) stays refused."""
    below: dict[tuple[str, Key], list[RejectedEdit]] = {}
    for edit in refused:
        if edit.parent is not None and edit.code != HELD:
            below.setdefault(edit.parent, []).append(edit)
    waiting = {edit.id: edit for edit in refused if edit.code == HELD}
    for edit in (todo := list(waiting.values())):  # which grows meanwhile
        found = below.pop((edit.table, edit.key), ())
        waiting |= {child.id: child for child in found}
        todo += found
    numbers = list(waiting)
    for start in range(0, len(numbers), SLICE):
        _put_back(device, numbers[start : start + SLICE])


def _put_back(device: Device, numbers: Sequence[int]) -> None:
    """`retry` each of these in one transaction; those that cannot be put back stay kept."""
    store = device.store
    try:
        with putting_back(device):
            for number in numbers:
                try:
                    with store.savepoint():
                        check_parents(device, kept_edit(device, number))
                        retry_now(device, number)
                except UsageError:
                    if not store.in_transaction:  # a trigger of the application has undone all of it
                        raise
    except UsageError:  # for the sake of one of them, and which is not known
        half = len(numbers) // 2
        for some in (numbers[:half], numbers[half:]) if half else ():
            _put_back(device, some)


def _present(t: Statements, op: str, edit: dict[str, Any]) -> dict[str, Any]:
    """As much of an edit as the centre still has columns for. UsageError if it has none of them, or if the
    values of the edit are nowhere any more."""
    if (op != "D" and len(edit["values"]) < len(edit["columns"])) or (op == "U" and not edit["columns"]):
        raise UsageError(
            f"table {t.table.name}: the values of this edit are nowhere any more, they went with the row",
            code="values_gone",
            remedy=ONCE_MORE,
        )
    if "undecoded" in edit:
        raise UsageError(
            f"table {t.table.name}: the edit cannot be put back: a text of it is not valid UTF-8, and would"
            " come back as a blob",
            code="retry_refused",
            remedy="Write the row yourself, with a text that is UTF-8, then discard this one.",
        )
    there = _picked(edit, lambda i: i in t.table.values)
    if edit["columns"] and not there["columns"] and op == "U":
        why = _columns_gone(t.table.name, edit["names"])
        raise UsageError(why.detail, code="column_dropped", remedy=ELSEWHERE)
    return there


def _picked(edit: dict[str, Any], wanted: Callable[[int], bool]) -> dict[str, Any]:
    """An edit with some of its columns. A delete has no values, an insert may have no base."""
    places = [place for place, column in enumerate(edit["columns"]) if wanted(column)]
    parts = ("columns", "values", "base", "names")
    return edit | {part: [edit[part][place] for place in places if place < len(edit[part])] for part in parts}


def discard(device: Device, number: int) -> None:
    """Forget a kept edit for ever. UsageError if there is none with this id.

    Where it inserted a row whose key is another's, the edits that point at it are told: the row that they
    were made for will not be, and that key leads to somebody else's."""
    with device.store.transaction() as store:
        found = find(store, number)
        _refuse_shown(store, number, found.code)
        check_noted(device, unpack(found.edit))
        if found.op in "IR" and (found.code == KEY_TAKEN or is_below_taken(device, number, found)):
            _orphan(device, found.n, found.key, found.push)
            _orphan_earlier(device, number, found)
        keep_settled(store, number)
        store.execute("DELETE FROM _sync_rejected WHERE id = ?", (number,))


def is_below_taken(device: Device, number: int, found: Found) -> bool:
    """Whether it was rejected because of an insert whose key another's is."""
    if found.code != PARENT_REJECTED or found.n not in device.tables:
        return False
    with suppress(UsageError):
        kept = kept_edit(device, number)
        return made_for(device, kept, kept.t, kept.key) != (None, False)
    return False


def _orphan(device: Device, n: int, key: bytes, push: int | None) -> None:
    store = device.store
    among = "SELECT id, code = ? OR push IS ? FROM _sync_rejected WHERE code IN (?, ?)"
    for child, is_sure in store.rows(among, (PARENT_REJECTED, push, PARENT_REJECTED, KEY_TAKEN)):
        with suppress(UsageError):
            kept = kept_edit(device, child)
            for parent, named, _ in parents(device, kept):
                if parent.n != n or pack(list(named)) != key:
                    continue
                if is_sure or has_moved(kept.edit, n, named):
                    gone = packed_above(n, named, is_gone=True)
                    store.execute("UPDATE _sync_rejected SET parent = ? WHERE id = ?", (gone, child))


def _orphan_earlier(device: Device, number: int, above: Found) -> None:
    """What was kept before for other reasons, be it that its table takes no part, meant the row as well."""
    t, key = device.tables.get(above.n), unpack(above.key)
    sql = "SELECT id, n, key, edit FROM _sync_rejected WHERE id < ? AND code NOT IN (?, ?)"
    rows = () if t is None else device.store.rows(sql, (number, KEY_TAKEN, PARENT_REJECTED))
    for child, n, packed, body in rows:
        table = device.known(n)
        if t is not None and table is not None and names_key(table, unpack(packed), unpack(body), t, key):
            gone = packed_above(above.n, key, is_gone=True)
            device.store.execute("UPDATE _sync_rejected SET parent = ? WHERE id = ?", (gone, child))


class Found(NamedTuple):
    """A kept edit as it stands in the file: `key`, `edit` and `parent` are packed."""

    n: int
    key: bytes
    op: str
    edit: bytes
    code: str
    push: int | None
    parent: bytes | None
    stamps: bytes | None
    part: str | None


def find(store: Store, number: int) -> Found:
    """The kept edit with this id; UsageError if there is none."""
    sql = "SELECT n, key, op, edit, code, push, parent, stamps, part FROM _sync_rejected WHERE id = ?"
    row = store.row(sql, (number,))
    if row is None:
        raise UsageError(
            f"there is no rejected edit {number}",
            code="no_such_edit",
            remedy=SEE_IDS,
        )
    return Found(*row)


def _redo(store: Store, kept: Kept) -> None:
    t, key, op = kept.t, kept.key, kept.op
    columns, values = kept.edit["columns"], kept.edit["values"]
    present, held = store.row(t.select, key), held_back(store, t, key)
    check_row(kept, present, held)
    if op == "D" and present is None and held is not None and is_kept_out(store, t, key):
        put_in_log(store, t, "D", key, held)
        return
    if op == "D":
        store.execute(t.delete, key)
        return
    if op in "IR" and present is None:
        image = _take_hidden(store, t, key)
        values = values if image is None else [image[t.table.places[i]] for i in columns]
        own = there(store, t, kept.edit.get("own", {}), columns)
        store.execute(t.insert(columns, list(own)), (*key, *values, *own.values()))
        return
    if present is None:
        raise UsageError(
            f"table {t.table.name}: the row {list(key)!r} that the edit changes is gone",
            code="row_gone",
            remedy="Insert the row again yourself, or discard the edit.",
        )
    row = t.state_of(present)
    if op in "IR" and held is None:
        insert_again(store, t, key)
    elif held is None or held:
        row |= update_again(store, t, key, kept.edit, (row, held))
    if op == "U":
        values = [
            add(row[i], value) if t.increments >> i & 1 else value
            for i, value in zip(columns, values, strict=True)
        ]
    if columns:
        store.execute(t.update(columns), (*key, *values))


def _take_hidden(store: Store, t: Statements, key: Key) -> list[Value] | None:
    """The row as it is hidden with what was written into it since, which goes with the insert from now on: it
    would be another row otherwise, that takes its key. None if it is not, or a push in flight covers that."""
    overlay = Overlay(store)
    image = overlay.parked(t, key)
    if image is None or not all(map(is_sound, image)) or store.row("SELECT 1 FROM _sync_outbox") is not None:
        return None
    store.execute(t.forget, key)
    overlay.unpark(t, [key])
    return image


def _refuse_recovering(store: Store) -> None:
    if store.state().recovery is not None:
        raise UsageError(
            "the edit cannot be put back: the file is finding its place at the hub again, and until then its"
            " rows show what was rejected",
            code="retry_refused",
            remedy="Sync first, then retry the edit.",
        )


def newest_before_recovery(store: Store) -> int | None:
    """The newest rejected edit from before the recovery that is under way; None if none is."""
    number: int | None = json.loads(store.state().recovery or "{}").get("rejected")
    return number


def _refuse_shown(store: Store, number: int, code: str) -> None:
    """Until the file is filled again it shows such a row, and what is written into it belongs to the edit."""
    before = newest_before_recovery(store)
    if before is not None and number > before and code in (KEY_TAKEN, PARENT_REJECTED):
        raise UsageError(
            "the edit cannot be discarded yet: the file is finding its place at the hub again, and until then"
            " its rows show what was rejected",
            code="retry_refused",
            remedy="Sync first, then discard the edit.",
        )


def _report(device: Device, row: tuple[Any, ...]) -> RejectedEdit:
    number, n, key, op, edit, code, detail, remedy, parent, at, push = row
    t, plain = device.tables.get(n), unpack(edit)
    called = {} if t is None else {i: column.name for i, column in t.table.values.items()}
    names = [called.get(i, kept) for i, kept in zip(plain["columns"], plain["names"], strict=True)]
    above = None if parent is None else unpack(parent)[:2]
    return RejectedEdit(
        id=number,
        table=plain["table"] if t is None else t.table.name,
        key=tuple(unpack(key)),
        op=op,
        values=dict(zip(names, plain["values"], strict=False)),
        base=dict(zip(names, plain["base"], strict=False)),
        code=code,
        detail=detail,
        remedy=remedy,
        parent=None if above is None else (_called(device, above[0]), tuple(above[1])),
        at=at,
        push=push,
        local=meant(plain),
        own=plain.get("own", {}),
    )


def _called(device: Device, n: int | str) -> str:
    """The name of a table that is known by its number, or by its name."""
    table = None if isinstance(n, str) else device.known(n)
    return str(n) if table is None else table.name
