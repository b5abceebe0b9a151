"""What rules, functions and triggers write while a push is applied is captured, at any depth (laws L4, L6);
and what the company does to its own tables works (law L13)."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

import syncline
from tests.support.postgres import PostgresCentre

COUNTER = (
    "CREATE TABLE counter (id int PRIMARY KEY, n int)",
    "INSERT INTO counter VALUES (1, 0)",
    "CREATE TABLE item (id int PRIMARY KEY, name text, n int)",
)
COUNTS = "UPDATE counter SET n = n + 1 WHERE id = 1"


def run(device: syncline.Replica, *statements: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(device.file)) as connection, connection:
        for statement in statements:
            rows = connection.execute(statement).fetchall()
    return rows


def everywhere(tmp_path: Path, url: str, tables: Sequence[str], *edits: str) -> list[dict[str, object]]:
    """The tables in the centre and on two devices, of which one has made these edits."""
    with syncline.Hub(url) as hub:
        hub.init()
        one, two = syncline.clone(hub, tmp_path / "a.db"), syncline.clone(hub, tmp_path / "b.db")
        run(one, *edits)
        assert one.sync().push.rejected == ()
        for device in (one, two):
            device.sync()
            device.sync()
            assert device.verify().equal
        select = "SELECT * FROM {} ORDER BY 1"
        with psycopg.connect(url) as centre:
            found = {table: centre.execute(select.format(table).encode()).fetchall() for table in tables}
        shown = [{table: run(device, select.format(table)) for table in tables} for device in (one, two)]
    return [found, *shown]


def alike(found: Sequence[dict[str, object]]) -> dict[str, object]:
    assert found[0] == found[1] == found[2]
    return found[0]


def test_rules_write_other_tables_by_the_events_that_a_push_has(tmp_path: Path, postgres_url: str) -> None:
    PostgresCentre(postgres_url).run(
        *COUNTER,
        "CREATE TABLE hist (id int PRIMARY KEY, what text)",
        "INSERT INTO item VALUES (1, 'a', 0), (2, 'b', 0)",
        "INSERT INTO hist VALUES (2, 'of b')",
        "CREATE RULE r1 AS ON UPDATE TO item DO ALSO INSERT INTO hist VALUES (NEW.id, OLD.name)",
        f"CREATE RULE r2 AS ON UPDATE TO item DO ALSO {COUNTS}",
        "CREATE RULE r3 AS ON DELETE TO item DO ALSO DELETE FROM hist WHERE id = OLD.id",
        "CREATE RULE r4 AS ON UPDATE TO counter DO ALSO INSERT INTO hist VALUES (100 + NEW.n, 'counted')",
    )
    edits = ("UPDATE item SET name = 'z' WHERE id = 1", "DELETE FROM item WHERE id = 2")
    found = alike(everywhere(tmp_path, postgres_url, ["item", "counter", "hist"], *edits))
    assert found["hist"] == [(1, "a"), (101, "counted")]
    assert found["counter"] == [(1, 1)]


def test_rules_write_the_same_table_by_other_events(tmp_path: Path, postgres_url: str) -> None:
    PostgresCentre(postgres_url).run(
        "CREATE TABLE up (id int PRIMARY KEY, name text)",
        "CREATE RULE r AS ON INSERT TO up DO ALSO UPDATE up SET name = upper(name) WHERE id <= NEW.id",
        "CREATE TABLE kept (id int PRIMARY KEY, name text)",
        "CREATE RULE r AS ON UPDATE TO kept DO ALSO INSERT INTO kept VALUES (NEW.id + 100, OLD.name)",
        "INSERT INTO kept VALUES (1, 'a')",
        "INSERT INTO up VALUES (1, 'a')",
        "UPDATE up SET name = 'low'",
    )
    edits = ("INSERT INTO up VALUES (2, 'b')", "UPDATE kept SET name = 'b'")
    found = alike(everywhere(tmp_path, postgres_url, ["up", "kept"], *edits))
    assert found == {"up": [(1, "LOW"), (2, "B")], "kept": [(1, "b"), (101, "a")]}


def test_functions_of_a_check_write_the_very_table_that_is_pushed(tmp_path: Path, postgres_url: str) -> None:
    """In `plpgsql` and in `sql`, called by the engine's own statement, not by a trigger."""
    PostgresCentre(postgres_url).run(
        *COUNTER,
        "INSERT INTO item VALUES (99, 'all', 0)",
        "CREATE FUNCTION seen(i int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN"
        " UPDATE item SET n = n + 1 WHERE id = 99 AND i <> 99; RETURN true; END $$",
        f"CREATE FUNCTION counted(i int) RETURNS bool LANGUAGE sql AS $$ {COUNTS}; SELECT true $$",
        "ALTER TABLE item ADD CHECK (seen(id)), ADD CHECK (counted(id))",
    )
    edits = ("INSERT INTO item VALUES (1, 'a', 0)", "INSERT INTO item VALUES (2, 'b', 0)")
    found = alike(everywhere(tmp_path, postgres_url, ["item", "counter"], *edits))
    rows = found["item"]
    assert isinstance(rows, list)
    assert rows[:2] == [(1, "a", 0), (2, "b", 0)]
    assert rows[2][2] >= 2
    assert found["counter"] != [(1, 0)]


