"""Tables that were changed in a way that devices cannot follow: they alone are out of service, not the hub.

    noticed     the table takes part no longer, everything else goes on; devices keep it and their edits
    undone      it takes part again, as one that was put back
    agreed to   (`init --yes`) it takes part as it is now, as another table: nothing that was sent of the
                former one can be taken for it

Noted in the central database, so that all servers say the same.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from syncline.hub.contract import Ledger, ReadLedger
from syncline.hub.contract.kept import kept_json
from syncline.hub.names import place_of
from syncline.model.evolution import IsWider, TableChange, table_change
from syncline.model.numbering import renumbered
from syncline.model.schema import ForeignKey, Schema, TableSchema, arrange, from_plain, to_plain
from syncline.sqlitekit.definition import (
    names_column,
    without_column,
    without_foreign_key,
    without_not_null,
)

KEY = "tables_apart"


@dataclass(frozen=True, slots=True)
class Apart:
    """`tables` are those out of service, as they were when they took part, by the name they have now.
    `reasons` says of every table that ever was why, by its number."""

    tables: Mapping[str, TableSchema] = field(default_factory=dict)
    reasons: Mapping[int, str] = field(default_factory=dict)

    def with_changes(self, changes: Iterable[TableChange]) -> Apart:
        """With tables that cannot go on."""
        tables, reasons = dict(self.tables), dict(self.reasons)
        for change in changes:
            tables[place_of(change.after)] = change.before
            reasons[change.before.number] = "; ".join(change.breaking or change.demands)
        return Apart(tables, reasons)

    def without_mended(self, found: Schema, is_wider: IsWider) -> Apart:
        """Without those that are gone, and those that devices can follow, if need be without a column."""
        left = {}
        for table in found.tables:
            place = place_of(table)
            if place in self.tables and since(self.tables[place], table, is_wider).breaking:
                left[place] = self.tables[place]
        return Apart(left, self.reasons)

    def demanding(self, found: Schema, is_wider: IsWider) -> Iterator[TableChange]:
        """What has changed of tables that are out of service and could take part again but for columns that
        must have a value of which devices do not know."""
        for table in found.tables:
            former = self.tables.get(place_of(table))
            if former is not None:
                change = since(former, table, is_wider)
                if change.demanding and not change.breaking:
                    yield change

    def sentences(self) -> list[str]:
        """What is out of service, and why."""
        return [self.reasons[table.number] for table in self.tables.values()]


def without_parents(table: TableSchema, gone: Collection[str]) -> TableSchema:
    """The table without its foreign keys to tables that take no part: a device would refuse its rows."""
    return _with_keys(table, [key for key in table.foreign_keys if key.parent not in gone])


def undemanding(table: TableSchema, change: TableChange) -> TableSchema:
    """The table without what devices do not know of: a new column that must have a value is left out, one
    that they have need not have one. What is said of columns that are left out goes with them."""
    numbers = {column.name: column.number for column in change.after.columns}
    known = {column.number for column in change.before.columns}
    demanding = [column.name for column in table.columns if numbers[column.name] in change.demanding]
    left_out = frozenset(name for name in demanding if numbers[name] not in known)
    columns = (
        replace(column, nullable=True) if column.name in demanding else column
        for column in table.columns
        if column.name not in left_out
    )
    served = replace(
        _with_keys(table, [key for key in table.foreign_keys if left_out.isdisjoint(key.columns)]),
        columns=tuple(columns),
        uniques=tuple(unique for unique in table.uniques if left_out.isdisjoint(unique)),
        indexes=tuple(sql for sql in table.indexes if not any(names_column(sql, one) for one in left_out)),
    )
    return replace(served, ddl=_undemanding_ddl(served.ddl, demanding, left_out))


def _undemanding_ddl(ddl: str | None, demanding: Iterable[str], left_out: Collection[str]) -> str | None:
    """None where the words cannot be told apart: devices then make the table of its columns."""
    for name in demanding:
        if ddl is not None:
            ddl = without_column(ddl, name) if name in left_out else without_not_null(ddl, name)
    return ddl


def served(tables: Schema, apart: Apart, partly: Iterable[TableChange]) -> Schema:
    """The tables without those that are out of service; and of those that devices can follow in part
    (`partly`) that part."""
    gone = {one.name for one in tables.tables if place_of(one) in apart.tables}
    changes = {place_of(one.after): one for one in partly}
    rest = [without_parents(one, gone) for one in tables.tables if one.name not in gone]
    rest = [undemanding(one, changes[place_of(one)]) if place_of(one) in changes else one for one in rest]
    found = {one.name: one for one in rest}
    return arrange(_without_lost_parents(one, found) for one in rest)


def _without_lost_parents(table: TableSchema, served: Mapping[str, TableSchema]) -> TableSchema:
    """The table without its foreign keys to columns that its parents are served without."""
    columns = {name: {column.name for column in one.columns} for name, one in served.items()}
    return _with_keys(
        table,
        [
            key
            for key in table.foreign_keys
            if key.parent not in columns or columns[key.parent].issuperset(key.parent_columns)
        ],
    )


def _with_keys(table: TableSchema, keys: Sequence[ForeignKey]) -> TableSchema:
    """The table with these foreign keys; in the words of its definition are those of them that it had."""
    ddl = table.ddl
    for key in table.foreign_keys:
        if ddl is not None and key not in keys:
            ddl = without_foreign_key(ddl, key.columns)
    return replace(table, foreign_keys=tuple(keys), ddl=ddl)


def since(former: TableSchema, table: TableSchema, is_wider: IsWider) -> TableChange:
    """What has changed for devices that have the former; foreign keys are none of it."""
    before = Schema((replace(former, foreign_keys=()),))
    alone = replace(table, name=former.name, foreign_keys=())
    place = former.central_schema, former.central_name
    alone = replace(alone, central_schema=place[0], central_name=place[1])
    return table_change(before.tables[0], renumbered(Schema((alone,)), before).tables[0], is_wider)


def read(ledger: ReadLedger) -> Apart:
    """What is noted."""
    kept = ledger.setting(KEY)
    if kept is None:
        return Apart()
    plain = kept_json("a setting", kept)
    tables = {name: from_plain(one).tables[0] for name, one in plain["tables"].items()}
    return Apart(tables, {int(number): why for number, why in plain["reasons"].items()})


def note(ledger: Ledger, found: Apart) -> None:
    """Note it."""
    tables = {name: to_plain(Schema((table,))) for name, table in found.tables.items()}
    ledger.set(KEY, json.dumps({"tables": tables, "reasons": dict(found.reasons)}))
