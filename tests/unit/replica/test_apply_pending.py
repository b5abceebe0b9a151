"""What the hub sends, on rows with pending edits (law L6: the hub decides, a replica overlays)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from syncline.protocol.messages import ConflictNote, Rejection
from syncline.replica.compare import Finding, Span
from syncline.replica.freeze import freeze
from syncline.replica.lost import lost, notice
from syncline.replica.overlay import Overlay, kind_of
from syncline.replica.rejected import discard, rejected, retry
from syncline.replica.repair import repair
from tests.support.device import Bench

DDL = """
CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT UNIQUE, note TEXT, n INTEGER);
CREATE TABLE child (
    id INTEGER PRIMARY KEY,
    parent INTEGER REFERENCES parent (id) ON DELETE CASCADE,
    code TEXT
);
CREATE TABLE plain (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent (id), code TEXT);
"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "device.db", DDL, increments=["n"])
    made.pull(made.put("parent", [1, "a", "x", 10], [2, "b", "y", 20]), made.put("child", [5, 1, "k"]))
    yield made
    made.close()


def log_of(bench: Bench, table: str) -> list[tuple[object, ...]]:
    return bench.rows(f"SELECT op, k0 FROM {bench.log(table)} ORDER BY seq")


def test_edited_columns_stay_and_the_others_follow_the_hub(bench: Bench) -> None:
    bench.app.execute("UPDATE parent SET note = 'mine' WHERE id = 1")
    bench.pull(bench.put("parent", [1, "A", "theirs", 10]))
    assert bench.all("parent")[0] == (1, "A", "mine", 10)
    assert log_of(bench, "parent") == [("U", 1)]


def test_an_increment_moves_onto_the_value_of_the_hub_and_stays_the_same_increment(bench: Bench) -> None:
    bench.app.execute("UPDATE parent SET n = n + 3 WHERE id = 1")
    bench.app.execute("UPDATE parent SET n = n + 4 WHERE id = 1")
    bench.pull(bench.put("parent", [1, 100], columns=["n"]))
    assert bench.all("parent")[0] == (1, "a", "x", 107)
    frozen = freeze(bench.device)
    assert frozen is not None
    n = bench.schema.table("parent").column("n").number
    assert bench.rows(f"SELECT o{n} FROM {bench.log('parent')} ORDER BY seq") == [(100,), (103,)]


@pytest.mark.parametrize("finds_place", [True, False])
def test_an_increment_of_a_hidden_row_that_comes_back_moves_onto_the_value_of_the_hub(
    bench: Bench, finds_place: bool
) -> None:
    bench.app.execute("UPDATE parent SET n = n + 3 WHERE id = 2")
    bench.pull(bench.gone("parent", 2))
    if not finds_place:
        bench.app.execute("INSERT INTO parent VALUES (3, 'c', NULL, 0)")
    bench.pull(bench.put("parent", [2, "c", "y", 100]), watermark="w2")
    n = bench.schema.table("parent").column("n").number
    assert bench.rows(f"SELECT o{n} FROM {bench.log('parent')} WHERE k0 = 2") == [(100,)]
    if not finds_place:
        bench.app.execute("UPDATE parent SET name = 'd' WHERE id = 3")
        bench.pull(bench.put("parent", [2, 200], columns=["n"]), watermark="w3")
        assert bench.all("parent")[1] == (2, "c", "y", 203)
    else:
        assert bench.all("parent")[1] == (2, "c", "y", 103)


def test_an_increment_on_null_counts_as_one_on_nothing(bench: Bench) -> None:
    bench.pull(bench.put("parent", [1, None], columns=["n"]))
    bench.app.execute("UPDATE parent SET n = 3 WHERE id = 1")
    bench.pull(bench.put("parent", [1, 5], columns=["n"]))
    assert bench.all("parent")[0][3] == 8


