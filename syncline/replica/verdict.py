"""Step 8 of the path: the hub's answer to the push in flight is entered into the file.

Covered edits leave the log, refused ones are kept with their reason, conflicts are noted. What the hub
has instead of what was sent (the overrides) is then learned like anything else it sends.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from syncline.merge.policies import KEY_TAKEN, PARENT_REJECTED
from syncline.model.values import Value
from syncline.protocol.body import chained, each_stamp, open_push
from syncline.protocol.body import sealed as sealed_chain
from syncline.protocol.messages import Group, Rejection, Verdict
from syncline.replica.beside import Beside, empty_taken
from syncline.replica.conflicts import keep_conflicts
from syncline.replica.device import Device
from syncline.replica.displaced import keep_uncovered
from syncline.replica.draft import sealed
from syncline.replica.dropped import TABLE_DROPPED
from syncline.replica.edge import inward_key, inward_rows
from syncline.replica.freeze import Frozen, clear_outbox, in_flight
from syncline.replica.identity import provenance, told
from syncline.replica.meant import note_meant
from syncline.replica.offer import offered_marks
from syncline.replica.overlay import Key, Pending, kind_of
from syncline.replica.refusal import refuse_children, refuse_hanging, refuse_later, refuse_taken
from syncline.replica.refused import as_here, reason_of
from syncline.replica.rejected import HELD, Made, newest_before_recovery, newest_rejected
from syncline.replica.retried import forget_retried, told_by
from syncline.replica.rows import write_row
from syncline.replica.sent import Marked, keep_sent
from syncline.replica.settled import COLUMNS, PUSH
from syncline.replica.statements import Statements
from syncline.replica.store import Store, pack, unpack
from syncline.replica.together import keep_with_row
from syncline.replica.whose import marks_in_flight, whose
from syncline.replica.work import Work

MANY = 1_000
"""Entries worth a look whether they are all."""

SentRow = tuple[str, list[int], list[Value]]
"""Operation, columns and values."""

Cuts = dict[int, int]
"""By table number: the last log entry that the push in flight covers."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """A row that is parked or held, and what the push in flight said of it."""

    t: Statements
    pending: Pending
    covered: str | None
    """The kind of the covered edits, None if there are none."""
    touched: int
    """The mask of the columns that the covered edits changed."""
    more: bool
    """Whether edits remain that the push did not cover."""


def settle(work: Work, verdict: Verdict, read: Callable[[], Sequence[Group]]) -> None:
    """Clear the push in flight. The caller learns the overrides afterwards: they are `read` here where what
    becomes of another row depends on them."""
    cuts: Cuts = dict(work.store.rows("SELECT n, seq FROM _sync_outbox_cut"))
    hidden = _hidden(work, cuts)
    overrides = read() if hidden or verdict.rejected else ()
    answered = {(g.table, tuple(row[: work.device.arity(g.table)])) for g in overrides for row in g.rows}
    before, work.rejected_before = newest_before_recovery(work.store), newest_rejected(work.store)
    work.shown_since = work.rejected_before if before is None else before
    rejected = _keep_rejected(work, verdict, cuts, answered)
    keep_conflicts(work.store, verdict.conflicts)
    flying = in_flight(work.store)
    kept = told(work.device, flying)
    if flying is not None:
        marks = _marks(work, flying, kept.stamps, cuts)
        told_now = Marked(kept.stamps, marks, rejected)
        keep_sent(work.store, verdict, told_now, work.device.limits().keep_sent)
        work.store.set_state(chain=sealed_chain(chained(kept.before, flying.digest), verdict.seal))
    if verdict.horizon:
        work.store.set_state(horizon=verdict.horizon)
    ours = work.device.tracked
    for n, cut in cuts.items():
        if n in ours:
            _clear(work.store, ours[n], cut)
    clear_outbox(work.store)
    work.device.told = None
    forget_retried(work.store, each_stamp(kept.stamps))
    work.overlay.forget()
    _refuse_later(work, verdict, refuse_later if cuts else refuse_children)
    empty_taken(work.device, work.rejected_before)
    if hidden:
        _uncover(work, hidden, overrides)


def _refuse_later(
    work: Work, verdict: Verdict, refuse: Callable[[Work, Statements, Sequence[Key]], None]
) -> None:
    """What was made since and points at a row whose key another's has is refused too: it would point at the
    other's row from now on. So is what points at a new row that was rejected because of that one, and what
    was written since into the row itself. `refuse`: `refuse_later`, or `refuse_children` where a push is
    offered again: others may follow with such rows."""
    for n, rejections in _by_table(_taken(work, verdict)).items():
        t = work.device.tables.get(n)
        if t is not None:
            with work.store.undecoded():  # nobody has looked yet whether all that was made since is text
                refuse(work, t, [inward_key(t, rejection.key) for rejection in rejections])
                here = [as_here(work.device, rejection) for rejection in rejections]
                refuse_taken(work, t, [tuple(one.key) for one in here if one.code == KEY_TAKEN])
                hanging = {tuple(one.key): reason_of(one) for one in here if one.code == PARENT_REJECTED}
                refuse_hanging(work, t, hanging)


def _taken(work: Work, verdict: Verdict) -> list[Rejection]:
    """The rejections of rows whose key another's has, and of the new rows that depend on one of those."""
    found = [rejection for rejection in verdict.rejected if rejection.code == KEY_TAKEN]
    below: dict[bytes, list[Rejection]] = {}
    for rejection in verdict.rejected if found else ():
        if rejection.code == PARENT_REJECTED and rejection.parent is not None:
            below.setdefault(pack(rejection.parent), []).append(rejection)
    sql = "SELECT 1 FROM _sync_rejected WHERE n = ? AND key = ? AND push IS ? AND op = 'I'"
    for rejection in found:  # which grows meanwhile
        for child in below.pop(pack([rejection.table, rejection.key]), ()):
            key = pack(as_here(work.device, child).key)
            if work.store.row(sql, (child.table, key, verdict.number)) is not None:
                found.append(child)
    return found


