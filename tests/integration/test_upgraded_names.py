"""`upgrade` gives a file the names of the centre, also those that SQLite takes for the ones that it has."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import syncline
from tests.support.application import sql
from tests.support.either import centre_with, run


def names(file: Path) -> set[str]:
    with closing(sqlite3.connect(file)) as device:
        rows = device.execute("SELECT name, sql FROM sqlite_master WHERE name NOT GLOB '_sync_*'")
        return {name for name, ddl in rows if ddl and ddl.startswith("CREATE TABLE")}


def test_names_that_differ_in_case_alone(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Of a table, of a column, and of tables that trade theirs."""
    url = centre_with(
        request,
        "postgresql",
        tmp_path,
        "CREATE TABLE item (id INTEGER PRIMARY KEY, v TEXT, up INTEGER REFERENCES item)",
        "CREATE TABLE a (id INTEGER PRIMARY KEY, item INTEGER REFERENCES item)",
        "CREATE TABLE b (id INTEGER PRIMARY KEY)",
    )
    with syncline.Hub(url) as hub:
        hub.init()
        with syncline.clone(hub, tmp_path / "d.db") as replica:
            run(
                url,
                'ALTER TABLE item RENAME TO "Item"',
                'ALTER TABLE "Item" RENAME COLUMN v TO "V"',
                "ALTER TABLE a RENAME TO x",
                'ALTER TABLE b RENAME TO "A"',
                'ALTER TABLE x RENAME TO "B"',
            )
            hub.init()
            sql(tmp_path / "d.db", "INSERT INTO item VALUES (1, 'mine', 1)", "INSERT INTO a VALUES (1, 1)")
            replica.sync()
            planned = replica.preview_upgrade()
            report = replica.upgrade()
            assert report == planned and report.tables == {"item": "Item", "a": "B", "b": "A"}
            assert names(tmp_path / "d.db") == {"Item", "A", "B"}
            assert replica.upgrade().tables == {}
            sql(tmp_path / "d.db", 'UPDATE "Item" SET "V" = \'again\'', 'INSERT INTO "A" VALUES (2)')
            replica.sync()
            assert replica.verify().equal and replica.rejected() == []
