"""A bulk insert is read by the rows' numbers, which may change: nothing is missed or confused (L2, L6)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from syncline.model.values import Value
from syncline.protocol.body import undelta
from syncline.replica import alike, runs
from syncline.replica.freeze import freeze
from syncline.replica.indexes import rowid_of
from tests.support.device import Bench

DDL = """
CREATE TABLE word (id TEXT PRIMARY KEY, n INTEGER);
CREATE TABLE folded (id TEXT COLLATE NOCASE PRIMARY KEY, n INTEGER);
CREATE TABLE pair (a, b BLOB, n INTEGER, PRIMARY KEY (b, a));
CREATE TABLE number (id INTEGER PRIMARY KEY, n INTEGER);
CREATE TABLE descending (id INTEGER PRIMARY KEY DESC, n INTEGER);
CREATE TABLE without (id TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID;
CREATE TABLE one_name (id TEXT PRIMARY KEY, RowId INTEGER, oid INTEGER);
CREATE TABLE no_name (id TEXT PRIMARY KEY, rowid INTEGER, oid INTEGER, _rowid_ INTEGER);
"""


@pytest.fixture(params=[1, 1_000], ids=["by the run", "by the entry"])
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(alike, "FEW", 1)
    monkeypatch.setattr(runs, "FEW", request.param)
    monkeypatch.setattr(runs, "LENGTH", 1)
    made = Bench(tmp_path / "device.db", DDL)
    yield made
    made.close()


def pushed(bench: Bench) -> dict[tuple[str, str], list[Sequence[Value]]]:
    """The rows of the next push, by table and operation, in order."""
    assert freeze(bench.device) is not None
    found: dict[tuple[str, str], list[Sequence[Value]]] = {}
    for chunk in bench.chunks():
        for group in chunk:
            name = bench.schema.by_number[group.table].name
            found.setdefault((name, group.op), []).extend(bench.declared(group))
    return found


def past_the_triggers(bench: Bench, sql: str) -> None:
    with bench.store.transaction() as store:
        store.set_state(suppressed=1)
        store.execute(sql)
        store.set_state(suppressed=0)


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("word", "rowid"),
        ("pair", "rowid"),
        ("descending", "rowid"),
        ("one_name", "_rowid_"),
        ("number", None),
        ("without", None),
        ("no_name", None),
    ],
)
def test_a_row_has_a_number_where_that_is_not_its_key_and_has_a_name(
    bench: Bench, table: str, name: str | None
) -> None:
    assert rowid_of(bench.store, table) == name


def test_a_small_push_is_read_by_key_without_looking_at_the_table(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alike, "FEW", 3)
    monkeypatch.setattr(alike, "rowid_of", None)
    bench.app.executemany("INSERT INTO word VALUES (?, ?)", [("a", 1), ("b", 2)])
    assert pushed(bench) == {("word", "I"): [["a", 1], ["b", 2]]}


@pytest.mark.parametrize("table", ["word", "descending", "number", "without", "one_name", "no_name"])
def test_a_bulk_insert_is_pushed_whatever_the_table_looks_like(bench: Bench, table: str) -> None:
    rows: list[list[Value]] = [[7, 1], [3, 2], [5, 3]]
    values = ", 9, 9" if table == "no_name" else ", 9" if table == "one_name" else ""
    if table not in ("descending", "number"):
        rows = [[str(key), n] for key, n in rows]
    bench.app.executemany(f"INSERT INTO {table} VALUES (?, ?{values})", rows)
    assert [list(row[:2]) for row in pushed(bench)[table, "I"]] == rows


def test_l2_rows_that_were_renumbered_are_pushed_as_they_are(bench: Bench) -> None:
    """VACUUM may give rows other numbers. SQLite's present versions leave them where there is an index."""
    bench.app.executemany("INSERT INTO word VALUES (?, ?)", [(f"old {i}", i) for i in range(50)])
    freeze(bench.device)
    bench.verdict()
    rows = [[f"new {i}", i] for i in range(100)]
    bench.app.executemany("INSERT INTO word VALUES (?, ?)", rows)
    past_the_triggers(bench, "DELETE FROM word WHERE id LIKE 'old%'")
    bench.app.execute("VACUUM")
    bench.app.execute("UPDATE word SET rowid = rowid - 50 WHERE rowid > 50")
    assert bench.rows("SELECT min(rowid), max(rowid) FROM word") == [(1, 100)]
    assert pushed(bench) == {("word", "I"): rows}
    bench.verdict()
    bench.app.executemany("INSERT INTO word VALUES (?, ?)", [("later", 1)])
    assert pushed(bench) == {("word", "I"): [["later", 1]]}


def test_rows_whose_numbers_were_exchanged_are_not_confused(bench: Bench) -> None:
    rows = [[f"{i}", i] for i in range(4)]
    bench.app.executemany("INSERT INTO word VALUES (?, ?)", rows)
    for old, new in ((1, 10), (2, 1), (10, 2), (4, 400)):
        bench.app.execute("UPDATE word SET rowid = ? WHERE rowid = ?", (new, old))
    assert pushed(bench) == {("word", "I"): rows}


@pytest.mark.parametrize("moved", [0, 1, 2, 6, 9])
def test_a_row_that_was_renumbered_in_any_batch_is_found(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, moved: int
) -> None:
    monkeypatch.setattr(alike, "BATCH", 3)
    rows = [[f"{i}", i] for i in range(10)]
    bench.app.executemany("INSERT INTO word VALUES (?, ?)", rows)
    bench.app.execute("UPDATE word SET rowid = 100 WHERE n = ?", (moved,))
    assert pushed(bench) == {("word", "I"): rows}


def test_keys_that_the_file_takes_for_the_same_are_told_apart(bench: Bench) -> None:
    bench.app.execute("INSERT INTO folded VALUES ('a', 1)")
    bench.app.execute("INSERT INTO folded VALUES ('b', 2)")
    past_the_triggers(bench, "UPDATE folded SET id = 'A' WHERE id = 'a'")
    assert pushed(bench) == {("folded", "I"): [["b", 2]], ("folded", "-"): [["a"]]}


def test_a_row_that_was_replaced_is_sent_once_in_its_last_place(bench: Bench) -> None:
    bench.app.execute("INSERT INTO word VALUES ('a', 1)")
    bench.app.execute("INSERT INTO word VALUES ('b', 1)")
    bench.app.execute("REPLACE INTO word VALUES ('a', 2)")
    assert pushed(bench) == {("word", "I"): [["b", 1], ["a", 2]]}


def test_l2_a_row_that_left_its_table_past_the_triggers_does_not_stop_the_others(bench: Bench) -> None:
    bench.app.executemany("INSERT INTO word VALUES (?, ?)", [("a", 1), ("b", 2), ("c", 3)])
    past_the_triggers(bench, "DELETE FROM word WHERE id = 'b'")
    assert pushed(bench) == {("word", "I"): [["a", 1], ["c", 3]], ("word", "-"): [["b"]]}


def test_l7_clocks_follow_the_order_of_the_log_whichever_way_rows_are_found(bench: Bench) -> None:
    bench.app.executemany("INSERT INTO word VALUES (?, ?)", [(f"{i}", i) for i in range(5)])
    then, before = "julianday('2026-01-02')", "julianday('2026-01-01')"  # the wall clock went back
    bench.app.execute(f"UPDATE {bench.log('word')} SET at = CASE WHEN seq < 3 THEN {then} ELSE {before} END")
    bench.app.execute("UPDATE word SET rowid = rowid + 100 WHERE n = 0")
    past_the_triggers(bench, "DELETE FROM word WHERE n = 1")
    assert freeze(bench.device) is not None
    inserted = next(group for chunk in bench.chunks() for group in chunk if group.op == "I")
    clocks = undelta(inserted.hlc)
    assert [clock - clocks[0] for clock in clocks] == [0, 2, 3, 4]


def test_rows_that_were_numbered_in_another_order_than_they_were_inserted_are_found(bench: Bench) -> None:
    rows = [[f"{i}", i] for i in range(9)]
    for key, n in rows:
        bench.app.execute(
            "INSERT INTO word (rowid, id, n) VALUES (?, ?, ?)", (100 - int(str(n)) % 4 * 10 - n, key, n)
        )
    assert pushed(bench) == {("word", "I"): rows}
