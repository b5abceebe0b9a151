"""Former names: a configuration goes on meaning what it meant when the centre renames a table or column.

Kept in the ledger as JSON, so that every server of a hub, also one that starts later, knows them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from syncline.hub.contract import Ledger, ReadLedger
from syncline.merge.rules import Table
from syncline.model.schema import Schema, TableSchema

SETTING = "former_names"


@dataclass(frozen=True, slots=True)
class FormerNames:
    """The numbers of tables and, by the number of their table, of columns, by names that they once had."""

    tables: Mapping[str, int] = field(default_factory=dict)
    columns: Mapping[int, Mapping[str, int]] = field(default_factory=dict)

    def together(self, other: FormerNames) -> FormerNames:
        """These names, and those of `other` where both know one."""
        numbers = self.columns.keys() | other.columns.keys()
        columns = {n: {**self.columns.get(n, {}), **other.columns.get(n, {})} for n in numbers}
        return FormerNames({**self.tables, **other.tables}, columns)

    def rules(self, table: TableSchema, chosen: Mapping[str, Table]) -> Table:
        """What a configuration says of a table, by its present names."""
        full = f"{table.central_schema}.{table.central_name}"
        former = [name for name, number in self.tables.items() if number == table.number]
        found = next((chosen[name] for name in (table.name, full, *former) if name in chosen), Table())
        if isinstance(found.merge, str):
            return found
        present = {column.number: column.name for column in table.columns}
        known = self.columns.get(table.number, {})
        names = set(present.values())
        merge = {
            name if name in names else present.get(known.get(name, -1), name): policy
            for name, policy in found.merge.items()
        }
        return replace(found, merge=merge)


def between(before: Schema, after: Schema) -> FormerNames:
    """The names that something in `after` had in `before`."""
    tables: dict[str, int] = {}
    columns: dict[int, dict[str, int]] = {}
    for table in after.tables:
        former = before.by_number.get(table.number)
        if former is None:
            continue
        if former.name != table.name:
            tables[former.name] = table.number
            tables[f"{former.central_schema}.{former.central_name}"] = table.number
        present = {column.number: column.name for column in table.columns}
        renamed = {
            column.name: column.number
            for column in former.columns
            if present.get(column.number, column.name) != column.name
        }
        if renamed:
            columns[table.number] = renamed
    return FormerNames(tables, columns)


def read(ledger: ReadLedger) -> FormerNames:
    """All that were ever noted."""
    plain = json.loads(ledger.setting(SETTING) or '{"tables": {}, "columns": {}}')
    return FormerNames(plain["tables"], {int(n): names for n, names in plain["columns"].items()})


def note(ledger: Ledger, found: FormerNames) -> None:
    """Note these too."""
    if found.tables or found.columns:
        whole = read(ledger).together(found)
        plain = {
            "tables": dict(whole.tables),
            "columns": {n: dict(some) for n, some in whole.columns.items()},
        }
        ledger.set(SETTING, json.dumps(plain))
