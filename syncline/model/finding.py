"""What an examination found: a fact, something to know, or trouble that needs a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["fact", "warning", "trouble"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence under a stable code; `remedy` says what to do, empty for a fact."""

    level: Level
    code: str
    sentence: str
    remedy: str = ""
