"""Fixtures that every folder of tests may use."""

from __future__ import annotations

from tests.support.postgres import make, postgres_database, postgres_server, postgres_url

__all__ = ["make", "postgres_database", "postgres_server", "postgres_url"]
