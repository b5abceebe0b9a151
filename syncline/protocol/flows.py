"""The contract between a side and its transport. A flow is a generator of requests.

    flow yields Request -> driver sends it -> driver sends the Response back in, or throws the error in

`run` is the whole of a blocking driver; a simulation writes its own, a few lines each.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Protocol, TypeVar

from syncline.errors import SynclineError
from syncline.protocol.messages import Request, Response

T = TypeVar("T")
Flow = Generator[Request, Response, T]


class Transport(Protocol):
    """Carries one request to the hub and its answer back.

    Blocking; at most once per call. Raises what the hub raised (same class, code, detail and remedy), or
    TransportError when it cannot tell whether the hub got the request. Safe to use from one thread.
    """

    def send(self, request: Request) -> Response: ...

    def close(self) -> None: ...


def run(flow: Flow[T], transport: Transport) -> T:
    """Drive a flow to its end over a transport and return its result. Whatever ends it, the flow is over
    then: what it began in other threads, too."""
    try:
        request = next(flow)
        while True:
            try:
                response = transport.send(request)
            except SynclineError as error:
                request = flow.throw(error)
            else:
                request = flow.send(response)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        flow.close()


def _nothing() -> None:
    """What is called where nobody asked for it."""


def answered(flow: Flow[T], note: Callable[[], None]) -> Flow[T]:
    """The flow itself; `note` is called after each of its requests, answered or failed, before it goes on."""
    return counted(flow, _nothing, note)


def counted(flow: Flow[T], note: Callable[[], None], after: Callable[[], None] = _nothing) -> Flow[T]:
    """The flow itself; `note` is called for each of its requests, `after` when it is answered or failed."""
    try:
        request = next(flow)
        while True:
            note()
            try:
                response = yield request
            except SynclineError as error:
                after()
                request = flow.throw(error)
            else:
                after()
                request = flow.send(response)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        flow.close()
