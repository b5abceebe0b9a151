"""Waiting for news: somebody may say that there is some, and what nobody says is looked for."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from threading import Condition
from typing import Any, Generic

from syncline.databases.base.pool import C


class BaseWatch(ABC, Generic[C]):
    """The contract's `Watch` over what an adapter can hear and see."""

    look_seconds: float
    """How often to look while nobody says anything."""

    seen: Any = None
    """What there was to be seen last."""

    connection: C | None = None
    """What it listens or looks on, of its own; None if there is none."""

    @abstractmethod
    def look(self) -> object:
        """Something that is another thing after every commit."""

    @abstractmethod
    def hear(self, seconds: float) -> bool:
        """Whether somebody says within that time that there is news."""

    def close(self) -> None:
        """Stop listening. Idempotent."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def wait(self, seconds: float) -> bool:
        """See the contract."""
        end = time.monotonic() + seconds
        while True:
            newest = self.look()
            if newest != self.seen:
                self.seen = newest
                return True
            left = end - time.monotonic()
            if self.hear(max(0.0, min(left, self.look_seconds))):
                self.seen = self.look()
                return True
            if left <= 0:
                return False


class Bell:
    """Rings in this process whenever a hub here has committed."""

    def __init__(self) -> None:
        self._condition = Condition()
        self.rings = 0

    def ring(self) -> None:
        """Wake everybody who waits."""
        with self._condition:
            self.rings += 1
            self._condition.notify_all()

    def wait(self, rings: int, seconds: float) -> bool:
        """Whether it rang since it had rung `rings` times; waits for it up to `seconds`."""
        with self._condition:
            return self._condition.wait_for(lambda: self.rings != rings, seconds)


class BellWatch(BaseWatch[C]):
    """Where the database tells nothing by itself: a bell is rung in this process, and what others commit is
    looked for. Without a connection (`connect` None) only the bell is there to be heard."""

    def __init__(
        self,
        bell: Bell,
        connect: Callable[[], C] | None,
        newest: Callable[[C], object],
        look_seconds: float,
    ) -> None:
        """`newest` asks a connection for something that is another thing after every commit."""
        self._bell, self._newest = bell, newest
        self.connection = None if connect is None else connect()
        self.look_seconds = math.inf if connect is None else look_seconds
        self.seen = self.look()

    def look(self) -> tuple[int, object]:
        rings = self._bell.rings
        return rings, None if self.connection is None else self._newest(self.connection)

    def hear(self, seconds: float) -> bool:
        return self._bell.wait(self.seen[0], seconds)