def test_triggers_write_tables_that_the_push_writes_too(tmp_path: Path, postgres_url: str) -> None:
    """Deep: a rule's statement fires a trigger, whose statement another."""
    PostgresCentre(postgres_url).run(
        *COUNTER,
        "CREATE TABLE hist (id int PRIMARY KEY, what text)",
        "INSERT INTO item VALUES (1, 'a', 0), (2, 'b', 0)",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO hist VALUES (NEW.n, 'counted'); RETURN NEW; END $$",
        "CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " UPDATE item SET n = n + 1 WHERE id = 2; RETURN NEW; END $$",
        "CREATE TRIGGER f AFTER UPDATE ON counter FOR EACH ROW EXECUTE FUNCTION f()",
        "CREATE TRIGGER g AFTER INSERT ON hist FOR EACH ROW EXECUTE FUNCTION g()",
        f"CREATE RULE r AS ON INSERT TO item DO ALSO {COUNTS}",
    )
    edits = ("UPDATE item SET name = 'z' WHERE id = 1", "INSERT INTO item VALUES (3, 'c', 0)")
    found = alike(everywhere(tmp_path, postgres_url, ["item", "counter", "hist"], *edits))
    assert found["item"] == [(1, "z", 0), (2, "b", 1), (3, "c", 0)]
    assert found["hist"] == [(1, "counted")]


@pytest.mark.parametrize(
    "trigger", ["", "CREATE TRIGGER f BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()"]
)
def test_a_cascade_sets_in_other_rows_the_column_that_the_push_sets(
    tmp_path: Path, postgres_url: str, trigger: str
) -> None:
    """What a cascade does is done when the statement that began it ends, at the depth of that."""
    PostgresCentre(postgres_url).run(
        "CREATE TABLE t (id int PRIMARY KEY, code text UNIQUE,"
        " up text REFERENCES t (code) ON UPDATE CASCADE)",
        "INSERT INTO t VALUES (1, 'a', NULL), (2, 'b', 'a'), (3, 'c', 'a')",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
        *([trigger] if trigger else []),
    )
    edits = ("PRAGMA foreign_keys = OFF", "UPDATE t SET code = 'z', up = 'c' WHERE id = 1")
    found = alike(everywhere(tmp_path, postgres_url, ["t"], *edits))
    assert found["t"] == [(1, "z", "c"), (2, "b", "z"), (3, "c", "z")]


