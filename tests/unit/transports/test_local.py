"""The transport within one process passes only what a network would pass."""

from __future__ import annotations

import msgspec
import pytest

from syncline.errors import UnknownReplica
from syncline.model.actor import ANYONE, Actor
from syncline.protocol.messages import Changes, Pull, Request, Response
from syncline.transports.local import LocalTransport

PULL = Pull("w", 5, "replica-1", "fingerprint")


class Answering:
    """A hub that answers one thing and keeps what it was asked."""

    def __init__(self, answer: Response) -> None:
        self.answer, self.asked = answer, list[tuple[Actor, Request]]()

    def handle(self, actor: Actor, request: Request) -> Response:
        self.asked.append((actor, request))
        return self.answer


class Refusing:
    def handle(self, actor: Actor, request: Request) -> Response:
        raise UnknownReplica("who are you?", code="unknown_replica")


def test_messages_are_encoded_and_decoded_again_on_both_ways() -> None:
    answer = Changes("w2", False, 7, "", msgspec.Raw(b"\x90"))
    hub = Answering(answer)
    found = LocalTransport(hub).send(PULL)
    assert isinstance(found, Changes)
    assert (found.watermark, bytes(found.groups)) == ("w2", b"\x90")
    assert found is not answer
    ((actor, request),) = hub.asked
    assert actor == ANYONE
    assert request == PULL
    assert request is not PULL


def test_an_error_of_the_hub_comes_out_as_it_is() -> None:
    with pytest.raises(UnknownReplica) as caught:
        LocalTransport(Refusing()).send(PULL)
    assert caught.value.detail == "who are you?"
