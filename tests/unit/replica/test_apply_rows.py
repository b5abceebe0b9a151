"""What the hub sends, on rows without pending edits: sets, order, unique values, foreign keys."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec import Raw

from syncline.errors import Malformed
from syncline.protocol.body import seal
from syncline.protocol.messages import Changes, Group
from syncline.replica import capture
from syncline.replica.apply import Answer, apply
from syncline.replica.gathered import MANY as GATHERED
from syncline.replica.store import unpack
from syncline.replica.work import MANY
from tests.support.device import Bench

DDL = """
CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT UNIQUE, note TEXT);
CREATE TABLE child (
    id INTEGER PRIMARY KEY,
    parent INTEGER REFERENCES parent (id) ON DELETE CASCADE,
    code TEXT NOT NULL UNIQUE
);
CREATE TABLE tree (id INTEGER PRIMARY KEY, up INTEGER REFERENCES tree (id));
CREATE TABLE pair (a INTEGER, b TEXT, v, PRIMARY KEY (a, b)) WITHOUT ROWID;
CREATE TABLE "select" ("from" TEXT PRIMARY KEY, "a ""b" TEXT);
CREATE TABLE bare (id INTEGER PRIMARY KEY);
"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "device.db", DDL)
    yield made
    made.close()


def test_whole_rows_are_inserted_or_updated_and_partial_ones_change_only_their_columns(bench: Bench) -> None:
    bench.pull(bench.put("parent", [1, "a", "x"], [2, "b", "y"]))
    bench.pull(bench.put("parent", [2, "z"], columns=["note"]), bench.put("parent", [3, "c", None]))
    assert bench.all("parent") == [(1, "a", "x"), (2, "b", "z"), (3, "c", None)]


def test_of_rows_of_another_schema_only_the_columns_that_the_file_has_are_taken(bench: Bench) -> None:
    """A page may be of an older or a newer schema: what it has beyond the file's is passed over."""
    bench.pull(bench.put("parent", [1, "a", "x"]), bench.put("pair", [1, "b", 5]))
    parent, pair = bench.schema.number_of("parent"), bench.schema.number_of("pair")
    name, note = (bench.schema.table("parent").column(name).number for name in ("name", "note"))
    v = bench.schema.table("pair").column("v").number
    groups = [
        Group(parent, "U", [name, 98, note, 99], [[1, "b", "no", "y", "no"], [2, "c", "no", None, "no"]]),
        Group(pair, "U", [97, v], [[1, "b", "no", 6], [2, "c", "no", 7]]),
        Group(99, "U", [0], [[1, "of a table that the file has not got"]]),
        Group(99, "D", [], [[1]]),
        Group(parent, "U", [name, note], []),
    ]
    with pytest.raises(Malformed):
        bench.pull(*groups)  # of the file's own schema
    body, digest = seal(groups)
    apply(bench.device, Answer(last=Changes("w2", False, 0, digest, Raw(body), schema="another")))
    assert bench.all("parent") == [(1, "b", "y"), (2, "c", None)]
    assert bench.all("pair") == [(1, "b", 6), (2, "c", 7)]


def test_an_update_does_not_delete_the_children_of_its_row(bench: Bench) -> None:
    bench.pull(bench.put("parent", [1, "a", "x"]), bench.put("child", [10, 1, "k"]))
    bench.pull(bench.put("parent", [1, "A", "X"]))
    assert bench.all("child") == [(10, 1, "k")]


def test_nothing_that_is_applied_is_captured(bench: Bench) -> None:
    bench.pull(bench.put("parent", [1, "a", "x"]), bench.put("pair", [1, "b", b"\0"]))
    bench.pull(bench.put("parent", [1, "n"], columns=["note"]), bench.gone("parent", 1))
    assert [bench.rows(f"SELECT * FROM {t.log}") for t in bench.device.tables.values()] == [[]] * 6
    assert bench.rows("SELECT suppressed FROM _sync_state") == [(0,)]


