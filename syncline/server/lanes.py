"""How much happens at once: threads inside the hub, and large bodies in memory (law L11)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

T = TypeVar("T")

LARGE = 1024 * 1024
"""Bodies up to this many bytes are read without asking; larger ones wait for one of the few places."""


@dataclass(frozen=True, slots=True)
class _Lane:
    threads: anyio.CapacityLimiter
    large: anyio.Semaphore


class Lanes:
    """Places for work, made anew for each event loop that uses the application."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._lane: RunVar[_Lane] = RunVar(f"syncline lanes {id(self)}")

    async def run(self, work: Callable[[], T]) -> T:
        """Run blocking work in one of the threads, waiting for a free one."""
        return await anyio.to_thread.run_sync(work, limiter=self._here().threads)

    @property
    def large(self) -> anyio.Semaphore:
        """To be held while a large body is in memory."""
        return self._here().large

    def _here(self) -> _Lane:
        try:
            return self._lane.get()
        except LookupError:
            lane = _Lane(anyio.CapacityLimiter(self._threads), anyio.Semaphore(max(2, self._threads // 2)))
            self._lane.set(lane)
            return lane
