"""`init`: Syncline's own tables and the capture triggers; and what `load` reads back of them.

Everything happens in one transaction. A dry run is the same transaction, rolled back.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping

from syncline.databases.base import LAYOUT, numbers_of, to_keep
from syncline.databases.base.logtable import columns_of, widths
from syncline.databases.base.recorded import Recorded
from syncline.databases.base.text import statements
from syncline.databases.sqlite import capture, careful, replaced
from syncline.databases.sqlite.dialect import DIALECT, ledger_of
from syncline.databases.sqlite.layout import Layout, Shape
from syncline.errors import NotPrepared
from syncline.hub.contract import Declared, Prepared, Renaming
from syncline.model.numbering import Renamed, beginning, named_now, renumbered
from syncline.model.schema import Schema, TableSchema
from syncline.sqlitekit.definition import waits_for_commit
from syncline.sqlitekit.renames import renamed_columns
from syncline.sqlitekit.sql import quote
from syncline.sqlitekit.tables import Table, asking, read_tables


class SqlitePreparation(Recorded):
    """What is recorded in a file."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(ledger_of(connection))
        self._connection = connection

    def is_ours(self) -> bool | None:
        try:
            self._connection.execute("SELECT 1 FROM _sync_hub_versions LIMIT 1")
            return True
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", -1) != sqlite3.SQLITE_ERROR:
                raise
            return False if _columns_of(self._connection, "_sync_hub") else None

    def renamed(self) -> Renaming | None:
        """SQLite writes the new names into the triggers itself."""
        before = self.in_force()
        if before is None:
            return None
        return Renaming(before, named_now(before, known_again(self._connection, before)))


def prepare(
    connection: sqlite3.Connection, schema: Schema, before: Declared | None, anew: Collection[int] = ()
) -> Prepared:
    """Do it, inside the caller's transaction; `before` and `anew` as the contract says. Idempotent."""
    done = Prepared()

    def run(sql: str, *values: object) -> None:
        connection.execute(sql, values)
        done.statements.append(sql)

    _own_tables(connection, run)
    ledger = ledger_of(connection)
    done.before = ledger.in_force()
    same = known_again(connection, done.before).without(anew)
    done.schema = schema = renumbered(schema, beginning(done.before, anew), same)
    _widen(connection, run, schema)
    if ledger.save_version(schema):
        done.statements.append(f"-- the schema is now the version {schema.fingerprint}")
    kept = ledger.before()
    declared = to_keep(numbers_of(schema, before, kept))
    if declared != kept:
        run("UPDATE _sync_hub SET before = ?", declared)
    layout = load_layout(connection)
    _install(connection, run, layout, done)
    _retire(connection, run, layout, done)
    done.notes += _keyless(connection, layout)
    return done


def _own_tables(connection: sqlite3.Connection, run: Callable[..., None]) -> None:
    if SqlitePreparation(connection).found() is not None:
        return
    for statement in [*statements("syncline.databases.sqlite", "metadata.sql").values(), *DIALECT.create()]:
        run(statement)
    run("INSERT INTO _sync_hub (id, layout, hub) VALUES (1, ?, ?)", LAYOUT, str(uuid.uuid4()))


def _widen(connection: sqlite3.Connection, run: Callable[..., None], schema: Schema) -> None:
    """The log has as many key and mask columns as the widest table needs; they have no type on purpose."""
    have = _columns_of(connection, "_sync_hub_log")
    for name in columns_of(schema):
        if name not in have:
            run(f"ALTER TABLE _sync_hub_log ADD COLUMN {name}")


def known_again(connection: sqlite3.Connection, before: Schema | None) -> Renamed:
    """Tables and columns of the former schema by their present names, as far as the triggers tell."""
    tables, columns = {}, {}
    installed, present = _recorded(connection), capture.triggers_of(connection)
    for table in before.tables if before else ():
        ours = [one for one in present if capture.number_in(one.name) == table.number]
        on = {one.table for one in ours if one.name in installed}
        if len(on) != 1:
            continue
        tables["", on.pop()] = table.number
        names: dict[str, str] = {}
        for one in ours:
            former = installed.get(one.name, one.sql)
            names |= (renamed_columns(former, one.sql) or {}) if former != one.sql else {}
        columns[table.number] = {names.get(c.name, c.name): c.number for c in table.columns}
    return Renamed(tables, columns)


def kept_keys(connection: sqlite3.Connection) -> dict[str, tuple[str, ...]]:
    """What tables that take part were prepared with for a key, by the names that all have now."""
    found = SqlitePreparation(connection).renamed()
    return {} if found is None else {table.central_name: table.key for table in found.now.tables}


