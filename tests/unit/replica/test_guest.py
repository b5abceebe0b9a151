"""The file's own objects: what they refuse is named and waits, everything else arrives (laws L12, L13)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from syncline.errors import StoreError
from syncline.replica import removal
from syncline.replica.freeze import freeze
from syncline.replica.local import choose
from syncline.replica.standing import status
from syncline.replica.waiting import waiting
from tests.support.device import Bench

DDL = """
CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, n INTEGER NOT NULL DEFAULT 1);
CREATE TABLE child (id INTEGER PRIMARY KEY, t INTEGER REFERENCES t (id));
"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "device.db", DDL)
    made.pull(made.put("t", [1, "a", 1], [2, "b", 2]))
    yield made
    made.close()


def waits(bench: Bench) -> list[tuple[Any, ...]]:
    """Key and object of the rows that wait."""
    return [(row.key[0], row.object) for row in waiting(bench.device)]


def test_all_rows_that_are_removed_one_by_one_are_counted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "BATCH", 2)
    bench.pull(bench.put("t", *([i, f"{i}", 1] for i in range(3, 10))))
    bench.app.executescript(
        "CREATE TABLE seen (id);"
        "CREATE TRIGGER d AFTER DELETE ON t BEGIN INSERT INTO seen VALUES (OLD.id); END;"
        "CREATE TRIGGER guard BEFORE DELETE ON t WHEN OLD.id = 4 BEGIN SELECT RAISE (ABORT, 'no'); END"
    )
    applied = bench.pull(bench.gone("t", *range(3, 8)), watermark="w2")
    assert applied.removed == {"t": 4} and waits(bench) == [(4, "trigger guard")]
    assert bench.rows("SELECT count(*) FROM seen") == [(4,)]


# What refuses --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("CREATE UNIQUE INDEX mine ON t (a)", "unique index mine"),
        ("CREATE UNIQUE INDEX mine ON t (lower(a))", "unique index mine"),
        ("CREATE UNIQUE INDEX mine ON t (a) WHERE n > 0", "unique index mine"),
        ("CREATE INDEX mine ON t (json_extract(CASE a WHEN 'a' THEN '{' ELSE '1' END, '$'))", None),
        (
            "CREATE TRIGGER guard BEFORE INSERT ON t WHEN NEW.a = 'a' BEGIN SELECT RAISE (ABORT, 'no'); END",
            "trigger guard",
        ),
        (
            "CREATE TRIGGER guard AFTER INSERT ON t WHEN NEW.a = 'a'"
            " BEGIN SELECT RAISE (ROLLBACK, 'no'); END",
            "trigger guard",
        ),
        (
            "CREATE TRIGGER guard BEFORE INSERT ON t WHEN NEW.a = 'a' BEGIN SELECT RAISE (IGNORE); END",
            "trigger guard",
        ),
        (
            "CREATE TABLE log (id INTEGER PRIMARY KEY CHECK (id <> 3));"
            "CREATE TRIGGER guard AFTER INSERT ON t BEGIN INSERT INTO log VALUES (NEW.id); END",
            "trigger guard",
        ),
    ],
)
def test_a_row_that_an_object_of_the_application_refuses_waits_and_the_others_arrive(
    bench: Bench, sql: str, named: str | None
) -> None:
    if named is None:
        bench.app.execute("UPDATE t SET a = 'x' WHERE id = 1")
    bench.app.executescript(sql)
    applied = bench.pull(bench.put("t", [3, "a", 1], [4, "d", 4]))
    named = named or "index mine"
    assert [row[0] for row in bench.all("t")] == [1, 2, 4]
    assert waits(bench) == [(3, named)]
    assert applied.written == {"t": 1}
    (row,) = waiting(bench.device)
    assert row.code == "device_constraint" and "t, key [3]" in row.detail and named in row.detail
    kind = named.split()[-2]
    bench.app.execute(f"DROP {kind} {named.split()[-1]}")
    assert bench.pull(watermark="w2").written == {"t": 1}
    assert waits(bench) == [] and (3, "a", 1) in bench.all("t")


