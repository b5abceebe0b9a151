"""The statements over staged rows that are nearly the same in every database.

Where the staged rows `s` come from is put in by `over`: a temporary table, some of its rows, a parameter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from syncline.databases.base.shape import BaseShape

SOURCE = "\0"
"""Stands for the rows `s`; no identifier can hold it."""


def over(template: str, source: str) -> str:
    """The statement over one source of rows."""
    return template.replace(SOURCE, source)


def joined(shape: BaseShape) -> str:
    """The staged rows with the rows of the table that have their keys."""
    return shape.joined(SOURCE)


def present(shape: BaseShape) -> str:
    """The numbers of the rows that exist."""
    return f"SELECT s.n FROM {joined(shape)}"


def children(shape: BaseShape, child: BaseShape, pairs: Sequence[tuple[str, str]]) -> str:
    """The numbers of the rows with the keys of the rows of another table, or of the same, that point at them.
    `pairs`: (column of the other table, column that it refers to), whose collation counts."""
    same = " AND ".join(f"t.{shape.quote(theirs)} = c.{shape.quote(own)}" for own, theirs in pairs)
    keys = ", ".join(child.read_keys("c"))
    return f"SELECT s.n, {keys} FROM {joined(shape)} {shape.JOIN} {child.name} AS c ON {same}"


def left(shape: BaseShape) -> str:
    """How many of the rows exist."""
    return f"SELECT count(*) FROM {joined(shape)}"


def listed(
    shape: BaseShape, chosen: Iterable[str], tests: Sequence[str], order: Iterable[str], end: str = ""
) -> str:
    """The rows of the table for which the tests hold, in this order."""
    where = f" WHERE {' AND '.join(tests)}" if tests else ""
    return f"SELECT {', '.join(chosen)} FROM {shape.name} AS t{where} ORDER BY {', '.join(order)}{end}"


def insert(shape: BaseShape, columns: Sequence[int], postponed: Sequence[int] = ()) -> str:
    """Insert; the columns at `postponed` positions are set later."""
    names = [*shape.key_names, *(shape.value_names[i] for i in columns)]
    values = [*shape.staged_keys(), *shape.staged_values(columns)]
    for position in postponed:
        values[shape.arity + position] = "NULL"
    return (
        f"{shape.INSERT} {shape.name} ({', '.join(names)}){shape.OVERRIDING}"
        f" SELECT {', '.join(values)} FROM {SOURCE}"
    )


def update(shape: BaseShape, columns: Sequence[int], positions: Sequence[int]) -> str:
    """Set the staged columns at these positions, one or more."""
    staged = shape.staged_values(columns)
    return assign(shape, [f"{shape.value_names[columns[p]]} = {staged[p]}" for p in positions])


def delete(shape: BaseShape) -> str:
    """Delete the rows."""
    return shape.deleting(SOURCE)


def point(shape: BaseShape, columns: Sequence[int], positions: Sequence[int]) -> str:
    """Set the postponed columns of inserted rows, where there is anything to set."""
    given = " OR ".join(f"s.c{position} IS NOT NULL" for position in positions)
    return f"{update(shape, columns, positions)} AND ({given})"


def release(shape: BaseShape, columns: Sequence[int]) -> str:
    """Set columns to NULL before the rows are deleted."""
    return assign(shape, [f"{shape.value_names[i]} = NULL" for i in columns])


def assign(shape: BaseShape, sets: Sequence[str]) -> str:
    """Assign to columns of the rows: `sets` are `column = expression`, over the staged row `s` and that of
    the table, `t`. It ends in its WHERE clause: more conditions may follow, as in `point` and `park`."""
    return shape.assigning(sets, SOURCE)


def entries(
    shape: BaseShape, log: str, given: Mapping[str, str], source: str, *, old: bool, order: str = ""
) -> str:
    """Write log entries of the rows of `source`. `given`: the columns of the log but for the key. With `old`,
    what an entry keeps of the rows as they are goes along."""
    columns = dict(given) | dict(zip(shape.log_keys, shape.logged_keys(), strict=True))
    if old:
        columns["old"] = f"CASE WHEN t.{shape.key_names[0]} IS NOT NULL THEN {shape.old_values('t')} END"
        source += f" LEFT JOIN {shape.name} AS t ON {shape.matches()}"
    chosen = ", ".join(columns.values())
    return f"INSERT INTO {log} ({', '.join(columns)}) SELECT {chosen} FROM {source}{order}"


def park(shape: BaseShape, columns: Sequence[int], values: Mapping[int, str]) -> str:
    """Let rows whose values are about to change hold these meanwhile: expressions, by numbers of columns.
    Rows of which no columns are given are about to go."""
    own = dict(zip(columns, shape.staged_values(columns), strict=True))
    sets = [f"{shape.value_names[number]} = {value}" for number, value in values.items()]
    if not columns:
        return assign(shape, sets)
    changing = " OR ".join(shape.distinct(f"t.{shape.value_names[number]}", own[number]) for number in values)
    return f"{assign(shape, sets)} AND ({changing})"


def differing(shape: BaseShape, tests: Sequence[str]) -> str:
    """The numbers of rows that are gone, or of which one of the tests says that they are stored otherwise."""
    conditions = " OR ".join([f"t.{shape.key_names[0]} IS NULL", *tests])
    return (
        f"SELECT s.n FROM {SOURCE} LEFT JOIN {shape.name} AS t ON {shape.matches()}"
        f" WHERE {conditions} ORDER BY s.n"
    )


def orphans(pairs: Sequence[tuple[str, str]], parent: str) -> str:
    """The numbers of rows whose parent is not there. `pairs`: (staged expression, parent column)."""
    given = " AND ".join(f"{staged} IS NOT NULL" for staged, _ in pairs)
    same = " AND ".join(f"p.{column} = {staged}" for staged, column in pairs)
    return f"SELECT s.n FROM {SOURCE} WHERE {given} AND NOT EXISTS (SELECT 1 FROM {parent} AS p WHERE {same})"
