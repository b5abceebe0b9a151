"""How long a connection may keep the server waiting, and how much it may send before a request is one.

uvicorn closes a connection that is idle between two requests. It waits for ever for the first byte, for the
end of the headers, for the rest of a body whose request was answered, and for somebody who does not read; and
headers may be of any length. Here each of these ends.
"""

from __future__ import annotations

import asyncio
import logging
import time
from asyncio import TimerHandle
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

logger = logging.getLogger("syncline.server")

HEAD_SECONDS = 10.0
"""From the connection, or the first byte of a further request, to the end of the headers."""

HEAD_BYTES = 96 * 1024
"""Bytes of the request line and the headers: the longest query is 60,000."""

HEADERS = 100
"""Lines of headers."""

DRAIN_SECONDS = 10.0
"""For the rest of a body whose request was answered already."""

STALL_SECONDS = 60.0
"""For a reader to take anything of an answer."""

WAITING = 500
"""Connections that have not sent a whole head yet. One more, and the oldest of them goes."""


TELL_SECONDS = 60.0
"""Between two lines of the log about the same that anybody can make the server say."""

_INVALID, _UPGRADE = "Invalid HTTP request received.", "Unsupported upgrade request."


class Strangers(logging.Filter):
    """What anybody can make the server warn of as often as they like is said once in `TELL_SECONDS`, and how
    often it was: the log is not a stranger's to fill."""

    def __init__(self) -> None:
        super().__init__()
        self._told = {_INVALID: float("-inf"), _UPGRADE: float("-inf")}
        self._more = dict.fromkeys(self._told, 0)

    def filter(self, record: logging.LogRecord) -> bool:
        kind, now = record.msg, time.monotonic()
        if kind not in self._told:
            return True
        if now - self._told[kind] < TELL_SECONDS:
            self._more[kind] += 1
            return False
        if self._more[kind]:
            record.msg = f"{kind} There were {self._more[kind]} more since this was said last."
        self._told[kind], self._more[kind] = now, 0
        return True


STRANGERS = Strangers()
"""For all servers of this process."""


class TooMuchHead(Exception):
    """Leaves the parser."""


class Connection(HttpToolsProtocol):
    """One connection of uvicorn's, with an end to each wait."""

    waiting: ClassVar[dict[Connection, None]] = {}
    """Those whose head is not there, the oldest first; for all servers of this process."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._head: TimerHandle | None = None
        self._rest: TimerHandle | None = None
        self._stall: TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()
        if len(self.waiting) > WAITING:
            next(iter(self.waiting))._give_up()

    def connection_lost(self, exc: Exception | None) -> None:
        self.waiting.pop(self, None)
        for timer in (self._head, self._rest, self._stall):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self._head
        self._head_bytes += len(data)
        super().data_received(data)
        if before is not None and self._head is before and self._head_bytes > HEAD_BYTES:
            self.send_400_response("")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._head is None:
            self._head_bytes = 0
            self._await_head()

    def on_headers_complete(self) -> None:
        self.waiting.pop(self, None)
        if self._head is not None:
            self._head.cancel()
            self._head = None
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > HEAD_BYTES or len(self.headers) > HEADERS:
            self._head_bytes = HEAD_BYTES + 1
            raise TooMuchHead
        self._head_bytes = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._rest_is_there()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.more_body and not self.transport.is_closing():
            self._rest = self.loop.call_later(DRAIN_SECONDS, self._give_up)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall = self.loop.call_later(STALL_SECONDS, self._give_up)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def send_400_response(self, msg: str) -> None:
        """The answer to what is no request, or begins with too much."""
        if self.transport.is_closing():
            return
        if self._head_bytes <= HEAD_BYTES:
            super().send_400_response(msg)
            return
        self.transport.write(STATUS_LINE[431] + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """Without uvicorn's advice to install something for it."""
        self.logger.warning(_UPGRADE)

    def _await_head(self) -> None:
        self.waiting[self] = None
        self._head = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _rest_is_there(self) -> None:
        if self._rest is not None:  # nobody else ends the wait for the next request then
            self._rest.cancel()
            self._rest = self.loop.call_later(self.timeout_keep_alive, self._give_up)

    def _give_up(self) -> None:
        self.waiting.pop(self, None)
        if not self.transport.is_closing():
            logger.debug("gave up a connection that kept waiting", extra={"action": "connection"})
            self.transport.abort()
