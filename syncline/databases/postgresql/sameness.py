"""What PostgreSQL knows to be the same table or column as before: oid and attnum outlive every name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from syncline.databases.base.planning import Ground, Line
from syncline.databases.postgresql.layout import Facts
from syncline.databases.postgresql.session import Session
from syncline.databases.postgresql.sql import queries
from syncline.model.numbering import Place, Renamed
from syncline.model.schema import TableSchema


def ground_of(session: Session, table: TableSchema) -> Ground | None:
    """The table under its present name; None if there is none."""
    rows = session.run(queries("prepare.sql")["placement"], table.central_schema, table.central_name)
    if not rows:
        return None
    relid, columns, labels, by_row, parts, leaves = rows[0]
    partitions = tuple((name.split("\n")[0], name.split("\n")[1]) for name in parts)
    numbered = {name: tuple(facts) for name, facts in columns.items()}
    return Ground(relid, numbered, labels, by_row, partitions, tuple(leaves))


def known_again(session: Session, lines: Iterable[Line]) -> Renamed:
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


@dataclass(frozen=True, slots=True)
class Present:
    """A tracked table as it is now: its name, the numbers that were recorded of its columns by attnum, and
    their names by attnum; what else there is to know of it, if that was asked for."""

    place: tuple[str, str]
    numbers: str
    names: Mapping[str, str]
    facts: Facts | None

    def is_named(self, table: TableSchema) -> bool:
        """Whether the table and each of its columns is what this name was recorded for."""
        names = {number: self.names.get(attnum) for attnum, number in json.loads(self.numbers).items()}
        is_here = self.place == (table.central_schema, table.central_name)
        return is_here and all(names.get(column.number) == column.name for column in table.columns)


def as_they_are(session: Session, tables: Iterable[int], written: Iterable[int]) -> dict[int, Present]:
    """Tracked tables by number, with their facts those that are `written`; not in it: those that are gone."""
    rows = session.run(queries("prepare.sql")["as they are"], list(tables), list(written))
    return {
        n: Present((schema, name), numbers, names, None if facts[0] is None else Facts(*facts))
        for n, schema, name, numbers, names, *facts in rows
    }