def test_checks_and_not_null_are_named_by_sqlite_and_keep_the_row_as_it_was(tmp_path: Path) -> None:
    bench = Bench(
        tmp_path / "device.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n CONSTRAINT positive CHECK (n > 0), m NOT NULL)",
    )
    bench.pull(bench.put("t", [1, 5, 1], [2, -5, 1], [3, 5, None]), bench.put("t", [4, 1, 1]))
    assert [row[0] for row in bench.all("t")] == [1, 4]
    assert waits(bench) == [(2, "CHECK (positive)"), (3, "NOT NULL (t.m)")]
    bench.pull(bench.put("t", [1, -1], columns=["n"]), bench.put("t", [3, 2], columns=["m"]), watermark="w2")
    assert bench.all("t") == [(1, 5, 1), (3, 5, 2), (4, 1, 1)]
    assert [key for key, _ in waits(bench)] == [1, 2]
    bench.close()


def test_a_function_of_the_application_is_named_with_its_trigger(bench: Bench) -> None:
    bench.app.create_function("fold", 1, str.casefold, deterministic=True)
    bench.app.execute(
        "CREATE TRIGGER k AFTER INSERT ON t BEGIN INSERT INTO child VALUES (fold(NEW.a), NULL); END"
    )  # it writes a tracked table, and is set aside
    bench.app.executescript(
        "CREATE TABLE idx (x);"
        "CREATE TRIGGER f AFTER INSERT ON t BEGIN INSERT INTO idx VALUES (fold(NEW.a)); END"
    )
    bench.pull(bench.put("t", [3, "c", 3]), bench.put("t", [1, "A", 1]))
    assert bench.all("t") == [(1, "A", 1), (2, "b", 2)]
    (row,) = waiting(bench.device)
    assert (row.key, row.object) == ((3,), "trigger f") and "fold" in row.detail


def test_all_objects_that_refuse_a_row_are_named(bench: Bench) -> None:
    bench.app.executescript("CREATE UNIQUE INDEX mine1 ON t (a); CREATE UNIQUE INDEX mine2 ON t (n)")
    bench.pull(bench.put("t", [3, "a", 1]))
    ((_, named),) = waits(bench)
    assert "mine1" in named and "mine2" in named


# Removing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["ABORT, 'never'", "IGNORE", "ROLLBACK, 'never'", "FAIL, 'never'"])
def test_a_row_that_a_guard_keeps_is_said_and_not_counted_as_removed(bench: Bench, how: str) -> None:
    bench.app.execute(
        f"CREATE TRIGGER guard BEFORE DELETE ON t WHEN OLD.id = 2 BEGIN SELECT RAISE ({how}); END"
    )
    applied = bench.pull(bench.gone("t", 1, 2), bench.put("t", [3, "c", 3]))
    assert (applied.removed, applied.written) == ({"t": 1}, {"t": 1})
    assert [row[0] for row in bench.all("t")] == [2, 3]
    assert waits(bench) == [(2, "trigger guard")]
    bench.app.execute("DROP TRIGGER guard")
    assert bench.pull(watermark="w2").removed == {"t": 1}
    assert waits(bench) == []


LOCAL = """
CREATE TABLE favourite (id INTEGER PRIMARY KEY, t INTEGER {null} REFERENCES t (id){action});
CREATE TABLE remark (favourite INTEGER REFERENCES favourite, body);
INSERT INTO favourite VALUES (7, 2);
INSERT INTO remark VALUES (7, 'x');
"""


