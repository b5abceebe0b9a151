"""Who is behind a request, and what it may have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """`scope` names the rows the actor may have; the only scope so far is everything."""

    name: str
    tenant: str = ""
    scope: str = "all"


ANYONE = Actor("anyone")
"""The actor of every request while there are no tokens."""
