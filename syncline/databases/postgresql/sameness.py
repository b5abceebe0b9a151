"""What PostgreSQL knows to be the same table or column as before: oid and attnum outlive every name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from syncline.databases.postgresql.layout import Shape
from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.sql import queries
from syncline.model.numbering import Place, Renamed
from syncline.model.schema import TableSchema


@dataclass(frozen=True, slots=True)
class Tracked:
    """A line of `syncline.tables`."""

    n: int
    relid: int
    schema: str
    name: str
    columns: str
    labels: str
    key: str
    words: int
    capture: str


@dataclass(frozen=True, slots=True)
class Ground:
    """A table as it is now: its oid, attnum and type's oid of each column, the labels of its enums by their
    oids, how it can be captured.

    `by_row`: statement triggers do not see every change. `partitions`: (schema, name) of its parts."""

    relid: int
    columns: Mapping[str, tuple[int, int]]
    labels: Mapping[str, str]
    by_row: bool
    partitions: tuple[tuple[str, str], ...]

    def numbers(self, table: TableSchema) -> str:
        """The columns' numbers by attnum, as `syncline.tables` keeps them."""
        return json.dumps(
            {str(self.columns[column.name][0]): column.number for column in table.columns}, sort_keys=True
        )


def ground_of(session: Session, table: TableSchema) -> Ground | None:
    """The table under its present name; None if there is none."""
    rows = session.run(queries("prepare.sql")["placement"], table.central_schema, table.central_name)
    if not rows:
        return None
    relid, columns, labels, by_row, parts = rows[0]
    partitions = tuple((name.split("\n")[0], name.split("\n")[1]) for name in parts)
    return Ground(relid, {name: tuple(facts) for name, facts in columns.items()}, labels, by_row, partitions)


def known_again(session: Session, lines: Iterable[Tracked]) -> Renamed:
    """The tables and columns of these lines by their present names. The oids must be of this database."""
    by_oid = {line.relid: line for line in lines}
    tables: dict[Place, int] = {}
    columns: dict[int, Mapping[str, int]] = {}
    for relid, schema, name, names in session.run(queries("prepare.sql")["known again"], list(by_oid)):
        line = by_oid[relid]
        numbers = json.loads(line.columns)
        tables[schema, name] = line.n
        columns[line.n] = {column: numbers[attnum] for attnum, column in names.items() if attnum in numbers}
    return Renamed(tables, columns)


def misnamed(session: Session, shapes: Sequence[Shape]) -> set[str]:
    """Names of those tables that are, or of which a column is, not what this name was recorded for."""
    found = session.run(queries("prepare.sql")["named"], [shape.n for shape in shapes])
    present = {n: tuple(rest) for n, *rest in found}
    return {shape.table.name for shape in shapes if not _is_named(shape.table, present.get(shape.n))}


def _is_named(table: TableSchema, found: tuple[str, str, str, Mapping[str, str]] | None) -> bool:
    if found is None or found[:2] != (table.central_schema, table.central_name):
        return False
    names = {number: found[3].get(attnum) for attnum, number in json.loads(found[2]).items()}
    return all(names.get(column.number) == column.name for column in table.columns)
