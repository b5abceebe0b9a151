"""Deferred foreign keys, checked before the commit so that the rows at fault can be named.

SQLite only counts violations until COMMIT and then refuses everything. Here each staged row is asked: is
the row it points at there (inserts, updates), does anybody still point at what it was (deletes, and
updates of a unique column that others point at)?
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from syncline.databases.sqlite.layout import Layout, Tracked
from syncline.databases.sqlite.read import RowReader
from syncline.databases.sqlite.stage import Staged
from syncline.hub.contract import Key, Refusal, codes
from syncline.model.schema import ForeignKey, TableSchema
from syncline.sqlitekit.sql import commas, quote
from syncline.sqlitekit.tables import Table


def _watched(layout: Layout, staged: Staged) -> list[tuple[Table, ForeignKey]]:
    """Foreign keys of any table that this stage can leave without their parent."""
    if staged.stage.form == "insert":
        return []
    tracked = staged.tracked
    found = layout.children(tracked.facts.name)
    if staged.stage.form == "delete":
        return found
    written = {tracked.table.values[index].name.lower() for index in staged.stage.columns}
    return [(child, key) for child, key in found if written & {c.lower() for c in key.parent_columns}]


def _remembered(layout: Layout, staged: Staged) -> list[str]:
    """Columns outside the key that somebody points at: their old values are needed after the write."""
    key = {name.lower() for name in staged.tracked.table.key}
    pointed = {c.lower() for _, fk in _watched(layout, staged) for c in fk.parent_columns}
    return sorted(pointed - key)


def remember(connection: sqlite3.Connection, layout: Layout, staged: Staged) -> None:
    """Keep old values that `dangling` will need, before the rows are written."""
    _remember_paths(connection, layout, staged)
    columns = _remembered(layout, staged)
    if not columns:
        return
    tracked = staged.tracked
    name = f"{staged.table}_old"
    old = [f"t.{quote(column)} AS {quote(column)}" for column in columns]
    connection.execute(f"DROP TABLE IF EXISTS {name}")
    connection.execute(
        f"CREATE TEMP TABLE {name[5:]} AS SELECT s.n AS _sync_n, {commas(old)}"
        f" FROM {staged.table} AS s CROSS JOIN {tracked.name} AS t WHERE {tracked.join('t', 's')}"
    )


def forget(connection: sqlite3.Connection, layout: Layout, staged: Staged) -> None:
    """Drop what was remembered."""
    connection.execute(f"DROP TABLE IF EXISTS {staged.table}_old")
    for number in range(len(_cascades(layout, staged))):
        connection.execute(f"DROP TABLE IF EXISTS {staged.table}_path{number}")


Path = list[tuple[Table, ForeignKey]]


def _cascades(layout: Layout, staged: Staged) -> list[Path]:
    """Ways by which a delete of this stage removes rows elsewhere that others may still point at.

    Each way is a chain of ON DELETE CASCADE, no table twice, and one last foreign key that does not cascade.
    """
    if staged.stage.form != "delete":
        return []
    found: list[Path] = []
    waiting: list[Path] = [[step] for step in layout.children(staged.tracked.facts.name)]
    while waiting:
        path = waiting.pop()
        child, key = path[-1]
        if key.on_delete != "CASCADE":
            if len(path) > 1 and key.on_delete in ("NO ACTION", "RESTRICT"):
                found.append(path)
            continue
        names = {staged.tracked.facts.name, *(table.name for table, _ in path[:-1])}
        if child.name not in names:
            waiting += [[*path, step] for step in layout.children(child.name)]
    return found


def _remember_paths(connection: sqlite3.Connection, layout: Layout, staged: Staged) -> None:
    """For each way of `_cascades`: which rows a staged delete will take along."""
    for number, path in enumerate(_cascades(layout, staged)):
        joins = [f"{staged.table} AS s CROSS JOIN {staged.tracked.name} AS t0"]
        tests = [staged.tracked.join("t0", "s")]
        for level, (child, key) in enumerate(path[:-1]):
            joins.append(f"{quote(child.name)} AS t{level + 1}")
            tests += [
                f"t{level + 1}.{quote(mine)} = t{level}.{quote(theirs)}"
                for mine, theirs in zip(key.columns, key.parent_columns, strict=True)
            ]
        last = f"t{len(path) - 1}"
        kept = [f"{last}.{quote(column)} AS {quote(column)}" for column in path[-1][1].parent_columns]
        name = f"{staged.table}_path{number}"
        connection.execute(f"DROP TABLE IF EXISTS {name}")
        connection.execute(
            f"CREATE TEMP TABLE {name[5:]} AS SELECT s.n AS _sync_n, {commas(kept)}"
            f" FROM {' CROSS JOIN '.join(joins)} WHERE {' AND '.join(tests)}"
        )


def _cascaded(writer: RowReader, staged: Staged) -> list[Refusal]:
    """Deletes that took rows along to which somebody still points."""
    found = []
    for number, path in enumerate(_cascades(writer.layout, staged)):
        child, key = path[-1]
        gone = path[-2][0]
        pairs = list(zip(key.columns, key.parent_columns, strict=True))
        points = " AND ".join(f"c.{quote(mine)} = o.{quote(theirs)}" for mine, theirs in pairs)
        stays = " AND ".join(f"p.{quote(theirs)} = o.{quote(theirs)}" for _, theirs in pairs)
        rows = writer.connection.execute(
            f"SELECT DISTINCT o._sync_n FROM {staged.table}_path{number} AS o WHERE EXISTS"
            f" (SELECT 1 FROM {quote(child.name)} AS c WHERE {points}) AND NOT EXISTS"
            f" (SELECT 1 FROM {quote(gone.name)} AS p WHERE {stays})"
        )
        for (n,) in rows.fetchall():
            detail = f"rows of {child.name} still point at rows of {gone.name} that would go with it"
            found.append(Refusal(staged.stage, n, codes.FOREIGN_KEY, detail))
    return found


def dangling(writer: RowReader, stages: Sequence[Staged], refused: Sequence[Refusal]) -> list[Refusal]:
    """Staged rows that break a foreign key now, and those that would without the refused rows."""
    known = {(id(refusal.stage), refusal.row) for refusal in refused}
    found: list[Refusal] = []
    for staged in stages:
        if staged.stage.form == "delete":
            found += _new(known, _orphaning(writer, staged))
            found += _new(known, _cascaded(writer, staged))
        else:
            found += _new(known, _orphans(writer, staged))
            found += _new(known, _orphaning(writer, staged))
    frontier = [*refused, *found]
    while frontier:
        frontier = _new(known, _dependents(writer, stages, frontier))
        found += frontier
    return found


def _new(known: set[tuple[int, int]], refusals: Iterable[Refusal]) -> list[Refusal]:
    fresh = []
    for refusal in refusals:
        if (id(refusal.stage), refusal.row) not in known:
            known.add((id(refusal.stage), refusal.row))
            fresh.append(refusal)
    return fresh


def _touched_keys(staged: Staged) -> list[ForeignKey]:
    """The table's own foreign keys that this stage writes."""
    tracked = staged.tracked
    keys = list(tracked.table.foreign_keys)
    if staged.stage.form == "insert" or tracked.facts.triggers:
        return keys
    written = {tracked.table.values[index].name for index in staged.stage.columns}
    return [key for key in keys if written & set(key.columns)]


