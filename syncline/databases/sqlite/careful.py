"""Writes that can have side effects on their own table, through triggers or cascades that come back to it.

SQLite has no variable that a connection sets and a trigger reads, and a trigger does not know whether another
one runs it. A value in a table tells the capture triggers to be quiet, for whatever writes: so where there
can be side effects capture stays on, and the entries of the staged rows themselves are taken out afterwards:
the first of their keys, because our triggers fire before the user's, as long as they are newer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from syncline.databases.sqlite import stage
from syncline.databases.sqlite.foreign import children
from syncline.databases.sqlite.layout import Layout, Shape
from syncline.databases.sqlite.stage import Staged
from syncline.model.naming import folded
from syncline.sqlitekit.installed import Triggers

ACTIONS = {"CASCADE", "SET NULL", "SET DEFAULT"}


@dataclass(slots=True)
class Work:
    """One stage on its way. `careful`: writing it can have side effects on its own table, so capture
    stays on and the entries of the staged rows themselves are taken out afterwards."""

    staged: Staged
    statement: str | None
    careful: bool
    first: int = 0
    """The newest log entry before the stage's own; 0 unless `careful`, as the next."""
    mark: int = 0
    """The newest of its own."""

    @property
    def may_leave_out(self) -> bool:
        """Whether a trigger may keep a row from being written and leave others written, as far as its text
        shows: by RAISE(IGNORE) or RAISE(FAIL), or because it removes rows."""
        texts = [sql.lower() for _, sql in self.staged.shape.facts.triggers]
        return any(word in text for text in texts for word in ("ignore", "fail", "delete", "replace"))


def is_careful(layout: Layout, staged: Staged) -> bool:
    """Whether writing a stage can have side effects on its own table: through its triggers, or through
    foreign-key actions that lead back here or to any table with a trigger: what a trigger writes is anybody's
    guess. An insert has no such actions."""
    shape = staged.shape
    if shape.facts.triggers:
        return True
    seen: set[str] = set()
    frontier = [folded(shape.facts.name)] if staged.stage.form != "insert" else []
    while frontier:
        for child, key in children(layout, frontier.pop()):
            if not {key.on_delete.upper(), key.on_update.upper()} & ACTIONS:
                continue
            name = folded(child.name)
            if name == folded(shape.facts.name) or child.triggers:
                return True
            if name not in seen:
                seen.add(name)
                frontier.append(name)
    return False


def updated_instead(work: Work, row: str) -> str:
    """A query for the entry of an update that a trigger made of a staged delete: a soft delete."""
    shape = work.staged.shape
    keys = " AND ".join(f"u.k{number} = {row}.k{number}" for number in range(shape.arity))
    return (
        f"SELECT 1 FROM _sync_hub_log AS u WHERE u.seq > {work.mark}"
        f" AND u.tbl = {shape.n} AND u.op = 'U' AND {keys}"
    )


def mark_changes(connection: sqlite3.Connection, work: Work) -> None:
    """Before a careful update: which staged rows it will really change, and so capture will log."""
    staged = work.staged
    if not work.careful or work.staged.stage.form != "update":
        return
    shape = staged.shape
    tests = [
        shape.differs(shape.table.values[c].name, shape.values_of("t", [c])[0], f"s.c{i}")
        for i, c in enumerate(staged.stage.columns)
    ]
    stage.keep(
        connection,
        f"{staged.table}_changed",
        f"SELECT s.n FROM {staged.table} AS s CROSS JOIN {shape.name} AS t"
        f" WHERE {shape.matches()} AND ({' OR '.join(tests) or '0'})",
    )


def clean(connection: sqlite3.Connection, work: Work) -> None:
    """After a careful write: of what capture logged, take out the staged rows' own entries."""
    if not work.careful:
        return
    staged = work.staged
    shape = staged.shape
    later = f"_sync_hub_log AS l CROSS JOIN {staged.table} AS s"
    same = f"l.seq > {work.mark} AND l.tbl = {shape.n} AND {shape.matches('l')}"
    stage.index(connection, staged)
    if work.staged.stage.form == "delete":
        gone = f"NOT EXISTS (SELECT 1 FROM {shape.name} AS t WHERE {shape.matches()})"
        own = f"SELECT l.seq FROM {later} WHERE {same} AND {gone}"
        turned = f"l.seq > {work.first} AND l.seq <= {work.mark} AND EXISTS ({updated_instead(work, 's')})"
        own += (
            f" UNION ALL SELECT l.seq FROM {later} WHERE {turned} AND l.tbl = {shape.n}"
            f" AND {shape.matches('l')} AND NOT ({gone})"
        )
    elif work.staged.stage.form == "insert":
        own = f"SELECT min(l.seq) FROM {later} WHERE {same} AND l.op = 'I' GROUP BY s.n"
    else:
        changed = f"s.n IN (SELECT n FROM {staged.table}_changed)"
        own = f"SELECT min(l.seq) FROM {later} WHERE {same} AND l.op = 'U' AND {changed} GROUP BY s.n"
    connection.execute(f"DELETE FROM _sync_hub_log WHERE seq IN ({own})")
    if work.staged.stage.form == "update":
        connection.execute(f"DROP TABLE {staged.table}_changed")


def outrun(found: Triggers, shape: Shape) -> bool:
    """Whether a trigger of the user's is newer than ours: it would fire first, and be logged first."""
    users = {name for name, _ in shape.facts.triggers}
    on = found.on(shape.facts.name) if users else ()
    newest = max((one.number for one in on if one.name in users), default=0)
    return any(one.number < newest for one in found.ours.get(shape.n, ()))


def renew_order(connection: sqlite3.Connection, have: Mapping[str, str]) -> None:
    """Create these triggers of a table again, so that they are the newest: SQLite fires those first."""
    for name in have:
        connection.execute(f"DROP TRIGGER {name}")
    for sql in have.values():
        connection.execute(sql)
