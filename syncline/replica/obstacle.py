"""Which object of the application refuses a row of the centre: found by trying without it.

Everything is tried inside a savepoint that is undone. An index or trigger is named if the row can be
written once it is gone; what cannot be taken away (a CHECK, NOT NULL, a constraint inside CREATE TABLE)
SQLite names itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from syncline.errors import StoreConstraint, StoreObstacle, SynclineError
from syncline.model.naming import folded
from syncline.replica.attempt import REFUSED, Ignored
from syncline.replica.foreign import mismatches
from syncline.replica.overlay import Key
from syncline.replica.postponed import needing
from syncline.replica.statements import Statements
from syncline.replica.store import quote
from syncline.replica.work import Reason, Work
from syncline.sqlitekit.errors import said_by
from syncline.sqlitekit.triggers import Trigger
from syncline.sqlitekit.undecoded import is_text

Try = Callable[[], object]
"""Writes or removes the row in question, or raises one of `REFUSED`."""

MOST = 10
"""Objects that are looked for of one row."""


class _Undo(Exception):
    pass


def reason_of(work: Work, t: Statements, key: Key, error: SynclineError, again: Try) -> Reason:
    """Why the file refuses this row. `again` does what was refused with `error`."""
    found = list(dict.fromkeys(_objects(work, t, error, again)))
    return reason_for(t, key, ", ".join(found) or "a constraint", error)


def reason_for(t: Statements, key: Key, named: str, error: SynclineError) -> Reason:
    """The sentence about a row that these objects refuse."""
    said = text_of(error)
    what = "ignores" if isinstance(error, Ignored) else "refuses"
    where = f"table {t.table.name}, key {list(key)!r}"
    return Reason(
        named, f"{where}: {named} of this file {what} what the centre has" + (f": {said}" if said else "")
    )


def reason_behind(t: Statements, key: Key, other: Key, reason: Reason) -> Reason:
    """The sentence about a row that wants a unique value of another one, which waits for this reason."""
    wants = f"it wants a value of the row with the key {list(other)!r}, which waits ({reason.object})"
    return Reason(reason.object, f"table {t.table.name}, key {list(key)!r}: {wants}")


def text_of(error: SynclineError) -> str:
    """What SQLite itself said, without the path of the file."""
    return said_by(error.__cause__) if error.__cause__ else error.detail


def _objects(work: Work, t: Statements, error: SynclineError, again: Try) -> Iterator[str]:
    """Take away one object after the other until the row can be written."""
    store, current = work.store, error
    try:
        with store.savepoint():
            for _ in range(MOST):
                found = _first(work, t, current, again)
                if found is None:
                    yield from _as_said(current)
                    if isinstance(current, StoreObstacle):
                        keys = mismatches(store, t)
                        yield from (f"foreign key of {name} to {key.parent}" for name, key in keys)
                    break
                name, sql = found
                yield name
                store.execute(sql)
                following = _outcome(work, again)
                if following is None:
                    break
                current = following
            raise _Undo
    except _Undo:
        pass


def _first(work: Work, t: Statements, error: SynclineError, again: Try) -> tuple[str, str] | None:
    """An object that can be taken away, whose absence makes a difference; and how."""
    for name, sql in [*_indexes(work, t), *_triggers(work, t)]:
        try:
            with work.store.savepoint():
                work.store.execute(sql)
                outcome = _outcome(work, again)
                if outcome is None or text_of(outcome) != text_of(error):
                    raise _Undo
        except _Undo:
            return name, sql
    return None


def _outcome(work: Work, again: Try) -> SynclineError | None:
    """What comes of a try, which is undone."""
    try:
        with work.store.savepoint():
            again()
            raise _Undo
    except _Undo:
        return None
    except REFUSED as error:
        return error


def _as_said(error: SynclineError) -> Iterator[str]:
    """An object that SQLite names: `CHECK constraint failed: positive`, `NOT NULL constraint failed: t.c`."""
    if isinstance(error, StoreConstraint) and error.kind in ("check", "not_null", "unique", "datatype"):
        said = text_of(error)
        kind, _, what = said.partition(" constraint failed: ")
        yield f"{kind} ({what})" if what else said


def _indexes(work: Work, t: Statements) -> list[tuple[str, str]]:
    """The indexes of the table that were made by CREATE INDEX, those that tell rows apart first. None that a
    foreign key needs: without it no row can be written."""
    rows = work.store.described(
        "SELECT l.name, l.'unique' FROM pragma_index_list(?) l WHERE l.origin = 'c' ORDER BY l.'unique' DESC",
        (t.table.name,),
    )
    return [
        (f"{'unique ' if only else ''}index {name}", f"DROP INDEX {quote(name)}")
        for name, only in rows
        if is_text(name) and not (only and any(needing(work.store, name)))
    ]


def _triggers(work: Work, t: Statements) -> list[tuple[str, str]]:
    """The application's triggers that fire, those of the table first."""
    mine = [one for one in work.triggers if one.on == folded(t.table.name)]
    others = [one for one in work.triggers if one not in mine]
    return [
        (f"trigger {one.name}", f"DROP TRIGGER {quote(one.name)}") for one in _still(work, [*mine, *others])
    ]


def _still(work: Work, triggers: Sequence[Trigger]) -> list[Trigger]:
    there = {
        name for (name,) in work.store.described("SELECT name FROM sqlite_master WHERE type = 'trigger'")
    }
    return [one for one in triggers if one.name in there and is_text(one.name)]
