"""Tables that others alter while they are captured: no write of theirs fails, none is missed (L4, L13)."""

from __future__ import annotations

import psycopg
import pytest

from syncline.errors import WatermarkRefused
from syncline.hub.contract import Key
from syncline.testing.conforms.centre import World
from tests.support.postgres import Make, PostgresCentre

TABLE = "CREATE TABLE t (id int PRIMARY KEY, a text, b int, c numeric(6,2))"
ROWS = "INSERT INTO t SELECT n, 'a' || n, n, n FROM generate_series(1, 5) AS n"
ANEW = "CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t SELECT generate_series(1, 5)"
WHOLE = {"a", "b", "c"}


def session_of(world: World) -> psycopg.Connection[tuple[object, ...]]:
    assert isinstance(world.centre, PostgresCentre)
    return world.centre.connect()


def names(found: dict[Key, set[str]]) -> set[Key]:
    return set(found)


@pytest.fixture
def world(make: Make) -> World:
    made = make(TABLE)
    made.run(ROWS)
    return made


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE t ALTER b TYPE bigint",
        "ALTER TABLE t ALTER b TYPE text",
        "ALTER TABLE t ALTER c TYPE numeric(8,3)",
        "ALTER TABLE t ALTER a TYPE varchar(20), ALTER b TYPE numeric",
        "ALTER TABLE t RENAME b TO z",
        "ALTER TABLE t DROP b",
        "ALTER TABLE t DROP b CASCADE",
        "ALTER TABLE t DROP b; ALTER TABLE t ADD b text",
        "ALTER TABLE t ADD z int DEFAULT 4; ALTER TABLE t DROP c",
        "ALTER TABLE t RENAME id TO k",
        "ALTER TABLE t ALTER id TYPE bigint",
        "ALTER TABLE t ALTER id TYPE bigint; ALTER TABLE t RENAME id TO k; ALTER TABLE t RENAME TO u",
        "ALTER TABLE t ALTER id TYPE text",
        "CREATE SCHEMA s; ALTER TABLE t SET SCHEMA s; SET search_path = s",
        "ALTER TABLE t RENAME TO u",
        f"ALTER TABLE t RENAME TO u; {ANEW}",
        f"DROP TABLE t; {ANEW}",
    ],
)
@pytest.mark.parametrize("warm", [True, False])
def test_l13_nobodys_write_fails_and_l4_none_is_missed(world: World, statement: str, warm: bool) -> None:
    """In a session that has written before and has its plans, or in a new one."""
    writer = session_of(world)
    if warm:
        writer.execute("UPDATE t SET a = a || '!' WHERE id = 5")
        writer.execute("INSERT INTO t VALUES (9)")
        writer.execute("DELETE FROM t WHERE id = 9")
    start = world.now()
    world.run(*statement.split("; "))
    key = "k" if " k" in statement else "id"
    name = "s.t" if "SCHEMA s" in statement else "u" if "TO u" in statement else "t"
    swapped = "CREATE TABLE" in statement
    if swapped:
        name = "t"
    writer.execute(f"UPDATE {name} SET a = 'new' WHERE {key}::int = 1")
    writer.execute(f"DELETE FROM {name} WHERE {key}::int = 2")
    writer.execute(f"INSERT INTO {name} ({key}, a) VALUES ('6', 'x')")
    writer.execute(f"UPDATE {name} SET {key} = '7' WHERE {key}::int = 3")
    writer.close()
    bare = name.removeprefix("s.")
    done = world.renew(new=[bare] if bare != "t" else [], gone=["t"] if bare != "t" else [])
    assert world.database.catalogue.prepare(world.database.catalogue.reflect([bare])).statements == []
    if "id TYPE text" in statement:
        assert any("log begins anew" in note for note in done.notes)
        return
    if any("every device compares itself" in note for note in done.notes):
        with pytest.raises(WatermarkRefused):
            world.since(start)
        return
    found = world.since(start)[bare]
    numbers = [1, 6, 7] if swapped else [1, 2, 3, 6, 7]
    assert names(found) >= {(n,) for n in numbers}
    assert all("a" in columns for columns in found.values())
    later = world.now()
    world.run(f"UPDATE {name} SET a = 'later' WHERE {key}::int = 4")
    assert world.since(later)[bare] == {(4,): {"a"}}


