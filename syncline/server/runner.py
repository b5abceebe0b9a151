"""Running the application in a process of its own (uvicorn)."""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from syncline.errors import TransportError

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

GRACE_SECONDS = 10
KEEP_ALIVE_SECONDS = 75
"""Longer than a device waits between two syncs of a busy minute, so that connections are used again."""

START_SECONDS = 30.0

SWITCH_SECONDS = 0.0005
"""How long a thread that computes may keep others waiting: a tenth of Python's own choice. A thread that asks
the database many small questions would wait so long after each answer, beside one that opens a large push."""


def serve(
    app: ASGIApp,
    listening: socket.socket,
    announce: Callable[[str], None],
    may_renew: Callable[[], bool] | None = None,
) -> bool:
    """Answer until SIGINT or SIGTERM, then return; what was begun is finished within GRACE_SECONDS.

    `listening` is a bound socket, which stays open; `announce` is called with the URL once requests are
    answered. With `may_renew` SIGHUP ends it, too, if that says so, and then it returns True: whoever
    connects meanwhile waits for the next to answer. For the main thread.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    renewing: list[int] = []
    with _ending_quietly() as caught, listening.dup() as own:
        server = _server(app, lambda: announce(url_of(listening)), caught)

        def renew(number: int, _: object) -> None:
            if may_renew is not None and may_renew():
                renewing.append(number)
                server.should_exit = True

        before = signal.signal(signal.SIGHUP, renew) if may_renew is not None else None
        try:
            server.run(sockets=[own])
        finally:
            if may_renew is not None:
                signal.signal(signal.SIGHUP, before)
    return bool(renewing) and not caught


@contextmanager
def serving(app: ASGIApp, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Answer in a thread of this process while the block runs; gives the URL. For tests and notebooks."""
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    with listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        started = threading.Event()
        server = _server(app, started.set, ())
        thread = threading.Thread(target=server.run, args=([listening],), name="syncline server", daemon=True)
        thread.start()
        try:
            if not started.wait(START_SECONDS):
                raise TransportError("the server did not start", code="server_not_started")
            yield url_of(listening)
        finally:
            server.should_exit = True
            thread.join(GRACE_SECONDS + 5)


@contextmanager
def _ending_quietly() -> Iterator[Sequence[int]]:
    """Gives the signals that came while uvicorn did not listen for them: before it has begun to, and the one
    that ended it, which it raises once more when it is done; that must not kill us."""
    caught: list[int] = []
    before = {
        number: signal.signal(number, lambda which, _: caught.append(which))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def url_of(listening: socket.socket) -> str:
    """The URL of a bound socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _server(app: ASGIApp, started: Callable[[], None], caught: Sequence[int]) -> uvicorn.Server:
    """`caught`: if anything is in it when the server has started, the server ends."""
    import uvicorn

    from syncline.server.connections import STRANGERS, Connection

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            self.should_exit = self.should_exit or bool(caught)
            if not self.should_exit:
                started()

    logging.getLogger("uvicorn.error").addFilter(STRANGERS)
    return Server(
        uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            log_level="warning",
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )
