"""`python3 run.py lines`: what counts as a line of code, and that every part of an adapter is seen."""

from __future__ import annotations

import re
from pathlib import Path

from bench.lines import (
    ALONE,
    DATABASES,
    WHOLE,
    Count,
    alone,
    by_postgresql,
    by_sqlite,
    count,
    folders,
    functions_of,
    parts_of,
    python_lines,
    shared,
    sql_lines,
    table,
)

MODULE = '''"""What it is.

More of it.
"""

import os  # not a comment alone


# a comment alone
class Thing:
    """What it is."""

    size = 1
    """How large."""

    def text(self) -> str:
        return """one

        three"""
'''


def test_docstrings_comments_and_blank_lines_of_a_module_are_no_code() -> None:
    # import, class, size, def, and the text's two lines that are not blank
    assert python_lines(MODULE) == 6


def test_comments_and_blank_lines_of_a_file_of_statements_are_no_code() -> None:
    assert sql_lines("-- What it is.\n\n-- name: one\nSELECT 1\n  FROM t;  -- why\n") == 2


def test_files_are_counted_with_all_their_lines(tmp_path: Path) -> None:
    (tmp_path / "thing.py").write_text(MODULE, encoding="utf-8")
    assert count(tmp_path / "thing.py") == Count(1, len(MODULE.splitlines()), 6)


def test_a_module_that_nobody_has_given_a_part_is_counted_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "prepare.py").write_text("a = 1\n", encoding="utf-8")
    (tmp_path / "novel.sql").write_text("SELECT 1;\nSELECT 2;\n", encoding="utf-8")
    parts = parts_of(tmp_path)
    assert (parts["catalogue"], parts["other"]) == (Count(1, 1, 1), Count(1, 2, 2))


def test_every_adapter_has_lines_for_every_part_of_the_contract() -> None:
    names = [folder.name for folder in folders(DATABASES)]
    assert names[0] == "base" and {"sqlite", "postgresql"} < set(names)
    for folder in folders(DATABASES):
        parts = parts_of(folder)
        assert all(counted.code for name, counted in parts.items() if name != "its own")
        assert "other" not in parts, f"name the part of a new module of {folder.name} in PARTS"
    assert all(name in table(DATABASES) for name in names)


def test_what_is_left_to_write_is_all_but_what_the_database_alone_needs(tmp_path: Path) -> None:
    folder = tmp_path / "sqlite"
    folder.mkdir()
    for name in ("log.py", "novel.py", "undone.py", "foreign.py"):
        (folder / name).write_text("a = 1\n", encoding="utf-8")
    assert by_sqlite(tmp_path) == 2


def test_functions_are_counted_without_their_docstrings_and_methods_are_called_with_their_class() -> None:
    assert functions_of(MODULE) == {"Thing.text": 3}
    assert functions_of("@one\n@two\ndef f():\n    # why\n    return 1\n") == {"f": 4}


def test_what_postgresql_alone_needs_is_there_and_counted_once() -> None:
    said = [
        (name, function)
        for files in ALONE.values()
        for name, functions in files.items()
        for function in functions.split()
    ]
    assert len(said) == len(set(said))
    whole = {name for name, function in said if function == WHOLE}
    assert whole.isdisjoint(name for name, function in said if function != WHOLE)
    assert all(alone(DATABASES).values())
    total = sum(counted.code for counted in parts_of(DATABASES / "postgresql").values())
    left = by_postgresql(DATABASES)
    assert left == total - sum(alone(DATABASES).values()) + parts_of(DATABASES / "sqlite")["log"].code


def test_what_adapters_share_is_told_by_what_they_import() -> None:
    reach, code = shared(DATABASES), parts_of(DATABASES / "base")
    assert all(reach.values())
    assert sum(reach.values()) <= sum(counted.code for counted in code.values())


def test_the_guide_says_these_figures() -> None:
    page = (DATABASES.parent.parent / "docs" / "adding-a-database.md").read_text(encoding="utf-8")
    part = " ".join(page.split("## How much that is")[1].split())
    reach = shared(DATABASES)
    said = {
        "as SQLite's": by_sqlite(DATABASES),
        "as PostgreSQL's": by_postgresql(DATABASES),
        "both reach": reach["both"],
        "PostgreSQL's alone": reach["postgresql"],
        "SQLite's alone": reach["sqlite"],
    }
    for words, figure in said.items():
        found = re.search(rf"about ([0-9,]+)(?: lines)? {words}", part)
        assert found, words
        assert abs(int(found[1].replace(",", "")) - figure) <= 75, (words, figure)


def test_the_adapters_are_within_their_limits() -> None:
    def code(name: str) -> int:
        return sum(counted.code for counted in parts_of(DATABASES / name).values())

    assert code("postgresql") < 3000 and code("sqlite") < 2000
    assert by_sqlite(DATABASES) < 1500
