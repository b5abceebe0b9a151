"""Fixtures that every folder of tests may use."""

from __future__ import annotations

from tests.support.pgbouncer import pooled_url
from tests.support.postgres import make, postgres_database, postgres_server, postgres_url

__all__ = ["make", "pooled_url", "postgres_database", "postgres_server", "postgres_url"]
