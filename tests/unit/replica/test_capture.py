"""Capture: every write is logged in its own transaction, whatever the table looks like (L2, L8)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from syncline.errors import SchemaError
from syncline.model.schema import ColumnSchema, TableSchema
from syncline.replica import capture
from syncline.replica.pending import log_entries
from syncline.replica.statements import Statements
from tests.support.device import Bench

WIDE = ", ".join(f"c{i}" for i in range(130))
DDL = f"""
CREATE TABLE number (id INTEGER PRIMARY KEY, x, y TEXT COLLATE NOCASE, z REAL);
CREATE TABLE word ("group" TEXT PRIMARY KEY, "a ""b"" c" INTEGER);
CREATE TABLE pair (a, b BLOB, v TEXT UNIQUE, PRIMARY KEY (b, a)) WITHOUT ROWID;
CREATE TABLE made (id INTEGER PRIMARY KEY, x INTEGER, twice INTEGER AS (x * 2) STORED UNIQUE);
CREATE TABLE bare (id TEXT PRIMARY KEY);
CREATE TABLE wide (id INTEGER PRIMARY KEY, {WIDE});
CREATE TABLE mail (id INTEGER PRIMARY KEY, address TEXT, gone INTEGER);
CREATE UNIQUE INDEX one_address ON mail (lower(address), substr(address, 1, 2) DESC) WHERE gone IS NULL;
"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "device.db", DDL)
    yield made
    made.close()


def logged(bench: Bench, table: str) -> list[tuple[Any, ...]]:
    """Operation, key and old values of what is pending, in order; the log is then emptied."""
    found = [(entry.op, entry.key, entry.old) for entry in log_entries(bench.device, table)]
    bench.store.execute(f"DELETE FROM {bench.log(table)}")
    return found


def test_an_insert_an_update_and_a_delete_are_logged_with_old_values(bench: Bench) -> None:
    bench.app.execute("INSERT INTO number VALUES (1, 'a', 'b', 1.5)")
    bench.app.execute("UPDATE number SET x = 'c', y = 'b' WHERE id = 1")
    bench.app.execute("DELETE FROM number")
    assert logged(bench, "number") == [
        ("I", (1,), {}),
        ("U", (1,), {"x": "a"}),
        ("D", (1,), {"x": "c", "y": "b", "z": 1.5}),
    ]


def test_an_update_that_changes_nothing_is_not_logged(bench: Bench) -> None:
    bench.app.execute("INSERT INTO number VALUES (1, 'a', 'b', 1.5)")
    logged(bench, "number")
    bench.app.execute("UPDATE number SET x = 'a', id = 1, z = 1.5")
    assert logged(bench, "number") == []


@pytest.mark.parametrize(
    ("column", "before", "after"),
    [
        ("x", 1, 1.0),
        ("x", "1", b"1"),
        ("x", None, ""),
        ("x", 2**53, float(2**53)),
        ("y", "Straße", "STRASSE"),
        ("y", "abc", "ABC"),
        ("z", None, 0.0),
    ],
)
def test_values_that_compare_equal_and_are_not_the_same_are_a_change(
    bench: Bench, column: str, before: Any, after: Any
) -> None:
    bench.app.execute(f"INSERT INTO number (id, {column}) VALUES (1, ?)", (before,))
    logged(bench, "number")
    bench.app.execute(f"UPDATE number SET {column} = ?", (after,))
    ((op, _, old),) = logged(bench, "number")
    assert op == "U" and type(old[column]) is type(before) and old[column] == before


def test_a_key_made_by_sqlite_is_logged(bench: Bench) -> None:
    bench.app.execute("INSERT INTO number (x) VALUES (1), (2)")
    assert logged(bench, "number") == [("I", (1,), {}), ("I", (2,), {})]


@pytest.mark.parametrize("name", ["id", "rowid", "oid", "_rowid_"])
def test_a_change_of_key_is_a_delete_and_an_insert(bench: Bench, name: str) -> None:
    bench.app.execute("INSERT INTO number VALUES (1, 'a', 'b', 1.5)")
    logged(bench, "number")
    bench.app.execute(f"UPDATE number SET {name} = 9, x = 'z'")
    assert logged(bench, "number") == [("D", (1,), {"x": "a", "y": "b", "z": 1.5}), ("I", (9,), {})]


def test_reserved_words_and_odd_characters_are_only_names(bench: Bench) -> None:
    bench.app.execute("INSERT INTO word VALUES ('k', 1)")
    bench.app.execute('UPDATE word SET "a ""b"" c" = 2')
    assert logged(bench, "word") == [("I", ("k",), {}), ("U", ("k",), {'a "b" c': 1})]


def test_a_composite_key_without_rowid_keeps_its_order_and_types(bench: Bench) -> None:
    bench.app.execute("INSERT INTO pair VALUES (1, x'00', 'v')")
    bench.app.execute("UPDATE pair SET v = 'w'")
    assert logged(bench, "pair") == [("I", (b"\0", 1), {}), ("U", (b"\0", 1), {"v": "v"})]


def test_generated_columns_are_not_logged_but_their_unique_index_is_minded(bench: Bench) -> None:
    bench.app.execute("INSERT INTO made (id, x) VALUES (1, 5), (2, 6)")
    logged(bench, "made")
    bench.app.execute("UPDATE OR REPLACE made SET x = 5 WHERE id = 2")
    assert logged(bench, "made") == [("D", (1,), {"x": 5}), ("U", (2,), {"x": 6})]


def test_a_table_of_nothing_but_a_key_is_captured(bench: Bench) -> None:
    bench.app.execute("INSERT INTO bare VALUES ('a')")
    bench.app.execute("UPDATE bare SET id = 'b'")
    assert logged(bench, "bare") == [("I", ("a",), {}), ("D", ("a",), {}), ("I", ("b",), {})]


