"""From a SQLite database's own catalogue to the portable schema, refusing aloud what cannot take part."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace

from syncline.databases.base.reflection import refuse_wide
from syncline.errors import SchemaError
from syncline.model.schema import MOST_COLUMNS, ColumnSchema, ForeignKey, Schema, TableSchema, arrange
from syncline.sqlitekit.tables import Table, read_table, table_names

_RAISE_ROLLBACK = re.compile(r"\bRAISE\s*\(\s*ROLLBACK\b", re.IGNORECASE)


def reflect(connection: sqlite3.Connection, wanted: Sequence[str] | None) -> Schema:
    """The tables named, or all that can take part; SchemaError names every one that cannot, and why."""
    ddl = table_names(connection.execute)
    found = {name.lower(): read_table(connection.execute, name, sql) for name, sql in ddl.items()}
    if wanted is None:
        _refuse_wide(found)
        return _everything(found)
    chosen: dict[str, Table] = {}
    trouble = []
    for name in wanted:
        table = found.get(name.lower())
        if table is None:
            trouble.append(f"{name}: {_absence(connection, name)}")
        else:
            chosen[name.lower()] = table
    for table in chosen.values():
        trouble.extend(f"{table.name}: {why}" for why in _obstacles(table, chosen, found))
    if trouble:
        raise SchemaError("; ".join(trouble))
    _refuse_wide(chosen)
    return arrange(_portable(table, chosen) for table in chosen.values())


def _refuse_wide(tables: Mapping[str, Table]) -> None:
    refuse_wide({table.name: len(table.columns) for table in tables.values()}, MOST_COLUMNS)


def _everything(found: dict[str, Table]) -> Schema:
    """All tables without an obstacle; leaving one out can be an obstacle to its children."""
    chosen = dict(found)
    while True:
        out = [name for name, table in chosen.items() if any(_obstacles(table, chosen, found))]
        if not out:
            return arrange(_portable(table, chosen) for table in chosen.values())
        for name in out:
            del chosen[name]


def _absence(connection: sqlite3.Connection, name: str) -> str:
    row = connection.execute(
        "SELECT type, sql FROM sqlite_master WHERE name = ? COLLATE NOCASE AND type IN ('table', 'view')",
        (name,),
    ).fetchone()
    if row is None:
        return "there is no such table"
    if row[0] == "view":
        return "is a view; name the tables behind it instead"
    return "is a virtual, shadow or system table; only ordinary tables can take part"


def _obstacles(table: Table, chosen: dict[str, Table], found: dict[str, Table]) -> list[str]:
    """Why a table cannot take part together with the chosen ones."""
    why = []
    if not table.key:
        why.append("has no primary key; create it anew with one (a unique index is not enough)")
    for name, sql in table.triggers:
        if _RAISE_ROLLBACK.search(sql):
            why.append(
                f"its trigger {name} uses RAISE(ROLLBACK), which would undo other rows; use RAISE(ABORT)"
            )
    for key in table.foreign_keys:
        parent = found.get(key.parent.lower())
        if parent is None:
            why.append(f"its foreign key points at {key.parent}, which is not an ordinary table here")
        elif key.parent.lower() not in chosen:
            why.append(
                f"its foreign key points at {parent.name}, which does not take part; add that table too"
            )
        elif not _is_target(parent, _targets(key, parent), len(key.columns)):
            why.append(f"its foreign key points at columns of {parent.name} that are not a key of it")
    return why


def _targets(key: ForeignKey, parent: Table) -> tuple[str, ...]:
    """The parent's columns; without any, a foreign key means the parent's primary key."""
    if not key.parent_columns:
        return tuple(name for name, _ in parent.key)
    return tuple(_spelled(parent, name) for name in key.parent_columns)


def _spelled(table: Table, name: str) -> str:
    try:
        return table.column(name).name
    except KeyError:
        return name


def _is_target(parent: Table, targets: tuple[str, ...], width: int) -> bool:
    if not targets or len(targets) != width:
        return False
    wanted = set(targets)
    if wanted == {name for name, _ in parent.key}:
        return True
    return any({c for c, _ in u.columns} == wanted and not u.partial for u in parent.uniques)


def _portable(table: Table, chosen: dict[str, Table]) -> TableSchema:
    key = tuple(name for name, _ in table.key)
    return TableSchema(
        name=table.name,
        columns=tuple(
            ColumnSchema(
                column.name,
                "any",
                column.declared,
                nullable=not (column.notnull or (column.key and (table.rowid_key or table.without_rowid))),
                default=column.default,
                defaulted=column.default is not None or (table.rowid_key and bool(column.key)),
            )
            for column in table.columns
            if not column.generated
        ),
        key=key,
        foreign_keys=tuple(_resolved(table, fk, chosen[fk.parent.lower()]) for fk in table.foreign_keys),
        uniques=tuple(
            tuple(name for name, _ in unique.columns if name is not None)
            for unique in table.uniques
            if not unique.primary and not unique.partial and all(name for name, _ in unique.columns)
        ),
        central_name=table.name,
        ddl=table.ddl,
        indexes=table.indexes,
        exact=not table.triggers,
    )


def _resolved(table: Table, key: ForeignKey, parent: Table) -> ForeignKey:
    return replace(
        key,
        columns=tuple(_spelled(table, name) for name in key.columns),
        parent=parent.name,
        parent_columns=_targets(key, parent),
    )
