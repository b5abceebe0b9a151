"""Names and definitions in a file that are not UTF-8: other programs write them, SQLite does not look at
them.

Where they are only looked at they stand in nobody's way (law L13); a file that SQLite cannot read for them
says so under a code (law L12)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import syncline
from syncline.errors import SchemaError, StoreDamaged, SynclineError
from syncline.replica.examine import examine
from tests.support.application import sql

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER DEFAULT 0, v TEXT)"
WRITES = "UPDATE t SET n = n + 1 WHERE v = 'caf\xe9'"
UNDOES = "SELECT RAISE(ROLLBACK, 'no')"
OWN = {
    "table": "CREATE TABLE own (a INTEGER PRIMARY KEY REFERENCES t (id), b TEXT /* caf\xe9 */)",
    "name": "CREATE TABLE caf\xe9 (a INTEGER PRIMARY KEY REFERENCES t (id))",
    "column": "CREATE TABLE own (a INTEGER PRIMARY KEY, caf\xe9 INTEGER REFERENCES t (id))",
    "view": "CREATE VIEW caf\xe9 AS SELECT 'caf\xe9' AS a",
    "index": "CREATE INDEX i ON t (v) WHERE v = 'caf\xe9'",
    "unique index": "CREATE UNIQUE INDEX caf\xe9 ON t (v) WHERE v > 'caf\xe9'",
    "trigger": "CREATE TRIGGER caf\xe9 AFTER INSERT ON t BEGIN SELECT 'caf\xe9'; END",
    "writing trigger": f"CREATE TRIGGER i AFTER INSERT ON t BEGIN {WRITES}; END",
    "trigger that rolls back": "CREATE TRIGGER i AFTER INSERT ON t WHEN new.v = 'caf\xe9'"
    f" BEGIN {UNDOES}; END",
}


class Place:
    """A centre and a device file of it."""

    def __init__(self, folder: Path) -> None:
        self.centre, self.device = folder / "centre.db", folder / "device.db"
        sql(self.centre, TABLE, "INSERT INTO t VALUES (1, 0, 'x')")
        self.hub = syncline.Hub(f"sqlite:///{self.centre}", {"t": syncline.Table()})
        self.hub.init()
        syncline.clone(self.hub, self.device).close()

    def sync(self) -> None:
        with syncline.connect(self.device, self.hub) as replica:
            replica.sync()
            replica.status()
            replica.verify()
            list(map(str, [*replica.log(), *replica.rejected(), *replica.waiting(), *examine(self.device)]))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path)
    yield found
    found.hub.close()


def latin1(file: Path, statement: str) -> bytes:
    """Make an object whose text is in Latin-1, as a program of C would; what the file has of it then."""
    plain = statement.replace("\xe9", "E9")
    sql(file, plain)
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        for column in ("sql", "name", "tbl_name"):
            connection.execute(
                f"UPDATE sqlite_master SET {column} = CAST(replace({column}, 'E9', x'e9') AS TEXT)"
                f" WHERE {column} LIKE '%cafE9%'"
            )
        connection.execute("PRAGMA writable_schema = RESET")
    kept = definitions(file)
    assert b"\xe9" in kept
    return kept


def definitions(file: Path) -> bytes:
    """What others than Syncline have defined."""
    with closing(sqlite3.connect(file)) as connection:
        connection.text_factory = bytes
        rows = connection.execute(
            "SELECT name, tbl_name, sql FROM sqlite_master WHERE name NOT GLOB '_sync_*' ORDER BY 1"
        ).fetchall()
    return b"\n".join(part or b"" for row in rows for part in row)


@pytest.mark.parametrize("kind", OWN)
def test_l13_what_the_application_defines_in_latin_1_stands_in_nobodys_way(place: Place, kind: str) -> None:
    kept = latin1(place.device, OWN[kind])
    sql(place.device, "INSERT INTO t VALUES (2, 0, 'mine')")
    sql(
        place.centre,
        "INSERT INTO t VALUES (3, 0, 'theirs'), (4, 0, 'a')",
        "UPDATE t SET v = 'y' WHERE id = 1",
    )
    place.sync()
    assert sql(place.device, "SELECT * FROM t") == sql(place.centre, "SELECT * FROM t")
    assert len(sql(place.centre, "SELECT * FROM t")) == 4
    assert definitions(place.device) == kept


@pytest.mark.parametrize("kind", ["table", "name", "column", "view"])
def test_l13_nor_does_it_in_the_centre(place: Place, kind: str) -> None:
    latin1(place.centre, OWN[kind])
    sql(place.device, "INSERT INTO t VALUES (2, 0, 'mine')")
    place.sync()
    place.hub.init()
    assert not [one for one in place.hub.examine() if one.level == "trouble"]
    assert len(sql(place.centre, "SELECT * FROM t")) == 2


def test_l12_a_table_of_the_centre_whose_definition_no_device_can_have_is_named(tmp_path: Path) -> None:
    latin1(tmp_path / "centre.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT DEFAULT 'caf\xe9')")
    hub = syncline.Hub(f"sqlite:///{tmp_path}/centre.db", {"t": syncline.Table()})
    with hub, pytest.raises(SchemaError, match=r"t: .*not UTF-8"):
        hub.init()


GUARD = "CREATE TRIGGER i BEFORE {} ON t WHEN new.v = 'bad' BEGIN SELECT RAISE(ABORT, 'caf\xe9'); END"


def test_l12_a_row_that_a_trigger_of_the_device_refuses_in_latin_1_waits_and_is_named(place: Place) -> None:
    latin1(place.device, GUARD.format("UPDATE"))
    sql(place.centre, "UPDATE t SET v = 'bad'", "INSERT INTO t VALUES (2, 0, 'y')")
    place.sync()
    with syncline.connect(place.device, place.hub) as replica:
        (waiting,) = replica.waiting()
    assert "trigger i" in str(waiting) and "caf\ufffd" in str(waiting)
    assert sql(place.device, "SELECT id, v FROM t") == [(1, "x"), (2, "y")]


def test_l12_a_row_that_a_trigger_of_the_centre_refuses_in_latin_1_is_rejected(place: Place) -> None:
    latin1(place.centre, GUARD.format("INSERT"))
    sql(place.device, "INSERT INTO t VALUES (2, 0, 'bad'), (3, 0, 'good')")
    place.sync()
    with syncline.connect(place.device, place.hub) as replica:
        (rejected,) = replica.rejected()
    assert rejected.key == (2,) and "caf\ufffd" in str(rejected)
    assert sql(place.centre, "SELECT id FROM t") == [(1,), (3,)]


def test_l12_every_damaged_byte_of_a_definition_ends_in_a_code(place: Place, tmp_path: Path) -> None:
    sql(place.device, "CREATE UNIQUE INDEX u ON t (v) WHERE v > 'q'", "PRAGMA journal_mode = DELETE")
    whole, codes = place.device.read_bytes(), set[str]()
    for name in ("t", "u", "_sync_state", "_sync_0_insert"):
        ((text,),) = sql(place.device, f"SELECT sql FROM sqlite_master WHERE name = '{name}'")
        body = text.encode()
        for at in range(0, len(body), 1 + len(body) // 15):
            for end in ("-wal", "-shm"):
                Path(f"{place.device}{end}").unlink(missing_ok=True)
            place.device.write_bytes(whole)
            redefine(place.device, name, body[:at] + b"\xe9" + body[at + 1 :])
            for do in (place.sync, lambda: examine(place.device)):
                try:
                    do()
                except SynclineError as error:
                    assert error.code != "internal" and error.remedy, str(error)
                    codes.add(error.code)
    assert StoreDamaged.code in codes


def redefine(file: Path, name: str, text: bytes) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = CAST(? AS TEXT) WHERE name = ?", (text, name))