def test_two_rows_that_swap_a_unique_value_arrive_in_one_pull(bench: Bench) -> None:
    bench.pull(bench.put("child", [1, None, "x"], [2, None, "y"], [3, None, "z"]))
    bench.pull(bench.put("child", [1, "y"], [2, "z"], [3, "x"], columns=["code"]))
    assert bench.all("child") == [(1, None, "y"), (2, None, "z"), (3, None, "x")]
    assert bench.store.value("SELECT count(*) FROM _sync_held") == 0


def test_a_unique_value_moves_from_a_row_that_is_deleted_to_one_that_is_new(bench: Bench) -> None:
    bench.pull(bench.put("child", [1, None, "x"]))
    bench.pull(bench.put("child", [2, None, "x"]), bench.gone("child", 1))
    assert bench.all("child") == [(2, None, "x")]


def test_a_unique_value_moves_across_groups_of_different_columns(bench: Bench) -> None:
    bench.pull(bench.put("parent", [1, "a", "p"], [2, "b", "q"]))
    bench.pull(bench.put("parent", [1, "b"], columns=["name"]), bench.put("parent", [2, "a", "r"]))
    assert bench.all("parent") == [(1, "b", "p"), (2, "a", "r")]


def test_two_rows_that_swap_a_part_of_a_unique_value_arrive_in_one_pull(tmp_path: Path) -> None:
    ddl = "CREATE TABLE seat (id INTEGER PRIMARY KEY, line TEXT, place INTEGER, UNIQUE (line, place))"
    bench = Bench(tmp_path / "device.db", ddl)
    bench.pull(bench.put("seat", [1, "a", 5], [2, "b", 5]))
    bench.pull(bench.put("seat", [1, "b"], [2, "a"], columns=["line"]))
    assert bench.all("seat") == [(1, "b", 5), (2, "a", 5)]
    bench.close()


def test_many_rows_that_shift_a_unique_value_by_one_arrive_in_one_pull(bench: Bench) -> None:
    bench.pull(bench.put("child", *([i, None, f"{i:05}"] for i in range(3000))))
    bench.pull(bench.put("child", *([i, f"{i + 1:05}"] for i in range(3000)), columns=["code"]))
    assert bench.all("child") == [(i, None, f"{i + 1:05}") for i in range(3000)]


def test_children_may_come_before_their_parents_l9(bench: Bench) -> None:
    bench.pull(bench.put("child", [1, 7, "k"]), bench.put("parent", [7, "p", None]))
    bench.pull(bench.put("tree", [1, 2], [2, 3], [3, 1], [4, 4]))
    assert bench.all("child") == [(1, 7, "k")]
    assert bench.all("tree") == [(1, 2), (2, 3), (3, 1), (4, 4)]


def test_a_child_that_moves_away_survives_its_old_parent_although_the_delete_comes_first(
    bench: Bench,
) -> None:
    bench.pull(bench.put("parent", [1, "a", None], [2, "b", None]), bench.put("child", [9, 1, "k"]))
    bench.pull(bench.gone("parent", 1), bench.put("child", [9, 2], columns=["parent"]))
    assert bench.all("child") == [(9, 2, "k")]
    assert bench.all("parent") == [(2, "b", None)]


def test_a_row_that_is_gone_and_comes_back_in_a_later_group_is_there(bench: Bench) -> None:
    bench.pull(bench.put("parent", [1, "a", None]))
    bench.pull(bench.gone("parent", 1), bench.put("parent", [1, "b", None]))
    assert bench.all("parent") == [(1, "b", None)]


def test_a_child_whose_parent_the_centre_does_not_have_is_held_until_it_has_one(bench: Bench) -> None:
    bench.pull(bench.put("child", [1, 7, "k"]))
    assert bench.all("child") == []
    bench.pull(bench.put("parent", [7, "p", None]))
    assert bench.all("child") == [(1, 7, "k")]


