"""Fixtures that every folder of tests may use."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.support.pgbouncer import pooled_url
from tests.support.postgres import make, postgres_database, postgres_server, postgres_url

__all__ = ["make", "pooled_url", "postgres_database", "postgres_server", "postgres_url"]


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A test that turns logging off for the process would take it from every later one."""
    yield
    left = logging.root.manager.disable
    logging.disable(logging.NOTSET)
    assert left == logging.NOTSET, f"this test left logging disabled up to {logging.getLevelName(left)}"
