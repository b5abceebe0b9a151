"""What was pushed and taken, kept for a while: a centre that goes back in time is offered it again.

A kept push is the frozen one, byte for byte, without what of it was rejected. The limits of the hub say for
how long; besides, the oldest go when all of them together are large.
"""

from __future__ import annotations

from collections.abc import Sequence

from syncline.protocol.messages import Verdict
from syncline.replica.store import Store, pack, queries

LARGEST = 64 * 1024 * 1024
"""Bytes of all kept pushes together."""

SWEEP_EVERY = 100
"""Old ones are looked for with every so many pushes, and with every large one."""

LARGE = 1024 * 1024
"""Bytes of a push that is large."""

_QUERIES = queries("syncline.replica", "sent.sql")


def keep_sent(store: Store, verdict: Verdict, seconds: int) -> None:
    """Keep the push in flight, which the hub has taken, for `seconds`. Inside the transaction that clears it.

    Everything happens inside the file: the body is not read into memory here (law L11).
    """
    refused = [[rejection.table, rejection.key] for rejection in verdict.rejected]
    store.execute(_QUERIES["keep"], {"refused": pack(refused) if refused else None, "largest": LARGEST})
    size = store.value(_QUERIES["size"])
    if verdict.number % SWEEP_EVERY == 0 or size > LARGE:
        sweep_sent(store, seconds)


def sweep_sent(store: Store, seconds: int, largest: int = LARGEST) -> None:
    """Forget what is older than `seconds`, and the oldest beyond `largest` bytes."""
    store.execute(_QUERIES["drop_old"], (seconds,))
    store.execute(_QUERIES["drop_large"], (largest,))


def lose_after(store: Store, number: int) -> int:
    """The centre has lost the pushes after this number: what is kept of them waits to be offered again.
    Returns how many of them are kept."""
    kept: int = store.value(_QUERIES["count_lost"], (number,))
    store.execute(_QUERIES["lose"], (number,))
    return kept


def forget_one(store: Store, place: Sequence[int]) -> None:
    """Forget one part of one push, by number and part."""
    store.execute(_QUERIES["forget"], tuple(place))