@pytest.mark.parametrize("action", ["", " ON DELETE RESTRICT", " DEFERRABLE INITIALLY DEFERRED"])
@pytest.mark.parametrize(
    ("mode", "null", "here", "left"),
    [
        ("refuse", "", [1, 2, 3], [(7, 2)]),
        ("cascade", "", [1, 3], []),
        ("null", "", [1, 3], [(7, None)]),
        ("null", "NOT NULL", [1, 2, 3], [(7, 2)]),
    ],
)
def test_local_rows_that_refer_to_a_deleted_row(
    bench: Bench, action: str, mode: str, null: str, here: list[int], left: list[Any]
) -> None:
    bench.app.executescript(LOCAL.format(action=action, null=null))
    bench.store.set_state(local_rows=mode)
    bench.pull(bench.gone("t", 2), bench.put("t", [3, "c", 3]))
    assert [row[0] for row in bench.all("t")] == here
    assert bench.rows("SELECT * FROM favourite") == left
    if len(here) == 3:
        (row,) = waiting(bench.device)
        assert all(part in row.detail for part in ("t, key [2]", "favourite", "key [7]"))
        bench.app.execute("DELETE FROM remark")
        bench.app.execute("DELETE FROM favourite")
        bench.pull(watermark="w2")
        assert [row[0] for row in bench.all("t")] == [1, 3] and waits(bench) == []


def test_what_the_foreign_key_itself_says_is_done(bench: Bench) -> None:
    bench.app.executescript(
        LOCAL.format(action=" ON DELETE CASCADE", null="")
        .replace("INTO remark", "INTO t")
        .replace("INSERT INTO t VALUES (7, 'x');", "")
    )
    bench.pull(bench.gone("t", 2))
    assert bench.rows("SELECT * FROM favourite") == [] and waits(bench) == []


def test_the_parent_of_a_row_that_stays_stays_too(bench: Bench) -> None:
    bench.pull(bench.put("child", [5, 2]))
    bench.app.executescript("CREATE TABLE mark (child INTEGER REFERENCES child); INSERT INTO mark VALUES (5)")
    bench.pull(bench.gone("child", 5), bench.gone("t", 2), bench.put("t", [3, "c", 3]), watermark="w2")
    assert [row[0] for row in bench.all("t")] == [1, 2, 3] and bench.all("child") == [(5, 2)]
    assert sorted(waits(bench)) == [(2, "foreign key of mark"), (5, "foreign key of mark")]
    assert status(bench.store).hidden == 0
    bench.app.execute("DELETE FROM mark")
    bench.pull(watermark="w3")
    assert [row[0] for row in bench.all("t")] == [1, 3] and bench.all("child") == []


FAMILY = """
CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, code TEXT UNIQUE);
CREATE TABLE child (
    id TEXT PRIMARY KEY COLLATE NOCASE, t TEXT REFERENCES t (code), above TEXT REFERENCES child (id)
);
CREATE TABLE grandchild (id INTEGER PRIMARY KEY, child TEXT REFERENCES child (id));
"""


def test_rows_that_point_at_one_that_waits_are_told_with_it_l12(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "device.db", FAMILY)
    bench.app.executescript(
        "CREATE TRIGGER guard BEFORE INSERT ON t WHEN NEW.a = 'x' BEGIN SELECT RAISE (ABORT, 'no'); END"
    )
    bench.pull(
        bench.put("t", [1, "x", "one"], [2, "y", "two"]),
        bench.put("child", ["k", "one", None], ["l", "two", "k"], ["m", "two", None]),
        bench.put("grandchild", [7, "K"], [8, "m"]),
    )
    assert bench.all("t") == [(2, "y", "two")] and bench.all("child") == [("m", "two", None)]
    assert bench.all("grandchild") == [(8, "m")]
    expected = [(1, "trigger guard"), ("k", "trigger guard"), ("l", "trigger guard"), (7, "trigger guard")]
    for turn in range(3):  # first they are put aside again, then they are not tried
        assert sorted(waits(bench), key=repr) == sorted(expected, key=repr)
        assert status(bench.store).hidden == 0 and status(bench.store).waiting_count == 4
        bench.pull(bench.put("t", [3 + turn, "z", str(turn)]), watermark=f"x{turn}")
    said = {row.key[0]: row.detail for row in waiting(bench.device)}
    assert said[1].endswith("no") and "the row of t with the key [1], which waits" in said["k"]
    assert "table grandchild, key [7]" in said[7] and "child with the key ['k']" in said[7]
    bench.app.execute("DROP TRIGGER guard")
    bench.pull(watermark="w2")
    assert waits(bench) == [] and len(bench.all("child")) == 3 and len(bench.all("grandchild")) == 2
    bench.close()


