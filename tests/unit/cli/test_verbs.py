"""Every verb keeps the promises that docs/cli.md makes for all."""

from __future__ import annotations

import inspect

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
