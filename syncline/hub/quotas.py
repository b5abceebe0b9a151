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
    together, unfolded (of one replica: `Limits.push_total_bytes`). `told_bytes`: what files have told of
    edits that they know to be rejected and the hub does not, of one file with its copies, as long as stamps
    are remembered; `told_total_bytes`: of all together. `verifies`: at once, in each process.
    """

    replicas: int = 100_000
    unused: int = 5_000
    unused_seconds: float = 86_400.0
    registrations: int = 1_000
    uploads_bytes: int = 8 * 1024**3
    told_bytes: int = 64 * 1024**2
    told_total_bytes: int = 4 * 1024**3
    verifies: int = 2

    def __post_init__(self) -> None:
        counts = self.replicas, self.unused, self.registrations, self.verifies
        if min(*counts, self.uploads_bytes, self.told_bytes, self.told_total_bytes) < 1:
            raise ConfigurationError("a limit of a hub is 1 at least ([limits])")


def check_registration(ledger: Ledger, owner: str, quotas: Quotas, *, made: int = 0) -> None:
    """Raise QuotaReached if one more replica of this owner is too many, or the one that this transaction has
    `made` already. In a transaction that writes."""
    count = ledger.count_clients(owner, 60.0)
    everybody, unused, recent = count.all - made, count.unused - made, count.recent - made
    if everybody >= quotas.replicas:
        raise QuotaReached(
            f"{everybody} replicas are registered here; the limit is {quotas.replicas}",
            code="too_many_replicas",
            remedy="Let whoever runs the hub forget some (syncline replicas, syncline forget), or raise"
            " [limits] replicas.",
        )
    if unused >= quotas.unused:
        raise QuotaReached(
            f"{unused} replicas are registered that never pulled; the limit is {quotas.unused}",
            code="too_many_unused",
        )
    if recent >= quotas.registrations:
        raise QuotaReached(
            f"{recent} replicas were registered within a minute; the limit is {quotas.registrations}",
            code="too_many_registrations",
        )


def check_upload(ledger: Ledger, size: int, quotas: Quotas) -> None:
    """Raise QuotaReached if so many more bytes of chunks are too many. In a transaction that writes."""
    if ledger.uploads_size() + size > quotas.uploads_bytes:
        raise QuotaReached(
            f"the large pushes on their way here hold about {quotas.uploads_bytes} bytes, the limit",
            code="too_much_uploaded",
        )


def check_told(ledger: Ledger, lineage: str, octets: int, quotas: Quotas) -> None:
    """Raise QuotaReached if so many more bytes that a file tells of rejected edits are too many. In the
    transaction that has remembered them. An honest file tells each of its rejected edits once, some hundred
    bytes, and only to a centre that has lost it: 64 MiB are more than 100,000 of them."""
    if not octets:
        return
    own, together = ledger.count_told(lineage, octets)
    for who, found, limit, key in (
        ("this file and its copies", own, quotas.told_bytes, "told_bytes"),
        ("all files together", together, quotas.told_total_bytes, "told_total_bytes"),
    ):
        if found > limit:
            raise QuotaReached(
                f"{who} tell of rejected edits in {found} bytes; the limit is {limit}",
                code="too_much_told",
                remedy="Nothing is lost, all edits stay in the file. Let whoever runs the hub raise [limits]"
                f" {key}, then sync again.",
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
