"""The terms of unique indexes, found in the text of CREATE INDEX and said about several rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from syncline.sqlitekit.indexes import index_terms, moved, same
from syncline.sqlitekit.tables import read_columns, read_uniques


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.execute('CREATE TABLE "t," (a TEXT COLLATE NOCASE, "b," TEXT, c INTEGER)')
    yield connection
    connection.close()


@pytest.mark.parametrize(
    ("sql", "terms"),
    [
        ('CREATE UNIQUE INDEX i ON "t,"(a)', ['r."a" NOCASE']),
        (
            'create unique index "i(" on "t," ( lower(a, \')\') desc, "b," ASC ) where c > (1)',
            ["(lower ( r.\"a\" , ')' )) BINARY", 'r."b," BINARY'],
        ),
        (
            'CREATE UNIQUE INDEX i ON "t,"(a -- ,(\n, ([b,] || CAST(c AS TEXT)) COLLATE NOCASE)',
            ['r."a" NOCASE', '(( r."b," || CAST ( r."c" AS TEXT ) ) COLLATE NOCASE) NOCASE'],
        ),
    ],
)
def test_the_terms_of_an_index_are_said_about_a_row(
    connection: sqlite3.Connection, sql: str, terms: list[str]
) -> None:
    if "lower(a, " in sql:
        connection.create_function("lower", 2, lambda text, _: text, deterministic=True)
    connection.execute(sql)
    (unique,) = read_uniques(connection.execute, "t,")
    columns = [column.name for column in read_columns(connection.execute, "t,")]
    found = index_terms(columns, unique, "r")
    assert [f"{term.row} {term.collation}" for term in found] == terms


def test_the_conditions_hold_for_the_rows_that_a_replace_would_remove(connection: sqlite3.Connection) -> None:
    connection.execute('CREATE UNIQUE INDEX i ON "t," (lower("b,"), c)')
    (unique,) = read_uniques(connection.execute, "t,")
    terms = index_terms(["a", "b,", "c"], unique, "r")
    rows = "(SELECT 'X' AS a, 'one' AS \"b,\", 1 AS c)"
    new = "(SELECT 'y' AS a, ? AS \"b,\", ? AS c)"
    ask = f"SELECT {same(terms)}, {moved(terms)} FROM {rows} AS r, {rows} AS OLD, {new} AS NEW"
    assert connection.execute(ask, ("ONE", 1)).fetchone() == (1, 0)
    assert connection.execute(ask, ("ONE", 2)).fetchone() == (0, 1)