def test_odd_names_composite_keys_and_tables_of_a_key_alone(bench: Bench) -> None:
    bench.pull(
        bench.put("select", ["x", "y"]),
        bench.put("bare", [1], [2]),
        bench.put("pair", [1, "b", 1.0], [1, "c", "1"]),
    )
    bench.pull(bench.put("select", ["x", "z"]), bench.put("bare", [2]))
    assert bench.all("select") == [("x", "z")]
    assert bench.all("bare") == [(1,), (2,)]
    assert bench.rows("SELECT a, b, v, typeof(v) FROM pair ORDER BY b") == [
        (1, "b", 1.0, "real"),
        (1, "c", "1", "text"),
    ]


def test_triggers_of_the_application_on_tracked_tables_do_not_run_twice(bench: Bench) -> None:
    bench.app.execute(
        "CREATE TRIGGER meddle AFTER INSERT ON parent BEGIN UPDATE child SET code = 'meddled'; END"
    )
    bench.pull(bench.put("child", [1, None, "k"]), bench.put("parent", [1, "a", None]))
    assert bench.all("child") == [(1, None, "k")]
    bench.app.execute("INSERT INTO parent VALUES (2, 'b', NULL)")
    assert bench.all("child") == [(1, None, "meddled")]


def test_triggers_of_the_application_on_its_own_tables_run(bench: Bench) -> None:
    bench.app.executescript(
        "CREATE TABLE seen (id);"
        "CREATE TRIGGER see AFTER INSERT ON parent BEGIN INSERT INTO seen VALUES (NEW.id); END"
    )
    bench.pull(bench.put("parent", [1, "a", None]))
    assert bench.rows("SELECT id FROM seen") == [(1,)]


def test_the_watermark_and_the_clock_move_with_the_rows(bench: Bench) -> None:
    bench.pull(bench.put("bare", [1]), watermark="w5", hlc=1 << 60)
    state = bench.store.state()
    assert (state.watermark, state.hlc) == ("w5", 1 << 60)
    assert state.last_sync is not None


def test_a_key_that_changes_only_its_case_is_one_row_where_the_file_folds_case(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "device.db", "CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, v TEXT)")
    bench.pull(bench.put("t", ["a", "old"], ["b", "mine"]))
    bench.pull(bench.put("t", ["A", "new"]), bench.gone("t", "a"))
    assert bench.all("t") == [("A", "new"), ("b", "mine")]
    bench.app.execute("UPDATE t SET v = 'edited' WHERE k = 'b'")
    bench.pull(bench.gone("t", "b"), bench.put("t", ["B", "theirs"]))
    assert bench.all("t") == [("A", "new"), ("B", "theirs")]
    assert bench.store.value("SELECT count(*) FROM _sync_parked") == 1
    bench.close()


def test_a_cascade_of_an_update_does_not_happen_a_second_time_here(tmp_path: Path) -> None:
    ddl = """
    CREATE TABLE book (id INTEGER PRIMARY KEY, isbn TEXT UNIQUE NOT NULL);
    CREATE TABLE loan (id INTEGER PRIMARY KEY, isbn TEXT REFERENCES book (isbn) ON UPDATE CASCADE);
    """
    bench = Bench(tmp_path / "device.db", ddl)
    bench.pull(bench.put("book", [1, "x"], [2, "y"]), bench.put("loan", [5, "x"], [6, "y"]))
    bench.pull(bench.put("book", [1, "y"], [2, "x"]))
    assert bench.all("book") == [(1, "y"), (2, "x")]
    assert bench.all("loan") == [(5, "x"), (6, "y")]
    bench.pull(bench.put("book", [1, "z"]), bench.put("loan", [6, "z"]))
    assert bench.all("loan") == [(5, "x"), (6, "z")]
    bench.close()


