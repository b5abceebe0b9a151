"""What a server does unasked: it looks whether tables were altered, and prunes when it is its turn."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from threading import Event, Thread
from types import TracebackType

from syncline.errors import SynclineError
from syncline.hub.engine import Hub

logger = logging.getLogger("syncline.server")
REST = 3.0
"""After each step the thread rests so many times as long as it took: a large log to be compacted must not
make requests wait."""

LOOK_SECONDS = 60.0
"""How often a server looks whether it is time; less where the interval is shorter."""


class Housekeeping:
    """Follows changes of the tables, so that they are noticed, and logged, while no device asks. Prunes the
    log of `hub` once per `hub.retention.interval`, whichever of the servers does it.

    Used as a context: the thread ends with it, after the step of pruning that is under way."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._ended = Event()
        self._thread = Thread(target=self._run, name="syncline-housekeeping", daemon=True)

    def __enter__(self) -> Housekeeping:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def follow(self) -> None:
        """Look whether tables were altered. What cannot be followed was logged when it was noticed."""
        try:
            self._hub.look()
        except SynclineError as error:
            logger.debug("the tables cannot be followed: %s", error, extra={"action": "follow"})

    def look(self) -> bool:
        """Prune if it is time and nobody else does; whether it did. A failure is logged and tried later."""
        try:
            return self._hub.prune_in_turn(self._rest())
        except SynclineError as error:
            logger.warning("pruning was put off: %s", error, extra={"action": "prune"})
            return False

    def _rest(self) -> Callable[[], bool]:
        """Called after each step: rests, and says whether to end."""
        since = time.monotonic()

        def rest() -> bool:
            nonlocal since
            ended = self._ended.wait(REST * (time.monotonic() - since))
            since = time.monotonic()
            return ended

        return rest

    def _run(self) -> None:
        pause = min(LOOK_SECONDS, self._hub.retention.interval)
        while not self._ended.wait(random.uniform(0.5, 1.0) * pause):
            self.follow()
            self.look()
