"""Writes the pages of this folder that are made from the code: `python3 run.py docs`.

A test compares them with what this module would write, so that they cannot go stale.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from syncline import errors
from syncline.errors import SynclineError

HERE = Path(__file__).resolve().parent

ERRORS_HEAD = """\
# Errors

<!-- Generated from syncline/errors.py by `python3 run.py docs`. Do not edit. -->

Every failure is a `SynclineError` with a stable `code`, a `detail` that names what happened (and to which
table and key), a `remedy`, and `retry`: whether a machine may try the same thing again without a person.
The command line prints `error:` and `try:`; the server answers `application/problem+json` with the same
words. A code never changes its meaning. An occurrence may carry a more precise code and remedy than its
class has; the class is then the one to catch.

| code | exception | what it says | what to do | try again by machine |
|---|---|---|---|---|
"""


def below(kind: type[SynclineError], depth: int = 0) -> Iterator[tuple[int, type[SynclineError]]]:
    """The classes of `syncline.errors` from `kind` downwards, in the order of the module."""
    yield depth, kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from below(child, depth + 1)


def errors_page() -> str:
    rows = []
    for depth, kind in below(SynclineError):
        name = "↳ " * depth + f"`{kind.__name__}`"
        again = "yes" if kind.retry else "no"
        rows.append(f"| `{kind.code}` | {name} | {kind.title}. | {kind.remedy} | {again} |\n")
    return ERRORS_HEAD + "".join(rows)


def pages() -> dict[Path, str]:
    """Every generated page and what must stand in it."""
    return {HERE / "errors.md": errors_page()}


def main() -> None:
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(HERE.parent))


if __name__ == "__main__":
    main()
