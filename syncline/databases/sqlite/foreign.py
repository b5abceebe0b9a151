"""Deferred foreign keys, checked before the commit so that the rows at fault can be named.

SQLite only counts violations until COMMIT and then refuses everything. Here each staged row is asked: is
the row it points at there (inserts, updates), does anybody still point at what it was (deletes, and
updates of a unique column that others point at)?
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from syncline.databases.base.parents import key_of
from syncline.databases.sqlite.layout import Layout, Shape
from syncline.databases.sqlite.read import RowReader
from syncline.databases.sqlite.stage import Staged, keep
from syncline.hub.contract import Refusal, codes
from syncline.model.schema import ForeignKey
from syncline.sqlitekit.sql import commas, folded, quote
from syncline.sqlitekit.tables import Table

Way = list[tuple[Table, ForeignKey]]
"""How a stage can leave rows without their parent: a chain of ON DELETE CASCADE from its table down, no table
twice, and one last foreign key, of the rows that may be left."""


def children(layout: Layout, parent: str) -> list[tuple[Table, ForeignKey]]:
    """Every foreign key, of any table, that points at `parent`."""
    found = []
    for table in layout.everything.values():
        for key in table.foreign_keys:
            if folded(key.parent) == folded(parent):
                found.append((table, key))
    return found


def _ways(layout: Layout, staged: Staged) -> list[Way]:
    """Foreign keys of any table that a delete, or an update of columns that they point at, can break."""
    if staged.stage.form == "insert":
        return []
    pointing = children(layout, staged.shape.facts.name)
    if staged.stage.form == "update":
        written = {folded(staged.shape.table.values[index].name) for index in staged.stage.columns}
        return [[(child, key)] for child, key in pointing if written & _targets(key)]
    found: list[Way] = [[step] for step in pointing]
    waiting = list(found)
    while waiting:
        way = waiting.pop()
        child, key = way[-1]
        if key.on_delete != "CASCADE":
            if len(way) > 1 and key.on_delete in ("NO ACTION", "RESTRICT"):
                found.append(way)
        elif child.name not in {staged.shape.facts.name, *(table.name for table, _ in way[:-1])}:
            waiting += [[*way, step] for step in children(layout, child.name)]
    return found


def _targets(key: ForeignKey) -> set[str]:
    return {folded(name) for name in key.parent_columns}


def _is_staged(staged: Staged, way: Way) -> bool:
    """Whether what the last key points at stands in the staged rows themselves."""
    return len(way) == 1 and _targets(way[0][1]) <= {folded(name) for name in staged.shape.table.key}


def remember(connection: sqlite3.Connection, layout: Layout, staged: Staged) -> None:
    """Keep what `dangling` will need of the rows that go, or change, before they do."""
    for number, way in enumerate(_ways(layout, staged)):
        if _is_staged(staged, way):
            continue
        joins = [f"{staged.table} AS s CROSS JOIN {staged.shape.name} AS t0"]
        tests = [staged.shape.matches("t0")]
        for level, (child, key) in enumerate(way[:-1]):
            joins.append(f"{quote(child.name)} AS t{level + 1}")
            tests += [
                f"t{level + 1}.{quote(mine)} = t{level}.{quote(theirs)}"
                for mine, theirs in zip(key.columns, key.parent_columns, strict=True)
            ]
        kept = [f"t{len(way) - 1}.{quote(name)} AS {quote(name)}" for name in way[-1][1].parent_columns]
        source = f"{' CROSS JOIN '.join(joins)} WHERE {' AND '.join(tests)}"
        keep(connection, f"{staged.table}_way{number}", f"SELECT s.n, {commas(kept)} FROM {source}")


def forget(connection: sqlite3.Connection, layout: Layout, staged: Staged) -> None:
    """Drop what was remembered."""
    for number in range(len(_ways(layout, staged))):
        connection.execute(f"DROP TABLE IF EXISTS {staged.table}_way{number}")


def _orphaning(writer: RowReader, staged: Staged) -> list[Refusal]:
    """Rows that are gone, or changed, or took others along, while somebody still points at what was there."""
    found = []
    names = {folded(name): f"k{number}" for number, name in enumerate(staged.shape.table.key)}
    for number, way in enumerate(_ways(writer.layout, staged)):
        child, key = way[-1]
        gone = way[-2][0].name if len(way) > 1 else staged.shape.facts.name
        is_staged = _is_staged(staged, way)
        source = staged.table if is_staged else f"{staged.table}_way{number}"
        old = [f"o.{names[folded(c)] if is_staged else quote(c)}" for c in key.parent_columns]
        points = " AND ".join(f"c.{quote(c)} = {v}" for c, v in zip(key.columns, old, strict=True))
        stays = " AND ".join(f"p.{quote(c)} = {v}" for c, v in zip(key.parent_columns, old, strict=True))
        rows = writer.connection.execute(
            f"SELECT DISTINCT o.n FROM {source} AS o WHERE EXISTS"
            f" (SELECT 1 FROM {quote(child.name)} AS c WHERE {points}) AND NOT EXISTS"
            f" (SELECT 1 FROM {quote(gone)} AS p WHERE {stays})"
        )
        which = "it" if len(way) == 1 else f"rows of {gone} that would go with it"
        detail = f"rows of {child.name} still point at {which}"
        found += [Refusal(staged.stage, n, codes.FOREIGN_KEY, detail) for (n,) in rows.fetchall()]
    return found


def dangling(writer: RowReader, stages: Sequence[Staged], refused: Sequence[Refusal]) -> list[Refusal]:
    """Staged rows that break a foreign key now, besides those that are refused already."""
    found: dict[tuple[int, int], Refusal] = {}
    for staged in stages:
        orphans = [] if staged.stage.form == "delete" else _orphans(writer, staged)
        for refusal in [*orphans, *_orphaning(writer, staged)]:
            found.setdefault((id(refusal.stage), refusal.row), refusal)
    for refusal in refused:
        found.pop((id(refusal.stage), refusal.row), None)
    return list(found.values())


def _touched_keys(staged: Staged) -> list[ForeignKey]:
    """The table's own foreign keys that this stage writes."""
    shape = staged.shape
    keys = list(shape.table.foreign_keys)
    if staged.stage.form == "insert" or shape.facts.triggers:
        return keys
    written = {shape.table.values[index].name for index in staged.stage.columns}
    return [key for key in keys if written & set(key.columns)]


