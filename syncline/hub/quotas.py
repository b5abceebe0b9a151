"""How much a hub keeps for whoever reaches it, and does for many at once: registrations, uploads, verifies.

What one request may hold is `protocol.messages.Limits`; what a server does with many, `server.lanes`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from syncline.errors import ConfigurationError, HubBusy, QuotaReached
from syncline.hub.contract import Ledger

VERIFY_WAIT = 1.0
"""Seconds that a verify waits for others to end."""

BASES_BYTES = 4 * 1024 * 1024
"""Characters of the watermarks that a large push may name: they are kept with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """`replicas`: registered at all. `unused`: registered by one actor and never heard of again, neither a
    pull nor a push; housekeeping removes them after `unused_seconds`. `registrations`: new replicas of one
    actor in a minute. `uploads_bytes`: chunks of large pushes that wait to be committed, all replicas
    together, unfolded (of one replica: `Limits.push_total_bytes`). `verifies`: at once, in each process.
    """

    replicas: int = 100_000
    unused: int = 5_000
    unused_seconds: float = 86_400.0
    registrations: int = 1_000
    uploads_bytes: int = 8 * 1024**3
    verifies: int = 2

    def __post_init__(self) -> None:
        if min(self.replicas, self.unused, self.registrations, self.uploads_bytes, self.verifies) < 1:
            raise ConfigurationError("a limit of a hub is 1 at least ([limits])")


def check_registration(ledger: Ledger, owner: str, quotas: Quotas) -> None:
    """Raise QuotaReached if one more replica of this owner is too many. In a transaction that writes."""
    count = ledger.count_clients(owner, 60.0)
    if count.all >= quotas.replicas:
        raise QuotaReached(
            f"{count.all} replicas are registered here; the limit is {quotas.replicas}",
            code="too_many_replicas",
            remedy="Let whoever runs the hub forget some (syncline replicas, syncline forget), or raise"
            " [limits] replicas.",
        )
    if count.unused >= quotas.unused:
        raise QuotaReached(
            f"{count.unused} replicas are registered that never pulled; the limit is {quotas.unused}",
            code="too_many_unused",
        )
    if count.recent >= quotas.registrations:
        raise QuotaReached(
            f"{count.recent} replicas were registered within a minute; the limit is {quotas.registrations}",
            code="too_many_registrations",
        )


def check_upload(ledger: Ledger, size: int, quotas: Quotas) -> None:
    """Raise QuotaReached if so many more bytes of chunks are too many. In a transaction that writes."""
    if ledger.uploads_size() + size > quotas.uploads_bytes:
        raise QuotaReached(
            f"the large pushes on their way here hold about {quotas.uploads_bytes} bytes, the limit",
            code="too_much_uploaded",
        )


class Turns:
    """Who may verify now: it reads whole tables."""

    def __init__(self, quotas: Quotas) -> None:
        self._free = threading.BoundedSemaphore(quotas.verifies)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """While the block runs one of the turns is taken. HubBusy if none is free in time."""
        if not self._free.acquire(timeout=VERIFY_WAIT):
            raise HubBusy("others compare with the hub at present, as many as may at once")
        try:
            yield
        finally:
            self._free.release()
