"""From PostgreSQL's catalogue to the portable schema, refusing aloud what cannot take part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from syncline.databases.base.foreign import EXACT, FoundKey
from syncline.databases.base.reflection import FoundTable, Reflection, Selection, Taking
from syncline.databases.postgresql.defaults import device_default
from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.sql import queries
from syncline.databases.postgresql.types import codec_of, portable
from syncline.hub.contract import NO_KEYS, Keys
from syncline.model.naming import named_like_ours
from syncline.model.schema import ColumnSchema

Known = tuple[int | None, list[str]]
"""The oid of a type, if it is somebody's own, and the labels if it is an enum or an array of one."""

_EXACT = frozenset(["inet", "cidr", "macaddr", "macaddr8", '"bit"', "bit varying", "oid", "money"])
"""Types of PostgreSQL's own whose equal values are spelled alike."""


def reflect(session: Session, wanted: Sequence[str] | None, keys_of: Keys = NO_KEYS) -> Reflection:
    """The tables named (`name` or `schema.name`), or all that can take part.

    Raises SchemaError naming every named table that does not exist or cannot take part, and why. Must run in
    a transaction of its own: it sets the search path.
    """
    sql = queries("reflect.sql")
    path = session.value("SELECT current_schemas(false)::text[]")
    session.script("SET LOCAL search_path = pg_catalog")
    kept = session.run(sql["kept keys"]) if session.value(queries("prepare.sql")["prepared"]) else []
    found = [_table(*row) for row in session.run(sql["tables"], path)]
    selection = Selection(found, wanted, keys_of, [Taking(*row) for row in kept])
    tables = selection.tables
    for oid, number, generated, column, *known in _columns(session, tables):
        tables[oid].columns[number], selection.types[column.central] = column, known
        if generated:
            tables[oid].generated.add(column.name)
    for oid, primary, numbers in session.run(sql["keys"], list(tables)):
        tables[oid].add_key(numbers, primary=primary)
    keys = [FoundKey(*row) for row in session.run(sql["foreign_keys"], list(tables))]
    return selection.reflection(keys, _is_exact)


def _is_exact(column: ColumnSchema) -> bool:
    return column.central in _EXACT or (column.type in EXACT and not column.central.endswith("citext"))


def _table(
    oid: int, schema: str, name: str, kind: str, persistence: str, partition: bool,
    has_kin: bool, hidden: bool, rank: int | None, strange: str | None,
) -> FoundTable:  # fmt: skip
    reasons = (
        (kind in "vm", "is a view; name the tables behind it instead"),
        (
            kind == "f",
            "is a foreign table; its changes cannot be captured here. Let it take part where it lives",
        ),
        (persistence == "u", "is unlogged, so a crash empties it unseen; ALTER TABLE ... SET LOGGED"),
        (partition, "is a partition; name the partitioned table instead"),
        (has_kin, "inherits, or is inherited from; use declarative partitioning, or leave it out"),
        (hidden, "has row-level security that hides rows from the hub; connect as a role with BYPASSRLS"),
        (bool(strange), f"{named_like_ours(strange)}; ALTER TRIGGER ... RENAME TO ..."),
    )
    why_not = next((why for is_so, why in reasons if is_so), None)
    return FoundTable(oid, schema, name, why_not, rank, is_part=partition)


def _columns(session: Session, oids: Iterable[int]) -> Iterator[tuple[int, int, bool, ColumnSchema, *Known]]:
    """Table, number, whether it is generated, the column; what is known of its type."""
    for row in session.run(queries("reflect.sql")["columns"], list(oids)):
        oid, number, name, central, type_name, kind, element, element_kind = row[:8]
        typmod, notnull, identity, generated, default, known, labels = row[8:]
        of = None if element is None else (element, element_kind)
        type_, declared = portable(type_name, kind, of, typmod)
        column = ColumnSchema(
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
        spelled = type_ != "enum" and codec_of(column).asks_server
        yield oid, number, bool(generated), replace(column, spelled=spelled), known, labels
