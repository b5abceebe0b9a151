"""CREATE TABLE and CREATE INDEX are changed by their tokens, and SQLite reads the result."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from syncline.sqlitekit.definition import (
    Called,
    index_name,
    names_column,
    renamed_index,
    renamed_table,
    waits_for_commit,
    with_default,
    with_type,
    without_column,
    without_foreign_key,
    without_not_null,
)

TABLE = """CREATE TABLE "odd, name" ( -- NOT NULL, in a comment
    id INTEGER PRIMARY KEY,
    [a b] TEXT CONSTRAINT x NOT NULL ON CONFLICT ABORT DEFAULT 'NOT NULL, (' COLLATE NOCASE,
    "c" DECIMAL(10, 2) NOT NULL CHECK (c IS NOT NULL AND (c > 0)),
    d TEXT NOT NULL CONSTRAINT y REFERENCES p (id) ON DELETE SET NULL ON UPDATE CASCADE NOT DEFERRABLE UNIQUE,
    e TEXT REFERENCES p DEFERRABLE INITIALLY DEFERRED NOT NULL,
    f,
    CONSTRAINT two FOREIGN KEY (e, f) REFERENCES q (a, b) ON DELETE NO ACTION MATCH FULL,
    UNIQUE (f, "c") FOREIGN KEY (f) REFERENCES p (id) /* without a comma */
)"""


def facts(sql: str) -> tuple[dict[str, tuple[str, int]], set[tuple[str, str]]]:
    """Type and NOT NULL by column; child column and parent of each foreign key."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(sql)
        columns = {row[1]: (row[2], row[3]) for row in connection.execute("PRAGMA table_info('odd, name')")}
        keys = {(row[3], row[2]) for row in connection.execute("PRAGMA foreign_key_list('odd, name')")}
        uniques = list(connection.execute("PRAGMA index_list('odd, name')"))
    assert len(uniques) == 2, "nothing else has gone"
    return columns, keys


ALL = facts(TABLE)


@pytest.mark.parametrize("column", ["a b", "c", "d", "e"])
def test_not_null_leaves_one_column_alone(column: str) -> None:
    columns, keys = facts(without_not_null(TABLE, column.upper()))
    assert keys == ALL[1]
    assert columns == ALL[0] | {column: (ALL[0][column][0], 0)}


def test_a_column_goes_with_what_the_table_says_of_it() -> None:
    sql = (
        "CREATE TABLE t (a INT NOT NULL CHECK (a > 0), b TEXT, c TEXT, CHECK (a < 9), UNIQUE (b),"
        " UNIQUE (c, a))"
    )
    left = without_column(sql, "A")
    assert left == "CREATE TABLE t (b TEXT, c TEXT, UNIQUE (b))"
    assert without_column(left, "c") == "CREATE TABLE t (b TEXT, UNIQUE (b))"
    assert without_column("CREATE TABLE t (a, b INT CHECK (b > c), c INT)", "c") is None
    assert without_column("CREATE TABLE t (a, b INT UNIQUE (a))", "b") is None
    assert without_column("CREATE TABLE t (a, b INT PRIMARY KEY (a))", "b") is None
    assert without_column("CREATE TABLE t (a, b INT UNIQUE)", "b") == "CREATE TABLE t (a)"


def test_a_default_comes_behind_the_type() -> None:
    assert with_default("CREATE TABLE t (a, b TEXT)", "B", "date('now')") == (
        "CREATE TABLE t (a, b TEXT DEFAULT (date('now')))"
    )
    assert with_default("CREATE TABLE t (a DECIMAL(5, 2) REFERENCES p, b)", "a", "random()") == (
        "CREATE TABLE t (a DECIMAL(5, 2) DEFAULT (random()) REFERENCES p, b)"
    )
    assert with_default("CREATE TABLE t (a)", "b", "1") == "CREATE TABLE t (a)"


def test_an_index_names_columns() -> None:
    assert names_column('CREATE INDEX i ON t (a, lower("B c"))', "b C")
    assert names_column("CREATE INDEX i ON t (a) WHERE b > 1", "b")
    assert not names_column("CREATE INDEX b ON b (a)", "b")


@pytest.mark.parametrize("column", ["id", "f", "no such column"])
def test_what_is_not_there_is_not_taken_away(column: str) -> None:
    assert without_not_null(TABLE, column) == TABLE
    assert without_foreign_key(TABLE, [column]) == TABLE or column == "f"


