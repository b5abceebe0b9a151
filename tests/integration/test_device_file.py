"""A device file is the application's: its own objects against a hub, end to end (laws L5, L12, L13)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import syncline
from syncline import Replica, SyncReport
from syncline.errors import StoreDamaged, StoreError, SynclineError
from syncline.replica.examine import examine
from tests.support.application import sql


class Place:
    """A centre and a device, both plain files to the programs that use them."""

    def __init__(
        self, folder: Path, ddl: str, *rows: str, tables: dict[str, syncline.Table] | None = None
    ) -> None:
        self.folder, self.centre = folder, folder / "central.db"
        self.run(ddl, *rows)
        self.hub = syncline.Hub(f"sqlite:///{self.centre}", tables)
        self.hub.init()
        self.file = self.folder / "device.db"
        syncline.clone(self.hub, self.file).close()

    def run(self, *statements: str) -> list[Any]:
        return sql(self.centre, *statements)

    def app(self, *statements: str) -> list[Any]:
        return sql(self.file, *statements)

    def open(self, **options: Any) -> Replica:
        return syncline.connect(self.file, hub=self.hub, **options)

    def sync(self, **options: Any) -> SyncReport:
        with self.open(**options) as replica:
            return replica.sync()

    def equal(self) -> bool:
        with self.open() as replica:
            return replica.verify().equal


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path


def test_what_a_held_row_shows_is_edited_without_having_seen_what_it_hides_l2(folder: Path) -> None:
    place = Place(
        folder,
        "CREATE TABLE o (id INTEGER PRIMARY KEY, e TEXT UNIQUE)",
        "INSERT INTO o VALUES (1,'A'),(2,'B')",
    )
    place.app(
        "CREATE TRIGGER guard BEFORE UPDATE ON o WHEN NEW.e = 'news' BEGIN SELECT RAISE (ABORT, 'no'); END"
    )
    place.run("UPDATE o SET e = 'news' WHERE id = 1")
    (row,) = place.sync().pull.waiting
    assert (row.table, row.key, row.object) == ("o", (1,), "trigger guard")
    place.run("UPDATE o SET e = 'C' WHERE id = 2")
    place.sync()
    assert place.app("SELECT e FROM o ORDER BY id") == [("A",), ("C",)] and not place.equal()
    place.app("UPDATE o SET e = 'mine' WHERE id = 1")
    report = place.sync()
    assert report.push.conflicts == 1
    with place.open() as replica:
        (note,) = replica.conflicts()
    assert (note.base, note.sent, note.hub) == ("A", "mine", "news")
    assert place.run("SELECT e FROM o WHERE id = 1") == [("mine",)] and place.equal()


@pytest.mark.parametrize("where", ["a row of the application's", "a trigger"])
def test_a_counter_counts_once_while_what_the_centre_has_of_its_row_waits_l2(
    folder: Path, where: str
) -> None:
    """The centre's name for the row finds no place on the device; its count waits with the name."""
    ddl = "CREATE TABLE o (id INTEGER PRIMARY KEY, name TEXT UNIQUE, n INTEGER)"
    sums = {"o": syncline.Table(merge={"n": "sum"})}
    place = Place(folder, ddl, "INSERT INTO o VALUES (1, 'a', 20)", tables=sums)
    if where == "a trigger":
        place.app("CREATE TRIGGER guard BEFORE UPDATE OF name ON o BEGIN SELECT RAISE (ABORT, 'no'); END")
    else:
        place.app("INSERT INTO o VALUES (2, 'c', 0)")
    place.app("UPDATE o SET n = n + 1 WHERE id = 1")
    place.run("UPDATE o SET name = 'c', n = 30 WHERE id = 1")
    with place.open() as replica:
        for _ in range(3):
            replica.pull()
            assert place.app("SELECT * FROM o WHERE id = 1") == [(1, "a", 21)]
        replica.sync()
    assert place.run("SELECT * FROM o") == [(1, "c", 31)]
    if where == "a trigger":
        place.app("DROP TRIGGER guard")
    place.sync()
    assert place.app("SELECT * FROM o") == [(1, "c", 31)] and place.equal()


