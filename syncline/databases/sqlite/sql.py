"""The time, as SQL."""

from __future__ import annotations

WALL = "CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER)"
"""Milliseconds since 1970 UTC. `julianday` is the only source of time, so a caller's clock can stand in."""
