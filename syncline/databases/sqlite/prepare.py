"""`init`: Syncline's own tables and the capture triggers; and what `load` reads back of them.

Everything happens in one transaction. A dry run is the same transaction, rolled back.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from syncline.databases.base import LAYOUT, TABLES, numbers_of, to_keep
from syncline.databases.base.logtable import columns_of, lose, widths
from syncline.databases.base.recorded import Recorded
from syncline.databases.base.tables import LOG_TABLES
from syncline.databases.sqlite import capture, careful, replaced
from syncline.databases.sqlite.dialect import DIALECT, ledger_of
from syncline.databases.sqlite.layout import Layout, Shape
from syncline.errors import NotPrepared
from syncline.hub.contract import Declared, Prepared, Renaming
from syncline.model.numbering import Renamed, beginning, named_now, renumbered
from syncline.model.schema import Schema, TableSchema
from syncline.sqlitekit.definition import waits_for_commit
from syncline.sqlitekit.installed import Triggers
from syncline.sqlitekit.renames import renamed_columns
from syncline.sqlitekit.sql import folded, quote
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
            return False if "suppressed" in _columns_of(self._connection, "_sync_hub") else None

    def renamed(self) -> Renaming | None:
        """SQLite writes the new names into the triggers itself."""
        before = self.in_force()
        if before is None:
            return None
        same = known_again(self._connection, capture.triggers_of(self._connection), before)
        return Renaming(before, named_now(before, same))


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
    found = capture.triggers_of(connection)
    same = known_again(connection, found, done.before).without(anew)
    done.schema = schema = renumbered(schema, beginning(done.before, anew, found.taken), same)
    _widen(connection, run, schema)
    if ledger.save_version(schema):
        done.statements.append(f"-- the schema is now the version {schema.fingerprint}")
    kept = ledger.before()
    declared = to_keep(numbers_of(schema, before, kept))
    if declared != kept:
        run("UPDATE _sync_hub SET kept_old = ?", declared)
    layout = load_layout(connection, found)
    _install(connection, run, layout, found, done)
    _retire(connection, run, layout, found, done)
    done.notes += _keyless(connection, layout)
    return done


def _own_tables(connection: sqlite3.Connection, run: Callable[..., None]) -> None:
    if SqlitePreparation(connection).found() is not None:
        return
    for statement in DIALECT.create((*LOG_TABLES, *TABLES)):
        run(statement)
    run(DIALECT.statement("first state", "ordered.sql"), LAYOUT, str(uuid.uuid4()))


def _widen(connection: sqlite3.Connection, run: Callable[..., None], schema: Schema) -> None:
    """The log has as many key and mask columns as the widest table needs; they have no type on purpose."""
    have = _columns_of(connection, "_sync_hub_log")
    for name in columns_of(schema):
        if name not in have:
            run(f"ALTER TABLE _sync_hub_log ADD COLUMN {name}")


def known_again(connection: sqlite3.Connection, found: Triggers, before: Schema | None) -> Renamed:
    """Tables and columns of the former schema by their present names, as far as the triggers tell."""
    tables, columns = {}, {}
    installed = _recorded(connection)
    for table in before.tables if before else ():
        ours = found.ours.get(table.number, ())
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
    connection: sqlite3.Connection, run: Callable[..., None], layout: Layout, found: Triggers, done: Prepared
) -> None:
    installed = _recorded(connection)
    recorded = _by_number(installed)
    for shape in layout.shapes.values():
        wanted, have = _wanted(shape), found.own(shape.n)
        before = recorded.get(shape.n, {})
        _define(connection, shape, installed)
        if wanted == have and not careful.outrun(found, shape):
            if before != wanted:  # SQLite wrote new names into them, which must not be taken for newer ones
                _record(connection, before, wanted)
            continue
        on = {one.name for one in found.on(shape.facts.name)}
        renewed = f"{'Renewed' if have else 'Installed'} capture on {shape.table.name}."
        if not before.keys() <= on:
            for statement in [capture.TICK.rstrip(";"), *lose(DIALECT)]:
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
        _record(connection, before, wanted)
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
    return dict(connection.execute("SELECT name, definition FROM _sync_hub_trigger"))


def _by_number(recorded: Mapping[str, str]) -> dict[int, dict[str, str]]:
    """What is recorded of triggers, by the number of their table."""
    found: dict[int, dict[str, str]] = {}
    for name, sql in recorded.items():
        n = capture.number_in(name)
        if n is not None:
            found.setdefault(n, {})[name] = sql
    return found


def _record(connection: sqlite3.Connection, before: Iterable[str], triggers: Mapping[str, str]) -> None:
    """Remember how the triggers of a table were installed, in place of what is recorded of it."""
    connection.executemany("DELETE FROM _sync_hub_trigger WHERE name = ?", [(name,) for name in before])
    connection.executemany("INSERT INTO _sync_hub_trigger VALUES (?, ?)", triggers.items())


def _retire(
    connection: sqlite3.Connection, run: Callable[..., None], layout: Layout, found: Triggers, done: Prepared
) -> None:
    gone = found.ours.keys() - layout.shapes.keys()
    left = {one.name: one.table for n in sorted(gone) for one in found.ours[n]}
    for name in left:
        run(f"DROP TRIGGER {name}")
    for number, before in _by_number(_recorded(connection)).items():
        if number not in layout.shapes:
            _record(connection, before, {})
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


def load_layout(connection: sqlite3.Connection, found: Triggers) -> Layout:
    """Read back what was prepared; NotPrepared if it was not."""
    hub, schema, before = SqlitePreparation(connection).last()
    (version,) = connection.execute("PRAGMA schema_version").fetchone()
    everything = read_tables(asking(connection))
    shapes = {
        table.number: Shape(table, before.get(table.number, ()), facts=_facts(everything, table))
        for table in schema.tables
    }
    keys, words = widths(_columns_of(connection, "_sync_hub_log"))
    refers = not all(waits_for_commit(table.ddl) for table in everything.values())
    outrun = [found.own(n) for n, one in shapes.items() if careful.outrun(found, one)]
    return Layout(hub, schema, shapes, everything, keys, words, version, refers, outrun)


def _facts(everything: dict[str, Table], table: TableSchema) -> Table:
    """NotPrepared if the table, or a column of it, is not there under its name."""
    facts = everything.get(folded(table.central_name))
    if facts is None:
        raise NotPrepared(
            f"{table.central_name}: the table takes part but is not there any more",
            remedy="Run: syncline init syncline.toml (bring the table back, or take it out of the file).",
        )
    present = {folded(column.name) for column in facts.columns}
    for column in table.columns:
        if folded(column.name) not in present:
            raise NotPrepared(f"{table.central_name}: the column {column.name} is not there any more")
    keyed = facts.known_by(table.key)
    if keyed is None:
        raise NotPrepared(
            f"{table.central_name}: it has no key any more, no unique index on {', '.join(table.key)}",
            remedy="Make it again, then run: syncline init syncline.toml.",
        )
    return keyed


def check_capture(found: Triggers, layout: Layout) -> None:
    """NotPrepared if a trigger is missing or was changed: its writes would be skipped (law L4)."""
    for shape in layout.shapes.values():
        if found.own(shape.n) != _wanted(shape):
            raise NotPrepared(
                f"the capture triggers of {shape.table.name} are not those that init installed;"
                " the table was altered or created anew"
            )


def _columns_of(connection: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in connection.execute(f"PRAGMA table_info({quote(table)})")}
