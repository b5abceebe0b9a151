"""The device's tables are made from the schema so that any order within a transaction works (L9)."""

from __future__ import annotations

import sqlite3

import pytest

from syncline.model.schema import ColumnSchema, ForeignKey, Schema, TableSchema, arrange
from syncline.replica.ddl import create_table, indexes


def column(name: str, declared: str = "TEXT", **fields: object) -> ColumnSchema:
    return ColumnSchema(name, "text", declared, **fields)  # type: ignore[arg-type]


TEAM = TableSchema(
    "te am",
    (column("id", "INTEGER", nullable=False), column("code"), column("boss", "INTEGER")),
    ("id",),
    (ForeignKey(("boss",), "order", ("number",)),),
    uniques=(("code",),),
)
ORDER = TableSchema(
    "order",
    (
        column("number", "INTEGER", nullable=False),
        column('a "b"', nullable=False, default="'x'"),
        column("total", "FLOAT$BLOB", nullable=False, computed=True),
        column("team", nullable=False),
        column("mail"),
    ),
    ("number", 'a "b"'),
    (
        ForeignKey(("team",), "te am", ("code",), "CASCADE", "SET NULL"),
        ForeignKey(("mail",), "elsewhere", ("id",)),
    ),
    uniques=(("number",), ("mail", "team")),
)
VERBATIM = TableSchema(
    "t",
    (column("id", "int"), column("x", "")),
    ("id",),
    ddl="CREATE TABLE t(id int primary key, x)",
    indexes=("CREATE INDEX ix ON t(x)",),
)
SCHEMA = arrange([TEAM, ORDER, VERBATIM])


@pytest.fixture
def device() -> sqlite3.Connection:
    return made(SCHEMA)


def made(schema: Schema) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    for table in schema.tables:
        connection.execute(create_table(table, schema))
    for index in indexes(schema, schema):
        if not index.inline:
            connection.execute(index.sql(index.name))
    return connection


def test_tables_of_a_cycle_are_filled_in_any_order_within_one_transaction(device: sqlite3.Connection) -> None:
    device.execute("BEGIN")
    device.execute("INSERT INTO \"order\" (number, team) VALUES (1, 'red')")
    device.execute("INSERT INTO \"te am\" VALUES (7, 'red', 1)")
    device.execute("COMMIT")
    assert device.execute('SELECT * FROM "order"').fetchall() == [(1, "x", None, "red", None)]


def test_a_broken_foreign_key_is_still_refused_at_the_commit(device: sqlite3.Connection) -> None:
    device.execute("BEGIN")
    device.execute("INSERT INTO \"order\" (number, team) VALUES (1, 'red')")
    with pytest.raises(sqlite3.IntegrityError):
        device.execute("COMMIT")


def test_actions_of_foreign_keys_are_carried(device: sqlite3.Connection) -> None:
    listed = device.execute("SELECT \"from\", on_delete, on_update FROM pragma_foreign_key_list('order')")
    assert listed.fetchall() == [("team", "CASCADE", "SET NULL")]


def test_unique_columns_stay_unique(device: sqlite3.Connection) -> None:
    device.execute("INSERT INTO \"te am\" VALUES (7, 'red', NULL)")
    with pytest.raises(sqlite3.IntegrityError):
        device.execute("INSERT INTO \"te am\" VALUES (8, 'red', NULL)")


def test_every_foreign_key_has_an_index_of_its_children(device: sqlite3.Connection) -> None:
    indexes = {name for (name,) in device.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
    assert {"te am_boss_parent", "order_team_parent", "order_mail_team_unique", "ix"} <= indexes


def test_a_table_of_a_sqlite_centre_is_made_word_for_word(device: sqlite3.Connection) -> None:
    sql = device.execute("SELECT sql FROM sqlite_master WHERE name = 't'").fetchone()[0]
    assert sql == VERBATIM.ddl


def test_a_single_integer_key_is_the_rowid(device: sqlite3.Connection) -> None:
    device.execute("INSERT INTO \"te am\" VALUES (7, 'red', NULL)")
    assert device.execute('SELECT rowid FROM "te am"').fetchall() == [(7,)]


def test_the_sign_of_a_zero_survives_in_a_float_column() -> None:
    table = TableSchema("f", (column("id", "INTEGER"), column("x", "FLOAT$BLOB")), ("id",))
    device = made(arrange([table]))
    device.execute("INSERT INTO f VALUES (1, ?)", (-0.0,))
    assert str(device.execute("SELECT x FROM f").fetchone()[0]) == "-0.0"


def test_indexes_of_different_tables_never_have_the_same_name() -> None:
    """`t` with `a_b` and `t_a` with `b`; and a table that is called like an index, but for case."""
    up = ForeignKey(("up",), "t", ("id",))
    columns = (column("id", "INTEGER"), column("up", "INTEGER"), column("a_b"), column("b"), column("a_up"))
    tables = [
        TableSchema("t", columns, ("id",), (ForeignKey(("a_up",), "t", ("id",)),), uniques=(("a_b",),)),
        TableSchema("t_a", columns, ("id",), (up,), uniques=(("b",), ("a_b", "b"))),
        TableSchema("t_A_b_unique", columns, ("id",), (up,)),
        TableSchema("t_a_b_unique_2", columns, ("id",)),
    ]
    device = made(arrange(tables))
    made_by = "SELECT tbl_name, count(*) FROM sqlite_master WHERE sql LIKE 'CREATE % INDEX %' OR"
    found = device.execute(f"{made_by} sql LIKE 'CREATE INDEX %' GROUP BY 1 ORDER BY 1").fetchall()
    assert found == [("t", 2), ("t_A_b_unique", 1), ("t_a", 3)]
