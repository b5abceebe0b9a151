"""A network between a device and a hub in this process: it counts, remembers and fails."""

from __future__ import annotations

from syncline import Hub
from syncline.errors import SynclineError, TransportError
from syncline.protocol.messages import Request, Response
from syncline.transports.local import LocalTransport


class Network:
    """Carries requests, keeps them, and fails where it is told to: before or after the hub has seen the
    request of a number, or in the hub's place at the next request of a kind."""

    def __init__(self, hub: Hub) -> None:
        self.inner = LocalTransport(hub)
        self.requests: list[Request] = []
        self.lose_request: int | None = None
        self.lose_answer: int | None = None
        self.refuse: dict[type[Request], SynclineError] = {}

    @property
    def seen(self) -> list[str]:
        """The kinds of the requests, in order."""
        return [type(request).__name__ for request in self.requests]

    def send(self, request: Request) -> Response:
        number = len(self.requests)
        self.requests.append(request)
        if number == self.lose_request:
            raise TransportError("the request was lost")
        if type(request) in self.refuse:
            raise self.refuse.pop(type(request))
        response = self.inner.send(request)
        if number == self.lose_answer:
            raise TransportError("the answer was lost")
        return response

    def close(self) -> None:
        self.inner.close()

    def of(self, kind: type[Request]) -> list[Request]:
        """The requests of a kind."""
        return [request for request in self.requests if isinstance(request, kind)]
