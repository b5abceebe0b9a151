"""The edge of the file: values in messages have the one spelling of the wire, values in the file its forms.

Whatever comes from the hub passes `inward` before it is compared with the file or written, whatever goes to
the hub passes `outward`. Tables whose columns all have the wire's spelling, which is how it is unless forms
were chosen, pass as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from syncline.model.forms import Spelling
from syncline.model.spelling import Speller
from syncline.model.values import Value, identical
from syncline.protocol.messages import Group
from syncline.replica.statements import Statements

Key = tuple[Value, ...]


def as_here(tables: Mapping[int, Statements], groups: Iterable[Group]) -> list[Group]:
    """The groups of a message of the hub's, as the file has their values."""
    return [inward(tables.get(group.table), group) for group in groups]


def inward(t: Statements | None, group: Group) -> Group:
    """A group as the file has its values; of a table that is not tracked, as it is."""
    if t is None or not t.converts:
        return group
    columns = [] if group.op == "D" else group.columns
    return Group(group.table, group.op, group.columns, inward_rows(t, columns, group.rows))


def inward_rows(t: Statements | None, columns: Sequence[int], rows: list[list[Value]]) -> list[list[Value]]:
    """Rows (key, then these columns) as the file has them; the same, if that is as they are."""
    if t is None or not t.converts:
        return rows
    return _converted(rows, _picked(t, columns, lambda one: one.inward))


def outward_rows(t: Statements, columns: Sequence[int], rows: Sequence[Sequence[Value]]) -> list[list[Value]]:
    """Rows (key, then these columns) as they travel."""
    return _converted(rows, _picked(t, columns, lambda one: one.outward))


def inward_key(t: Statements | None, key: Iterable[Value]) -> Key:
    """A key as the file has it."""
    if t is None or not t.converts:
        return tuple(key)
    return tuple(
        value if one is None else one.inward(value) for one, value in zip(t.key_spellings, key, strict=True)
    )


def outward_key(t: Statements, key: Iterable[Value]) -> Key:
    """A key as it travels, whatever spelling it has."""
    return tuple(
        value if one is None else one.outward(value) for one, value in zip(t.key_spellings, key, strict=True)
    )


def inward_value(t: Statements, column: int, value: Value) -> Value:
    """A value as the file has it."""
    spelling = t.spellings.get(column)
    return value if spelling is None else spelling.inward(value)


def outward_value(t: Statements, column: int, value: Value) -> Value:
    """A value as it travels, whatever spelling it has."""
    spelling = t.spellings.get(column)
    return value if spelling is None else spelling.outward(value)


def same_value(t: Statements, column: int, one: Value, other: Value) -> bool:
    """Whether two values of a column, as the file has them, are one on the wire."""
    if identical(one, other):
        return True
    spelling = t.spellings.get(column)
    return spelling is not None and identical(spelling.outward(one), spelling.outward(other))


def _picked(
    t: Statements, columns: Sequence[int], way: Callable[[Spelling], Speller]
) -> list[tuple[int, Speller]]:
    """Where in a row values are converted, and how."""
    spellings = [*t.key_spellings, *(t.spellings.get(column) for column in columns)]
    return [(place, way(one)) for place, one in enumerate(spellings) if one is not None and one.converts]


def _converted(
    rows: Sequence[Sequence[Value]], converters: Sequence[tuple[int, Speller]]
) -> list[list[Value]]:
    result = list(map(list, rows))
    for place, convert in converters:
        for row in result:
            row[place] = convert(row[place])
    return result
