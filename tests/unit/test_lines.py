"""`python3 run.py lines`: what counts as a line of code, and that every part of an adapter is seen."""

from __future__ import annotations

from pathlib import Path

from bench.lines import (
    DATABASES,
    Count,
    count,
    folders,
    left_to_write,
    parts_of,
    python_lines,
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
    for folder in folders(DATABASES)[1:]:
        parts = parts_of(folder)
        assert all(counted.code for name, counted in parts.items() if name != "its own")
        assert "other" not in parts, "name the part of a new module in PARTS"
    assert all(name in table(DATABASES) for name in names)


def test_what_is_left_to_write_is_all_but_what_the_database_alone_needs(tmp_path: Path) -> None:
    folder = tmp_path / "sqlite"
    folder.mkdir()
    for name in ("log.py", "novel.py", "undone.py", "foreign.py"):
        (folder / name).write_text("a = 1\n", encoding="utf-8")
    assert left_to_write(tmp_path) == 2


def test_the_adapters_are_within_their_limits() -> None:
    def code(name: str) -> int:
        return sum(counted.code for counted in parts_of(DATABASES / name).values())

    assert code("postgresql") < 3000 and code("sqlite") < 2000
    assert left_to_write(DATABASES) < 1500
