"""Who asks: the host application's authenticator, in front of every path (law L10).

Whether whoever asks may have what is asked for is decided behind it, by `hub.gate`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
from collections.abc import Awaitable, Callable

import anyio
import anyio.to_thread
from starlette.authentication import AuthenticationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from syncline.errors import AuthenticatorFailed, ConfigurationError, Forbidden, SynclineError, Unauthenticated
from syncline.model.actor import ANYONE, Actor
from syncline.protocol.routes import Plain, Route
from syncline.server.problems import refused, unexpected

Authenticator = Callable[[Request], Actor | Awaitable[Actor | None] | None]
"""Says who is behind a request, by its headers or whatever the host application knows of it (cookies,
session, `request.user`); the body is not to be read. None, or raising `Unauthenticated`, is nobody. May be a
coroutine function; any other is called in a thread."""

logger = logging.getLogger("syncline.server")

_SAYING = (Unauthenticated, Forbidden, AuthenticationError, HTTPException)
"""What an authenticator raises to say something, to whoever asks; all else is a failure of its own."""

ACTOR = "syncline.actor"
"""Where the scope of a request says who was let in."""

SECONDS = 10.0
"""How long an authenticator may take."""

THREADS = 16
"""Authenticators that are no coroutines run in so many threads at once; one that never returns keeps its."""

Answer = Callable[[Request, Actor], Awaitable[Response]]
"""An endpoint behind the door."""


class Door:
    """Lets requests in with the actor that the authenticator found; without one the hub is open."""

    def __init__(self, authenticate: Authenticator | None) -> None:
        """ConfigurationError if that is nothing to call."""
        if authenticate is not None and not callable(authenticate):
            raise ConfigurationError(
                f"an authenticator is a function of the request, not {type(authenticate).__name__}",
                remedy="Give create_app(hub, authenticate=...) a function, or a coroutine function.",
            )
        self._authenticate = authenticate
        self._called = 0

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

    async def actor(self, route: Route | Plain, request: Request) -> Actor | None:
        """Who asks, for what stands before the endpoint; the authenticator is not asked again behind it.
        None where the endpoint is to say what is wrong."""
        if self._authenticate is None:
            return ANYONE
        try:
            request.scope[ACTOR] = actor = await self._admitted(route, request)
        except Exception:  # it is raised again where there is an answer to it
            return None
        return actor

    async def _admitted(self, route: Route | Plain, request: Request) -> Actor:
        if ACTOR in request.scope:
            found: Actor = request.scope[ACTOR]
            return found
        if route.who is None:
            raise Forbidden(f"{route.path} is open to nobody here", code="route_closed")
        if route.who == "anyone":
            return ANYONE
        actor = ANYONE if self._authenticate is None else await self._asked(self._authenticate, request)
        if route.who == "operator" and not actor.operator:
            raise Forbidden(f"{route.path} is for operators", code="operators_only")
        return actor

    async def _asked(self, authenticate: Authenticator, request: Request) -> Actor:
        """Whom the authenticator finds. Unauthenticated if that is nobody; AuthenticatorFailed if it takes
        too long, or fails in whatever way."""
        try:
            with anyio.fail_after(SECONDS) as patience:
                found = await self._found(authenticate, request, patience)
        except TimeoutError as error:
            raise AuthenticatorFailed(f"it was not said within {SECONDS:g} s who asks") from error
        except AuthenticationError as error:
            raise Unauthenticated("the request does not say who asks") from error
        except HTTPException as error:
            if error.status_code not in (401, 403):
                raise _failed(error) from error
            kind = Unauthenticated if error.status_code == 401 else Forbidden
            raise kind("the application that the hub is part of refused the request") from error
        if found is None:
            raise Unauthenticated("the request does not say who asks")
        if not isinstance(found, Actor) or found.name == ANYONE.name:
            raise _failed(
                TypeError(
                    f"an authenticator answers with an Actor of its own or None, not with"
                    f" {type(found).__name__}; the name {ANYONE.name!r} belongs to open hubs"
                )
            )
        return found

    async def _found(
        self, authenticate: Authenticator, request: Request, patience: anyio.CancelScope
    ) -> object:
        try:
            if _is_coroutine(authenticate):
                found: object = authenticate(request)
            else:
                found = await self._in_thread(authenticate, request)
            return await found if inspect.isawaitable(found) else found
        except _SAYING:
            raise
        except BaseException as error:
            if isinstance(error, anyio.get_cancelled_exc_class()) and _is_cancelled(patience):
                raise
            raise _failed(error) from error

    async def _in_thread(self, authenticate: Authenticator, request: Request) -> object:
        """Call it in a thread, which is left to itself if it takes too long."""
        if self._called >= THREADS:
            raise AuthenticatorFailed(f"{THREADS} requests wait to be told who asks; none was answered yet")

        def call() -> object:
            try:
                return authenticate(request)
            except _SAYING:
                raise
            except BaseException as error:  # in a thread, too, nothing of it may end more than the request
                raise _failed(error) from error
            finally:
                self._called -= 1

        self._called += 1
        return await anyio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=_unlimited())


def _failed(error: BaseException) -> AuthenticatorFailed:
    """What is told of an authenticator's own failure; the log has it in full."""
    logger.error(
        "What says who asks failed: %s",
        type(error).__name__,
        exc_info=error,
        extra={"action": "authenticator_failed"},
    )
    return AuthenticatorFailed("what says who asks failed")


def _is_cancelled(patience: anyio.CancelScope) -> bool:
    """Whether the request is to end, and not the authenticator alone says so."""
    task = asyncio.current_task()
    ends = patience.cancel_called or anyio.current_effective_deadline() == -math.inf
    return ends or (task is not None and task.cancelling() > 0)


def _unlimited() -> anyio.CapacityLimiter:
    """The door counts by itself: a thread that was left to itself still counts."""
    return anyio.CapacityLimiter(1)


def _is_coroutine(authenticate: Authenticator) -> bool:
    call = getattr(authenticate, "__call__", authenticate)  # noqa: B004  # an object may have it as a coroutine
    return inspect.iscoroutinefunction(authenticate) or inspect.iscoroutinefunction(call)
