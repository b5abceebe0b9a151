"""Whether a device takes a table: the same rules at the hub, which leaves out a table that no device would
take, and on the device, which believes no hub."""

from __future__ import annotations

from collections.abc import Iterable

from syncline.model.naming import folded, why_no_name
from syncline.model.schema import TableSchema
from syncline.sqlitekit.described import (
    NoDefinition,
    check_expression,
    check_growth,
    check_type,
    index_sql,
    table_sql,
)

INDEXES = 500
"""So many unique constraints, and so many indexes besides, a table may have: each costs every write of it."""


def check_table(table: TableSchema) -> None:
    """NoDefinition unless a device takes the table, as far as it can be told without others and without its
    numbers."""
    check_names([table.name], "the table")
    check_names((column.name for column in table.columns), "one of its columns")
    for column in table.columns:
        check_type(column.declared)
        if column.default is not None:
            check_expression(column.default)
            check_growth(column.default)
    if not table.key:
        raise NoDefinition("it has no key")
    most = max(len(table.uniques), len(table.indexes), len(table.enforced))
    if most > INDEXES:
        raise NoDefinition(
            f"it has {most:,} unique constraints, indexes or foreign keys; {INDEXES} are the most"
        )
    names = {column.name for column in table.columns}
    for some in (table.key, *table.uniques):
        if not some or len(set(some)) < len(some) or not names >= set(some):
            raise NoDefinition("its key, or a unique one, names columns there are not")
    if any(not names >= set(key.columns) for key in table.foreign_keys):
        raise NoDefinition("a foreign key names columns there are not, or generated ones")
    if table.ddl is not None:
        table_sql(table.ddl, table.name)
        check_growth(table.ddl)
    for text in table.indexes:
        index_sql(text, table.name)
        check_growth(text, table.ddl or "")


def check_names(names: Iterable[str], what: str) -> None:
    """NoDefinition unless tables or columns can be called so on one device."""
    known = set[str]()
    for name in names:
        why_not = why_no_name(name)
        if why_not is not None:
            raise NoDefinition(f"{name[:80]!r} is no name for {what}: it {why_not}")
        if folded(name) in known:
            raise NoDefinition(f"two have one name, {name[:80]!r}, in upper or lower case, for {what}")
        known.add(folded(name))
