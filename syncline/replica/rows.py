"""Writing the hub's rows in sets, and what becomes of a row that finds no place.

What cannot be written at once is held, and tried again when everything else has been learned (`show_held`):
rows that trade unique values then do so together (`replica.trade`). What stands in the way of those that
are left is a pending edit of another row (law L6: pending edits stay on top), or an object of the
application's own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial

from syncline.errors import SynclineError
from syncline.model.values import Value
from syncline.replica.attempt import REFUSED, Refusals, attempt, halve, try_set, write_set
from syncline.replica.gathered import can_gather, gather, is_gathering
from syncline.replica.obstacle import reason_behind, reason_for, reason_of, text_of
from syncline.replica.overlay import Key
from syncline.replica.owners import Rows, following, owners, wholes
from syncline.replica.statements import Statements
from syncline.replica.trade import is_clash, is_traded, trade
from syncline.replica.work import Work

State = dict[int, Value]


def write_rows(
    work: Work, t: Statements, columns: Sequence[int], rows: Sequence[list[Value]], gathers: bool = False
) -> int:
    """Write rows of one column set: whole ones are inserted or updated, partial ones updated. Those that find
    no place, and those of which something is held already, wait for `show_held`. How many are written.

    `gathers`: many may wait for others that come, until `gathered.settle`; they have no pending edits."""
    if t.folds and t.is_whole(columns):
        rows = _without_doubles(work, t, columns, rows)
    for row in rows if work.pinned else ():
        work.pin(t, tuple(row[: t.arity]), dict(zip(columns, row[t.arity :], strict=True)))
    if work.held.get(t.n):
        rows = _without_held(work, t, columns, rows)
    if gathers and is_gathering(work, t, columns):
        gather(work, t, columns, rows)
        return 0
    error = try_set(work, t, columns, rows)
    if error is not None and is_clash(error) and gathers and can_gather(work, t, columns, rows):
        gather(work, t, columns, rows)
        return 0
    refused = {} if error is None else _find_place(work, t, columns, rows, error)
    for i in refused:
        work.hold(t, tuple(rows[i][: t.arity]), dict(zip(columns, rows[i][t.arity :], strict=True)))
    return len(rows) - len(refused)


def _write(work: Work, t: Statements, columns: Sequence[int], rows: Sequence[list[Value]]) -> Refusals:
    """Try them as they are, then one way or another."""
    error = try_set(work, t, columns, rows)
    return {} if error is None else _find_place(work, t, columns, rows, error)


def _find_place(
    work: Work, t: Statements, columns: Sequence[int], rows: Sequence[list[Value]], error: SynclineError
) -> Refusals:
    """If a unique value is taken: write them as a trade, if all that is wanted is among them, or without
    those that want what another row has."""
    if not is_clash(error) or len(rows) == 1:
        return halve(work, t, columns, rows)
    places = {tuple(row[: t.arity]): i for i, row in enumerate(rows)}
    states = {key: dict(zip(columns, rows[i][t.arity :], strict=True)) for key, i in places.items()}
    waits = owners(work, t, wholes(work, t, states))
    if all(key in places for wanted in waits.values() for key in wanted):
        return {} if is_traded(work, t, columns, rows) else halve(work, t, columns, rows)
    waiting = {places[key] for key in waits}
    rest = [i for i in range(len(rows)) if i not in waiting]
    refused = attempt(work, t, columns, [rows[i] for i in rest])
    return dict.fromkeys(waiting, error) | {rest[i]: other for i, other in refused.items()}


def write_row(work: Work, t: Statements, key: Key, state: State) -> None:
    """`write_rows`, of one."""
    if state or not t.values:
        write_rows(work, t, tuple(state), [[*key, *state.values()]])


def _without_doubles(
    work: Work, t: Statements, columns: Sequence[int], rows: Sequence[list[Value]]
) -> Sequence[list[Value]]:
    """Hold the rows whose key the file takes for that of another row with pending edits ('a' and 'A')."""
    doubles = set(work.overlay.doubles(t, [tuple(row[: t.arity]) for row in rows]))
    for i in doubles:
        work.hold(t, tuple(rows[i][: t.arity]), dict(zip(columns, rows[i][t.arity :], strict=True)))
    return [row for i, row in enumerate(rows) if i not in doubles]


def _without_held(
    work: Work, t: Statements, columns: Sequence[int], rows: Sequence[list[Value]]
) -> Sequence[list[Value]]:
    """Add to what is held of a row what has come of it now."""
    free = []
    for row in rows:
        key = tuple(row[: t.arity])
        if work.is_held(t, key):
            work.hold(t, key, dict(zip(columns, row[t.arity :], strict=True)))
        else:
            free.append(row)
    return free


# What is held ----------------------------------------------------------------------------------------------


def show_rows(work: Work, t: Statements, keys: Sequence[Key]) -> int:
    """Try to write what is held of these rows, none of which has pending edits; how many are written."""
    shown = 0
    refused: dict[Key, SynclineError] = {}
    if t.folds:
        doubles = set(work.overlay.doubles(t, keys))
        keys = [key for i, key in enumerate(keys) if i not in doubles]
    for columns, some in _by_columns(work, t, keys).items():
        rows = [[*key, *(work.held[t.n][key] or {}).values()] for key in some]
        failed = _write(work, t, columns, rows)
        refused |= {some[i]: error for i, error in failed.items()}
        shown += _release(work, t, [key for i, key in enumerate(some) if i not in failed])
    clashing = _wholes(work, t, [key for key, error in refused.items() if is_clash(error)])
    if clashing:
        blocked = trade(work, t, clashing, refused)
        shown += _release(work, t, [key for key in clashing if key not in blocked])
        refused = {key: blocked.get(key, error) for key, error in refused.items()
                   if key not in clashing or key in blocked}  # fmt: skip
    _explain(work, t, refused)
    return shown


def _by_columns(work: Work, t: Statements, keys: Sequence[Key]) -> dict[tuple[int, ...], list[Key]]:
    found: dict[tuple[int, ...], list[Key]] = {}
    for key in keys:
        found.setdefault(tuple(work.held[t.n][key] or ()), []).append(key)
    return found


def _release(work: Work, t: Statements, keys: Sequence[Key]) -> int:
    for key in keys:
        work.release(t, key)
        work.reasons.pop((t.n, key), None)
    work.count_written(t, len(keys))
    return len(keys)


def _wholes(work: Work, t: Statements, keys: Sequence[Key]) -> Rows:
    """Held rows with all their value columns, as they are to be."""
    return wholes(work, t, {key: work.held[t.n][key] or {} for key in keys})


def explain_edited(work: Work, t: Statements, keys: Sequence[Key]) -> None:
    """Note why rows with pending edits cannot take what else the hub has of them."""
    refused: dict[Key, SynclineError] = {}
    for key in keys:
        try:
            with work.store.savepoint():
                _write_held(work, t, key)
        except REFUSED as error:
            refused[key] = error.with_traceback(None)
    _explain(work, t, refused)


def _write_held(work: Work, t: Statements, key: Key) -> None:
    state = work.held[t.n][key] or {}
    write_set(work, t, tuple(state), [[*key, *state.values()]])


def _explain(work: Work, t: Statements, refused: dict[Key, SynclineError]) -> None:
    """Note what of the application's refuses these rows, unless it is pending edits that stand in the way."""
    clashing = [key for key, error in refused.items() if is_clash(error)]
    waits = owners(work, t, _wholes(work, t, clashing))
    hidden = _behind_edits(work, t, waits, refused)
    for key in refused:
        work.reasons.pop((t.n, key), None)
    if not work.complete:
        hidden |= set(clashing)
    found = {key: error for key, error in refused.items() if key not in hidden}
    behind = {key for key in found if not waits.get(key, set()).isdisjoint(found)}
    _name(work, t, {key: error for key, error in found.items() if key not in behind})
    _name_behind(work, t, {key: waits[key] for key in behind})
    _name(work, t, {key: found[key] for key in behind if (t.n, key) not in work.reasons})


