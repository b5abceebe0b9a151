"""What `python3 run.py mutate` changes, and which tests it runs for it."""

from __future__ import annotations

import pytest

from tests import mutate


def test_the_files_and_tests_that_it_names_are_there() -> None:
    named = [*mutate.CORE, *(path for paths in mutate.CONCERNED.values() for path in paths)]
    assert [path for path in named if not (mutate.ROOT / path).exists()] == []


def test_a_file_is_tested_by_the_tests_of_its_package() -> None:
    found = mutate.concerned(["syncline/merge/decide.py", "syncline/protocol/body.py"])
    assert found[0] == "tests/unit/merge"
    assert found[-2:] == ["tests/unit/protocol", "tests/property"]


@pytest.mark.parametrize("name", ["tests/mutate.py", "syncline/nothing.py", "syncline"])
def test_what_is_no_file_of_the_package_is_refused(name: str) -> None:
    with pytest.raises(SystemExit, match="no file of the package"):
        mutate.relative(str(mutate.ROOT / name))