def test_a_row_with_edits_that_the_hub_deleted_is_hidden_and_comes_back_with_them(bench: Bench) -> None:
    bench.app.execute("UPDATE parent SET note = 'mine' WHERE id = 2")
    bench.pull(bench.gone("parent", 2))
    assert [row[0] for row in bench.all("parent")] == [1]
    bench.pull(bench.put("parent", [2, "B", "theirs", 9]))
    assert bench.all("parent")[1] == (2, "B", "mine", 9)
    assert bench.rows("SELECT * FROM _sync_parked") == []


def test_a_hidden_row_whose_edits_were_accepted_is_shown_as_it_was_sent(bench: Bench) -> None:
    bench.app.execute("UPDATE parent SET note = 'mine' WHERE id = 2")
    bench.pull(bench.gone("parent", 2))
    assert freeze(bench.device) is not None
    bench.verdict()
    assert bench.all("parent")[1] == (2, "b", "mine", 20)
    assert bench.rows("SELECT * FROM _sync_parked") == []


def test_a_hidden_row_comes_back_although_another_still_has_its_unique_value(bench: Bench) -> None:
    bench.app.execute("UPDATE parent SET note = 'mine' WHERE id = 2")
    bench.pull(bench.gone("parent", 2), bench.put("parent", [1, "b", "x", 10]))
    bench.pull(bench.put("parent", [2, "b", "theirs", 9], [1, "a", "x", 10]))
    assert bench.all("parent") == [(1, "a", "x", 10), (2, "b", "mine", 9)]


def test_rows_created_removed_or_replaced_here_are_left_alone_until_the_verdict(bench: Bench) -> None:
    bench.app.execute("INSERT INTO parent VALUES (3, 'c', 'mine', 0)")
    bench.app.execute("DELETE FROM parent WHERE id = 2")
    bench.pull(bench.put("parent", [2, "B", "theirs", 0], [3, "C", "theirs", 0]))
    assert [row[:3] for row in bench.all("parent")] == [(1, "a", "x"), (3, "c", "mine")]
    bench.pull(bench.gone("parent", 3))
    assert bench.all("parent")[1][:3] == (3, "c", "mine")


def test_a_row_whose_unique_value_a_pending_edit_has_taken_waits_for_the_verdict(
    bench: Bench,
) -> None:
    bench.app.execute("INSERT INTO parent VALUES (3, 'c', NULL, 0)")
    bench.pull(bench.put("parent", [4, "c", "theirs", 0]))
    assert bench.all("parent")[2:] == [(3, "c", None, 0)]
    assert bench.rows("SELECT count(*), max(reason) FROM _sync_held") == [(1, None)]
    assert freeze(bench.device) is not None
    rejection = Rejection(
        bench.schema.number_of("parent"), [3], "unique", "the name is taken", "Choose another."
    )
    bench.verdict(bench.gone("parent", 3), rejected=[rejection])
    assert bench.all("parent")[2:] == [(4, "c", "theirs", 0)]
    assert bench.rows("SELECT * FROM _sync_held") == []
    assert [edit.values for edit in rejected(bench.device)] == [{"name": "c", "note": None, "n": 0}]


def test_a_parent_stays_while_a_pending_child_points_at_it_and_goes_with_the_verdict(bench: Bench) -> None:
    bench.app.execute("INSERT INTO child VALUES (6, 2, 'mine')")
    bench.pull(bench.gone("parent", 2))
    assert (6, 2, "mine") in bench.all("child")
    assert freeze(bench.device) is not None
    rejection = Rejection(bench.schema.number_of("child"), [6], "parent_missing", "no parent 2", "Insert it.")
    bench.verdict(bench.gone("child", 6), rejected=[rejection])
    assert [row[0] for row in bench.all("parent")] == [1]
    assert bench.all("child") == [(5, 1, "k")]


