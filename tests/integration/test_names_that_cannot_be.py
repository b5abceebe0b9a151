"""A table or column of the centre with a name that no device can have takes its own table out of service, and
no other; what was there first goes on (law L12, README)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import syncline
from syncline.errors import SchemaError
from tests.support.application import sql
from tests.support.either import centre_with, run

OTHER = ("CREATE TABLE other (id INTEGER PRIMARY KEY, v TEXT)", "INSERT INTO other VALUES (1, 'a')")
Centre = Callable[..., str]


@pytest.fixture
def postgres(request: pytest.FixtureRequest, tmp_path: Path) -> Centre:
    return lambda *statements: centre_with(request, "postgresql", tmp_path, *statements)


def works(hub: syncline.Hub, file: Path, word: str) -> syncline.SyncReport:
    """An edit of the other table arrives."""
    with closing(sqlite3.connect(file)) as device, device:
        device.execute("UPDATE other SET v = ?", (word,))
    hub._follower.look_now()
    with syncline.connect(file, hub=hub) as replica:
        report = replica.sync()
        assert replica.verify().equal
    return report


def notes(hub: syncline.Hub) -> list[str]:
    """What `init` says of tables that are left out; `doctor` says the same."""
    said = [note for note in hub.init().notes if note.startswith("left out")]
    assert said == [one.sentence for one in hub.examine() if one.code == "not_taking_part"]
    return said


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("name", ["_sync_at", "sqlite_id", "SQLite_x"])
@pytest.mark.parametrize("is_key", [True, False])
def test_l12_a_column_with_a_reserved_name(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, name: str, is_key: bool
) -> None:
    url = centre_with(request, kind, tmp_path, "CREATE TABLE item (id INTEGER PRIMARY KEY, v TEXT)", *OTHER)
    with syncline.Hub(url) as hub:
        hub.init()
        syncline.clone(hub, tmp_path / "d.db").close()
        run(url, f'ALTER TABLE item RENAME COLUMN {"id" if is_key else "v"} TO "{name}"')
        works(hub, tmp_path / "d.db", "mine")
        (note,) = notes(hub)
        assert f"has a column, '{name}', whose name is reserved on devices" in note and "rename it" in note
        syncline.clone(hub, tmp_path / "e.db").close()
        named = syncline.Hub(url, {"item": syncline.Table()})
        with named, pytest.raises(SchemaError, match="reserved on devices"):
            named.init()
        run(url, f'ALTER TABLE item RENAME COLUMN "{name}" TO {"id" if is_key else "v"}')
        hub._follower.look_now()
        assert [table.name for table in hub.schema.tables] == ["item", "other"]
        works(hub, tmp_path / "d.db", "again")


@pytest.mark.parametrize("schema", ["sqlite", "_sync_", "SQLITE"])
def test_l12_a_schema_and_a_table_that_make_a_reserved_name(
    postgres: Centre, tmp_path: Path, schema: str
) -> None:
    url = postgres("CREATE TABLE x (id INTEGER PRIMARY KEY)", *OTHER)
    with syncline.Hub(url) as hub:
        hub.init()
        syncline.clone(hub, tmp_path / "d.db").close()
        run(url, f'CREATE SCHEMA "{schema}"', f'CREATE TABLE "{schema}".x (id INTEGER PRIMARY KEY)')
        works(hub, tmp_path / "d.db", "mine")
        assert [table.name for table in hub.schema.tables] == ["other", "x"]
        (note,) = notes(hub)
        assert f"{schema}.x: would be called {schema}_x on devices, which is reserved" in note


TWINS = {
    "made": ('CREATE TABLE "A" (id INTEGER PRIMARY KEY)', 'DROP TABLE "A"', "public.A"),
    "renamed": ('ALTER TABLE b RENAME TO "A"', 'ALTER TABLE "A" RENAME TO b', "public.A"),
    "traded": (
        'ALTER TABLE a RENAME TO "A"; CREATE TABLE a (id INTEGER PRIMARY KEY)',
        'DROP TABLE a; ALTER TABLE "A" RENAME TO a',
        "public.a",
    ),
    "of two names": (
        "CREATE TABLE public_a (id INTEGER PRIMARY KEY); CREATE SCHEMA s;"
        " CREATE TABLE s.a (id INTEGER PRIMARY KEY)",
        "DROP TABLE s.a",
        "s.a",
    ),
}


@pytest.mark.parametrize("are_named", [False, True])
@pytest.mark.parametrize("how", TWINS)
def test_l12_a_table_whose_name_another_one_has_on_devices(
    postgres: Centre, tmp_path: Path, how: str, are_named: bool
) -> None:
    """The newcomer is left out; with tables of the configuration's nobody looks at others."""
    change, undo, newcomer = TWINS[how]
    url = postgres(
        "CREATE TABLE a (id INTEGER PRIMARY KEY)", "CREATE TABLE b (id INTEGER PRIMARY KEY)", *OTHER
    )
    tables = {name: syncline.Table() for name in ("a", "b", "other")} if are_named else None
    with syncline.Hub(url, tables) as hub:
        hub.init()
        syncline.clone(hub, tmp_path / "d.db").close()
        first = hub.schema
        run(url, change)
        assert not works(hub, tmp_path / "d.db", "mine").push.rejected
        kept = {table.number for table in hub.schema.tables}
        assert first.number_of("a") in kept and first.number_of("other") in kept
        with syncline.Hub(url, tables) as fresh:
            works(fresh, tmp_path / "d.db", "fresh")
            if not are_named:
                (note,) = notes(fresh)
                assert note.startswith(f"left out {newcomer}: ") and note.endswith("; rename it")
                assert kept == {table.number for table in hub.schema.tables}
        run(url, undo)
        works(hub, tmp_path / "d.db", "undone")
        assert {"a", "b", "other"} <= {table.name for table in hub.schema.tables}


