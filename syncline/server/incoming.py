"""Reading a request's body, counted while it arrives."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from starlette.requests import Request

from syncline.errors import Malformed, ProtocolError
from syncline.protocol.compression import too_large
from syncline.server.lanes import LARGE, Lanes

PATIENCE = 30.0
"""Seconds within which a sender must deliver the next piece of a body."""


@asynccontextmanager
async def body_of(request: Request, limit: int, lanes: Lanes) -> AsyncIterator[bytes]:
    """The body as sent, at most `limit` bytes. While it is in use, a large one keeps its place.

    Raises TooLarge as soon as that is known, by the Content-Length before a byte is read; ProtocolError
    (code request_timeout) when the sender falls silent.
    """
    _check_announced(request, limit)
    chunks: list[bytes] = []
    size, held = 0, False
    pieces = request.stream()
    try:
        while True:
            try:
                with anyio.fail_after(PATIENCE):
                    piece = await anext(pieces, None)
            except TimeoutError as error:
                raise ProtocolError(
                    f"no more of the body came within {PATIENCE:.0f} s",
                    code="request_timeout",
                    remedy="Send it again.",
                ) from error
            if piece is None:
                break
            size += len(piece)
            if size > limit:
                raise too_large(limit)
            if size > LARGE and not held:
                await lanes.large.acquire()
                held = True
            chunks.append(piece)
        yield b"".join(chunks)
    finally:
        if held:
            lanes.large.release()


def _check_announced(request: Request, limit: int) -> None:
    announced = request.headers.get("content-length")
    if announced is None:
        return
    if not (announced.isascii() and announced.isdigit()):
        raise Malformed("Content-Length is not a number")
    if int(announced[:20]) > limit:
        raise too_large(limit)
