"""`init`: Syncline's own tables and the capture triggers; and what `load` reads back of them.

Everything happens in one transaction. A dry run is the same transaction, rolled back.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Callable, Iterable
from importlib.resources import files

from syncline.databases.base import LAYOUT, other_layout
from syncline.databases.sqlite import capture
from syncline.databases.sqlite.dialect import DIALECT
from syncline.databases.sqlite.layout import Layout, Tracked
from syncline.databases.sqlite.sql import NOW
from syncline.errors import NotPrepared, SchemaError
from syncline.hub.contract import Prepared
from syncline.model.masks import mask_columns, words_for
from syncline.model.schema import Schema, from_plain, to_plain
from syncline.sqlitekit.sql import numbered, quote
from syncline.sqlitekit.tables import Table, read_table, table_names


def prepare(connection: sqlite3.Connection, schema: Schema) -> Prepared:
    """Do it, inside the caller's transaction. Idempotent; says what was done."""
    done = Prepared()

    def run(sql: str, *values: object) -> None:
        connection.execute(sql, values)
        done.statements.append(sql)

    _own_tables(connection, run)
    _widen(connection, run, schema)
    _number(connection, run, schema)
    _store(connection, run, schema)
    layout = load_layout(connection)
    _install(connection, run, layout, done)
    _retire(connection, run, layout, done)
    _notes(connection, layout, done)
    return done


def _own_tables(connection: sqlite3.Connection, run: Callable[..., None]) -> None:
    if _columns_of(connection, "_sync_hub"):
        (layout,) = connection.execute("SELECT layout FROM _sync_hub").fetchone()
        if layout != LAYOUT:
            raise other_layout(layout)
        return
    for statement in [*_statements("metadata.sql"), *DIALECT.create()]:
        run(statement)
    run("INSERT INTO _sync_hub (id, layout, hub) VALUES (1, ?, ?)", LAYOUT, str(uuid.uuid4()))


def _statements(file: str) -> Iterable[str]:
    """The statements of a .sql file without their comments."""
    text = files("syncline.databases.sqlite").joinpath(file).read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    return [part.strip().rstrip(";") for part in "\n".join(lines).split(";\n") if part.strip()]


def _widen(connection: sqlite3.Connection, run: Callable[..., None], schema: Schema) -> None:
    """The log has as many key and mask columns as the widest table needs; they have no type on purpose."""
    keys = max((len(table.key) for table in schema.tables), default=1)
    words = max((words_for(len(table.values)) for table in schema.tables), default=1)
    have = _columns_of(connection, "_sync_hub_log")
    for name in [*numbered("k", keys), *mask_columns(words)]:
        if name not in have:
            run(f"ALTER TABLE _sync_hub_log ADD COLUMN {name}")


def _number(connection: sqlite3.Connection, run: Callable[..., None], schema: Schema) -> None:
    have = {name for (name,) in connection.execute("SELECT name FROM _sync_hub_table")}
    for table in schema.tables:
        if table.central_name not in have:
            run("INSERT INTO _sync_hub_table (name) VALUES (?)", table.central_name)


def _store(connection: sqlite3.Connection, run: Callable[..., None], schema: Schema) -> None:
    (now,) = connection.execute("SELECT fingerprint FROM _sync_hub").fetchone()
    if now != schema.fingerprint:
        run(
            f"INSERT INTO _sync_hub_schema (fingerprint, body, at) VALUES (?, ?, {NOW})",
            schema.fingerprint,
            json.dumps(to_plain(schema)),
        )
        run("UPDATE _sync_hub SET fingerprint = ?", schema.fingerprint)


def _install(
    connection: sqlite3.Connection, run: Callable[..., None], layout: Layout, done: Prepared
) -> None:
    for tracked in layout.tracked:
        wanted, have = capture.triggers(tracked), own_triggers(connection, tracked.n)
        if wanted == have and not outrun(connection, tracked):
            continue
        for name in have:
            run(f"DROP TRIGGER {name}")
        for sql in wanted.values():
            run(sql)
        done.notes.append(f"{'Renewed' if have else 'Installed'} capture on {tracked.table.name}.")


def _retire(connection: sqlite3.Connection, run: Callable[..., None], layout: Layout, done: Prepared) -> None:
    numbers = layout.by_number()
    for n, table in connection.execute("SELECT n, name FROM _sync_hub_table").fetchall():
        left = own_triggers(connection, n) if n not in numbers else {}
        for name in left:
            run(f"DROP TRIGGER {name}")
        if left:
            done.notes.append(f"Removed capture from {table}, which takes part no longer.")