def _orphans(writer: RowReader, staged: Staged) -> list[Refusal]:
    """Rows that point at a row that is not there."""
    tracked, found = staged.tracked, []
    for key in _touched_keys(staged):
        parent = writer.layout.schema.table(key.parent)
        mine = [f"t.{quote(column)}" for column in key.columns]
        theirs = [f"p.{quote(column)}" for column in key.parent_columns]
        pairs = " AND ".join(f"{p} = {t}" for p, t in zip(theirs, mine, strict=True))
        pairs += _unlike_itself(tracked, key, theirs, mine)
        given = " AND ".join(f"{column} IS NOT NULL" for column in mine)
        rows = writer.connection.execute(
            f"SELECT s.n, {commas(mine)} FROM {staged.table} AS s CROSS JOIN {tracked.name} AS t"
            f" WHERE {tracked.join('t', 's')} AND {given}"
            f" AND NOT EXISTS (SELECT 1 FROM {quote(parent.central_name)} AS p WHERE {pairs})"
        )
        number = parent.number
        for n, *values in rows.fetchall():
            named = ", ".join(f"{c} = {v!r}" for c, v in zip(key.columns, values, strict=True))
            detail = f"{named}: there is no such row in {parent.name}"
            target = _parent_key(parent, key, values)
            found.append(
                Refusal(staged.stage, n, codes.FOREIGN_KEY, detail, (number, target) if target else None)
            )
    return found


