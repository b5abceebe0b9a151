"""What `init` says."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

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
