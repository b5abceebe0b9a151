"""What the pool wants to know of psycopg's connections."""

from __future__ import annotations

import select
from collections.abc import Callable

import psycopg
from psycopg.pq import TransactionStatus

from syncline.databases.base.pool import Driver
from syncline.databases.postgresql.session import Connection


def driver(connect: Callable[[], Connection]) -> Driver[Connection]:
    """psycopg, for a pool of connections made by `connect`."""
    return Driver(connect, _is_idle, _is_quiet, _answers)


def _is_quiet(connection: Connection) -> bool:
    """The server says nothing unasked but that it ends."""
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    return not poll.poll(0)


def _answers(connection: Connection) -> bool:
    try:
        connection.execute("")
    except psycopg.Error:
        return False
    return True


def _is_idle(connection: Connection) -> bool:
    return connection.info.transaction_status == TransactionStatus.IDLE
