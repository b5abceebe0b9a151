"""A PostgreSQL centre whose tables change while devices write: what reaches them by itself (L2, L5, L8)."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import syncline
from syncline.errors import DatabaseError
from syncline.replica.replica import Replica

DDL = """
CREATE TABLE team (id int PRIMARY KEY, name varchar(9) NOT NULL UNIQUE, size int NOT NULL, CHECK (size > 0));
CREATE TABLE person (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), team int REFERENCES team ON DELETE CASCADE,
    name text NOT NULL, mail text UNIQUE, rank text NOT NULL
);
INSERT INTO team VALUES (1, 'red', 3), (2, 'blue', 4);
INSERT INTO person VALUES ('00000000-0000-0000-0000-000000000001', 1, 'Ada', 'a@x', 'x'),
    ('00000000-0000-0000-0000-000000000002', 2, 'Bob', 'b@x', 'y')
"""


class World:
    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.run(DDL)
        self.hub = syncline.Hub(url)
        self.hub.init()

    def run(self, sql: str) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute(sql.encode())

    def alter(self, sql: str) -> None:
        self.run(sql)
        self.hub.init()

    def there(self, sql: str) -> list[Any]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(sql.encode()).fetchall()

    def device(self, name: str) -> tuple[Replica, sqlite3.Connection]:
        replica = syncline.clone(self.hub, self.folder / name)
        app = sqlite3.connect(self.folder / name, isolation_level=None)
        app.execute("PRAGMA foreign_keys = ON")
        return replica, app


@pytest.fixture
def world(postgres_url: str, tmp_path: Path) -> Iterator[World]:
    made = World(postgres_url, tmp_path)
    yield made
    made.hub.close()


def indexes(app: sqlite3.Connection, table: str) -> set[tuple[tuple[str, ...], int]]:
    """The columns of each index that was made by a statement, and whether it is unique."""
    found = set()
    for _, name, unique, origin, _ in app.execute(f"PRAGMA index_list({table})").fetchall():
        columns = tuple(row[2] for row in app.execute(f"PRAGMA index_info('{name}')").fetchall())
        if origin == "c":
            found.add((columns, unique))
    return found


def test_l8_new_columns_of_every_kind_and_wider_types(world: World) -> None:
    one, app = world.device("a.db")
    app.execute("UPDATE team SET name = 'rot' WHERE id = 1")
    world.alter(
        "ALTER TABLE team ADD COLUMN price numeric(10,2) NOT NULL DEFAULT 1.50, ADD COLUMN seen timestamptz"
        " NOT NULL DEFAULT '2024-02-29 12:00+00', ADD COLUMN made timestamptz NOT NULL DEFAULT now(),"
        " ADD COLUMN ok boolean DEFAULT true, ADD COLUMN tags jsonb,"
        " ADD COLUMN double bigint GENERATED ALWAYS"
        " AS (size * 2) STORED, ALTER COLUMN size TYPE bigint, ALTER COLUMN name TYPE varchar(40),"
        " ALTER COLUMN name DROP NOT NULL;"
        "UPDATE team SET tags = '[1, 2]', price = 2.25 WHERE id = 2"
    )
    one.sync()
    rows = app.execute("SELECT name, price, seen, ok, tags, double FROM team ORDER BY id").fetchall()
    assert rows == [
        ("rot", "1.50", "2024-02-29T12:00:00Z", 1, None, 6),
        ("blue", "2.25", "2024-02-29T12:00:00Z", 1, "[1, 2]", 8),
    ]
    app.execute("INSERT INTO team (id, name, size) VALUES (3, 'a name of many letters', 5000000000)")
    app.execute("UPDATE team SET name = NULL, price = '7.00' WHERE id = 2")
    report = one.sync()
    assert report.push.rejected == ()
    assert world.there("SELECT id, name, price::text, size FROM team ORDER BY id") == [
        (1, "rot", "1.50", 3), (2, None, "7.00", 4), (3, "a name of many letters", "1.50", 5000000000),
    ]  # fmt: skip
    assert app.execute("SELECT made IS NOT NULL, double FROM team WHERE id = 3").fetchone() == (
        1,
        10000000000,
    )
    assert one.verify().equal


def test_keys_and_indexes_follow(world: World) -> None:
    one, app = world.device("a.db")
    assert indexes(app, "person") == {(("mail",), 1), (("team",), 0)}
    world.alter(
        "CREATE TABLE place (code text PRIMARY KEY, name text); INSERT INTO place VALUES ('x', 'X');"
        "ALTER TABLE person ADD COLUMN place text REFERENCES place (code) ON DELETE SET NULL,"
        " DROP CONSTRAINT person_mail_key, ADD UNIQUE (name, rank), DROP CONSTRAINT person_team_fkey;"
        "UPDATE person SET place = 'x', team = 99 WHERE name = 'Bob'; DELETE FROM team WHERE id = 2"
    )
    one.sync()
    assert indexes(app, "person") == {(("name", "rank"), 1), (("place",), 0)}
    keys = [(row[3], row[2]) for row in app.execute("PRAGMA foreign_key_list(person)")]
    assert keys == [("place", "place")]
    assert app.execute("SELECT team, place FROM person ORDER BY name").fetchall() == [(1, None), (99, "x")]
    app.execute("DELETE FROM place")
    one.sync()
    assert world.there("SELECT place FROM person ORDER BY name") == [(None,), (None,)]
    assert one.verify().equal
    assert app.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_l2_dropped_and_renamed_ones_wait_for_the_application(world: World) -> None:
    (one, a), (two, b) = world.device("a.db"), world.device("b.db")
    a.execute("UPDATE person SET rank = 'mine', name = 'Eve' WHERE mail = 'a@x'")
    world.alter(
        "ALTER TABLE person DROP COLUMN rank; ALTER TABLE person RENAME COLUMN mail TO email;"
        "ALTER TABLE person RENAME TO human; ALTER TABLE human ADD COLUMN rank int DEFAULT 4"
    )
    one.sync()
    assert [(edit.table, edit.values, edit.code) for edit in one.rejected()] == [
        ("person", {"rank": "mine"}, "column_dropped")
    ]
    b.execute("INSERT INTO person (id, team, name, mail, rank) VALUES"
              " ('00000000-0000-0000-0000-000000000003', 1, 'Cid', 'c@x', 'z')")  # fmt: skip
    two.sync()
    one.sync()
    assert a.execute("SELECT name, mail, rank, rank_2 FROM person ORDER BY mail").fetchall() == [
        ("Eve", "a@x", "mine", 4), ("Bob", "b@x", "y", 4), ("Cid", "c@x", "", 4),
    ]  # fmt: skip
    report = one.upgrade()
    assert report.as_dict() == {
        "tables": {"person": "human"},
        "columns": {"person": {"mail": "email", "rank_2": "rank"}},
        "dropped": {"person": ["rank"]},
        "indexes": [],
        "foreign_keys": [],
        "left": {},
    }
    a.execute("UPDATE human SET rank = 5 WHERE email = 'b@x'")
    one.sync(), two.sync()
    assert b.execute("SELECT rank_2 FROM person WHERE mail = 'b@x'").fetchone() == (5,)
    assert one.verify().equal and two.verify().equal


def test_l2_a_push_right_after_two_columns_changed_names_is_of_the_columns_it_was_made_for(
    world: World,
) -> None:
    """The hub has looked at the tables just before and would not look again for two seconds."""
    replica, app = world.device("a.db")
    app.execute("UPDATE team SET name = 'mine' WHERE id = 1")
    world.run("ALTER TABLE team ADD other varchar(9)")
    replica.sync()
    app.execute("UPDATE team SET other = 'theirs', name = 'RED' WHERE id = 1")
    app.execute("UPDATE team SET name = 'BLUE' WHERE id = 2")
    world.run(
        "ALTER TABLE team RENAME name TO x; ALTER TABLE team RENAME other TO name;"
        " ALTER TABLE team RENAME x TO other"
    )
    for _ in range(3):
        replica.sync()
    assert world.there("SELECT id, other, name FROM team ORDER BY id") == [
        (1, "RED", "theirs"),
        (2, "BLUE", None),
    ]
    assert replica.verify().equal


def test_l2_a_push_right_after_another_table_took_the_name_is_not_written_there(world: World) -> None:
    replica, app = world.device("a.db")
    replica.sync()
    app.execute("UPDATE team SET size = 9 WHERE id = 1")
    world.run("ALTER TABLE team RENAME TO group_; CREATE TABLE team (LIKE group_ INCLUDING ALL);")
    world.run("INSERT INTO team SELECT * FROM group_")
    for _ in range(3):
        replica.sync()
    assert world.there("SELECT size FROM team WHERE id = 1") == [(3,)]
    assert world.there("SELECT size FROM group_ WHERE id = 1") == [(9,)]


def test_l4_a_write_under_a_name_that_is_another_columns_now_reaches_devices(world: World) -> None:
    replica, app = world.device("a.db")
    world.run(
        "ALTER TABLE person RENAME rank TO grade; ALTER TABLE person ADD rank text;"
        " UPDATE person SET grade = 'general' WHERE name = 'Ada'"
    )
    for _ in range(3):
        replica.sync()
    assert replica.verify().equal
    assert app.execute("SELECT count(*) FROM person WHERE rank = 'general'").fetchone() == (1,)


def test_l13_preparing_anew_gives_way_to_others_and_makes_nobody_wait(world: World) -> None:
    """A report is open on a table that was altered: writes of others go on, and so does the sync."""
    replica, app = world.device("a.db")
    world.run("ALTER TABLE person ADD extra text; ALTER TABLE team ADD extra text")
    with psycopg.connect(world.url) as report, psycopg.connect(world.url, autocommit=True) as other:
        report.execute("SELECT count(*) FROM person")
        other.execute("SET lock_timeout = '1s'")
        app.execute("UPDATE team SET size = 8 WHERE id = 2")
        syncing = threading.Thread(target=replica.sync)
        syncing.start()
        for n in range(60):
            other.execute(
                "INSERT INTO person (team, name, mail, rank) VALUES (1, %s, %s, 'x')", (str(n), str(n))
            )
            time.sleep(0.05)
        syncing.join()
        assert world.there("SELECT size FROM team WHERE id = 2") == [(8,)]
    replica.sync()
    time.sleep(2.1)
    replica.sync()
    assert replica.verify().equal
    assert app.execute("SELECT count(extra) FROM person").fetchone() == (0,)


COMPUTED = {
    "made": "timestamptz DEFAULT now()",
    "sure": "timestamptz NOT NULL DEFAULT now()",
    "day": "date DEFAULT CURRENT_DATE",
    "mark": "uuid DEFAULT gen_random_uuid()",
    "local": "timestamp DEFAULT LOCALTIMESTAMP",
}
"""Columns whose defaults SQLite computes, but does not take in ADD COLUMN."""


@pytest.mark.parametrize("forms", [None, "django"])
def test_l8_a_new_column_has_a_computed_default_on_a_device_that_followed_as_on_a_new_one(
    world: World, forms: str | None
) -> None:
    made = syncline.clone(world.hub, world.folder / "a.db", forms=forms)
    app = sqlite3.connect(world.folder / "a.db", isolation_level=None)
    app.execute("INSERT INTO team (id, name, size) VALUES (8, 'waits', 1)")
    columns = ", ".join(f"ADD COLUMN {name} {kind}" for name, kind in COMPUTED.items())
    world.alter(f"ALTER TABLE team {columns}")
    made.sync()
    fresh = syncline.clone(world.hub, world.folder / "b.db", forms=forms)
    new = sqlite3.connect(world.folder / "b.db", isolation_level=None)
    names = ", ".join(COMPUTED)
    texts = ", ".join(f"{name}::text" for name in COMPUTED)
    for n, (file, replica) in enumerate([(app, made), (new, fresh)], 10):
        file.execute(f"INSERT INTO team (id, name, size) VALUES ({n}, 'n{n}', 1)")
        here = file.execute(f"SELECT {names} FROM team WHERE id = {n}").fetchone()
        assert None not in here, file
        report = replica.sync()
        assert report.push is not None and report.push.rejected == ()
        assert None not in world.there(f"SELECT {texts} FROM team WHERE id = {n}")[0]
    made.sync()
    fresh.sync()
    declared = [
        {row[1]: row[4] for row in file.execute("PRAGMA table_info(team)").fetchall()} for file in (app, new)
    ]
    assert declared[0] == declared[1]
    assert app.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert made.verify().equal and fresh.verify().equal
    assert app.execute("SELECT * FROM team ORDER BY id").fetchall() == (
        new.execute("SELECT * FROM team ORDER BY id").fetchall()
    )


DECLARED = [
    ("date", "date NULL", "2024-02-29", "2024-03-01"),
    ("double precision", "real NULL", 0.25, 1.5),
    ("timestamptz", "datetime NULL", "2024-02-29T10:00:00Z", "2024-03-01T10:00:00Z"),
    ("time", "TIME", "10:00:00", "11:00:00"),
    ("boolean", "bool NULL", 1, 0),
    ("uuid", "UUID", "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"),
    ("bytea", "BINARY", b"a", b"b"),
    ("integer", "NUMERIC", 7, 8),
    ("varchar(9)", "", "a", "b"),
]
"""A type of the centre, what a device's program declares for it, a value of the centre and one of the
device."""


def test_l12_the_same_migration_on_a_device_first_is_one_as_programs_declare_it(world: World) -> None:
    one, app = world.device("a.db")
    for place, (_, declared, _, mine) in enumerate(DECLARED):
        app.execute(f"ALTER TABLE team ADD COLUMN c{place} {declared}")
        app.execute(f"UPDATE team SET c{place} = ? WHERE id = 2", (mine,))
    columns = ", ".join(f"ADD COLUMN c{place} {kind[0]}" for place, kind in enumerate(DECLARED))
    world.alter(f"ALTER TABLE team {columns}")
    with psycopg.connect(world.url) as connection:
        sets = ", ".join(f"c{place} = %s" for place in range(len(DECLARED)))
        values = [bool(kind[2]) if kind[0] == "boolean" else kind[2] for kind in DECLARED]
        connection.execute(f"UPDATE team SET {sets} WHERE id = 1".encode(), values)
    one.sync()
    names = ", ".join(f"c{place}" for place in range(len(DECLARED)))
    assert app.execute(f"SELECT {names} FROM team WHERE id = 1").fetchone() == tuple(k[2] for k in DECLARED)
    assert len(app.execute("PRAGMA table_info(team)").fetchall()) == 3 + len(DECLARED)
    sets = ", ".join(f"c{place} = ?" for place in range(len(DECLARED)))
    app.execute(f"UPDATE team SET {sets} WHERE id = 2", [kind[3] for kind in DECLARED])
    report = one.sync()
    assert report.push is not None and report.push.rejected == ()
    assert one.verify().equal


WIDER = [
    ("char(3)", "char(9)", "a", "bcd"),
    ("char(3)", "varchar(3)", "a", "bcd"),
    ("char(3)", "text", "a", "bcd"),
    ("bpchar", "text", "a", "bcd"),
    ("varchar(3)", "varchar(9)", "a ", "bcd"),
    ("varchar(3)", "text", "a ", "bcd"),
    ("varbit(3)", "varbit(6)", "1", "011"),
    ("varbit(3)", "varbit", "1", "011"),
    ("bit(3)", "varbit(6)", "100", "011"),
    ("char(3)[]", "char(9)[]", "{a}", '["b"]'),
    ("numeric(5,2)", "numeric(8,3)", "1.5", "2.250"),
    ("timestamp(0)", "timestamp(3)", "2024-02-29 10:00", "2024-02-29T10:00:00"),
]
"""A type, a wider one, what the centre writes and what a device writes."""


def test_l12_every_wider_type_is_followed_and_what_waits_is_sent(world: World) -> None:
    names = [f"c{place}" for place in range(len(WIDER))]
    columns = ", ".join(f"{name} {one[0]}" for name, one in zip(names, WIDER, strict=True))
    world.alter(f"CREATE TABLE wide (k char(3) PRIMARY KEY, {columns})")
    texts = ", ".join(f"'{one[2]}'" for one in WIDER)
    world.run(f"INSERT INTO wide VALUES ('k1', {texts}), ('k2', {texts})")
    one, app = world.device("a.db")
    sets = ", ".join(f"{name} = '{pair[3]}'" for name, pair in zip(names, WIDER, strict=True))
    app.execute(f"UPDATE wide SET {sets} WHERE k = 'k2'")
    alters = ", ".join(f"ALTER {name} TYPE {pair[1]}" for name, pair in zip(names, WIDER, strict=True))
    world.alter(f"ALTER TABLE wide {alters}, ALTER k TYPE varchar(8)")
    app.execute("INSERT INTO wide (k) VALUES ('longer')")
    report = one.sync()
    assert report.push is not None and report.push.rejected == () and report.pending == 0
    assert not one.status().changed and one.verify().equal
    assert world.there("SELECT k, c0, c1, c2, c6, c10::text FROM wide ORDER BY k") == [
        ("k1", "a" + 8 * " ", "a", "a", "1", "1.500"), ("k2", "bcd" + 6 * " ", "bcd", "bcd", "011", "2.250"),
        ("longer", None, None, None, None, None),
    ]  # fmt: skip


@pytest.mark.parametrize("alteration", ["size TYPE bigint", "name TYPE text"])
def test_a_wider_type_reaches_devices_of_a_hub_that_has_prepared_its_statements(
    world: World, alteration: str
) -> None:
    """The driver prepares what it runs often; PostgreSQL refuses such a statement once its result has
    another type."""
    replica, app = world.device("a.db")
    for turn in range(12):
        world.run(f"UPDATE team SET size = {turn + 10}, name = 'r{turn}' WHERE id = 1")
        app.execute("UPDATE team SET size = size + 1 WHERE id = 2")
        replica.sync()
    world.run(f"ALTER TABLE team ALTER {alteration}")
    time.sleep(2.1)  # the hub looks every two seconds
    column, _, wider = alteration.partition(" TYPE ")
    assert world.hub.schema.table("team").column(column).central == wider
    world.run("UPDATE team SET size = 99, name = 'Red' WHERE id = 1")
    app.execute("UPDATE team SET size = 98 WHERE id = 2")
    report = replica.sync()
    assert report.pending == 0 and report.push is not None and not report.push.rejected
    assert app.execute("SELECT size FROM team ORDER BY id").fetchall() == [(99,), (98,)]
    assert world.there("SELECT size FROM team ORDER BY id") == [(99,), (98,)]
    assert replica.verify().equal


def test_l4_a_table_that_was_made_anew_is_compared_and_every_device_ends_equal(world: World) -> None:
    """Rows that nobody saw go, go on devices; edits that waited are kept."""
    replica, app = world.device("a.db")
    app.execute("UPDATE team SET name = 'mine' WHERE id = 1")
    world.run("DELETE FROM person")
    world.run("CREATE TABLE t2 (LIKE team INCLUDING ALL)")
    world.run("INSERT INTO t2 VALUES (1, 'red', 3), (7, 'seven', 7)")
    world.run("ALTER TABLE person DROP CONSTRAINT person_team_fkey; DROP TABLE team")
    world.run("ALTER TABLE t2 RENAME TO team; ALTER TABLE person ADD FOREIGN KEY (team) REFERENCES team")
    world.hub.init(yes=True)
    done = replica.sync()
    assert done.recovered is not None
    assert done.recovered.reason == "lost"
    assert app.execute("SELECT id, name FROM team").fetchall() == [(1, "mine"), (7, "seven")]
    assert replica.sync().recovered is None
    assert world.there("SELECT id, name FROM team ORDER BY id") == [(1, "mine"), (7, "seven")]
    assert replica.verify().equal


def test_l12_capture_that_cannot_be_made_again_is_said_instead_of_nothing_new(
    postgres_url: str, tmp_path: Path
) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        role = f"hub_{postgres_url.rpartition('/')[2]}"
        admin.execute(f"CREATE ROLE {role} LOGIN")
        try:
            admin.execute(f"GRANT CREATE, TEMPORARY ON DATABASE {role[4:]} TO {role}")
            admin.execute("CREATE TABLE item (id int PRIMARY KEY)")
            admin.execute(f"ALTER TABLE item OWNER TO {role}")
            with syncline.Hub(postgres_url.replace("postgres@", f"{role}@")) as hub:
                hub.init()
                replica = syncline.clone(hub, tmp_path / "a.db")
                admin.execute("ALTER TABLE item OWNER TO postgres")
                admin.execute("ALTER TABLE item DISABLE TRIGGER ALL")
                admin.execute(f"GRANT ALL ON item TO {role}")
                admin.execute("INSERT INTO item VALUES (1)")
                time.sleep(2.1)  # so often the hub looks
                with pytest.raises(DatabaseError) as caught:
                    replica.pull()
                assert caught.value.code == "capture_lost"
                assert "public.item" in caught.value.detail
                admin.execute(f"ALTER TABLE item OWNER TO {role}")
                hub.init()
                replica.sync()
                assert sqlite3.connect(replica.file).execute("SELECT * FROM item").fetchall() == [(1,)]
        finally:
            admin.execute(f"REASSIGN OWNED BY {role} TO postgres")
            admin.execute(f"DROP OWNED BY {role}")
            admin.execute(f"DROP ROLE {role}")


def test_l4_a_push_to_a_table_without_capture_brings_it_back_at_once(world: World) -> None:
    replica, app = world.device("a.db")
    world.hub.schema  # noqa: B018  it has looked, and looks again in two seconds
    world.run("ALTER TABLE team DISABLE TRIGGER syncline_update_0")
    app.execute("UPDATE team SET size = 9 WHERE id = 1")
    assert replica.push().rejected == ()
    world.run("UPDATE team SET size = 8 WHERE id = 2")
    replica.sync()
    assert app.execute("SELECT size FROM team ORDER BY id").fetchall() == [(9,), (8,)]


@pytest.mark.parametrize("change", ["RENAME {} TO y{}", "DROP {}"])
@pytest.mark.parametrize("seconds", ["look", "init", "examine"])
def test_l12_tables_that_others_alter_while_the_hub_looks_at_them_are_looked_at_again(
    world: World, monkeypatch: pytest.MonkeyPatch, change: str, seconds: str
) -> None:
    """Between what is seen of the columns and what is planned with it one of them gets another name, or goes;
    the hub itself looks anew, and no device hears of it."""
    replica, app = world.device("a.db")
    catalogue, made = world.hub.database.catalogue, list[int]()
    reflect = catalogue.reflect

    def others_alter(*args: Any) -> Any:
        found = reflect(*args)
        names = [column.name for column in found.table("team").columns if column.name[0] == "x"]
        if names and len(made) < 6:
            made.append(1)
            world.run(f"ALTER TABLE team {change.format(names[0], len(made))}")
            world.run(f"ALTER TABLE team ADD x{len(made)} int")
        return found

    world.run("ALTER TABLE team ADD x0 int")
    monkeypatch.setattr(catalogue, "reflect", others_alter)
    app.execute("UPDATE team SET size = 98 WHERE id = 2")
    if seconds == "init":
        world.hub.init()
    elif seconds == "examine":
        world.hub.examine()
    else:
        time.sleep(2.1)  # the hub looks every two seconds
    report = replica.sync()
    assert made and report.pending == 0
    assert world.there("SELECT size FROM team WHERE id = 2") == [(98,)]
    assert replica.verify().equal
