"""What only SQLite has: REPLACE, odd keys and names, and triggers in an order."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syncline.databases.sqlite import SqliteDatabase, open_database
from syncline.databases.sqlite.rows import decoded
from syncline.errors import NotPrepared, WatermarkRefused
from syncline.model.scope import UNBOUNDED
from syncline.testing.conforms.before import former
from syncline.testing.conforms.centre import World
from syncline.testing.outside import outside
from tests.conformance.test_sqlite import SqliteCentre

Make = Callable[..., World]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """A world from DDL: every table takes part."""
    databases = []

    def build(*statements: str) -> World:
        centre = SqliteCentre(tmp_path / "central.db")
        centre.run(*statements)
        database = centre.open()
        databases.append(database)
        database.catalogue.prepare(database.catalogue.reflect(None))
        return World(centre, database, database.catalogue.load())

    yield build
    for database in databases:
        database.close()


PEOPLE = (
    "CREATE TABLE p (id TEXT PRIMARY KEY NOT NULL, mail TEXT UNIQUE, n INTEGER)",
    "INSERT INTO p VALUES ('a', 'x', 1), ('b', 'y', 2), ('c', NULL, 3)",
)


def test_l4_replace_of_the_same_key_touches_the_row(make: Make) -> None:
    world = make(*PEOPLE)
    start = world.now()
    world.run("REPLACE INTO p VALUES ('a', 'x', 9)")
    assert world.since(start) == {"p": {("a",): {"mail", "n"}}}


def test_l4_replace_that_removes_another_row_names_it(make: Make) -> None:
    world = make(*PEOPLE)
    start = world.now()
    world.run("INSERT OR REPLACE INTO p VALUES ('d', 'x', 9)")
    assert set(world.since(start)["p"]) == {("a",), ("d",)}
    assert [row[0] for row in world.rows("p")] == ["b", "c", "d"]


def test_l4_replace_that_removes_two_rows_names_both(make: Make) -> None:
    world = make(*PEOPLE)
    start = world.now()
    world.run("REPLACE INTO p VALUES ('b', 'x', 9)")
    assert set(world.since(start)["p"]) == {("a",), ("b",)}


def test_l4_update_or_replace_names_the_row_it_removes(make: Make) -> None:
    world = make(*PEOPLE)
    start = world.now()
    world.run("UPDATE OR REPLACE p SET mail = 'y' WHERE id = 'a'")
    assert set(world.since(start)["p"]) == {("a",), ("b",)}
    start = world.now()
    world.run("UPDATE OR REPLACE p SET id = 'c' WHERE id = 'a'")
    assert set(world.since(start)["p"]) == {("a",), ("c",)}


@pytest.mark.parametrize(
    ("index", "value"),
    [
        ("CREATE UNIQUE INDEX i ON q (lower(name))", "ADA"),
        ("CREATE UNIQUE INDEX i ON q (name COLLATE NOCASE)", "ADA"),
        ("CREATE UNIQUE INDEX i ON q (name) WHERE note IS NULL", "ada"),
        (
            'CREATE UNIQUE INDEX "odd ( name" ON q ((substr("name", 1, 1) || \'note\') COLLATE NOCASE DESC,'
            " length('text'))",
            "art",
        ),
        ("CREATE UNIQUE INDEX i ON q (CAST([name] AS text), coalesce(note, 'name'))", "ada"),
    ],
)
def test_l4_replace_by_any_kind_of_unique_index(make: Make, index: str, value: str) -> None:
    world = make(
        "CREATE TABLE q (id INTEGER PRIMARY KEY, name TEXT, note TEXT, text TEXT)",
        index,
        "INSERT INTO q VALUES (1, 'ada', NULL, 'z'), (2, 'bob', NULL, 'z')",
    )
    start = world.now()
    world.run(f"REPLACE INTO q (name) VALUES ('{value}')")
    assert set(world.since(start)["q"]) == {(1,), (3,)}
    start = world.now()
    world.run("UPDATE OR REPLACE q SET name = (SELECT name FROM q WHERE id = 3) WHERE id = 2")
    assert set(world.since(start)["q"]) == {(2,), (3,)}


def test_l4_replace_of_a_parent_captures_the_cascade(make: Make) -> None:
    world = make(
        *PEOPLE,
        "CREATE TABLE c (id INTEGER PRIMARY KEY, p TEXT REFERENCES p ON DELETE CASCADE)",
        "INSERT INTO c VALUES (1, 'a'), (2, 'b')",
    )
    start = world.now()
    world.run("REPLACE INTO p VALUES ('a', 'x', 9)")
    assert set(world.since(start)["c"]) == {(1,)}


def test_replace_that_removes_nothing_is_not_seen(make: Make) -> None:
    world = make(*PEOPLE)
    start = world.now()
    world.run("INSERT OR IGNORE INTO p VALUES ('z', 'x', 9)", "INSERT OR IGNORE INTO p VALUES ('a', 'q', 9)")
    world.run("UPDATE OR IGNORE p SET mail = 'x' WHERE id = 'b'")
    assert world.since(start) == {}
    world.run("INSERT INTO p VALUES ('a', 'q', 9) ON CONFLICT DO UPDATE SET n = 77")
    assert world.since(start) == {"p": {("a",): {"n"}}}


def test_replace_is_a_rival_only_if_it_removed_the_row(make: Make) -> None:
    world = make(*PEOPLE)
    start = world.now()
    world.run(
        "INSERT OR IGNORE INTO p VALUES ('c', NULL, 9)",
        "REPLACE INTO p VALUES ('d', 'x', 9)",
        "REPLACE INTO p VALUES ('b', 'y', 9)",
    )
    with world.database.write(UNBOUNDED) as transaction:
        stage = world.stage("update", "p", [["a", 5], ["b", 5], ["c", 5]], ["n"])
        transaction.rows.stage(stage)
        rivals = transaction.rows.rivals(stage, [start], [], "r1")
    assert sorted((rival.row, rival.op) for rival in rivals) == [(0, "D"), (1, "D"), (1, "I")]


def test_replace_with_recursive_triggers_is_captured_once(make: Make, tmp_path: Path) -> None:
    world = make(*PEOPLE)
    start = world.now()
    connection = sqlite3.connect(tmp_path / "central.db")
    connection.execute("PRAGMA recursive_triggers = ON")
    with connection:
        connection.execute("REPLACE INTO p VALUES ('d', 'x', 9)")
    connection.close()
    assert set(world.since(start)["p"]) == {("a",), ("d",)}
    with world.database.write(UNBOUNDED) as transaction:
        stage = world.stage("update", "p", [["a", 5]], ["n"])
        transaction.rows.stage(stage)
        assert [rival.op for rival in transaction.rows.rivals(stage, [start], [], "r1")] == ["D"]


def test_a_conflict_clause_of_the_table_does_not_lose_rows_in_a_push(make: Make) -> None:
    world = make(
        "CREATE TABLE t (id INTEGER PRIMARY KEY ON CONFLICT REPLACE, u TEXT UNIQUE ON CONFLICT IGNORE)",
        "INSERT INTO t VALUES (1, 'x')",
    )
    assert world.push_what_fits(world.stage("insert", "t", [[2, "x"], [3, "y"]])) == {("t", (2,))}
    assert world.rows("t") == [[1, "x"], [3, "y"]]


@pytest.mark.parametrize(
    ("ddl", "key", "other"),
    [
        ("id BLOB PRIMARY KEY NOT NULL", b"\x00\xff", b""),
        ("id PRIMARY KEY NOT NULL", 1, 1.5),
        ("id TEXT PRIMARY KEY COLLATE NOCASE NOT NULL", "Ada", "bob"),
        ("id REAL PRIMARY KEY NOT NULL", 1.0, 2.5),
        ("id INTEGER PRIMARY KEY DESC", 5, 6),
        ("id INTEGER NOT NULL, PRIMARY KEY (id)", 5, -6),
    ],
)
@pytest.mark.parametrize("rowid", ["", "WITHOUT ROWID"])
def test_any_key_takes_part(make: Make, ddl: str, key: object, other: object, rowid: str) -> None:
    columns = ddl.replace(", PRIMARY KEY", ", v, PRIMARY KEY") if ", PRIMARY" in ddl else f"{ddl}, v"
    world = make(f"CREATE TABLE t ({columns}) {rowid}")
    start = world.now()
    rows = [[key, "v"], [other, b"w"]]
    assert world.push(world.stage("insert", "t", rows), origin="r1") == []  # type: ignore[arg-type]
    assert world.push(world.stage("update", "t", [[key, 7]], ["v"]), origin="r1") == []  # type: ignore[list-item]
    assert set(world.since(start)["t"]) == {(key,), (other,)}
    assert world.read(lambda t: t.rows.find(0, [(key,)], [0])) == [[key, 7]]
    assert sorted(map(repr, world.rows("t"))) == sorted(map(repr, [[key, 7], [other, b"w"]]))
    start = world.now()
    world.run("UPDATE t SET v = 8", "DELETE FROM t")
    assert set(world.since(start)["t"]) == {(key,), (other,)}


def test_a_key_that_changes_its_case_is_a_delete_and_an_insert(make: Make) -> None:
    world = make(
        "CREATE TABLE t (id TEXT PRIMARY KEY COLLATE NOCASE NOT NULL, v)", "INSERT INTO t VALUES ('a', 1)"
    )
    start = world.now()
    world.run("UPDATE t SET id = 'A'")
    assert set(world.since(start)["t"]) == {("a",), ("A",)}
    assert world.read(lambda t: t.rows.find(0, [("a",), ("A",)], [])) == [["A"]]


def test_rows_without_a_key_stay_where_they_are(make: Make) -> None:
    world = make("CREATE TABLE t (id TEXT PRIMARY KEY, v)", "INSERT INTO t VALUES (NULL, 1), ('a', 2)")
    start = world.now()
    world.run("INSERT INTO t VALUES (NULL, 5)", "UPDATE t SET v = 9")
    assert world.since(start) == {"t": {("a",): {"v"}}}
    assert world.rows("t") == [["a", 9]]
    assert "no key" in " ".join(open_notes(world))


def open_notes(world: World) -> list[str]:
    return world.database.catalogue.prepare(world.schema).notes


def test_names_may_be_reserved_words_and_odd_characters(make: Make) -> None:
    world = make(
        'CREATE TABLE "order ""x""" ("select" INTEGER PRIMARY KEY, "a b" TEXT, "NEW" TEXT UNIQUE,'
        ' "ß;--" REAL)',
        "CREATE TABLE [t] (clock INTEGER PRIMARY KEY, suppressed TEXT, seq TEXT, _rowid_ TEXT)",
    )
    start = world.now()
    world.run(
        'INSERT INTO "order ""x""" VALUES (1, \'a\', \'b\', 1.5)',
        'UPDATE "order ""x""" SET "ß;--" = 2',
        "INSERT INTO t VALUES (1, '2', '3', '4')",
    )
    assert world.push(world.stage("insert", 'order "x"', [[2, "q", "r", 0.25]])) == []
    assert set(world.since(start)['order "x"']) == {(1,), (2,)}
    assert world.rows("t") == [[1, "2", "3", "4"]]


