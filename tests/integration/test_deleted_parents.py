"""A device has deleted a row, is shown it again for the sake of another's row below it, and writes there:
what goes with the row when it is deleted in the centre is kept (law L2), in one piece and in chunks. What was
moved to another row before does not go."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import syncline
from syncline.protocol.messages import Limits
from tests.support.application import sql
from tests.support.either import centre_with

DDL = (
    "CREATE TABLE farm (id INTEGER PRIMARY KEY, name TEXT)",
    "CREATE TABLE visit (id INTEGER PRIMARY KEY, farm INTEGER REFERENCES farm (id) ON DELETE CASCADE,"
    " note TEXT)",
    "CREATE TABLE remark (id INTEGER PRIMARY KEY, visit INTEGER REFERENCES visit (id) ON DELETE CASCADE,"
    " text TEXT)",
    "INSERT INTO farm VALUES (1, 'Hill'), (2, 'Dale')",
    "INSERT INTO visit VALUES (11, 2, 'stays')",
)


@pytest.mark.parametrize("rows", [1000, 1])
@pytest.mark.parametrize("centre", ["sqlite", "postgresql"])
def test_l2_what_goes_with_a_deleted_row_is_kept(
    request: pytest.FixtureRequest, tmp_path: Path, centre: str, rows: int
) -> None:
    url = centre_with(request, centre, tmp_path, *DDL)
    with syncline.Hub(url, limits=Limits(push_rows=rows)) as hub:
        hub.init()
        one, two = (syncline.clone(hub, str(tmp_path / f"{name}.db")) for name in ("one", "two"))
        with one, two, closing(sqlite3.connect(one.file, isolation_level=None)) as app:
            app.execute("PRAGMA foreign_keys = ON")
            app.execute("DELETE FROM farm WHERE id = 1")
            sql(two.file, "INSERT INTO visit VALUES (10, 1, 'of two')")
            sql(two.file, "INSERT INTO remark VALUES (20, 10, 'of two')")
            two.sync()
            one.pull()
            assert app.execute("SELECT name FROM farm WHERE id = 1").fetchall() == [("Hill",)]
            app.execute("UPDATE visit SET note = 'changed' WHERE id = 10")
            app.execute("UPDATE visit SET note = 'changed' WHERE id = 11")
            app.execute("INSERT INTO visit VALUES (12, 1, 'made')")
            app.execute("UPDATE remark SET text = 'changed' WHERE id = 20")
            app.execute("INSERT INTO remark VALUES (21, 10, 'made')")
            one.sync()
            two.sync()
            kept = {(edit.table, *edit.key): (edit.op, *edit.values.values()) for edit in one.rejected()}
            assert kept == {
                ("visit", 10): ("U", "changed"),
                ("visit", 12): ("I", 1, "made"),
                ("remark", 20): ("U", "changed"),
                ("remark", 21): ("I", 10, "made"),
            }
            assert {edit.code for edit in one.rejected()} == {"foreign_key_violation"}
            for file in (one.file, two.file):
                assert sql(file, "SELECT id FROM farm") == [(2,)]
                assert sql(file, "SELECT * FROM visit") == [(11, 2, "changed")]
                assert sql(file, "SELECT * FROM remark") == []
            assert one.verify().equal


PARENTS = (
    "CREATE TABLE par (id INTEGER PRIMARY KEY, name VARCHAR(20) NOT NULL UNIQUE)",
    "CREATE TABLE grand (id INTEGER PRIMARY KEY, chi INTEGER NOT NULL REFERENCES chi (id) ON DELETE CASCADE)",
    "INSERT INTO par VALUES (1, 'p1'), (3, 'p3'), (4, 'p4')",
    "INSERT INTO chi VALUES (1, 1, 'keep'), (2, 1, 'too'), (3, 3, 'goes')",
    "INSERT INTO grand VALUES (1, 1), (2, 2), (3, 3)",
)
MERGED = (
    "INSERT INTO par VALUES (2, 'new')",
    "UPDATE chi SET par = 2 WHERE par = 1",
    "DELETE FROM par WHERE id IN (1, 3)",
    "UPDATE par SET name = 'p1' WHERE id = 2",
)
"""A new row takes over the unique name of one that it replaces, and what hangs on that."""


@pytest.mark.parametrize("rows", [1000, 1])
@pytest.mark.parametrize("is_refused", [False, True])
@pytest.mark.parametrize("on_delete", ["CASCADE", "NO ACTION"])
@pytest.mark.parametrize("centre", ["sqlite", "postgresql"])
def test_l2_rows_that_were_moved_to_a_new_parent_do_not_go_with_the_former_one(
    request: pytest.FixtureRequest, tmp_path: Path, centre: str, on_delete: str, is_refused: bool, rows: int
) -> None:
    child = (
        "CREATE TABLE chi (id INTEGER PRIMARY KEY, par INTEGER NOT NULL REFERENCES par (id)"
        f" ON DELETE {on_delete}, v VARCHAR(20) CHECK (v <> 'never'))"
    )
    url = centre_with(request, centre, tmp_path, PARENTS[0], child, *PARENTS[1:])
    with syncline.Hub(url, limits=Limits(push_rows=rows)) as hub:
        hub.init()
        one, two = (syncline.clone(hub, str(tmp_path / f"{name}.db")) for name in ("one", "two"))
        with one, two, closing(sqlite3.connect(one.file, isolation_level=None)) as app:
            app.execute("PRAGMA foreign_keys = ON")
            app.execute("BEGIN")
            app.execute("DELETE FROM grand WHERE id = 3")
            app.execute("DELETE FROM chi WHERE id = 3")
            for statement in MERGED:
                app.execute(statement)
            if is_refused:
                app.execute("PRAGMA ignore_check_constraints = ON")
                app.execute("INSERT INTO chi VALUES (9, 4, 'never')")
            app.execute("COMMIT")
            one.sync()
            two.sync()
            assert [(edit.table, edit.key) for edit in one.rejected()] == [("chi", (9,))] * is_refused
            for file in (one.file, two.file):
                assert sql(file, "SELECT * FROM par ORDER BY id") == [(2, "p1"), (4, "p4")]
                assert sql(file, "SELECT * FROM chi ORDER BY id") == [(1, 2, "keep"), (2, 2, "too")]
                assert sql(file, "SELECT * FROM grand ORDER BY id") == [(1, 1), (2, 2)]
            assert one.verify().equal and two.verify().equal
