"""What verbs print, and where."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from syncline import Recovered, VerifyReport
from syncline.cli import output, progress, run
from syncline.cli.replicas import _table
from syncline.cli.sync import recovery_told
from syncline.cli.verify import say
from syncline.errors import StoreBusy
from syncline.hub.clients import Listed
from syncline.hub.contract import Client
from syncline.replica.recovery import REASONS


def test_a_failure_is_an_error_line_and_a_try_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.failure(StoreBusy("field.db is locked"), as_json=False)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "error: field.db is locked [store_busy]",
        f"try:   {StoreBusy.remedy}",
    ]


def test_a_failure_in_json_tells_a_machine_whether_to_try_again(capsys: pytest.CaptureFixture[str]) -> None:
    output.failure(StoreBusy("field.db is locked"), as_json=True)
    said = capsys.readouterr()
    assert said.out == ""
    error = json.loads(said.err)["error"]
    assert error["code"] == "store_busy"
    assert error["retry"] is True
    assert set(error) == {"code", "title", "detail", "remedy", "retry"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["sync"],
        ["clone", "http://127.0.0.1:1"],
        ["serve", "x.toml", "--port", "70000"],
        ["conflicts", "x.db", "resolv"],
        ["init", "no-such.toml"],
    ],
)
def test_asking_wrongly_is_exit_code_2_and_says_what_to_try(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    assert lines[0].startswith("error: ")
    assert lines[1].startswith("try:   ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("rejected FILE list 1", "an ID goes with show, retry or discard, not with list"),
        ("rejected FILE --yes", "--yes goes with discard, not with list"),
        ("rejected FILE retry 1 --yes", "--yes goes with discard, not with retry"),
        ("rejected FILE show 1 --new-key", "--new-key goes with retry, not with show"),
        ("conflicts FILE list 3", "an ID goes with show or resolve, not with list"),
        ("conflicts FILE list --take hub", "--take goes with resolve, not with list"),
        ("conflicts FILE show 3 --value 3", "--value goes with resolve, not with show"),
        ("conflicts FILE show 3 --open", "--open goes with list, not with show"),
        ("conflicts FILE resolve 3 --take hub --open", "--open goes with list, not with resolve"),
    ],
)
def test_l12_what_would_do_nothing_is_refused(
    words: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the file is looked at."""
    assert run([*words.replace("FILE", str(tmp_path / "field.db")).split(), "--json"]) == 2
    assert json.loads(capsys.readouterr().err)["error"]["detail"] == said


@pytest.mark.parametrize("verb", ["sync", "push", "pull", "status", "log", "conflicts", "rejected"])
def test_a_missing_file_is_exit_code_1_and_is_not_created(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "none.db"
    assert run([verb, str(file)]) == 1
    assert "store_missing" in capsys.readouterr().err
    assert not file.exists()


def test_a_clone_of_a_hub_that_is_not_there_is_to_be_made_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["clone", "http://127.0.0.1:1", str(tmp_path / "new.db")]) == 1
    said = capsys.readouterr().err
    assert (
        "[hub_unreachable]" in said and "run the same clone again" in said and "Nothing is lost" not in said
    )


