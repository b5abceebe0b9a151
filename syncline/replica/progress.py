"""How long work reports: `progress(stage, done, total)`, where total may be None."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int | None], None]


def silent(stage: str, done: int, total: int | None) -> None:
    """The progress of those who do not ask."""