def test_many_rows_are_written_without_triggers_which_are_in_order_again_afterwards(bench: Bench) -> None:
    triggers = (
        "SELECT name, sql FROM sqlite_master WHERE tbl_name = 'parent' AND type = 'trigger' ORDER BY rowid"
    )
    before, log = bench.rows(triggers), bench.log("parent")
    bench.app.execute("CREATE TABLE seen (id)")
    bench.app.execute("CREATE TRIGGER m AFTER INSERT ON parent BEGIN INSERT INTO seen VALUES (NEW.id); END")
    bench.pull(bench.put("parent", *([i, f"name {i}", None] for i in range(MANY))))
    assert bench.rows("SELECT count(*) FROM seen") == [(MANY,)]
    assert bench.rows(f"SELECT count(*) FROM {log}") == [(0,)]
    after = bench.rows(triggers)
    assert after[0][0] == "m" and sorted(after[1:]) == sorted(before)
    bench.app.execute("UPDATE parent SET name = 'edited' WHERE id = 1")
    assert bench.rows(f"SELECT op, k0 FROM {log}") == [("U", 1)]


def neighbours(work: int, shift: int) -> list[list[object]]:
    """So many rows, each with the code of the one that is so many further."""
    return [[i, f"c{(i + shift) % work}"] for i in range(work)]


def test_l13_few_rows_change_nothing_about_the_file_that_other_connections_would_read_anew(
    bench: Bench,
) -> None:
    (before,) = bench.rows("PRAGMA schema_version")
    bench.pull(bench.put("parent", *([i, f"{i}", None] for i in range(9))), bench.gone("parent", 3))
    assert bench.rows("PRAGMA schema_version") == [before]


def test_pages_of_rows_that_trade_unique_values_over_a_whole_table_arrive_in_one_pull(bench: Bench) -> None:
    count = 5 * GATHERED
    bench.pull(bench.put("child", *([i, None, f"c{i}"] for i in range(count))))
    moved = neighbours(count, 1)
    middle = count // 2
    bench.pull(
        bench.put("child", *moved[:middle], columns=["code"]),
        bench.put("parent", [1, "a", "x"]),
        bench.put("child", *moved[middle:], columns=["code"]),
    )
    assert bench.all("child") == [(i, None, code) for i, code in moved]
    assert bench.store.value("SELECT count(*) FROM _sync_held") == 0
    assert bench.rows("SELECT name FROM sqlite_temp_master WHERE name LIKE '_sync_trade%'") == []