def _clear(store: Store, t: Statements, cut: int) -> None:
    """The covered entries leave the log. Many are removed quicker all at once than one by one."""
    if cut > MANY and store.row(f"SELECT 1 FROM {t.log} WHERE seq > ? LIMIT 1", (cut,)) is None:
        store.execute(f"DELETE FROM {t.log}")
    else:
        store.execute(f"DELETE FROM {t.log} WHERE seq <= ?", (cut,))


def _hidden(work: Work, cuts: Cuts) -> list[Hidden]:
    """The parked and held rows that the push covers; nearly always none."""
    keys: dict[int, set[Key]] = {n: set(rows) for n, rows in work.held.items()}
    for n, key in work.store.rows("SELECT n, key FROM _sync_parked"):
        keys.setdefault(n, set()).add(tuple(unpack(key)))
    found = []
    for n in keys.keys() & cuts.keys() & work.device.tables.keys():
        t = work.device.tables[n]
        keep_uncovered(work.device, t, keys[n], cuts[n])
        rows = work.overlay.pending(t, list(keys[n]))
        work.overlay.unpark(t, [row.key for row in rows if row.present is not None])
        for pending in rows:
            found.append(_split(t, pending, cuts[n]))
    return found


def _split(t: Statements, pending: Pending, cut: int) -> Hidden:
    before = [entry for entry in pending.entries if entry.seq <= cut]
    touched = 0
    for entry in before:
        touched |= entry.mask if entry.op == "U" else 0
    # What a REPLACE did was decided when the push was frozen: whether the row is there does not matter.
    covered = kind_of([entry.op for entry in before], absent=False)
    return Hidden(t, pending, covered, touched, len(before) < len(pending.entries))


def _uncover(work: Work, hidden: Sequence[Hidden], overrides: Sequence[Group]) -> None:
    """A parked row without further edits is shown as it was accepted, unless an override says how it is.
    What is held of a row goes where it was accepted otherwise, and turns into a delete with it."""
    answered = {
        (group.table, tuple(row[: work.device.tables[group.table].arity]))
        for group in overrides
        if group.table in work.device.tables
        for row in group.rows
    }
    for row in hidden:
        t, key = row.t, row.pending.key
        if row.covered is None:
            continue
        if work.is_held(t, key):
            _supersede(work, row)
        if row.pending.image is not None and not row.more:
            work.overlay.unpark(t, [key])
            if row.covered in "IRU" and (t.n, key) not in answered:
                write_row(work, t, key, t.state_of(row.pending.image))


