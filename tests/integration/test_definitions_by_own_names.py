"""A table that an SQLite centre has new is made on a device by the centre's own CREATE TABLE, whatever it and
its parents are called there: what that says of unique values, checks and the like is so for the application's
writes, too."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import syncline
from tests.support.application import sql

BEFORE = (
    "CREATE TABLE tag (id INTEGER PRIMARY KEY, name TEXT UNIQUE)",
    "CREATE TABLE word (id INTEGER PRIMARY KEY, c TEXT)",
    "INSERT INTO tag VALUES (1, 'a')",
)
BODY = """id INTEGER PRIMARY KEY AUTOINCREMENT, c TEXT COLLATE NOCASE CHECK ({name}.c <> 'no'),
    up TEXT GENERATED ALWAYS AS (upper(c)), above INTEGER REFERENCES {name} (id), {key}, UNIQUE (c)"""


@pytest.mark.parametrize(
    ("changes", "name", "key"),
    [
        (["ALTER TABLE tag RENAME TO label"], "fresh", "t INTEGER REFERENCES label (id)"),
        (["ALTER TABLE tag RENAME TO label"], "fresh", 't INTEGER, FOREIGN KEY (t) REFERENCES "label"'),
        (["ALTER TABLE tag RENAME COLUMN name TO text"], "fresh", "t TEXT REFERENCES tag (text)"),
        (["ALTER TABLE word RENAME TO old"], "word", "t INTEGER REFERENCES old (id)"),
        (
            [
                "ALTER TABLE tag RENAME TO old",
                "ALTER TABLE word RENAME TO tag",
                "ALTER TABLE old RENAME TO word",
            ],
            "fresh",
            "t INTEGER REFERENCES word (id), w TEXT REFERENCES tag (id)",
        ),
    ],
)
def test_a_new_table_has_what_the_centres_definition_says(
    tmp_path: Path, changes: list[str], name: str, key: str
) -> None:
    centre, file = tmp_path / "centre.db", tmp_path / "device.db"
    sql(centre, *BEFORE)
    with syncline.Hub(f"sqlite:///{centre}") as hub:
        hub.init()
        with syncline.clone(hub, file) as device:
            sql(centre, *changes)
            hub.init()
            sql(centre, f"CREATE TABLE {name} ({BODY.format(name=name, key=key)})")
            hub.init()
            device.sync()
            here = f"{name}_2" if name == "word" else name
            check(file, here)
            device.sync()
            assert device.verify().equal and not device.rejected()
            device.upgrade()
            check(file, name)
            device.sync()
            assert device.verify().equal and not device.rejected()
            with syncline.clone(hub, tmp_path / "new.db"):
                assert keys(file, name) == keys(tmp_path / "new.db", name) == keys(centre, name)


def keys(file: Path, table: str) -> list[tuple[str, ...]]:
    return sql(file, f'SELECT "table", "from", "to" FROM pragma_foreign_key_list(\'{table}\') ORDER BY 1, 2')


def check(file: Path, table: str) -> None:
    upsert = f"INSERT INTO {table} (c) VALUES (?) ON CONFLICT (c) DO UPDATE SET c = excluded.c"
    with closing(sqlite3.connect(file)) as app:
        app.execute("PRAGMA foreign_keys = ON")
        with app:
            app.execute(upsert, ("one",))
            app.execute(upsert, ("ONE",))
            app.execute(f"UPDATE {table} SET above = id, t = NULL")
        assert app.execute(f"SELECT c, up FROM {table}").fetchall() == [("ONE", "ONE")]
        with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
            app.execute(f"INSERT INTO {table} (c) VALUES ('no')")
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"), app:
            app.execute(f"INSERT INTO {table} (c, t) VALUES ('two', 77)")
        app.rollback()
        assert (
            "AUTOINCREMENT"
            in app.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
        )
