"""A rename of a column is followed whatever the column is called: as anything else in the triggers of
capture, too (laws L2, L4)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import syncline
from syncline.model.schema import Schema
from tests.support.application import sql

CENTRE = [
    "mask",
    "hlc",
    "k0",
    "NEW",
    "old",
    "seq",
    "tbl",
    "op",
    "origin",
    "NULL",
    "suppressed",
    "clock",
    "v0",
    "s",
]
DEVICE = ["at", "op", "k0", "o0", "checkpoint", "suppressed", "stamp", "ref", "r", "s", "m", "NULL", "old"]


def names(schema: Schema) -> dict[int, str]:
    """Of the first table."""
    return {column.number: column.name for column in schema.tables[0].columns}


@pytest.mark.parametrize("word", CENTRE)
@pytest.mark.parametrize("is_key", [False, True])
def test_l2_a_sqlite_centre_renames_a_column(tmp_path: Path, word: str, is_key: bool) -> None:
    """Away from such a word and to one; what is pending is sent."""
    key, value = (word, "v") if is_key else ("id", word)
    file = tmp_path / "central.db"
    sql(
        file, f'CREATE TABLE t ("{key}" INTEGER PRIMARY KEY, "{value}" TEXT)', "INSERT INTO t VALUES (1, 'a')"
    )
    with syncline.Hub(f"sqlite:///{file}") as hub:
        hub.init()
        with syncline.clone(hub, tmp_path / "d.db") as replica:
            sql(tmp_path / "d.db", f"UPDATE t SET \"{value}\" = 'mine'")
            before = names(hub.schema)
            sql(file, f'ALTER TABLE t RENAME COLUMN "{word}" TO other_')
            hub.init()
            after = names(hub.schema)
            assert after == {number: name.replace(word, "other_") for number, name in before.items()}
            sql(file, f'ALTER TABLE t RENAME COLUMN other_ TO "{word}"')
            hub.init()
            assert names(hub.schema) == before
            replica.sync()
            assert replica.rejected() == []
    with closing(sqlite3.connect(file)) as centre:
        assert centre.execute("SELECT * FROM t").fetchall() == [(1, "mine")]


@pytest.mark.parametrize("word", DEVICE)
def test_l2_a_device_renames_a_column(tmp_path: Path, word: str) -> None:
    """What was edited before and after under either name is sent."""
    file = tmp_path / "central.db"
    sql(file, f'CREATE TABLE t (id INTEGER PRIMARY KEY, "{word}" TEXT)', "INSERT INTO t VALUES (1, 'a')")
    with syncline.Hub(f"sqlite:///{file}") as hub:
        hub.init()
        with syncline.clone(hub, tmp_path / "d.db") as replica:
            sql(
                tmp_path / "d.db",
                f"UPDATE t SET \"{word}\" = 'one'",
                f'ALTER TABLE t RENAME COLUMN "{word}" TO mine_',
                "UPDATE t SET mine_ = mine_ || ' two'",
            )
            report = replica.sync()
            assert (report.unable, report.push.sent) == ((), 1)
            sql(file, f"UPDATE t SET \"{word}\" = 'three'")
            replica.sync()
            assert replica.verify().equal
    with closing(sqlite3.connect(tmp_path / "d.db")) as device:
        assert device.execute("SELECT mine_ FROM t").fetchall() == [("three",)]