def _name(work: Work, t: Statements, refused: dict[Key, SynclineError]) -> None:
    """Note the objects that refuse these rows: one look at each kind of refusal."""
    known: dict[str, str] = {}
    for key, error in refused.items():
        said = text_of(error)
        if said in known:
            work.reasons[t.n, key] = reason_for(t, key, known[said], error)
        else:
            work.reasons[t.n, key] = reason_of(work, t, key, error, partial(_write_held, work, t, key))
            known[said] = work.reasons[t.n, key].object


def _name_behind(work: Work, t: Statements, waits: Mapping[Key, set[Key]]) -> None:
    """Note of the rows that want a value of one which is refused that they wait with it, and so on."""
    named = {other for others in waits.values() for other in others if (t.n, other) in work.reasons}
    for key, owner in following(named, waits):
        work.reasons[t.n, key] = reason_behind(t, key, owner, work.reasons[t.n, owner])


def _behind_edits(
    work: Work, t: Statements, waits: Mapping[Key, set[Key]], refused: Collection[Key]
) -> set[Key]:
    """Those of the refused rows that want a value of one with pending edits, or of one that wants such a
    value itself. `waits`: whose values rows want."""
    others = list(set[Key]().union(*waits.values()))
    found = {others[i] for i in work.overlay.contested(t, others)}
    for other in others:  # kept for the sake of an edit, as a parent is
        if other not in refused and work.is_held(t, other) and (t.n, other) not in work.reasons:
            found.add(other)
    return found.union(key for key, _ in following(found, waits))


def show_row(work: Work, t: Statements, key: Key, image: Sequence[Value]) -> bool:
    """Put a hidden row with pending edits back, whole. False: another row stands in its way, or an object
    of the application's."""
    if (t.n, key) in work.pinned:
        return False
    row = [*key, *image]
    error = try_set(work, t, list(t.values), [row])
    if error is None:
        return True
    (theirs,) = owners(work, t, {key: list(image)}).values() or [set()]
    held = _wholes(work, t, [other for other in theirs if _waits(work, t, other)])
    errors = dict.fromkeys([key, *held], error)
    if not held or trade(work, t, {key: list(image), **held}, errors):
        return False
    _release(work, t, list(held))
    return True


def _waits(work: Work, t: Statements, key: Key) -> bool:
    """Whether something else of this row is to be shown, so that it may have to give something up."""
    return work.is_held(t, key) and work.held[t.n][key] is not None and not work.overlay.is_pending(t, key)
