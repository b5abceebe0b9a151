"""Which columns a foreign key may point at, as SQLite itself decides it: otherwise it refuses writes."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import closing

import pytest

from syncline.sqlitekit.definition import collation_of, to_table, without_foreign_key
from syncline.sqlitekit.tables import asking, is_referable, read_foreign_keys

PARENTS = (
    "CREATE TABLE p (a INTEGER PRIMARY KEY, b TEXT, c TEXT)",
    "CREATE TABLE p (a INTEGER PRIMARY KEY DESC, b TEXT UNIQUE, c TEXT)",
    "CREATE TABLE p (a INT PRIMARY KEY, b TEXT COLLATE NOCASE UNIQUE, c TEXT, UNIQUE (C, B))",
    "CREATE TABLE p (a TEXT, b TEXT, c TEXT, PRIMARY KEY (b, a)) WITHOUT ROWID",
    "CREATE TABLE p (a INTEGER, b TEXT, c TEXT, PRIMARY KEY (a COLLATE NOCASE), UNIQUE (b COLLATE NOCASE))",
    """CREATE TABLE "P" ([a] INTEGER, "b" TEXT COLLATE "nocase" COLLATE 'rtrim', c TEXT)""",
    "CREATE VIEW p AS SELECT 1 AS a, 2 AS b, 3 AS c",
    "SELECT 1",
)
INDEXES = (
    "SELECT 1",
    "CREATE INDEX i ON p (b)",
    "CREATE UNIQUE INDEX i ON p (B)",
    "CREATE UNIQUE INDEX i ON p (b COLLATE NOCASE)",
    "CREATE UNIQUE INDEX i ON p (b COLLATE RTRIM)",
    "CREATE UNIQUE INDEX i ON p (b) WHERE c > ''",
    "CREATE UNIQUE INDEX i ON p (lower(b))",
    "CREATE UNIQUE INDEX i ON p (c DESC, b)",
)
CHILDREN = (
    "x REFERENCES p",
    "x REFERENCES P (A)",
    "x REFERENCES p (b)",
    "x, y, FOREIGN KEY (x, y) REFERENCES p",
    "x, y, FOREIGN KEY (x, y) REFERENCES p (a, B)",
    "x, y, FOREIGN KEY (x, y) REFERENCES p (b, c)",
    "x REFERENCES p (absent)",
)


@pytest.mark.parametrize("parent", PARENTS)
def test_it_is_what_sqlite_takes(parent: str) -> None:
    found = []
    for index, child in itertools.product(INDEXES, CHILDREN):
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(parent)
            try:
                connection.execute(index)
            except sqlite3.OperationalError:  # of a view, or of nothing
                continue
            connection.execute(f"CREATE TABLE child ({child})")
            (key,) = read_foreign_keys(asking(connection), "child")
            try:
                connection.execute("EXPLAIN INSERT INTO child (x) VALUES (1)")
                taken = True
            except sqlite3.OperationalError as error:
                taken = False
                assert "mismatch" in str(error) or "no such table" in str(error)
            assert is_referable(asking(connection), key) == taken, (index, child)
            if index.startswith("CREATE UNIQUE"):
                known = is_referable(asking(connection), key, without="i")
                connection.execute("DROP INDEX i")
                assert known == is_referable(asking(connection), key)
            found.append(taken)
    assert found and (not all(found))


def test_only_the_foreign_keys_to_one_table_go() -> None:
    sql = (
        "CREATE TABLE t (a INT REFERENCES p (id) REFERENCES [q x] ON DELETE CASCADE, b INT, c TEXT,"
        ' CONSTRAINT n FOREIGN KEY (a) REFERENCES "P" (u) FOREIGN KEY (a) REFERENCES r,'
        " FOREIGN KEY (b) REFERENCES p)"
    )
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(without_foreign_key(sql, ["A"], to_table("p")))
        keys = read_foreign_keys(asking(connection), "t")
    assert [(key.columns, key.parent) for key in keys] == [(("a",), "q x"), (("a",), "r"), (("b",), "p")]


def test_the_collation_of_a_column() -> None:
    sql = (
        "CREATE TABLE t (a TEXT CHECK (a COLLATE RTRIM > ''), b COLLATE nocase,"
        " c TEXT COLLATE 'rtrim' NOT NULL)"
    )
    assert [collation_of(sql, name) for name in "ABc"] == ["BINARY", "NOCASE", "RTRIM"]