@pytest.mark.parametrize("chain", [1, 2])
def test_rows_that_want_a_value_of_one_that_waits_are_told_with_it_l12(tmp_path: Path, chain: int) -> None:
    bench = Bench(tmp_path / "device.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE, n INTEGER)")
    bench.pull(bench.put("t", *([i, f"a{i}", 1] for i in range(1, 5))))
    bench.app.execute(
        "CREATE TRIGGER guard BEFORE UPDATE ON t WHEN NEW.n = 9 BEGIN SELECT RAISE (ABORT, 'no'); END"
    )
    first = [[1, None, 9], [5, "a1", 1]] if chain == 1 else [[1, None, 9], [2, "a1", 1], [5, "a2", 1]]
    for watermark in ("w2", "w3"):  # as they come, and as they are tried again
        bench.pull(
            bench.put("t", *first) if watermark == "w2" else bench.put("t", [3, "c", 1]), watermark=watermark
        )
        assert waits(bench) == [(row[0], "trigger guard") for row in first]
    assert "with the key [1], which waits" in waiting(bench.device)[1].detail
    bench.app.execute("DROP TRIGGER guard")
    bench.pull(watermark="w4")
    assert waits(bench) == [] and set(map(tuple, first)) <= set(bench.all("t"))
    bench.close()


def test_what_waits_and_what_is_hidden_change_places(bench: Bench) -> None:
    bench.app.executescript("CREATE TABLE mark (t INTEGER REFERENCES t); INSERT INTO mark VALUES (2)")
    bench.pull(bench.gone("t", 2))
    assert waits(bench) == [(2, "foreign key of mark")]
    bench.app.executescript("DELETE FROM mark; INSERT INTO child VALUES (8, 2)")  # an edit keeps it now
    bench.pull(watermark="w2")
    assert waits(bench) == [] and (2, "b", 2) in bench.all("t")
    bench.app.executescript("INSERT INTO mark VALUES (2); DELETE FROM child")
    assert freeze(bench.device) is not None
    bench.verdict()
    assert waits(bench) == [(2, "foreign key of mark")]


def test_a_value_that_local_rows_refer_to_stays_as_it_is(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "device.db", "CREATE TABLE p (id INTEGER PRIMARY KEY, code TEXT UNIQUE, n)")
    bench.pull(bench.put("p", [1, "a", 0], [2, "b", 0]))
    bench.app.executescript(
        "CREATE TABLE mark (code TEXT REFERENCES p (code)); INSERT INTO mark VALUES ('a');"
        "CREATE TABLE old (p REFERENCES p); PRAGMA foreign_keys = OFF; INSERT INTO old VALUES (77);"
    )
    bench.pull(bench.put("p", [1, "z", 1], [2, "y", 1], [3, "c", 1]))
    assert bench.all("p") == [(1, "a", 0), (2, "y", 1), (3, "c", 1)]
    assert waits(bench) == [(1, "foreign key of mark")]
    bench.pull(bench.put("p", [4, "d", 1]), watermark="w2")
    assert [row[0] for row in bench.all("p")] == [1, 2, 3, 4] and waits(bench) == [(1, "foreign key of mark")]
    bench.app.execute("DELETE FROM mark")
    bench.pull(watermark="w3")
    assert bench.all("p")[0] == (1, "z", 1) and waits(bench) == []
    bench.close()