def _supersede(work: Work, row: Hidden) -> None:
    """What was sent is newer than what is held; where it was not accepted an override follows."""
    held = work.release(row.t, row.pending.key)
    if row.covered in ("D", "-") or (row.covered == "U" and held is None):
        work.hold(row.t, row.pending.key, None)
    elif row.covered == "U" and held is not None:
        rest = {column: value for column, value in held.items() if not row.touched >> column & 1}
        if rest:
            work.hold(row.t, row.pending.key, rest)


def _keep_rejected(
    work: Work, verdict: Verdict, cuts: Cuts, answered: Collection[tuple[int, Key]]
) -> set[bytes]:
    """Keep every refused edit as it was sent, with what the row held before and the reason. Returns the
    stamps of those of which nothing was accepted. `answered`: the rows of which the hub says how they are."""
    found: set[bytes] = set()
    rejected = [as_here(work.device, rejection) for rejection in verdict.rejected]
    refused = {(rejection.table, tuple(rejection.key)): rejection for rejection in rejected}
    if not refused:
        return found
    sent = sent_rows(work.device, refused.keys())
    of_rows = _known(work, verdict) if not cuts else None
    leaving = {rejection.table for rejection in rejected if rejection.code == TABLE_DROPPED}
    unread: dict[tuple[int, Literal["U", "D"], tuple[int, ...]], list[list[Value]]] = {}
    for n, rejections in _by_table(refused.values()).items():
        is_known = bool(cuts) and n in work.device.tables  # what the rows held before
        keys, inserts = [tuple(rejection.key) for rejection in rejections], dict[Key, int]()
        beside = Beside(work.store, work.device.tables[n]) if n in work.device.tables else None
        for key, rejection, base in zip(keys, rejections, _bases(work, n, keys, cuts), strict=True):
            op, columns, values = sent.get((n, key), ("U", [], []))
            if op == "D":
                columns = _columns_of(work, n)
            if rejection.code == HELD and n in cuts and (n, key) not in answered:
                before = _as_before(key, op, base)
                unread.setdefault((n, *before[:2]), []).extend(before[2])
            if rejection.columns:
                op, columns, values = _picked(rejection.columns, columns, values)
            edit = columns, values, [base.get(i) for i in columns] if is_known else []
            if not rejection.columns or not _is_kept(work, rejection, edit):
                reason, number = reason_of(rejection), verdict.number
                stamps = _stamps(work, n, key, cuts) if of_rows is None else of_rows.get((n, key))
                part = COLUMNS if rejection.columns else PUSH if stamps is None else None
                if stamps is None:
                    stamps = provenance(work.device).stamps
                own = {} if beside is None or op not in "IR" else beside.values(key)
                why = reason, Made(number, stamps, part, own)
                kept = keep_with_row(work.device, (n, key), op, edit, why, work.shown_since)
                if op in "IR" and rejection.code in (KEY_TAKEN, PARENT_REJECTED):
                    inserts[key] = kept
                found.update(() if part is not None else each_stamp(stamps))
        if n in work.device.tables:
            note_meant(work.device, work.device.tables[n], inserts, leaving)
    parents_first = sorted(unread, key=lambda group: work.device.schema.rank[group[0]])
    work.unread = [
        Group(n, form, list(columns), unread[n, form, columns]) for n, form, columns in parents_first
    ]
    return found


def _as_before(
    key: Key, op: str, base: Mapping[int, Value]
) -> tuple[Literal["U", "D"], tuple[int, ...], list[list[Value]]]:
    """A row whose table others hold, as it was before the edit that came to nothing because of that, in the
    form of a group: form, columns, rows. What the hub has of it comes with a pull."""
    if base:
        columns = tuple(sorted(base))
        return "U", columns, [[*key, *(base[i] for i in columns)]]
    return "D", (), [] if op == "U" else [list(key)]


