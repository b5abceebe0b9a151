"""What SQLite itself says about a table: columns, affinities, unique indexes, foreign keys, triggers."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from syncline.databases.sqlite.sql import quote
from syncline.model.schema import ForeignKey

OWN_PREFIXES = ("sqlite_", "_sync_")
_SHADOWS = (
    "data idx content docsize config segments segdir stat node parent rowid".split()
)  # of FTS3 to FTS5 and R*Tree


@dataclass(frozen=True, slots=True)
class Column:
    """`affinity` is INTEGER, TEXT, REAL, NUMERIC or '' (none: values keep the class they came in)."""

    name: str
    declared: str
    affinity: str
    notnull: bool
    default: str | None
    key: int
    generated: bool


@dataclass(frozen=True, slots=True)
class Unique:
    """A unique index: (column or None for an expression, collation) in order."""

    name: str
    columns: tuple[tuple[str | None, str], ...]
    partial: bool
    primary: bool


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the user's. `key` are the primary key's (column, collation); empty if there is none."""

    name: str
    ddl: str
    columns: tuple[Column, ...]
    key: tuple[tuple[str, str], ...]
    without_rowid: bool
    rowid_key: bool
    uniques: tuple[Unique, ...]
    foreign_keys: tuple[ForeignKey, ...]
    indexes: tuple[str, ...]
    triggers: tuple[tuple[str, str], ...]
    """The user's triggers: (name, SQL)."""

    def column(self, name: str) -> Column:
        """The column of that name, in any case; KeyError if there is none."""
        for column in self.columns:
            if column.name.lower() == name.lower():
                return column
        raise KeyError(name)


def affinity_of(declared: str) -> str:
    """The affinity of a declared type (sqlite.org/datatype3.html, 3.1); ANY counts as none (STRICT)."""
    upper = declared.upper()
    if "INT" in upper:
        return "INTEGER"
    if any(part in upper for part in ("CHAR", "CLOB", "TEXT")):
        return "TEXT"
    if not upper or "BLOB" in upper or upper == "ANY":
        return ""
    if any(part in upper for part in ("REAL", "FLOA", "DOUB")):
        return "REAL"
    return "NUMERIC"


def table_names(connection: sqlite3.Connection) -> dict[str, str]:
    """The user's ordinary tables and their DDL, by name. Virtual tables and what they shadow are left out."""
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name")
    tables = {name: sql for name, sql in rows if not name.lower().startswith(OWN_PREFIXES)}
    virtual = [name for name, sql in tables.items() if _is_virtual(sql)]
    shadows = {f"{name}_{suffix}" for name in virtual for suffix in _SHADOWS}
    return {name: sql for name, sql in tables.items() if name not in virtual and name not in shadows}


def _is_virtual(sql: str) -> bool:
    return sql.split(None, 2)[1].upper() == "VIRTUAL"


def read_table(connection: sqlite3.Connection, name: str, ddl: str) -> Table:
    """Everything the adapter needs to know about one table."""
    columns = tuple(_columns(connection, name))
    uniques = tuple(_uniques(connection, name))
    primary = next((unique for unique in uniques if unique.primary), None)
    key_names = [c.name for c in sorted((c for c in columns if c.key), key=lambda c: c.key)]
    collations = dict(primary.columns) if primary else {}
    without_rowid = primary is not None and not _has_rowid(connection, primary.name)
    return Table(
        name,
        ddl,
        columns,
        tuple((key, collations.get(key, "BINARY")) for key in key_names),
        without_rowid,
        bool(key_names) and primary is None,
        uniques,
        tuple(_foreign_keys(connection, name)),
        tuple(_texts(connection, "index", name)),
        tuple(_triggers(connection, name)),
    )


def _columns(connection: sqlite3.Connection, name: str) -> list[Column]:
    return [
        Column(column, declared, affinity_of(declared), bool(notnull), default, key, hidden in (2, 3))
        for _, column, declared, notnull, default, key, hidden in connection.execute(
            f"PRAGMA table_xinfo({quote(name)})"
        )
    ]


def _uniques(connection: sqlite3.Connection, name: str) -> list[Unique]:
    found = []
    for _, index, unique, origin, partial in connection.execute(
        f"PRAGMA index_list({quote(name)})"
    ).fetchall():
        if unique:
            rows = connection.execute(f"PRAGMA index_xinfo({quote(index)})").fetchall()
            columns = tuple((column, collation) for _, _, column, _, collation, in_key in rows if in_key)
            found.append(Unique(index, columns, bool(partial), origin == "pk"))
    return found


def _has_rowid(connection: sqlite3.Connection, index: str) -> bool:
    """An index of a rowid table ends in the rowid (column number -1)."""
    return any(row[1] == -1 for row in connection.execute(f"PRAGMA index_xinfo({quote(index)})"))


def _foreign_keys(connection: sqlite3.Connection, name: str) -> list[ForeignKey]:
    groups: dict[int, list[tuple[str, str, str | None, str, str]]] = {}
    for number, _, parent, child, target, on_update, on_delete, _ in connection.execute(
        f"PRAGMA foreign_key_list({quote(name)})"
    ):
        groups.setdefault(number, []).append((parent, child, target, on_update, on_delete))
    keys = []
    for _, rows in sorted(groups.items(), reverse=True):  # SQLite lists the last declared first
        targets = tuple(target for _, _, target, _, _ in rows if target is not None)
        parent, _, _, on_update, on_delete = rows[0]
        keys.append(ForeignKey(tuple(row[1] for row in rows), parent, targets, on_delete, on_update))
    return keys


def _texts(connection: sqlite3.Connection, kind: str, table: str) -> list[str]:
    return [
        sql
        for (sql,) in connection.execute(
            "SELECT sql FROM sqlite_master WHERE type = ? AND tbl_name = ? AND sql IS NOT NULL"
            " ORDER BY rowid",
            (kind, table),
        )
    ]


def _triggers(connection: sqlite3.Connection, table: str) -> list[tuple[str, str]]:
    rows = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE"
        " ORDER BY rowid",
        (table,),
    )
    return [(name, sql) for name, sql in rows if not name.lower().startswith("_sync_")]
