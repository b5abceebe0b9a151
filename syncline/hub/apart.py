"""Tables that were changed in a way that devices cannot follow: they alone are out of service, not the hub.

    noticed     the table takes part no longer, everything else goes on; devices keep it and their edits
    undone      it takes part again, as one that was put back
    agreed to   (`init --yes`) it takes part as it is now, as another table: nothing that was sent of the
                former one can be taken for it

Noted in the central database, so that all servers say the same.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from syncline.hub.contract import Ledger, ReadLedger
from syncline.hub.names import place_of
from syncline.model.evolution import IsWider, TableChange, compare
from syncline.model.numbering import renumbered
from syncline.model.schema import ForeignKey, Schema, TableSchema, from_plain, to_plain
from syncline.sqlitekit.definition import without_foreign_key

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
            reasons[change.before.number] = "; ".join(change.breaking)
        return Apart(tables, reasons)

    def without_mended(self, found: Schema, is_wider: IsWider) -> Apart:
        """Without those that are gone, or are as devices know them again."""
        left = {}
        for table in found.tables:
            place = place_of(table)
            if place in self.tables and breaking(self.tables[place], table, is_wider):
                left[place] = self.tables[place]
        return Apart(left, self.reasons)

    def sentences(self) -> list[str]:
        """What is out of service, and why."""
        return [self.reasons[table.number] for table in self.tables.values()]


def without_parents(table: TableSchema, gone: Collection[str]) -> TableSchema:
    """The table without its foreign keys to tables that take no part: a device would refuse its rows."""
    return _with_keys(table, [key for key in table.foreign_keys if key.parent not in gone])


def as_before(change: TableChange) -> TableSchema:
    """The table as it was, with the foreign keys that it has now: its parents may have other names. `change`
    is harmless."""
    names = {column.name for column in change.before.columns}
    return _with_keys(change.before, [k for k in change.after.foreign_keys if names.issuperset(k.columns)])


def _with_keys(table: TableSchema, keys: Sequence[ForeignKey]) -> TableSchema:
    """The table with these foreign keys; in the words of its definition are those of them that it had."""
    ddl = table.ddl
    for key in table.foreign_keys:
        if ddl is not None and key not in keys:
            ddl = without_foreign_key(ddl, key.columns)
    return replace(table, foreign_keys=tuple(keys), ddl=ddl)


def breaking(former: TableSchema, table: TableSchema, is_wider: IsWider) -> tuple[str, ...]:
    """What devices that have the former could not follow."""
    before = Schema((replace(former, foreign_keys=()),))
    alone = replace(table, name=former.name, foreign_keys=())
    place = former.central_schema, former.central_name
    alone = replace(alone, central_schema=place[0], central_name=place[1])
    return compare(before, renumbered(Schema((alone,)), before), is_wider).breaking


def read(ledger: ReadLedger) -> Apart:
    """What is noted."""
    kept = ledger.setting(KEY)
    if kept is None:
        return Apart()
    plain = json.loads(kept)
    tables = {name: from_plain(one).tables[0] for name, one in plain["tables"].items()}
    return Apart(tables, {int(number): why for number, why in plain["reasons"].items()})


def note(ledger: Ledger, found: Apart) -> None:
    """Note it."""
    tables = {name: to_plain(Schema((table,))) for name, table in found.tables.items()}
    ledger.set(KEY, json.dumps({"tables": tables, "reasons": dict(found.reasons)}))
