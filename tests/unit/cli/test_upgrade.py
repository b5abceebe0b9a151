"""`syncline upgrade`: what it says and does."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import syncline
from syncline.cli import run


def run_upgrade(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = run(["upgrade", *arguments])
    return code, capsys.readouterr().out


def test_the_names_of_the_centre_are_taken_on_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, centre = tmp_path / "a.db", tmp_path / "centre.db"
    with closing(sqlite3.connect(centre)) as connection:
        connection.execute("CREATE TABLE farm (id INTEGER PRIMARY KEY, name TEXT)")
        with syncline.Hub(f"sqlite:///{centre}") as hub:
            hub.init()
            syncline.clone(hub, file).close()
            connection.execute("ALTER TABLE farm RENAME COLUMN name TO title")
            connection.execute("ALTER TABLE farm RENAME TO estate")
            with syncline.connect(file, hub) as replica:
                replica.sync()
    said = "table farm is called estate\ntable farm: column name is called title\n"
    assert run_upgrade(capsys, str(file), "--dry-run") == (0, f"{said}Nothing was changed.\n")
    code, text = run_upgrade(capsys, str(file), "--json", "--dry-run")
    assert code == 0 and json.loads(text) == {
        "file": str(file),
        "dry_run": True,
        "tables": {"farm": "estate"},
        "columns": {"farm": {"name": "title"}},
        "dropped": {},
        "indexes": [],
        "foreign_keys": [],
        "left": {},
    }
    assert run_upgrade(capsys, str(file)) == (0, said)
    assert run_upgrade(capsys, str(file)) == (0, f"{file} has the names of the centre already\n")
    with closing(sqlite3.connect(file)) as device:
        assert device.execute("SELECT id, title FROM estate").fetchall() == []
