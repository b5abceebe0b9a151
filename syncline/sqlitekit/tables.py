"""What SQLite itself says about a table: columns, affinities, unique indexes, foreign keys, triggers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from syncline.model.naming import OWN_PREFIXES, folded
from syncline.model.schema import ForeignKey
from syncline.sqlitekit.definition import collation_of
from syncline.sqlitekit.sql import quote
from syncline.sqlitekit.undecoded import is_text, sayable, undecoded

Ask = Callable[..., Iterable[Sequence[Any]]]
"""Runs a statement with its parameters, if it has some, and gives the rows, text in whatever bytes
(`sqlitekit.undecoded`)."""


def asking(connection: Any) -> Ask:
    """Who asks a connection of sqlite3."""

    def ask(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with undecoded(connection):
            rows: list[tuple[Any, ...]] = connection.execute(sql, *parameters).fetchall()
        return rows

    return ask


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
    """A unique index: (column or None for an expression, collation) in order. `sql` is its CREATE INDEX if it
    has expressions or is partial. `inline`: it belongs to the CREATE TABLE."""

    name: str
    columns: tuple[tuple[str | None, str], ...]
    partial: bool
    primary: bool
    sql: str | None
    inline: bool = True

    @property
    def whole(self) -> tuple[str, ...]:
        """Its columns, if it is one of columns alone and of all rows; else none."""
        names = tuple(name for name, _ in self.columns if name is not None)
        return names if len(names) == len(self.columns) and not self.partial else ()


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

    def known_by(self, names: Iterable[str]) -> Table | None:
        """The table with a unique index on exactly these columns for its key; None if there is none. As it
        is, if they are its primary key."""
        wanted = {folded(name) for name in names}
        if wanted == {folded(name) for name, _ in self.key}:
            return self
        found = [one for one in self.uniques if wanted == {folded(name) for name in one.whole}]
        if not found:
            return None
        chosen = min(found, key=lambda one: not one.inline)
        key = tuple((name, collation) for name, collation in chosen.columns if name is not None)
        uniques = tuple(replace(one, primary=one is chosen) for one in self.uniques)
        return replace(self, key=key, uniques=uniques)

    def column(self, name: str) -> Column:
        """The column of that name, in any case; KeyError if there is none."""
        for column in self.columns:
            if folded(column.name) == folded(name):
                return column
        raise KeyError(name)

    def spelled(self, name: str) -> str:
        """The name of a column as it is spelled here; as it is, if there is none."""
        return next((one.name for one in self.columns if folded(one.name) == folded(name)), name)


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


def table_names(ask: Ask) -> dict[str, str]:
    """The user's ordinary tables and their DDL, by name. Virtual tables and what they shadow are left out,
    and those with a name that no statement can say: it is not UTF-8."""
    rows = ask("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name")
    tables = {name: sql for name, sql in rows if not folded(name).startswith(OWN_PREFIXES) and is_text(name)}
    virtual = [name for name, sql in tables.items() if _is_virtual(sql)]
    shadows = {f"{name}_{suffix}" for name in virtual for suffix in _SHADOWS}
    return {name: sql for name, sql in tables.items() if name not in virtual and name not in shadows}


def _is_virtual(sql: str) -> bool:
    return sql.split(None, 2)[1].upper() == "VIRTUAL"


def read_tables(ask: Ask) -> dict[str, Table]:
    """All of the user's ordinary tables, by name in lower case. Their foreign keys spell names as these are
    spelled, and name the parent's primary key where no columns were named."""
    texts = Texts(ask)
    found = {folded(name): read_table(ask, name, ddl, texts) for name, ddl in table_names(ask).items()}
    for name, table in found.items():
        keys = (_resolved(key, table, found) for key in table.foreign_keys)
        found[name] = replace(table, foreign_keys=tuple(keys))
    return found


def _resolved(key: ForeignKey, table: Table, found: Mapping[str, Table]) -> ForeignKey:
    key = replace(key, columns=tuple(map(table.spelled, key.columns)))
    parent = found.get(folded(key.parent))
    if parent is None:
        return key
    targets = tuple(map(parent.spelled, key.parent_columns)) or tuple(name for name, _ in parent.key)
    return replace(key, parent=parent.name, parent_columns=targets)


class Texts:
    """The texts of all indexes and triggers in the order of their making, read once: SQLite looks through
    everything there is for those of one table."""

    def __init__(self, ask: Ask) -> None:
        self._indexes: dict[str, list[str]] = {}
        self._triggers: dict[str, list[tuple[str, str]]] = {}
        self._by_name: dict[str, str] = {}
        rows = ask(
            "SELECT type, name, tbl_name, sql FROM sqlite_master"
            " WHERE type IN ('index', 'trigger') AND sql IS NOT NULL ORDER BY rowid"
        )
        for kind, name, table, sql in rows:
            if kind == "index":
                self._indexes.setdefault(folded(table), []).append(sql)
                self._by_name[name] = sql
            elif not folded(name).startswith("_sync_"):
                self._triggers.setdefault(folded(table), []).append((name, sql))

    def index(self, name: str) -> str:
        """The CREATE INDEX of this one."""
        return self._by_name[name]

    def indexes(self, table: str) -> tuple[str, ...]:
        """The CREATE INDEX of each of a table's that does not belong to its CREATE TABLE."""
        return tuple(self._indexes.get(folded(table), ()))

    def triggers(self, table: str) -> tuple[tuple[str, str], ...]:
        """The user's triggers of a table: (name, SQL)."""
        return tuple(self._triggers.get(folded(table), ()))


