"""What the server needs of a hub."""

from __future__ import annotations

from typing import Protocol

from syncline.model.actor import Actor
from syncline.protocol.messages import Limits, Request, Response


class Centre(Protocol):
    """The part of `syncline.Hub` that HTTP reaches. Safe to use from several threads."""

    limits: Limits

    def handle(self, actor: Actor, request: Request) -> Response:
        """Answer one request; raises SynclineError, and nothing has changed then."""

    def ready(self) -> None:
        """Return if the database is reachable and prepared; otherwise raise the DatabaseError."""