def _orphans(writer: RowReader, staged: Staged) -> list[Refusal]:
    """Rows that point at a row that is not there."""
    shape, found = staged.shape, []
    for key in _touched_keys(staged):
        parent = writer.layout.schema.table(key.parent)
        mine = [f"t.{quote(column)}" for column in key.columns]
        theirs = [f"p.{quote(column)}" for column in key.parent_columns]
        pairs = " AND ".join(f"{p} = {t}" for p, t in zip(theirs, mine, strict=True))
        pairs += _unlike_itself(shape, key, theirs, mine)
        given = " AND ".join(f"{column} IS NOT NULL" for column in mine)
        rows = writer.connection.execute(
            f"SELECT s.n, {commas(mine)} FROM {staged.table} AS s CROSS JOIN {shape.name} AS t"
            f" WHERE {shape.matches()} AND {given}"
            f" AND NOT EXISTS (SELECT 1 FROM {quote(parent.central_name)} AS p WHERE {pairs})"
        )
        number = parent.number
        for n, *values in rows.fetchall():
            named = ", ".join(f"{c} = {v!r}" for c, v in zip(key.columns, values, strict=True))
            detail = f"{named}: there is no such row in {parent.name}"
            target = key_of(parent, dict(zip(key.parent_columns, values, strict=True)))
            found.append(
                Refusal(staged.stage, n, codes.FOREIGN_KEY, detail, (number, target) if target else None)
            )
    return found


def _unlike_itself(shape: Shape, key: ForeignKey, theirs: Sequence[str], mine: Sequence[str]) -> str:
    """A row that points at itself must spell its key alike: there SQLite leaves the collation out."""
    if folded(key.parent) != folded(shape.table.name):
        return ""
    rows = zip(shape.key_of("p"), shape.key_of("t"), strict=True)
    itself = " AND ".join(f"{p} IS {t} COLLATE BINARY" for p, t in rows)
    alike = " AND ".join(f"{p} = {t} COLLATE BINARY" for p, t in zip(theirs, mine, strict=True))
    return f" AND (NOT ({itself}) OR ({alike}))"