def test_a_row_arrives_whose_parent_was_deleted_here(bench: Bench) -> None:
    bench.app.execute("DELETE FROM parent WHERE id = 2")
    bench.pull(bench.put("plain", [7, 2, "theirs"]))
    assert bench.all("plain") == [(7, 2, "theirs")]
    assert (2, "b", "y", 20) in bench.all("parent")
    assert log_of(bench, "parent") == [("D", 2)]
    assert freeze(bench.device) is not None
    bench.verdict(bench.put("parent", [2, "b", "y", 20]))
    assert (2, "b", "y", 20) in bench.all("parent")
    assert bench.rows("SELECT * FROM _sync_held") == []


def test_a_delete_that_was_accepted_takes_the_parent_that_was_shown_again(bench: Bench) -> None:
    bench.app.execute("DELETE FROM parent WHERE id = 2")
    bench.pull(bench.put("child", [7, 2, "theirs"]))
    assert freeze(bench.device) is not None
    bench.verdict()
    bench.pull(bench.gone("child", 7))
    assert [row[0] for row in bench.all("parent")] == [1]
    assert bench.all("child") == [(5, 1, "k")]


def test_a_verdict_clears_exactly_the_edits_it_covers(bench: Bench) -> None:
    bench.app.execute("UPDATE parent SET note = 'one' WHERE id = 1")
    assert freeze(bench.device) is not None
    bench.app.execute("UPDATE parent SET note = 'two' WHERE id = 1")
    bench.verdict(bench.put("parent", [1, "A", "theirs", 11]))
    assert bench.all("parent")[0] == (1, "A", "two", 11)
    assert log_of(bench, "parent") == [("U", 1)]
    assert bench.rows("SELECT * FROM _sync_outbox") == []


def test_an_override_puts_the_row_as_the_hub_has_it(bench: Bench) -> None:
    bench.app.execute("UPDATE parent SET note = 'mine' WHERE id = 1")
    bench.app.execute("DELETE FROM parent WHERE id = 2")
    assert freeze(bench.device) is not None
    bench.verdict(bench.put("parent", [1, "a", "theirs", 10], [2, "b", "y", 20]))
    assert bench.all("parent") == [(1, "a", "theirs", 10), (2, "b", "y", 20)]


def test_a_rejected_edit_is_kept_with_its_values_base_and_reason_l2_l12(bench: Bench) -> None:
    bench.app.execute("UPDATE parent SET note = 'mine', n = n + 5 WHERE id = 1")
    bench.app.execute("DELETE FROM parent WHERE id = 2")
    frozen = freeze(bench.device)
    assert frozen is not None
    parent = bench.schema.number_of("parent")
    refused = [Rejection(parent, [i], "check", f"row {i} is refused", "Mend it.") for i in (1, 2)]
    bench.verdict(bench.put("parent", [1, "a", "x", 10], [2, "b", "y", 20]), rejected=refused)
    assert bench.all("parent") == [(1, "a", "x", 10), (2, "b", "y", 20)]
    update, delete = rejected(bench.device)
    assert (update.op, update.values, update.base) == ("U", {"note": "mine", "n": 5}, {"note": "x", "n": 10})
    assert (delete.op, delete.key, delete.base) == ("D", (2,), {"name": "b", "note": "y", "n": 20})
    assert (update.code, update.detail, update.remedy, update.push) == (
        "check",
        "row 1 is refused",
        "Mend it.",
        frozen.number,
    )


def test_a_retried_edit_is_a_fresh_edit_and_a_discarded_one_is_forgotten(bench: Bench) -> None:
    bench.app.execute("UPDATE parent SET n = n + 5 WHERE id = 1")
    bench.app.execute("DELETE FROM parent WHERE id = 2")
    assert freeze(bench.device) is not None
    parent = bench.schema.number_of("parent")
    refused = [Rejection(parent, [i], "check", "", "") for i in (1, 2)]
    bench.verdict(bench.put("parent", [1, "a", "x", 30], [2, "b", "y", 20]), rejected=refused)
    first, second = rejected(bench.device)
    retry(bench.device, first.id)
    discard(bench.device, second.id)
    assert bench.all("parent") == [(1, "a", "x", 35), (2, "b", "y", 20)]
    assert log_of(bench, "parent") == [("U", 1)]
    assert rejected(bench.device) == []


