"""The ASGI application: which path answers what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from syncline.protocol import filebody
from syncline.protocol.routes import PLAIN, ROUTES
from syncline.server.centre import Centre, Instants
from syncline.server.door import Answer, Authenticator, Door
from syncline.server.exchange import Exchange
from syncline.server.lanes import Lanes
from syncline.server.openapi import document
from syncline.server.probes import Probes
from syncline.server.problems import HANDLERS
from syncline.server.snapshotfile import SnapshotFile
from syncline.server.snapshots import Snapshots
from syncline.server.unchanged import Unchanged

Endpoint = Callable[[Request], Awaitable[Response]]

THREADS = 8


def create_app(
    hub: Centre,
    *,
    authenticate: Authenticator | None = None,
    threads: int = THREADS,
    snapshots: Snapshots | None = None,
) -> Starlette:
    """Return the hub as an ASGI application.

    `authenticate` is called with each request, a Starlette `Request`, and returns the `syncline.Actor` who is
    behind it, or None for nobody (401). Without one the hub is open: whoever reaches it is `ANYONE`. Without
    `snapshots` devices hydrate by rows alone.

    An authenticator may be a coroutine function; any other callable runs in a thread, 16 at once. It judges
    by headers, cookies or whatever middleware has noted, and must not read the request's body, which is
    still to come and is held to the hub's limits. It has 10 seconds. It may raise `Unauthenticated` (401),
    or `Forbidden` (403), whose words reach whoever asks; Starlette's `AuthenticationError` and
    `HTTPException(401)` are 401, `HTTPException(403)` is 403. Whatever else it raises, also other errors of
    Syncline's, if it takes longer, or returns anything but an Actor of its own or None, the answer is
    `authenticator_failed` (503), which says no more, and the hub's log has the error. Nobody gets in by a
    failure.

    At most `threads` requests are inside the hub at once; others wait. The application has no lifespan of
    its own, so it can be mounted as it is; it does not close the hub.
    """
    lanes = Lanes(threads, hub.limits.bytes, hub.limits.cells)
    door, probes = Door(authenticate), Probes(hub, lanes)
    plain: dict[str, Answer] = {
        "/health": probes.health,
        "/ready": probes.ready,
        "/openapi.json": document,
        filebody.PATH: SnapshotFile(hub, snapshots, lanes).answer,
    }
    by_path: dict[str, dict[str, Endpoint]] = {
        entry.path: {entry.method: door.guarded(entry, plain[entry.path])} for entry in PLAIN
    }
    for route in ROUTES:
        endpoint = door.guarded(route, Exchange(hub, route, lanes).answer)
        by_path.setdefault(route.path, {})[route.method] = endpoint
    before = [Middleware(Unchanged, hub, door, lanes)] if isinstance(hub, Instants) else []
    app = Starlette(
        middleware=before,
        routes=[
            Route(path, _by_method(endpoints), methods=list(endpoints)) for path, endpoints in by_path.items()
        ],
        exception_handlers=HANDLERS,
    )
    app.router.redirect_slashes = False
    return app


def _by_method(endpoints: dict[str, Endpoint]) -> Endpoint:
    """One endpoint a path, so that a refused method is told all that are allowed."""
    if "GET" in endpoints:
        endpoints = endpoints | {"HEAD": endpoints["GET"]}

    async def answer(request: Request) -> Response:
        return await endpoints[request.method](request)

    return answer
