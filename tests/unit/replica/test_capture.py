"""Capture: every write is logged in its own transaction, whatever the table looks like (L2, L8)."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from syncline.errors import SchemaError
from syncline.model.schema import MOST_COLUMNS, ColumnSchema, TableSchema
from syncline.replica import capture
from syncline.replica.pending import log_entries, settle
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


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT OR IGNORE INTO number VALUES (1, NULL, 'b', 0)",
        "INSERT INTO number VALUES (1, NULL, 'b', 0) ON CONFLICT DO NOTHING",
        "INSERT INTO number VALUES (1, NULL, 'b', 0) ON CONFLICT DO UPDATE SET y = y",
        "INSERT INTO number VALUES (1, NULL, 'b', 0) ON CONFLICT DO UPDATE SET z = z + 1",
        "UPDATE OR IGNORE number SET id = 1 WHERE id = 2",
    ],
)
def test_a_row_is_not_copied_into_the_log_again_l11(bench: Bench, statement: str) -> None:
    bench.app.execute("INSERT INTO number VALUES (1, zeroblob(1000000), 'b', 1.5), (2, 'x', 'y', 0)")
    logged(bench, "number")
    for _ in range(30):
        bench.app.execute(statement)
        bench.app.execute("INSERT OR IGNORE INTO number VALUES (2, 1, 2, 3)")
    bytes_kept = f"SELECT sum(length(o{bench.schema.table('number').column('x').number})) FROM"
    assert bench.rows(f"{bytes_kept} {bench.log('number')}") in ([(1_000_000,)], [(1_000_001,)])


def test_an_insert_that_is_ignored_again_and_again_is_noted_once(bench: Bench) -> None:
    bench.app.execute("INSERT INTO word VALUES ('k', 1)")
    logged(bench, "word")
    for _ in range(10):
        bench.app.execute("INSERT OR IGNORE INTO word VALUES ('k', 2)")
    assert bench.rows(f"SELECT op FROM {bench.log('word')}") == [("M",)]


def test_a_row_that_was_noted_before_is_replaced_with_the_values_that_it_had_then(bench: Bench) -> None:
    bench.app.execute("INSERT INTO number VALUES (1, 'a', 'b', 1.5)")
    logged(bench, "number")
    bench.app.execute("INSERT OR IGNORE INTO number VALUES (1, NULL, NULL, 0)")
    bench.app.execute("UPDATE number SET z = 2.5")
    bench.app.execute("REPLACE INTO number VALUES (1, 'new', 'b', 0)")
    bench.app.execute("REPLACE INTO number VALUES (1, 'newer', 'b', 0)")
    expected = [
        ("U", (1,), {"z": 1.5}),
        ("D", (1,), {"x": "a", "y": "b", "z": 2.5}),
        ("I", (1,), {}),
        ("D", (1,), {"x": "new", "y": "b", "z": 0.0}),
        ("I", (1,), {}),
    ]
    found = [(entry.op, entry.key, entry.old) for entry in log_entries(bench.device, "number")]
    assert found == expected
    with bench.store.transaction():
        settle(bench.store, [bench.table("number")])
    assert logged(bench, "number") == expected


def test_rows_outside_of_a_partial_index_are_not_looked_at(bench: Bench) -> None:
    bench.app.execute("CREATE UNIQUE INDEX live ON pair (a) WHERE v IS NOT NULL")
    capture.renew(bench.store, bench.device.tables.values())
    (trigger,) = bench.rows(
        f"SELECT sql FROM sqlite_master WHERE name = '_sync_{bench.table('pair').n}_replace'"
    )
    probe = trigger[0].split("WHEN", 1)[1].split(" BEGIN ")[0].replace("NEW.", ":")
    probe = re.sub(r':"(\w+)"', r":\1", probe)
    plan = bench.app.execute(f"EXPLAIN QUERY PLAN SELECT {probe}", {"a": 1, "b": 2, "v": 3}).fetchall()
    assert not [step for *_, step in plan if step.startswith("SCAN") and "CONSTANT" not in step]
    bench.app.execute("INSERT INTO pair VALUES (1, 1, NULL), (1, 2, NULL)")
    logged(bench, "pair")
    bench.app.execute("REPLACE INTO pair VALUES (1, 3, 'v')")
    bench.app.execute("UPDATE OR REPLACE pair SET v = 'w' WHERE b = 1")
    assert [entry[:2] for entry in logged(bench, "pair")] == [("I", (3, 1)), ("D", (3, 1)), ("U", (1, 1))]


def test_a_table_of_as_many_columns_as_can_be_is_captured(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(MOST_COLUMNS - 1)]
    bench = Bench(tmp_path / "wide.db", f"CREATE TABLE t (id INTEGER PRIMARY KEY, {', '.join(names)})")
    bench.app.execute("INSERT INTO t (id, c0) VALUES (1, 'a')")
    bench.app.execute("UPDATE t SET c1800 = 'b'")
    bench.app.execute("REPLACE INTO t (id) VALUES (1)")
    assert [entry[0] for entry in logged(bench, "t")] == ["I", "U", "D", "I"]
    bench.pull(bench.put("t", (2, *names)))
    assert bench.rows("SELECT count(*), max(c1800) FROM t") == [(2, "c1800")]
    bench.close()


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
