"""Writes docs/cli.md from the commands themselves: `python -m syncline.cli.reference > docs/cli.md`.

A test compares the page with what this module makes, so that it cannot go stale.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

import syncline.cli
from syncline.cli.verbs import application

HEAD = """\
# The command line

<!-- Generated from the commands: python -m syncline.cli.reference > docs/cli.md -->

Results go to stdout, messages to stderr. Every verb has `--json`: then the result is one JSON object with
the names listed below, a blob is `{"blob": base64}` and an infinity `{"float": "inf"}`. New names may be
added to an object; none is removed or changes its meaning. A failure is two lines on stderr, `error:` and
`try:`; with `--json` it is one line, `{"error": {code, title, detail, remedy, retry}}`. The codes
are listed in [errors.md](errors.md).

`syncline -v VERB ...` logs what happens, on stderr.

## Exit codes

| code | meaning |
|---|---|
"""

CONFIGURATION = "\n## syncline.toml\n\n```toml\n{example}\n```\n\n{rest}\n"


def page() -> str:
    """The whole page."""
    return "".join([HEAD, *_exit_codes(), _configuration(), *_verbs()])


def _exit_codes() -> Iterator[str]:
    for text in (inspect.getdoc(syncline.cli) or "").splitlines():
        code, _, meaning = text.strip().partition("  ")
        if code.isdigit():
            yield f"| {code} | {meaning} |\n"


def _configuration() -> str:
    from syncline.cli import configuration

    _, example, rest = (inspect.getdoc(configuration) or "").split("\n\n", 2)
    example = "\n".join(line.removeprefix("    ") for line in example.splitlines())
    return CONFIGURATION.format(example=example, rest=rest)


def _verbs() -> Iterator[str]:
    top = click.Context(application, info_name="syncline", **application.context_settings)
    for name, command in application.commands.items():
        context = click.Context(command, top, name, max_content_width=100, terminal_width=100)
        yield f"\n## syncline {name}\n\n```\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    print(page(), end="")
