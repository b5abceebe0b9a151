"""How slowly an answer may come: a hub that drips holds nobody for ever."""

from __future__ import annotations

import time
from collections.abc import Callable

from syncline.errors import TransportError

WINDOW = 60.0
"""Seconds within which `LEAST` bytes must come."""

LEAST = 6 * 1024
"""Bytes: a hundred a second is slower than any network that a sync makes sense on."""

DEADLINE = 3600.0
"""Seconds after which an answer must be there."""


class Pace:
    """Watches one answer as it comes. `deadline` in seconds from now; None: as long as it comes at all."""

    def __init__(
        self,
        where: str,
        deadline: float | None = DEADLINE,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._where, self._clock = where, clock
        self._window = clock()
        self._end = None if deadline is None else self._window + deadline
        self._arrived = 0

    def note(self, size: int) -> None:
        """So many bytes have come. TransportError if they come too slowly."""
        self._arrived += size
        now = self._clock()
        late = self._end is not None and now > self._end
        if now - self._window >= WINDOW:
            late = late or self._arrived < LEAST
            self._window, self._arrived = now, 0
        if late:
            raise TransportError(
                f"{self._where} answers too slowly: {LEAST} bytes in {WINDOW:g} s are the least"
            )
