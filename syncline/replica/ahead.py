"""Chunks of a large push travel while the rest of it is still being frozen.

The freeze has the file, in a thread of its own; this flow has the network. Neither waits for the other (law
L1): a chunk that is ready while the one before is on its way goes later, with all that is missing. Nothing
of it counts before the push is frozen, durable and committed under its own digest (laws L2, L3).
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, Full, Queue

from msgspec import Raw

from syncline.errors import BodyRefused, SynclineError, TransportError
from syncline.protocol.flows import Flow
from syncline.protocol.messages import BeginPush, ChunkKept, PushBegun, PushChunk
from syncline.replica.device import Device
from syncline.replica.freeze import Frozen, freeze_pending
from syncline.replica.pending import is_anything_pending, of_logs
from syncline.replica.session import ask

logger = logging.getLogger("syncline.replica")

LARGE = 20_000
"""Pending edits of one table from which a freeze takes so long that the network is better used meanwhile."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk of the push that is being frozen, as drafted by the attempt called `draft`."""

    draft: str
    number: int
    digest: str
    body: bytes


class Ahead:
    """Hands chunks from the thread that freezes to the flow that sends, one at a time."""

    def __init__(self) -> None:
        self.draft = ""
        self._ready: Queue[Chunk | None] = Queue(1)

    def start(self) -> None:
        """Drafting begins, perhaps anew: what was offered before is no part of it."""
        self.draft = secrets.token_hex(32)

    def offer(self, number: int, digest: str, body: bytes) -> None:
        """Have it sent, unless another one waits already."""
        try:
            self._ready.put_nowait(Chunk(self.draft, number, digest, body))
        except Full:
            logger.debug("chunk %d goes later", number, extra={"action": "freeze"})

    def end(self) -> None:
        """There will be no more."""
        try:
            self._ready.get_nowait()
        except Empty:
            logger.debug("every chunk that was offered is on its way", extra={"action": "freeze"})
        self._ready.put_nowait(None)

    def chunks(self) -> Iterator[Chunk]:
        """What is offered, until the end."""
        while (chunk := self._ready.get()) is not None:
            yield chunk

    def freeze(self, device: Device) -> Frozen | None:
        """`freeze_pending`, and the end."""
        try:
            return freeze_pending(device, self)
        finally:
            self.end()


@dataclass(slots=True)
class Sender:
    """What the flow knows of the push; the file is not to be touched while it is being frozen."""

    replica: str
    number: int
    schema: str
    base: str
    chunks: int
    rows: int
    begun: str = ""

    def send(self, chunk: Chunk) -> Flow[None]:
        """Announce the draft, if it is a new one, and send a chunk of it."""
        if self.begun != chunk.draft:
            yield from ask(
                BeginPush(
                    self.replica, self.number, self.schema, [self.base], chunk.draft, self.chunks, self.rows
                ),
                PushBegun,
            )
            self.begun = chunk.draft
        body = Raw(chunk.body)
        yield from ask(
            PushChunk(self.replica, self.number, chunk.number, chunk.draft, chunk.digest, body), ChunkKept
        )


def freeze_and_send(device: Device) -> Flow[tuple[Frozen | None, str]]:
    """`freeze`; of a large push some chunks may be at the hub already, under the name that is returned.

    TransportError if the hub cannot be reached; the push is in flight then. Everything else that the hub, or
    a proxy, objects to it will say again.
    """
    if not is_anything_pending(device):
        return None, ""
    if not is_large(device):
        return freeze_pending(device), ""
    state, limits = device.store.state(), device.limits()
    sender = Sender(
        state.replica,
        state.push + 1,
        device.hub.fingerprint,
        state.watermark or "",
        limits.push_chunks,
        limits.push_total_rows,
    )
    ahead, refusal = Ahead(), None
    with ThreadPoolExecutor(1, "syncline-freeze") as aside:
        device.is_drafting = True
        freezing = aside.submit(ahead.freeze, device)
        try:
            for chunk in ahead.chunks():
                if refusal is None:
                    try:
                        yield from sender.send(chunk)
                    except SynclineError as error:
                        refusal = error
            frozen = freezing.result()
        finally:
            device.is_drafting = False
    if isinstance(refusal, TransportError) and not isinstance(refusal, BodyRefused):
        raise refusal
    return frozen, sender.begun if refusal is None and sender.begun == ahead.draft else ""


def is_large(device: Device) -> bool:
    """Whether some table has many pending edits."""
    many = f"EXISTS (SELECT 1 FROM {{log}} LIMIT 1 OFFSET {LARGE})"
    return any(of_logs(device.store, device.tables.values(), many).values())
