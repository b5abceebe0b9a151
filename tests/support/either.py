"""A centre of either kind, SQLite or PostgreSQL, told by its URL."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.application import sql
from tests.support.postgres import PostgresCentre


def centre_with(request: pytest.FixtureRequest, kind: str, folder: Path, *statements: str) -> str:
    """The URL of a new one after these statements."""
    made: str = f"sqlite:///{folder / 'central.db'}"
    if kind == "postgresql":
        made = request.getfixturevalue("postgres_url")
    run(made, *statements)
    return made


def run(url: str, *statements: str) -> None:
    """Statements of another program at it."""
    if url.startswith("sqlite:///"):
        sql(url.removeprefix("sqlite:///"), *statements)
    else:
        PostgresCentre(url).run(*statements)