def test_help_is_a_result(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    said = capsys.readouterr()
    assert "demo" in said.out
    assert said.err == ""


def test_the_command_alone_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    asked = capsys.readouterr()
    assert run([]) == 0
    assert capsys.readouterr() == asked


def test_progress_is_silent_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.shown(None) as report:
        assert report is None
    assert capsys.readouterr().err == ""


def test_progress_that_is_asked_for_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.shown(True) as report:
        assert report is not None
        report("snapshot", 1200, 5000)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "snapshot: 1,200 of 5,000 (24 %)\n"


def test_an_estimate_that_was_too_low_is_not_shown() -> None:
    assert progress.described("snapshot", 11, 10) == "snapshot: 11"
    assert progress.described("snapshot", 11, None) == "snapshot: 11"


def test_a_password_is_never_shown() -> None:
    assert output.without_password("postgresql://u:secret@h/d") == "postgresql://u:***@h/d"
    assert output.without_password("postgresql://u@h/d") == "postgresql://u@h/d"
    assert output.without_password("sqlite:////x/y.db") == "sqlite:////x/y.db"


def test_values_are_spelled_for_people() -> None:
    assert output.spelled(None) == "NULL"
    assert output.spelled("O'Hara") == "'O'Hara'"
    assert output.spelled(b"abc") == "blob of 3 bytes"
    assert output.spelled([1, None]) == "(1, NULL)"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("a\rb", "a\\rb"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("tab\tand\nline, \u00e9 \u4e2d \U0001f600", "tab\tand\nline, \u00e9 \u4e2d \U0001f600"),
        ("\ud800", "\\ud800"),
    ],
)
def test_nothing_of_others_reaches_the_terminal_as_a_control(
    text: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output.line(text)
    output.message(text)
    assert capsys.readouterr() == (shown + "\n", shown + "\n")
    output.document({"text": text})
    said = capsys.readouterr().out
    assert json.loads(said)["text"] == text
    assert not set(said) & set("\x1b\r\x9b\u202e")
    output.table(["a"], [[text]])
    assert not set(capsys.readouterr().out) & set("\x1b\r\x9b\u202e")


def test_a_table_has_its_own_style_and_none_of_others(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    output.table(["name"], [["b\x1b[2Jad"]])
    told = capsys.readouterr().out
    assert "b\\x1b[2Jad" in told
    assert "\\x1b[1m" not in told


def test_l12_each_reason_for_a_recovery_has_a_sentence_of_its_own() -> None:
    told = {reason: recovery_told(Recovered(reason, 2, 0, 3)) for reason in set(REASONS.values())}
    assert len({*told.values()}) == len(told)
    end = "; filled the file again, 3 rows differed"
    assert told["pruned"] == f"the hub's log no longer reaches back to what this file had seen{end}"
    assert told["garbled"] == f"the hub could not read how far this file had come{end}"
    assert told["scope"] == f"this device may have other rows than before{end}"
    assert told["unknown"] == f"the hub did not know this file{end}"
    assert told["restored"] == f"the centre went back in time: offered 2 pushes again{end}"
    assert "(4 more were lost there" in recovery_told(Recovered("restored", 2, 4, 3))


def test_l12_verify_calls_equal_no_more_than_it_compared(capsys: pytest.CaptureFixture[str]) -> None:
    def said(changed: dict[str, str], *left_out: str) -> str:
        say(VerifyReport(not left_out, (), (), 0, (), True, 0, (), changed, None, 1, 0.1, left_out))
        return capsys.readouterr().out.splitlines()[-1]

    assert said({}) == "equal (1 request)"
    assert said({"farm": "its key is another one"}) == "all others are equal (1 request)"
    assert said({}, "visit") == "all others are equal (1 request)"


def test_l12_a_table_that_came_back_as_another_one_is_told_once_by_verify(
    capsys: pytest.CaptureFixture[str],
) -> None:
    changed = {"farm": "its key is another one"}
    say(VerifyReport(False, (), (), 0, (), True, 0, (), changed, None, 1, 0.1, ("farm",)))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("farm")]
    assert line == "farm takes no part here and was not compared: its key is another one"


def test_every_column_of_every_table_has_a_heading() -> None:
    heads = [
        (path.name, node.args[0].elts)
        for path in Path(output.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "output.table"
        if isinstance(node.args[0], ast.List)
    ]
    assert len(heads) > 5
    assert [name for name, columns in heads for one in columns if ast.literal_eval(one) == ""] == []


def test_names_of_replicas_are_shown_where_any_has_one() -> None:
    def listed(name: str) -> Listed:
        return Listed(Client("r", name=name), "live", None, holds=False)

    heads, rows = _table([listed(""), listed("")])
    assert "name" not in heads and all(heads) and {len(row) for row in rows} == {len(heads)}
    heads, rows = _table([listed(""), listed("van")])
    assert [row[heads.index("name")] for row in rows] == ["", "van"]