def read_table(ask: Ask, name: str, ddl: str, texts: Texts) -> Table:
    """Everything the adapter needs to know about one table."""
    columns = tuple(read_columns(ask, name))
    uniques = tuple(read_uniques(ask, name, texts))
    primary = next((unique for unique in uniques if unique.primary), None)
    key_names = [c.name for c in sorted((c for c in columns if c.key), key=lambda c: c.key)]
    collations = dict(primary.columns) if primary else {}
    without_rowid = primary is not None and not has_rowid(ask, primary.name)
    return Table(
        name,
        ddl,
        columns,
        tuple((key, collations.get(key, "BINARY")) for key in key_names),
        without_rowid,
        bool(key_names) and primary is None,
        uniques,
        tuple(read_foreign_keys(ask, name)),
        texts.indexes(name),
        texts.triggers(name),
    )


def read_columns(ask: Ask, table: str) -> list[Column]:
    """The columns of a table, generated ones too. Empty if there is no such table."""
    return [
        Column(
            name, declared or "", affinity_of(declared or ""), bool(notnull), default, key, hidden in (2, 3)
        )
        for _, name, declared, notnull, default, key, hidden in ask(f"PRAGMA table_xinfo({quote(table)})")
        if hidden != 1
    ]


def read_uniques(ask: Ask, table: str, texts: Texts | None = None) -> list[Unique]:
    """The unique indexes of a table, that of its primary key too if there is one. `texts`: where all tables
    are looked at."""
    found = []
    for _, name, unique, origin, partial in list(ask(f"PRAGMA index_list({quote(table)})")):
        if unique:
            rows = list(ask(f"SELECT * FROM pragma_index_xinfo({sayable(name)})"))
            columns = tuple((column, collation) for _, _, column, _, collation, in_key in rows if in_key)
            plain = all(column is not None for column, _ in columns)
            text = None
            if partial or not plain:
                text = texts.index(name) if texts else _text_of(ask, name)
            found.append(Unique(name, columns, bool(partial), origin == "pk", text, origin != "c"))
    return found


def _text_of(ask: Ask, index: str) -> str:
    ((sql,),) = ask(f"SELECT sql FROM sqlite_master WHERE type = 'index' AND name = {sayable(index)}")
    return str(sql)


def has_rowid(ask: Ask, index: str) -> bool:
    """An index of a rowid table ends in the rowid (column number -1)."""
    return any(row[1] == -1 for row in ask(f"SELECT * FROM pragma_index_xinfo({sayable(index)})"))


def read_foreign_keys(ask: Ask, name: str) -> list[ForeignKey]:
    """The foreign keys of a table, in the order in which they were declared."""
    groups: dict[int, list[tuple[str, str, str | None, str, str]]] = {}
    for number, _, parent, child, target, on_update, on_delete, _ in ask(
        f"PRAGMA foreign_key_list({quote(name)})"
    ):
        groups.setdefault(number, []).append((parent, child, target, on_update, on_delete))
    keys = []
    for _, rows in sorted(groups.items(), reverse=True):  # SQLite lists the last declared first
        targets = tuple(target for _, _, target, _, _ in rows if target is not None)
        parent, _, _, on_update, on_delete = rows[0]
        keys.append(ForeignKey(tuple(row[1] for row in rows), parent, targets, on_delete, on_update))
    return keys


def is_referable(ask: Ask, key: ForeignKey, without: str = "") -> bool:
    """Whether SQLite takes what a foreign key points at for a parent key: the primary key, or the columns of
    a unique index of all rows that sorts as they do (sqlite.org/foreignkeys.html, section 3). Otherwise it
    refuses writes to both tables. `without`: as if there were no index of this name."""
    columns = read_columns(ask, key.parent)
    wanted = [folded(name) for name in key.parent_columns]
    uniques = [unique for unique in read_uniques(ask, key.parent) if unique.name != without]
    primary = [folded(column.name) for column in columns if column.key]
    if len(primary) == len(key.columns) == 1 and wanted in ([], primary):
        if not any(unique.primary for unique in uniques):
            return True  # the number of the row
    if not wanted:
        return any(unique.primary and len(unique.columns) == len(key.columns) for unique in uniques)
    return any(_is_parent_key(ask, key.parent, unique, wanted) for unique in uniques)


def _is_parent_key(ask: Ask, table: str, unique: Unique, wanted: Sequence[str]) -> bool:
    names = [folded(name) for name in unique.whole]
    if len(names) != len(wanted) or set(names) != set(wanted):
        return False
    ((sql,),) = ask("SELECT sql FROM sqlite_master WHERE type = 'table' AND lower(name) = lower(?)", (table,))
    return all(collation_of(sql, name or "") == collation.upper() for name, collation in unique.columns)