@pytest.mark.parametrize(
    ("first", "second"), [("é", "É"), ("k", "\u212a"), ("straße", "STRASSE"), ("ı", "I")]
)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_l12_names_that_sqlite_tells_apart_are_two(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, first: str, second: str
) -> None:
    """Tables, and columns of one of them."""
    url = centre_with(
        request, kind, tmp_path, f'CREATE TABLE "{first}" (id INTEGER PRIMARY KEY, "{first}" TEXT)', *OTHER
    )
    with syncline.Hub(url) as hub:
        hub.init()
        syncline.clone(hub, tmp_path / "d.db").close()
        run(
            url,
            f'CREATE TABLE "{second}" (id INTEGER PRIMARY KEY, "{first}" TEXT, "{second}" TEXT)',
            f'ALTER TABLE "{first}" ADD COLUMN "{second}" TEXT',
        )
        works(hub, tmp_path / "d.db", "mine")
        assert notes(hub) == []
        for table in (first, second):
            sql(tmp_path / "d.db", f"INSERT INTO \"{table}\" VALUES (7, '{table}', 'here')")
        works(hub, tmp_path / "d.db", "both")
        with syncline.clone(hub, tmp_path / "e.db") as other, closing(sqlite3.connect(other.file)) as device:
            for table in (first, second):
                row = f'SELECT "{first}", "{second}" FROM "{table}" WHERE id = 7'
                assert device.execute(row).fetchall() == [(table, "here")]
            assert other.verify().equal


ODD = {
    "a unique generated column": (
        "CREATE TABLE p (id INTEGER PRIMARY KEY, v TEXT, g TEXT AS (v || v) UNIQUE)",
        True,
    ),
    "a column twice in an index": ("CREATE TABLE p (id INTEGER PRIMARY KEY, v TEXT, UNIQUE (v, v))", True),
    "a foreign key of a generated column": (
        "CREATE TABLE p (id INTEGER PRIMARY KEY, v TEXT, g INTEGER AS (1) REFERENCES other (id))",
        False,
    ),
    "an empty name": ('CREATE TABLE p (id INTEGER PRIMARY KEY, "" TEXT)', False),
    "a long name": (f"CREATE TABLE p (id INTEGER PRIMARY KEY, {'v' * 501} TEXT)", False),
    "a function of its own": (
        "CREATE TABLE p (id INTEGER PRIMARY KEY, v TEXT DEFAULT (hex(zeroblob(1 << 30))))",
        False,
    ),
}


@pytest.mark.parametrize("what", ODD)
def test_l12_a_table_of_a_sqlite_centre_that_no_device_would_take(tmp_path: Path, what: str) -> None:
    """It is left out; what a device does take is not."""
    ddl, takes_part = ODD[what]
    sql(tmp_path / "central.db", *OTHER)
    with syncline.Hub(f"sqlite:///{tmp_path / 'central.db'}") as hub:
        hub.init()
        syncline.clone(hub, tmp_path / "d.db").close()
        sql(tmp_path / "central.db", ddl)
        works(hub, tmp_path / "d.db", "mine")
        assert [note.split(": ")[0] for note in notes(hub)] == ([] if takes_part else ["left out p"])
        assert [table.name for table in hub.schema.tables] == (["other", "p"] if takes_part else ["other"])
