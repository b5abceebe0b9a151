"""Who may import what from outside. Imports between our own packages are import-linter's contracts."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "syncline"

ALLOWED = {
    "sqlite3": (
        "replica/store",
        "databases/sqlite",
        "sqlitekit/errors",
        "testing/field_device",
        "testing/outside",
    ),
    "apsw": ("replica/store",),
    "psycopg": ("databases/postgresql", "testing/office_postgresql"),
    "sqlalchemy": ("databases",),
    "starlette": ("server",),
    "anyio": ("server",),
    "uvicorn": ("server", "cli"),
    "httpx2": ("transports",),
    "click": ("cli",),
    "rich": ("cli",),
    "pytest": ("testing",),
    "hypothesis": ("testing",),
    "msgspec": ("",),
    "backports": ("protocol", "transports", "server"),
    "compression": ("protocol", "transports", "server"),
}
"""Outside package -> folders of `syncline` that may import it. One that is not here may not be imported;
of the standard library only what is here is restricted. "" is everywhere."""


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and top-level package of every absolute import, also of those inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.lineno, node.module.partition(".")[0]


def is_allowed(package: str, inside: str) -> bool:
    if package not in ALLOWED:
        return package == "syncline" or package in sys.stdlib_module_names
    return any(not folder or f"{inside}/".startswith(f"{folder}/") for folder in ALLOWED[package])


def test_outside_packages_are_imported_only_in_their_folders() -> None:
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        inside = path.relative_to(PACKAGE).with_suffix("").as_posix()
        for line, package in imported(ast.parse(path.read_text(encoding="utf-8"))):
            if not is_allowed(package, inside):
                wrong.append(f"syncline/{inside}.py:{line} imports {package}")
    assert wrong == []


@pytest.mark.parametrize(
    ("package", "inside", "allowed"),
    [
        ("sqlite3", "replica/store/connection", True),
        ("sqlite3", "replica/storefront", False),
        ("sqlite3", "hub/merge", False),
        ("psycopg", "databases/sqlite/adapter", False),
        ("msgspec", "protocol/body", True),
        ("requests", "transports/http", False),
        ("json", "model/schema", True),
    ],
)
def test_the_rule_itself_tells_the_folders_apart(package: str, inside: str, allowed: bool) -> None:
    assert is_allowed(package, inside) is allowed