def test_rows_that_a_replace_removed_by_an_index_that_is_new_are_removed_in_the_centre(folder: Path) -> None:
    place = Place(
        folder, "CREATE TABLE t (id INTEGER PRIMARY KEY, email TEXT)", "INSERT INTO t VALUES (1,'a')"
    )
    place.app("CREATE UNIQUE INDEX u ON t (email)", "INSERT OR REPLACE INTO t VALUES (7,'a')")
    report = place.sync()
    assert place.run("SELECT * FROM t") == [(7, "a")] == place.app("SELECT * FROM t")
    assert [(one.table, one.deleted) for one in report.regained] == [("t", 1)]
    assert place.equal()
    place.app("CREATE UNIQUE INDEX v ON t (email, id)")
    assert place.sync().regained == ()  # nothing was written since: nothing can have been removed


def test_a_row_that_waits_is_not_taken_for_deleted_where_a_table_is_compared(folder: Path) -> None:
    place = Place(
        folder,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)",
        "INSERT INTO t VALUES (1,'a'),(2,'b'),(3,'c')",
    )
    place.app("CREATE UNIQUE INDEX own ON t (a)")
    place.run("INSERT INTO t VALUES (4, 'a')", "UPDATE t SET a = 'b' WHERE id = 3")
    assert {row.key for row in place.sync().pull.waiting} == {(3,), (4,)}
    place.app(
        "CREATE TABLE new (id INTEGER PRIMARY KEY, a TEXT)",
        "INSERT INTO new SELECT * FROM t",
        "DROP TABLE t",
        "ALTER TABLE new RENAME TO t",
        "CREATE UNIQUE INDEX own ON t (a)",
    )
    place.sync()
    assert place.run("SELECT * FROM t") == [(1, "a"), (2, "b"), (3, "b"), (4, "a")]
    place.app("DROP INDEX own")
    place.sync()
    assert place.equal()


def test_a_table_that_syncline_cannot_write_is_refused_before_anything_is_made(folder: Path) -> None:
    place = Place(
        folder, "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)", "INSERT INTO t VALUES (1,'a')"
    )
    own = folder / "own.db"
    with closing(sqlite3.connect(own, isolation_level=None)) as connection:
        connection.create_collation("LOCALIZED", lambda x, y: (x > y) - (x < y))
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT COLLATE LOCALIZED)")
        connection.execute("CREATE INDEX i ON t (name)")
    with syncline.connect(own, hub=place.hub) as replica, pytest.raises(SynclineError) as refused:
        replica.track("t")
    assert refused.value.code == "device_constraint" and "LOCALIZED" in refused.value.detail
    assert sql(own, "SELECT name FROM sqlite_master ORDER BY name") == [("i",), ("t",)]


@pytest.mark.parametrize("where", ["hub", "table", "device"])
def test_local_rows_is_chosen_in_the_centre_or_on_the_device(folder: Path, where: str) -> None:
    ddl = "CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT)"
    sql(folder / "central.db", ddl, "INSERT INTO customer VALUES (1,'a'),(2,'b')")
    limits = syncline.Hub(f"sqlite:///{folder / 'central.db'}").limits
    if where == "hub":
        limits = type(limits)(local_rows={"*": "cascade"})
    tables = {"customer": syncline.Table(local_rows="cascade" if where == "table" else None)}
    place = Place.__new__(Place)
    place.folder, place.centre, place.file = folder, folder / "central.db", folder / "device.db"
    place.hub = syncline.Hub(f"sqlite:///{place.centre}", tables, limits=limits)
    place.hub.init()
    syncline.clone(place.hub, place.file).close()
    place.app("CREATE TABLE favourite (customer INTEGER NOT NULL REFERENCES customer)")
    place.app("INSERT INTO favourite VALUES (2)")
    place.run("DELETE FROM customer WHERE id = 2")
    if where == "device":
        (row,) = place.sync().pull.waiting
        assert (row.key, row.object) == ((2,), "foreign key of favourite")
        with pytest.raises(SynclineError, match="refuse, cascade or null"):
            place.sync(local_rows="keep")
    assert place.sync(**({"local_rows": "cascade"} if where == "device" else {})).pull.waiting == ()
    assert place.app("SELECT * FROM favourite") == [] and place.equal()


