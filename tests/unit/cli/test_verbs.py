"""Every verb keeps the promises that docs/cli.md makes for all."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

import syncline.cli
from syncline.cli import output
from syncline.cli.verbs import application

LISTED = (
    "demo init doctor serve clone track sync push pull status log conflicts rejected upgrade verify"
    " replicas assign forget revoke prune"
).split()


def test_the_verbs_are_exactly_these() -> None:
    assert list(application.commands) == LISTED


@pytest.mark.parametrize("verb", LISTED)
def test_a_verb_has_json_and_says_its_shape(verb: str) -> None:
    command = application.commands[verb]
    assert any("--json" in parameter.opts for parameter in command.params)
    assert "JSON" in (command.help or "")


def test_every_exit_code_is_described_where_the_command_ends() -> None:
    described = inspect.getdoc(syncline.cli) or ""
    for code in (output.DONE, output.FAILED, output.USAGE, output.PERSON_NEEDED, output.INTERRUPTED):
        assert f"{code}  " in described


@pytest.mark.parametrize(
    ("words", "environment", "code", "warned"),
    [
        (["--token", "abc"], {}, "token_in_clear", True),
        (["--token", "@{folder}/token"], {}, "token_in_clear", False),
        ([], {"SYNCLINE_TOKEN": "abc"}, "token_in_clear", False),
        (["--token", "@{folder}/token", "--insecure"], {}, "hub_unreachable", False),
        (["--token", "@{folder}/marked"], {}, "token_in_clear", False),
        (["--token", "@{folder}/nowhere"], {}, "usage", False),
        ([], {}, "hub_unreachable", False),
    ],
)
def test_a_token_is_read_from_where_no_list_of_processes_shows_it(
    words: list[str],
    environment: dict[str, str],
    code: str,
    warned: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "token").write_text("abc\n")
    (tmp_path / "marked").write_text("\ufeffabc\n", "utf-8")  # as some editors save it
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    said = [word.format(folder=tmp_path) for word in words]
    url = "http://hub.invalid:1"
    syncline.cli.run(["clone", url, str(tmp_path / "d.db"), *said, "--no-progress", "--json"])
    *warnings, failure = capsys.readouterr().err.splitlines()
    assert json.loads(failure)["error"]["code"] == code
    assert [list(json.loads(line)) for line in warnings] == [["warning"]] * warned
