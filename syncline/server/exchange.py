"""One request and its answer: negotiate, read, hand over, encode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import msgspec
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from syncline.errors import Malformed, SynclineError, TooLarge
from syncline.model.actor import Actor
from syncline.protocol import codec, compression, messages, negotiation, versions
from syncline.protocol.messages import Record
from syncline.protocol.negotiation import Form
from syncline.protocol.routes import Route
from syncline.server.centre import Centre
from syncline.server.incoming import Body, body_of
from syncline.server.lanes import LARGE, Lanes
from syncline.server.problems import BASE_HEADERS, refused, unexpected

QUERY_LENGTH = 60_000
"""Characters of a query string; a watermark is the longest thing in it."""


@dataclass(frozen=True, slots=True)
class _Terms:
    """What the headers of a request agreed on."""

    actor: Actor
    version: int
    sent: Form
    answer: Form
    content_encoding: str | None
    answer_coding: str | None


class Exchange:
    """Answers the requests of one route."""

    def __init__(self, hub: Centre, route: Route, lanes: Lanes) -> None:
        self._hub = hub
        self._route = route
        self._lanes = lanes
        self._where = f"{route.method} {route.path}"

    async def answer(self, request: Request, actor: Actor) -> Response:
        """The answer to a request, or the problem with it. Never raises."""
        try:
            terms = self._agree(request.headers, actor)
            if not self._route.body:
                fields = _query(request, self._route)
                return await self._lanes.run(lambda: self._ask(fields, terms))
            async with body_of(request, self._hub.limits.bytes, self._lanes) as body:
                return await self._told(body, request, terms)
        except SynclineError as error:
            return self._refused(error, request)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        except Exception as error:
            return unexpected(error, self._where)

    def _agree(self, headers: Headers, actor: Actor) -> _Terms:
        version = versions.spoken(headers.get(versions.HEADER))
        sent = negotiation.sent(headers.get("content-type")) if self._route.body else Form.JSON
        return _Terms(
            actor=actor,
            version=version,
            sent=sent,
            answer=negotiation.accepted(headers.get("accept"), sent),
            content_encoding=headers.get("content-encoding"),
            answer_coding=compression.choose(headers.get("accept-encoding")),
        )

    def _refused(self, error: SynclineError, request: Request) -> Response:
        return refused(error, self._where, _parting(error, request))

    async def _told(self, body: Body, request: Request, terms: _Terms) -> Response:
        """The answer to a request in the body. A large one has room in memory before it is unfolded, and for
        the values that it holds before they become objects."""
        lanes, limit, path = self._lanes, self._hub.limits.bytes, request.path_params
        size = compression.unfolded(body.begin, body.size, terms.content_encoding, limit)
        if size <= LARGE:
            return await lanes.run(lambda: self._tell(self._weighed(body, terms)[0], path, terms))
        async with lanes.room.taken(size + (body.size if size != body.size else 0)):
            try:
                plain, cells = await lanes.run(lambda: self._weighed(body, terms))
                async with lanes.cells.taken(cells):
                    return await lanes.run(lambda: self._tell(plain, path, terms))
            except SynclineError as error:  # here, for an error on its way keeps alive what it was met in
                return self._refused(error, request)

    # In a thread from here on.

    def _weighed(self, body: Body, terms: _Terms) -> tuple[bytes | bytearray, int]:
        """The unfolded body, and how many values it holds. TooLarge if that is more than may be."""
        plain = compression.decompress(body.content(), terms.content_encoding, self._hub.limits.bytes)
        return plain, codec.weigh(plain, self._route.request, terms.sent, self._hub.limits)

    def _ask(self, fields: dict[str, str], terms: _Terms) -> Response:
        """A request in the query string."""
        fields["version"] = str(terms.version)
        message = codec.read_query(fields, self._route.request, self._hub.limits)
        return self._handed_over(cast(messages.Request, message), terms)

    def _tell(self, plain: bytes | bytearray, path: Mapping[str, str], terms: _Terms) -> Response:
        """A request in the body, which was weighed."""
        message = codec.decode_request(plain, self._route.request, terms.sent, self._hub.limits)
        message = _numbered(message, self._route, path)
        return self._handed_over(cast(messages.Request, message), terms)

    def _handed_over(self, message: messages.Request, terms: _Terms) -> Response:
        content = codec.encode(self._hub.handle(terms.actor, message), terms.answer)
        headers = {**BASE_HEADERS, "vary": "accept, accept-encoding"}
        if terms.answer_coding and len(content) >= compression.THRESHOLD:
            compressed = compression.compress(content, terms.answer_coding)
            if compressed is not None:
                content, headers["content-encoding"] = compressed, terms.answer_coding
        return Response(content, headers=headers, media_type=terms.answer.value)


def _parting(error: SynclineError, request: Request) -> dict[str, str]:
    """Hang up on a body that has no known end or does not come; another one is read to its end unseen, so
    that its sender gets to read the answer."""
    endless = error.code == "too_large" and "transfer-encoding" in request.headers
    return {"connection": "close"} if endless or error.code == "request_timeout" else {}


def _query(request: Request, route: Route) -> dict[str, str]:
    """The query's parameters, each given once, and what stands in the path."""
    if len(request.scope["query_string"]) > QUERY_LENGTH:
        raise TooLarge(f"the query is longer than {QUERY_LENGTH} characters")
    pairs = request.query_params.multi_items()
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Malformed("a query parameter is given twice")
    if "version" in fields:
        raise Malformed(f"the version of the protocol is said in the header {versions.HEADER}")
    if any(name in fields for name in route.in_path):
        raise Malformed("a query parameter repeats what stands in the path")
    return fields | {name: str(_number(request.path_params[name])) for name in route.in_path}


def _numbered(message: Record, route: Route, path: Mapping[str, str]) -> Record:
    """The message with the numbers that stand in the path; 0 in the body is none."""
    numbers = {name: _number(path[name]) for name in route.in_path}
    for name, number in numbers.items():
        if getattr(message, name) not in (0, number):
            raise Malformed(f"the body says {name} {getattr(message, name)}, the path {number}")
    return msgspec.structs.replace(message, **numbers) if numbers else message


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Malformed(f"{text[:40]!r} in the path is not a number")
    return int(text)
