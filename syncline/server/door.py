"""Who asks: the host application's authenticator, in front of every path (law L10).

Whether whoever asks may have what is asked for is decided behind it, by `hub.gate`.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable

import anyio.to_thread
from starlette.authentication import AuthenticationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from syncline.errors import ConfigurationError, Forbidden, SynclineError, Unauthenticated
from syncline.model.actor import ANYONE, Actor
from syncline.protocol.routes import Plain, Route
from syncline.server.problems import refused, unexpected

Authenticator = Callable[[Request], Actor | Awaitable[Actor | None] | None]
"""Says who is behind a request, by its headers or whatever the host application knows of it (cookies,
session, `request.user`); the body is not to be read. None, or raising `Unauthenticated`, is nobody. May be a
coroutine function; any other is called in a thread."""

Answer = Callable[[Request, Actor], Awaitable[Response]]
"""An endpoint behind the door."""


class Door:
    """Lets requests in with the actor that the authenticator found; without one the hub is open."""

    def __init__(self, authenticate: Authenticator | None) -> None:
        self._authenticate = authenticate

    def guarded(self, route: Route | Plain, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint of a route for those who may use it. Never raises."""
        where = f"{route.method} {route.path}"

        async def guarded(request: Request) -> Response:
            try:
                actor = await self._admitted(route, request)
            except SynclineError as error:
                return refused(error, where)
            except Exception as error:
                return unexpected(error, where)
            return await answer(request, actor)

        return guarded

    async def _admitted(self, route: Route | Plain, request: Request) -> Actor:
        if route.who is None:
            raise Forbidden(f"{route.path} is open to nobody here", code="route_closed")
        if route.who == "anyone":
            return ANYONE
        actor = ANYONE if self._authenticate is None else await self._asked(self._authenticate, request)
        if route.who == "operator" and not actor.operator:
            raise Forbidden(f"{route.path} is for operators", code="operators_only")
        return actor

    @staticmethod
    async def _asked(authenticate: Authenticator, request: Request) -> Actor:
        """Whom the authenticator finds. Unauthenticated if that is nobody."""
        try:
            found = await _called(authenticate, request)
        except AuthenticationError as error:
            raise Unauthenticated("the request does not say who asks") from error
        except HTTPException as error:
            if error.status_code not in (401, 403):
                raise
            kind = Unauthenticated if error.status_code == 401 else Forbidden
            raise kind("the application that the hub is part of refused the request") from error
        if found is None:
            raise Unauthenticated("the request does not say who asks")
        if not isinstance(found, Actor) or found.name == ANYONE.name:
            raise ConfigurationError(
                f"an authenticator answers with an Actor of its own or None, not with {type(found).__name__}"
                f" {found!r}"[:200],
                remedy=f"Correct it; the name {ANYONE.name!r} belongs to open hubs.",
            )
        return found


async def _called(authenticate: Authenticator, request: Request) -> object:
    call = getattr(authenticate, "__call__", authenticate)  # noqa: B004  # an object may have it as a coroutine
    if inspect.iscoroutinefunction(authenticate) or inspect.iscoroutinefunction(call):
        found: object = authenticate(request)
    else:
        found = await anyio.to_thread.run_sync(authenticate, request)
    return await found if inspect.isawaitable(found) else found