def test_conflicts_are_kept_with_base_and_both_values(bench: Bench) -> None:
    bench.app.execute("UPDATE parent SET note = 'mine' WHERE id = 1")
    assert freeze(bench.device) is not None
    note = ConflictNote(
        9,
        "parent",
        [1],
        "note",
        "hub",
        "replica-1",
        5,
        "other",
        6,
        "x",
        "mine",
        "theirs",
        "2026-01-01T00:00:00Z",
    )
    bench.verdict(bench.put("parent", [1, "a", "theirs", 10]), conflicts=[note])
    from syncline.replica.conflicts import conflicts

    assert conflicts(bench.store, open_only=False) == [note]
    assert conflicts(bench.store, open_only=True) == []


def test_what_a_replace_did_is_decided_before_the_tables_change(bench: Bench) -> None:
    bench.app.execute("INSERT OR REPLACE INTO parent VALUES (3, 'b', NULL, 0)")
    bench.pull(bench.put("plain", [7, 2, "theirs"]))
    assert [row[0] for row in bench.all("parent")] == [1, 3]
    assert log_of(bench, "parent") == [("D", 2), ("I", 3)]
    assert bench.all("plain") == []
    assert freeze(bench.device) is not None
    bench.verdict(bench.put("parent", [2, "b", "y", 20]), bench.gone("parent", 3))
    assert [row[0] for row in bench.all("parent")] == [1, 2]
    assert bench.all("plain") == [(7, 2, "theirs")]


def test_a_row_is_repaired_although_a_replace_that_came_to_nothing_is_in_its_log(bench: Bench) -> None:
    bench.app.execute("INSERT OR IGNORE INTO parent VALUES (1, 'other', NULL, 0)")
    assert log_of(bench, "parent") == [("M", 1)]
    t, rows = bench.table("parent"), bench.put("parent", [1, "a", "x", 10], [1, "A", "theirs", 70]).rows
    finding = Finding(t, Span(t.n, None, None, 0), (1,), here=tuple(rows[0]), centre=tuple(rows[1]))
    repair(bench.device, [finding], lambda work, answer: None)
    assert bench.all("parent") == [(1, "A", "theirs", 70), (2, "b", "y", 20)]


def test_an_edit_of_a_value_that_is_held_back_stands_on_what_was_shown_l2(bench: Bench) -> None:
    """The row shows 'b' while the hub has 'c': an edit of it has not seen 'c', and so must meet it."""
    before = bench.store.state().checkpoint
    bench.app.execute("INSERT INTO parent VALUES (3, 'c', NULL, 0)")
    bench.pull(bench.put("parent", [2, "c", "news"], columns=["name", "note"]))
    assert bench.all("parent")[1] == (2, "b", "y", 20)
    bench.pull(watermark="w2")
    bench.app.execute("UPDATE parent SET n = n + 1 WHERE id = 2")
    bench.app.execute("UPDATE parent SET name = name || '!' WHERE id = 2")
    assert freeze(bench.device) is not None
    stands = bench.rows(f"SELECT op, checkpoint FROM {bench.log('parent')} WHERE k0 = 2 ORDER BY seq")
    assert [op for op, _ in stands] == ["U", "U"] and stands[0][1] > stands[1][1] == before
    assert bench.store.rows("SELECT watermark FROM _sync_checkpoint WHERE id = ?", (before,)) == [("w1",)]


