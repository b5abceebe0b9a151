"""Over a SQLite centre whoever writes has the whole file: a push waits for another program once, and says so
(laws L2, L12)."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

import syncline
from syncline.hub.contract import Tuning
from syncline.server import create_app, serving

PATIENCE = 0.6


def test_a_file_that_another_program_holds_is_waited_for_once_and_named(tmp_path: Path) -> None:
    file = tmp_path / "central.db"
    with (
        closing(sqlite3.connect(file, isolation_level=None)) as other,
        syncline.Hub(f"sqlite:///{file}", tuning=Tuning(lock_timeout=PATIENCE)) as hub,
    ):
        other.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)")
        other.execute("INSERT INTO item VALUES (1, 'x')")
        hub.init()
        with serving(create_app(hub)) as url, syncline.clone(url, tmp_path / "a.db") as device:
            with closing(sqlite3.connect(device.file)) as application, application:
                application.execute("UPDATE item SET name = 'mine'")
            other.execute("BEGIN IMMEDIATE")
            begun = time.monotonic()
            with pytest.raises(
                syncline.SynclineError, match=r"central\.db: another program holds the file"
            ) as caught:
                device.sync()
            assert caught.value.code == "centre_held"
            assert caught.value.retry
            assert PATIENCE <= time.monotonic() - begun < 5 * PATIENCE
            assert device.status().pending == {"item": 1}
            device.pull()
            other.execute("ROLLBACK")
            assert device.sync().push.rejected == ()
            assert other.execute("SELECT name FROM item").fetchall() == [("mine",)]