@pytest.mark.parametrize(
    ("columns", "gone"),
    [
        (["d"], {("d", "p")}),
        (["e"], {("e", "p")}),
        (["E", "F"], {("e", "q"), ("f", "q")}),
        (["f"], {("f", "p")}),
        (["f", "e"], set()),
    ],
)
def test_a_foreign_key_goes_and_nothing_else(columns: list[str], gone: set[tuple[str, str]]) -> None:
    found, keys = facts(without_foreign_key(TABLE, columns))
    assert (found, keys) == (ALL[0], ALL[1] - gone)


@pytest.mark.parametrize(("column", "required"), [("a b", 1), ("c", 1), ("f", 0)])
def test_a_type_is_another_one(column: str, required: int) -> None:
    columns, keys = facts(with_type(TABLE, column, "BIG (1, 2)"))
    assert (columns, keys) == (ALL[0] | {column: ("BIG (1, 2)", required)}, ALL[1])


def test_an_index_is_named_and_renamed() -> None:
    sql = """CREATE UNIQUE INDEX main."my ix" ON t (a, lower(lower), "b" COLLATE b DESC) WHERE a > 'a'"""
    assert index_name(sql) == "my ix"
    renamed = renamed_index(sql, '"n"', '"u"', {"a": '"x"', "b": '"y"', "lower": '"z"'})
    assert renamed == (
        """CREATE UNIQUE INDEX main."n" ON "u" ("x", lower("z"), "y" COLLATE b DESC) WHERE "x" > 'a'"""
    )


LATE = "DEFERRABLE INITIALLY DEFERRED"


@pytest.mark.parametrize(
    ("columns", "waits"),
    [
        ("p INTEGER", True),
        ("p INTEGER DEFAULT 'REFERENCES' /* REFERENCES */", True),
        ("p INTEGER REFERENCES parent", False),
        (f"p INTEGER REFERENCES parent (id) {LATE}", True),
        (f"p INTEGER REFERENCES parent ON DELETE SET NULL {LATE.lower()}", True),
        (f"p INTEGER REFERENCES parent /* {LATE} */", False),
        (f"p INTEGER REFERENCES parent NOT {LATE}", False),
        ("p INTEGER REFERENCES parent DEFERRABLE INITIALLY IMMEDIATE", False),
        (f"p INTEGER REFERENCES parent {LATE} NOT DEFERRABLE", False),
        (f"p INTEGER REFERENCES parent ON DELETE RESTRICT {LATE}", False),
        (f"p INTEGER REFERENCES parent {LATE}, FOREIGN KEY (id) REFERENCES parent (id)", False),
        (f"p INTEGER REFERENCES parent {LATE}, FOREIGN KEY (id) REFERENCES parent (id) {LATE}", True),
    ],
)
def test_a_foreign_key_that_waits_for_the_commit_is_known_by_its_definition(
    columns: str, waits: bool
) -> None:
    sql = f"CREATE TABLE child (id INTEGER PRIMARY KEY, {columns})"
    assert waits_for_commit(sql) == waits
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for statement in ("PRAGMA foreign_keys = ON", "CREATE TABLE parent (id INTEGER PRIMARY KEY)", sql):
            connection.execute(statement)
        connection.execute("INSERT INTO parent VALUES (1)")
        connection.execute("INSERT INTO child VALUES (1, 1)")
        connection.execute("BEGIN")
        try:
            connection.execute("DELETE FROM parent")
            connection.execute("INSERT INTO child VALUES (2, 2)")
        except sqlite3.IntegrityError:
            assert not waits
        else:
            assert waits


def test_a_table_and_its_parents_are_called_otherwise() -> None:
    sql = """CREATE TABLE "strict" (a CHECK ("Strict".a > 0) REFERENCES strict, "references" INTEGER,
        b REFERENCES [Q] ("X", y), c DEFAULT 'references q',
        FOREIGN KEY (c) REFERENCES other (x)) STRICT"""
    parents = {"strict": Called("mine", {}), "q": Called('q "2".x', {"x": "x_2"})}
    assert renamed_table(sql, "mine", parents) == (
        """CREATE TABLE "mine" (a CHECK ("mine".a > 0) REFERENCES "mine", "references" INTEGER,
        b REFERENCES "q ""2"".x" ("x_2", "y"), c DEFAULT 'references q',
        FOREIGN KEY (c) REFERENCES other (x)) STRICT"""
    )


@pytest.mark.parametrize("key", ["'q'", "q ('x')"])
def test_a_name_that_is_written_as_a_string_is_left(key: str) -> None:
    sql = f"CREATE TABLE t (a REFERENCES {key})"
    assert renamed_table(sql, "t", {"q": Called("p", {})}) is None
