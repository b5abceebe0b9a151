"""The README's first command tells a true story (laws L2, L3, L5, L6): run as a newcomer runs it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "syncline.cli", "demo", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def rows(file: Path, table: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(file)) as connection:
        found = connection.execute(f"SELECT * FROM {table}").fetchall()
    return sorted(tuple((type(cell).__name__, repr(cell)) for cell in row) for row in found)


def test_the_story_ends_with_four_equal_databases_and_says_why(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    told = demo("--keep", str(folder))
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stderr == ""
    assert "\n3. No network." in told.stdout and "\\x1b" not in told.stdout and "\x1b" not in told.stdout
    for words in ("neither had seen the other's edit", "later edit wins", "Rejected: visit v-101", "SIGKILL",
                  "Everything is equal", "40 - 2 - 3 - 5 = 30"):  # fmt: skip
        assert words in told.stdout
    for table in ("site", "part", "visit"):
        centre = rows(folder / "central.db", table)
        assert centre
        for device in ("ana.db", "bo.db", "cy.db"):
            assert rows(folder / device, table) == centre, (device, table)


def test_the_story_as_json_holds_what_it_promises() -> None:
    told = demo("--json")
    assert told.returncode == 0, told.stdout + told.stderr
    outcome = json.loads(told.stdout)
    assert outcome["equal"] is True
    assert outcome["as_told"] is True
    assert outcome["counter"] == {"start": 40, "taken": {"Ana": 2, "Bo": 3, "Cy": 5}, "end": 30}
    assert (outcome["conflicts"], outcome["rejected"]) == (1, 1)
    assert outcome["killed"]["answered"] is True
    assert outcome["killed"]["repeat_counted_once"] is True


def test_a_folder_that_exists_is_not_written_into(tmp_path: Path) -> None:
    told = demo("--keep", str(tmp_path))
    assert told.returncode == 2
    assert "exists already" in told.stderr
    assert list(tmp_path.iterdir()) == []