def test_an_increment_stays_the_same_while_the_hubs_values_of_its_row_wait_l2(bench: Bench) -> None:
    """The hub's name for the row is another's here. That the hub's count waits with it changes no increment,
    however often the row is tried; what comes next is laid over what waits."""
    bench.app.execute("INSERT INTO parent VALUES (3, 'c', NULL, 0)")
    bench.app.execute("UPDATE parent SET n = n + 1 WHERE id = 2")
    n = bench.schema.table("parent").column("n").number
    old = f"SELECT o{n} FROM {bench.log('parent')} WHERE op = 'U'"
    bench.pull(bench.put("parent", [2, "c", "news", 30]))
    for watermark in ("w2", "w3"):
        assert bench.all("parent")[1] == (2, "b", "y", 21) and bench.rows(old) == [(20,)]
        bench.pull(watermark=watermark)
    bench.pull(bench.put("parent", [2, "newer"], columns=["note"]), watermark="w4")
    assert bench.all("parent")[1] == (2, "b", "y", 21) and bench.rows(old) == [(20,)]
    bench.app.execute("UPDATE parent SET name = 'd' WHERE id = 3")
    bench.pull(watermark="w5")
    assert bench.all("parent")[1] == (2, "c", "newer", 31)
    assert (30,) in bench.rows(old)
    assert bench.rows("SELECT * FROM _sync_held") == []


def test_a_hidden_row_finds_its_place_once_all_is_learned(bench: Bench) -> None:
    bench.app.execute("UPDATE parent SET note = 'mine' WHERE id = 2")
    bench.pull(bench.gone("parent", 2))
    bench.pull(bench.put("parent", [2, "a", "y", 20], [1, "z", "x", 10]))
    assert bench.all("parent") == [(1, "z", "x", 10), (2, "a", "mine", 20)]


def test_an_accepted_edit_is_newer_than_what_is_held_of_its_column(bench: Bench) -> None:
    bench.app.execute("INSERT INTO parent VALUES (3, 'c', NULL, 0)")
    bench.pull(bench.put("parent", [2, "c"], columns=["name"]))
    assert bench.all("parent")[1][:2] == (2, "b")
    bench.app.execute("UPDATE parent SET name = 'mine' WHERE id = 2")
    bench.app.execute("UPDATE parent SET name = 'd' WHERE id = 3")
    assert freeze(bench.device) is not None
    bench.verdict()
    assert bench.all("parent")[1:] == [(2, "mine", "y", 20), (3, "d", None, 0)]


def test_a_hidden_row_that_comes_back_trades_with_one_that_waits_for_it_as_its_parent(tmp_path: Path) -> None:
    ddl = (
        "CREATE TABLE tree (id INTEGER PRIMARY KEY, up INTEGER REFERENCES tree (id), code TEXT UNIQUE, note)"
    )
    with closing(Bench(tmp_path / "device.db", ddl)) as bench:
        bench.pull(bench.put("tree", [1, None, "a", ""], [2, None, "b", ""], [3, None, "c", ""]))
        bench.app.execute("UPDATE tree SET note = 'mine' WHERE id = 1")
        bench.app.execute("UPDATE tree SET code = 'd' WHERE id = 3")
        bench.pull(bench.gone("tree", 1), bench.put("tree", [2, None, "d", ""]), watermark="w2")
        assert bench.all("tree") == [(2, None, "b", ""), (3, None, "d", "")]
        bench.app.execute("UPDATE tree SET code = 'e' WHERE id = 3")
        bench.pull(bench.put("tree", [1, None, "b", ""], [2, 1, "d", ""]), watermark="w3")
        assert bench.all("tree") == [(1, None, "b", "mine"), (2, 1, "d", ""), (3, None, "e", "")]
        assert bench.rows("SELECT n FROM _sync_held UNION ALL SELECT n FROM _sync_parked") == []


def test_what_wants_a_value_of_a_parent_that_an_edit_keeps_waits_for_the_verdict_alone(bench: Bench) -> None:
    bench.app.execute("UPDATE child SET code = 'mine' WHERE id = 5")
    bench.pull(bench.gone("parent", 1), bench.put("parent", [9, "a", "new", 0]))
    assert [row[0] for row in bench.all("parent")] == [1, 2]
    assert bench.rows("SELECT count(*), max(reason) FROM _sync_held") == [(2, None)]
    assert freeze(bench.device) is not None
    bench.verdict(bench.gone("child", 5))
    assert [row[0] for row in bench.all("parent")] == [2, 9] and bench.all("child") == []


