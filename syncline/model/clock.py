"""The hybrid logical clock: 48 bits of milliseconds since 1970 UTC, 16 bits of counter, in one integer.

Source: Kulkarni et al., "Logical Physical Clocks" (2014). Time is always handed in.
"""

from __future__ import annotations

COUNTER_BITS = 16

LAST_MOMENT = 253_402_300_799_999
"""The end of the year 9999 in milliseconds since 1970 UTC."""


def stamp(milliseconds: int) -> int:
    """The first HLC of a millisecond."""
    return milliseconds << COUNTER_BITS


def milliseconds(hlc: int) -> int:
    """The wall-clock part of an HLC, in milliseconds since 1970 UTC."""
    return hlc >> COUNTER_BITS


def tick(last: int, now_milliseconds: int) -> int:
    """The next HLC after `last` at the given wall time: never goes back, follows the wall if it can."""
    return max(last + 1, stamp(now_milliseconds))


def clamp(hlc: int, now_milliseconds: int, tolerance_milliseconds: int) -> int:
    """Cut an HLC that runs more than the tolerance ahead of the hub's wall clock."""
    return min(hlc, stamp(now_milliseconds + tolerance_milliseconds))