@pytest.mark.parametrize("deferred", ["", "DEFERRABLE INITIALLY DEFERRED"])
@pytest.mark.parametrize("key", ["id INTEGER PRIMARY KEY, ", ""])
@pytest.mark.parametrize("happens", ["DELETE", "UPDATE"])
def test_l12_a_foreign_key_whose_default_leads_nowhere_keeps_its_row_and_nothing_else(
    tmp_path: Path, happens: str, key: str, deferred: str
) -> None:
    bench = Bench(tmp_path / "device.db", "CREATE TABLE p (id INTEGER PRIMARY KEY, code TEXT UNIQUE, n)")
    bench.pull(bench.put("p", [1, "a", 0], [2, "b", 0]))
    bench.app.executescript(
        f"CREATE TABLE mark ({key} code TEXT DEFAULT 'none' REFERENCES p (code)"
        f" ON {happens} SET DEFAULT {deferred}, note);"
        "INSERT INTO mark (code, note) VALUES ('a', 1), (NULL, 2)"
    )
    changed = bench.gone("p", 1) if happens == "DELETE" else bench.put("p", [1, "z", 1])
    bench.pull(changed, bench.put("p", [3, "c", 1]), watermark="w2")
    assert bench.all("p") == [(1, "a", 0), (2, "b", 0), (3, "c", 1)]
    assert bench.rows("SELECT code, note FROM mark") == [("a", 1), (None, 2)]
    assert waits(bench) == [(1, "foreign key of mark")]
    bench.pull(bench.put("p", [4, "none", 1]), watermark="w3")
    assert bench.all("p")[0] == ((2, "b", 0) if happens == "DELETE" else (1, "z", 1))
    assert bench.rows("SELECT code, note FROM mark") == [("none", 1), (None, 2)] and waits(bench) == []
    bench.close()


@pytest.mark.parametrize(
    ("default", "left"),
    [("DEFAULT 99", []), ("DEFAULT 1", []), ("DEFAULT 2", [(5, 2)]), ("", [(5, None)])],
)
def test_l12_local_rows_whose_default_leads_nowhere_go_with_the_local_row_above_them(
    bench: Bench, default: str, left: list[tuple[int, int | None]]
) -> None:
    choose(bench.store, "cascade")
    bench.app.executescript(
        "CREATE TABLE mark (id INTEGER PRIMARY KEY, t INTEGER REFERENCES t (id));"
        f"CREATE TABLE sub (id INTEGER PRIMARY KEY, MARK INTEGER {default} REFERENCES mark"
        " ON DELETE SET DEFAULT);"
        "INSERT INTO mark VALUES (1, 1), (2, 2); INSERT INTO sub VALUES (5, 1)"
    )
    bench.pull(bench.gone("t", 1), watermark="w2")
    assert (bench.all("t"), bench.all("mark")) == ([(2, "b", 2)], [(2, 2)])
    assert bench.all("sub") == left and waits(bench) == []


def test_l12_what_is_changed_and_deleted_in_one_pull_stays_while_local_rows_refer_to_it(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path / "device.db", "CREATE TABLE p (id INTEGER PRIMARY KEY, code TEXT UNIQUE, n)")
    bench.pull(bench.put("p", [1, "a", 0], [2, "b", 0]))
    bench.app.executescript(
        "CREATE TABLE mark (code TEXT REFERENCES p (code)); INSERT INTO mark VALUES ('a');"
    )
    bench.pull(bench.put("p", [1, "z", 0]), bench.gone("p", 1), watermark="w2")
    assert bench.all("p") == [(1, "a", 0), (2, "b", 0)] and waits(bench) == [(1, "foreign key of mark")]
    bench.app.execute("DELETE FROM mark")
    bench.pull(watermark="w3")
    assert bench.all("p") == [(2, "b", 0)] and waits(bench) == []
    bench.close()


def test_a_child_that_local_rows_refer_to_stays_while_its_new_parent_waits(bench: Bench) -> None:
    bench.pull(bench.put("child", [5, 2]))
    bench.app.executescript(
        "CREATE UNIQUE INDEX mine ON t (a);"
        "CREATE TABLE mark (child INTEGER REFERENCES child); INSERT INTO mark VALUES (5)"
    )
    bench.pull(bench.put("t", [3, "a", 3]), bench.put("child", [5, 3], [6, 3]), watermark="w2")
    assert bench.all("child") == [(5, 2)]
    assert sorted(waits(bench)) == [
        (3, "unique index mine"),
        (5, "foreign key of mark"),
        (6, "unique index mine"),
    ]
    bench.app.execute("DROP INDEX mine")
    bench.pull(watermark="w3")
    assert bench.all("child") == [(5, 3), (6, 3)] and waits(bench) == []


