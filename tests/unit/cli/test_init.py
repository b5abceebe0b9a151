"""What `init` says."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import syncline
from syncline.cli import run


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ([], "no table takes part"),
        (["farm"], "1 table takes part: farm"),
        (["farm", "field"], "2 tables take part: farm, field"),
    ],
)
def test_it_counts_the_tables_that_take_part_and_knows_when_nothing_is_to_be_done(
    tables: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(tmp_path / "centre.db")) as centre:
        for name in tables:
            centre.execute(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY)")
    file = tmp_path / "syncline.toml"
    file.write_text('[hub]\ndatabase = "sqlite:///centre.db"\n')
    assert run(["init", str(file), "--dry-run"]) == 0
    assert capsys.readouterr().err == "nothing was changed; this is what init would run\n"
    assert run(["init", str(file)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"prepared: {said}"
    assert run(["init", str(file), "--dry-run"]) == 0
    again = capsys.readouterr()
    assert (again.out, again.err) == ("", "nothing is to be done\n")
    assert run(["init", str(file)]) == 0
    assert capsys.readouterr().out == f"nothing was to be done: {said}\n"


def test_a_dry_run_of_what_devices_cannot_follow_says_what_yes_would_do_and_ends_with_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = tmp_path / "central.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE farm (id INTEGER PRIMARY KEY, size INTEGER)")
    file = tmp_path / "syncline.toml"
    file.write_text('[hub]\ndatabase = "sqlite:///central.db"\n')
    assert run(["init", str(file)]) == 0
    with syncline.Hub(f"sqlite:///{database}") as hub:
        syncline.clone(hub, tmp_path / "device.db").close()
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(
            "CREATE TABLE fresh (id INTEGER PRIMARY KEY, size BLOB); DROP TABLE farm;"
            " ALTER TABLE fresh RENAME TO farm"
        )
    capsys.readouterr()
    assert run(["init", str(file), "--dry-run"]) == 3
    said = capsys.readouterr()
    assert "this is what init --yes would run" in said.err
    assert "-- 1 table takes part: farm;" in said.out and "-- WARNING: table farm" in said.out
    assert "edits of any table that waited on them" in said.out
    assert "CREATE TRIGGER _sync_hub_1_insert" in said.out
    assert run(["init", str(file), "--dry-run", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["tables"] == ["farm"]
    assert run(["init", str(file), "--dry-run", "--yes"]) == 0
    assert run(["init", str(file)]) != 0
    assert run(["init", str(file), "--yes"]) == 0
    capsys.readouterr()
    assert run(["init", str(file), "--dry-run"]) == 0
    assert "nothing is to be done" in capsys.readouterr().err