def _install(
    connection: sqlite3.Connection, run: Callable[..., None], layout: Layout, done: Prepared
) -> None:
    installed = _recorded(connection)
    for shape in layout.shapes.values():
        wanted, have = _wanted(shape), capture.own_triggers(connection, shape.n)
        before = {name: sql for name, sql in installed.items() if capture.number_in(name) == shape.n}
        _define(connection, shape, installed)
        if wanted == have and not careful.outrun(connection, shape):
            if before != wanted:  # SQLite wrote new names into them, which must not be taken for newer ones
                _record(connection, shape.n, wanted)
            continue
        on = {
            one.name
            for one in capture.triggers_of(connection)
            if one.table.lower() == shape.facts.name.lower()
        }
        renewed = f"{'Renewed' if have else 'Installed'} capture on {shape.table.name}."
        if not before.keys() <= on:
            for statement in capture.LOSE:
                run(statement)
            lost = (
                f"The capture of {shape.table.name} was missing: every device compares itself with the centre"
                " at its next sync."
            )
            done.notes.append(lost)
            done.amiss.append(lost)
        elif before == wanted:  # they were altered, and not because the table was
            done.amiss.append(renewed)
        for name in have:
            run(f"DROP TRIGGER {name}")
        for sql in wanted.values():
            run(sql)
        _record(connection, shape.n, wanted)
        done.notes.append(renewed)


def _define(connection: sqlite3.Connection, shape: Shape, installed: Mapping[str, str]) -> None:
    """Remember what table the capture is made for, so that it notices that it is another one."""
    name, ddl = capture.definition_name(shape.n), shape.facts.ddl
    if installed.get(name) != ddl:
        connection.execute("INSERT OR REPLACE INTO _sync_hub_trigger VALUES (?, ?)", (name, ddl))


def _wanted(shape: Shape) -> dict[str, str]:
    """Name and SQL of every trigger that the table needs."""
    return capture.triggers(shape) | replaced.triggers(shape)


def _recorded(connection: sqlite3.Connection) -> dict[str, str]:
    """Name and SQL of the capture triggers as they were installed, and of the tables they were made for."""
    return dict(connection.execute("SELECT name, sql FROM _sync_hub_trigger"))


def _record(connection: sqlite3.Connection, n: int, triggers: Mapping[str, str]) -> None:
    """Remember how the triggers of a table were installed."""
    prefix = capture.prefix(n)
    connection.execute("DELETE FROM _sync_hub_trigger WHERE substr(name, 1, ?) = ?", (len(prefix), prefix))
    connection.executemany("INSERT INTO _sync_hub_trigger VALUES (?, ?)", triggers.items())


def _retire(connection: sqlite3.Connection, run: Callable[..., None], layout: Layout, done: Prepared) -> None:
    gone = (None, *layout.shapes)
    left = {t.name: t.table for t in capture.triggers_of(connection) if capture.number_in(t.name) not in gone}
    for name in left:
        run(f"DROP TRIGGER {name}")
    for number in {capture.number_in(name) for name in _recorded(connection)}:
        if number is not None and number not in layout.shapes:
            _record(connection, number, {})
    for table in dict.fromkeys(left.values()):
        done.notes.append(f"Removed capture from {table}, which takes part no longer.")


KEYLESS = "have no key (NULL) and stay here: give them one."
"""How a note on rows without a key ends."""


def _keyless(connection: sqlite3.Connection, layout: Layout) -> Iterator[str]:
    for shape in layout.shapes.values():
        nullable = [quote(column.name) for column in shape.table.keys if column.nullable]
        if nullable:
            where = " OR ".join(f"{name} IS NULL" for name in nullable)
            (count,) = connection.execute(f"SELECT count(*) FROM {shape.name} WHERE {where}").fetchone()
            if count:
                yield f"{count} rows of {shape.table.name} {KEYLESS}"


def load_layout(connection: sqlite3.Connection) -> Layout:
    """Read back what was prepared; NotPrepared if it was not."""
    hub, schema, before = SqlitePreparation(connection).last()
    (version,) = connection.execute("PRAGMA schema_version").fetchone()
    everything = read_tables(asking(connection))
    shape = {
        table.number: Shape(table, before.get(table.number, ()), facts=_facts(everything, table))
        for table in schema.tables
    }
    keys, words = widths(_columns_of(connection, "_sync_hub_log"))
    refers = not all(waits_for_commit(table.ddl) for table in everything.values())
    return Layout(hub, schema, shape, everything, keys, words, version, refers)


def _facts(everything: dict[str, Table], table: TableSchema) -> Table:
    """NotPrepared if the table, or a column of it, is not there under its name."""
    facts = everything.get(table.central_name.lower())
    if facts is None:
        raise NotPrepared(
            f"{table.central_name}: the table takes part but is not there any more",
            remedy="Run: syncline init syncline.toml (bring the table back, or take it out of the file).",
        )
    present = {column.name.lower() for column in facts.columns}
    for column in table.columns:
        if column.name.lower() not in present:
            raise NotPrepared(f"{table.central_name}: the column {column.name} is not there any more")
    keyed = facts.known_by(table.key)
    if keyed is None:
        raise NotPrepared(
            f"{table.central_name}: it has no key any more, no unique index on {', '.join(table.key)}",
            remedy="Make it again, then run: syncline init syncline.toml.",
        )
    return keyed


def check_capture(connection: sqlite3.Connection, layout: Layout) -> None:
    """NotPrepared if a trigger is missing or was changed: its writes would be skipped (law L4)."""
    for shape in layout.shapes.values():
        if capture.own_triggers(connection, shape.n) != _wanted(shape):
            raise NotPrepared(
                f"the capture triggers of {shape.table.name} are not those that init installed;"
                " the table was altered or created anew"
            )


def _columns_of(connection: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in connection.execute(f"PRAGMA table_info({quote(table)})")}