# Unique values -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "unique",
    [
        "a TEXT UNIQUE",
        "a TEXT NOT NULL UNIQUE",
        "a TEXT NOT NULL UNIQUE CHECK (length(a) = 1)",
        "a TEXT NOT NULL; CREATE UNIQUE INDEX u ON t (lower(a))",
        "a TEXT NOT NULL; CREATE UNIQUE INDEX u ON t (substr(a, 1, 1)) WHERE id > 0",
        "a TEXT; CREATE UNIQUE INDEX u ON t (a) WHERE a IS NOT NULL",
        "a TEXT COLLATE NOCASE UNIQUE",
        "a TEXT, b TEXT AS (a || a) STORED; CREATE UNIQUE INDEX u ON t (b)",
    ],
)
@pytest.mark.parametrize("fired", [False, True])
def test_rows_that_trade_values_arrive_l5(tmp_path: Path, unique: str, fired: bool) -> None:
    column, _, index = unique.partition(";")
    bench = Bench(tmp_path / "device.db", f"CREATE TABLE t (id INTEGER PRIMARY KEY, {column}); {index}")
    letters = "abcdefgh"
    bench.pull(bench.put("t", *([i, letter] for i, letter in enumerate(letters))))
    if fired:
        bench.app.executescript(
            "CREATE TABLE seen (id INTEGER PRIMARY KEY, a);"
            "CREATE TRIGGER s AFTER UPDATE ON t BEGIN INSERT OR REPLACE INTO seen VALUES (NEW.id, NEW.a); END"
        )
    turned = letters[1:] + letters[0]
    bench.pull(bench.put("t", *([i, letter] for i, letter in enumerate(turned))), watermark="w2")
    assert [row[1] for row in bench.all("t")] == list(turned)
    bench.pull(bench.put("t", [0, "c"], [1, "b"], columns=["a"]), watermark="w3")
    assert [row[1] for row in bench.all("t")][:2] == ["c", "b"]
    assert bench.rows("SELECT count(*) FROM _sync_held") == [(0,)]
    assert bench.rows("PRAGMA integrity_check") == [("ok",)]
    if fired:
        assert bench.rows("SELECT * FROM seen ORDER BY id") == [row[:2] for row in bench.all("t")]
    bench.close()


def test_only_what_a_pending_edit_stands_in_the_way_of_waits(tmp_path: Path) -> None:
    bench = Bench(
        tmp_path / "device.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER NOT NULL UNIQUE)"
    )
    bench.pull(bench.put("t", *([i, i] for i in range(60))))
    bench.app.execute("INSERT INTO t VALUES (100, 60)")  # the last of a chain wants this value
    bench.pull(
        bench.put("t", *([i, i + 1] for i in range(50, 60)), *([i, (i + 1) % 50] for i in range(50))),
        watermark="w2",
    )
    assert bench.rows("SELECT id, a FROM t WHERE id < 50") == [(i, (i + 1) % 50) for i in range(50)]
    assert bench.rows("SELECT id, a FROM t WHERE id >= 50") == [*((i, i) for i in range(50, 60)), (100, 60)]
    assert waits(bench) == []
    assert bench.rows("SELECT count(*) FROM _sync_held") == [(10,)]
    assert freeze(bench.device) is not None
    bench.verdict(bench.put("t", [100, 61]))
    assert bench.rows("SELECT id, a FROM t WHERE id >= 50") == [
        *((i, i + 1) for i in range(50, 60)),
        (100, 61),
    ]