def test_more_columns_than_a_mask_holds_are_told_apart(bench: Bench) -> None:
    bench.app.execute("INSERT INTO wide (id, c0, c61, c62, c123, c124, c129) VALUES (1, 0, 1, 2, 3, 4, 5)")
    logged(bench, "wide")
    for name, old in (("c0", 0), ("c61", 1), ("c62", 2), ("c123", 3), ("c124", 4), ("c129", 5), ("c7", None)):
        bench.app.execute(f"UPDATE wide SET {name} = 'new'")
        assert logged(bench, "wide") == [("U", (1,), {name: old})]


@pytest.mark.parametrize(
    "statement",
    [
        "REPLACE INTO word VALUES ('k', 2)",
        "INSERT OR REPLACE INTO word VALUES ('k', 2)",
        'UPDATE OR REPLACE word SET "group" = \'k\', "a ""b"" c" = 2 WHERE "group" = \'other\'',
    ],
)
def test_a_row_that_is_replaced_is_logged_as_deleted(bench: Bench, statement: str) -> None:
    bench.app.execute("INSERT INTO word VALUES ('k', 1), ('other', 9)")
    logged(bench, "word")
    bench.app.execute(statement)
    entries = [entry for entry in logged(bench, "word") if entry[1] == ("k",)]
    assert entries == [("D", ("k",), {'a "b" c': 1}), ("I", ("k",), {})]


def test_a_row_replaced_by_a_unique_expression_is_logged_as_deleted(bench: Bench) -> None:
    bench.app.execute("INSERT INTO mail VALUES (1, 'ann@x', NULL), (2, 'bob@x', NULL)")
    logged(bench, "mail")
    bench.app.execute("REPLACE INTO mail VALUES (3, 'ann@X', NULL)")
    bench.app.execute("UPDATE OR REPLACE mail SET address = 'Ann@x' WHERE id = 2")
    assert [entry[:2] for entry in logged(bench, "mail")] == [("D", (1,)), ("I", (3,)), ("U", (2,))]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT OR IGNORE INTO word VALUES ('k', 2)",
        "INSERT INTO word VALUES ('k', 2) ON CONFLICT DO NOTHING",
        'INSERT INTO word VALUES (\'k\', 1) ON CONFLICT DO UPDATE SET "a ""b"" c" = 1',
    ],
)
def test_an_insert_that_comes_to_nothing_is_not_pending(bench: Bench, statement: str) -> None:
    bench.app.execute("INSERT INTO word VALUES ('k', 1)")
    logged(bench, "word")
    bench.app.execute(statement)
    assert logged(bench, "word") == []


def test_what_is_rolled_back_was_never_logged(bench: Bench) -> None:
    bench.app.executescript("BEGIN; INSERT INTO bare VALUES ('a'); ROLLBACK;")
    assert logged(bench, "bare") == []


def test_another_program_without_foreign_keys_is_captured_too(bench: Bench) -> None:
    with closing(sqlite3.connect(bench.store.path)) as other, other:
        other.execute("INSERT INTO bare VALUES ('a')")
    assert logged(bench, "bare") == [("I", ("a",), {})]


def test_a_trigger_of_the_application_is_logged_after_what_fired_it(bench: Bench) -> None:
    bench.app.execute(
        "CREATE TRIGGER app AFTER UPDATE OF x ON number"
        " BEGIN UPDATE number SET y = 'seen' WHERE id = NEW.id; END"
    )
    assert capture.renew(bench.store, bench.device.tables.values()) == ["number"]
    assert capture.renew(bench.store, bench.device.tables.values()) == []
    bench.app.execute("INSERT INTO number VALUES (1, 'a', 'b', 1.5)")
    bench.app.execute("UPDATE number SET x = 'c'")
    assert logged(bench, "number")[1:] == [("U", (1,), {"x": "a"}), ("U", (1,), {"y": "b"})]


def test_a_new_unique_index_renews_the_triggers(bench: Bench) -> None:
    bench.app.execute("CREATE UNIQUE INDEX later ON number (x)")
    assert capture.renew(bench.store, bench.device.tables.values()) == ["number"]
    bench.app.execute("INSERT INTO number VALUES (1, 'a', 'b', 1.5)")
    logged(bench, "number")
    bench.app.execute("REPLACE INTO number VALUES (2, 'a', NULL, NULL)")
    assert [entry[:2] for entry in logged(bench, "number")] == [("D", (1,)), ("I", (2,))]


def test_a_trigger_somebody_dropped_is_made_again(bench: Bench) -> None:
    bench.app.execute(f"DROP TRIGGER _sync_{bench.table('bare').n}_insert")
    assert len(capture.renew(bench.store, bench.device.tables.values())) == 1


def test_a_table_that_takes_part_no_longer_leaves_nothing_behind(bench: Bench) -> None:
    t = bench.table("bare")
    with bench.store.transaction() as store:
        capture.remove(store, t)
    left = bench.rows(
        f"SELECT name FROM sqlite_master WHERE name GLOB '_sync_{t.n}_*' OR name = '_sync_log_{t.n}'"
    )
    assert left == []
    bench.app.execute("INSERT INTO bare VALUES ('a')")


def test_a_table_that_lacks_a_column_is_refused(bench: Bench) -> None:
    columns = (ColumnSchema("id", "text", "TEXT"), ColumnSchema("missing", "text", "TEXT"))
    for name, sentence in (("bare", "no column missing"), ("nowhere", "no table nowhere")):
        t = Statements(TableSchema(name, columns, ("id",), number=99), 0)
        with pytest.raises(SchemaError, match=sentence):
            capture.build(bench.store, t)
