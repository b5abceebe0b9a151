"""Making a history that fails short: steps are left out as long as the rest still fails in the same way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Fails = Callable[[Sequence[int]], str | None]
"""How the history of these steps fails, in a few words that do not name its values; None: it does not."""


def shrunk(steps: Sequence[int], fails: Fails, tries: int = 400) -> list[int]:
    """As few of the steps as `tries` attempts find that fail in the way that all of them do.

    First whole stretches are left out, then shorter ones, down to single steps (delta debugging).
    """
    left = list(steps)
    kind, size = fails(left), max(1, len(left) // 2)
    while kind is not None and tries > 0:
        place, shorter = 0, False
        while place < len(left) and tries > 0:
            rest = left[:place] + left[place + size :]
            tries -= 1
            if fails(rest) == kind:
                left, shorter = rest, True
            else:
                place += size
        if size == 1 and not shorter:
            break
        size = max(1, size // 2)
    return left
