"""How tables and columns of a test's schema are numbered: one after the other, or with gaps and out of order.

Everything that goes by numbers must work either way. `numbering` is a fixture that a conftest of tests with
benches imports: each of their modules runs twice then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from syncline.model.schema import ColumnSchema, Schema, TableSchema

Numbered = Callable[[Schema], Schema]

BEYOND = 64
"""More than the numbers that one mask column of a change log holds."""


def dense(schema: Schema) -> Schema:
    """Numbers as a new hub gives them out."""
    return schema


def gapped(schema: Schema) -> Schema:
    """Children have lower numbers than their parents; columns are numbered backwards, with the key in the
    middle and the first one beyond the first mask column; nothing has number 0, no two are neighbours."""
    last = len(schema.tables) - 1
    return Schema(
        tuple(
            replace(table, number=3 * (last - rank) + 1, columns=_gapped(table), used=0)
            for rank, table in enumerate(schema.tables)
        )
    )


def _gapped(table: TableSchema) -> tuple[ColumnSchema, ...]:
    names = [column.name for column in reversed(table.columns) if column.name not in table.key]
    half = len(names) // 2
    order = [*names[:half], *table.key, *names[half:]]
    numbers = {name: 2 * place + 1 for place, name in enumerate(order)}
    if names:
        numbers[names[-1]] += BEYOND
    return tuple(replace(column, number=numbers[column.name]) for column in table.columns)


NUMBERINGS = {"dense": dense, "gapped": gapped}

_used = [dense]


def numbered(schema: Schema) -> Schema:
    """The schema with the numbers that are the present test's."""
    return _used[-1](schema)


@contextmanager
def using(name: str) -> Iterator[None]:
    """Inside the block benches have schemas numbered like this."""
    _used.append(NUMBERINGS[name])
    try:
        yield
    finally:
        _used.pop()


@pytest.fixture(scope="module", autouse=True)
def numbering(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of the numbering that the benches of this module have now."""
    name = getattr(request, "param", "dense")
    with using(name):
        yield name


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Have the tests of a module with benches run under either numbering: for `pytest_generate_tests`."""
    if {"Bench", "schema_of"} & vars(metafunc.module).keys():
        metafunc.parametrize("numbering", list(NUMBERINGS), indirect=True, scope="module")
