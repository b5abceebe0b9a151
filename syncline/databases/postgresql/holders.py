"""Who holds what a push or an `init` waits for, in words for a person who can end it.

A row that is locked or changed by an open transaction has its number in `xmax`, and an open transaction
holds a lock on its number: that names the session, or the transaction that somebody prepared and forgot.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import psycopg
from psycopg.errors import LockNotAvailable

from syncline.databases.base import statements
from syncline.databases.base.findings import Holder
from syncline.databases.base.parents import places_of
from syncline.databases.postgresql.layout import Shape
from syncline.databases.postgresql.session import BRIEF, Session
from syncline.databases.postgresql.sql import array, qualified, queries, quote
from syncline.databases.postgresql.stage import Loaded
from syncline.model.finding import Finding
from syncline.model.schema import Schema

FEW = 3
"""Keys that are named of one table."""

WRITING = (
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
"""The locks of whoever does more to a table than to read it."""

READING = ("AccessShareLock", *WRITING)

AGAINST_READERS = ("AccessExclusiveLock",)
AGAINST_WRITERS = ("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock")

REMEDY = "Ask whose it is, or end it: SELECT pg_terminate_backend(session), or ROLLBACK PREPARED."


def holders(session: Session, xids: Iterable[str]) -> dict[str, str]:
    """Who holds rows with these numbers in their `xmax`, by the number. Not in it: who has ended."""
    found: dict[str, str] = {}
    for xid in dict.fromkeys(xids):
        rows = _open(session, [xid]) or _open(session, _members(session, xid))
        if rows:
            found[xid] = str(Holder(*rows[0][1:]))
    return found


def _open(session: Session, xids: Sequence[str]) -> list[list[Any]]:
    return session.run(queries("holders.sql")["of transactions"], array(list(xids))) if xids else []


def _members(session: Session, xid: str) -> list[str]:
    """The transactions that hold a row together; none if this is the number of a single one."""
    try:
        with session.savepoint():
            return [member for (member,) in session.run(queries("holders.sql")["members"], xid)]
    except psycopg.Error:
        return []


def of_rows(
    session: Session, loaded: Loaded, rows: Sequence[int] | None = None, *, but: Collection[int] = ()
) -> dict[int, list[str]]:
    """Of all or some staged rows those that exist, each with who holds it: nobody where that has ended."""
    asked = f"SELECT s.n, t.xmax::text FROM {statements.joined(loaded.shape)}"
    left = [(n, xid) for n, xid in session.run(*loaded.over(asked, rows)) if n not in but]
    known = holders(session, [xid for _, xid in left])
    return {n: [known[xid]] if xid in known else [] for n, xid in left}


def of_shape(session: Session, shape: Shape) -> list[str]:
    """Who holds a tracked table against others, or else who has written to it, or locked rows of it, or reads
    it: whoever wants the table waits for that one, and everybody else behind."""
    relids = session.value(queries("prepare.sql")["relids"], shape.n)
    return of_held(session, relids) or of_table(session, relids) or of_table(session, relids, reading=True)


def of_table(session: Session, relids: Sequence[int], *, reading: bool = False) -> list[str]:
    """Who has written to one of these tables, or locked rows of it; with `reading`, who has read it, too."""
    return _by_mode(session, relids, READING if reading else WRITING)


def of_held(session: Session, relids: Sequence[int]) -> list[str]:
    """Who holds one of these tables against those who write to it. Where somebody waits for such a lock, and
    everybody who comes behind waits with him: who keeps him waiting."""
    return _by_mode(session, relids, AGAINST_WRITERS)


def _by_mode(session: Session, relids: Sequence[int], modes: Sequence[str]) -> list[str]:
    rows = session.run(queries("holders.sql")["of relations"], list(relids), 0.0, list(modes))
    return list(dict.fromkeys(str(Holder(*row[1:-1])) for row in rows))


def held_tables(session: Session, modes: Sequence[str]) -> list[str]:
    """A clause for each table that takes part and is held, or waited for, by such locks: by whom."""
    return [
        _held_by(session, *held)
        for *held, _ in session.run(queries("holders.sql")["held"], list(modes), False)
    ]


def held_in(session: Session, context: str) -> list[str]:
    """The same of those tables of the user's, whether they take part or not, that are named where his code
    has failed."""
    found = session.run(queries("holders.sql")["held"], list(AGAINST_WRITERS), True)
    return [_held_by(session, *held) for *held, name in found if name in context]


def _held_by(session: Session, relid: int, name: str) -> str:
    return f"table {name} is held by {_who(session, relid)}"


def _who(session: Session, relid: int) -> str:
    """Who holds a table, or keeps those waiting who want it, in words."""
    found = of_held(session, [relid]) or of_table(session, [relid], reading=True)
    return found[0] if found else "another transaction"


def barred(session: Session, loaded: Loaded) -> dict[int, str]:
    """The rows that may point at a table which others hold, or that such a table may point at: why they wait.
    PostgreSQL opens the table for every new row, also for one that points nowhere."""
    stage, found = loaded.stage, dict[int, str]()
    own = session.value(queries("holders.sql")["oids"], [loaded.shape.name])[0]
    for outward, columns, other, name in session.run(queries("holders.sql")["barred"], own):
        said = f"table {name}, which is held by {_who(session, other)}"
        if outward and stage.form != "delete":
            places = places_of(loaded.shape.table, stage, columns) or ()
            why = f"may point at {said}"
            rows: Sequence[int] = loaded.live
            if stage.form == "update":
                rows = [n for n in rows if any(stage.rows[n][i] is not None for i in places)]
        elif not outward and (stage.form == "delete" or _alters(loaded, columns)):
            rows, why = loaded.live, f"may be pointed at by {said}"
        else:
            continue
        found |= dict.fromkeys(rows, why)
    return found


def _alters(loaded: Loaded, columns: Sequence[str]) -> bool:
    """Whether these rows are updates that set one of the columns."""
    values = loaded.shape.table.values
    return loaded.stage.form == "update" and any(values[i].name in columns for i in loaded.stage.columns)


def examine(session: Session, schema: Schema, seconds: float) -> list[Finding]:
    """What `doctor` says of transactions that hold rows for longer than a push waits."""
    sql = queries("holders.sql")
    tables = {relid: (qualified(*place), n) for relid, *place, n in session.run(sql["tracked"])}
    found = []
    for relid, *who, xids in session.run(sql["of relations"], list(tables), seconds, list(WRITING)):
        name, n = tables[relid]
        keys = schema.by_number[n].keys if n in schema.by_number else ()
        rows = _held(session, name, [quote(column.name) for column in keys], xids)
        found.append(Holder(*who).finding(name, rows, REMEDY))
    return found


def _held(session: Session, name: str, keys: Sequence[str], xids: Sequence[str]) -> list[str]:
    """Some keys of rows that these transactions hold, as JSON; none of a table that nobody can read now."""
    if not keys or not xids:
        return []
    row = f"json_build_array({', '.join(keys)})::text"
    statement = f"SELECT {row} FROM ONLY {name} WHERE xmax::text = ANY ($1::text[]) LIMIT {FEW + 1}"
    try:
        with session.savepoint():
            session.wait_for_locks(BRIEF)
            rows = [key for (key,) in session.run(statement, array(list(xids)))]
    except LockNotAvailable:
        return []
    return rows if len(rows) <= FEW else [*rows[:FEW], "..."]