def test_a_sync_with_nothing_new_looks_at_no_rows(folder: Path) -> None:
    ddl = "CREATE TABLE o (id INTEGER PRIMARY KEY, e TEXT UNIQUE)"
    place = Place(folder, ddl, "INSERT INTO o VALUES (1, 'A')")
    with place.open() as replica:
        replica.sync()
        made = replica._store.rows("SELECT name FROM temp.sqlite_master WHERE name GLOB '_sync_keys_*'")
    assert made == []


def test_a_row_that_is_held_back_differs_and_is_said_to_be_held_and_repair_only_tries_it_again(
    folder: Path,
) -> None:
    place = Place(
        folder,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)",
        "INSERT INTO t VALUES (1,'a'),(2,'b')",
    )
    place.app("CREATE UNIQUE INDEX own ON t (a)")
    place.run("UPDATE t SET a = 'b' WHERE id = 1")
    place.sync()
    with place.open() as replica:
        (difference,) = replica.verify(repair=True).left
        assert (difference.key, difference.kind, difference.held) == ((1,), "differs", True)
        place.app("DROP INDEX own")
        assert replica.verify(repair=True).equal
        assert replica.conflicts() == []


def test_an_application_that_read_before_a_sync_and_writes_after_it_has_to_begin_again(folder: Path) -> None:
    """As docs/device.md says: no patience helps, and BEGIN IMMEDIATE does."""
    place = Place(folder, "CREATE TABLE o (id INTEGER PRIMARY KEY, e TEXT)", "INSERT INTO o VALUES (1, 'a')")
    with closing(sqlite3.connect(place.file, isolation_level=None, timeout=60)) as app:
        app.execute("BEGIN")
        assert app.execute("SELECT e FROM o").fetchall() == [("a",)]
        place.run("UPDATE o SET e = 'b'")
        place.sync()
        with pytest.raises(sqlite3.OperationalError) as caught:
            app.execute("UPDATE o SET e = e || '!'")
        assert caught.value.sqlite_errorname == "SQLITE_BUSY_SNAPSHOT"
        app.execute("ROLLBACK")
        app.execute("BEGIN IMMEDIATE")
        assert app.execute("SELECT e FROM o").fetchall() == [("b",)]
        app.execute("UPDATE o SET e = e || '!'")
        app.execute("COMMIT")
    place.sync()
    assert place.run("SELECT e FROM o") == [("b!",)]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Of the file that was asked for; not that a lock file beside it could not be written."""
    with pytest.raises(StoreError) as caught:
        syncline.clone("http://127.0.0.1:9", tmp_path / "nope" / "x.db")
    assert caught.value.code == "store"
    assert "-sync" not in caught.value.detail
    assert str(tmp_path / "nope") in caught.value.detail
    assert "folder" in caught.value.remedy


@pytest.mark.parametrize(
    "altered",
    [
        "_sync_state SET schema = '{'",
        "_sync_state SET schema = 'null'",
        '_sync_state SET schema = \'{"tables": [7], "used": 0}\'',
        "_sync_state SET names = '[]'",
        "_sync_state SET retired = '{}'",
        "_sync_state SET forms = '7'",
        "_sync_state SET limits = 'nonsense'",
        '_sync_state SET limits = \'{"bytes": "many"}\'',
        "_sync_state SET former = '['",
        "_sync_state SET recovery = '{'",
        "_sync_rejected SET edit = x'c1'",
        "_sync_rejected SET key = x'92'",
    ],
)
def test_l12_what_somebody_altered_in_syncline_s_own_tables_is_said_and_is_no_traceback(
    tmp_path: Path, altered: str
) -> None:
    place = Place(tmp_path, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER CHECK (n < 10))")
    place.run("INSERT INTO t VALUES (1, 1)")
    place.app("INSERT INTO t VALUES (1, 2)")
    place.sync()
    with place.open() as replica:
        assert [one.code for one in replica.rejected()] == ["key_taken"]
    place.app(f"UPDATE {altered}")
    with pytest.raises(StoreDamaged) as caught, place.open() as replica:
        replica.status()
        replica.rejected()
        replica.sync()
    assert "clone again" in caught.value.remedy and str(caught.value.detail)
    if "rejected" not in altered:
        assert "store_damaged" in {one.code for one in examine(place.file) if one.level == "trouble"}
    place.hub.close()
