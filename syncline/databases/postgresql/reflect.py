"""From PostgreSQL's catalogue to the portable schema, refusing aloud what cannot take part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from syncline.databases.postgresql import foreign
from syncline.databases.postgresql.defaults import device_default
from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.sql import queries
from syncline.databases.postgresql.types import portable
from syncline.errors import SchemaError
from syncline.model.schema import ColumnSchema, ForeignKey, Schema, TableSchema, arrange

_OWN_NAMES = ("sqlite_", "_sync_")
"""How no table on a device may be called."""


@dataclass(slots=True)
class Found:
    """One table of the catalogue."""

    oid: int
    schema: str
    name: str
    why_not: str | None
    rank: int | None
    """Where its schema stands in the search path; None if it does not."""
    columns: dict[int, ColumnSchema] = field(default_factory=dict)
    key: tuple[str, ...] = ()
    uniques: list[tuple[str, ...]] = field(default_factory=list)
    generated: set[str] = field(default_factory=set)

    @property
    def full(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Reflection:
    """The schema, and a sentence for each table that was left out."""

    schema: Schema
    notes: tuple[str, ...]


def reflect(session: Session, wanted: Sequence[str] | None) -> Reflection:
    """The tables named (`name` or `schema.name`), or all that can take part.

    Raises SchemaError naming every named table that does not exist or cannot take part, and why. Must run in
    a transaction of its own: it sets the search path.
    """
    path = session.value("SELECT current_schemas(false)::text[]")
    session.script("SET LOCAL search_path = pg_catalog")
    everything = [_found(*row) for row in session.run(queries("reflect.sql")["tables"], path)]
    tables, trouble = (everything, []) if wanted is None else _choose(everything, wanted)
    _read_columns(session, tables)
    _read_keys(session, tables)
    for table in tables:
        table.why_not = table.why_not or _obstacle(table)
    out = [f"{table.full}: {table.why_not}" for table in tables if table.why_not]
    if wanted is not None and (trouble or out):
        raise SchemaError("; ".join(trouble + out))
    chosen = [table for table in tables if not table.why_not]
    names = _device_names(chosen)
    keys, notes = _foreign_keys(session, chosen, names)
    schema = arrange(_portable(table, names[table.oid], tuple(keys[table.oid])) for table in chosen)
    return Reflection(schema, tuple([f"left out {sentence}" for sentence in out] + notes))


def _found(
    oid: int, schema: str, name: str, kind: str, persistence: str, partition: bool,
    has_children: bool, has_parent: bool, hidden: bool, rank: int | None,
) -> Found:  # fmt: skip
    why_not = None
    if kind in "vm":
        why_not = "is a view; name the tables behind it instead"
    elif kind == "f":
        why_not = "is a foreign table; its changes cannot be captured here. Let it take part where it lives"
    elif persistence == "u":
        why_not = "is unlogged, so a crash empties it unseen; ALTER TABLE ... SET LOGGED"
    elif partition:
        why_not = "is a partition; name the partitioned table instead"
    elif has_children or has_parent:
        why_not = "inherits, or is inherited from; use declarative partitioning, or leave it out"
    elif hidden:
        why_not = "has row-level security that hides rows from the hub; connect as a role with BYPASSRLS"
    return Found(oid, schema, name, why_not, rank)


def _choose(everything: list[Found], wanted: Sequence[str]) -> tuple[list[Found], list[str]]:
    chosen: dict[int, Found] = {}
    trouble = []
    for name in wanted:
        matches = [table for table in everything if name in (table.name, table.full)]
        best = min((table.rank or 10_000 for table in matches), default=0)
        matches = [table for table in matches if (table.rank or 10_000) == best]
        if len(matches) == 1:
            chosen[matches[0].oid] = matches[0]
        elif matches:
            trouble.append(f"{name}: is in several schemas; say which: {', '.join(t.full for t in matches)}")
        else:
            near = [t.full for t in everything if name.lower() in (t.name.lower(), t.full.lower())]
            trouble.append(f"{name}: there is no such table" + (f"; is {near[0]} meant?" if near else ""))
    return list(chosen.values()), trouble


def _read_columns(session: Session, tables: list[Found]) -> None:
    by_oid = {table.oid: table for table in tables}
    for row in session.run(queries("reflect.sql")["columns"], list(by_oid)):
        oid, number, name, central, type_name, kind, element, element_kind = row[:8]
        typmod, notnull, identity, generated, default = row[8:]
        of = None if element is None else (element, element_kind)
        type_, declared = portable(type_name, kind, of, typmod)
        if generated:
            by_oid[oid].generated.add(name)
        by_oid[oid].columns[number] = ColumnSchema(
            name,
            type_,
            declared,
            central,
            nullable=not notnull,
            computed=bool(generated) or identity == "a",
            default=None if identity or default is None else device_default(default, type_, central),
            defaulted=bool(identity or generated or default is not None),
            modifier=typmod,
        )


def _read_keys(session: Session, tables: list[Found]) -> None:
    by_oid = {table.oid: table for table in tables}
    for oid, primary, numbers in session.run(queries("reflect.sql")["keys"], list(by_oid)):
        table = by_oid[oid]
        if any(number not in table.columns for number in numbers):
            continue
        names = tuple(table.columns[number].name for number in numbers)
        if primary:
            table.key = names
        else:
            table.uniques.append(names)


def _obstacle(table: Found) -> str | None:
    """Why a table cannot take part, or None."""
    if not table.key:
        return "has no primary key; ALTER TABLE ... ADD PRIMARY KEY (...)"
    folded = [column.name.lower() for column in table.columns.values()]
    twice = sorted({name for name in folded if folded.count(name) > 1})
    if twice:
        return f"has columns that differ in case alone ({', '.join(twice)}), which SQLite cannot tell apart"
    if table.name.lower().startswith(_OWN_NAMES):
        return "has a name that is reserved on the device (sqlite_..., _sync_...); rename it"
    if table.generated.intersection(table.key):
        return "has a generated column in its primary key; a device cannot know its value"
    return None


def _device_names(tables: list[Found]) -> dict[int, str]:
    """The plain name where it is the only one (SQLite ignores case), else schema_name."""
    folded = [table.name.lower() for table in tables]
    names = {
        table.oid: table.name if folded.count(table.name.lower()) == 1 else f"{table.schema}_{table.name}"
        for table in tables
    }
    seen: dict[str, str] = {}
    for table in tables:
        name = names[table.oid].lower()
        if name in seen:
            raise SchemaError(f"{table.full} and {seen[name]} would have one name on a device; leave one out")
        seen[name] = table.full
    return names


def _foreign_keys(
    session: Session, tables: list[Found], names: dict[int, str]
) -> tuple[dict[int, list[ForeignKey]], list[str]]:
    by_oid = {table.oid: table for table in tables}
    keys: dict[int, list[ForeignKey]] = {table.oid: [] for table in tables}
    notes = []
    for row in session.run(queries("reflect.sql")["foreign_keys"], list(by_oid)):
        found = foreign.Found(*row)
        child = by_oid[found.child]
        if found.parent not in names:
            said = ["a foreign key points at a table that takes no part; devices do not check it"]
        else:
            columns = by_oid[found.parent].columns
            key, said = foreign.portable(found, names[found.parent], child.columns, columns)
            keys[found.child] += [key] if key is not None else []
        notes += [f"{child.full}: {sentence}" for sentence in said]
    return keys, notes


def _portable(table: Found, name: str, foreign_keys: tuple[ForeignKey, ...]) -> TableSchema:
    columns = []
    for column in table.columns.values():
        if column.name in table.key and column.computed:  # an identity: the device's number is kept
            column = replace(column, computed=False)
        columns.append(column)
    return TableSchema(
        name=name,
        columns=tuple(columns),
        key=table.key,
        foreign_keys=foreign_keys,
        uniques=tuple(dict.fromkeys(table.uniques)),
        central_schema=table.schema,
        central_name=table.name,
        exact=False,  # triggers come and go: the writer knows what is stored otherwise
    )
