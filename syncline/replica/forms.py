"""Which form each column has in this file: chosen when its table was made or tracked, and kept from then on.

The hub's schema says what the hub asks for; `forms` at clone and track count for more. What the hub asks for
later changes no file that is there: its application was written for what it has.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from syncline.errors import UsageError
from syncline.model.forms import KINDS, Choice, default_form, form_of, formed, in_numbers, spelling_of
from syncline.model.schema import ColumnSchema, Schema, TableSchema
from syncline.replica.affinity import affinity
from syncline.replica.indexes import columns_of
from syncline.replica.store import Store

logger = logging.getLogger("syncline.replica")


@dataclass(frozen=True, slots=True)
class Forms:
    """`chosen` is what the file was asked for, by kind of value, and holds for tables and columns to come.
    `columns` has the form of each column of a type with several, by the numbers of table and column."""

    chosen: Choice = field(default_factory=dict)
    columns: Mapping[int, Mapping[int, str]] = field(default_factory=dict)

    def of(self, table: TableSchema, column: ColumnSchema) -> str:
        """The form of a column in this file."""
        return self.columns.get(table.number, {}).get(column.number) or default_form(column.type)

    def having(self, tables: Iterable[TableSchema], choice: Choice | None = None) -> Forms:
        """These forms and those of columns that are new, of tables as the hub has them, by `choice` (None: as
        was chosen for the file)."""
        columns = dict(self.columns)
        for table in tables:
            known = columns.get(table.number, {})
            columns[table.number] = {
                column.number: known.get(column.number) or _form(table, column, choice or self.chosen)
                for column in table.columns
                if column.type in KINDS
            }
        return Forms(self.chosen, {n: some for n, some in columns.items() if some})

    def again(self, table: TableSchema, former: TableSchema | None, choice: Choice | None = None) -> Forms:
        """These forms and those of a table that is to take part: where the file has it since it took part
        before, under another number, its columns have the forms that they had then. Others get those of
        `choice` (None: that was chosen for the file)."""
        fresh = self.without({table.number: [column.number for column in table.columns]})
        if former is None or choice:
            return fresh.having([table], choice)
        had = {column.name: column for column in former.columns}
        kept = {
            column.number: had[column.name].form or default_form(column.type)
            for column in table.columns
            if column.type in KINDS and column.name in had and had[column.name].type == column.type
        }
        return Forms(self.chosen, {**fresh.columns, table.number: kept}).having([table])

    def without(self, columns: Mapping[int, Iterable[int]]) -> Forms:
        """These forms without those of some columns, by table: their type has changed."""
        gone = {n: set(some) for n, some in columns.items()}
        return Forms(
            self.chosen,
            {
                n: {number: form for number, form in some.items() if number not in gone.get(n, ())}
                for n, some in self.columns.items()
            },
        )


def _form(table: TableSchema, column: ColumnSchema, choice: Choice) -> str:
    """The form that a column gets. A key, and what points at one, must come back to the last digit."""
    form = form_of(column, choice)
    in_key = {*table.key, *(name for key in table.foreign_keys for name in key.columns)}
    in_key.update(name for unique in table.uniques for name in unique)
    found = spelling_of(formed(column, form)) if column.name in in_key else None
    return default_form(column.type) if found is not None and found.is_lossy else form


NONE = Forms()


def check_typed(schema: Schema, choice: Choice) -> None:
    """UsageError `forms_untyped` if forms are chosen of a centre that has no types: an SQLite one."""
    if choice and all(column.type == "any" for table in schema.tables for column in table.columns):
        raise UsageError(
            "forms are chosen, and the central database is SQLite, whose values a device has as they are",
            code="forms_untyped",
            remedy="Leave the forms out: what the application writes on a device is what the centre has.",
        )


def lossy(tables: Iterable[TableSchema]) -> dict[tuple[str, str], list[str]]:
    """The columns of tables, as this file has them, that cannot hold all that the centre's can, by the kind
    of value and the form."""
    found: dict[tuple[str, str], list[str]] = {}
    for table in tables:
        for column in table.columns:
            spelling = spelling_of(column) if column.type in KINDS else None
            if spelling is not None and spelling.is_lossy:
                found.setdefault((KINDS[column.type], column.form), []).append(f"{table.name}.{column.name}")
    return found


def loss(kind: str, form: str, columns: Iterable[str]) -> str:
    """What such columns lose, in a sentence."""
    return f"{', '.join(columns)} hold {kind} as {form}: {LOSSY[kind]}"


def as_declared(store: Store, schema: Schema, names: Collection[str]) -> Schema:
    """A schema with the columns of these tables as the file declares them: JSON whose bare numbers SQLite
    keeps as numbers (SQLAlchemy declares it so) is spelled in them."""
    tables = []
    for table in schema.tables:
        if table.name in names and any(column.type == "json" for column in table.columns):
            here = columns_of(store, table.name)
            numeric = {name for name, one in here.items() if affinity(one.declared) == "NUMERIC"}
            columns = (in_numbers(c) if c.type == "json" and c.name in numeric else c for c in table.columns)
            if numeric:
                table = replace(table, columns=tuple(columns))
        tables.append(table)
    return schema if tuple(tables) == schema.tables else Schema(tuple(tables), schema.used)


LOSSY = {
    "decimals": "digits beyond the fifteenth are rounded in this file, not in the centre",
    "intervals": "a day is 24 hours in this file, and is written back so",
}
"""What is lost of values by their kind."""


def warn_of_loss(tables: Iterable[TableSchema]) -> None:
    """Log a warning of each kind of value that names the columns, of tables as this file has them, that
    `lossy` names."""
    for (kind, form), columns in lossy(tables).items():
        logger.warning(loss(kind, form, columns), extra={"action": "forms", "columns": columns})


def in_forms(schema: Schema, forms: Forms) -> Schema:
    """A schema with the columns as this file has them."""
    tables = tuple(table_in_forms(table, forms) for table in schema.tables)
    if all(one is other for one, other in zip(tables, schema.tables, strict=True)):
        return schema
    return Schema(tables, schema.used)


def table_in_forms(table: TableSchema, forms: Forms) -> TableSchema:
    """A table with the columns as this file has them."""
    if all(column.type not in KINDS for column in table.columns):
        return table
    columns = tuple(
        formed(column, forms.of(table, column)) if column.type in KINDS else column
        for column in table.columns
    )
    return replace(table, columns=columns)


def read_forms(kept: str | None) -> Forms:
    """The inverse of `written_forms`."""
    if kept is None:
        return NONE
    plain = json.loads(kept)
    return Forms(
        plain["chosen"],
        {
            int(table): {int(number): form for number, form in columns.items()}
            for table, columns in plain["columns"].items()
        },
    )


def written_forms(forms: Forms) -> str | None:
    """As JSON; None if there is nothing."""
    if not (forms.chosen or forms.columns):
        return None
    return json.dumps({"chosen": dict(forms.chosen), "columns": dict(forms.columns)}, default=dict)