def test_wide_tables_have_masks_of_several_words(make: Make) -> None:
    columns = ", ".join(f"c{number}" for number in range(150))
    world = make(f"CREATE TABLE t (id INTEGER PRIMARY KEY, {columns})", "INSERT INTO t (id) VALUES (1)")
    start = world.now()
    world.run("UPDATE t SET c0 = 1, c61 = 1, c62 = 1, c123 = 1, c124 = 1, c149 = 1")
    assert world.since(start)["t"] == {(1,): {"c0", "c61", "c62", "c123", "c124", "c149"}}
    world.push(world.stage("update", "t", [[1, 5]], ["c130"]), origin="r2")
    with world.database.write(UNBOUNDED) as transaction:
        stage = world.stage("update", "t", [[1, 5]], ["c1"])
        transaction.rows.stage(stage)
        rivals = transaction.rows.rivals(stage, [start], [], "r1")
    assert [rival.mask for rival in rivals][1] == 1 << 130


def test_a_replace_keeps_what_it_removed(make: Make) -> None:
    world = make("CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE, v)")
    world.renew(before={"t": ["v"]})
    world.run("INSERT INTO t VALUES (1, 'x', 10), (2, 'y', 20), (3, 'z', 30)")
    start = world.now()
    world.run("REPLACE INTO t VALUES (1, 'y', 11)", "UPDATE OR REPLACE t SET u = 'z', v = 12 WHERE id = 1")
    assert world.rows("t") == [[1, "z", 12]]
    assert former(world, start, "t", (1,), (2,), (3,)) == {(1,): {"v": 10}, (2,): {"v": 20}, (3,): {"v": 30}}