def _stamps(work: Work, n: int, key: Key, cuts: Cuts) -> bytes:
    """Those of the edits of a row that the push covers."""
    t = work.device.tables.get(n)
    if t is None:
        return b""
    (own,) = work.overlay.pending(t, [key])
    covered = [entry.seq for entry in own.entries if entry.seq <= cuts.get(n, 0)]
    sql = f"SELECT stamp FROM {t.log} WHERE seq = ?"
    return told_by(work.store, [work.store.value(sql, (seq,)) for seq in covered])


def _known(work: Work, verdict: Verdict) -> dict[tuple[int, Key], bytes]:
    """The stamps of the rejected rows of a push that is offered again, by table and key as the file has it,
    as far as they are known row by row."""
    stamps, marks = offered_marks(work.store)
    sent = [(rejection.table, tuple(rejection.key)) for rejection in verdict.rejected]
    known = whose(stamps, marks, lambda: (part[1:] for part in sealed(work.store)), (), set(sent))
    found = {}
    for (n, key), own in (known or {}).items():
        t = work.device.tables.get(n)
        found[n, key if t is None else inward_key(t, key)] = own
    return found


def _marks(work: Work, flying: Frozen, stamps: bytes, cuts: Cuts) -> bytes | None:
    """What stands beside the stamps that the push in flight has told; see `replica.whose`."""
    if not cuts:
        return offered_marks(work.store)[1]
    ours = {**work.device.tables, **work.device.aside}
    covered = [(ours[n], cut) for n, cut in sorted(cuts.items()) if n in ours]
    return marks_in_flight(work.store, flying, stamps, covered)


def _bases(work: Work, n: int, keys: Sequence[Key], cuts: Cuts) -> list[dict[int, Value]]:
    """What the rows held before; nothing of a table that takes part no longer."""
    t = work.device.tables.get(n)
    return [{} for _ in keys] if t is None else work.overlay.first_values(t, keys, cuts.get(n, 0))


def _columns_of(work: Work, n: int) -> list[int]:
    table = work.device.known(n)
    return [] if table is None else list(table.values)


def _picked(
    refused: Collection[int], columns: Sequence[int], values: Sequence[Value]
) -> tuple[str, list[int], list[Value]]:
    """What of a change was refused, where the rest was accepted: an edit of these columns alone."""
    pairs = [(i, value) for i, value in zip(columns, values, strict=False) if i in refused]
    return "U", [i for i, _ in pairs], [value for _, value in pairs]


def _is_kept(
    work: Work, rejection: Rejection, edit: tuple[Sequence[int], Sequence[Value], Sequence[Value]]
) -> bool:
    """Whether an edit of columns that are gone is kept already: a push that is offered again has it too, but
    not what they held before."""
    sql = "SELECT edit FROM _sync_rejected WHERE n = ? AND key = ?"
    found = (unpack(kept) for (kept,) in work.store.rows(sql, (rejection.table, pack(rejection.key))))
    known = (_sent(kept["columns"], kept["values"]) for kept in found)
    return not edit[0] or _sent(edit[0], edit[1]) in known


def _sent(columns: Sequence[int], values: Sequence[Value]) -> bytes:
    """What an edit writes, in a form that tells values from others that are only equal to them."""
    pairs = dict(zip(columns, values, strict=False))
    return pack([[column, pairs[column]] for column in sorted(pairs)])


def _by_table(rejections: Iterable[Rejection]) -> dict[int, list[Rejection]]:
    found: dict[int, list[Rejection]] = {}
    for rejection in rejections:
        found.setdefault(rejection.table, []).append(rejection)
    return found


def sent_rows(device: Device, wanted: Collection[tuple[int, Key]]) -> dict[tuple[int, Key], SentRow]:
    """Some rows of the push in flight."""
    found: dict[tuple[int, Key], SentRow] = {}
    for _, digest, body in sealed(device.store) if wanted else ():
        for group in open_push(body, digest):
            arity, t = device.arity(group.table), device.tables.get(group.table)
            for values in inward_rows(t, group.columns, group.rows):
                place = group.table, tuple(values[:arity])
                if place in wanted:
                    found[place] = group.op, group.columns, values[arity:]
    return found
