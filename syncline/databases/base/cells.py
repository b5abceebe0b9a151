"""Every cell of Syncline's own tables, one after the other: looked at where something failed, to find what
somebody has altered. In a database whose columns have no types of their own it may be of any kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from syncline.databases.base.dialect import LedgerSession
from syncline.databases.base.tables import STATE, TABLES, Column, Kind, Table
from syncline.hub.contract import Cell
from syncline.model.clock import LAST_MOMENT

PAGE = 100
"""Rows that are read at once."""


def cells(session: LedgerSession) -> Iterator[Cell]:
    """All of them, table by table and column by column. There is one of a column that cannot be read."""
    for table in (STATE, *session.dialect.own, *TABLES):
        for column in table.columns:
            try:
                yield from _of_column(session, table, column)
            except Exception as error:  # of whatever kind: it is what is kept that cannot be read
                yield Cell(table.name, column.name, session.dialect.table(table.name), (), error, False)


def _of_column(session: LedgerSession, table: Table, column: Column) -> Iterator[Cell]:
    name, rows = session.dialect.table(table.name), _rows(session, table, column.name)
    for *key, value in rows:
        place = f"{name}, row {', '.join(map(repr, key))}" if key else name
        yield Cell(table.name, column.name, place, tuple(key), value, _is_fit(column, value))


def _rows(session: LedgerSession, table: Table, column: str) -> Iterator[Sequence[Any]]:
    """The key and the column of every row, some at a time."""
    dialect, keys = session.dialect, ", ".join(table.key)
    name = dialect.table(table.name)
    if not keys:
        yield from session.run(f"SELECT {column} FROM {name}")
        return
    marks, what, after = ", ".join("?" * len(table.key)), f"SELECT {keys}, {column} FROM {name}", ()
    while True:
        where = f" WHERE ({keys}) > ({marks})" if after else ""
        sql = dialect.marked(f"{what}{where} ORDER BY {keys} {dialect.page}")
        rows = session.run(sql, *after, PAGE)
        if not rows:
            return
        yield from rows
        after = tuple(rows[-1][: len(table.key)])


def _is_fit(column: Column, value: Any) -> bool:
    if value is None:
        return column.optional
    return _FITS[column.kind](value)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_binary(value: Any) -> bool:
    return isinstance(value, bytes)


_FITS: Mapping[Kind, Callable[[Any], bool]] = {
    "key": _is_text,
    "text": _is_text,
    "bytes": _is_binary,
    "packed": _is_binary,
    "integer": _is_integer,
    "serial": _is_integer,
    "random": _is_integer,
    "flag": lambda value: value in (0, 1) and isinstance(value, int),
    "time": lambda value: _is_integer(value) and 0 <= value <= LAST_MOMENT,
}