def _notes(connection: sqlite3.Connection, layout: Layout, done: Prepared) -> None:
    for tracked in layout.tracked:
        nullable = [quote(column.name) for column in tracked.table.keys if column.nullable]
        if nullable:
            where = " OR ".join(f"{name} IS NULL" for name in nullable)
            (count,) = connection.execute(f"SELECT count(*) FROM {tracked.name} WHERE {where}").fetchone()
            if count:
                done.notes.append(
                    f"{count} rows of {tracked.table.name} have no key (NULL) and stay here: give them one."
                )


def renew_order(connection: sqlite3.Connection, tracked: Tracked) -> None:
    """Create the triggers of a table again, so that they are the newest: SQLite fires those first."""
    have = own_triggers(connection, tracked.n)
    for name in have:
        connection.execute(f"DROP TRIGGER {name}")
    for sql in have.values():
        connection.execute(sql)


def own_triggers(connection: sqlite3.Connection, n: int) -> dict[str, str]:
    """Syncline's triggers of table `n`: name and SQL."""
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    return {name: sql for name, sql in rows if name.startswith(capture.prefix(n))}


def outrun(connection: sqlite3.Connection, tracked: Tracked) -> bool:
    """Whether a trigger of the user's is newer than ours: it would fire first, and be logged first."""
    if not tracked.facts.triggers:
        return False
    rows = connection.execute("SELECT rowid, name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    users = {name for name, _ in tracked.facts.triggers}
    newest = max(rowid for rowid, name in rows if name in users)
    ours = [rowid for rowid, name in rows if name.startswith(capture.prefix(tracked.n))]
    return bool(ours) and newest > min(ours)


def load_layout(connection: sqlite3.Connection) -> Layout:
    """Read back what was prepared; NotPrepared if it was not."""
    hub, fingerprint = identity(connection)
    row = connection.execute(
        "SELECT body FROM _sync_hub_schema WHERE fingerprint = ? ORDER BY n DESC LIMIT 1", (fingerprint,)
    ).fetchone()
    if row is None:
        raise NotPrepared("the central database holds Syncline's tables but no schema")
    schema = from_plain(json.loads(row[0]))
    numbers = {name: n for n, name in connection.execute("SELECT n, name FROM _sync_hub_table")}
    (version,) = connection.execute("PRAGMA schema_version").fetchone()
    everything = {
        name.lower(): read_table(connection.execute, name, sql)
        for name, sql in table_names(connection.execute).items()
    }
    tracked = tuple(
        Tracked(position, numbers[table.central_name], table, _facts(everything, table.central_name))
        for position, table in enumerate(schema.tables)
    )
    have = _columns_of(connection, "_sync_hub_log")
    keys = sum(1 for name in have if name[0] == "k" and name[1:].isdigit())
    words = sum(1 for name in have if name.startswith("mask"))
    return Layout(hub, schema, tracked, everything, keys, words, version)


def _facts(everything: dict[str, Table], name: str) -> Table:
    try:
        return everything[name.lower()]
    except KeyError:
        raise SchemaError(
            f"{name}: the table takes part but is not there any more",
            remedy="Bring it back, or take it out of syncline.toml and run syncline init.",
        ) from None


def identity(connection: sqlite3.Connection) -> tuple[str, str]:
    """(hub id, fingerprint of the schema in force); NotPrepared if there is none of this layout."""
    try:
        row = connection.execute("SELECT layout, hub, fingerprint FROM _sync_hub").fetchone()
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", -1) != sqlite3.SQLITE_ERROR:
            raise
        raise NotPrepared("the central database holds no tables of Syncline") from error
    if row is None:
        raise NotPrepared("the central database holds tables of Syncline without a layout")
    if row[0] != LAYOUT:
        raise other_layout(row[0])
    return row[1], row[2]


def check_capture(connection: sqlite3.Connection, layout: Layout) -> None:
    """NotPrepared if a trigger is missing or was changed: its writes would be skipped (law L4)."""
    for tracked in layout.tracked:
        if own_triggers(connection, tracked.n) != capture.triggers(tracked):
            raise NotPrepared(
                f"the capture triggers of {tracked.table.name} are not those that init installed;"
                " the table was altered or created anew"
            )


def _columns_of(connection: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in connection.execute(f"PRAGMA table_info({quote(table)})")}