@pytest.mark.parametrize("edit", ["INSERT INTO grandchild VALUES (8, 5, 'mine')",
                                  "UPDATE grandchild SET note = 'mine' WHERE id = 5",
                                  "DELETE FROM grandchild WHERE id = 5"])  # fmt: skip
def test_edits_below_a_row_whose_parent_is_missing_are_kept_and_sent_l2(tmp_path: Path, edit: str) -> None:
    ddl = """CREATE TABLE parent (id INTEGER PRIMARY KEY);
        CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent (id));
        CREATE TABLE grandchild (
            id INTEGER PRIMARY KEY, child INTEGER REFERENCES child (id) ON DELETE CASCADE, note
        );"""
    with closing(Bench(tmp_path / "device.db", ddl)) as bench:
        bench.pull(bench.put("parent", [1]), bench.put("child", [5, 1], [6, 1]))
        bench.pull(bench.put("grandchild", [5, 5, "hub"], [9, 6, "hub"]), watermark="w2")
        bench.app.execute(edit)
        edited = bench.all("grandchild")
        bench.pull(bench.put("child", [5, 77]), watermark="w3")
        assert bench.all("child") == [(6, 1)] and bench.all("grandchild") == [(9, 6, "hub")]
        assert freeze(bench.device) is not None
        ((group,),) = bench.chunks()
        assert group.rows[0][0] == (8 if group.op == "I" else 5) and len(group.rows) == 1
        bench.verdict()
        bench.pull(bench.put("parent", [77]), watermark="w4")
        assert bench.all("child") == [(5, 77), (6, 1)] and bench.all("grandchild") == edited


@pytest.mark.parametrize("held", [False, True])
def test_a_row_arrives_whose_parent_by_a_unique_value_was_deleted_here(tmp_path: Path, held: bool) -> None:
    """The deleted parent comes back for its sake, unless an edit has the value that the parent had."""
    ddl = """CREATE TABLE parent (id INTEGER PRIMARY KEY, code TEXT, name TEXT UNIQUE, UNIQUE (code, name));
        CREATE TABLE child (id INTEGER PRIMARY KEY, name TEXT, code TEXT,
            FOREIGN KEY (name, code) REFERENCES parent (name, code));"""
    with closing(Bench(tmp_path / "device.db", ddl)) as bench:
        bench.pull(bench.put("parent", [1, "a", "A"], [2, "b", "B"], [3, "c", "C"]))
        bench.app.execute("DELETE FROM parent WHERE id > 1")
        if held:
            bench.app.execute("INSERT INTO parent VALUES (4, 'other', 'B')")
        bench.pull(bench.put("child", [5, "B", "b"]), watermark="w2")
        assert bench.all("child") == ([] if held else [(5, "B", "b")])
        assert bench.rows("SELECT id, code FROM parent WHERE id > 1") == [(4, "other") if held else (2, "b")]
        assert freeze(bench.device) is not None
        bench.verdict()
        assert [row[0] for row in bench.all("parent")] == ([1, 4] if held else [1])
        assert bench.all("child") == []


def test_hidden_rows_of_a_table_that_takes_no_part_keep_nothing_else_back(tmp_path: Path) -> None:
    ddl = "CREATE TABLE one (id INTEGER PRIMARY KEY, a); CREATE TABLE other (id INTEGER PRIMARY KEY, a)"
    with closing(Bench(tmp_path / "device.db", ddl)) as bench:
        bench.pull(bench.put("one", [1, "a"]), bench.put("other", [1, "a"]))
        bench.app.execute("UPDATE one SET a = 'mine'")
        bench.pull(bench.gone("one", 1), watermark="w2")
        bench.app.execute("UPDATE other SET a = 'mine'")
        bench.app.execute("DROP TABLE one")
        notice(bench.device)
        bench.pull(bench.put("other", [2, "b"]), watermark="w3")
        assert bench.all("other") == [(1, "mine"), (2, "b")]
        assert freeze(bench.device) is not None
        assert [group.table for (group,) in bench.chunks()] == [bench.schema.number_of("other")]


