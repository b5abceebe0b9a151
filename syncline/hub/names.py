"""Former names: a configuration goes on meaning what it meant when the centre renames a table or column.

Kept in the ledger as JSON, so that every server of a hub, also one that starts later, knows them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from syncline.hub.contract import Ledger, ReadLedger
from syncline.hub.contract.kept import kept_json
from syncline.merge.policies import ColumnFunction
from syncline.merge.rules import Table
from syncline.model.schema import Schema, TableSchema

SETTING = "former_names"
WRITE = "write the new name into syncline.toml"


@dataclass(frozen=True, slots=True)
class FormerNames:
    """The numbers of tables and, by the number of their table, of columns, by names that they once had. The
    numbers of columns may be those of columns that are gone."""

    tables: Mapping[str, int] = field(default_factory=dict)
    columns: Mapping[int, Mapping[str, int]] = field(default_factory=dict)

    def together(self, other: FormerNames) -> FormerNames:
        """These names, and those of `other` where both know one."""
        numbers = self.columns.keys() | other.columns.keys()
        columns = {n: {**self.columns.get(n, {}), **other.columns.get(n, {})} for n in numbers}
        return FormerNames({**self.tables, **other.tables}, columns)

    def rules(self, table: TableSchema, chosen: Mapping[str, Table]) -> Table:
        """What a configuration says of a table, by its present names."""
        former = [name for name, number in self.tables.items() if number == table.number]
        found = next((chosen[name] for name in (*names_of(table), *former) if name in chosen), Table())
        if isinstance(found.merge, str):
            return found
        merge: dict[str, str | ColumnFunction] = {}
        for name, policy in found.merge.items():
            now = self.column(table, name)
            if now is not None and (now == name or now not in found.merge):
                merge[now] = policy
        return replace(found, merge=merge)

    def table(self, name: str, schema: Schema) -> TableSchema | None:
        """The table of `schema` that a configuration calls so; None if it is none of these, or several."""
        named = [table for table in schema.tables if name in names_of(table)]
        if named:
            return named[0] if len(named) == 1 else None
        return schema.by_number.get(self.tables.get(name, -1))

    def column(self, table: TableSchema, name: str) -> str | None:
        """What the column is called now that a configuration calls so: the same, if it never had another
        name; None if it is gone."""
        present = {column.number: column.name for column in table.columns}
        known = self.columns.get(table.number, {})
        if name in present.values() or name not in known:
            return name
        return present.get(known[name])

    def _taken_from(self, table: TableSchema, name: str) -> str | None:
        """The column that had a name before which another one has now; None if there is none."""
        number = self.columns.get(table.number, {}).get(name, -1)
        return next((c.name for c in table.columns if c.number == number and c.name != name), None)

    def keys(self, schema: Schema, chosen: Mapping[str, Table]) -> dict[str, Sequence[str]]:
        """The columns that are the key of a table by the configuration, by their present names."""
        found: dict[str, Sequence[str]] = {}
        for name, rules in chosen.items():
            table = self.table(name, schema)
            if table is None or not rules.key:
                found |= {name: rules.key} if rules.key else {}
            elif name in names_of(table) or place_of(table) not in found:
                found[place_of(table)] = [self.column(table, column) or column for column in rules.key]
        return found

    def outdated(self, schema: Schema, chosen: Mapping[str, Table]) -> Iterator[str]:
        """A sentence for each name of the configuration that is a former one."""
        for name, rules in chosen.items():
            table = self.table(name, schema)
            if table is None:
                continue
            if name not in names_of(table):
                yield f"{name}: it is called {place_of(table)} now; {WRITE}"
            merge = () if isinstance(rules.merge, str) else tuple(rules.merge)
            for column in dict.fromkeys((*merge, *rules.key)):
                now = self.column(table, column)
                if now is None:
                    yield f"{name}.{column}: the column is gone; take it out of syncline.toml"
                elif now != column:
                    yield f"{name}.{column}: it is called {now} now; {WRITE}"
                elif (other := self._taken_from(table, column)) not in (None, *merge, *rules.key):
                    yield (
                        f"{name}.{column}: this means the column that is called {column} now; the one that"
                        f" was called so before is {other}, and has no such rule any more; name it"
                        " too if it is to have one"
                    )


def place_of(table: TableSchema) -> str:
    """The table's name as a configuration says it without doubt."""
    schema, name = table.central_schema, table.central_name
    return f"{schema}.{name}" if schema else name


def configured(table: TableSchema) -> str:
    """The table's name as a configuration says it: the plain one where that will do."""
    return table.name if table.name == table.central_name else place_of(table)


def section(name: str) -> str:
    """The head of the section of syncline.toml that is about the table of this name."""
    return f"[tables.{name if re.fullmatch('[A-Za-z0-9_-]+', name) else json.dumps(name)}]"


def names_of(table: TableSchema) -> tuple[str, ...]:
    """What a configuration may call a table."""
    return (table.name, place_of(table), table.central_name)


def between(before: Schema, after: Schema) -> FormerNames:
    """The names that something in `after` had in `before`, and those of columns that are gone."""
    tables: dict[str, int] = {}
    columns: dict[int, dict[str, int]] = {}
    for table in after.tables:
        former = before.by_number.get(table.number)
        if former is None:
            continue
        tables |= {name: table.number for name in names_of(former) if name not in names_of(table)}
        present = {column.number: column.name for column in table.columns}
        renamed = {
            column.name: column.number
            for column in former.columns
            if present.get(column.number) != column.name
        }
        if renamed:
            columns[table.number] = renamed
    return FormerNames(tables, columns)


def read(ledger: ReadLedger) -> FormerNames:
    """All that were ever noted."""
    plain = kept_json("a setting", ledger.setting(SETTING) or '{"tables": {}, "columns": {}}')
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
