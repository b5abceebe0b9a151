"""The text of a TOML file, as an editor may have saved it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any


def parsed(path: Path) -> dict[str, Any]:
    """What the file says; a byte order mark at its beginning is no part of it. OSError if it cannot be read,
    ValueError if it is no TOML, or nested deeper than can be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