def test_l8_old_values_in_the_log_are_exact(make: Make) -> None:
    world = make("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c, d, e, f)")
    values: list[object] = [1, 0.1, 5e-324, "a,'b\x00c", b"\x00,'", None, -(2**63)]
    world.push(world.stage("insert", "t", [values]))  # type: ignore[list-item]
    world.renew(before={"t": "abcdef"})
    world.run("DELETE FROM t")
    assert isinstance(world.database, SqliteDatabase)
    with outside(world.database) as connection:
        (old,) = connection.execute("SELECT old FROM _sync_hub_log WHERE op = 'D'").fetchone()
    assert list(decoded(old).values()) == values[1:]


def test_generated_columns_stay_in_the_centre(make: Make) -> None:
    world = make(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, up TEXT AS (upper(a)) STORED, lo TEXT AS (lower(a)))"
    )
    assert [column.name for column in world.schema.tables[0].columns] == ["id", "a"]
    assert world.push(world.stage("insert", "t", [[1, "Ada"]])) == []
    assert world.rows("t") == [[1, "Ada"]]


def test_a_trigger_made_after_init_is_still_told_from_the_push(make: Make) -> None:
    world = make("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, n INTEGER)")
    world.run(
        "CREATE TRIGGER later AFTER INSERT ON t BEGIN UPDATE t SET n = 1 WHERE id = NEW.id; END",
        "CREATE TRIGGER later2 AFTER UPDATE OF v ON t BEGIN UPDATE t SET n = n + 1 WHERE id = NEW.id; END",
    )
    start = world.now()
    assert world.push(world.stage("insert", "t", [[1, "x", None]])) == []
    assert world.since(start, "r1") == {"t": {(1,): {"n"}}}
    start = world.now()
    assert world.push(world.stage("update", "t", [[1, "y"]], ["v"])) == []
    assert world.since(start, "r1") == {"t": {(1,): {"n"}}}
    assert world.rows("t") == [[1, "y", 2]]