def test_rows_trade_values_across_pages_and_sets_of_columns(tmp_path: Path) -> None:
    bench = Bench(
        tmp_path / "device.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER NOT NULL UNIQUE, b TEXT)"
    )
    bench.pull(bench.put("t", *([i, i, "x"] for i in range(3000))))
    applied = bench.pull(
        bench.put("t", *([i, i + 1] for i in range(1000)), columns=["a"]),
        bench.put("t", *([i, i + 1, "y"] for i in range(1000, 2000))),
        bench.put("t", *([i, (i + 1) % 3000] for i in range(2000, 3000)), columns=["a"]),
        watermark="w2",
    )
    assert applied.written == {"t": 3000}
    assert bench.rows("SELECT count(*), sum(a = (id + 1) % 3000), sum(b = 'y') FROM t") == [
        (3000, 3000, 1000)
    ]
    bench.close()


# Triggers ------------------------------------------------------------------------------------------------


def test_triggers_see_what_they_would_see_of_the_application_itself(bench: Bench) -> None:
    bench.app.executescript(
        "CREATE TABLE seen (id INTEGER PRIMARY KEY, how, a);"
        "CREATE TRIGGER b BEFORE INSERT ON t"
        " BEGIN INSERT OR REPLACE INTO seen VALUES (NEW.id, 'new', NEW.a); END;"
        "CREATE TRIGGER u AFTER UPDATE ON t"
        " BEGIN INSERT OR REPLACE INTO seen VALUES (OLD.id, OLD.a, NEW.a); END;"
    )
    bench.pull(bench.put("t", [1, "A", 1], [3, "c", 3]))
    bench.pull(bench.put("t", [3, "C", 3]), watermark="w2")
    assert bench.rows("SELECT * FROM seen ORDER BY id") == [(1, "a", "A"), (3, "c", "C")]


@pytest.mark.parametrize("clause", ["REPLACE", "IGNORE", "ROLLBACK", "FAIL"])
def test_a_conflict_clause_of_the_table_itself_decides_nothing_l2(tmp_path: Path, clause: str) -> None:
    bench = Bench(
        tmp_path / "device.db",
        f"CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE ON CONFLICT {clause}, n INTEGER);"
        "CREATE TABLE u (id INTEGER PRIMARY KEY, a TEXT UNIQUE, n INTEGER);",
    )
    bench.app.executescript(
        "CREATE TABLE seen (id INTEGER PRIMARY KEY, n);"
        "CREATE TRIGGER t_i AFTER INSERT ON t BEGIN INSERT OR IGNORE INTO seen VALUES (NEW.id, 0); END;"
        "CREATE TRIGGER t_u AFTER UPDATE ON t BEGIN INSERT INTO seen VALUES (-NEW.id, 0); END;"
    )
    bench.pull(bench.put("t", [1, "a", 0]))
    bench.app.execute("INSERT INTO t VALUES (2, 'mine', 0)")
    bench.pull(bench.put("t", [1, "mine", 1], [3, "mine", 1], [4, "d", 1]), watermark="w2")
    assert bench.all("t") == [(1, "a", 0), (2, "mine", 0), (4, "d", 1)]
    assert bench.rows("SELECT count(*), max(reason) FROM _sync_held") == [(2, None)]
    bench.close()


def test_triggers_are_set_aside_for_what_they_write_not_for_what_they_say(bench: Bench) -> None:
    bench.app.executescript(
        "CREATE TABLE note (id INTEGER PRIMARY KEY, text); CREATE VIEW v AS SELECT * FROM t;"
        "CREATE TRIGGER reads AFTER INSERT ON t BEGIN INSERT INTO note"
        " VALUES (NEW.id, (SELECT count(*) FROM child)); END;"
        "CREATE TRIGGER writes AFTER INSERT ON note BEGIN UPDATE t SET a = 'twice' WHERE id = NEW.id; END;"
        "CREATE TRIGGER instead INSTEAD OF INSERT ON v BEGIN INSERT INTO t VALUES (NEW.id, NEW.a, 0); END;"
        "CREATE TRIGGER round AFTER INSERT ON t WHEN NEW.id < 100"
        " BEGIN INSERT INTO v VALUES (NEW.id + 100, 'more', 0); END;"
    )
    before = bench.rows("SELECT name, sql FROM sqlite_master WHERE name NOT GLOB '_sync*' ORDER BY name")
    bench.pull(bench.put("t", [3, "c", 3]))
    assert bench.all("t") == [(1, "a", 1), (2, "b", 2), (3, "c", 3)]
    assert bench.rows("SELECT * FROM note") == [(3, 0)]
    after = bench.rows("SELECT name, sql FROM sqlite_master WHERE name NOT GLOB '_sync*' ORDER BY name")
    assert after == before
    bench.app.execute("INSERT INTO t VALUES (4, 'd', 4)")
    assert bench.rows("SELECT a FROM t WHERE id IN (4, 104)") == [("twice",), ("twice",)]