@pytest.mark.parametrize("by_row", [False, True])
def test_l4_a_key_that_outgrew_its_log_arrives(make: Make, by_row: bool) -> None:
    table = "CREATE TABLE t (id int PRIMARY KEY, a text)"
    parts = [f"{table} PARTITION BY RANGE (id)", "CREATE TABLE t1 PARTITION OF t DEFAULT"]
    world = make(*(parts if by_row else [table]))
    world.run("INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)")
    start = world.now()
    if by_row:  # a key that parts are made by cannot be altered: another name has to do
        world.run("ALTER TABLE t RENAME id TO k")
    else:
        world.run("ALTER TABLE t RENAME id TO k", "ALTER TABLE t ALTER k TYPE bigint")
    far = 5 if by_row else 3_000_000_000
    world.run(
        f"INSERT INTO t VALUES ({far}), ({far + 1}), ({far + 2})",
        f"UPDATE t SET a = 'x' WHERE k = {far}",
        f"UPDATE t SET k = {far + 3} WHERE k = {far + 1}",
        f"DELETE FROM t WHERE k = {far + 2}",
        "UPDATE t SET k = 4 WHERE k = 2",
    )
    between = world.now()
    world.renew()
    expected = {(far + n,) for n in range(4)} | {(2,), (4,)}
    assert names(world.since(start)["t"]) == expected
    assert names(world.since(between)["t"]) == expected
    start = world.now()
    world.run("TRUNCATE t")
    assert names(world.since(start)["t"]) == {(1,), (4,), (far,), (far + 3,)}


def test_l4_a_truncate_between_is_told_row_by_row(world: World) -> None:
    start = world.now()
    world.run("ALTER TABLE t RENAME id TO k", "TRUNCATE t")
    world.renew()
    assert names(world.since(start)["t"]) == {(1,), (2,), (3,), (4,), (5,)}


def test_l4_a_name_that_was_lent_and_given_back_leaves_nothing_behind(world: World) -> None:
    start = world.now()
    world.run("ALTER TABLE t RENAME id TO k", "DELETE FROM t WHERE k = 1", "ALTER TABLE t RENAME k TO id")
    done = world.renew()
    assert done.statements
    assert names(world.since(start)["t"]) == {(1,)}
    assert world.renew().statements == []


def test_l13_a_transaction_with_an_older_snapshot_writes_on(world: World) -> None:
    """What it reads of the catalogue is older than the table that it writes."""
    start = world.now()
    with session_of(world) as writer, writer.transaction():
        writer.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        writer.execute("SELECT count(*) FROM pg_class")
        world.run("ALTER TABLE t RENAME id TO k")
        writer.execute("INSERT INTO t (k) VALUES (6)")
        writer.execute("UPDATE t SET a = 'x' WHERE k = 1")
        writer.execute("DELETE FROM t WHERE k = 2")
    world.renew()
    assert names(world.since(start)["t"]) >= {(1,), (6,)}


def test_another_key_begins_another_log(world: World) -> None:
    world.run("ALTER TABLE t DROP CONSTRAINT t_pkey", "ALTER TABLE t ADD COLUMN n bigserial PRIMARY KEY")
    world.run(
        "UPDATE t SET a = 'x'", "ALTER TABLE t DROP id", "UPDATE t SET a = 'y'", "DELETE FROM t WHERE n = 1"
    )
    done = world.renew()
    assert any("its log begins anew" in note for note in done.notes)
    start = world.now()
    world.run("UPDATE t SET a = 'z' WHERE n = 2")
    assert world.since(start)["t"] == {(2,): {"a"}}


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TRIGGER syncline_update_0 ON t",
        "ALTER TABLE t DISABLE TRIGGER ALL",
        "DROP FUNCTION syncline.update_0() CASCADE",
    ],
)
def test_l4_what_was_written_while_the_capture_was_missing_is_sent_anew(world: World, statement: str) -> None:
    before, start = world.database.catalogue.signature(), world.now()
    world.run(statement)
    assert world.database.catalogue.signature() != before
    world.run("UPDATE t SET a = 'x' WHERE id = 1")
    done = world.renew()
    with pytest.raises(WatermarkRefused) as caught:
        world.since(start)
    assert caught.value.code == "watermark_lost"
    assert any("every device compares itself" in note for note in done.notes)
    after = world.now()
    world.run("UPDATE t SET a = 'y' WHERE id = 1")
    assert world.since(after)["t"] == {(1,): {"a"}}


