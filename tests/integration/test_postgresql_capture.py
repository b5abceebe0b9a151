"""What the capture triggers see on PostgreSQL, whoever writes and however (law L4)."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from syncline.hub.contract import Former
from syncline.model.scope import UNBOUNDED
from syncline.testing.conforms.before import former, told
from tests.support.postgres import Make, PostgresCentre


def test_l4_a_change_of_spelling_alone_is_a_change(make: Make) -> None:
    world = make(
        "CREATE TABLE t (id int PRIMARY KEY, f float8, n numeric, j json, b jsonb, c char(3), a numeric[])"
    )
    world.run("""INSERT INTO t VALUES (1, 0.0, 1.0, '{"a":1}', '{"a":1.0}', 'x', '{1.0}')""")
    start = world.now()
    world.run("UPDATE t SET f = f, n = n, j = j, b = b, c = 'x  ', a = a")
    assert world.since(start) == {}
    world.run("UPDATE t SET f = '-0.0', n = 1.00, j = '{\"a\": 1}', b = '{\"a\":1.00}', a = '{1.00}'")
    assert world.since(start) == {"t": {(1,): {"f", "n", "j", "b", "a"}}}


def test_l4_truncate_copy_and_merge_are_captured(make: Make) -> None:
    world = make("CREATE TABLE t (id int PRIMARY KEY, a text)")
    start = world.now()
    assert isinstance(world.centre, PostgresCentre)
    with world.centre.connect() as session, session.cursor().copy("COPY t FROM STDIN") as copy:
        copy.write("1\tx\n2\ty\n")
    assert set(world.since(start)["t"]) == {(1,), (2,)}
    start = world.now()
    world.run(
        "MERGE INTO t USING (VALUES (1, 'z'), (3, 'w')) AS s (id, a) ON t.id = s.id"
        " WHEN MATCHED THEN UPDATE SET a = s.a WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.a)"
    )
    assert set(world.since(start)["t"]) == {(1,), (3,)}
    start = world.now()
    world.run("TRUNCATE t")
    assert set(world.since(start)["t"]) == {(1,), (2,), (3,)}


def test_l4_a_partitioned_table_is_captured_through_every_door(make: Make) -> None:
    world = make(
        "CREATE TABLE p (region text, id int, v int, PRIMARY KEY (region, id)) PARTITION BY LIST (region)",
        "CREATE TABLE p_eu PARTITION OF p FOR VALUES IN ('eu')",
        "CREATE TABLE p_us PARTITION OF p FOR VALUES IN ('us')",
    )
    assert [table.name for table in world.schema.tables] == ["p"]
    start = world.now()
    world.run("INSERT INTO p VALUES ('eu', 1, 0)", "INSERT INTO p_us VALUES ('us', 1, 0), ('us', 2, 0)")
    assert set(world.since(start)["p"]) == {("eu", 1), ("us", 1), ("us", 2)}
    start = world.now()
    world.run("UPDATE p_us SET v = 5 WHERE id = 2")
    assert world.since(start) == {"p": {("us", 2): {"v"}}}
    start = world.now()
    world.run("UPDATE p SET region = 'eu' WHERE id = 2", "DELETE FROM p_eu WHERE id = 1")
    assert set(world.since(start)["p"]) == {("us", 2), ("eu", 2), ("eu", 1)}
    start = world.now()
    world.run("TRUNCATE p_us")
    assert set(world.since(start)["p"]) == {("us", 1)}
    assert (
        world.push(world.stage("insert", "p", [["us", 9, 1]]), world.stage("update", "p", [["eu", 2, 7]]))
        == []
    )
    assert sorted(world.rows("p")) == [["eu", 2, 7], ["us", 9, 1]]
    assert set(world.since(start, "r1")["p"]) == {("us", 1)}


def test_l4_writes_of_a_replication_session_are_captured(make: Make) -> None:
    world = make("CREATE TABLE t (id int PRIMARY KEY, a text)")
    start = world.now()
    world.run(
        "SET LOCAL session_replication_role = replica",
        "INSERT INTO t VALUES (1, 'x'), (2, 'y')",
        "UPDATE t SET a = 'z' WHERE id = 1",
        "DELETE FROM t WHERE id = 2",
    )
    assert set(world.since(start)["t"]) == {(1,), (2,)}


def test_l4_a_role_without_rights_on_syncline_is_captured(make: Make) -> None:
    world = make("CREATE TABLE t (id int PRIMARY KEY, a text)")
    start = world.now()
    world.run(
        "CREATE ROLE clerk",
        "GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON t TO clerk",
        "SET LOCAL ROLE clerk",
        "INSERT INTO t VALUES (1, 'x'), (2, 'y')",
        "UPDATE t SET a = 'z' WHERE id = 1",
        "DELETE FROM t WHERE id = 2",
        "TRUNCATE t",
    )
    assert set(world.since(start)["t"]) == {(1,), (2,)}
    world.run("DROP OWNED BY clerk", "DROP ROLE clerk")


def test_l4_a_hostile_search_path_changes_nothing(make: Make) -> None:
    world = make("CREATE TABLE t (id int PRIMARY KEY, a text)")
    world.run(
        "CREATE SCHEMA evil",
        "CREATE FUNCTION evil.pg_trigger_depth() RETURNS int LANGUAGE sql AS 'SELECT 0'",
        "CREATE FUNCTION evil.row_to_json(record) RETURNS json LANGUAGE plpgsql"
        " AS 'BEGIN RAISE division_by_zero; END'",
    )
    start = world.now()
    world.run("SET LOCAL search_path = evil, pg_catalog, public", "INSERT INTO t VALUES (1)", "DELETE FROM t")
    assert set(world.since(start)["t"]) == {(1,)}


def test_l4_names_need_no_care(make: Make) -> None:
    ugly = 'a "quoted" %s $1 {x} ? \\ naïve'
    table = '"' + ugly.replace('"', '""') + '"'
    world = make(
        'CREATE SCHEMA "My Schema"',
        f'CREATE TABLE "My Schema".{table} ({table} int, "select" text, "stamp" int, "staged" int, "old" int,'
        f' "new" int, "hlc" int, "m0" int, "n" int, "s" int, "added" int, PRIMARY KEY ({table}, "select"))',
    )
    assert world.schema.tables[0].name == ugly
    start = world.now()
    world.run(
        f"INSERT INTO \"My Schema\".{table} VALUES (1, 'x', 1, 1, 1, 1, 1, 1, 1, 1, 1)",
        f"INSERT INTO \"My Schema\".{table} VALUES (2, 'x')",
        f'UPDATE "My Schema".{table} SET stamp = 2, staged = 2, "old" = 2, m0 = 2',
        f'DELETE FROM "My Schema".{table} WHERE "n" IS NULL',
    )
    assert set(world.since(start)[ugly]) == {(1, "x"), (2, "x")}
    values: list[Any] = [5] * 9
    assert world.push(world.stage("insert", ugly, [[3, "y", *values]])) == []
    assert world.push(world.stage("update", ugly, [[3, "y", 6, 7]], ["old", "hlc"])) == []
    assert world.rows(ugly)[-1] == [3, "y", 5, 5, 6, 5, 7, 5, 5, 5, 5]
    assert world.push(world.stage("delete", ugly, [[3, "y"]])) == []


def test_l4_more_columns_than_one_word_holds(make: Make) -> None:
    columns = ", ".join(f"c{number} int" for number in range(130))
    world = make(f"CREATE TABLE wide (id int PRIMARY KEY, {columns})")
    world.run("INSERT INTO wide (id) VALUES (1)")
    start = world.now()
    world.run("UPDATE wide SET c0 = 1, c61 = 1, c62 = 1, c63 = 1, c124 = 1, c129 = 1")
    changed = {"c0", "c61", "c62", "c63", "c124", "c129"}
    assert world.since(start) == {"wide": {(1,): changed}}
    assert world.push(world.stage("update", "wide", [[1, 5, 6]], ["c1", "c128"])) == []
    assert world.since(start, "r2") == {"wide": {(1,): changed | {"c1", "c128"}}}
    with world.database.write(UNBOUNDED) as transaction:
        stage = world.stage("update", "wide", [[1, 5]], ["c1"])
        transaction.rows.stage(stage)
        masks = [rival.mask for rival in transaction.rows.rivals(stage, [start], [], "r9")]
    assert masks == [sum(1 << int(name[1:]) for name in changed), 1 << 1 | 1 << 128]


def test_l4_a_before_trigger_that_changes_more_than_was_pushed_is_captured(make: Make) -> None:
    world = make(
        "CREATE TABLE t (id int PRIMARY KEY, a text, touched int DEFAULT 0)",
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.touched := OLD.touched + 1; RETURN NEW; END $$",
        "CREATE TRIGGER touch BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION touch()",
    )
    world.run("INSERT INTO t VALUES (1, 'x')")
    start = world.now()
    assert world.push(world.stage("update", "t", [[1, "y"]], ["a"])) == []
    assert world.rows("t") == [[1, "y", 1]]
    assert world.since(start, "r1") == {"t": {(1,): {"touched"}}}
    assert world.since(start, "r2") == {"t": {(1,): {"a", "touched"}}}


def test_l4_generated_columns_travel_with_what_they_are_made_of(make: Make) -> None:
    world = make(
        "CREATE TABLE t (id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED,"
        " no int GENERATED ALWAYS AS IDENTITY)"
    )
    table = world.schema.table("t")
    assert [column.computed for column in table.values.values()] == [False, True, True]
    assert table.pushed == (0,)
    assert not table.exact
    start = world.now()
    stage = world.stage("insert", "t", [[1, 5]], ["a"])
    with world.database.write(UNBOUNDED) as transaction:
        transaction.rows.stage(stage)
        assert transaction.rows.apply([stage], "r1") == []
        assert transaction.rows.differing(stage) == [0]
    assert world.rows("t") == [[1, 5, 10, 1]]
    assert world.push(world.stage("update", "t", [[1, 6]], ["a"])) == []
    assert world.since(start, "r1") == {}
    assert world.since(start, "r2") == {"t": {(1,): {"a", "twice", "no"}}}


def test_l4_set_null_and_cascades_through_several_tables_have_the_origin_hub(make: Make) -> None:
    world = make(
        "CREATE TABLE a (id int PRIMARY KEY, b int)",
        "CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a ON DELETE CASCADE)",
        "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b ON DELETE CASCADE",
        "CREATE TABLE c (id int PRIMARY KEY, a int REFERENCES a ON DELETE SET NULL)",
    )
    world.run(
        "INSERT INTO a VALUES (1), (3)",
        "INSERT INTO b VALUES (1, 1), (2, 3)",
        "UPDATE a SET b = 1 WHERE id = 3",
    )
    world.run("INSERT INTO c VALUES (7, 1), (8, 3)")
    start = world.now()
    assert world.push(world.stage("delete", "a", [[1]])) == []
    assert world.rows("a") == world.rows("b") == []
    mine = {name: set(rows) for name, rows in world.since(start, "r1").items()}
    assert mine == {"a": {(3,)}, "b": {(1,), (2,)}, "c": {(7,), (8,)}}
    assert world.since(start, "r1")["c"][(7,)] == {"a"}


def test_old_values_are_spelled_alike_whatever_the_session(make: Make, postgres_url: str) -> None:
    world = make("CREATE TABLE t (id int PRIMARY KEY, f float8, at timestamptz, d date, s interval, b bytea)")
    world.renew(before={"t": ["f", "at", "d", "s", "b"]})
    row = "0.1, '2024-02-01 00:00Z', '2024-02-01', '-1 day 02:00', 'x'"
    world.run(f"INSERT INTO t VALUES (1, {row}), (2, {row}), (3, {row}), (4, {row})")
    start = world.now()
    world.run(
        "SET LOCAL extra_float_digits = -5",
        "SET LOCAL timezone = 'Asia/Tokyo'",
        "SET LOCAL datestyle = 'SQL, DMY'",
        "SET LOCAL intervalstyle = 'sql_standard'",
        "SET LOCAL bytea_output = 'escape'",
        "DELETE FROM t WHERE id = 2",
        "UPDATE t SET f = 0 WHERE id = 3",
        "UPDATE t SET id = 5 WHERE id = 4",
    )
    world.push(world.stage("delete", "t", [[1]]))
    with psycopg.connect(postgres_url) as connection:
        rows = connection.execute(
            f"SELECT old::text FROM syncline.log_{world.number('t')} WHERE op IN ('D', 'U')"
        ).fetchall()
    assert len(rows) == 4
    assert len(set(rows)) == 1
    found = former(world, start, "t", (1,), (2,), (3,), (4,))
    assert found[(1,)] == found[(2,)] == found[(3,)] == found[(4,)]
    assert found[(1,)] is not None
    assert found[(1,)]["f"] == 0.1


@pytest.mark.parametrize("parted", [False, True])
def test_a_truncate_keeps_what_was_there(make: Make, parted: bool) -> None:
    world = make(
        f"CREATE TABLE t (id int PRIMARY KEY, v int) {'PARTITION BY RANGE (id)' if parted else ''}",
        *(["CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (9)"] if parted else []),
    )
    world.renew(before={"t": ["v"]})
    world.run("INSERT INTO t VALUES (1, 10), (2, NULL), (3, 30)")
    start = world.now()
    world.run("UPDATE t SET v = 11 WHERE id = 1", "DELETE FROM t WHERE id = 3")
    world.run(f"TRUNCATE t{1 if parted else ''}")
    found = former(world, start, "t", (1,), (2,), (3,))
    assert found == {(1,): {"v": 10}, (2,): {"v": None}, (3,): {"v": 30}}


def test_l13_a_column_that_was_dropped_stops_nobody(make: Make) -> None:
    """The functions name it; what they cannot compute they leave out."""
    world = make("CREATE TABLE t (id int PRIMARY KEY, v int, w int)")
    world.renew(before={"t": ["v"]})
    world.run("INSERT INTO t VALUES (1, 10, 1), (2, 20, 2), (3, 30, 3)")
    start = world.now()
    world.run("ALTER TABLE t DROP COLUMN v")
    world.run("UPDATE t SET w = 9 WHERE id = 1", "DELETE FROM t WHERE id = 2", "TRUNCATE t")
    world.renew()
    assert set(world.since(start)["t"]) == {(1,), (2,), (3,)}


def test_an_old_value_that_the_present_type_cannot_read_is_not_known(make: Make) -> None:
    world = make("CREATE TABLE t (id int PRIMARY KEY, v text)")
    world.renew(before={"t": ["v"]})
    world.run("INSERT INTO t VALUES (1, 'x'), (2, '2')")
    start = world.now()
    world.run("UPDATE t SET v = '7'")
    world.run("ALTER TABLE t ALTER COLUMN v TYPE int USING v::int")
    world.renew()
    (number,) = [n for n, column in world.schema.table("t").values.items() if column.name == "v"]
    found = told(world, start, "t", (1,), (2,))
    assert found == {(1,): Former(True, None), (2,): Former(True, {number: 2})}
