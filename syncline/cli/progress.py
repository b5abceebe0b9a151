"""Progress of long work, on stderr: one living line on a terminal, a line a second elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from syncline.cli import output

Progress = Callable[[str, int, int | None], None]
"""(stage, done, total), as the replica reports it; total None where nobody knows."""


@contextmanager
def shown(wanted: bool | None) -> Iterator[Progress | None]:
    """Yield what to hand to the replica as `progress`; None when nothing is to be shown."""
    terminal = sys.stderr.isatty()
    if wanted is False or (wanted is None and not terminal):
        yield None
        return
    line = _Line(terminal)
    try:
        yield line
    finally:
        line.end()


class _Line:
    def __init__(self, terminal: bool) -> None:
        self._terminal = terminal
        self._interval = 0.1 if terminal else 1.0
        self._last: tuple[str, float] = ("", 0.0)
        self._width = 0

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        complete = total is not None and done >= total
        if stage == self._last[0] and not complete and now - self._last[1] < self._interval:
            return
        self._last = (stage, now)
        text = described(stage, done, total)
        if not self._terminal:
            output.message(text)
            return
        sys.stderr.write("\r" + text.ljust(self._width))
        sys.stderr.flush()
        self._width = len(text)

    def end(self) -> None:
        if self._terminal and self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()


def described(stage: str, done: int, total: int | None) -> str:
    """`pull: 1,200 of 5,000 (24 %)`; an estimated total may be too low, then it is left out."""
    if not total or done > total:
        return f"{stage}: {done:,}"
    return f"{stage}: {done:,} of {total:,} ({100 * done // total} %)"