def test_l4_rows_of_an_attached_partition_are_sent(make: Make) -> None:
    world = make(
        "CREATE TABLE p (r int, id int, PRIMARY KEY (r, id)) PARTITION BY LIST (r)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)",
        "CREATE TABLE p2 (r int NOT NULL, id int NOT NULL)",
    )
    world.run("INSERT INTO p VALUES (1, 1)", "INSERT INTO p2 VALUES (2, 1), (2, 2)")
    before, start = world.database.catalogue.signature(), world.now()
    world.run("ALTER TABLE p ATTACH PARTITION p2 FOR VALUES IN (2)")
    assert world.database.catalogue.signature() != before
    world.renew()
    assert names(world.since(start)["p"]) == {(2, 1), (2, 2)}


def test_a_column_that_was_dropped_and_added_again_is_another_one(world: World) -> None:
    before = {column.name: column.number for column in world.schema.table("t").columns}
    world.run("ALTER TABLE t DROP b", "ALTER TABLE t ADD b int DEFAULT 3")
    world.renew()
    after = {column.name: column.number for column in world.schema.table("t").columns}
    assert after == before | {"b": max(before.values()) + 1}


def test_l4_rows_whose_enum_has_a_renamed_label_are_sent(make: Make) -> None:
    world = make(
        "CREATE TYPE mood AS ENUM ('glad', 'sad')", "CREATE TABLE t (id int PRIMARY KEY, m mood, l mood[])"
    )
    world.run("INSERT INTO t VALUES (1, 'glad', '{sad}')")
    start, before = world.now(), world.database.catalogue.signature()
    world.run("ALTER TYPE mood ADD VALUE 'so so'")
    world.renew()
    assert world.since(start) == {}
    world.run("ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'")
    assert world.database.catalogue.signature() != before
    world.renew()
    assert world.since(start) == {"t": {(1,): {"m", "l"}}}
    assert world.renew().statements == []


def test_masks_grow_with_the_numbers(make: Make) -> None:
    world = make("CREATE TABLE t (id int PRIMARY KEY, a text)")
    start = world.now()
    world.run("INSERT INTO t VALUES (1, 'x')")
    world.run("ALTER TABLE t " + ", ".join(f"ADD c{n} int" for n in range(150)))
    world.renew()
    assert set(world.since(start)["t"][1,]) == {"a", *(f"c{n}" for n in range(150))}
    start = world.now()
    world.run("UPDATE t SET c149 = 1, c70 = 1")
    assert world.since(start)["t"] == {(1,): {"c149", "c70"}}


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE t ALTER b TYPE bigint",
        "ALTER TABLE t ALTER b SET NOT NULL",
        "ALTER TABLE t ALTER b SET DEFAULT 5",
        "ALTER TABLE t DROP b",
        "ALTER TABLE t ADD CONSTRAINT positive CHECK (b > 0)",
        "ALTER TABLE t ADD FOREIGN KEY (b) REFERENCES t",
        "CREATE UNIQUE INDEX ON t (a)",
        "CREATE SCHEMA s; ALTER TABLE t SET SCHEMA s",
        "CREATE TYPE mood AS ENUM ('a'); ALTER TYPE mood ADD VALUE 'b'",
        "CREATE TRIGGER less BEFORE UPDATE ON t FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    ],
)
def test_what_alters_a_table_alters_the_signature(world: World, statement: str) -> None:
    before = world.database.catalogue.signature()
    world.run(*statement.split("; "))
    assert world.database.catalogue.signature() != before


def test_of_tables_of_others_only_what_may_let_them_take_part_alters_the_signature(world: World) -> None:
    world.run("CREATE TABLE other (id int, x int)", "CREATE TEMP TABLE passing (id int)")
    before = world.database.catalogue.signature()
    world.run(
        "CREATE INDEX ON other (x)",
        "ALTER TABLE other ADD CHECK (x > 0)",
        "INSERT INTO other VALUES (1, 1)",
        "ANALYZE",
        "CREATE TEMP TABLE another (id int)",
    )
    assert world.database.catalogue.signature() == before
    world.run("ALTER TABLE other ADD PRIMARY KEY (id)")
    assert world.database.catalogue.signature() != before
