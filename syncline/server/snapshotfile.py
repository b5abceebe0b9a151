"""`GET /sync/snapshot.sqlite`: the ready file, whole or from a byte on (RFC 9110, ranges)."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Mapping
from typing import BinaryIO

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from syncline.errors import Malformed, NoSnapshot, ProtocolError, SnapshotBuilding, SynclineError
from syncline.model.actor import Actor
from syncline.protocol import compression, filebody, versions
from syncline.server.centre import Centre
from syncline.server.lanes import Lanes
from syncline.server.problems import BASE_HEADERS, problem, refused, unexpected
from syncline.server.snapshots import Kept, Snapshots, admitted

PIECE = 256 * 1024
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")
_WHERE = f"GET {filebody.PATH}"


class SnapshotFile:
    """Answers with the file that fits, or says why there is none."""

    def __init__(self, hub: Centre, snapshots: Snapshots | None, lanes: Lanes) -> None:
        self._hub, self._snapshots, self._lanes = hub, snapshots, lanes

    async def answer(self, request: Request, actor: Actor) -> Response:
        """The file, or the problem with it: first of all whatever the gate refuses. Never raises."""
        try:
            replica, schema, etag = _wanted(request)
            state = await self._lanes.run(lambda: admitted(self._hub, actor, replica))
            if compression.choose(request.headers.get("accept-encoding", "*")) != filebody.CODING:
                raise NoSnapshot(f"the file travels in {filebody.CODING} only")
            if self._snapshots is None:
                raise NoSnapshot("this hub keeps no files to hydrate from")
            snapshots = self._snapshots
            kept, opened = await self._lanes.run(lambda: snapshots.open(actor, state, schema, etag))
            try:
                return await _served(request, kept, opened)
            except BaseException:
                opened.close()
                raise
        except _Beyond as error:
            return refused(error, _WHERE, {"content-range": f"bytes */{error.size}"})
        except SnapshotBuilding as error:
            return problem(error)  # nothing that the log should tell every second
        except SynclineError as error:
            return refused(error, _WHERE)
        except Exception as error:
            return unexpected(error, _WHERE)


class _Beyond(ProtocolError):
    """Caught above: the range begins behind the end of the file."""

    code, title = "range_not_satisfiable", "The range is not in the file"
    remedy = "Get the file from its beginning."

    def __init__(self, size: int) -> None:
        super().__init__(f"the file has {size} bytes")
        self.size = size


def _wanted(request: Request) -> tuple[str, str, str | None]:
    """Who is to be filled, the schema asked for, and the ETag of what the device has a part of."""
    versions.spoken(request.headers.get(versions.HEADER))
    schema = request.query_params.get("schema")
    replica = request.query_params.get("replica")
    if not schema or not replica:
        raise Malformed("the query names no schema, or no replica")
    return replica, schema, request.headers.get("if-range")


async def _served(request: Request, kept: Kept, opened: BinaryIO) -> Response:
    size = os.fstat(opened.fileno()).st_size
    headers = {
        **BASE_HEADERS,
        "cache-control": "private, no-cache",
        "accept-ranges": "bytes",
        "etag": kept.etag,
        "content-encoding": filebody.CODING,
        filebody.DIGEST_HEADER.lower(): filebody.digest_text(kept.digest),
        "vary": "accept-encoding",
    }
    if request.headers.get("if-none-match") == kept.etag:
        opened.close()
        return Response(status_code=304, headers=headers)
    status, start, end = 200, 0, size
    if (part := _range(request, kept.etag, size)) is not None:
        start, end = part
        status, headers["content-range"] = 206, f"bytes {start}-{end - 1}/{size}"
    headers["content-length"] = str(end - start)
    if request.method == "HEAD":
        opened.close()
        return Response(status_code=status, headers=headers, media_type=filebody.MEDIA_TYPE)
    return _Streamed(opened, start, end, status, headers)


class _Streamed(StreamingResponse):
    """Some bytes of an open file, which is closed afterwards, also when nobody waits for them any more."""

    def __init__(
        self, opened: BinaryIO, start: int, end: int, status: int, headers: Mapping[str, str]
    ) -> None:
        super().__init__(_pieces(opened, start, end), status, headers, filebody.MEDIA_TYPE)
        self._opened = opened

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._opened:
            await super().__call__(scope, receive, send)


def _range(request: Request, etag: str, size: int) -> tuple[int, int] | None:
    """First byte and the one after the last; None for the whole file. Several ranges, and those from the
    end, are answered with the whole, as RFC 9110 allows."""
    found = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if found is None or request.headers.get("if-range", etag) != etag:
        return None
    start = int(found.group(1))
    end = min(int(found.group(2)) + 1, size) if found.group(2) else size
    if start >= size:
        raise _Beyond(size)
    return (start, end) if start < end else None


async def _pieces(opened: BinaryIO, start: int, end: int) -> AsyncIterator[bytes]:
    opened.seek(start)
    while start < end:
        piece = await anyio.to_thread.run_sync(opened.read, min(PIECE, end - start))
        if not piece:
            return
        start += len(piece)
        yield piece
