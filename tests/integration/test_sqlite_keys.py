"""A unique index as the key of a table of a SQLite centre that has no primary key."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import syncline
from syncline.errors import SchemaError

TABLES = {
    "inline": "CREATE TABLE x (a INT NOT NULL, b TEXT NOT NULL CHECK (b <> ''), c INT, UNIQUE (a, b))",
    "outside": "CREATE TABLE x (a INT NOT NULL, b TEXT NOT NULL CHECK (b <> ''), c INT -- a number\n);"
    "CREATE UNIQUE INDEX x_key ON x (b, a)",
}


def centre_of(folder: Path, ddl: str) -> sqlite3.Connection:
    centre = sqlite3.connect(folder / "centre.db", isolation_level=None)
    centre.executescript(
        f"{ddl}; CREATE TABLE loose (a INT UNIQUE, b INT);"
        "CREATE TABLE folded (a TEXT COLLATE NOCASE NOT NULL UNIQUE);"
    )
    centre.executescript(
        "CREATE TABLE item (id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE);"
        "CREATE TABLE part (a INT NOT NULL, b INT NOT NULL); CREATE UNIQUE INDEX p ON part (a) WHERE b > 0;"
        "CREATE TABLE line (id INTEGER PRIMARY KEY, a INT, b TEXT, FOREIGN KEY (a, b) REFERENCES x (a, b));"
        "INSERT INTO x VALUES (1, 'one', 1), (1, 'two', 2); INSERT INTO line VALUES (1, 1, 'one')"
    )
    return centre


@pytest.mark.parametrize("kind", TABLES)
def test_a_unique_index_is_the_key_of_a_table_without_one(tmp_path: Path, kind: str) -> None:
    url = f"sqlite:///{tmp_path / 'centre.db'}"
    with closing(centre_of(tmp_path, TABLES[kind])) as centre:
        tables = {"x": syncline.Table(key=["b", "a"]), "line": syncline.Table()}
        with syncline.Hub(url, tables) as hub:
            hub.init()
            assert hub.init().statements == []
            assert set(hub.schema.table("x").key) == {"a", "b"}
            with (
                syncline.clone(hub, tmp_path / "a.db") as device,
                syncline.clone(hub, tmp_path / "b.db") as other,
                closing(sqlite3.connect(device.file, isolation_level=None)) as app,
            ):
                app.execute("PRAGMA foreign_keys = ON")
                app.execute("UPDATE x SET c = 9 WHERE b = 'one'")
                app.execute("INSERT INTO x VALUES (2, 'one', 3)")
                app.execute("INSERT INTO line VALUES (2, 2, 'one')")
                app.execute("DELETE FROM x WHERE b = 'two'")
                app.execute("REPLACE INTO x VALUES (1, 'one', 10)")
                with pytest.raises(sqlite3.IntegrityError):
                    app.execute("INSERT INTO x VALUES (2, 'one', 4)")
                with pytest.raises(sqlite3.IntegrityError):
                    app.execute("INSERT INTO x VALUES (3, '', 4)")
                report = device.sync()
                assert (report.push.rejected, report.push.conflicts) == ((), 0)
                centre.execute("UPDATE x SET c = 11 WHERE a = 2")
                centre.execute("REPLACE INTO x VALUES (1, 'one', 12)")
                centre.execute("INSERT INTO x VALUES (5, 'five', 5); ")
                centre.execute("UPDATE x SET a = 6 WHERE a = 5")
                for one in (device, other):
                    one.sync()
                    assert one.verify().equal
                rows = "SELECT a, b, c FROM x ORDER BY a"
                expected = [(1, "one", 12), (2, "one", 11), (6, "five", 5)]
                assert centre.execute(rows).fetchall() == app.execute(rows).fetchall() == expected
        with syncline.Hub(url) as hub:  # a configuration that says nothing of it keeps the key
            hub.init()
            assert set(hub.schema.table("x").key) == {"a", "b"}
        centre.execute("ALTER TABLE x RENAME COLUMN b TO bb")
        with syncline.Hub(url, tables) as hub:
            hub.init()
            assert set(hub.schema.table("x").key) == {"a", "bb"}


@pytest.mark.parametrize(
    ("table", "key", "said"),
    [
        ("x", ["a"], "no unique index on exactly"),
        ("part", ["a"], "no unique index on exactly"),
        ("loose", ["a"], "create it anew with a NOT NULL"),
        ("folded", ["a"], "a collation in its key"),
        ("item", ["code"], "has a primary key"),
    ],
)
def test_what_cannot_be_a_key_is_refused_with_the_reason(
    tmp_path: Path, table: str, key: list[str], said: str
) -> None:
    centre_of(tmp_path, TABLES["inline"]).close()
    with syncline.Hub(f"sqlite:///{tmp_path / 'centre.db'}", {table: syncline.Table(key=key)}) as hub:
        with pytest.raises(SchemaError, match=said):
            hub.init()
        with pytest.raises(SchemaError, match=said):
            hub.check()


def test_a_table_that_loses_its_key_takes_no_part_until_it_has_one_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'centre.db'}"
    with (
        closing(centre_of(tmp_path, TABLES["outside"])) as centre,
        syncline.Hub(url, {"x": syncline.Table(key=["a", "b"])}) as hub,
    ):
        hub.init()
        with syncline.clone(hub, tmp_path / "a.db") as device:
            centre.execute("DROP INDEX x_key")
            centre.execute("INSERT INTO x VALUES (7, 'seven', 7)")
            device.sync()
            assert hub.schema.tables == ()
            (lost,) = [finding for finding in hub.examine() if finding.level == "trouble"]
            assert lost.code == SchemaError.code and "no unique index" in lost.sentence
            centre.execute("CREATE UNIQUE INDEX x_key ON x (a, b)")
            hub.init()
            device.sync()
            assert device.verify().equal
            with closing(sqlite3.connect(device.file)) as app:
                assert app.execute("SELECT count(*) FROM x").fetchone() == (3,)