def test_the_verdict_is_taken_although_an_override_cannot_be_shown(bench: Bench) -> None:
    bench.app.execute("UPDATE t SET n = -1 WHERE id = 1")
    bench.app.execute("CREATE TRIGGER guard BEFORE UPDATE ON t BEGIN SELECT RAISE (ABORT, 'frozen'); END")
    assert freeze(bench.device) is not None
    bench.verdict(bench.put("t", [1, "hub", 9]))
    assert bench.store.row("SELECT 1 FROM _sync_outbox") is None
    assert waits(bench) == [(1, "trigger guard")]
    bench.app.execute("DROP TRIGGER guard")
    bench.pull(watermark="w2")
    assert bench.all("t")[0] == (1, "hub", 9)


def test_a_value_that_the_next_pull_frees_is_no_constraint_of_the_file(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "device.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE)")
    bench.pull(bench.put("t", [1, "a"], [2, "b"]))
    bench.app.execute("UPDATE t SET a = 'mine' WHERE id = 1")
    assert freeze(bench.device) is not None
    bench.verdict(bench.put("t", [1, "b"]))  # the centre has given 2 another value, which is not known here
    assert waits(bench) == [] and bench.rows("SELECT count(*) FROM _sync_held") == [(1,)]
    bench.pull(bench.put("t", [2, "c"]), watermark="w2")
    assert bench.all("t") == [(1, "b"), (2, "c")]
    bench.close()


def test_a_virtual_table_out_of_step_is_its_triggers_trouble(bench: Bench) -> None:
    try:
        bench.app.execute("CREATE VIRTUAL TABLE f USING fts5 (a)")
    except sqlite3.OperationalError:
        pytest.skip("this SQLite has no FTS5")
    bench.app.execute(
        "CREATE TRIGGER i AFTER INSERT ON t BEGIN INSERT INTO f (rowid, a) VALUES (NEW.id, NEW.a); END"
    )
    bench.app.execute("INSERT INTO f (rowid, a) VALUES (3, 'stale')")
    bench.pull(bench.put("t", [3, "c", 3], [4, "d", 4]))
    assert [row[0] for row in bench.all("t")] == [1, 2, 4]
    assert waits(bench) == [(3, "trigger i")]


def test_l12_where_a_trigger_of_the_application_leaves_a_row_without_a_parent_it_is_said(
    bench: Bench,
) -> None:
    bench.app.executescript(
        "CREATE TABLE shop (id INTEGER PRIMARY KEY);"
        "CREATE TABLE sold (shop INTEGER REFERENCES shop (id) DEFERRABLE INITIALLY DEFERRED);"
        "CREATE TRIGGER sells AFTER INSERT ON t BEGIN INSERT INTO sold VALUES (NEW.id); END;"
    )
    before, watermark = bench.all("t"), bench.store.state().watermark
    with pytest.raises(StoreError, match="what the hub sent does not hold together here: ") as caught:
        bench.pull(bench.put("t", [3, "c", 3]), watermark="w2")
    assert caught.value.code == "orphans" and str(bench.store.path) in caught.value.detail
    assert (bench.all("t"), bench.store.state().watermark) == (before, watermark)
    bench.app.execute("INSERT INTO shop VALUES (3)")
    bench.pull(bench.put("t", [3, "c", 3]), watermark="w2")
    assert bench.all("sold") == [(3,)]
