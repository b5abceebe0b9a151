"""What `python3 run.py mutate` changes, and which tests it runs for it."""

from __future__ import annotations

from collections import Counter

import pytest

from tests import mutate


def test_the_files_and_tests_that_it_names_are_there() -> None:
    named = [*mutate.CORE, *(path for paths in mutate.CONCERNED.values() for path in paths)]
    assert [path for path in named if not (mutate.ROOT / path).exists()] == []


def test_a_file_is_tested_by_the_tests_that_concern_it_or_else_by_those_of_its_package() -> None:
    assert mutate.concerned("syncline/merge/decide.py") == ("tests/unit/merge",)
    assert mutate.concerned("syncline/protocol/body.py") == ("tests/unit/protocol", "tests/property")


def test_files_with_the_same_tests_are_tried_together() -> None:
    files = ["syncline/merge/decide.py", "syncline/hub/settle.py", "syncline/merge/rules.py"]
    merge, hub = mutate.together(files, None).values()
    assert (merge, hub) == ([files[0], files[2]], [files[1]])
    assert mutate.together(files, ["tests/unit"]) == {("tests/unit",): files}


def test_a_change_that_no_input_can_show_is_not_tried() -> None:
    source = """
def x_pairs__mutmut_orig(a, b): return zip(a, b, strict=True)
def x_pairs__mutmut_1(a, b): return zip(a, b, strict=False)
def x_pairs__mutmut_2(a, b): return zip(a, b)
def x_pairs__mutmut_3(a, b): return zip(a, None, strict=True)
class Table:
    def xǁTableǁsorted__mutmut_orig(self): return sorted(self.rows, strict=True)
    def xǁTableǁsorted__mutmut_1(self): return sorted(self.rows, strict=False)
def x_say__mutmut_orig(): say("Mend the row.", code="bad_row")
def x_say__mutmut_1(): say("mend the row.", code="bad_row")
def x_say__mutmut_2(): say("Mend the row.", code="BAD_ROW")
def x_say__mutmut_3(): say(None, code="bad_row")
"""
    assert mutate.unchanged(source) == {"x_pairs__mutmut_1", "x_pairs__mutmut_2", "x_say__mutmut_1"}


def test_a_test_that_has_noticed_other_changes_of_the_function_or_the_file_is_preferred() -> None:
    noticed = """\
syncline.merge.rules.x_wins tests/one.py::test[a b]
syncline.merge.rules.x_wins tests/one.py::test[a b]
syncline.merge.rules.xǁRuleǁask tests/one.py::other
syncline.merge.again.x_wins tests/two.py::test
"""
    assert mutate.how_often(noticed, "syncline.merge.rules.x_wins") == {
        "tests/one.py::test[a b]": 20,
        "tests/one.py::other": 1,
    }
    assert mutate.how_often("", "syncline.merge.rules.x_wins") == {}


def test_the_table_says_for_each_file_what_went_unnoticed(capsys: pytest.CaptureFixture[str]) -> None:
    good = mutate.Result("good.py", Counter({"killed": 37, "timeout": 1, "survived": 2, "not checked": 9}))
    bad = mutate.Result("bad.py", Counter({"killed": 8, "no tests": 1, "survived": 1}))
    assert mutate.report([good]) == 0
    assert mutate.report([good, bad]) == 1
    assert mutate.report([mutate.Result("idle.py", Counter({"not checked": 9}))]) == 2
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["good.py", "40", "37", "2", "1", "5.0%"] in printed
    assert ["bad.py", "10", "8", "2", "0", "20.0%"] in printed
    assert ["idle.py", "0", "0", "0", "0", "-"] in printed


@pytest.mark.parametrize("name", ["tests/mutate.py", "syncline/nothing.py", "syncline"])
def test_what_is_no_file_of_the_package_is_refused(name: str) -> None:
    with pytest.raises(SystemExit, match="no file of the package"):
        mutate.relative(str(mutate.ROOT / name))