def test_a_trigger_that_leaves_rows_out_is_said(make: Make) -> None:
    world = make(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)",
        "CREATE TRIGGER quiet BEFORE INSERT ON t WHEN NEW.v = 'no' BEGIN SELECT RAISE(IGNORE); END",
        "CREATE TRIGGER keep BEFORE DELETE ON t WHEN OLD.v = 'keep' BEGIN SELECT RAISE(IGNORE); END",
    )
    assert world.push_what_fits(world.stage("insert", "t", [[1, "a"], [2, "no"], [3, "keep"]])) == {
        ("t", (2,))
    }
    assert world.push_what_fits(world.stage("delete", "t", [[1], [3]])) == {("t", (3,))}
    assert [row[0] for row in world.rows("t")] == [3]


def test_l4_a_table_without_its_triggers_is_refused_aloud(make: Make) -> None:
    world = make(*PEOPLE)
    world.run("DROP TABLE p", PEOPLE[0])
    with pytest.raises(NotPrepared, match="p"):
        world.now()
    world.database.catalogue.prepare(world.database.catalogue.reflect(None))
    start = world.now()
    world.run("INSERT INTO p VALUES ('a', 'x', 1)")
    assert set(world.since(start)["p"]) == {("a",)}


def test_a_foreign_key_to_a_unique_column_is_checked(make: Make) -> None:
    world = make(
        "CREATE TABLE p (id INTEGER PRIMARY KEY, code TEXT UNIQUE)",
        "CREATE TABLE c (id INTEGER PRIMARY KEY, code TEXT REFERENCES p (code))",
        "INSERT INTO p VALUES (1, 'x'), (2, 'y')",
        "INSERT INTO c VALUES (1, 'x')",
    )
    assert world.push_what_fits(world.stage("insert", "c", [[2, "y"], [3, "z"]])) == {("c", (3,))}
    assert world.push_what_fits(world.stage("update", "p", [[1, "q"]], ["code"])) == {("p", (1,))}
    assert world.push_what_fits(world.stage("delete", "p", [[1]])) == {("p", (1,))}
    world.run("DELETE FROM c")
    assert world.push_what_fits(world.stage("update", "p", [[1, "q"]], ["code"])) == set()


