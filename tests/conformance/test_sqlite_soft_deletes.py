"""A trigger that turns DELETE into UPDATE is the centre's way of deleting, in SQLite."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import syncline
from syncline.hub.contract import codes
from syncline.testing.conforms.centre import World
from tests.conformance.test_sqlite_capture import Make, make

__all__ = ["make"]

SOFT = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, gone INTEGER, kept INTEGER)",
    "CREATE TRIGGER soft BEFORE DELETE ON t BEGIN"
    " UPDATE t SET gone = 1 WHERE id = OLD.id AND kept = 0; SELECT RAISE(IGNORE); END",
    "INSERT INTO t VALUES (1, 0, 0), (2, 0, 0), (3, 0, 1)",
)


def test_a_delete_that_became_an_update_is_accepted_and_told_as_an_update(make: Make) -> None:
    world: World = make(*SOFT)
    start = world.now()
    (refusal,) = world.push(world.stage("delete", "t", [[1], [3]]))
    assert (world.row_of(refusal), refusal.code) == (("t", (3,)), codes.TRIGGER)
    assert world.push(world.stage("delete", "t", [[1]])) == []
    assert world.rows("t") == [[1, 1, 0], [2, 0, 0], [3, 0, 1]]
    assert world.since(start, "r1") == {"t": {(1,): {"gone"}}}


def test_the_row_comes_back_to_whoever_deleted_it(make: Make, tmp_path: Path) -> None:
    make(*SOFT)
    hub = syncline.Hub(f"sqlite:///{tmp_path}/central.db")
    device = syncline.clone(hub, str(tmp_path / "device.db"))
    other = syncline.clone(hub, str(tmp_path / "other.db"))
    connection = sqlite3.connect(tmp_path / "device.db", isolation_level=None)
    connection.execute("DELETE FROM t WHERE id = 1")
    assert device.sync().push.rejected == ()
    other.sync()
    for file in ("device.db", "other.db"):
        rows = sqlite3.connect(tmp_path / file).execute("SELECT * FROM t ORDER BY id").fetchall()
        assert rows == [(1, 1, 0), (2, 0, 0), (3, 0, 1)]
    device.close()
    other.close()