@pytest.mark.parametrize(
    ("columns", "key"),
    [
        ("t INTEGER PRIMARY KEY, g INTEGER UNIQUE, k0 TEXT)", lambda i: [i]),
        ("t TEXT COLLATE NOCASE PRIMARY KEY, g INTEGER UNIQUE, k0 TEXT)", lambda i: [f"K{i}"]),
        ("t BLOB PRIMARY KEY, g INTEGER UNIQUE, k0 TEXT) WITHOUT ROWID", lambda i: [b"%d" % i]),
        (
            "t INTEGER, k1 TEXT, g INTEGER UNIQUE, k0 TEXT, PRIMARY KEY (t, k1))",
            lambda i: [i // 7, f"{i % 7}"],
        ),
    ],
    ids=["number", "text that folds", "blob without rowid", "two columns"],
)
@pytest.mark.parametrize("whole", [True, False], ids=["whole rows", "one column"])
def test_many_rows_give_up_unique_values_that_may_be_null_and_others_keep_theirs(
    tmp_path: Path, columns: str, key: Callable[[int], list[object]], whole: bool
) -> None:
    bench = Bench(tmp_path / "device.db", f"CREATE TABLE g ({columns}")
    count = 2 * GATHERED
    bench.pull(bench.put("g", *([*key(i), i, f"n{i}"] for i in range(count + 5))))
    traded = [[*key(i), (i * 7 + 3) % count] for i in range(count)]
    if whole:
        bench.pull(bench.put("g", *([*row, f"n{i}"] for i, row in enumerate(traded))))
    else:
        asked: list[str] = []
        bench.store._connection.set_trace_callback(asked.append)
        bench.pull(bench.put("g", *traded, columns=["g"]))
        updates = {sql for sql in asked if sql.startswith("UPDATE OR ABORT")}
        assert len(updates) == 3, "the one that meets a value, then one each that takes and gives"
    wanted = [(*row, f"n{i}") for i, row in enumerate(traded)]
    wanted += [(*key(i), i, f"n{i}") for i in range(count, count + 5)]
    assert bench.rows("SELECT * FROM g ORDER BY length(k0), k0") == wanted
    assert bench.store.value("SELECT count(*) FROM _sync_held") == 0
    bench.close()


def test_many_rows_that_move_up_where_one_is_deleted_arrive_in_one_pull(bench: Bench) -> None:
    count = 3 * GATHERED
    bench.pull(bench.put("child", *([i, None, f"c{i}"] for i in range(count))))
    moved = neighbours(count, 1)[:-1]
    last = moved.pop()
    bench.pull(bench.put("child", *reversed(moved), columns=["code"]), bench.gone("child", count - 1))
    bench.pull(bench.put("child", last, columns=["code"]))
    assert bench.all("child") == [(i, None, code) for i, code in [*moved, last]]


def test_of_many_rows_that_trade_those_behind_a_pending_edit_wait_and_no_value_is_made_up(
    bench: Bench,
) -> None:
    count = 2 * GATHERED
    bench.pull(bench.put("child", *([i, None, f"c{i}"] for i in range(count))))
    for number, code in ((0, "mine"), (7, "c0"), (0, "c7")):
        bench.app.execute("UPDATE child SET code = ? WHERE id = ?", (code, number))
    bench.pull(bench.put("child", *neighbours(count, 1), columns=["code"]))
    codes = dict(bench.rows("SELECT id, code FROM child"))
    assert codes[0] == "c7" and codes[7] == "c0"
    assert all(codes[i] in (f"c{i}", f"c{(i + 1) % count}") for i in range(count) if i not in (0, 7))


def test_news_of_a_row_that_waits_for_others_are_laid_over_it(bench: Bench) -> None:
    count = 2 * GATHERED
    bench.pull(bench.put("parent", *([i, f"c{i}", "x"] for i in range(count))))
    moved = neighbours(count, 1)
    bench.pull(
        bench.put("parent", *moved, columns=["name"]),
        bench.put("parent", [3, "new", "y"]),
        bench.put("parent", [5, "z"], columns=["note"]),
        bench.gone("parent", 4),
    )
    wanted = [(i, name, "x") for i, name in moved]
    wanted[3], wanted[5] = (3, "new", "y"), (5, moved[5][1], "z")
    del wanted[4]
    assert bench.all("parent") == wanted


def test_many_rows_of_several_column_sets_trade_at_once_also_where_one_set_is_ended_early(
    tmp_path: Path,
) -> None:
    bench = Bench(
        tmp_path / "device.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT UNIQUE, v TEXT UNIQUE)"
    )
    count = 3 * GATHERED
    wanted = {i: [f"u{i}", f"v{i}"] for i in range(count + 1)}
    bench.pull(bench.put("t", *([i, *row] for i, row in wanted.items())))
    for i in range(count):
        after = i - i % GATHERED + (i + 1) % GATHERED  # the next one of its third, around
        if i // GATHERED == 1:
            wanted[i][1] = f"v{after}"
        else:
            wanted[i][0] = f"u{after}"
    first, second, third = (range(start, start + GATHERED) for start in range(0, count, GATHERED))
    by_name = [bench.put("t", *([i, wanted[i][0]] for i in rows), columns=["u"]) for rows in (first, third)]
    wanted[1] = ["x", "y"]
    bench.pull(
        by_name[0],
        bench.put("t", *([i, wanted[i][1]] for i in second), columns=["v"]),
        bench.put("t", [1, *wanted[1]]),  # the first set is held from here on
        by_name[1],
    )
    assert bench.all("t") == [(i, *row) for i, row in wanted.items()]
    assert bench.store.value("SELECT count(*) FROM _sync_held") == 0
    assert bench.rows("SELECT name FROM sqlite_temp_master WHERE name LIKE '_sync_trade%'") == []
    bench.close()


ON_INDEXES = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'seat' ORDER BY name"


def seats(tmp_path: Path, more: str = "") -> Bench:
    """A table with many rows and three unique indexes that were made by CREATE INDEX, one of them partial."""
    ddl = "CREATE TABLE seat (id INTEGER PRIMARY KEY, rank INTEGER, code TEXT NOT NULL, note TEXT);"
    bench = Bench(tmp_path / "device.db", ddl + more)
    bench.app.execute("CREATE UNIQUE INDEX seat_rank ON seat (rank) -- as it was written")
    bench.app.execute("CREATE UNIQUE INDEX seat_code ON seat (code, note)")
    bench.app.execute("CREATE UNIQUE INDEX seat_some ON seat (rank, note) WHERE code > ''")
    bench.pull(bench.put("seat", *([i, i, f"c{i}", None] for i in range(MANY))))
    return bench


def shuffled(count: int) -> list[list[object]]:
    return [[i, (i * 7 + 3) % count] for i in range(count)]


def test_where_most_rows_of_a_table_trade_values_its_indexes_are_made_anew_as_they_were(
    tmp_path: Path,
) -> None:
    bench = seats(tmp_path)
    bench.app.execute("ANALYZE")
    bench.app.execute("UPDATE sqlite_stat1 SET stat = '10000 1 noted' WHERE idx = 'seat_rank'")
    statistics = "SELECT * FROM sqlite_stat1 WHERE tbl = 'seat' ORDER BY idx"
    before, noted = bench.rows(ON_INDEXES), bench.rows(statistics)
    asked: list[str] = []
    bench.store._connection.set_trace_callback(asked.append)
    bench.pull(bench.put("seat", *shuffled(MANY), columns=["rank"]))
    bench.store._connection.set_trace_callback(None)
    assert not any("= NULL" in sql for sql in asked), "nothing is given up first"
    assert [sql for sql in asked if sql.startswith("DROP INDEX")] == [
        'DROP INDEX "seat_rank"',
        'DROP INDEX "seat_some"',
    ]
    assert bench.rows("SELECT id, rank FROM seat ORDER BY id") == [tuple(row) for row in shuffled(MANY)]
    assert bench.rows(ON_INDEXES) == before and bench.rows(statistics) == noted
    t = bench.device.tables[bench.schema.number_of("seat")]
    assert capture.drift(bench.store, t) == capture.Drift((), (), ())
    with pytest.raises(sqlite3.IntegrityError):
        bench.app.execute("UPDATE seat SET rank = 5 WHERE rank = 6")
    bench.close()


def test_indexes_are_there_where_the_rows_do_not_agree_with_the_others(tmp_path: Path) -> None:
    bench = seats(tmp_path)
    before = bench.rows(ON_INDEXES)
    bench.pull(bench.put("seat", *shuffled(MANY)[: MANY - 3], columns=["rank"]))
    assert bench.rows(ON_INDEXES) == before
    ranks = dict(bench.rows("SELECT id, rank FROM seat"))
    assert len(set(ranks.values())) == MANY
    assert bench.store.value("SELECT count(*) FROM _sync_held") > 0
    bench.pull(bench.put("seat", *shuffled(MANY)[MANY - 3 :], columns=["rank"]))
    assert bench.rows("SELECT id, rank FROM seat ORDER BY id") == [tuple(row) for row in shuffled(MANY)]
    assert bench.rows(ON_INDEXES) == before
    bench.close()


def test_an_index_that_a_foreign_key_refers_to_stays_while_many_rows_trade_values(tmp_path: Path) -> None:
    """Without it SQLite writes nothing into the table: foreign key mismatch."""
    bench = seats(tmp_path)
    bench.app.execute("CREATE TABLE own (id INTEGER PRIMARY KEY, rank INTEGER REFERENCES seat (RANK))")
    bench.app.execute("INSERT INTO own VALUES (1, 7)")
    asked: list[str] = []
    bench.store._connection.set_trace_callback(asked.append)
    bench.pull(bench.put("seat", *shuffled(MANY), columns=["rank"]))
    bench.store._connection.set_trace_callback(None)
    assert not any(sql.startswith("DROP INDEX") for sql in asked)
    assert bench.rows("SELECT id, rank FROM seat ORDER BY id") == [tuple(row) for row in shuffled(MANY)]
    bench.close()


def test_an_index_that_is_out_of_the_way_for_a_while_is_none_that_a_foreign_key_refers_to(
    tmp_path: Path,
) -> None:
    ddl = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT)"
    bench = Bench(tmp_path / "device.db", ddl)
    bench.app.execute("CREATE UNIQUE INDEX t_a ON t (a)")
    bench.app.execute("CREATE UNIQUE INDEX t_lower ON t (lower(b))")
    bench.app.execute("CREATE TABLE own (id INTEGER PRIMARY KEY, a TEXT REFERENCES t (a))")
    bench.pull(bench.put("t", [1, "x", "one"], [2, "y", "two"]))
    bench.app.execute("INSERT INTO own VALUES (1, 'x')")
    bench.app.execute("ANALYZE")
    noted = bench.rows("SELECT * FROM sqlite_stat1 ORDER BY idx")
    bench.pull(bench.put("t", [1, "y", "TWO"], [2, "x", "ONE"]))
    assert bench.all("t") == [(1, "y", "TWO"), (2, "x", "ONE")]
    assert bench.rows("SELECT * FROM sqlite_stat1 ORDER BY idx") == noted
    bench.close()


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Bench]:
    """Two rows that wait for each other: 2 for the code of 1, and 1 for 2, its parent. A pending edit of 9
    has the code that 1 is to have."""
    ddl = "CREATE TABLE tree (id INTEGER PRIMARY KEY, up INTEGER REFERENCES tree (id), code TEXT UNIQUE)"
    made = Bench(tmp_path / "device.db", ddl)
    made.pull(made.put("tree", [1, None, "a"], [9, None, "i"]))
    made.app.execute("UPDATE tree SET code = 'b' WHERE id = 9")
    made.pull(made.put("tree", [1, 2, "b"], [2, None, "a"]))
    assert made.all("tree") == [(1, None, "a"), (9, None, "b")]
    yield made
    made.close()


