"""Faults as ordinary objects: a device that stops between two statements, a network that loses messages."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from datetime import datetime
from enum import Enum
from typing import Any, Self

from syncline.errors import TransportError
from syncline.protocol.flows import Flow, Transport, run
from syncline.protocol.messages import Request, Response
from syncline.replica import sync as verbs
from syncline.replica.device import Device
from syncline.replica.progress import silent
from syncline.replica.store import Store
from syncline.testing.outside import put_back

DAY = 86_400_000
EPOCH = 2_440_587.5
"""The beginning of 1970, as SQLite counts days."""


def julianday(clock: Callable[[], int]) -> Callable[[str], float]:
    """SQLite's function of this name, with a clock (milliseconds since 1970 UTC) that stands in for `now`."""

    def days(moment: str) -> float:
        if moment == "now":
            return clock() / DAY + EPOCH
        return datetime.fromisoformat(moment).timestamp() * 1000 / DAY + EPOCH

    return days


class Crash(BaseException):
    """The device stops here. No `except Exception` sees it."""


class Loss(Enum):
    """What a network may do to one exchange."""

    NOTHING = "nothing"
    REQUEST = "request"
    ANSWER = "answer"


class CrashingStore(Store):
    """A store that stops before a chosen statement, as a killed process would.

    The open transaction is rolled back, which is what the next opening of a killed process's file finds.
    """

    countdown: int | None = None
    """How many statements are still let through; None: all."""

    @classmethod
    def in_memory(cls, clock: Callable[[], int]) -> Self:
        """A file in memory, whose clock is this one (milliseconds since 1970 UTC)."""
        store = cls.open_private(":memory:")
        store.define("julianday", 1, julianday(clock))
        return store

    def content(self) -> bytes:
        """A file in memory, as a backup has it."""
        return self._connection.serialize()

    def fill_with(self, content: bytes) -> None:
        """A file in memory is that of a backup."""
        put_back(self._connection, content)

    def _step(self, sql: str) -> None:
        if self.countdown is None or sql == "ROLLBACK":
            return
        if self.countdown == 0:
            self.countdown = None
            raise Crash(sql)
        self.countdown -= 1

    def execute(self, sql: str, parameters: Any = ()) -> int:
        self._step(sql)
        return super().execute(sql, parameters)

    def executemany(self, sql: str, rows: Iterable[Any]) -> int:
        self._step(sql)
        return super().executemany(sql, rows)


class FaultyTransport:
    """Passes messages on, or loses the request or the answer.

    `between` runs after the request has left and before its answer is used: the application goes on
    writing while a sync is under way.
    """

    def __init__(self, inner: Transport, rng: random.Random, between: Callable[[], None]) -> None:
        self._inner, self._rng, self._between = inner, rng, between
        self.loss = 0.0
        self.writes = 0.0

    def send(self, request: Request) -> Response:
        """As the contract says; TransportError where the message was lost."""
        fate = Loss.NOTHING
        if self._rng.random() < self.loss:
            fate = self._rng.choice((Loss.REQUEST, Loss.ANSWER))
        if fate is Loss.REQUEST:
            raise TransportError("the request was lost")
        response = self._inner.send(request)
        if self._rng.random() < self.writes:
            self._between()
        if fate is Loss.ANSWER:
            raise TransportError("the answer was lost")
        return response

    def close(self) -> None:
        self._inner.close()


def exchange_under_faults(
    rng: random.Random, store: CrashingStore, transport: FaultyTransport, statements: int
) -> str:
    """One sync, push or pull in which messages may be lost, the application may write meanwhile, and the
    device may stop at one of the first `statements` statements. Returns how it went, for people."""
    transport.loss, transport.writes = 0.2, 0.3
    if rng.random() < 0.3:
        store.countdown = rng.randint(0, statements)
    verb: Callable[..., Flow[Any]] = verbs.sync
    if rng.random() < 0.25:
        verb = rng.choice([verbs.pull, verbs.push])
    try:
        run(verb(Device.load(store), silent), transport)
    except TransportError as error:
        return f"{verb.__name__}: {error.detail}"
    except Crash as crash:
        return f"{verb.__name__}: crashed before {str(crash)[:60]}"
    finally:
        store.countdown = None
    return verb.__name__


def exchange_in_peace(store: CrashingStore, transport: FaultyTransport) -> None:
    """One sync to which nothing happens."""
    transport.loss = transport.writes = 0.0
    run(verbs.sync(Device.load(store), silent), transport)