def test_a_parent_stays_for_any_row_of_a_table_that_was_not_captured(bench: Bench) -> None:
    """Until it is compared nobody knows which of them were edited."""
    bench.app.executescript(
        "DROP TABLE child;"
        " CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent (id), code TEXT);"
        " INSERT INTO child VALUES (5, 1, 'k')"
    )
    notice(bench.device)
    assert [bench.device.tables[n].table.name for n in lost(bench.store)] == ["child"]
    bench.pull(bench.gone("parent", 1, 2))
    assert [row[0] for row in bench.all("parent")] == [1] and bench.all("child") == [(5, 1, "k")]


def test_a_row_arrives_whose_parent_is_hidden_with_edits(bench: Bench) -> None:
    bench.app.execute("UPDATE parent SET note = 'mine' WHERE id = 2")
    bench.pull(bench.gone("parent", 2))
    bench.pull(bench.put("child", [6, 2, "new"]), watermark="w2")
    assert bench.all("parent")[1] == (2, "b", "mine", 20) and bench.all("child")[1] == (6, 2, "new")
    assert bench.rows("SELECT count(*) FROM _sync_parked") == [(0,)]
    assert freeze(bench.device) is not None
    bench.verdict(bench.gone("parent", 2), bench.gone("child", 6))
    assert [row[0] for row in bench.all("parent")] == [1] and [row[0] for row in bench.all("child")] == [5]


def test_an_increment_on_what_waits_stays_where_a_hidden_row_wants_its_value(bench: Bench) -> None:
    sql = bench.app.execute
    sql("INSERT INTO parent VALUES (3, 'c', NULL, 0)")
    sql("UPDATE parent SET note = 'mine' WHERE id = 1")
    sql("UPDATE parent SET n = n + 5 WHERE id = 2")
    bench.pull(bench.gone("child", 5), bench.gone("parent", 1), bench.put("parent", [2, "c", "y", 100]))
    assert bench.all("parent") == [(2, "b", "y", 25), (3, "c", None, 0)]
    sql("UPDATE parent SET name = 'd' WHERE id = 3")
    bench.pull(bench.put("parent", [1, "b", "x", 10]), watermark="w2")
    assert bench.all("parent") == [(1, "b", "mine", 10), (2, "c", "y", 105), (3, "d", None, 0)]


@pytest.mark.parametrize(
    ("ops", "absent", "kind"),
    [
        ("", False, None),
        ("U", False, "U"),
        ("UU", False, "U"),
        ("I", False, "I"),
        ("IU", False, "I"),
        ("UD", True, "D"),
        ("DI", False, "R"),
        ("DIU", False, "R"),
        ("ID", True, "-"),
        ("M", False, None),
        ("M", True, "D"),
        ("MU", False, "U"),
        ("MU", True, "D"),
        ("MI", False, "R"),
        ("UMU", False, "U"),
        ("UMUI", False, "R"),
        ("IMI", False, "I"),
        ("IM", True, "-"),
        ("IMU", True, "-"),
        ("UM", True, "D"),
        ("UU", True, "U"),
    ],
)
def test_what_a_chain_of_edits_amounts_to(ops: str, absent: bool, kind: str | None) -> None:
    assert kind_of(ops, absent) == kind


def test_a_hidden_row_gets_another_key_and_no_other_does(bench: Bench) -> None:
    t, child = bench.table("parent"), bench.table("child")
    with bench.store.transaction() as store:
        overlay = Overlay(store)
        overlay.park(t, overlay.pending(t, [(1,), (2,)]))
        overlay.park(child, [replace(overlay.pending(child, [(5,)])[0], key=(1,))])
        overlay.move_parked(t, (1,), (7,))
        assert overlay.parked(t, (1,)) is None and overlay.parked(t, (2,)) is not None
        assert overlay.parked(t, (7,)) == list(store.row(t.select, (1,)) or ())
        assert overlay.parked(child, (1,)) is not None
