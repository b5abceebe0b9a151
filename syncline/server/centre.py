"""What the server needs of a hub."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from syncline.model.actor import Actor
from syncline.protocol.messages import Limits, Request, Response


class Centre(Protocol):
    """The part of `syncline.Hub` that HTTP reaches. Safe to use from several threads."""

    limits: Limits

    def handle(self, actor: Actor, request: Request) -> Response:
        """Answer one request; raises SynclineError, and nothing has changed then."""

    def scope_of(self, actor: Actor) -> str:
        """The fingerprint of what this actor may have, as of now: what watermarks are minted with."""

    def ready(self) -> None:
        """Return if the database is reachable and prepared; otherwise raise the DatabaseError."""


@runtime_checkable
class Instants(Protocol):
    """A hub that can say where its database stands, at less cost than answering."""

    def instant(self) -> object:
        """Equal to what it was only if nothing was committed in between. Raises SynclineError."""
