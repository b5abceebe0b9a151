"""From a SQLite database's own catalogue to the portable schema, refusing aloud what cannot take part."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence

from syncline.databases.base.reflection import OTHER_KEY, Reflection, meant, refused_by_devices
from syncline.databases.sqlite.capture import triggers_of
from syncline.errors import SchemaError
from syncline.hub.contract import NO_KEYS, Keys
from syncline.model.naming import folded
from syncline.model.schema import MOST_COLUMNS, ColumnSchema, ForeignKey, TableSchema, arrange
from syncline.sqlitekit.definition import collates, with_unique
from syncline.sqlitekit.tables import Table, asking, read_tables, table_names

_RAISE_ROLLBACK = re.compile(r"\bRAISE\s*\(\s*ROLLBACK\b", re.IGNORECASE)


def reflect(
    connection: sqlite3.Connection,
    wanted: Sequence[str] | None,
    keys: Keys = NO_KEYS,
    kept: Keys = NO_KEYS,
) -> Reflection:
    """The tables named, or all that can take part; SchemaError names every one that cannot, and why.

    `keys` are chosen by the configuration; `kept` is what tables without a primary key were prepared with."""
    found, unkeyed = _keyed(read_tables(asking(connection)), keys, kept)
    unkeyed |= triggers_of(connection).misnamed
    if wanted is None:
        return _everything(found, unkeyed)
    chosen: dict[str, Table] = {}
    trouble, asked = [], {folded(name): name for name in wanted}
    for low, name in asked.items():
        table = found.get(low)
        if table is None:
            trouble.append((name, f"{name}: {_absence(connection, name)}"))
        else:
            chosen[low] = table
    for low, table in chosen.items():
        why_not = unkeyed.get(low)
        obstacles = [why_not] if why_not else _obstacles(table, chosen, found)
        trouble.extend((asked[low], f"{table.name}: {why}") for why in obstacles)
    if trouble:
        raise SchemaError.of(trouble)
    return Reflection(arrange(map(_portable, chosen.values())), ())


def _keyed(found: dict[str, Table], keys: Keys, kept: Keys) -> tuple[dict[str, Table], dict[str, str]]:
    """The tables with the keys that were chosen for them; and why some cannot have theirs."""
    chosen = {folded(name): columns for name, columns in keys.items()}
    kept = {folded(name): columns for name, columns in kept.items()}
    result, why_not = dict(found), {}
    for name, table in found.items():
        columns = chosen.get(name) or (None if table.key else kept.get(name))
        if columns:
            keyed = table.known_by(columns)
            why = _unfit(table, columns, keyed)
            if why:
                why_not[name] = why
            elif keyed is not None:
                result[name] = keyed
    return result, why_not


def _unfit(table: Table, columns: Sequence[str], keyed: Table | None) -> str | None:
    """Why a table cannot be known by these columns, or None."""
    named = ", ".join(columns)
    if keyed is None:
        return f"has no unique index on exactly ({named}), whole, that could be its key"
    if table.key and keyed is not table:
        return (
            f"has a primary key ({', '.join(name for name, _ in table.key)}), and no other key can be chosen"
        )
    own = [table.column(name) for name in columns]
    if any(column.generated for column in own):
        return f"has a generated column in its key ({named}); a device cannot know its value"
    folded = any(collation.upper() != "BINARY" for _, collation in keyed.key)
    if keyed is not table and (folded or any(collates(table.ddl, name) for name in columns)):
        return f"has a collation in its key ({named}), under which different texts may be equal"
    loose = [column.name for column in own if not column.notnull]
    if loose and keyed is not table:
        return f"has NULL in its key ({named}): create it anew with {loose[0]} NOT NULL"
    return None


def _everything(found: dict[str, Table], unkeyed: Mapping[str, str]) -> Reflection:
    """All tables without an obstacle; leaving one out can be an obstacle to its children."""
    chosen, why_not = {name: table for name, table in found.items() if name not in unkeyed}, dict(unkeyed)
    while True:
        obstacles = {name: _obstacles(table, chosen, found) for name, table in chosen.items()}
        out = {name: why[0] for name, why in obstacles.items() if why}
        if not out:
            notes = [f"left out {found[name].name}: {why}" for name, why in sorted(why_not.items())]
            return Reflection(arrange(map(_portable, chosen.values())), tuple(notes))
        why_not |= out
        for name in out:
            del chosen[name]


def _absence(connection: sqlite3.Connection, name: str) -> str:
    row = connection.execute(
        "SELECT type FROM sqlite_master WHERE name = ? COLLATE NOCASE AND type IN ('table', 'view')",
        (name,),
    ).fetchone()
    if row is None:
        places = {folded(found): found for found in table_names(asking(connection))}
        return f"there is no such table{meant(name, places)}"
    if row[0] == "view":
        return "is a view; name the tables behind it instead"
    return "is a virtual, shadow or system table; only ordinary tables can take part"


def _obstacles(table: Table, chosen: dict[str, Table], found: dict[str, Table]) -> list[str]:
    """Why a table cannot take part together with the chosen ones."""
    why = []
    if not table.key:
        why.append(f"has no primary key; create it anew with one, or {OTHER_KEY}")
    elif refused := refused_by_devices(_portable(table), len(table.columns), MOST_COLUMNS):
        why.append(refused)
    for name, sql in table.triggers:
        if _RAISE_ROLLBACK.search(sql):
            why.append(
                f"its trigger {name} uses RAISE(ROLLBACK), which would undo other rows; use RAISE(ABORT)"
            )
    for key in table.foreign_keys:
        parent = found.get(folded(key.parent))
        if parent is None:
            why.append(f"its foreign key points at {key.parent}, which is not an ordinary table here")
        elif folded(key.parent) not in chosen:
            why.append(
                f"its foreign key points at {parent.name}, which does not take part; add that table too"
            )
        elif not _is_target(parent, key):
            why.append(f"its foreign key points at columns of {parent.name} that are not a key of it")
    return why


def _is_target(parent: Table, key: ForeignKey) -> bool:
    """Whether a foreign key points at what identifies a row of the parent."""
    wanted = set(key.parent_columns)
    generated = any(column.generated for column in parent.columns if column.name in wanted)
    if generated or not wanted or len(key.parent_columns) != len(key.columns):
        return False
    if wanted == {name for name, _ in parent.key}:
        return True
    return any({c for c, _ in u.columns} == wanted and not u.partial for u in parent.uniques)


def _portable(table: Table) -> TableSchema:
    key = tuple(name for name, _ in table.key)
    known = {column.name for column in table.columns if not column.generated}
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
        foreign_keys=table.foreign_keys,
        uniques=tuple(
            tuple(dict.fromkeys(name for name, _ in unique.columns if name is not None))
            for unique in table.uniques
            if not (unique.primary or unique.partial) and known.issuperset(name for name, _ in unique.columns)
        ),
        central_name=table.name,
        ddl=_definition(table),
        indexes=table.indexes,
        exact=not table.triggers,
    )


def _definition(table: Table) -> str:
    """The words of the table itself; with the index that was chosen for its key, if that stands outside: a
    device must have it before it has rows."""
    key = next((unique for unique in table.uniques if unique.primary), None)
    return table.ddl if key is None or key.inline else with_unique(table.ddl, [name for name, _ in table.key])