def _unlike_itself(tracked: Tracked, key: ForeignKey, theirs: Sequence[str], mine: Sequence[str]) -> str:
    """A row that points at itself must spell its key alike: there SQLite leaves the collation out."""
    if key.parent.lower() != tracked.table.name.lower():
        return ""
    rows = zip(tracked.key_of("p"), tracked.key_of("t"), strict=True)
    itself = " AND ".join(f"{p} IS {t} COLLATE BINARY" for p, t in rows)
    alike = " AND ".join(f"{p} = {t} COLLATE BINARY" for p, t in zip(theirs, mine, strict=True))
    return f" AND (NOT ({itself}) OR ({alike}))"


def _parent_key(parent: TableSchema, key: ForeignKey, values: Sequence[object]) -> Key | None:
    """The parent's key, if that is what the foreign key points at; of another unique key it is unknown."""
    by_column = dict(zip(key.parent_columns, values, strict=True))
    if set(by_column) != set(parent.key):
        return None
    return tuple(by_column[name] for name in parent.key)  # type: ignore[misc]


def _orphaning(writer: RowReader, staged: Staged) -> list[Refusal]:
    """Rows that are gone (or changed) while somebody still points at what they were."""
    tracked, layout = staged.tracked, writer.layout
    remembered = _remembered(layout, staged)
    key = {name.lower(): f"s.k{number}" for number, name in enumerate(tracked.table.key)}
    source = f"{staged.table} AS s"
    if remembered:
        source += f" CROSS JOIN {staged.table}_old AS o ON o._sync_n = s.n"
    found = []
    for child, fk in _watched(layout, staged):
        old = [key.get(c.lower(), f"o.{quote(c.lower())}") for c in fk.parent_columns]
        points = " AND ".join(f"c.{quote(c)} = {v}" for c, v in zip(fk.columns, old, strict=True))
        stays = " AND ".join(f"p.{quote(c)} = {v}" for c, v in zip(fk.parent_columns, old, strict=True))
        rows = writer.connection.execute(
            f"SELECT s.n FROM {source} WHERE EXISTS"
            f" (SELECT 1 FROM {quote(child.name)} AS c WHERE {points}) AND NOT EXISTS"
            f" (SELECT 1 FROM {tracked.name} AS p WHERE {stays})"
        )
        for (n,) in rows.fetchall():
            detail = f"rows of {child.name} still point at it"
            found.append(Refusal(staged.stage, n, codes.FOREIGN_KEY, detail))
    return found


def _dependents(writer: RowReader, stages: Sequence[Staged], refused: Sequence[Refusal]) -> list[Refusal]:
    """Staged rows that point at refused inserts, so that one answer names the whole chain."""
    keys: dict[int, dict[Key, None]] = {}
    for refusal in refused:
        if refusal.stage.form == "insert":
            arity = writer.layout.tracked[refusal.stage.table].arity
            key = tuple(refusal.stage.rows[refusal.row][:arity])
            keys.setdefault(refusal.stage.table, {})[key] = None
    found = []
    for staged in stages:
        if staged.stage.form == "delete":
            continue
        for fk in _touched_keys(staged):
            number = writer.layout.schema.number_of(fk.parent)
            if number in keys:
                found += _pointing(writer, staged, fk, number, list(keys[number]))
    return found


def _pointing(
    writer: RowReader, staged: Staged, fk: ForeignKey, number: int, keys: Sequence[Key]
) -> list[Refusal]:
    tracked, parent = staged.tracked, writer.layout.tracked[number]
    if set(fk.parent_columns) != set(parent.table.key):
        return []
    temporary = writer.load_keys(parent, keys)
    column_of = dict(zip(fk.parent_columns, fk.columns, strict=True))
    pairs = [f"t.{quote(column_of[name])} = s.k{i}" for i, name in enumerate(parent.table.key)]
    chosen = [f"s.k{i}" for i in range(parent.arity)]
    rows = writer.connection.execute(
        f"SELECT g.n, {commas(chosen)} FROM {staged.table} AS g CROSS JOIN {tracked.name} AS t"
        f" CROSS JOIN {temporary} AS s WHERE {tracked.join('t', 'g')} AND {' AND '.join(pairs)}"
    )
    return [
        Refusal(
            staged.stage,
            n,
            codes.FOREIGN_KEY,
            f"depends on a refused row of {parent.table.name}",
            (number, tuple(key)),
        )
        for n, *key in rows.fetchall()
    ]
