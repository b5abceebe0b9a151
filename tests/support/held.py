"""A hub beside programs that hold rows or tables of its PostgreSQL centre."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

import syncline
from syncline.hub.contract import Tuning
from tests.support.postgres import PostgresCentre

PATIENCE = 1.2
"""Seconds for which the hub waits."""

Session = psycopg.Connection[tuple[object, ...]]


@contextmanager
def patient_hub(url: str, *statements: str) -> Iterator[syncline.Hub]:
    """A hub of the tables that these statements make."""
    PostgresCentre(url).run(*statements)
    with syncline.Hub(url, tuning=Tuning(lock_timeout=PATIENCE)) as hub:
        hub.init()
        yield hub


def centre(url: str, select: str) -> list[tuple[object, ...]]:
    """What the centre has."""
    with psycopg.connect(url) as connection:
        return connection.execute(select.encode()).fetchall()