def test_restrict_within_a_table_does_not_depend_on_the_order(make: Make) -> None:
    world = make(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, up INTEGER REFERENCES t ON DELETE RESTRICT)",
        "INSERT INTO t VALUES (1, NULL), (2, 1), (3, 2), (4, NULL), (5, 4)",
    )
    assert world.push_what_fits(world.stage("delete", "t", [[1], [2], [3], [4]])) == {("t", (4,))}
    assert [row[0] for row in world.rows("t")] == [4, 5]


@pytest.mark.parametrize("rule", ["", "NOT NULL", "NOT NULL CHECK (length(u) < 5)"])
def test_rows_may_trade_unique_values(make: Make, rule: str) -> None:
    world = make(
        f"CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT UNIQUE {rule})",
        "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e')",
    )
    traded = world.stage("update", "t", [[1, "b"], [2, "c"], [3, "a"], [4, "z"]], ["u"])
    assert world.push(traded) == []
    assert world.rows("t") == [[1, "b"], [2, "c"], [3, "a"], [4, "z"], [5, "e"]]
    start = world.now()
    clash = world.stage("update", "t", [[1, "c"], [2, "b"], [3, "e"]], ["u"])
    assert world.push_what_fits(clash) == {("t", (3,))}
    assert world.rows("t") == [[1, "c"], [2, "b"], [3, "a"], [4, "z"], [5, "e"]]
    assert set(world.since(start, "r1")) == set()


def test_a_unique_value_moves_from_a_deleted_row_to_a_new_one(make: Make) -> None:
    world = make(*PEOPLE)
    stages = world.stage("insert", "p", [["d", "x", 1]]), world.stage("delete", "p", [["a"]])
    assert world.push(*stages) == []
    assert [row[0] for row in world.rows("p")] == ["b", "c", "d"]


def test_a_restored_database_refuses_watermarks_of_its_future(make: Make, tmp_path: Path) -> None:
    world = make(*PEOPLE)
    world.run("UPDATE p SET n = 0")
    ahead = world.database.position(f"s{int(world.now().token()[1:].partition('.')[0]) + 1}")
    with pytest.raises(WatermarkRefused) as caught:
        world.since(ahead)
    assert caught.value.code == "centre_restored"


def test_a_simulated_clock_stands_in_for_the_wall() -> None:
    now = [1_000_000]
    database = open_database("sqlite:///:memory:", clock=lambda: now[0])
    with outside(database) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    database.catalogue.prepare(database.catalogue.reflect(None))
    database.catalogue.load()
    with database.read(UNBOUNDED) as reading:
        start = reading.log.now()
    with outside(database) as connection:
        connection.execute("INSERT INTO t VALUES (1)")
        connection.execute("INSERT INTO t VALUES (2)")
        now[0] -= 500
        connection.execute("INSERT INTO t VALUES (3)")
    with database.write(UNBOUNDED) as transaction:
        assert transaction.ledger.milliseconds() == 999_500
        assert transaction.ledger.clock() == (1_000_000 << 16) + 2
        assert transaction.log.entries(start, "", 10).hlc == (1_000_000 << 16) + 2
    database.close()
