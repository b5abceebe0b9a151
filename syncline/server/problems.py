"""Every failure as application/problem+json (law L12)."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from syncline.errors import ProtocolError, SynclineError
from syncline.protocol.compression import ACCEPT_ENCODING
from syncline.protocol.messages import PROTOCOL_VERSION
from syncline.protocol.negotiation import PROBLEM, Form
from syncline.protocol.status import to_problem
from syncline.protocol.versions import HEADER

logger = logging.getLogger("syncline.server")

BASE_HEADERS: Mapping[str, str] = {HEADER: str(PROTOCOL_VERSION), "cache-control": "no-store"}
"""On every answer."""


def problem(error: SynclineError, headers: Mapping[str, str] | None = None) -> Response:
    """The answer that says what failed."""
    content = to_problem(error)
    all_headers = {**BASE_HEADERS, **(headers or {})}
    if "retry_after" in content:
        all_headers["retry-after"] = str(content["retry_after"])
    if content["status"] == 401:
        all_headers["www-authenticate"] = "Bearer"
    if error.code == "coding_unsupported":
        all_headers["accept-encoding"] = ACCEPT_ENCODING
    if error.code == "media_type_unsupported":
        all_headers["accept"] = ", ".join(form.value for form in Form)
    return Response(msgspec.json.encode(content), content["status"], all_headers, PROBLEM)


def unexpected(error: Exception, where: str) -> Response:
    """The answer to a failure nobody foresaw: logged in full under a number, told without the inside."""
    incident = uuid.uuid4().hex[:12]
    logger.error(
        "A request failed unexpectedly: %s, incident %s",
        where,
        incident,
        exc_info=error,
        extra={"action": "request_failed", "incident": incident},
    )
    return problem(
        SynclineError(
            f"the hub failed unexpectedly (incident {incident})",
            remedy=f"Ask the hub's operator to look for incident {incident} in its log.",
        )
    )


def refused(error: SynclineError, where: str, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a request that was refused for a reason with a code."""
    answer = problem(error, headers)
    level = logging.WARNING if answer.status_code >= 500 else logging.DEBUG
    logger.log(
        level,
        "A request was refused: %s, %s: %s",
        where,
        error.code,
        error.detail,
        extra={"action": "request_refused", "code": error.code},
    )
    return answer


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path[:200]
    if error.status_code == 404:
        reason = ProtocolError(
            f"there is nothing at {path!r}", code="not_found", remedy="The paths are in /openapi.json."
        )
    elif error.status_code == 405:
        reason = ProtocolError(
            f"{request.method[:20]} is not a method of {path!r}",
            code="method_not_allowed",
            remedy="The methods are in the header Allow and in /openapi.json.",
        )
    else:
        reason = ProtocolError(str(error.detail))
    return problem(reason, error.headers)


async def _server_error(request: Request, error: Exception) -> Response:
    return unexpected(error, f"{request.method} {request.url.path[:200]}")


HANDLERS: dict[Any, Callable[..., Any]] = {HTTPException: _http_error, Exception: _server_error}
"""For failures outside an exchange: no such path, no such method."""