def test_rows_that_wait_for_each_other_as_parent_and_for_a_unique_value_are_shown_together(
    family: Bench,
) -> None:
    family.app.execute("UPDATE tree SET code = 'j' WHERE id = 9")
    applied = family.pull(watermark="w2")
    assert family.all("tree") == [(1, 2, "b"), (2, None, "a"), (9, None, "j")]
    assert applied.written == {"tree": 2}
    assert family.rows("SELECT * FROM _sync_held") == []


def test_rows_that_wait_for_each_other_go_on_waiting_if_one_would_be_without_a_parent(family: Bench) -> None:
    family.pull(family.put("tree", [3, 77, "c"]), watermark="w2")
    family.app.execute("UPDATE tree SET code = 'j' WHERE id = 9")
    applied = family.pull(watermark="w3")
    assert family.all("tree") == [(1, None, "a"), (9, None, "j")]
    assert applied.written == {}
    assert [unpack(key) for (key,) in family.rows("SELECT key FROM _sync_held ORDER BY key")] == [
        [1],
        [2],
        [3],
    ]
    family.pull(family.put("tree", [77, None, "p"]), watermark="w4")
    assert family.all("tree") == [
        (1, 2, "b"),
        (2, None, "a"),
        (3, 77, "c"),
        (9, None, "j"),
        (77, None, "p"),
    ]
    assert family.rows("SELECT * FROM _sync_held") == []
