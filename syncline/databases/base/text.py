"""The `.sql` files beside the modules: named statements, each described."""

from __future__ import annotations

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
