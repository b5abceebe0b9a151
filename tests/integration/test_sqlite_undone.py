"""RAISE(ROLLBACK) in a trigger of a SQLite centre refuses its row, not the push (L2)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import syncline

CENTRE = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)",
    "CREATE TABLE u (id INTEGER PRIMARY KEY, a TEXT)",
    "CREATE TABLE audit (a TEXT)",
    "CREATE TRIGGER kept AFTER INSERT ON t BEGIN INSERT INTO audit VALUES (NEW.a); END",
    "CREATE TRIGGER closed BEFORE INSERT ON audit WHEN NEW.a = 'bad'"
    " BEGIN SELECT RAISE(ROLLBACK, 'the period is closed'); END",
)


def test_a_trigger_that_undoes_everything_refuses_its_rows_alone(tmp_path: Path) -> None:
    centre = tmp_path / "central.db"
    with closing(sqlite3.connect(centre)) as central:
        central.executescript(";".join(CENTRE[:3]))
        for trigger in CENTRE[3:]:
            central.execute(trigger)
    rules = {name: syncline.Table() for name in ("t", "u")}
    with syncline.Hub(f"sqlite:///{centre}", rules) as hub:
        hub.init()
        with syncline.clone(hub, str(tmp_path / "a.db")) as replica:
            with closing(sqlite3.connect(replica.file)) as device, device:
                rows = [(1, "good"), (2, "bad"), (3, "good"), (4, "bad"), (5, "good")]
                device.executemany("INSERT INTO t VALUES (?, ?)", rows)
                device.execute("INSERT INTO u VALUES (1, 'other')")
            found = replica.sync().push.rejected
            assert [(edit.key, edit.code) for edit in found] == [
                ((2,), "rejected_by_trigger"),
                ((4,), "rejected_by_trigger"),
            ]
            assert "the period is closed" in found[0].detail
            assert replica.sync().push.rejected == ()
    with closing(sqlite3.connect(centre)) as central:
        assert central.execute("SELECT id FROM t").fetchall() == [(1,), (3,), (5,)]
        assert central.execute("SELECT id FROM u").fetchall() == [(1,)]
        assert central.execute("SELECT count(*) FROM audit").fetchone() == (3,)
