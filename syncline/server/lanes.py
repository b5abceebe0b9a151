"""How much happens at once, and in how much memory (law L11).

Threads inside the hub, one lane for requests and one for probes; room in memory for large bodies, counted
unfolded, and for the values they hold; places on disk for large bodies that are still arriving. Whoever finds
no room waits `WAIT_SECONDS` at most.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

from syncline.errors import HubBusy, SynclineError

T = TypeVar("T")

LARGE = 1024 * 1024
"""Bodies that unfold to so many bytes at most are taken as they come; larger ones need room."""

ROOM = 64 * 1024 * 1024
"""Bytes of large bodies in memory at once, unfolded; more where one request may have more."""

WAIT_SECONDS = 10.0
"""How long a request waits for room, before it is told to come again."""

ARRIVING = 256
"""Large bodies that arrive at once, on disk."""

ARRIVING_BYTES = 4 * 1024**3
"""Bytes that they have on disk together."""

PROBE_THREADS = 2


class Room:
    """So much of something, given out in the order of asking."""

    def __init__(self, total: int) -> None:
        self._total = self._free = total
        self._waiting: deque[tuple[int, anyio.Event]] = deque()

    @asynccontextmanager
    async def taken(self, amount: int) -> AsyncIterator[None]:
        """While the block runs so much is taken, or all there is. HubBusy if it was not free in time."""
        amount = min(amount, self._total)
        await self._take(amount)
        try:
            yield
        finally:
            self._free += amount
            self._hand_out()

    async def _take(self, amount: int) -> None:
        if not self._waiting and amount <= self._free:
            self._free -= amount
            return
        turn = (amount, anyio.Event())
        self._waiting.append(turn)
        try:
            with anyio.move_on_after(WAIT_SECONDS):
                await turn[1].wait()
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)
                self._hand_out()  # a smaller one may have waited behind it
                given = False
            else:
                given = True
        if not given:
            raise HubBusy("the hub has no room for another large request at present")

    def _hand_out(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            amount, turn = self._waiting.popleft()
            self._free -= amount
            turn.set()


@dataclass(slots=True)
class Arriving:
    """The large bodies that are on their way: how many, and their bytes on disk."""

    bodies: int = 0
    size: int = 0

    def grow(self, size: int) -> None:
        """One of them gets longer. HubBusy if there is no more room."""
        if self.size + size > ARRIVING_BYTES:
            raise HubBusy("too much is arriving at this hub at present")
        self.size += size

    def begin(self) -> None:
        """There is one more. HubBusy if there are too many."""
        if self.bodies >= ARRIVING:
            raise HubBusy("too many large requests are arriving at this hub at present")
        self.bodies += 1

    def end(self, size: int) -> None:
        """One of them is over, with all it had on disk."""
        self.bodies -= 1
        self.size -= size


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lane:
    threads: anyio.CapacityLimiter
    probes: anyio.CapacityLimiter
    room: Room
    cells: Room
    arriving: Arriving = field(default_factory=Arriving)


class Lanes:
    """Places for work, made anew for each event loop that uses the application. `most` bytes and `cells`
    values may be in one request."""

    def __init__(self, threads: int, most: int, cells: int) -> None:
        self._threads, self._most, self._cells = threads, most, cells
        self._lane: RunVar[_Lane] = RunVar(f"syncline lanes {id(self)}")

    async def run(self, work: Callable[[], T]) -> T:
        """Run blocking work in one of the threads, waiting for a free one."""
        return await _run(work, self._here().threads)

    async def probe(self, work: Callable[[], T]) -> T:
        """`run` in the lane of the probes: they answer however many requests wait."""
        return await _run(work, self._here().probes)

    @property
    def room(self) -> Room:
        """Bytes of large bodies in memory."""
        return self._here().room

    @property
    def cells(self) -> Room:
        """Values of large bodies as objects."""
        return self._here().cells

    @property
    def arriving(self) -> Arriving:
        """Large bodies on their way."""
        return self._here().arriving

    def _here(self) -> _Lane:
        try:
            return self._lane.get()
        except LookupError:
            lane = _Lane(
                threads=anyio.CapacityLimiter(self._threads),
                probes=anyio.CapacityLimiter(PROBE_THREADS),
                room=Room(max(ROOM, self._most)),
                cells=Room(self._cells),
            )
            self._lane.set(lane)
            return lane


async def _run(work: Callable[[], T], limiter: anyio.CapacityLimiter) -> T:
    """Run it in a thread. A refusal comes out without its traceback: the future that brings an exception from
    a thread and the exception hold each other, and with them all that the work had in hand (law L11)."""

    def run() -> T | SynclineError:
        try:
            return work()
        except SynclineError as error:
            error.__cause__ = error.__context__ = None
            return error.with_traceback(None)
        except SystemExit as error:  # of a function of the user's, maybe; it ends no server
            raise RuntimeError("a request wanted to end the process") from error

    done = await anyio.to_thread.run_sync(run, limiter=limiter)
    if isinstance(done, SynclineError):
        raise done
    return done