def test_a_table_becomes_a_partition_of_another_that_takes_part(postgres_url: str) -> None:
    """Both have triggers of ours then; none has the name of another."""
    centre = PostgresCentre(postgres_url)
    key = "(id int, d date, PRIMARY KEY (id, d))"
    centre.run(f"CREATE TABLE ev {key} PARTITION BY RANGE (d)", f"CREATE TABLE plain {key}")
    with syncline.Hub(postgres_url) as hub:
        hub.init()
        bounds = "FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')"
        centre.run("INSERT INTO plain VALUES (1, '2026-05-05')")
        centre.run(f"ALTER TABLE ev ATTACH PARTITION plain {bounds}")
        centre.run("INSERT INTO ev VALUES (2, '2026-05-06')")
        hub.init(yes=True)
        assert [table.name for table in hub.schema.tables] == ["ev"]
        centre.run("INSERT INTO plain VALUES (3, '2026-05-07')", "DELETE FROM ev WHERE id = 1")
    with psycopg.connect(postgres_url) as connection:
        logged = connection.execute("SELECT op::text, k0 FROM syncline.log_0 ORDER BY seq").fetchall()
    assert {("I", 3), ("D", 1)} <= set(logged)
    assert {1, 2} <= {key for op, key in logged if op in "IU"}


@pytest.mark.parametrize(
    ("extension", "type_", "one", "other"),
    [
        ("ltree", "ltree", "a.b", "a.c"),
        ("isn", "isbn", "978-0-393-04002-9", "978-0-11-000222-4"),
        ("cube", "cube", "(1,2)", "(3,4)"),
        ("hstore", "hstore", "a=>1", "b=>2"),
        ("seg", "seg", "1..2", "3..4"),
        ("citext", "citext", "One", "Other"),
    ],
)
def test_keys_of_extension_types(
    tmp_path: Path, postgres_url: str, extension: str, type_: str, one: str, other: str
) -> None:
    """Their equality is in whatever schema the extension is, which no search path need name."""
    centre = PostgresCentre(postgres_url)
    centre.run(
        "CREATE SCHEMA ext",
        f"CREATE EXTENSION {extension} SCHEMA ext",
        f"CREATE TABLE item (id ext.{type_} PRIMARY KEY, q int)",
        f"INSERT INTO item VALUES ('{one}', 1), ('{other}', 2)",
    )
    with syncline.Hub(postgres_url) as hub:
        hub.init()
        device = syncline.clone(hub, tmp_path / "a.db")
        centre.run("DELETE FROM item WHERE q = 2")
        run(device, "UPDATE item SET q = 7 WHERE q = 1")
        assert device.sync().push.rejected == ()
        assert [q for _, q in run(device, "SELECT * FROM item")] == [7]
        assert device.verify().equal


def test_a_row_that_is_tried_by_itself_is_still_the_pushs_own(tmp_path: Path, postgres_url: str) -> None:
    """Many rows that are refused are tried one by one in the server, where every statement has a caller."""
    PostgresCentre(postgres_url).run(
        *COUNTER,
        f"CREATE FUNCTION counted(i int) RETURNS bool LANGUAGE sql AS $$ {COUNTS}; SELECT i % 3 <> 0 $$",
        "ALTER TABLE item ADD CHECK (counted(id))",
    )
    with syncline.Hub(postgres_url) as hub:
        hub.init()
        device = syncline.clone(hub, tmp_path / "a.db")
        run(device, *(f"INSERT INTO item VALUES ({n}, 'a', 0)" for n in range(900)))
        assert len(device.sync().push.rejected) == 300
        device.sync()
        assert device.verify().equal
        with psycopg.connect(postgres_url) as centre:
            logged = "SELECT count(*), count(*) FILTER (WHERE origin = 'hub') FROM syncline.log_1"
            assert centre.execute(logged).fetchone() == (600, 0)
            counted = "SELECT count(*) > 0 FROM syncline.log_0 WHERE origin = 'hub'"
            assert centre.execute(counted).fetchone() == (True,)
