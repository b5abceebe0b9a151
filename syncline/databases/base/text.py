"""The `.sql` files beside the modules: named statements, each described."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files


@cache
def statements(package: str, file: str) -> dict[str, str]:
    """The statements of a `.sql` file of a package, by the names in its `-- name:` lines, in order.

    Lines that begin with `--` are left out."""
    found = {}
    for piece in files(package).joinpath(file).read_text("utf-8").split("-- name: ")[1:]:
        name, _, rest = piece.partition("\n")
        lines = [line for line in rest.splitlines() if not line.startswith("--")]
        found[name.strip()] = "\n".join(lines).strip().rstrip(";")
    return found


@cache
def pieced(package: str, file: str) -> dict[str, str]:
    """The same, where `{{name argument}}` stands for a piece of that name in the package's `pieces.sql`, with
    the argument in place of each `{}` in it."""
    pieces = statements(package, "pieces.sql")

    def built(match: re.Match[str]) -> str:
        return pieces[match[1]].replace("{}", match[2])

    found = statements(package, file)
    return {name: re.sub(r"\{\{(\w+) ([^}]+)\}\}", built, text) for name, text in found.items()}
