"""docs/cli.md is what the commands say of themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncline.cli.reference import page
from syncline.cli.verbs import application

DOCS = Path(__file__).parents[3] / "docs"


def test_the_page_is_current() -> None:
    written = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert written == page(), "run: python -m syncline.cli.reference > docs/cli.md"


def test_every_verb_has_json_and_says_its_shape() -> None:
    for name, command in application.commands.items():
        assert any("--json" in parameter.opts for parameter in command.params), name
        assert "JSON" in (command.help or ""), name


@pytest.mark.parametrize("code", ["0", "1", "2", "3", "130"])
def test_every_exit_code_is_documented(code: str) -> None:
    assert f"| {code} | " in page()
