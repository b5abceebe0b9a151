"""What changed between two versions of a schema, and whether devices can follow by themselves.

Tables and columns are the same if their numbers are, and the names they had when these were given out: a
centre that was restored to before some of them may give them out once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from syncline.model.schema import ColumnSchema, Schema, TableSchema

IsWider = Callable[[ColumnSchema, ColumnSchema], bool]
"""Whether every value of the first column is one of the second, told from the same by nothing but its width.
Only the central database's adapter can tell; asked for columns whose types differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableChange:
    """One table that is there before and after, by numbers of columns.

    `added` and `gone` are columns outside the key; `renamed` have another name, key columns included;
    `retyped` have another central type, so that their values may be spelled otherwise. `demanding` are
    columns that must have a value now of which devices do not know, and that have no default: without them
    the table can be followed. `breaking` says, in sentences, what devices of the older version cannot follow
    of the rest; `demands` the same of the demanding columns.
    """

    before: TableSchema
    after: TableSchema
    added: tuple[int, ...]
    gone: tuple[int, ...]
    renamed: tuple[int, ...]
    retyped: tuple[int, ...]
    demanding: tuple[int, ...]
    breaking: tuple[str, ...]
    demands: tuple[str, ...]

    @property
    def trouble(self) -> tuple[str, ...]:
        """Everything that devices of the older version cannot follow."""
        return (*self.breaking, *self.demands)

    @property
    def is_harmless(self) -> bool:
        """Whether what is captured and served of the former goes on as it is."""
        places = [(one.central_schema, one.central_name) for one in (self.before, self.after)]
        as_it_was = places[0] == places[1] and same_columns(self.before.keys, self.after.keys)
        return as_it_was and not (self.gone or self.renamed or self.retyped)


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaChange:
    """From one version to another. `tables` has only those that differ in any way.

    `added` tables are in foreign-key order. `breaking` says, in sentences that name table and column, what
    devices of the older version cannot follow; empty: they all can.
    """

    added: tuple[TableSchema, ...]
    gone: tuple[TableSchema, ...]
    tables: tuple[TableChange, ...]
    breaking: tuple[str, ...]


def is_same(before: TableSchema | None, after: TableSchema | None) -> bool:
    """Whether these two are one table."""
    return (
        before is not None
        and after is not None
        and (before.number, before.origin) == (after.number, after.origin)
    )


def compare(
    before: Schema,
    after: Schema,
    is_wider: IsWider,
    same: Callable[[TableSchema | None, TableSchema | None], bool] = is_same,
) -> SchemaChange:
    """What leads from one schema to the other. `same`: whether two tables are one."""
    pairs = [
        (before.by_number[table.number], table)
        for table in after.tables
        if same(before.by_number.get(table.number), table)
    ]
    staying = {table.number for _, table in pairs}
    pairs = [(old, new) for old, new in pairs if old != new]
    return SchemaChange(
        added=tuple(table for table in after.tables if table.number not in staying),
        gone=tuple(table for table in before.tables if table.number not in staying),
        tables=(tables := tuple(table_change(old, new, is_wider) for old, new in pairs)),
        breaking=tuple(sentence for table in tables for sentence in table.trouble),
    )


def table_change(before: TableSchema, after: TableSchema, is_wider: IsWider) -> TableChange:
    """What leads from a table to the same one as it is now."""
    old = {column.number: column for column in before.columns}
    new = {column.number: column for column in after.columns}
    kept = [number for number in new if number in old and old[number].origin == new[number].origin]
    demands = dict(_demands(before, after))
    return TableChange(
        before=before,
        after=after,
        added=tuple(number for number in after.values if number not in kept),
        gone=tuple(number for number in before.values if number not in kept),
        renamed=tuple(number for number in kept if old[number].name != new[number].name),
        retyped=tuple(number for number in kept if _type(old[number]) != _type(new[number])),
        demanding=tuple(demands),
        breaking=tuple(_breaking(before, after, is_wider)),
        demands=tuple(demands.values()),
    )


def has_same_key(before: TableSchema | None, after: TableSchema | None) -> bool:
    """Whether these two are one table, with one key. To a device a table with another key is another one."""
    if before is None or after is None or not is_same(before, after):
        return False
    return same_columns(before.keys, after.keys)


def same_columns(before: Sequence[ColumnSchema], after: Sequence[ColumnSchema]) -> bool:
    """Whether these are the same columns, in the same order, whatever they are called."""
    return [(c.number, c.origin) for c in before] == [(c.number, c.origin) for c in after]


def _type(column: ColumnSchema) -> tuple[object, ...]:
    return column.type, column.declared, column.central, column.modifier


def _demands(before: TableSchema, after: TableSchema) -> Iterator[tuple[int, str]]:
    """The columns that must have a value of which devices do not know, by number, each with a sentence."""
    old = {column.number: column for column in before.columns}
    for column in after.columns:
        where = f"table {after.name}: column {column.name}"
        former = old.get(column.number)
        if column.nullable or column.computed or column.defaulted:
            continue
        if former is None and column.name not in after.key:
            yield column.number, f"{where} is new, must have a value, and has no default"
        elif former is not None and former.nullable:
            yield column.number, f"{where} must have a value now, and has no default"


def _breaking(before: TableSchema, after: TableSchema, is_wider: IsWider) -> list[str]:
    old = {column.number: column for column in before.columns}
    found = []
    if not same_columns(before.keys, after.keys):
        found.append(f"table {after.name}: its key is another one: {', '.join(after.key)}")
    for column in after.columns:
        where = f"table {after.name}: column {column.name}"
        former = old.get(column.number)
        if former is not None and _type(former) != _type(column) and not is_wider(former, column):
            same = _spelled(former) == _spelled(column)
            how = (
                "is narrower than before" if same else f"was {_spelled(former)} and is {_spelled(column)} now"
            )
            found.append(f"{where} {how}: not every value of before fits")
    return found


def _spelled(column: ColumnSchema) -> str:
    return column.central or column.declared or "without a type"
