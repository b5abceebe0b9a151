"""A hub in the same process: tests, simulation, several files on one machine."""

from __future__ import annotations

from typing import Protocol, TypeVar

import msgspec

from syncline.model.actor import ANYONE, Actor
from syncline.protocol.messages import Request, Response

Message = TypeVar("Message")


class Answers(Protocol):
    """What a hub is to a transport."""

    def handle(self, actor: Actor, request: Request) -> Response: ...


class LocalTransport:
    """Calls `hub.handle` directly.

    Requests and answers are encoded to MessagePack and decoded again, so that nothing passes here that
    would not pass over a network, and neither side can change what the other holds.
    """

    def __init__(self, hub: Answers, actor: Actor = ANYONE) -> None:
        self._hub, self._actor = hub, actor

    def send(self, request: Request) -> Response:
        """Hand the request to the hub; errors of the hub come out as they are."""
        return _carried(self._hub.handle(self._actor, _carried(request)))

    def close(self) -> None:
        """The hub stays open: it belongs to whoever made it."""


def _carried(message: Message) -> Message:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=type(message))
