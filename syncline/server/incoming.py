"""Reading a request's body, counted while it arrives, at a rate that is no stalling.

A large body arrives on disk: however slowly it comes, and however many do, it takes no room in memory before
it is there.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO

import anyio
import anyio.to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from syncline.errors import Malformed, ProtocolError
from syncline.protocol.compression import too_large
from syncline.server.lanes import Arriving, Lanes

WINDOW = 10.0
"""Seconds within which a sender must deliver `LEAST` bytes, or the end of the body."""

LEAST = 10 * 1024
"""Bytes: a kilobyte a second is slower than any network that a sync makes sense on."""

DEADLINE = 1800.0
"""Seconds after which a body must be there."""

IN_MEMORY = 256 * 1024
"""Bytes that a body may have before it is put on disk."""

HEAD = 64
"""Bytes of a body from which its unfolded size is read."""


@dataclass(frozen=True, slots=True)
class Body:
    """A body that is there, as sent: its bytes, or the file that has them. `begin` are the first."""

    size: int
    begin: bytes
    _content: bytes | IO[bytes]

    def content(self) -> bytes:
        """All of it, in memory; for a thread."""
        if isinstance(self._content, bytes):
            return self._content
        self._content.seek(0)
        return self._content.read()


@asynccontextmanager
async def body_of(request: Request, limit: int, lanes: Lanes) -> AsyncIterator[Body]:
    """The body as sent, at most `limit` bytes.

    Raises TooLarge as soon as that is known, by the Content-Length before a byte is read; ProtocolError
    (code request_timeout) when the sender falls silent or is too slow; HubBusy when too much is arriving.
    """
    _check_announced(request, limit)
    keeper = _Keeper(lanes.arriving)
    try:
        async for piece in _pieces(request):
            if keeper.size + len(piece) > limit:
                raise too_large(limit)
            await keeper.add(piece)
        yield keeper.body()
    finally:
        keeper.close()


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes."""
    window = begun = time.monotonic()
    arrived, more = 0, True
    while more:
        end = min(window + WINDOW, begun + DEADLINE)
        message: Message | None = None
        with anyio.move_on_after(end - time.monotonic()):
            message = await request.receive()
        if message is not None:
            if message["type"] == "http.disconnect":
                raise ClientDisconnect()
            more = message.get("more_body", False)
            piece: bytes = message.get("body", b"")
            arrived += len(piece)
            yield piece
        now = time.monotonic()
        if more and now >= end:
            if arrived < LEAST or now >= begun + DEADLINE:
                raise _too_slow()
            window, arrived = now, 0


def _too_slow() -> ProtocolError:
    return ProtocolError(
        f"less than {LEAST} bytes of the body came within {WINDOW:g} s, or not all of it within {DEADLINE:g}",
        code="request_timeout",
        remedy="Send it again, over a faster network or in smaller pieces.",
    )


class _Keeper:
    """Keeps what has arrived: in memory, and what is large on disk, in a file without a name."""

    def __init__(self, arriving: Arriving) -> None:
        self.size = 0
        self._arriving = arriving
        self._pieces: list[bytes] = []
        self._held = 0
        self._file: IO[bytes] | None = None
        self._written = 0

    async def add(self, piece: bytes) -> None:
        """Keep the next piece."""
        self._pieces.append(piece)
        self._held += len(piece)
        self.size += len(piece)
        if self._held > IN_MEMORY:
            await anyio.to_thread.run_sync(self._write)

    def _write(self) -> None:
        if self._file is None:
            self._arriving.begin()
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed when the request is over
        self._arriving.grow(self._held)
        self._written += self._held
        self._file.write(b"".join(self._pieces))
        self._pieces, self._held = [], 0

    def body(self) -> Body:
        """All that came."""
        rest = b"".join(self._pieces)
        if self._file is None:
            return Body(self.size, rest[:HEAD], rest)
        self._file.write(rest)
        self._file.seek(0)
        return Body(self.size, self._file.read(HEAD), self._file)

    def close(self) -> None:
        """Forget it."""
        if self._file is not None:
            self._file.close()
            self._arriving.end(self._written)


def _check_announced(request: Request, limit: int) -> None:
    announced = request.headers.get("content-length")
    if announced is None:
        return
    if not (announced.isascii() and announced.isdigit()):
        raise Malformed("Content-Length is not a number")
    if int(announced[:20]) > limit:
        raise too_large(limit)
